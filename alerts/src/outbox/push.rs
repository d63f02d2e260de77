//! Notifying browsers: a letter goes to every browser of a person; a browser that is gone is forgotten.

use domain::{
    PersonId, Severity,
    message::{ChannelKind, ChannelSettings, Language},
};
use futures::future::join_all;
use store::{
    RecordError,
    records::{Channel, NewSubscription, Subscription, SubscriptionId},
};

use super::{Context, MessageHandle, TrialError, trial};
use crate::channel::{Letter, Pushed, SendFailure};

/// The name of the channel over which browsers are notified.
pub const PUSH_CHANNEL: &str = "browser";

/// Why a browser is not notified.
#[derive(Debug, thiserror::Error)]
pub enum SubscribeError {
    /// There are no keys.
    #[error("no keys are set; see [messages] push_key_file")]
    NotSet,
    /// What the browser gave cannot be sent to.
    #[error("{0}")]
    Unusable(#[from] SendFailure),
    /// The record store failed or refused it.
    #[error("the record store did not take it: {0}")]
    Store(#[from] RecordError),
}

impl Context {
    /// Sends a letter to every browser of its person. It is taken when one of them takes it.
    pub(super) async fn push(&self, letter: &Letter) -> Result<Result<(), SendFailure>, RecordError> {
        let Some(person) = &letter.person else {
            return Ok(Err(SendFailure::permanent(
                "browsers are notified for an account; name one in the contact",
            )));
        };
        let browsers = self.records.subscriptions(person).await?;
        self.push_to(&browsers, letter).await
    }

    async fn push_to(
        &self,
        browsers: &[Subscription],
        letter: &Letter,
    ) -> Result<Result<(), SendFailure>, RecordError> {
        let sends = browsers.iter().map(|b| self.courier.push(&b.given, letter));
        let fared = join_all(sends).await;
        let mut taken = false;
        let mut failure = SendFailure::permanent(
            "no browser of this account takes notifications; its owner has to switch them on again",
        );
        for (browser, pushed) in browsers.iter().zip(fared) {
            let note = match &pushed {
                Pushed::Taken => Some((true, "")),
                Pushed::Gone => None,
                Pushed::Failed(failed) => Some((false, failed.words.as_str())),
            };
            self.records.note_subscription(browser.id, note).await?;
            match pushed {
                Pushed::Taken => taken = true,
                Pushed::Gone => {}
                Pushed::Failed(failed) => failure = failed,
            }
        }
        Ok(if taken { Ok(()) } else { Err(failure) })
    }
}

impl MessageHandle {
    /// The public key that a browser subscribes to; `None` where no keys are set.
    #[must_use]
    pub fn push_key(&self) -> Option<&str> {
        self.0.courier.push_key()
    }

    /// Keeps a browser of a person, and sees to it that there is a channel by which it is notified.
    ///
    /// # Errors
    /// [`SubscribeError`].
    pub async fn subscribe(
        &self,
        person: &PersonId,
        given: &NewSubscription,
        by: &str,
    ) -> Result<SubscriptionId, SubscribeError> {
        let context = &self.0;
        context.courier.push_key().ok_or(SubscribeError::NotSet)?;
        context.courier.check_place(given)?;
        if context.records.channel(PUSH_CHANNEL).await?.is_none() {
            let channel = Channel {
                name: PUSH_CHANNEL.to_owned(),
                kind: ChannelKind::Push,
                settings: ChannelSettings::default(),
                has_secrets: false,
                enabled: true,
                tried_at: None,
                worked: None,
                said: String::new(),
                version: 0,
            };
            match self.put_channel(&channel, None, by).await {
                // Somebody else was faster: then it is there.
                Ok(_) | Err(RecordError::Conflict) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(context.records.add_subscription(person, given, by).await?)
    }

    /// Sends a trial to one browser of a person, now, and notes how it fared.
    ///
    /// # Errors
    /// [`TrialError`].
    pub async fn try_browser(
        &self,
        person: &PersonId,
        id: SubscriptionId,
        language: Language,
    ) -> Result<(), TrialError> {
        let mut browsers = self.0.records.subscriptions(person).await?;
        browsers.retain(|browser| browser.id == id);
        if browsers.is_empty() {
            return Err(TrialError::NotFound);
        }
        let mut letter = trial::letter(&self.0, "", language);
        letter.severity = Severity::P1;
        Ok(self.0.push_to(&browsers, &letter).await??)
    }
}
