//! The broker as a whole: bind, accept, stop.

use std::{
    net::SocketAddr,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use domain::{
    Clock, Identity, IdentityName,
    status::{Refusal, RefusalReason},
};
use journal::Journal;
use tokio::{
    net::{TcpListener, TcpSocket, TcpStream},
    sync::{mpsc, oneshot},
    task::JoinSet,
    time::{Instant, timeout},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    BrokerError, BrokerOptions, INTERNAL_SOURCE, IdentityDirectory, Limits,
    access::valid_topic,
    connection,
    fanout::{self, FeedLink, Links, PublisherLink},
    hub::Hub,
    identities::Member,
    keeper,
    session::Will,
};

/// How often wills, expired sessions and identities are looked for.
const SWEEP: Duration = Duration::from_millis(200);
/// Every how many sweeps expired retained messages are forgotten.
const PURGE_EVERY: u32 = 150;
/// How long connections have to end when the broker stops.
const STOP_PATIENCE: Duration = Duration::from_secs(5);
/// Connections that the system keeps until they are accepted.
const BACKLOG: u32 = 1_024;
/// How long a failed accept (too many open files) rests before the next.
const ACCEPT_REST: Duration = Duration::from_millis(20);

/// A bound listener that does not serve yet.
pub struct Broker {
    hub: Arc<Hub>,
    listener: TcpListener,
    address: SocketAddr,
    links: Links,
}

/// Figures of a running broker.
#[derive(Debug, Clone, Default)]
pub struct BrokerStats {
    /// Signed-in connections now.
    pub connections: u64,
    /// Sessions now, with or without a connection.
    pub sessions: u64,
    /// Messages accepted since start.
    pub publishes: u64,
    /// Clients and messages turned away since start, per reason.
    pub refusals: Vec<(&'static str, u64)>,
    /// Bytes on the way from the journal to subscribers' mailboxes.
    pub inflight_bytes: u64,
    /// Messages that a subscriber's full mailbox had no room for, since start.
    pub dropped: u64,
    /// Retained messages that were not kept for want of room, since start.
    pub retained_refused: u64,
}

/// A running broker, from outside. Cheap to clone.
#[derive(Clone)]
pub struct BrokerHandle {
    hub: Arc<Hub>,
}

fn check(options: &BrokerOptions, identities: &IdentityDirectory) -> Result<(), BrokerError> {
    if let Some(name) = &options.anonymous_as {
        if !options.listen.ip().is_loopback() {
            return Err(BrokerError::AnonymousOnNetwork(options.listen));
        }
        if identities.get(name.as_str()).is_none() {
            return Err(BrokerError::AnonymousUnknown(name.clone()));
        }
    }
    let Limits {
        packet_bytes,
        inflight,
        queued_bytes_per_subscriber,
        keep_alive_seconds,
        ..
    } = options.limits;
    let ranges = [
        (
            "packet_bytes",
            u64::from(packet_bytes),
            1_024,
            268_435_455,
            "1,024 to 268,435,455",
        ),
        ("inflight", u64::from(inflight), 1, 65_535, "1 to 65,535"),
        (
            "keep_alive_seconds",
            u64::from(keep_alive_seconds),
            1,
            65_535,
            "1 to 65,535",
        ),
        (
            "connections",
            options.limits.connections as u64,
            1,
            u64::MAX,
            "1 or more",
        ),
        (
            "connections_per_identity",
            options.limits.connections_per_identity as u64,
            1,
            u64::MAX,
            "1 or more",
        ),
        (
            "queued_bytes_per_subscriber",
            queued_bytes_per_subscriber as u64,
            65_536,
            u64::MAX,
            "65,536 or more",
        ),
    ];
    match ranges
        .into_iter()
        .find(|(_, value, low, high, _)| value < low || value > high)
    {
        Some((name, value, _, _, range)) => Err(BrokerError::Limit { name, value, range }),
        None => Ok(()),
    }
}

/// Accepted sockets inherit the probing of idle ones: a client that asked for no keep-alive and lost its power would
/// otherwise hold its place for ever.
fn listen_on(address: SocketAddr) -> std::io::Result<TcpListener> {
    let socket = if address.is_ipv4() {
        TcpSocket::new_v4()?
    } else {
        TcpSocket::new_v6()?
    };
    socket.set_reuseaddr(true)?;
    socket.set_keepalive(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

impl Broker {
    /// Checks the options, binds the address and starts the router. Nothing is accepted before [`Broker::run`].
    ///
    /// # Errors
    /// [`BrokerError::AnonymousOnNetwork`], [`BrokerError::AnonymousUnknown`], [`BrokerError::Limit`] for options that
    /// cannot be served; [`BrokerError::Bind`] when the address cannot be had; [`BrokerError::Router`].
    pub async fn bind(
        options: BrokerOptions,
        identities: IdentityDirectory,
        journal: Journal,
        clock: Clock,
    ) -> Result<Broker, BrokerError> {
        check(&options, &identities)?;
        let listen = options.listen;
        let bound = |source| BrokerError::Bind { listen, source };
        let listener = listen_on(listen).map_err(bound)?;
        let address = listener.local_addr().map_err(bound)?;
        let links = tokio::task::spawn_blocking(fanout::start_router).await;
        let links = links.map_err(BrokerError::Start)??;
        let opened =
            tokio::task::spawn_blocking(move || Hub::open(options, identities, journal, clock)).await;
        let hub = Arc::new(opened.map_err(BrokerError::Start)??);
        Ok(Broker {
            hub,
            listener,
            address,
            links,
        })
    }

    /// The address that was bound, with its real port.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// A handle to this broker, which outlives [`Broker::run`].
    #[must_use]
    pub fn handle(&self) -> BrokerHandle {
        BrokerHandle {
            hub: self.hub.clone(),
        }
    }

    /// Serves until `stop` is cancelled, then sends DISCONNECT to every client, waits for pending acknowledgements
    /// (for at most five seconds) and returns.
    ///
    /// # Errors
    /// [`BrokerError::Router`] or [`BrokerError::Journal`] when messages no longer reach subscribers: the process
    /// should end and start again, the journal makes that safe.
    pub async fn run(self, stop: CancellationToken) -> Result<(), BrokerError> {
        let Broker {
            hub, listener, links, ..
        } = self;
        let (publisher, feeds) = links.split();
        // Feeds and the thread end after the connections, which still want their messages.
        let inner_stop = CancellationToken::new();
        let tasks = TaskTracker::new();
        let (fatal, mut fatal_reports) = mpsc::channel(1);
        for feed in feeds {
            spawn_feed(&tasks, &hub, feed, &fatal, &inner_stop);
        }
        let mut thread_end = spawn_thread(&hub, publisher, &inner_stop)?;
        tasks.spawn(sweep(hub.clone(), inner_stop.clone()));
        tasks.spawn(keeper::run(hub.clone(), inner_stop.clone()));
        let connections = TaskTracker::new();
        let outcome = tokio::select! {
            () = accept(&hub, &listener, &connections) => Ok(()),
            () = stop.cancelled() => Ok(()),
            Some(error) = fatal_reports.recv() => Err(error),
            ended = &mut thread_end => match ended {
                Ok(Ok(())) => Ok(()),
                Ok(Err(error)) => Err(error),
                Err(_) => Err(BrokerError::Panicked),
            },
        };
        drop(listener);
        end_connections(&hub, &connections).await;
        inner_stop.cancel();
        tasks.close();
        let thread_ended =
            thread_end.is_terminated() || timeout(STOP_PATIENCE, &mut thread_end).await.is_ok();
        if !thread_ended || timeout(STOP_PATIENCE, tasks.wait()).await.is_err() {
            tracing::warn!("The broker's feeds did not end in time.");
        }
        outcome
    }
}

fn spawn_feed(
    tasks: &TaskTracker,
    hub: &Arc<Hub>,
    feed: FeedLink,
    fatal: &mpsc::Sender<BrokerError>,
    stop: &CancellationToken,
) {
    tasks.spawn(fanout::run_feed(
        hub.fanout.clone(),
        feed,
        fatal.clone(),
        stop.clone(),
    ));
}

/// Starts the thread from journal to router; its outcome comes through the receiver, which closes if it panics.
fn spawn_thread(
    hub: &Arc<Hub>,
    publisher: PublisherLink,
    stop: &CancellationToken,
) -> Result<oneshot::Receiver<Result<(), BrokerError>>, BrokerError> {
    let (report, ended) = oneshot::channel();
    let (_, position) = hub.fanout.retained_version();
    let reader = hub.journal.reader(journal::Position(position))?;
    let (hub, stop) = (hub.clone(), stop.clone());
    let body = move || {
        let outcome = fanout::run_thread(&hub.fanout, &hub.journal, reader, publisher, &stop);
        // Whoever hears of the end may open the journal again.
        drop(hub);
        if report.send(outcome).is_err() {
            tracing::debug!("The broker had stopped before its fan-out thread.");
        }
    };
    std::thread::Builder::new()
        .name("broker-fanout".into())
        .spawn(body)
        .map_err(BrokerError::Thread)?;
    Ok(ended)
}

async fn sweep(hub: Arc<Hub>, stop: CancellationToken) {
    let mut round = 0u32;
    // Apart, because they wait for a busy journal: identities whose time is over are shown out all the same. There is
    // at most one will per session.
    let mut publishing = JoinSet::new();
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(SWEEP) => {}
        }
        let wills = hub.sweep();
        if !wills.is_empty() {
            publishing.spawn(hub.clone().publish_wills(wills));
        }
        while publishing.try_join_next().is_some() {}
        round = round.wrapping_add(1);
        if round.is_multiple_of(PURGE_EVERY) {
            hub.fanout.purge_retained(hub.clock.now().0);
        }
    }
}

async fn accept(hub: &Arc<Hub>, listener: &TcpListener, connections: &TaskTracker) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                if hub.sockets.load(Ordering::Relaxed) >= hub.options.limits.connections {
                    hub.refuse(
                        None,
                        RefusalReason::TooManyConnections,
                        "all connections are taken",
                    );
                    continue;
                }
                hub.sockets.fetch_add(1, Ordering::Relaxed);
                connections.spawn(serve(hub.clone(), stream));
            }
            Err(error) => {
                tracing::warn!(%error, "A connection could not be accepted.");
                tokio::time::sleep(ACCEPT_REST).await;
            }
        }
    }
}

/// Gives a socket's place back however its task ends.
struct Place(Arc<Hub>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.sockets.fetch_sub(1, Ordering::Relaxed);
    }
}

async fn serve(hub: Arc<Hub>, stream: TcpStream) {
    let place = Place(hub.clone());
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "A socket cannot be told to send at once.");
    }
    let (reader, writer) = stream.into_split();
    connection::serve(hub, reader, writer).await;
    drop(place);
}

/// Tells every connection to end, again while some were just signing in, and waits for them.
async fn end_connections(hub: &Hub, connections: &TaskTracker) {
    connections.close();
    let deadline = Instant::now() + STOP_PATIENCE;
    while Instant::now() < deadline {
        hub.registry.shut_down();
        if timeout(Duration::from_millis(100), connections.wait())
            .await
            .is_ok()
        {
            return;
        }
    }
    tracing::warn!(
        connections = connections.len(),
        "Connections did not end in time."
    );
}

impl BrokerHandle {
    /// Ends every live session of `identity` (MQTT 5: DISCONNECT 0x87) and drops its parked ones. Within one second.
    /// The identity must be out of the directory first, or it signs in again.
    pub fn revoke(&self, identity: &IdentityName) {
        drop(self.hub.registry.revoke(identity));
        self.hub.keeper.touch();
    }

    /// Publishes from inside (commands to devices) with QoS 1, through the journal like everything else. Returns when
    /// the message is durable; not when a device has it.
    ///
    /// # Errors
    /// [`BrokerError::Topic`] for a topic nobody can publish to; [`BrokerError::Append`] when the journal takes
    /// nothing in, after five seconds of trying.
    pub async fn publish(&self, topic: &str, payload: &[u8], retain: bool) -> Result<(), BrokerError> {
        if !valid_topic(topic) {
            return Err(BrokerError::Topic(crate::refusals::bounded(topic)));
        }
        let message = Will {
            topic: topic.to_owned(),
            payload: payload.to_vec(),
            qos: 1,
            retain,
            properties: Vec::new(),
            expiry_s: 0,
            delay_s: 0,
        };
        Ok(self.hub.publish(INTERNAL_SOURCE, &message).await?)
    }

    /// Signs somebody in who comes by another way than MQTT, `way`: the same names, secrets and reasons, and a refusal
    /// stands beside those of clients.
    ///
    /// # Errors
    /// Why it is refused.
    pub fn sign_in(&self, name: &str, secret: &[u8], way: &str) -> Result<Identity, RefusalReason> {
        let signed_in = self.hub.identities.sign_in(name, secret, self.hub.clock.now());
        self.noted(name, way, signed_in)
    }

    /// The same with another proof than the secret itself, such as a signature.
    ///
    /// # Errors
    /// Why it is refused.
    pub fn sign_in_with(
        &self,
        name: &str,
        way: &str,
        proof: impl FnOnce(&Identity) -> bool,
    ) -> Result<Identity, RefusalReason> {
        let now = self.hub.clock.now();
        self.noted(name, way, self.hub.identities.sign_in_with(name, now, proof))
    }

    fn noted(
        &self,
        name: &str,
        way: &str,
        signed_in: Result<Arc<Member>, RefusalReason>,
    ) -> Result<Identity, RefusalReason> {
        let member = signed_in.inspect_err(|reason| {
            let name = IdentityName::new(name).ok();
            self.hub.refusals.record(name.as_ref(), *reason, way);
        })?;
        Ok(member.identity.clone())
    }

    /// Notes that something of this identity was turned away that came by another way than MQTT.
    pub fn turned_away(&self, name: &IdentityName, reason: RefusalReason, detail: &str) {
        self.hub.refusals.record(Some(name), reason, detail);
    }

    /// Figures now.
    #[must_use]
    pub fn stats(&self) -> BrokerStats {
        let (connections, sessions) = self.hub.registry.counts();
        BrokerStats {
            connections: connections as u64,
            sessions: sessions as u64,
            publishes: self.hub.publishes.load(Ordering::Relaxed),
            refusals: self.hub.refusals.counts(),
            inflight_bytes: self.hub.fanout.in_flight() as u64,
            dropped: self.hub.dropped.load(Ordering::Relaxed),
            retained_refused: self.hub.fanout.retained_refused.load(Ordering::Relaxed),
        }
    }

    /// The latest refusals, newest last, at most 256.
    #[must_use]
    pub fn refusals(&self) -> Vec<Refusal> {
        self.hub.refusals.latest()
    }
}
