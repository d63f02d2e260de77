//! Channels: how a message travels to whoever is to hear it.
//!
//! Each kind speaks as its vendor documents it. Nothing of a secret is ever in a failure: an address that holds one is
//! taken out, and whatever a server echoes is searched for them.

mod email;
mod ntfy;
mod outside;
mod push;
mod robots;
mod sms;
mod telegram;
mod webhook;

use std::{fmt, sync::Arc};

use bytes::Bytes;
use domain::{
    PersonId, Severity, UtcMillis,
    message::{ChannelKind, ChannelSecrets, Text},
    outbound::Addresses,
};
use futures::future::BoxFuture;
use store::records::{Channel, NewSubscription};

use outside::Outside;
pub use outside::OutsideError;
pub(crate) use push::Pushed;
pub use push::{PushKeyError, PushKeys};

/// The most characters of why a message was not taken.
const MAX_WORDS: usize = 200;

/// Publishes bytes under a topic of our own MQTT listener; the error says why that is not possible.
pub type Publish = Arc<dyn Fn(String, Vec<u8>) -> BoxFuture<'static, Result<(), String>> + Send + Sync>;

/// A message that is ready to travel.
#[derive(Debug, Clone)]
pub(crate) struct Letter {
    /// Its idempotency key.
    pub(crate) name: String,
    /// When it is sent.
    pub(crate) at: UtcMillis,
    pub(crate) text: Text,
    pub(crate) severity: Severity,
    /// The facility's identifier; empty for a trial.
    pub(crate) facility: String,
    /// Where on the channel.
    pub(crate) address: String,
    /// Whose browsers, where the channel is those.
    pub(crate) person: Option<PersonId>,
    /// What goes with the words, as JPEG.
    pub(crate) picture: Option<Bytes>,
    /// The same for programs.
    pub(crate) event: serde_json::Value,
}

/// Why a message was not taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SendFailure {
    /// Whether it may be taken later without anybody changing anything.
    pub kind: FailureKind,
    /// Why, and what to do; bounded and without secrets.
    pub words: String,
}

/// What kind of failure it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FailureKind {
    /// The other side does not answer, or is busy. Try again, not before this many milliseconds where it says so.
    Transient {
        /// What the other side asks for.
        after_ms: Option<i64>,
    },
    /// The other side refuses this message or these credentials: somebody has to change something.
    Permanent,
}

impl SendFailure {
    pub(crate) fn transient(words: impl Into<String>) -> SendFailure {
        SendFailure {
            kind: FailureKind::Transient { after_ms: None },
            words: words.into(),
        }
    }

    pub(crate) fn permanent(words: impl Into<String>) -> SendFailure {
        SendFailure {
            kind: FailureKind::Permanent,
            words: words.into(),
        }
    }

    /// The same without anything of `secrets`, and bounded.
    fn scrubbed(mut self, secrets: &ChannelSecrets) -> SendFailure {
        for secret in [&secrets.token, &secrets.secret] {
            if secret.len() >= 4 {
                self.words = self.words.replace(secret.as_str(), "…");
            }
        }
        self.words = self
            .words
            .chars()
            .filter(|c| !c.is_control())
            .take(MAX_WORDS)
            .collect();
        self
    }
}

impl fmt::Display for SendFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.words)
    }
}

impl std::error::Error for SendFailure {}

/// Sends letters over channels.
#[derive(Clone)]
pub(crate) struct Courier {
    outside: Outside,
    publish: Publish,
    keys: Option<Arc<PushKeys>>,
}

impl Courier {
    pub(crate) fn new(
        addresses: Addresses,
        publish: Publish,
        (keys, authorities): (Option<PushKeys>, &[u8]),
    ) -> Result<Courier, OutsideError> {
        Ok(Courier {
            outside: Outside::new(addresses, authorities)?,
            publish,
            keys: keys.map(Arc::new),
        })
    }

    /// The public key that browsers subscribe to.
    pub(crate) fn push_key(&self) -> Option<&str> {
        self.keys.as_ref().map(|keys| keys.public())
    }

    /// Whether a browser gave what can be sent to.
    pub(crate) fn check_place(&self, given: &NewSubscription) -> Result<(), SendFailure> {
        push::check(&self.outside, given)
    }

    /// Sends one letter to one browser. Safe to cancel, as [`Courier::send`].
    pub(crate) async fn push(&self, given: &NewSubscription, letter: &Letter) -> Pushed {
        match &self.keys {
            Some(keys) => push::send(&self.outside, keys, given, letter).await,
            None => Pushed::Failed(SendFailure::transient(
                "no keys are set for browsers; see [messages] push_key_file",
            )),
        }
    }

    /// Sends one letter. Safe to cancel: then nobody knows whether it arrived, and it is sent again.
    pub(crate) async fn send(
        &self,
        channel: &Channel,
        secrets: &ChannelSecrets,
        letter: &Letter,
    ) -> Result<(), SendFailure> {
        let (settings, outside) = (&channel.settings, &self.outside);
        let sent = match channel.kind {
            ChannelKind::Webhook => webhook::send(outside, settings, secrets, letter).await,
            ChannelKind::Email => email::send(outside, settings, secrets, letter).await,
            ChannelKind::WeCom => robots::wecom(outside, settings, secrets, letter).await,
            ChannelKind::DingTalk => robots::dingtalk(outside, settings, secrets, letter).await,
            ChannelKind::Feishu => robots::feishu(outside, settings, secrets, letter).await,
            ChannelKind::Ntfy => ntfy::send(outside, settings, secrets, letter).await,
            ChannelKind::Telegram => telegram::send(outside, settings, secrets, letter).await,
            ChannelKind::Sms => sms::send(outside, settings, secrets, letter).await,
            ChannelKind::Mqtt => {
                let topic = settings.topic.replace("{facility}", &letter.facility);
                let published = (self.publish)(topic, letter.event.to_string().into_bytes()).await;
                published.map_err(SendFailure::transient)
            }
            ChannelKind::Push => Err(SendFailure::permanent(
                "a browser is notified by its own address, not by the channel's",
            )),
        };
        sent.map_err(|failure| failure.scrubbed(secrets))
    }
}

impl fmt::Debug for Courier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Courier").finish_non_exhaustive()
    }
}
