//! A case's row, read and written whole.

use domain::{
    Case, CaseId, CaseState, SeriesKey, Severity,
    case::{Card, Handling, Note, PictureId},
};

use crate::records::{
    database::{Row, Transaction},
    error::RecordError,
    fields::Fields,
};

pub(super) fn object_of(case: &Case) -> String {
    format!("case {}", case.id)
}

/// What a case rests on, for the audit trail: enough to tell whether the case's own row was changed later.
pub(super) fn evidence_of(case: &Case) -> String {
    let number = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), |v| v.to_string());
    format!(
        "{} {} {} {} since={} raised={} value={} limit={} cleared={} state={}",
        case.rule,
        case.rule_version,
        case.point,
        case.severity.code(),
        case.since.0,
        case.raised_at.0,
        number(case.value),
        number(case.limit),
        case.cleared_at
            .map_or_else(|| "-".to_owned(), |at| at.0.to_string()),
        case.state.code(),
    )
}

pub(in crate::records) fn case_of(row: &Row) -> Result<Case, RecordError> {
    let fields = Fields::of(row, "id");
    Ok(Case {
        id: CaseId(fields.get("id")?),
        rule: fields.id("rule")?,
        rule_version: fields.get("rule_version")?,
        point: SeriesKey {
            facility: fields.id("facility")?,
            device: fields.id("device")?,
            metric: fields.id("metric")?,
        },
        severity: fields.parsed("severity", Severity::parse)?,
        state: fields.parsed("stage", CaseState::parse)?,
        since: fields.moment("since_ms")?,
        raised_at: fields.moment("raised_at_ms")?,
        value: fields.get("value")?,
        limit: fields.get("limit_value")?,
        cleared_at: fields.optional_moment("cleared_at_ms")?,
        acknowledged: note_of(
            &fields,
            ["acknowledged_by", "acknowledged_at_ms", "acknowledged_comment"],
        )?,
        closed: note_of(&fields, ["closed_by", "closed_at_ms", "closed_comment"])?,
        handling: handling_of(&fields)?,
        version: fields.get("version")?,
    })
}

fn note_of(fields: &Fields<'_>, columns: [&'static str; 3]) -> Result<Option<Note>, RecordError> {
    let [by, at, comment] = columns;
    let Some(who) = fields.get::<Option<String>>(by)? else {
        return Ok(None);
    };
    Ok(Some(Note {
        by: who,
        at: fields.moment(at)?,
        comment: fields.get(comment)?,
    }))
}

fn handling_of(fields: &Fields<'_>) -> Result<Handling, RecordError> {
    let number = |column| fields.get::<Option<i64>>(column).map(|n| n.map(CaseId));
    let picture = |column| -> Result<Option<PictureId>, RecordError> {
        let Some(text) = fields.get::<Option<String>>(column)? else {
            return Ok(None);
        };
        PictureId::parse(&text)
            .map(Some)
            .ok_or_else(|| fields.damaged(column))
    };
    Ok(Handling {
        entered_at: fields.optional_moment("entered_ms")?,
        due_at: fields.optional_moment("due_ms")?,
        answered_ms: fields.get("answered_ms")?,
        next_at: fields.optional_moment("next_ms")?,
        level: u8::try_from(fields.u32("level")?).map_err(|_out_of_range| fields.damaged("level"))?,
        reminders: fields.u32("reminders")?,
        card: fields.parsed("card", Card::parse)?,
        round: fields.u32("round")?,
        measure: fields.get("measure")?,
        responsible: fields.get("responsible")?,
        begun_by: fields.get("begun_by")?,
        submitted_by: fields.get("submitted_by")?,
        disputed_by: fields.get("disputed_by")?,
        before: picture("before_picture")?,
        after: picture("after_picture")?,
        recurs: number("recurs")?,
        folded_into: number("folded_into")?,
        folded: fields.u32("folded")?,
    })
}

/// The word for `state` in the column that knows three of them.
const fn coarse(state: CaseState) -> &'static str {
    match state {
        CaseState::Open => "open",
        CaseState::Closed => "closed",
        _ => "acknowledged",
    }
}

/// Writes whatever of a case may change.
pub(super) async fn write_case(transaction: &mut Transaction, case: &Case) -> Result<(), RecordError> {
    let handling = &case.handling;
    let by = |note: &Option<Note>| note.as_ref().map(|n| n.by.trim().to_owned());
    let at = |note: &Option<Note>| note.as_ref().map(|n| n.at.0);
    let comment = |note: &Option<Note>| note.as_ref().map(|n| n.comment.clone());
    sqlx::query(
        "UPDATE cases SET state = $2, stage = $3, cleared_at_ms = $4, acknowledged_by = $5, acknowledged_at_ms = $6, \
           acknowledged_comment = $7, closed_by = $8, closed_at_ms = $9, closed_comment = $10, version = $11, \
           entered_ms = $12, due_ms = $13, next_ms = $14, level = $15, reminders = $16, card = $17, round = $18, \
           measure = $19, responsible = $20, begun_by = $21, submitted_by = $22, disputed_by = $23, \
           before_picture = $24, after_picture = $25, recurs = $26, folded_into = $27, folded = $28, answered_ms = $29 \
         WHERE id = $1",
    )
    .bind(case.id.0)
    .bind(coarse(case.state))
    .bind(case.state.code())
    .bind(case.cleared_at.map(|at| at.0))
    .bind(by(&case.acknowledged))
    .bind(at(&case.acknowledged))
    .bind(comment(&case.acknowledged))
    .bind(by(&case.closed))
    .bind(at(&case.closed))
    .bind(comment(&case.closed))
    .bind(case.version)
    .bind(handling.entered_at.map(|at| at.0))
    .bind(handling.due_at.map(|at| at.0))
    .bind(handling.next_at.map(|at| at.0))
    .bind(i64::from(handling.level))
    .bind(i64::from(handling.reminders))
    .bind(handling.card.code())
    .bind(i64::from(handling.round))
    .bind(&handling.measure)
    .bind(&handling.responsible)
    .bind(handling.begun_by.as_deref())
    .bind(handling.submitted_by.as_deref())
    .bind(handling.disputed_by.as_deref())
    .bind(handling.before.map(|id| id.to_string()))
    .bind(handling.after.map(|id| id.to_string()))
    .bind(handling.recurs.map(|id| id.0))
    .bind(handling.folded_into.map(|id| id.0))
    .bind(i64::from(handling.folded))
    .bind(handling.answered_ms)
    .execute(&mut **transaction)
    .await
    .map(drop)
    .map_err(RecordError::from_database)
}

/// The case with this number, or `None`.
pub(super) async fn find_case(
    transaction: &mut Transaction,
    id: CaseId,
) -> Result<Option<Case>, RecordError> {
    let row = sqlx::query("SELECT * FROM cases WHERE id = $1")
        .bind(id.0)
        .fetch_optional(&mut **transaction)
        .await
        .map_err(RecordError::from_database)?;
    row.as_ref().map(case_of).transpose()
}
