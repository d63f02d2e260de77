//! What the machine writes: cases that open and clear, and which of them are one trouble.

use domain::{
    Case, CaseId, CaseState, UtcMillis,
    case::{Note, cause::Trouble, course, machine},
    message::NoticeKind,
};

use super::{
    CaseWrite, NewCase, SYSTEM,
    folding::{self, fold_in},
    row::{case_of, evidence_of, find_case, object_of, write_case},
};
use crate::records::{
    audit::{self, Line},
    database::Transaction,
    error::RecordError,
    outbox::{News, Teller},
};

/// Opens a case, unless it was opened before; tells of it, unless it is a part of one that stands.
pub(super) async fn open(
    transaction: &mut Transaction,
    teller: &mut Teller<'_>,
    new: &NewCase,
    changed: &mut Vec<Case>,
) -> Result<(), RecordError> {
    let trouble = folding::trouble_of(transaction, new).await?;
    let Some(mut case) = insert(transaction, new, trouble).await? else {
        return Ok(());
    };
    let (policy, now) = (teller.policy(), teller.now());
    case.handling = course::opened(policy, &case, now);
    case.handling.recurs = recurs(transaction, &case, policy.recurrence_ms).await?;
    let folded = fold_in(transaction, teller, (&mut case, trouble), changed).await?;
    write_case(transaction, &case).await?;
    write_line(transaction, now, "case.open", &case).await?;
    if !folded {
        let late = now.ms_since(case.raised_at) > policy.late_ms;
        let news = News {
            late,
            ..News::of(NoticeKind::Opened)
        };
        teller.tell(transaction, &case, &news).await?;
    }
    changed.push(case);
    Ok(())
}

async fn insert(
    transaction: &mut Transaction,
    new: &NewCase,
    trouble: Trouble,
) -> Result<Option<Case>, RecordError> {
    let row = sqlx::query(
        "INSERT INTO cases (id, rule, rule_version, facility, device, metric, severity, state, stage, since_ms, \
           raised_at_ms, value, limit_value, version, trouble) \
         SELECT value + 1, $1, $2, $3, $4, $5, $6, 'open', 'open', $7, $8, $9, $10, 1, $11 \
           FROM counters WHERE name = 'cases' \
         ON CONFLICT (rule, facility, device, metric, since_ms) DO NOTHING RETURNING *",
    )
    .bind(new.rule.as_str())
    .bind(&new.rule_version)
    .bind(new.point.facility.as_str())
    .bind(new.point.device.as_str())
    .bind(new.point.metric.as_str())
    .bind(new.severity.code())
    .bind(new.since.0)
    .bind(new.raised_at.0)
    .bind(new.value)
    .bind(new.limit)
    .bind(trouble.code())
    .fetch_optional(&mut **transaction)
    .await
    .map_err(|e| RecordError::from_reference(e, "facility", new.point.facility.as_str()))?;
    let Some(case) = row.as_ref().map(case_of).transpose()? else {
        return Ok(None);
    };
    sqlx::query("UPDATE counters SET value = $1 WHERE name = 'cases'")
        .bind(case.id.0)
        .execute(&mut **transaction)
        .await
        .map_err(RecordError::from_database)?;
    Ok(Some(case))
}

/// The last case of the same rule and point, when it was closed not long before this one began.
async fn recurs(
    transaction: &mut Transaction,
    case: &Case,
    within_ms: i64,
) -> Result<Option<CaseId>, RecordError> {
    let id: Option<i64> = sqlx::query_scalar(
        "SELECT id FROM cases WHERE rule = $1 AND facility = $2 AND device = $3 AND metric = $4 AND since_ms < $5 \
           AND state = 'closed' AND closed_at_ms >= $6 ORDER BY since_ms DESC LIMIT 1",
    )
    .bind(case.rule.as_str())
    .bind(case.point.facility.as_str())
    .bind(case.point.device.as_str())
    .bind(case.point.metric.as_str())
    .bind(case.since.0)
    .bind((case.since - within_ms).0)
    .fetch_optional(&mut **transaction)
    .await
    .map_err(RecordError::from_database)?;
    Ok(id.map(CaseId))
}

/// Notes that a case's condition cleared, unless that was noted before.
pub(super) async fn clear(
    transaction: &mut Transaction,
    teller: &mut Teller<'_>,
    write: &CaseWrite,
    changed: &mut Vec<Case>,
) -> Result<(), RecordError> {
    let CaseWrite::Clear {
        rule,
        point,
        since,
        at,
        close,
    } = write
    else {
        return Ok(());
    };
    let row = sqlx::query(
        "UPDATE cases SET cleared_at_ms = $6, closes = $7 WHERE rule = $1 AND facility = $2 AND device = $3 \
           AND metric = $4 AND since_ms = $5 AND cleared_at_ms IS NULL RETURNING *",
    )
    .bind(rule.as_str())
    .bind(point.facility.as_str())
    .bind(point.device.as_str())
    .bind(point.metric.as_str())
    .bind(since.0)
    .bind(at.0)
    .bind(*close)
    .fetch_optional(&mut **transaction)
    .await
    .map_err(RecordError::from_database)?;
    let Some(case) = row.as_ref().map(case_of).transpose()? else {
        return Ok(());
    };
    let head = case.handling.folded_into;
    let cleared = settle(transaction, teller, (case, *close), *at).await?;
    changed.push(cleared);
    // The part that cleared last lets the whole end.
    if let Some(head) = head {
        release(transaction, teller, (head, *at), changed).await?;
    }
    Ok(())
}

/// What the clearing of `case` means for it.
async fn settle(
    transaction: &mut Transaction,
    teller: &mut Teller<'_>,
    (case, close): (Case, bool),
    at: UtcMillis,
) -> Result<Case, RecordError> {
    let waits = has_open_parts(transaction, case.id).await?;
    let ends = case.state != CaseState::Closed
        && !waits
        && machine::cleared(case.state, !close) == CaseState::Closed;
    let after = if ends {
        course::closed(&case, &by_machine(at), teller.policy())
    } else {
        Case {
            version: case.version + 1,
            ..case.clone()
        }
    };
    write_case(transaction, &after).await?;
    write_line(transaction, teller.now(), "case.clear", &after).await?;
    if !after.is_folded() {
        let late = teller.now().ms_since(at) > teller.policy().late_ms;
        let news = News {
            late,
            ..News::of(NoticeKind::Cleared)
        };
        teller.tell(transaction, &after, &news).await?;
    }
    Ok(after)
}

/// Ends a case that waited for its parts, when no part is open any more.
async fn release(
    transaction: &mut Transaction,
    teller: &mut Teller<'_>,
    (head, at): (CaseId, UtcMillis),
    changed: &mut Vec<Case>,
) -> Result<(), RecordError> {
    let closes: Option<bool> =
        sqlx::query_scalar("SELECT closes FROM cases WHERE id = $1 AND cleared_at_ms IS NOT NULL")
            .bind(head.0)
            .fetch_optional(&mut **transaction)
            .await
            .map_err(RecordError::from_database)?;
    if closes != Some(true) || has_open_parts(transaction, head).await? {
        return Ok(());
    }
    let Some(case) = find_case(transaction, head).await? else {
        return Ok(());
    };
    if !matches!(case.state, CaseState::Open | CaseState::Acknowledged) {
        return Ok(());
    }
    let after = course::closed(&case, &by_machine(at), teller.policy());
    write_case(transaction, &after).await?;
    write_line(transaction, teller.now(), "case.clear", &after).await?;
    teller
        .tell(transaction, &after, &News::of(NoticeKind::Cleared))
        .await?;
    changed.push(after);
    Ok(())
}

async fn has_open_parts(transaction: &mut Transaction, head: CaseId) -> Result<bool, RecordError> {
    let one: Option<i64> =
        sqlx::query_scalar("SELECT id FROM cases WHERE folded_into = $1 AND state <> 'closed' LIMIT 1")
            .bind(head.0)
            .fetch_optional(&mut **transaction)
            .await
            .map_err(RecordError::from_database)?;
    Ok(one.is_some())
}

fn by_machine(at: UtcMillis) -> Note {
    Note {
        by: SYSTEM.to_owned(),
        at,
        comment: String::new(),
    }
}

pub(super) async fn write_line(
    transaction: &mut Transaction,
    now: UtcMillis,
    action: &'static str,
    case: &Case,
) -> Result<(), RecordError> {
    let line = Line {
        actor: SYSTEM,
        action,
        object: &object_of(case),
        detail: &evidence_of(case),
    };
    audit::write(transaction, now, &line).await
}
