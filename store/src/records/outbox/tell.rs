//! Writes what people are to be told, in the transaction of what is told.

use std::collections::BTreeMap;

use domain::{
    Case, Check, FacilityId, RegionId, UtcMillis,
    case::CasePolicy,
    duty::{Contact, ContactId, Heard, LocalTime, Planned, plan},
    message::{NoticeKind, Said},
};

use super::DeliveryState;
use crate::records::{
    Practice,
    cases::mark,
    database::Transaction,
    duty::{Listeners, listeners},
    error::RecordError,
};

/// How long after the words a picture is tried, in milliseconds: it is usually there by then.
const PICTURE_AFTER_MS: i64 = 2_000;

/// Something to be told of a case.
#[derive(Debug, Clone)]
pub(in crate::records) struct News {
    pub(in crate::records) kind: NoticeKind,
    /// Who did it; empty for the machine.
    pub(in crate::records) by: String,
    pub(in crate::records) words: String,
    /// The last step of the ladder that hears; the case's own where it is not given.
    pub(in crate::records) level: Option<u8>,
    /// Whether it happened long ago.
    pub(in crate::records) late: bool,
}

impl News {
    pub(in crate::records) fn of(kind: NoticeKind) -> News {
        News {
            kind,
            by: String::new(),
            words: String::new(),
            level: None,
            late: false,
        }
    }
}

/// Tells of cases within one transaction: contacts are read once.
pub(in crate::records) struct Teller<'p> {
    practice: &'p Practice,
    now: UtcMillis,
    listeners: Option<Listeners>,
    regions: BTreeMap<FacilityId, Vec<RegionId>>,
}

impl<'p> Teller<'p> {
    pub(in crate::records) fn new(practice: &'p Practice, now: UtcMillis) -> Teller<'p> {
        Teller {
            practice,
            now,
            listeners: None,
            regions: BTreeMap::new(),
        }
    }

    pub(in crate::records) fn policy(&self) -> &'p CasePolicy {
        &self.practice.policy
    }

    pub(in crate::records) fn now(&self) -> UtcMillis {
        self.now
    }

    /// Writes a delivery for everybody who hears of it. A case that is a part of another one is nobody's news.
    pub(in crate::records) async fn tell(
        &mut self,
        transaction: &mut Transaction,
        case: &Case,
        news: &News,
    ) -> Result<(), RecordError> {
        if case.is_folded() {
            return Ok(());
        }
        if self.listeners.is_none() {
            self.listeners = Some(listeners(transaction).await?);
        }
        let facility = &case.point.facility;
        if !self.regions.contains_key(facility) {
            let found = regions_of(transaction, facility).await?;
            self.regions.insert(facility.clone(), found);
        }
        let regions = self.regions[facility].as_slice();
        let listeners = self.listeners.as_ref().expect("they were read above");
        let contacts = listeners.of(facility, regions);
        let level = news.level.unwrap_or(case.handling.level);
        let heard = Heard {
            kind: news.kind,
            severity: case.severity,
            level,
            facility,
            regions,
            late: news.late,
        };
        let local = LocalTime::of(self.now, self.practice.offset_min(self.now));
        let planned = plan(&contacts, &heard, local);
        let said = said(case, news, level);
        let name = format!(
            "c{}-v{}-{}{}",
            case.id,
            case.version,
            news.kind.code(),
            mark(case, news.kind)
        );
        let mut writer = Writer {
            transaction,
            now: self.now,
            said,
        };
        if planned.is_empty() && wants_somebody(news.kind) {
            return writer.unheard(&name).await;
        }
        for one in planned {
            let contact = contacts.iter().find(|c| c.id == one.contact);
            let contact = contact.expect("only contacts of the list are planned");
            writer.deliver(&name, contact, &one).await?;
            let kind = listeners.kinds.get(&contact.channel);
            let pictured = kind.is_some_and(|kind| kind.shows_pictures()) && !one.digest;
            if news.kind == NoticeKind::Opened && pictured && is_seen(case) {
                writer.picture(&name, contact, &one).await?;
            }
        }
        Ok(())
    }
}

/// Whether it is worth saying that nobody hears it.
const fn wants_somebody(kind: NoticeKind) -> bool {
    matches!(
        kind,
        NoticeKind::Opened | NoticeKind::Overdue | NoticeKind::Submitted | NoticeKind::Disputed
    )
}

/// Whether a camera raised the case.
fn is_seen(case: &Case) -> bool {
    Check::parse(case.point.metric.as_str()).is_some()
}

fn said(case: &Case, news: &News, level: u8) -> Said {
    Said {
        kind: news.kind,
        case: case.id,
        version: case.version,
        severity: case.severity,
        state: case.state,
        rule: case.rule.clone(),
        point: case.point.clone(),
        since: case.since,
        raised_at: case.raised_at,
        value: case.value,
        limit: case.limit,
        due_at: case.handling.due_at,
        level,
        card: case.handling.card,
        by: news.by.clone(),
        words: news.words.clone(),
    }
}

/// Writes rows of the outbox that tell the same.
struct Writer<'t> {
    transaction: &'t mut Transaction,
    now: UtcMillis,
    said: Said,
}

/// One row.
struct Line<'a> {
    name: String,
    to: Option<(&'a ContactId, &'a str)>,
    state: DeliveryState,
    digest: bool,
    due_at: UtcMillis,
}

impl Writer<'_> {
    async fn deliver(&mut self, name: &str, contact: &Contact, planned: &Planned) -> Result<(), RecordError> {
        let line = Line {
            name: format!("{name}-{}", contact.id.0),
            to: Some((&contact.id, &contact.channel)),
            state: DeliveryState::Waiting,
            digest: planned.digest,
            due_at: self.now + i64::from(planned.wait_min) * 60_000,
        };
        self.write(&line).await
    }

    /// The picture follows the words.
    async fn picture(&mut self, name: &str, contact: &Contact, planned: &Planned) -> Result<(), RecordError> {
        let line = Line {
            name: format!("{name}-{}-picture", contact.id.0),
            to: Some((&contact.id, &contact.channel)),
            state: DeliveryState::Waiting,
            digest: false,
            due_at: self.now + i64::from(planned.wait_min) * 60_000 + PICTURE_AFTER_MS,
        };
        let words = std::mem::replace(&mut self.said.kind, NoticeKind::Picture);
        let written = self.write(&line).await;
        self.said.kind = words;
        written
    }

    async fn unheard(&mut self, name: &str) -> Result<(), RecordError> {
        let line = Line {
            name: name.to_owned(),
            to: None,
            state: DeliveryState::Unheard,
            digest: false,
            due_at: self.now,
        };
        self.write(&line).await
    }

    async fn write(&mut self, line: &Line<'_>) -> Result<(), RecordError> {
        let id: Option<i64> = sqlx::query_scalar(
            "INSERT INTO outbox (id, name, case_id, facility, kind, contact, channel, state, digest, created_ms, due_ms, \
               attempts, error, said) \
             SELECT value + 1, $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, 0, '', $11 \
               FROM counters WHERE name = 'outbox' \
             ON CONFLICT (name) DO NOTHING RETURNING id",
        )
        .bind(&line.name)
        .bind(self.said.case.0)
        .bind(self.said.point.facility.as_str())
        .bind(self.said.kind.code())
        .bind(line.to.map(|(contact, _)| contact.0))
        .bind(line.to.map(|(_, channel)| channel.to_owned()))
        .bind(line.state.code())
        .bind(line.digest)
        .bind(self.now.0)
        .bind(line.due_at.0)
        .bind(serde_json::to_string(&self.said).expect("a notice is JSON"))
        .fetch_optional(&mut **self.transaction)
        .await
        .map_err(RecordError::from_database)?;
        let Some(id) = id else { return Ok(()) };
        sqlx::query("UPDATE counters SET value = $1 WHERE name = 'outbox'")
            .bind(id)
            .execute(&mut **self.transaction)
            .await
            .map(drop)
            .map_err(RecordError::from_database)
    }
}

/// The facility's region, and those that it lies in.
async fn regions_of(
    transaction: &mut Transaction,
    facility: &FacilityId,
) -> Result<Vec<RegionId>, RecordError> {
    let ids: Vec<String> = sqlx::query_scalar(
        "WITH RECURSIVE up (id) AS ( \
           SELECT region FROM facilities WHERE id = $1 \
           UNION SELECT regions.parent FROM regions JOIN up ON regions.id = up.id WHERE regions.parent IS NOT NULL) \
         SELECT id FROM up LIMIT 64",
    )
    .bind(facility.as_str())
    .fetch_all(&mut **transaction)
    .await
    .map_err(RecordError::from_database)?;
    Ok(ids.iter().filter_map(|id| RegionId::new(id).ok()).collect())
}
