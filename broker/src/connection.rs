//! One connection, from its first byte to its last: one task, which owns the protocol state and the session.
//!
//! ```text
//! socket ─▶ buffer ─▶ codec ─▶ rights ─▶ journal ─durable─▶ PUBACK/PUBREC ─▶ socket
//!                                        mailbox ─────────▶ PUBLISH ───────▶ socket
//! ```
//! Packets are taken in and acknowledged in batches: everything that one read brought is appended before the task
//! waits, and everything that one commit made durable is acknowledged with one write.
//!
//! The socket is not read (so TCP holds the client back) while too much waits for the journal, while the client does
//! not read its answers, and while it publishes faster than allowed.

mod ending;
mod handshake;
mod inbound;
mod outbound;
mod subscribing;

use std::{
    collections::VecDeque,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use bytes::{Buf, BytesMut};
use domain::{IdentityName, status::RefusalReason};
use journal::{Receipt, Writer};
use mqtt_protocol_core::mqtt::{packet::Packet, result_code::DisconnectReasonCode};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    sync::mpsc,
    time::{Instant, sleep_until, timeout},
};

use self::{ending::End, inbound::Taken};
use crate::{
    codec::{Codec, Fault, Next},
    hub::Hub,
    identities::Member,
    limits::Bucket,
    registry::{Kick, Parked, Released},
    session::{Session, Will},
};

/// Bytes that wait for a client to read them, after which nothing more is prepared for it or read from it.
const MAX_UNSENT: usize = 256 << 10;
/// A read buffer that is larger than this is given up once it is empty.
const MAX_IDLE_BUFFER: usize = 64 << 10;
/// How long a closing connection waits for the client to take the last bytes.
const FAREWELL: Duration = Duration::from_secs(2);
/// … and to close its side. Closing with unread bytes would send a reset, which destroys what is on the wire.
const LINGER: Duration = Duration::from_millis(500);
/// How soon a publish that the journal had no room for is tried again.
const RETRY: Duration = Duration::from_millis(10);

/// Both directions of a socket, and what was read and not yet taken apart.
pub(crate) struct Io<R, W> {
    reader: R,
    writer: W,
    buffer: BytesMut,
}

/// A QoS 1 or 2 publish whose answer is due, in the order in which they came.
#[derive(Debug)]
struct Pending {
    /// `None` for one that was refused: nothing to wait for but those before it.
    receipt: Option<Receipt>,
    packet_id: u16,
    qos: u8,
    /// Whether the codec knows nothing of it.
    plain: bool,
}

/// A client identifier that this connection holds. Given back even if the connection's task panics.
struct Claim {
    hub: Arc<Hub>,
    client_id: Arc<str>,
    serial: u64,
    name: IdentityName,
    settled: bool,
}

impl Claim {
    /// Gives the identifier back, and parks the session under it.
    fn settle(mut self, park: Option<Parked>) -> Released {
        self.settled = true;
        let registry = &self.hub.registry;
        registry.release(&self.client_id, self.serial, &self.name, park)
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        if !self.settled {
            drop(
                self.hub
                    .registry
                    .release(&self.client_id, self.serial, &self.name, None),
            );
        }
    }
}

/// A signed-in connection.
struct Connection {
    hub: Arc<Hub>,
    codec: Codec,
    claim: Claim,
    member: Arc<Member>,
    client_id: Arc<str>,
    session: Box<Session>,
    writer: Writer,
    pending: VecDeque<Pending>,
    /// A publish that the journal had no room for; nothing is read until it has.
    blocked: Option<Packet>,
    /// The same for one that still is in the read buffer.
    stalled: bool,
    bucket: Bucket,
    throttled: bool,
    /// How long the session outlives this connection, in seconds.
    expiry_s: u64,
    will: Option<Will>,
    graceful: bool,
    /// Memory that every publish reuses.
    attributes: Vec<u8>,
    properties: Vec<u8>,
}

/// Serves one socket until it closes.
pub(crate) async fn serve<R, W>(hub: Arc<Hub>, reader: R, writer: W)
where
    R: AsyncRead + Unpin + Send,
    W: AsyncWrite + Unpin + Send,
{
    let mut io = Io {
        reader,
        writer,
        buffer: BytesMut::with_capacity(4 << 10),
    };
    let mut codec = Codec::new(hub.options.limits.packet_bytes);
    let patience = hub.options.limits.first_packet_timeout;
    let first = match timeout(patience, handshake::first_packet(&mut io, &mut codec)).await {
        Ok(Ok(first)) => first,
        Ok(Err(reason)) => {
            if let Some((reason, detail)) = reason {
                hub.refuse(None, reason, detail);
            }
            return farewell(&mut io, &mut codec).await;
        }
        Err(_) => return hub.refuse(None, RefusalReason::Timeout, "no whole CONNECT came in time"),
    };
    let (mut connection, mut kick) = match handshake::sign_in(&hub, codec, &first).await {
        Ok(signed_in) => signed_in,
        Err(mut codec) => return farewell(&mut io, &mut codec).await,
    };
    drop(first);
    let how = connection.run(&mut io, &mut kick).await;
    let mut codec = connection.end(how, kick).await;
    farewell(&mut io, &mut codec).await;
}

/// Writes what is left, closes our side and waits a moment for the client to close its own.
async fn farewell<R, W>(io: &mut Io<R, W>, codec: &mut Codec)
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    let written = timeout(FAREWELL, async {
        io.writer.write_all_buf(&mut codec.out).await?;
        io.writer.shutdown().await
    });
    if !matches!(written.await, Ok(Ok(()))) {
        return;
    }
    let mut sink = [0u8; 1024];
    let drained = timeout(LINGER, async {
        while io.reader.read(&mut sink).await.is_ok_and(|n| n > 0) {}
    });
    if drained.await.is_err() {
        tracing::debug!("A client did not close its side in time.");
    }
}

/// What woke a connection.
enum Woken {
    Written(std::io::Result<usize>),
    Read(std::io::Result<usize>),
    Kicked(Option<Kick>),
    Silent,
    /// Something that the next turn of the loop looks at anyway.
    Other,
}

impl Connection {
    async fn run<R, W>(&mut self, io: &mut Io<R, W>, kick: &mut mpsc::Receiver<Kick>) -> End
    where
        R: AsyncRead + Unpin,
        W: AsyncWrite + Unpin,
    {
        loop {
            self.input(&mut io.buffer).await;
            self.acknowledge();
            self.settle();
            // Looked at first: whoever is shown out while it waited for the disk gets nothing more.
            let woken = match kick.try_recv() {
                Ok(why) => Woken::Kicked(Some(why)),
                Err(_) => {
                    self.fill();
                    if self.codec.closing {
                        return End::Closed;
                    }
                    self.wait(io, kick).await
                }
            };
            match woken {
                Woken::Written(Ok(n)) | Woken::Read(Ok(n)) if n > 0 => {}
                Woken::Written(_) | Woken::Read(_) => return End::Closed,
                Woken::Kicked(Some(Kick::Takeover(reply))) => {
                    self.codec.disconnect(DisconnectReasonCode::SessionTakenOver);
                    return End::Takeover(reply);
                }
                Woken::Kicked(Some(Kick::Shutdown)) => {
                    self.flush_pending().await;
                    self.codec.disconnect(DisconnectReasonCode::ServerShuttingDown);
                    return End::Shutdown;
                }
                Woken::Kicked(_) => {
                    self.codec.disconnect(DisconnectReasonCode::NotAuthorized);
                    return End::Revoked;
                }
                Woken::Silent if self.may_read() => {
                    self.hub.refuse(
                        Some(&self.member),
                        RefusalReason::Timeout,
                        "nothing was heard in the keep-alive time",
                    );
                    self.codec.fell_silent();
                }
                // It could not be heard because we did not listen.
                Woken::Silent => self.codec.silent_until = Some(Instant::now() + Duration::from_secs(5)),
                Woken::Other => {}
            }
        }
    }

    async fn wait<R, W>(&mut self, io: &mut Io<R, W>, kick: &mut mpsc::Receiver<Kick>) -> Woken
    where
        R: AsyncRead + Unpin,
        W: AsyncWrite + Unpin,
    {
        let pause = self.pause();
        let may_read = pause.is_none() && self.may_read();
        let may_fill = self.codec.out.len() < MAX_UNSENT && self.codec.has_window(usize::MAX);
        let (silent, resume) = (self.codec.silent_until, pause.map(|p| Instant::now() + p));
        tokio::select! {
            n = io.writer.write_buf(&mut self.codec.out), if !self.codec.out.is_empty() => Woken::Written(n),
            n = io.reader.read_buf(&mut io.buffer), if may_read => Woken::Read(n),
            () = self.writer.progress(), if !self.pending.is_empty() => Woken::Other,
            () = self.session.subscriber.mailbox.arrived(), if may_fill => Woken::Other,
            why = kick.recv() => Woken::Kicked(why),
            () = sleep_until(resume.unwrap_or_else(Instant::now)), if resume.is_some() => Woken::Other,
            () = sleep_until(silent.unwrap_or_else(Instant::now)), if silent.is_some() => Woken::Silent,
        }
    }

    /// Whether another packet may be taken in, as far as memory goes.
    fn may_read(&self) -> bool {
        self.blocked.is_none()
            && !self.stalled
            && self.pending.len() < usize::from(self.hub.options.limits.inflight)
            && self.codec.out.len() < MAX_UNSENT
            && !self.codec.closing
    }

    /// How long to leave the socket alone: because of the client's rate, or because the journal has no room.
    fn pause(&mut self) -> Option<Duration> {
        if self.blocked.is_some() || self.stalled {
            return Some(RETRY);
        }
        let wait = self.bucket.wait(std::time::Instant::now());
        if wait.is_some() && !self.throttled {
            self.hub.refuse(
                Some(&self.member),
                RefusalReason::TooFast,
                "held back to the allowed rate",
            );
        }
        self.throttled = wait.is_some();
        wait
    }

    /// Answers every publish whose record has become durable, in order.
    fn acknowledge(&mut self) {
        while let Some(next) = self.pending.front() {
            match next
                .receipt
                .map_or(Ok(true), |receipt| self.writer.is_durable(receipt))
            {
                Ok(true) => {}
                Ok(false) => return,
                Err(e) => return self.give_up(&e),
            }
            match self.pending.pop_front() {
                Some(p) if p.plain && p.receipt.is_some() => self.codec.acknowledge_plain(p.packet_id),
                Some(p) => self.codec.acknowledge(p.packet_id, p.qos, p.receipt.is_some()),
                None => {}
            }
        }
    }

    /// The journal takes nothing any more: the client must not believe that it does.
    fn give_up(&mut self, why: &journal::AppendError) {
        tracing::error!(error = %why, "A connection is closed because the journal takes nothing in.");
        self.codec
            .disconnect(DisconnectReasonCode::ImplementationSpecificError);
    }

    /// Waits for the answers that are due, for at most the time of a farewell.
    async fn flush_pending(&mut self) {
        let deadline = Instant::now() + FAREWELL;
        self.acknowledge();
        while !self.pending.is_empty() && !self.codec.closing {
            tokio::select! {
                () = self.writer.progress() => self.acknowledge(),
                () = sleep_until(deadline) => {
                    tracing::warn!(client.id = %self.client_id, "A connection ended with publishes not yet durable.");
                    return;
                }
            }
        }
    }

    /// Takes packets in until the buffer is empty or something stops it.
    async fn input(&mut self, buffer: &mut BytesMut) {
        self.stalled = false;
        if let Some(packet) = self.blocked.take() {
            self.packet(packet).await;
        }
        while !buffer.is_empty() && self.may_read() && self.pause().is_none() {
            if let Some(publish) = self.codec.plain_publish(buffer) {
                let length = publish.length;
                if self.plain_publish(&publish) == Taken::Later {
                    // It stays in the buffer.
                    self.stalled = true;
                    break;
                }
                buffer.advance(length);
                self.codec.heard();
                continue;
            }
            match self.codec.next(buffer) {
                Next::Packet(packet) => self.packet(*packet).await,
                Next::Handled => {}
                Next::Incomplete => break,
            }
        }
        // One large packet must not hold its memory for the life of the connection.
        if buffer.is_empty() && buffer.capacity() > MAX_IDLE_BUFFER {
            *buffer = BytesMut::new();
        }
        if buffer.capacity() - buffer.len() < 1 << 10 {
            buffer.reserve(8 << 10);
        }
        match self.codec.fault.take() {
            Some(Fault::TooLarge) => {
                self.hub.refuse(
                    Some(&self.member),
                    RefusalReason::PacketTooLarge,
                    "a packet is too large",
                );
                self.codec.closing = true;
            }
            Some(Fault::Protocol) => {
                self.hub.refuse(
                    Some(&self.member),
                    RefusalReason::Protocol,
                    "a packet breaks the standard",
                );
                self.codec.closing = true;
            }
            None => {}
        }
    }

    fn count_publish(&self) {
        self.hub.publishes.fetch_add(1, Ordering::Relaxed);
    }
}
