//! HTTP/1.1 over one kept connection: enough for a database on loopback, without a client library whose
//! work would be counted as the measured system's.

use anyhow::{Context, bail};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::TcpStream,
};

/// The largest answer that is read.
const MAX_BODY_BYTES: usize = 16 * 1024 * 1024;

/// A connection to one server. Opens on the first request and again after the server closed it.
pub(crate) struct Http {
    authority: String,
    stream: Option<BufReader<TcpStream>>,
}

/// Splits `http://host:port/path` into the authority and the path.
pub(crate) fn split_url(url: &str) -> anyhow::Result<(String, String)> {
    let rest = url
        .strip_prefix("http://")
        .context("the address must begin with http://")?;
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    Ok((authority.to_owned(), format!("/{path}")))
}

impl Http {
    pub(crate) fn new(authority: String) -> Http {
        Http {
            authority,
            stream: None,
        }
    }

    /// Sends a request and reads the whole answer: its status and its body.
    pub(crate) async fn send(
        &mut self,
        method: &str,
        path: &str,
        body: &[u8],
    ) -> anyhow::Result<(u16, Vec<u8>)> {
        let mut stream = match self.stream.take() {
            Some(stream) => stream,
            None => {
                let stream = TcpStream::connect(&self.authority).await;
                let stream = stream.with_context(|| format!("nobody listens on {}", self.authority))?;
                stream.set_nodelay(true)?;
                BufReader::new(stream)
            }
        };
        let mut request = format!(
            "{method} {path} HTTP/1.1\r\nHost: {}\r\nContent-Length: {}\r\n\r\n",
            self.authority,
            body.len()
        )
        .into_bytes();
        request.extend_from_slice(body);
        stream.write_all(&request).await?;
        let (status, length, close) = head(&mut stream).await?;
        let mut answer = Vec::new();
        match length {
            Length::Known(bytes) if bytes > MAX_BODY_BYTES => {
                bail!("an answer of {bytes} bytes is too large")
            }
            Length::Known(bytes) => {
                answer.resize(bytes, 0);
                stream.read_exact(&mut answer).await?;
            }
            Length::Chunked => chunks(&mut stream, &mut answer).await?,
        }
        if !close {
            self.stream = Some(stream);
        }
        Ok((status, answer))
    }
}

enum Length {
    Known(usize),
    Chunked,
}

/// The status, the length of the body, and whether the server closes afterwards.
async fn head(stream: &mut BufReader<TcpStream>) -> anyhow::Result<(u16, Length, bool)> {
    let mut line = String::new();
    stream.read_line(&mut line).await?;
    let status = line.split(' ').nth(1).and_then(|code| code.parse().ok());
    let status = status.context("the server closed the connection or does not speak HTTP")?;
    let (mut length, mut close) = (Length::Known(0), false);
    loop {
        line.clear();
        stream.read_line(&mut line).await?;
        let Some((name, value)) = line.trim_end().split_once(':') else {
            return Ok((status, length, close));
        };
        match (name.to_ascii_lowercase().as_str(), value.trim()) {
            ("content-length", bytes) => length = Length::Known(bytes.parse()?),
            ("transfer-encoding", "chunked") => length = Length::Chunked,
            ("connection", word) => close = word.eq_ignore_ascii_case("close"),
            _ => {}
        }
    }
}

async fn chunks(stream: &mut BufReader<TcpStream>, into: &mut Vec<u8>) -> anyhow::Result<()> {
    loop {
        let mut line = String::new();
        stream.read_line(&mut line).await?;
        let size = usize::from_str_radix(line.trim_end(), 16).context("a chunk without a size")?;
        if into.len() + size > MAX_BODY_BYTES {
            bail!("the answer is larger than {MAX_BODY_BYTES} bytes");
        }
        let begin = into.len();
        into.resize(begin + size, 0);
        stream.read_exact(&mut into[begin..]).await?;
        let mut end = [0; 2];
        stream.read_exact(&mut end).await?;
        if size == 0 {
            return Ok(());
        }
    }
}
