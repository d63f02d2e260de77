//! A Telegraf that writes line protocol over HTTP, as its output for InfluxDB 2 does.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use domain::UtcMillis;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;

use super::{SimMake, next_report};
use crate::connection::Line;

/// It does not sleep longer than this at a time, so that it follows a clock that is set.
const NAP: Duration = Duration::from_secs(1);
/// How long one request may take.
const DEADLINE: Duration = Duration::from_secs(10);
/// The most that is read of an answer: its status line is enough.
const ANSWER_BYTES: usize = 1024;
/// Reports that are kept while nobody takes them; the oldest goes.
const KEPT: usize = 40;

/// One agent.
pub(crate) struct Telegraf {
    pub(crate) of: SimMake,
    pub(crate) name: String,
    pub(crate) secret: String,
    pub(crate) intake: SocketAddr,
    /// How often it reports, in milliseconds.
    pub(crate) step_ms: i64,
    pub(crate) line: Arc<Line>,
}

impl Telegraf {
    /// Writes until `stop`. What was not taken is written again with the next report.
    pub(crate) async fn run(self, stop: CancellationToken) {
        let mut waiting: Vec<String> = Vec::new();
        let mut complained = false;
        let mut next = next_report(
            self.line.clock.now().max(self.line.start),
            self.of.make,
            self.step_ms,
        );
        loop {
            let now = self.line.clock.now();
            let wait_ms = next.ms_since(now);
            if wait_ms > 0 {
                let wait = Duration::from_millis(u64::try_from(wait_ms).unwrap_or(0)).min(NAP);
                if stop.run_until_cancelled(sleep(wait)).await.is_none() {
                    return;
                }
                continue;
            }
            next = next_report(now, self.of.make, self.step_ms);
            waiting.push(lines(&self.of, now));
            if waiting.len() > KEPT {
                waiting.remove(0);
            }
            let body = waiting.concat();
            let written = timeout(DEADLINE, self.write(&body));
            match stop.run_until_cancelled(written).await {
                None => return,
                Some(Ok(Ok(true))) => {
                    waiting.clear();
                    complained = false;
                }
                Some(outcome) => {
                    if !complained {
                        tracing::warn!(
                            device.name = self.name,
                            ?outcome,
                            "What a simulated Telegraf writes is not taken; it keeps trying."
                        );
                    }
                    complained = true;
                }
            }
        }
    }

    /// One request on a connection of its own; whether it was taken.
    async fn write(&self, body: &str) -> std::io::Result<bool> {
        let mut stream = TcpStream::connect(self.intake).await?;
        let head = format!(
            "POST /api/v2/write?bucket=sunshine&org=sunshine&precision=ms HTTP/1.1\r\nHost: {}\r\n\
             Authorization: Token {}:{}\r\nContent-Type: text/plain; charset=utf-8\r\n\
             User-Agent: Telegraf/1.36.0\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
            self.intake,
            self.name,
            self.secret,
            body.len()
        );
        stream.write_all(head.as_bytes()).await?;
        stream.write_all(body.as_bytes()).await?;
        let mut answer = Vec::new();
        stream.take(ANSWER_BYTES as u64).read_to_end(&mut answer).await?;
        Ok(answer.starts_with(b"HTTP/1.1 204 "))
    }
}

/// The report of the moment `now`: one line for each thing, with milliseconds.
fn lines(of: &SimMake, now: UtcMillis) -> String {
    let line = |(point, (behind, value)): (&domain::Point, (&str, f64))| {
        format!(
            "{},device={behind},host=pantry-pc value={value} {}\n",
            point.metric, now.0
        )
    };
    of.points.iter().zip(of.measure(now)).map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::district;

    #[test]
    fn a_report_is_line_protocol() {
        let made = district(7, 5).makes;
        let said = lines(&made[3], UtcMillis(1_795_250_000_000));
        assert!(
            said.starts_with("humidity,device=pantry,host=pantry-pc value="),
            "{said}"
        );
        assert!(said.ends_with(" 1795250000000\n"), "{said}");
    }
}
