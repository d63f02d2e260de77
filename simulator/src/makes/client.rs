//! A device of another make on its own MQTT connection, as its firmware has one: QoS 0, a will, and births anew on every
//! connection and whenever the host asks.

use std::{sync::Arc, time::Duration};

use domain::UtcMillis;
use rumqttc::{AsyncClient, ClientError, Event, EventLoop, LastWill, MqttOptions, Packet, QoS};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::{
    Make, SimMake, next_report,
    sparkplug::{Session, commands},
    words::{Words, greeting, report, will},
};
use crate::{connection::Line, noise::Dice};

/// Waiting before the second attempt, and the most between attempts.
const FIRST_BACKOFF: Duration = Duration::from_millis(500);
const LONGEST_BACKOFF: Duration = Duration::from_secs(30);
/// A device does not sleep longer than this at a time, so that it follows a clock that is set.
const NAP: Duration = Duration::from_secs(1);
/// How long it may take to say goodbye.
const GOODBYE_DEADLINE: Duration = Duration::from_secs(2);
/// What waits for the connection: the words of one report and of one birth.
const WAITING: usize = 32;

/// One device.
pub(crate) struct MadeDevice {
    pub(crate) of: SimMake,
    pub(crate) name: String,
    pub(crate) secret: String,
    pub(crate) dice: Dice,
    /// How often it reports, in milliseconds.
    pub(crate) step_ms: i64,
    pub(crate) line: Arc<Line>,
}

impl MadeDevice {
    /// Speaks until `stop`. Comes back after every broken connection, with growing patience.
    pub(crate) async fn run(mut self, stop: CancellationToken) {
        let mut session = Session::default();
        let mut backoff = FIRST_BACKOFF;
        while !stop.is_cancelled() {
            session.begin();
            let (client, mut events) = AsyncClient::new(self.options(&session), WAITING);
            let heard = stop
                .run_until_cancelled(self.speak(&client, &mut events, &mut session))
                .await;
            match heard {
                None => return goodbye(&client, events, will(&self.of, &session)).await,
                Some(true) => backoff = FIRST_BACKOFF,
                Some(false) => {}
            }
            let jitter = self.dice.between(0.5, 1.5);
            stop.run_until_cancelled(sleep(backoff.mul_f64(jitter))).await;
            backoff = (backoff * 2).min(LONGEST_BACKOFF);
        }
    }

    fn options(&self, session: &Session) -> MqttOptions {
        let broker = self.line.broker;
        let mut options = MqttOptions::new(&self.name, broker.ip().to_string(), broker.port());
        let Words {
            topic,
            payload,
            retain,
        } = will(&self.of, session);
        options
            .set_credentials(&self.name, &self.secret)
            .set_keep_alive(Duration::from_secs(30))
            .set_clean_session(true)
            .set_last_will(LastWill::new(topic, payload, QoS::AtMostOnce, retain));
        options
    }

    /// Until the connection breaks; whether it had been taken in.
    async fn speak(&self, client: &AsyncClient, events: &mut EventLoop, session: &mut Session) -> bool {
        let mut taken_in = false;
        let mut next = next_report(
            self.line.clock.now().max(self.line.start),
            self.of.make,
            self.step_ms,
        );
        loop {
            let spoken = tokio::select! {
                event = events.poll() => match event {
                    Ok(Event::Incoming(Packet::ConnAck(_))) => {
                        taken_in = true;
                        self.begin(client, session)
                    }
                    // The host lacks a birth: the node tells all of them again.
                    Ok(Event::Incoming(Packet::Publish(_))) if taken_in => self.greet(client, session),
                    Ok(_) => Ok(()),
                    Err(_broken) => return taken_in,
                },
                () = self.wait(next), if taken_in => {
                    let now = self.line.clock.now();
                    if now < next {
                        continue;
                    }
                    next = next_report(now, self.of.make, self.step_ms);
                    say(client, report(&self.of, session, now))
                }
            };
            if let Err(lost) = spoken {
                tracing::debug!(
                    device.name = self.name,
                    "A simulated device's words are lost: {lost}"
                );
            }
        }
    }

    fn begin(&self, client: &AsyncClient, session: &mut Session) -> Result<(), ClientError> {
        if self.of.make == Make::Sparkplug {
            client.try_subscribe(commands(&self.of), QoS::AtLeastOnce)?;
        }
        self.greet(client, session)
    }

    fn greet(&self, client: &AsyncClient, session: &mut Session) -> Result<(), ClientError> {
        say(client, greeting(&self.of, session, self.line.clock.now()))
    }

    async fn wait(&self, until: UtcMillis) {
        let wait_ms = until.ms_since(self.line.clock.now());
        let wait = Duration::from_millis(u64::try_from(wait_ms).unwrap_or(0));
        sleep(wait.min(NAP)).await;
    }
}

fn say(client: &AsyncClient, all: Vec<Words>) -> Result<(), ClientError> {
    for Words {
        topic,
        payload,
        retain,
    } in all
    {
        client.try_publish(topic, QoS::AtMostOnce, retain, payload)?;
    }
    Ok(())
}

/// A device that is switched off in order says itself what its will would have said.
async fn goodbye(client: &AsyncClient, mut events: EventLoop, words: Words) {
    let last = client
        .try_publish(words.topic, QoS::AtLeastOnce, words.retain, words.payload)
        .and_then(|()| client.try_disconnect());
    let drive = async {
        while let Ok(event) = events.poll().await {
            if event == Event::Outgoing(rumqttc::Outgoing::Disconnect) {
                break;
            }
        }
    };
    if last.is_err() || timeout(GOODBYE_DEADLINE, drive).await.is_err() {
        tracing::debug!("The broker did not take a device's goodbye in time.");
    }
}
