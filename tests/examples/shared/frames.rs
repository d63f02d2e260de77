//! MQTT 3.1.1 as raw frames: sign-in and a QoS 1 publish of fixed length whose time and value are written in
//! place. A client library would cost the generator more than the broker spends.

use anyhow::{Context, bail};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// Digits of a time in milliseconds, from 2001 to 2286.
const STAMP_DIGITS: usize = 13;
/// Digits of a value such as `004.25`.
const VALUE_DIGITS: usize = 6;
/// A PUBACK of MQTT 3.1.1: type, length and packet identifier.
pub(crate) const PUBACK_BYTES: usize = 4;

fn field(into: &mut Vec<u8>, bytes: &[u8]) -> anyhow::Result<()> {
    let length = u16::try_from(bytes.len()).context("a field of MQTT has at most 65,535 bytes")?;
    into.extend_from_slice(&length.to_be_bytes());
    into.extend_from_slice(bytes);
    Ok(())
}

fn frame(first: u8, body: &[u8]) -> Vec<u8> {
    let mut made = vec![first];
    let mut length = body.len();
    loop {
        let low = u8::try_from(length % 128).expect("a remainder of 128 is a byte");
        length /= 128;
        made.push(if length > 0 { low | 128 } else { low });
        if length == 0 {
            break;
        }
    }
    made.extend_from_slice(body);
    made
}

/// Connects and signs in; anonymously when `login` is `None`.
pub(crate) async fn sign_in(
    target: &str,
    client_id: &str,
    login: Option<(&str, &str)>,
) -> anyhow::Result<TcpStream> {
    let stream = TcpStream::connect(target).await;
    let mut stream = stream.with_context(|| format!("nobody listens on {target}"))?;
    stream.set_nodelay(true)?;
    let mut body = Vec::new();
    field(&mut body, b"MQTT")?;
    body.extend_from_slice(&[4, if login.is_some() { 0xC2 } else { 2 }, 0, 60]);
    field(&mut body, client_id.as_bytes())?;
    if let Some((user, secret)) = login {
        field(&mut body, user.as_bytes())?;
        field(&mut body, secret.as_bytes())?;
    }
    stream.write_all(&frame(0x10, &body)).await?;
    let mut answer = [0; 4];
    stream
        .read_exact(&mut answer)
        .await
        .context("the broker closed the connection at sign-in")?;
    if answer[3] != 0 {
        bail!("the broker refuses the sign-in with code {}", answer[3]);
    }
    Ok(stream)
}

/// A publish to one topic, ready to be copied.
pub(crate) struct Template {
    frame: Vec<u8>,
    id_at: usize,
    stamp_at: usize,
    value_at: usize,
}

impl Template {
    /// A publish of `{"ts":…,"v":…}` to `topic`, its payload filled up with blanks to `payload_bytes`.
    pub(crate) fn new(topic: &str, payload_bytes: usize) -> anyhow::Result<Template> {
        let (begin, middle) = ("{\"ts\":", ",\"v\":");
        let mut payload = format!("{begin}{:0>STAMP_DIGITS$}{middle}1{:0>1$}", 0, VALUE_DIGITS - 1);
        if payload.len() + 1 > payload_bytes {
            bail!("a payload has at least {} bytes", payload.len() + 1);
        }
        payload.extend(std::iter::repeat_n(' ', payload_bytes - payload.len() - 1));
        payload.push('}');
        let mut body = Vec::new();
        field(&mut body, topic.as_bytes())?;
        let id_in_body = body.len();
        body.extend_from_slice(&[0, 0]);
        body.extend_from_slice(payload.as_bytes());
        let frame = frame(0x32, &body);
        let id_at = frame.len() - body.len() + id_in_body;
        let stamp_at = id_at + 2 + begin.len();
        Ok(Template {
            frame,
            id_at,
            stamp_at,
            value_at: stamp_at + STAMP_DIGITS + middle.len(),
        })
    }

    /// Adds one publish to `into`. `hundredths` is the value times 100, from 10,000 to 99,999, so that every
    /// payload has the same length.
    pub(crate) fn write(&self, into: &mut Vec<u8>, number: u64, stamp_ms: i64, hundredths: u32) {
        let begin = into.len();
        into.extend_from_slice(&self.frame);
        let made = &mut into[begin..];
        let id = u16::try_from(number % 65_535 + 1).expect("at most 65,535");
        made[self.id_at..self.id_at + 2].copy_from_slice(&id.to_be_bytes());
        digits(
            &mut made[self.stamp_at..self.stamp_at + STAMP_DIGITS],
            stamp_ms.unsigned_abs(),
        );
        digits(
            &mut made[self.value_at..self.value_at + 3],
            u64::from(hundredths / 100),
        );
        made[self.value_at + 3] = b'.';
        digits(
            &mut made[self.value_at + 4..self.value_at + VALUE_DIGITS],
            u64::from(hundredths % 100),
        );
    }
}

fn digits(into: &mut [u8], mut number: u64) {
    for place in into.iter_mut().rev() {
        *place = b'0' + u8::try_from(number % 10).expect("a digit");
        number /= 10;
    }
}

/// Counts the PUBACKs in `bytes`, which begin at a packet's start.
pub(crate) fn count_acks(bytes: &[u8]) -> anyhow::Result<u64> {
    for packet in bytes.chunks_exact(PUBACK_BYTES) {
        if packet[0] != 0x40 || packet[1] != 2 {
            bail!("the broker sent {:#04x} instead of an acknowledgement", packet[0]);
        }
    }
    Ok((bytes.len() / PUBACK_BYTES) as u64)
}
