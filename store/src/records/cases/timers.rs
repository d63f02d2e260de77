//! What happens to cases when nobody does anything: the durable side of [`domain::case::timer`].

use domain::{
    Case, UtcMillis,
    case::{Card, timer},
    message::NoticeKind,
};
use sqlx::Row as _;

use super::{
    SYSTEM,
    row::{case_of, object_of, write_case},
};
use crate::records::{
    Records,
    audit::{self, Line},
    database::{Row, commit},
    error::RecordError,
    outbox::{News, Teller},
};

/// Cases looked at in one transaction.
const AT_ONCE: i64 = 200;

impl Records {
    /// Looks at the cases whose timer has run out by the store's clock: reminds, tells the next step of the ladder,
    /// gives cards. What changed and what is to be told are one transaction; a second call in the same moment changes
    /// nothing. Answers with the cases that changed; at most 200 are looked at, so call again until none is left.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn pass_timers(&self) -> Result<Vec<Case>, RecordError> {
        let now = self.clock.now();
        self.set_timers_right(now).await?;
        if self.next_timer().await?.is_none_or(|next| next > now) {
            return Ok(Vec::new());
        }
        let mut transaction = self.database.write().await?;
        let rows = sqlx::query(
            "SELECT * FROM cases WHERE next_ms <= $1 AND state <> 'closed' AND folded_into IS NULL \
             ORDER BY next_ms, id LIMIT $2",
        )
        .bind(now.0)
        .bind(AT_ONCE)
        .fetch_all(&mut *transaction)
        .await
        .map_err(RecordError::from_database)?;
        let cases: Vec<Case> = rows
            .iter()
            .map(|row: &Row| case_of(row))
            .collect::<Result<_, _>>()?;
        let mut teller = Teller::new(&self.practice, now);
        let mut changed = Vec::with_capacity(cases.len());
        for mut case in cases {
            let pass = timer::pass(
                &self.practice.policy,
                &self.practice.policy.terms_of(&case),
                case.state,
                &case.handling,
                now,
            );
            let climbed = pass.level > case.handling.level || pass.card > case.handling.card;
            case.handling.level = pass.level;
            case.handling.reminders = pass.reminders;
            case.handling.card = pass.card;
            case.handling.next_at = pass.next_at;
            write_case(&mut transaction, &case).await?;
            if climbed {
                let line = Line {
                    actor: SYSTEM,
                    action: "case.escalate",
                    object: &object_of(&case),
                    detail: &format!("level={} card={}", pass.level, pass.card.code()),
                };
                audit::write(&mut transaction, now, &line).await?;
            }
            if let Some(kind) = pass.notice {
                teller.tell(&mut transaction, &case, &News::of(kind)).await?;
            }
            changed.push(case);
        }
        commit(transaction).await?;
        Ok(changed)
    }

    /// Where the clock was set back, cases that say that they entered their state in the future enter it now.
    async fn set_timers_right(&self, now: UtcMillis) -> Result<(), RecordError> {
        let ahead = "SELECT * FROM cases WHERE next_ms > $1 AND entered_ms > $1 AND state <> 'closed' \
               AND folded_into IS NULL ORDER BY next_ms, id LIMIT $2";
        let limit = now + timer::CLOCK_SLACK_MS;
        let found = sqlx::query(ahead)
            .bind(limit.0)
            .bind(1_i64)
            .fetch_optional(self.database.readers())
            .await
            .map_err(RecordError::from_database)?;
        if found.is_none() {
            return Ok(());
        }
        let mut transaction = self.database.write().await?;
        let rows = sqlx::query(ahead)
            .bind(limit.0)
            .bind(i64::MAX)
            .fetch_all(&mut *transaction)
            .await
            .map_err(RecordError::from_database)?;
        for row in &rows {
            let mut case = case_of(row)?;
            timer::set_right(&mut case.handling, now);
            write_case(&mut transaction, &case).await?;
        }
        let line = Line {
            actor: SYSTEM,
            action: "case.clock",
            object: "cases",
            detail: &format!("{} cases were ahead of the clock, which was set back", rows.len()),
        };
        audit::write(&mut transaction, now, &line).await?;
        commit(transaction).await
    }

    /// When the next timer of a case runs out; `None` when none runs.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn next_timer(&self) -> Result<Option<UtcMillis>, RecordError> {
        let row = sqlx::query(
            "SELECT MIN(next_ms) AS next_ms FROM cases WHERE next_ms IS NOT NULL AND state <> 'closed' \
               AND folded_into IS NULL",
        )
        .fetch_one(self.database.readers())
        .await
        .map_err(RecordError::from_database)?;
        Ok(row.get::<Option<i64>, _>("next_ms").map(UtcMillis))
    }
}

/// How a notice of a timer is named, so that the same one is never written twice.
pub(in crate::records) fn mark(case: &Case, kind: NoticeKind) -> String {
    let handling = &case.handling;
    let card = match handling.card {
        Card::None => 'n',
        Card::Yellow => 'y',
        Card::Red => 'r',
    };
    match kind {
        NoticeKind::Reminder => format!("r{}", handling.reminders),
        NoticeKind::Overdue => format!("l{}", handling.level),
        NoticeKind::Card => format!("c{card}"),
        _ => String::new(),
    }
}
