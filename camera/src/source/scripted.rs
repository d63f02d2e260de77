//! Cameras that tests script: what they answer to a request, word for word.

use std::{net::SocketAddr, sync::Arc};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinSet,
};

/// A server that answers each request with what its script says. It ends with this value.
pub(crate) struct Scripted {
    pub(crate) address: SocketAddr,
    _tasks: JoinSet<()>,
}

/// What follows a request.
pub(crate) enum Answer {
    /// These bytes, and the connection stays.
    Bytes(Vec<u8>),
    /// These bytes, and the connection is closed.
    Last(Vec<u8>),
    /// Nothing, and the connection stays.
    Silence,
}

impl Scripted {
    /// Answers the head of each request by `script`.
    pub(crate) async fn start(script: impl Fn(&str) -> Answer + Send + Sync + 'static) -> Scripted {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let script = Arc::new(script);
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let script = Arc::clone(&script);
                connections.spawn(async move {
                    serve(stream, &*script).await;
                });
            }
        });
        Scripted {
            address,
            _tasks: tasks,
        }
    }
}

async fn serve(mut stream: TcpStream, script: &(impl Fn(&str) -> Answer + Sync)) -> Option<()> {
    let mut held = Vec::new();
    loop {
        let end = loop {
            if let Some(end) = held.windows(4).position(|part| part == b"\r\n\r\n") {
                break end + 4;
            }
            if stream.read_buf(&mut held).await.ok()? == 0 {
                return None;
            }
        };
        let head = String::from_utf8_lossy(&held[..end]).into_owned();
        held.drain(..end);
        match script(&head) {
            Answer::Bytes(bytes) => stream.write_all(&bytes).await.ok()?,
            Answer::Last(bytes) => return stream.write_all(&bytes).await.ok(),
            Answer::Silence => {}
        }
    }
}

/// The value of a header in the head of a request; empty when it is not there.
pub(crate) fn header<'a>(head: &'a str, name: &str) -> &'a str {
    let lines = head.lines().filter_map(|line| line.split_once(':'));
    let mut found = lines.filter(|(key, _)| key.eq_ignore_ascii_case(name));
    found.next().map_or("", |(_, value)| value.trim())
}

/// An answer of RTSP to the request with `head`.
pub(crate) fn rtsp(head: &str, status: &str, headers: &str, body: &str) -> Answer {
    let number = header(head, "CSeq");
    let length = body.len();
    Answer::Bytes(
        format!("RTSP/1.0 {status}\r\nCSeq: {number}\r\n{headers}Content-Length: {length}\r\n\r\n{body}")
            .into_bytes(),
    )
}

/// An answer of HTTP.
pub(crate) fn http(status: &str, headers: &str, body: &[u8]) -> Answer {
    let head = format!(
        "HTTP/1.1 {status}\r\n{headers}Content-Length: {}\r\n\r\n",
        body.len()
    );
    Answer::Bytes([head.as_bytes(), body].concat())
}
