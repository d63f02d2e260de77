//! Local servers that write down what they are sent: HTTP, and as much of SMTP as a mail needs.

use std::{
    collections::VecDeque,
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use tokio::{
    io::{AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, BufReader},
    net::{TcpListener, TcpStream},
    task::JoinSet,
};

/// A request as it arrived.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    pub(crate) method: String,
    pub(crate) target: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Seen {
    pub(crate) fn header(&self, name: &str) -> &str {
        let found = self.headers.iter().find(|(known, _)| known == name);
        found.map_or("", |(_, value)| value)
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    pub(crate) fn path(&self) -> &str {
        self.target.split('?').next().unwrap_or_default()
    }

    /// A parameter of the query, decoded.
    pub(crate) fn parameter(&self, name: &str) -> String {
        let query = self.target.split_once('?').map_or("", |(_, query)| query);
        let mut pairs = url::form_urlencoded::parse(query.as_bytes());
        pairs
            .find(|(known, _)| known == name)
            .map(|(_, value)| value.into_owned())
            .unwrap_or_default()
    }
}

type Answer = (u16, String);

/// An HTTP server of one test.
pub(crate) struct Sink {
    pub(crate) address: SocketAddr,
    seen: Arc<Mutex<Vec<Seen>>>,
    answers: Arc<Mutex<VecDeque<Answer>>>,
    usual: Arc<Mutex<Answer>>,
    _task: JoinSet<()>,
}

impl Sink {
    pub(crate) async fn start() -> Sink {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let answers = Arc::new(Mutex::new(VecDeque::new()));
        let usual = Arc::new(Mutex::new((
            200,
            r#"{"errcode":0,"code":0,"ok":true}"#.to_owned(),
        )));
        let mut task = JoinSet::new();
        let (kept, queued, always) = (Arc::clone(&seen), Arc::clone(&answers), Arc::clone(&usual));
        task.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let (kept, queued, always) = (Arc::clone(&kept), Arc::clone(&queued), Arc::clone(&always));
                connections.spawn(async move {
                    let mut stream = BufReader::new(stream);
                    while let Some(request) = read(&mut stream).await {
                        kept.lock().unwrap().push(request);
                        let next = queued.lock().unwrap().pop_front();
                        let (status, body) = next.unwrap_or_else(|| always.lock().unwrap().clone());
                        let answer = format!(
                            "HTTP/1.1 {status} X\r\ncontent-length: {}\r\n\r\n{body}",
                            body.len()
                        );
                        if stream.get_mut().write_all(answer.as_bytes()).await.is_err() {
                            return;
                        }
                    }
                });
            }
        });
        Sink {
            address,
            seen,
            answers,
            usual,
            _task: task,
        }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// What came since the last time.
    pub(crate) fn take(&self) -> Vec<Seen> {
        std::mem::take(&mut *self.seen.lock().unwrap())
    }

    /// The next answer; after it the usual one.
    pub(crate) fn answer(&self, status: u16, body: &str) {
        self.answers.lock().unwrap().push_back((status, body.to_owned()));
    }

    /// The answer to everything from now on.
    pub(crate) fn always(&self, status: u16, body: &str) {
        *self.usual.lock().unwrap() = (status, body.to_owned());
    }
}

async fn read(stream: &mut BufReader<TcpStream>) -> Option<Seen> {
    let mut line = String::new();
    stream.read_line(&mut line).await.ok().filter(|n| *n > 0)?;
    let mut words = line.split_whitespace();
    let (method, target) = (words.next()?.to_owned(), words.next()?.to_owned());
    let mut headers = Vec::new();
    loop {
        let mut line = String::new();
        stream.read_line(&mut line).await.ok()?;
        let Some((name, value)) = line.trim_end().split_once(':') else {
            break;
        };
        headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
    let length = headers.iter().find(|(name, _)| name == "content-length");
    let length: usize = length.map_or(0, |(_, value)| value.parse().unwrap());
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.ok()?;
    Some(Seen {
        method,
        target,
        headers,
        body,
    })
}

/// A mail server of one test: takes every mail, asks for a password with AUTH PLAIN.
pub(crate) struct MailSink {
    pub(crate) address: SocketAddr,
    mails: Arc<Mutex<Vec<String>>>,
    _task: JoinSet<()>,
}

impl MailSink {
    pub(crate) async fn start() -> MailSink {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mails = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&mails);
        let mut task = JoinSet::new();
        task.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let kept = Arc::clone(&kept);
                connections.spawn(async move {
                    let mut stream = BufReader::new(stream);
                    drop(converse(&mut stream, &kept, (true, false)).await);
                });
            }
        });
        MailSink {
            address,
            mails,
            _task: task,
        }
    }

    /// The conversations that came since the last time, mails included.
    pub(crate) fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.mails.lock().unwrap())
    }
}

/// How a conversation ended.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    Over,
    /// The client wants TLS, and was told to begin.
    TurnsToTls,
}

/// Talks as a mail server does. `greets` says whether it speaks first, `offers` whether it can turn to TLS.
pub(crate) async fn converse<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut BufReader<S>,
    kept: &Mutex<Vec<String>>,
    (greets, offers): (bool, bool),
) -> std::io::Result<Ended> {
    let mut said = String::new();
    if greets {
        stream.get_mut().write_all(b"220 sink ESMTP\r\n").await?;
    }
    let mut in_data = false;
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).await? == 0 {
            return Ok(Ended::Over);
        }
        said.push_str(&line);
        if in_data {
            if line == ".\r\n" {
                in_data = false;
                kept.lock().unwrap().push(std::mem::take(&mut said));
                stream.get_mut().write_all(b"250 taken\r\n").await?;
            }
            continue;
        }
        let verb = line
            .split_whitespace()
            .next()
            .unwrap_or_default()
            .to_ascii_uppercase();
        let answer: &[u8] = match verb.as_str() {
            "STARTTLS" if offers => {
                stream.get_mut().write_all(b"220 begin\r\n").await?;
                return Ok(Ended::TurnsToTls);
            }
            "EHLO" if offers => b"250-sink\r\n250-STARTTLS\r\n250 AUTH PLAIN\r\n",
            "EHLO" => b"250-sink\r\n250 AUTH PLAIN\r\n",
            "AUTH" => b"235 welcome\r\n",
            "RCPT" if line.contains("unknown@") => b"550 no such user\r\n",
            "DATA" => {
                in_data = true;
                b"354 go on\r\n"
            }
            "QUIT" => b"221 bye\r\n",
            _ => b"250 ok\r\n",
        };
        stream.get_mut().write_all(answer).await?;
    }
}
