//! A webhook's other side: takes every POST, writes it down with the moment, and answers as it is told.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU16, Ordering},
    },
    time::Instant,
};

use anyhow::Context;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::{TcpListener, TcpStream},
    task::JoinSet,
};

/// A request that arrived.
#[derive(Debug, Clone)]
pub struct Arrival {
    /// When it had arrived whole.
    pub at: Instant,
    /// Its headers, names in lower case.
    pub headers: Vec<(String, String)>,
    /// Its body.
    pub body: String,
}

impl Arrival {
    /// A header, or nothing.
    #[must_use]
    pub fn header(&self, name: &str) -> &str {
        let found = self.headers.iter().find(|(known, _)| known == name);
        found.map_or("", |(_, value)| value)
    }
}

/// A server that ends with its value.
#[derive(Debug)]
pub struct Sink {
    /// Where it listens.
    pub address: SocketAddr,
    arrivals: Arc<Mutex<Vec<Arrival>>>,
    status: Arc<AtomicU16>,
    _task: JoinSet<()>,
}

impl Sink {
    /// Listens on a free port of this machine and answers 200.
    ///
    /// # Errors
    /// When no port can be had.
    pub async fn start() -> anyhow::Result<Sink> {
        let listener = TcpListener::bind("127.0.0.1:0")
            .await
            .context("no port for a sink")?;
        let address = listener.local_addr()?;
        let arrivals = Arc::new(Mutex::new(Vec::new()));
        let status = Arc::new(AtomicU16::new(200));
        let mut task = JoinSet::new();
        let (kept, answer) = (Arc::clone(&arrivals), Arc::clone(&status));
        task.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                connections.spawn(serve(stream, Arc::clone(&kept), Arc::clone(&answer)));
            }
        });
        Ok(Sink {
            address,
            arrivals,
            status,
            _task: task,
        })
    }

    /// What it answers from now on.
    pub fn answer(&self, status: u16) {
        self.status.store(status, Ordering::Release);
    }

    /// Everything that arrived so far.
    #[must_use]
    pub fn arrivals(&self) -> Vec<Arrival> {
        self.arrivals
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

async fn serve(stream: TcpStream, kept: Arc<Mutex<Vec<Arrival>>>, status: Arc<AtomicU16>) {
    let mut stream = BufReader::new(stream);
    while let Some(arrival) = read(&mut stream).await {
        kept.lock().unwrap_or_else(PoisonError::into_inner).push(arrival);
        let answer = format!(
            "HTTP/1.1 {} X\r\ncontent-length: 0\r\n\r\n",
            status.load(Ordering::Acquire)
        );
        if stream.get_mut().write_all(answer.as_bytes()).await.is_err() {
            return;
        }
    }
}

async fn read(stream: &mut BufReader<TcpStream>) -> Option<Arrival> {
    let mut headers = Vec::new();
    let mut line = String::new();
    stream.read_line(&mut line).await.ok().filter(|read| *read > 0)?;
    loop {
        line.clear();
        stream.read_line(&mut line).await.ok()?;
        let Some((name, value)) = line.trim_end().split_once(':') else {
            break;
        };
        headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
    let length = headers.iter().find(|(name, _)| name == "content-length");
    let mut body = vec![0; length.map_or(0, |(_, value)| value.parse().unwrap_or(0))];
    stream.read_exact(&mut body).await.ok()?;
    Some(Arrival {
        at: Instant::now(),
        headers,
        body: String::from_utf8_lossy(&body).into_owned(),
    })
}
