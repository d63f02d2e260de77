//! What becomes of the session and the will when a connection ends.

use tokio::{
    sync::{mpsc, oneshot},
    time::{Instant, timeout_at},
};

use super::{Connection, FAREWELL, handshake::HANDOVER};
use crate::{
    codec::Codec,
    registry::{Kick, Parked, Released},
    session::Session,
};

/// How a connection ended.
pub(super) enum End {
    /// The client left, or was shown out for what it said.
    Closed,
    /// The same client came again.
    Takeover(oneshot::Sender<Option<Box<Session>>>),
    /// The identity may not be here any more.
    Revoked,
    /// The broker stops.
    Shutdown,
}

impl Connection {
    /// Parks, hands over or drops the session, and publishes the will if it is due. The codec still holds the last
    /// bytes for the client.
    pub(super) async fn end(mut self, how: End, kick: mpsc::Receiver<Kick>) -> Codec {
        if self.expiry_s > 0 && !matches!(how, End::Revoked) {
            self.settle_received().await;
        }
        let session = &mut self.session;
        session.subscriber.mailbox.set_connected(false);
        (session.stored, session.handled) = self.codec.save();
        let will = if self.graceful { None } else { self.will.take() };
        let keep = self.expiry_s > 0;
        let (will_now, will_later) = match (&how, will) {
            // A revoked identity says nothing more; a broker that stops is no reason to call every device dead.
            (End::Revoked | End::Shutdown, _) | (_, None) => (None, None),
            (_, Some(will)) if will.delay_s == 0 || !keep => (Some(will), None),
            (End::Takeover(_), Some(_)) => (None, None),
            (End::Closed, Some(will)) => (None, Some(will)),
        };
        if let Some(will) = will_now {
            self.hub.publish_will(&self.member, &self.client_id, &will).await;
        }
        let now = self.hub.clock.now();
        let seconds = |s: u64| i64::try_from(s.saturating_mul(1000)).unwrap_or(i64::MAX);
        let mut park = None;
        match how {
            End::Takeover(reply) => {
                if reply.send(keep.then_some(self.session)).is_err() {
                    tracing::debug!("A client that took its session over is gone already.");
                }
            }
            End::Closed | End::Shutdown if keep => {
                let due =
                    |w: &crate::session::Will| now.plus_ms(seconds(u64::from(w.delay_s).min(self.expiry_s)));
                park = Some(Parked {
                    session: self.session,
                    expires_at: now.plus_ms(seconds(self.expiry_s)),
                    will: will_later.map(|w| {
                        let at = due(&w);
                        (w, at)
                    }),
                });
            }
            _ => drop(self.session),
        }
        let Released { claimed, evicted } = self.claim.settle(park);
        drop(evicted);
        if let Some(parked) = claimed {
            hand_over(parked, kick).await;
        }
        if keep {
            self.hub.keeper.touch();
        }
        self.codec
    }

    /// Waits until the QoS 2 messages that were taken in are durable, so that one that the client sends again is known
    /// to the session's next connection and not stored twice. One that is not durable in time counts as not received.
    async fn settle_received(&mut self) {
        let deadline = Instant::now() + FAREWELL;
        for pending in self.pending.iter().filter(|p| p.qos == 2) {
            let Some(receipt) = pending.receipt else { continue };
            while self.writer.is_durable(receipt) == Ok(false) {
                if timeout_at(deadline, self.writer.progress()).await.is_err() {
                    tracing::warn!(client.id = %self.client_id, "A session may store a QoS 2 message twice: the journal did not commit in time.");
                    return;
                }
            }
            if self.writer.is_durable(receipt) != Ok(true) {
                return;
            }
            self.codec.stored(pending.packet_id);
        }
    }
}

/// The same client came again while this connection was ending: its request for the session is in the channel, or
/// about to be.
async fn hand_over(parked: Parked, mut kick: mpsc::Receiver<Kick>) {
    let asked = timeout_at(Instant::now() + HANDOVER, async {
        loop {
            match kick.recv().await {
                Some(Kick::Takeover(reply)) => return Some(reply),
                Some(Kick::Shutdown) => {}
                Some(Kick::Revoked) | None => return None,
            }
        }
    });
    if let Ok(Some(reply)) = asked.await
        && reply.send(Some(parked.session)).is_err()
    {
        tracing::debug!("A client that took its session over is gone already.");
    }
}
