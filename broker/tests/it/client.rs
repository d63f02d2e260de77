//! A small MQTT client that says exactly what it is told, right or wrong.

use std::{net::SocketAddr, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

const PATIENCE: Duration = Duration::from_secs(10);

/// A packet as it came: its first byte and what follows the length.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Frame {
    pub(crate) head: u8,
    pub(crate) body: Vec<u8>,
}

impl Frame {
    pub(crate) fn kind(&self) -> u8 {
        self.head >> 4
    }
    /// The packet identifier at the front (acknowledgements).
    pub(crate) fn id(&self) -> u16 {
        u16::from_be_bytes([self.body[0], self.body[1]])
    }
}

/// A PUBLISH that came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Received {
    pub(crate) topic: String,
    pub(crate) payload: Vec<u8>,
    pub(crate) qos: u8,
    pub(crate) retain: bool,
    pub(crate) dup: bool,
    pub(crate) id: Option<u16>,
    /// The raw property block (version 5).
    pub(crate) properties: Vec<u8>,
}

#[derive(Debug, Clone)]
pub(crate) struct Will {
    pub(crate) topic: String,
    pub(crate) payload: Vec<u8>,
    pub(crate) qos: u8,
    pub(crate) retain: bool,
    /// The raw property block (version 5), without its length.
    pub(crate) properties: Vec<u8>,
}

#[derive(Debug, Clone)]
pub(crate) struct Connect {
    pub(crate) v5: bool,
    pub(crate) client_id: String,
    pub(crate) user: Option<String>,
    pub(crate) secret: Option<Vec<u8>>,
    pub(crate) clean: bool,
    pub(crate) keep_alive: u16,
    pub(crate) will: Option<Will>,
    /// The raw property block (version 5), without its length.
    pub(crate) properties: Vec<u8>,
}

impl Connect {
    pub(crate) fn new(v5: bool, client_id: &str, user: &str) -> Connect {
        Connect {
            v5,
            client_id: client_id.into(),
            user: Some(user.into()),
            secret: Some(b"secret".to_vec()),
            clean: true,
            keep_alive: 60,
            will: None,
            properties: vec![],
        }
    }
    pub(crate) fn secret(mut self, secret: &str) -> Connect {
        self.secret = Some(secret.as_bytes().to_vec());
        self
    }
    /// A session that outlives the connection.
    pub(crate) fn keep(mut self) -> Connect {
        self.clean = false;
        if self.v5 {
            self.properties.extend([0x11, 0, 0, 0x0e, 0x10]);
        }
        self
    }
    pub(crate) fn keep_alive(mut self, seconds: u16) -> Connect {
        self.keep_alive = seconds;
        self
    }
    pub(crate) fn will(mut self, topic: &str, payload: &str, qos: u8, retain: bool) -> Connect {
        let (topic, payload) = (topic.into(), payload.as_bytes().to_vec());
        self.will = Some(Will {
            topic,
            payload,
            qos,
            retain,
            properties: vec![],
        });
        self
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut flags = u8::from(self.clean) << 1;
        let mut rest = text(&self.client_id);
        if let Some(Will {
            topic,
            payload,
            qos,
            retain,
            properties,
        }) = &self.will
        {
            flags |= 4 | qos << 3 | u8::from(*retain) << 5;
            if self.v5 {
                rest.extend(block(properties));
            }
            rest.extend(text(topic));
            rest.extend(binary(payload));
        }
        if let Some(user) = &self.user {
            flags |= 0x80;
            rest.extend(text(user));
        }
        if let Some(secret) = &self.secret {
            flags |= 0x40;
            rest.extend(binary(secret));
        }
        let mut body = text("MQTT");
        body.extend([if self.v5 { 5 } else { 4 }, flags]);
        body.extend(self.keep_alive.to_be_bytes());
        if self.v5 {
            body.extend(block(&self.properties));
        }
        body.extend(rest);
        packet(0x10, &body)
    }
}

pub(crate) fn text(s: &str) -> Vec<u8> {
    binary(s.as_bytes())
}

pub(crate) fn binary(b: &[u8]) -> Vec<u8> {
    let mut out = u16::try_from(b.len()).unwrap().to_be_bytes().to_vec();
    out.extend(b);
    out
}

fn length(mut n: usize) -> Vec<u8> {
    let mut out = vec![];
    loop {
        let byte = u8::try_from(n % 128).unwrap();
        n /= 128;
        out.push(byte | if n > 0 { 128 } else { 0 });
        if n == 0 {
            return out;
        }
    }
}

pub(crate) fn block(properties: &[u8]) -> Vec<u8> {
    let mut out = length(properties.len());
    out.extend(properties);
    out
}

pub(crate) fn packet(head: u8, body: &[u8]) -> Vec<u8> {
    let mut out = vec![head];
    out.extend(length(body.len()));
    out.extend(body);
    out
}

pub(crate) struct Client {
    stream: TcpStream,
    buffer: Vec<u8>,
    /// Packets that came while another was waited for.
    early: std::collections::VecDeque<Frame>,
    pub(crate) v5: bool,
    next_id: u16,
}

impl Client {
    /// Connects without a word.
    pub(crate) async fn dial(address: SocketAddr, v5: bool) -> Client {
        let stream = TcpStream::connect(address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Client {
            stream,
            buffer: vec![],
            early: std::collections::VecDeque::new(),
            v5,
            next_id: 0,
        }
    }

    /// Connects and signs in; the CONNACK comes along, as the error when it refuses.
    pub(crate) async fn open(address: SocketAddr, connect: Connect) -> Result<(Client, Frame), Frame> {
        let mut client = Client::dial(address, connect.v5).await;
        client.send(&connect.bytes()).await;
        let connack = client.recv().await;
        assert_eq!(connack.kind(), 2, "{connack:?}");
        if connack.body[1] == 0 {
            Ok((client, connack))
        } else {
            Err(connack)
        }
    }

    pub(crate) async fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.unwrap();
    }

    /// The next packet; `None` when the broker closed.
    pub(crate) async fn next(&mut self) -> Option<Frame> {
        match self.early.pop_front() {
            Some(frame) => Some(frame),
            None => self.read().await,
        }
    }

    /// The next packet of `kind`; others are kept for later.
    async fn next_of(&mut self, kind: u8) -> Frame {
        if let Some(at) = self.early.iter().position(|f| f.kind() == kind) {
            return self.early.remove(at).unwrap();
        }
        loop {
            let frame = self.read().await.expect("the broker closed the connection");
            if frame.kind() == kind {
                return frame;
            }
            self.early.push_back(frame);
        }
    }

    async fn read(&mut self) -> Option<Frame> {
        timeout(PATIENCE, async {
            loop {
                if let Some(frame) = self.parse() {
                    return Some(frame);
                }
                if self.stream.read_buf(&mut self.buffer).await.ok()? == 0 {
                    return None;
                }
            }
        })
        .await
        .expect("the broker says nothing")
    }

    fn parse(&mut self) -> Option<Frame> {
        let (mut n, mut at, mut shift) = (0usize, 1, 0);
        loop {
            let byte = *self.buffer.get(at)?;
            n |= usize::from(byte & 127) << shift;
            at += 1;
            shift += 7;
            if byte & 128 == 0 {
                break;
            }
        }
        if self.buffer.len() < at + n {
            return None;
        }
        let frame = Frame {
            head: self.buffer[0],
            body: self.buffer[at..at + n].to_vec(),
        };
        self.buffer.drain(..at + n);
        Some(frame)
    }

    pub(crate) async fn recv(&mut self) -> Frame {
        self.next().await.expect("the broker closed the connection")
    }

    /// Asserts that the broker closes, and returns what it said before.
    pub(crate) async fn closed(&mut self) -> Vec<Frame> {
        let mut said = vec![];
        while let Some(frame) = self.next().await {
            said.push(frame);
        }
        said
    }

    pub(crate) fn publish_bytes(
        &mut self,
        topic: &str,
        payload: &[u8],
        qos: u8,
        retain: bool,
    ) -> (Vec<u8>, u16) {
        let (mut bytes, id) = self.publish_with(topic, payload, qos, &[]);
        bytes[0] |= u8::from(retain);
        (bytes, id)
    }

    pub(crate) fn publish_with(
        &mut self,
        topic: &str,
        payload: &[u8],
        qos: u8,
        properties: &[u8],
    ) -> (Vec<u8>, u16) {
        let id = self.fresh_id();
        let mut body = text(topic);
        if qos > 0 {
            body.extend(id.to_be_bytes());
        }
        if self.v5 {
            body.extend(block(properties));
        }
        body.extend(payload);
        (packet(0x30 | qos << 1, &body), id)
    }

    fn fresh_id(&mut self) -> u16 {
        self.next_id = self.next_id % 65_535 + 1;
        self.next_id
    }

    /// Publishes and goes through the whole exchange; the reason code of the first answer (0 in version 3.1.1).
    pub(crate) async fn publish(&mut self, topic: &str, payload: &[u8], qos: u8, retain: bool) -> u8 {
        let (bytes, id) = self.publish_bytes(topic, payload, qos, retain);
        self.send(&bytes).await;
        if qos == 0 {
            return 0;
        }
        let answer = self.next_of(if qos == 1 { 4 } else { 5 }).await;
        assert_eq!(answer.id(), id);
        let code = answer.body.get(2).copied().unwrap_or(0);
        if qos == 2 && code < 0x80 {
            self.send(&packet(0x62, &id.to_be_bytes())).await;
            assert_eq!(self.next_of(7).await.id(), id);
        }
        code
    }

    pub(crate) fn subscribe_bytes(&mut self, filter: &str, options: u8, properties: &[u8]) -> Vec<u8> {
        let mut body = self.fresh_id().to_be_bytes().to_vec();
        if self.v5 {
            body.extend(block(properties));
        }
        body.extend(text(filter));
        body.push(options);
        packet(0x82, &body)
    }

    /// Subscribes and returns the code. Retained messages are left to be received.
    pub(crate) async fn subscribe(&mut self, filter: &str, options: u8) -> u8 {
        let bytes = self.subscribe_bytes(filter, options, &[]);
        self.send(&bytes).await;
        let suback = self.recv().await;
        assert_eq!(suback.kind(), 9, "{suback:?}");
        *suback.body.last().unwrap()
    }

    pub(crate) async fn unsubscribe(&mut self, filter: &str) -> Frame {
        let mut body = self.fresh_id().to_be_bytes().to_vec();
        if self.v5 {
            body.push(0);
        }
        body.extend(text(filter));
        self.send(&packet(0xa2, &body)).await;
        let answer = self.recv().await;
        assert_eq!(answer.kind(), 11);
        answer
    }

    /// Takes `frame`, which is a PUBLISH, apart.
    pub(crate) fn message(&self, frame: &Frame) -> Received {
        assert_eq!(frame.kind(), 3, "{frame:?}");
        let qos = frame.head >> 1 & 3;
        let n = usize::from(u16::from_be_bytes([frame.body[0], frame.body[1]]));
        let topic = String::from_utf8(frame.body[2..2 + n].to_vec()).unwrap();
        let mut at = 2 + n;
        let id = (qos > 0).then(|| u16::from_be_bytes([frame.body[at], frame.body[at + 1]]));
        at += if qos > 0 { 2 } else { 0 };
        let mut properties = vec![];
        if self.v5 {
            let (mut n, mut shift) = (0usize, 0);
            loop {
                let byte = frame.body[at];
                n |= usize::from(byte & 127) << shift;
                at += 1;
                shift += 7;
                if byte & 128 == 0 {
                    break;
                }
            }
            properties = frame.body[at..at + n].to_vec();
            at += n;
        }
        let payload = frame.body[at..].to_vec();
        Received {
            topic,
            payload,
            qos,
            retain: frame.head & 1 != 0,
            dup: frame.head & 8 != 0,
            id,
            properties,
        }
    }

    /// Receives a message and acknowledges it to the end.
    pub(crate) async fn receive(&mut self) -> Received {
        let frame = self.recv().await;
        let message = self.message(&frame);
        match (message.qos, message.id) {
            (1, Some(id)) => self.send(&packet(0x40, &id.to_be_bytes())).await,
            (2, Some(id)) => {
                self.send(&packet(0x50, &id.to_be_bytes())).await;
                let release = self.next_of(6).await;
                assert_eq!((release.head, release.id()), (0x62, id));
                self.send(&packet(0x70, &id.to_be_bytes())).await;
            }
            _ => {}
        }
        message
    }

    /// Receives a message as (topic, payload).
    pub(crate) async fn heard(&mut self) -> (String, String) {
        let m = self.receive().await;
        (m.topic, String::from_utf8(m.payload).unwrap())
    }

    pub(crate) async fn disconnect(mut self) {
        self.send(&[0xe0, 0]).await;
        assert_eq!(self.closed().await, []);
    }

    /// Goes away without a word.
    pub(crate) fn vanish(self) {
        drop(self.stream);
    }

    pub(crate) async fn ping(&mut self) {
        self.send(&[0xc0, 0]).await;
        assert_eq!(self.recv().await.head, 0xd0);
    }
}
