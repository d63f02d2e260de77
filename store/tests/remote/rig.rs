//! A small HTTP server for tests: every request is answered by a function, and remembered as it came.

use std::{
    collections::HashMap,
    io::Read,
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use tokio::{
    io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader},
    net::TcpListener,
    task::JoinSet,
};
use tokio_rustls::TlsAcceptor;

/// A request, its body decompressed.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    /// Path and query.
    pub(crate) target: String,
    /// By lower-case name.
    pub(crate) headers: HashMap<String, String>,
    pub(crate) body: String,
}

/// What the server does.
#[derive(Debug, Clone)]
pub(crate) enum Reply {
    /// An answer with a status, headers and a body.
    Say(u16, Vec<(&'static str, String)>, String),
    /// Whatever the server at this local port answers to the body, sent to this target.
    Pass(u16, String),
    /// An answer that promises more than it holds.
    CutOff(String),
    /// An answer with a status that promises more than it holds.
    Short(u16),
    /// An answer that breaks off in its first line.
    Torn,
    /// None at all: the connection stays open.
    Silence,
    /// None at all: the connection is closed.
    Hangup,
}

impl Reply {
    pub(crate) fn status(status: u16) -> Reply {
        Reply::Say(status, Vec::new(), String::new())
    }
}

type Answers = dyn Fn(&Request) -> Reply + Send + Sync;

/// A server that runs until it is dropped.
pub(crate) struct Rig {
    pub(crate) addr: SocketAddr,
    seen: Arc<Mutex<Vec<Request>>>,
    _tasks: JoinSet<()>,
}

impl Rig {
    pub(crate) async fn start(answer: impl Fn(&Request) -> Reply + Send + Sync + 'static) -> Rig {
        Rig::listen(None, answer).await
    }

    /// The same behind TLS.
    pub(crate) async fn start_tls(
        tls: TlsAcceptor,
        answer: impl Fn(&Request) -> Reply + Send + Sync + 'static,
    ) -> Rig {
        Rig::listen(Some(tls), answer).await
    }

    async fn listen(
        tls: Option<TlsAcceptor>,
        answer: impl Fn(&Request) -> Reply + Send + Sync + 'static,
    ) -> Rig {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let mut tasks = JoinSet::new();
        let answer: Arc<Answers> = Arc::new(answer);
        tasks.spawn(serve((listener, tls), answer, seen.clone()));
        Rig {
            addr,
            seen,
            _tasks: tasks,
        }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.addr)
    }

    /// Every request so far.
    pub(crate) fn seen(&self) -> Vec<Request> {
        self.seen.lock().unwrap().clone()
    }
}

async fn serve(
    (listener, tls): (TcpListener, Option<TlsAcceptor>),
    answer: Arc<Answers>,
    seen: Arc<Mutex<Vec<Request>>>,
) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        let (tls, answer, seen) = (tls.clone(), answer.clone(), seen.clone());
        connections.spawn(async move {
            match tls {
                None => converse(stream, answer, seen).await,
                // Whoever does not trust us is not spoken to.
                Some(tls) => {
                    if let Ok(stream) = tls.accept(stream).await {
                        converse(stream, answer, seen).await;
                    }
                }
            }
        });
        while connections.try_join_next().is_some() {}
    }
}

async fn converse<S: AsyncRead + AsyncWrite + Unpin>(
    stream: S,
    answer: Arc<Answers>,
    seen: Arc<Mutex<Vec<Request>>>,
) {
    let mut stream = BufReader::new(stream);
    while let Some(request) = request(&mut stream).await {
        let mut reply = answer(&request);
        if let Reply::Pass(port, target) = reply {
            reply = pass(port, &target, &request.body).await;
        }
        seen.lock().unwrap().push(request);
        match reply {
            Reply::Pass(..) => unreachable!("it was passed on"),
            Reply::Say(status, headers, body) => {
                let mut head = format!("HTTP/1.1 {status} X\r\nContent-Length: {}\r\n", body.len());
                for (name, value) in headers {
                    head += &format!("{name}: {value}\r\n");
                }
                let text = head + "\r\n" + &body;
                // TLS keeps what is not flushed.
                if stream.write_all(text.as_bytes()).await.is_err() || stream.flush().await.is_err() {
                    return;
                }
            }
            Reply::CutOff(body) => {
                let text = format!(
                    "HTTP/1.1 200 X\r\nContent-Length: {}\r\n\r\n{body}",
                    body.len() + 100
                );
                drop(stream.write_all(text.as_bytes()).await);
                return;
            }
            Reply::Short(status) => {
                let text = format!("HTTP/1.1 {status} X\r\nContent-Length: 100\r\n\r\nit bre");
                drop(stream.write_all(text.as_bytes()).await);
                return;
            }
            Reply::Torn => {
                drop(stream.write_all(b"HTTP/1.1 20").await);
                return;
            }
            Reply::Silence => std::future::pending().await,
            Reply::Hangup => return,
        }
    }
}

async fn pass(port: u16, target: &str, body: &str) -> Reply {
    let sent = reqwest::Client::new()
        .post(format!("http://127.0.0.1:{port}{target}"))
        .body(body.to_owned())
        .send();
    let answer = sent.await.unwrap();
    let status = answer.status().as_u16();
    Reply::Say(status, Vec::new(), answer.text().await.unwrap())
}

async fn request<S: AsyncRead + Unpin>(stream: &mut BufReader<S>) -> Option<Request> {
    let mut line = String::new();
    stream.read_line(&mut line).await.ok().filter(|read| *read > 0)?;
    let target = line.split(' ').nth(1)?.to_owned();
    let mut headers = HashMap::new();
    loop {
        let mut line = String::new();
        stream.read_line(&mut line).await.ok()?;
        match line.trim_end().split_once(':') {
            Some((name, value)) => headers.insert(name.to_ascii_lowercase(), value.trim().to_owned()),
            None => break,
        };
    }
    let length = headers.get("content-length").and_then(|n| n.parse().ok());
    let mut body = vec![0; length.unwrap_or(0)];
    stream.read_exact(&mut body).await.ok()?;
    let mut text = String::new();
    if headers.get("content-encoding").is_some_and(|e| e == "gzip") {
        flate2::read::GzDecoder::new(&body[..])
            .read_to_string(&mut text)
            .unwrap();
    } else {
        text = String::from_utf8(body).unwrap();
    }
    Some(Request {
        target,
        headers,
        body: text,
    })
}
