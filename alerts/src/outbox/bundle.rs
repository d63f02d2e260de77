//! What goes into one message: usually one notice; several where they are gathered.

use std::collections::BTreeMap;

use bytes::Bytes;
use domain::{
    Severity, UtcMillis,
    duty::ContactId,
    message::{ChannelKind, Language, NoticeKind, Said, Text, gathered},
};
use store::{
    RecordError,
    records::{Channel, Delivery, DeliveryId, Outcome},
};

use super::{Context, PICTURE_PATIENCE_MS, PICTURE_PAUSE_MS};
use crate::channel::Letter;

/// As many notices of one contact wait as it is told one by one; more become one message.
const ONE_BY_ONE: usize = 3;

/// The most notices in one message.
const MAX_GATHERED: usize = 100;

/// Notices that travel together.
pub(super) struct Bundle {
    pub(super) ids: Vec<DeliveryId>,
    /// The idempotency key: the first notice's.
    pub(super) name: String,
    pub(super) attempts: u32,
    /// When the oldest of them was written.
    pub(super) created_at: UtcMillis,
    contact: Option<ContactId>,
    said: Vec<Said>,
}

/// What a bundle comes to.
pub(super) enum Content {
    Letter(Box<Letter>),
    /// There is nothing to send, now or at all.
    Nothing(Outcome),
}

/// Puts what is due over one channel into messages, in the order in which it was written.
pub(super) fn of(kind: ChannelKind, rows: Vec<Delivery>) -> Vec<Bundle> {
    let mut waiting: BTreeMap<Option<ContactId>, usize> = BTreeMap::new();
    for row in rows.iter().filter(|row| row.kind != NoticeKind::Picture) {
        *waiting.entry(row.contact).or_default() += 1;
    }
    let mut bundles: Vec<Bundle> = Vec::new();
    for row in rows {
        let many = waiting.get(&row.contact).is_some_and(|count| *count > ONE_BY_ONE);
        let joins = kind.gathers() && row.kind != NoticeKind::Picture && (many || row.digest);
        let open = bundles.iter_mut().find(|bundle| {
            joins && bundle.contact == row.contact && bundle.gathers() && bundle.said.len() < MAX_GATHERED
        });
        match open {
            Some(bundle) => bundle.add(row),
            None => bundles.push(Bundle::new(row)),
        }
    }
    bundles
}

impl Bundle {
    fn new(row: Delivery) -> Bundle {
        Bundle {
            ids: vec![row.id],
            name: row.name,
            attempts: row.attempts,
            created_at: row.created_at,
            contact: row.contact,
            said: vec![row.said],
        }
    }

    fn add(&mut self, row: Delivery) {
        self.ids.push(row.id);
        self.attempts = self.attempts.max(row.attempts);
        self.created_at = self.created_at.min(row.created_at);
        self.said.push(row.said);
    }

    fn gathers(&self) -> bool {
        self.said[0].kind != NoticeKind::Picture
    }
}

impl Context {
    /// Writes the message.
    pub(super) async fn content(&self, channel: &Channel, bundle: &Bundle) -> Result<Content, RecordError> {
        let contact = match bundle.contact {
            Some(id) => self.records.contact(id).await?,
            None => None,
        };
        let Some(contact) = contact.filter(|contact| contact.enabled) else {
            return Ok(Content::Nothing(Outcome::Dropped));
        };
        let picture = match self.picture(bundle).await {
            Ok(picture) => picture,
            Err(outcome) => return Ok(Content::Nothing(outcome)),
        };
        let mut texts = Vec::with_capacity(bundle.said.len());
        let mut event = serde_json::Value::Null;
        let now = self.clock.now();
        for said in &bundle.said {
            let facility = &said.point.facility;
            if !self.still_true(said).await? || !self.records.may_hear(&contact, facility).await? {
                continue;
            }
            let told = self.wording.look_up(said).await?;
            texts.push(self.wording.text(said, &told, contact.language));
            if !channel.kind.gathers() {
                event = self.wording.event(said, &told, now);
            }
        }
        let severity = bundle.said.iter().map(|said| said.severity).min();
        let Some(text) = self.joined(texts, contact.language) else {
            return Ok(Content::Nothing(Outcome::Dropped));
        };
        Ok(Content::Letter(Box::new(Letter {
            name: bundle.name.clone(),
            at: now,
            text,
            severity: severity.unwrap_or(Severity::P4),
            facility: bundle.said[0].point.facility.to_string(),
            address: contact.address,
            person: contact.person,
            picture,
            event,
        })))
    }

    fn joined(&self, mut texts: Vec<Text>, language: Language) -> Option<Text> {
        match texts.len() {
            0 => None,
            1 => texts.pop(),
            _ => Some(gathered(&texts, &self.wording.cases_link(), language)),
        }
    }

    /// The picture, where the bundle is one; not yet, or never, when there is none.
    async fn picture(&self, bundle: &Bundle) -> Result<Option<Bytes>, Outcome> {
        let said = &bundle.said[0];
        if said.kind != NoticeKind::Picture {
            return Ok(None);
        }
        if let Some(jpeg) = (self.picture)(said.point.clone(), said.since).await {
            return Ok(Some(jpeg));
        }
        let now = self.clock.now();
        if now.ms_since(bundle.created_at) >= PICTURE_PATIENCE_MS {
            return Err(Outcome::Dropped);
        }
        Err(Outcome::Retry {
            at: now + PICTURE_PAUSE_MS,
            error: String::new(),
        })
    }
}
