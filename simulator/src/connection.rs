//! One device on the line: connects under its own identity, says it is on line, tells its past, then lives
//! on; and comes back when the line breaks, without losing what was not yet acknowledged.
//!
//! The client library forgets unacknowledged publishes when the broker has no session for it, so the
//! device keeps them itself and sends them again on the next connection.

use std::{collections::VecDeque, net::SocketAddr, sync::Arc, time::Duration};

use domain::{Clock, UtcMillis};
use rumqttc::{
    AsyncClient, ConnectReturnCode, ConnectionError, Event, EventLoop, LastWill, MqttOptions, Outgoing,
    Packet, QoS,
};
use tokio::{
    sync::{Semaphore, SemaphorePermit, watch},
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;

use crate::{
    cameras::{PushedCamera, StovePlug},
    history::History,
    noise::Dice,
    rhythm::{MINUTE, SECOND},
    schedule::Live,
};

/// The most publishes without an acknowledgement; the device waits when there are so many.
const WINDOW: u16 = 8;
/// The largest payload of readings, with room: 200 values of about 40 bytes. And the largest picture.
const MAX_PACKET_BYTES: usize = 16 * 1024;
const MAX_PICTURE_BYTES: usize = 256 * 1024;
/// A device does not sleep longer than this at a time, so that it follows a clock that is set.
const NAP: Duration = Duration::from_secs(1);
/// How late a device may be before it passes over what it missed: a machine that slept.
const LATEST_MS: i64 = 2 * MINUTE;
/// How long a device may take to sign in, and to say goodbye.
const SIGN_IN_DEADLINE: Duration = Duration::from_secs(20);
const GOODBYE_DEADLINE: Duration = Duration::from_secs(2);
/// Waiting before the second attempt, and the most between attempts.
const FIRST_BACKOFF: Duration = Duration::from_millis(500);
const LONGEST_BACKOFF: Duration = Duration::from_secs(30);

/// What all devices share.
#[derive(Debug)]
pub(crate) struct Line {
    pub(crate) broker: SocketAddr,
    pub(crate) clock: Clock,
    pub(crate) start: UtcMillis,
    /// Bounds how many devices tell their past at once, and so the memory that takes.
    pub(crate) historians: Semaphore,
    /// Devices that have told their past.
    pub(crate) told: watch::Sender<usize>,
}

/// What a device has still to say.
#[derive(Debug)]
pub(crate) enum Speech {
    /// Its past.
    Past(History),
    /// Its present, endless.
    Present(Live),
    /// A camera's pictures, endless.
    Pictures(Box<PushedCamera>),
    /// What a stove draws, endless.
    Power(StovePlug),
}

/// What is published.
#[derive(Debug, Clone)]
struct Publication {
    topic: String,
    payload: Vec<u8>,
}

/// One device.
pub(crate) struct Device {
    pub(crate) name: String,
    pub(crate) secret: String,
    /// Its status topic.
    pub(crate) status: String,
    /// `None` only while one part of the speech is turned into the next.
    pub(crate) speech: Option<Speech>,
    pub(crate) outbox: Outbox,
    pub(crate) dice: Dice,
    pub(crate) line: Arc<Line>,
}

/// What was sent and not yet acknowledged, in order. Outlives connections; at most [`WINDOW`] and one.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    waiting: VecDeque<Publication>,
    /// How many acknowledgements of the current connection have been taken into account.
    counted: u64,
}

impl Outbox {
    /// Takes off what `acks` acknowledgements of the current connection confirm. The first of them is for
    /// the status, which is not kept here.
    fn confirm(&mut self, acks: u64) {
        while self.counted < acks.saturating_sub(1) && self.waiting.pop_front().is_some() {
            self.counted += 1;
        }
    }
}

/// How a session came to its end without an error.
enum Ending {
    /// The device was told to stop.
    Stopped,
    /// It lost its power until about then.
    PowerLost(UtcMillis),
}

impl Device {
    /// Speaks until `stop`. Comes back after every broken connection, with growing patience.
    pub(crate) async fn run(mut self, stop: CancellationToken) {
        let mut backoff = FIRST_BACKOFF;
        let mut complained = false;
        while !stop.is_cancelled() {
            let mut signed_in = false;
            match self.session(&stop, &mut signed_in).await {
                Ok(Ending::Stopped) => return,
                Ok(Ending::PowerLost(until)) => self.wait_until(until, &stop).await,
                Err(error) => {
                    if signed_in {
                        (backoff, complained) = (FIRST_BACKOFF, false);
                    }
                    if !complained {
                        self.complain(&error);
                        complained = true;
                    }
                    let jitter = self.dice.between(0.5, 1.5);
                    stop.run_until_cancelled(sleep(backoff.mul_f64(jitter))).await;
                    backoff = (backoff * 2).min(LONGEST_BACKOFF);
                }
            }
        }
    }

    fn complain(&self, error: &ConnectionError) {
        let name = &self.name;
        match error {
            ConnectionError::ConnectionRefused(
                ConnectReturnCode::BadUserNamePassword | ConnectReturnCode::NotAuthorized,
            ) => tracing::error!(
                device.name = name,
                "The broker refuses this device's name or secret; register the district again. It keeps trying."
            ),
            other => tracing::warn!(
                device.name = name,
                error = %other,
                "A simulated device lost its broker; it keeps trying."
            ),
        }
    }

    async fn wait_until(&self, until: UtcMillis, stop: &CancellationToken) {
        while self.line.clock.now() < until {
            let nap = millis(until.ms_since(self.line.clock.now())).min(NAP);
            if stop.run_until_cancelled(sleep(nap)).await.is_none() {
                return;
            }
        }
    }

    fn options(&self) -> MqttOptions {
        let broker = self.line.broker;
        let largest = match self.speech {
            Some(Speech::Pictures(_)) => MAX_PICTURE_BYTES,
            _ => MAX_PACKET_BYTES,
        };
        let mut options = MqttOptions::new(&self.name, broker.ip().to_string(), broker.port());
        options
            .set_credentials(&self.name, &self.secret)
            .set_keep_alive(Duration::from_secs(30))
            .set_clean_session(true)
            .set_inflight(WINDOW)
            .set_max_packet_size(MAX_PACKET_BYTES, largest)
            .set_last_will(LastWill::new(&self.status, "offline", QoS::AtLeastOnce, true));
        options
    }

    /// One connection from sign-in to its end.
    async fn session(
        &mut self,
        stop: &CancellationToken,
        signed_in: &mut bool,
    ) -> Result<Ending, ConnectionError> {
        let (client, mut events) = AsyncClient::new(self.options(), usize::from(WINDOW));
        let greeting = timeout(SIGN_IN_DEADLINE, events.poll());
        match stop.run_until_cancelled(greeting).await {
            None => return Ok(Ending::Stopped),
            Some(Err(_elapsed)) => return Err(ConnectionError::NetworkTimeout),
            Some(Ok(event)) => drop(event?),
        }
        *signed_in = true;
        let (acks, acked) = watch::channel(0_u64);
        self.outbox.counted = 0;
        let ending = tokio::select! {
            error = listen(&mut events, &acks) => Err(error),
            ending = self.speak(&client, acked, stop) => Ok(ending),
        };
        // What came in with the connection's last words counts too: else a line that breaks again and again
        // would never get on.
        self.outbox.confirm(*acks.borrow());
        let ending = ending?;
        match ending {
            // Dropping the connection without DISCONNECT is what a power cut looks like.
            Some(Ending::PowerLost(until)) => Ok(Ending::PowerLost(until)),
            Some(Ending::Stopped) => {
                sign_out(&client, events).await;
                Ok(Ending::Stopped)
            }
            None => Err(ConnectionError::RequestsDone),
        }
    }

    /// Says everything there is to say. `None` when the connection no longer takes it.
    async fn speak(
        &mut self,
        client: &AsyncClient,
        acked: watch::Receiver<u64>,
        stop: &CancellationToken,
    ) -> Option<Ending> {
        let mut wire = Wire {
            client,
            acked,
            sent: 0,
        };
        wire.send(&self.status, true, b"online".to_vec()).await?;
        let again: Vec<Publication> = self.outbox.waiting.iter().cloned().collect();
        for message in again {
            wire.send(&message.topic, false, message.payload).await?;
        }
        if let Some(ending) = stop.run_until_cancelled(self.tell(&mut wire)).await {
            return ending;
        }
        let status = &self.status;
        if timeout(GOODBYE_DEADLINE, wire.farewell(status)).await.is_err() {
            tracing::debug!(
                status.topic = status,
                "The broker did not take a device's goodbye in time."
            );
        }
        Some(Ending::Stopped)
    }

    /// The past first, whole and acknowledged, then the present: judgement takes each series in order of
    /// time.
    async fn tell(&mut self, wire: &mut Wire<'_>) -> Option<Ending> {
        let line = Arc::clone(&self.line);
        if matches!(self.speech, Some(Speech::Past(_))) {
            let turn: SemaphorePermit<'_> = line.historians.acquire().await.ok()?;
            while let Some(Speech::Past(history)) = &mut self.speech {
                match history.next() {
                    Some(message) => self.publish(wire, message.topic, message.payload).await?,
                    None => {
                        wire.settle(&mut self.outbox, 0).await?;
                        self.begin_present();
                    }
                }
            }
            drop(turn);
        }
        loop {
            let Some(Speech::Present(live)) = &mut self.speech else {
                return self.show(wire).await;
            };
            let now = line.clock.now();
            if now.ms_since(live.next_at()) > LATEST_MS {
                live.skip_to(now);
            }
            let wait_ms = live.next_at().ms_since(now);
            if wait_ms > silence_ms(live) {
                return Some(Ending::PowerLost(live.next_at() - 2 * SECOND));
            }
            if wait_ms > 0 {
                sleep(millis(wait_ms).min(NAP)).await;
                wire.settle(&mut self.outbox, usize::from(WINDOW)).await?;
                continue;
            }
            let message = live.next_message();
            self.publish(wire, message.topic, message.payload).await?;
        }
    }

    /// A camera's pictures or a plug's reports, one after the other as they fall due.
    async fn show(&mut self, wire: &mut Wire<'_>) -> Option<Ending> {
        let line = Arc::clone(&self.line);
        loop {
            let next_at = match &self.speech {
                Some(Speech::Pictures(camera)) => camera.next_at(),
                Some(Speech::Power(plug)) => plug.next_at(),
                _ => return None,
            };
            let now = line.clock.now();
            let wait_ms = next_at.ms_since(now);
            if wait_ms > 0 {
                sleep(millis(wait_ms).min(NAP)).await;
                wire.settle(&mut self.outbox, usize::from(WINDOW)).await?;
                continue;
            }
            let (topic, payload) = match &mut self.speech {
                Some(Speech::Pictures(camera)) => (camera.topic("image"), camera.shoot(now).await?),
                Some(Speech::Power(plug)) => (plug.topic("up/power"), plug.report(now)),
                _ => return None,
            };
            self.publish(wire, topic, payload).await?;
        }
    }

    fn begin_present(&mut self) {
        if let Some(Speech::Past(history)) = self.speech.take() {
            let from = history.until();
            self.speech = Some(Speech::Present(Live::from(history.into_model(), from)));
            self.line.told.send_modify(|count| *count += 1);
        }
    }

    /// Sends `payload` once there is room. It is kept before the first wait, so that nothing is lost when
    /// the connection breaks here.
    async fn publish(&mut self, wire: &mut Wire<'_>, topic: String, payload: Vec<u8>) -> Option<()> {
        self.outbox.waiting.push_back(Publication {
            topic: topic.clone(),
            payload: payload.clone(),
        });
        wire.settle(&mut self.outbox, usize::from(WINDOW)).await?;
        wire.send(&topic, false, payload).await
    }
}

/// A gap this long is a power cut, not a pause.
fn silence_ms(live: &Live) -> i64 {
    (live.interval_ms() * 3).max(2 * MINUTE)
}

fn millis(ms: i64) -> Duration {
    Duration::from_millis(u64::try_from(ms).unwrap_or(0))
}

/// The sending side of one connection.
struct Wire<'a> {
    client: &'a AsyncClient,
    /// Acknowledgements since sign-in. The first is that of the status.
    acked: watch::Receiver<u64>,
    /// Publishes since sign-in.
    sent: u64,
}

impl Wire<'_> {
    async fn send(&mut self, topic: &str, retain: bool, payload: Vec<u8>) -> Option<()> {
        self.client
            .publish(topic, QoS::AtLeastOnce, retain, payload)
            .await
            .ok()?;
        self.sent += 1;
        Some(())
    }

    /// Says that the device goes off line and waits until that, and everything before it, is acknowledged.
    /// A connection closed with acknowledgements unread would be reset and lose what is on its way.
    async fn farewell(&mut self, status: &str) -> Option<()> {
        self.send(status, true, b"offline".to_vec()).await?;
        let sent = self.sent;
        self.acked.wait_for(|acked| *acked >= sent).await.ok().map(|_| ())
    }

    /// Takes acknowledged messages out of `outbox` and waits until at most `most` are left.
    async fn settle(&mut self, outbox: &mut Outbox, most: usize) -> Option<()> {
        loop {
            outbox.confirm(*self.acked.borrow_and_update());
            if outbox.waiting.len() <= most {
                return Some(());
            }
            self.acked.changed().await.ok()?;
        }
    }
}

/// Drives the connection and counts acknowledgements, until it breaks.
async fn listen(events: &mut EventLoop, acks: &watch::Sender<u64>) -> ConnectionError {
    let is_ack = |event: &Event| matches!(event, Event::Incoming(Packet::PubAck(_)));
    loop {
        match events.poll().await {
            Ok(event) if is_ack(&event) => acks.send_modify(|count| *count += 1),
            Ok(_) => {}
            Err(error) => {
                // The library reports the break before the acknowledgements that came just ahead of it.
                let late = events.state.events.iter().filter(|event| is_ack(event)).count();
                acks.send_modify(|count| *count += late as u64);
                return error;
            }
        }
    }
}

/// Signs out, so that the broker does not tell of the will.
async fn sign_out(client: &AsyncClient, mut events: EventLoop) {
    let drive = async {
        while let Ok(event) = events.poll().await {
            if event == Event::Outgoing(Outgoing::Disconnect) {
                break;
            }
        }
    };
    let both = async { tokio::join!(client.disconnect(), drive).0 };
    if !matches!(timeout(GOODBYE_DEADLINE, both).await, Ok(Ok(()))) {
        tracing::debug!("The broker did not let a device sign out in time.");
    }
}
