//! What the rest of the product holds of the messenger: setting up a channel, trying it, reading what is sent.

use std::{fmt, sync::Arc};

use domain::{
    PersonId, Severity,
    message::{ChannelSecrets, Language, NoticeKind, Said, Text},
};
use serde_json::json;
use store::{RecordError, records::Channel};

use super::{ChannelFigures, Context};
use crate::channel::{Letter, SendFailure};

/// Why a trial did not go well.
#[derive(Debug, thiserror::Error)]
pub enum TrialError {
    /// There is no channel of that name.
    #[error("there is no such channel")]
    NotFound,
    /// The channel did not take it.
    #[error("{0}")]
    Failed(#[from] SendFailure),
    /// The record store failed.
    #[error("the record store failed: {0}")]
    Store(#[from] RecordError),
}

/// A handle on the messenger. Cheap to clone.
#[derive(Clone)]
pub struct MessageHandle(pub(super) Arc<Context>);

impl MessageHandle {
    pub(super) fn new(context: Arc<Context>) -> MessageHandle {
        MessageHandle(context)
    }

    /// Sets up a channel, or changes one. Secrets go in and never come out.
    ///
    /// # Errors
    /// As [`store::Records::put_channel`].
    pub async fn put_channel(
        &self,
        channel: &Channel,
        secrets: Option<&ChannelSecrets>,
        actor: &str,
    ) -> Result<Channel, RecordError> {
        let context = &self.0;
        context
            .records
            .put_channel(channel, secrets, &context.vault, actor)
            .await
    }

    /// Sends a trial over a channel, now, and notes how it fared. `address` is where on the channel; over browsers, whose.
    ///
    /// # Errors
    /// [`TrialError`]; the words of a failure hold no secret.
    pub async fn try_channel(&self, name: &str, address: &str, language: Language) -> Result<(), TrialError> {
        let context = &self.0;
        let channel = context.records.channel(name).await?.ok_or(TrialError::NotFound)?;
        let secrets = context.records.channel_secrets(name, &context.vault).await?;
        let letter = letter(context, address, language);
        let sent = context.send(&channel, &secrets, &letter).await?;
        let said = sent.as_ref().err().map_or("", |failure| failure.words.as_str());
        context.records.note_channel(name, sent.is_ok(), said).await?;
        Ok(sent?)
    }

    /// A notice as somebody would read it.
    ///
    /// # Errors
    /// When the record store fails.
    pub async fn words(&self, said: &Said, language: Language) -> Result<Text, RecordError> {
        let told = self.0.wording.look_up(said).await?;
        Ok(self.0.wording.text(said, &told, language))
    }

    /// What went and failed over each kind of channel since start, and what rests now.
    #[must_use]
    pub fn figures(&self) -> Vec<ChannelFigures> {
        self.0.counters.read()
    }

    /// Looks at the outbox now: something was put into it, or is to be sent again.
    pub fn wake(&self) {
        self.0.wake.notify_one();
    }
}

/// What a trial says. `address` is where on the channel: of browsers, whose.
pub(super) fn letter(context: &Context, address: &str, language: Language) -> Letter {
    let now = context.clock.now();
    let (title, body) = match language {
        Language::Zh => ("阳光厨房：测试消息", "如果您看到这条消息，说明该渠道可用。"),
        Language::En => (
            "Sunshine Kitchen: test message",
            "When you read this, the channel works.",
        ),
    };
    let kind = NoticeKind::Test;
    Letter {
        name: format!("test-{}", now.0),
        at: now,
        text: Text {
            title: title.to_owned(),
            body: body.to_owned(),
            link: context.wording.cases_link(),
        },
        severity: Severity::P4,
        facility: String::new(),
        address: address.to_owned(),
        person: PersonId::new(address).ok(),
        picture: None,
        event: json!({
            "type": kind.code(),
            "timestamp": (context.wording.moments.iso)(now),
            "data": { "link": context.wording.cases_link() },
        }),
    }
}

impl fmt::Debug for MessageHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MessageHandle").finish_non_exhaustive()
    }
}
