//! What people do to cases.

use domain::{
    Case, CaseId, CaseState, Scope, UtcMillis,
    case::{
        Act, Note, PictureId, course,
        machine::{self, Refusal, Standing},
    },
    message::NoticeKind,
};
use sqlx::Row as _;

use super::{
    MAX_COMMENT, check_note,
    row::{find_case, object_of, write_case},
};
use crate::records::{
    Records,
    audit::{self, Line},
    database::{Row, Transaction, commit},
    error::RecordError,
    fields::Fields,
    outbox::{News, Teller},
    text::{check_free, check_line},
};

/// The most characters of a measure.
pub const MAX_MEASURE: usize = MAX_COMMENT;

/// The most characters of the name of whoever is responsible.
const MAX_RESPONSIBLE: usize = 64;

/// The most characters of a form's own name.
const MAX_ONCE: usize = 64;

/// The most acts that are answered with.
const MAX_ACTS: i64 = 500;

/// What a person asks of a case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CaseAction {
    /// What.
    pub act: Act,
    /// Who, when, and with what words.
    pub note: Note,
    /// The name of the form that it came with: the same form acts once, however often it is sent.
    pub once: Option<String>,
}

impl CaseAction {
    /// An act that comes with no form's name.
    #[must_use]
    pub fn new(act: Act, note: Note) -> CaseAction {
        CaseAction {
            act,
            note,
            once: None,
        }
    }
}

/// Something that somebody did to a case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CaseAct {
    /// The version that it led to.
    pub version: i64,
    /// What was done: [`Act::code`], or `review` for a finding that was rejected.
    pub act: String,
    /// Who, when, and with what words.
    pub note: Note,
    /// Where it led.
    pub state: CaseState,
    /// The round it belongs to, 0 for the first.
    pub round: u32,
    /// The measure, where one was named.
    pub measure: String,
    /// Who is responsible, where somebody was named.
    pub responsible: String,
    /// By when the next act was due.
    pub due_at: Option<UtcMillis>,
    /// The picture that came with it.
    pub picture: Option<PictureId>,
}

impl Records {
    /// Does what a person asks of a case, writes the audit line and what is to be told, all or nothing. `version` is the
    /// one that the person saw. The same form sent again changes nothing and is answered with the case as it is.
    ///
    /// # Errors
    /// [`RecordError::NotFound`] when the case does not exist or lies outside `scope`,
    /// [`RecordError::Conflict`] when `version` is no longer the case's, [`RecordError::WrongState`] when this
    /// cannot be done to it any more, [`RecordError::Refused`] for what the case machine refuses otherwise,
    /// [`RecordError::Missing`] for a picture that was not put in, [`RecordError::Invalid`] for an empty, over-long
    /// (64 characters) or reserved name or an over-long comment or measure (1,000 characters).
    pub async fn act_on_case(
        &self,
        scope: &Scope,
        id: CaseId,
        version: i64,
        action: CaseAction,
    ) -> Result<Case, RecordError> {
        check(&action)?;
        let CaseAction { act, note, once } = action;
        let note = Note {
            by: note.by.trim().to_owned(),
            ..note
        };
        let now = self.clock.now();
        let mut transaction = self.database.write().await?;
        let case = find_case(&mut transaction, id).await?;
        let case = case
            .filter(|c| scope.allows(&c.point.facility))
            .ok_or(RecordError::NotFound)?;
        if acted_before(&mut transaction, id, once.as_deref()).await? {
            return Ok(case);
        }
        if case.version != version {
            return Err(RecordError::Conflict);
        }
        expect_pictures(&mut transaction, id, &act).await?;
        let to = self.allowed(&case, &act, &note)?;
        let after = course::after(&case, (&act, &note), to, &self.practice.policy, now);
        write_case(&mut transaction, &after).await?;
        let done = Done {
            act: act.code(),
            note: &note,
            picture: picture_of(&act),
            once: once.as_deref(),
        };
        write_act(&mut transaction, &after, &done).await?;
        write_line(&mut transaction, now, &after, &done).await?;
        let mut teller = Teller::new(&self.practice, now);
        if let Some(kind) = course::told_as(&act, to) {
            let news = News {
                by: note.by.trim().to_owned(),
                words: note.comment.clone(),
                level: Some(case.handling.level),
                ..News::of(kind)
            };
            teller.tell(&mut transaction, &after, &news).await?;
        }
        if to == CaseState::Closed {
            close_parts(&mut transaction, &after, &note, now).await?;
        }
        commit(transaction).await?;
        Ok(after)
    }

    /// What was done to a case, the first act first, or nothing when it lies outside `scope`.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn case_acts(&self, scope: &Scope, id: CaseId) -> Result<Vec<CaseAct>, RecordError> {
        if self.case(scope, id).await?.is_none() {
            return Ok(Vec::new());
        }
        let rows = sqlx::query("SELECT * FROM case_acts WHERE case_id = $1 ORDER BY seq LIMIT $2")
            .bind(id.0)
            .bind(MAX_ACTS)
            .fetch_all(self.database.readers())
            .await
            .map_err(RecordError::from_database)?;
        rows.iter().map(act_of).collect()
    }

    fn allowed(&self, case: &Case, act: &Act, note: &Note) -> Result<CaseState, RecordError> {
        let handling = &case.handling;
        let fixers: Vec<&str> = [&handling.begun_by, &handling.submitted_by]
            .into_iter()
            .flatten()
            .chain((!handling.responsible.is_empty()).then_some(&handling.responsible))
            .map(String::as_str)
            .collect();
        let standing = Standing {
            state: case.state,
            cleared: case.cleared_at.is_some(),
            folded: case.is_folded(),
            fixers: &fixers,
            disputer: handling.disputed_by.as_deref(),
            closing: self.practice.policy.closing(case.severity),
            call: case.is_call(),
        };
        machine::next(standing, act, note).map_err(|refusal| match refusal {
            Refusal::State(state) => RecordError::WrongState { state },
            refusal => RecordError::Refused { refusal },
        })
    }
}

fn check(action: &CaseAction) -> Result<(), RecordError> {
    check_note(&action.note)?;
    if let Act::Begin(plan) = &action.act {
        check_free("measure", &plan.measure, MAX_MEASURE)?;
        check_free("responsible", &plan.responsible, MAX_RESPONSIBLE)?;
    }
    match &action.once {
        Some(once) => check_line("once", once, MAX_ONCE),
        None => Ok(()),
    }
}

fn picture_of(act: &Act) -> Option<PictureId> {
    match act {
        Act::Begin(plan) => plan.before,
        Act::Submit(proof) => proof.after,
        _ => None,
    }
}

async fn acted_before(
    transaction: &mut Transaction,
    id: CaseId,
    once: Option<&str>,
) -> Result<bool, RecordError> {
    let Some(once) = once else { return Ok(false) };
    let found: Option<i64> = sqlx::query_scalar("SELECT seq FROM case_acts WHERE case_id = $1 AND once = $2")
        .bind(id.0)
        .bind(once)
        .fetch_optional(&mut **transaction)
        .await
        .map_err(RecordError::from_database)?;
    Ok(found.is_some())
}

async fn expect_pictures(transaction: &mut Transaction, id: CaseId, act: &Act) -> Result<(), RecordError> {
    let Some(picture) = picture_of(act) else {
        return Ok(());
    };
    let found = sqlx::query("SELECT at_ms FROM case_pictures WHERE case_id = $1 AND picture = $2")
        .bind(id.0)
        .bind(picture.to_string())
        .fetch_optional(&mut **transaction)
        .await
        .map_err(RecordError::from_database)?;
    found.map(drop).ok_or_else(|| RecordError::Missing {
        what: "picture",
        id: picture.to_string(),
    })
}

/// An act as it is written down.
struct Done<'a> {
    act: &'static str,
    note: &'a Note,
    picture: Option<PictureId>,
    once: Option<&'a str>,
}

async fn write_act(transaction: &mut Transaction, after: &Case, done: &Done<'_>) -> Result<(), RecordError> {
    let handling = &after.handling;
    sqlx::query(
        "INSERT INTO case_acts (case_id, seq, act, actor, at_ms, comment, stage, round, measure, responsible, due_ms, \
           picture, once) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)",
    )
    .bind(after.id.0)
    .bind(after.version)
    .bind(done.act)
    .bind(done.note.by.trim())
    .bind(done.note.at.0)
    .bind(&done.note.comment)
    .bind(after.state.code())
    .bind(i64::from(handling.round))
    .bind(&handling.measure)
    .bind(&handling.responsible)
    .bind(handling.due_at.map(|at| at.0))
    .bind(done.picture.map(|id| id.to_string()))
    .bind(done.once)
    .execute(&mut **transaction)
    .await
    .map(drop)
    .map_err(RecordError::from_database)
}

async fn write_line(
    transaction: &mut Transaction,
    now: UtcMillis,
    after: &Case,
    done: &Done<'_>,
) -> Result<(), RecordError> {
    let picture = done
        .picture
        .map(|id| format!("\npicture={id}"))
        .unwrap_or_default();
    let line = Line {
        actor: done.note.by.trim(),
        action: &format!("case.{}", done.act),
        object: &object_of(after),
        detail: &format!(
            "→ {} version={} round={}{picture}\n{}",
            after.state.code(),
            after.version,
            after.handling.round,
            done.note.comment
        ),
    };
    audit::write(transaction, now, &line).await
}

/// Whoever closes a case closes its parts.
async fn close_parts(
    transaction: &mut Transaction,
    head: &Case,
    note: &Note,
    now: UtcMillis,
) -> Result<(), RecordError> {
    let done = sqlx::query(
        "UPDATE cases SET state = 'closed', stage = 'closed', closed_by = $2, closed_at_ms = $3, \
           closed_comment = $4, next_ms = NULL, due_ms = NULL, version = version + 1 \
         WHERE folded_into = $1 AND state <> 'closed'",
    )
    .bind(head.id.0)
    .bind(note.by.trim())
    .bind(note.at.0)
    .bind(&note.comment)
    .execute(&mut **transaction)
    .await
    .map_err(RecordError::from_database)?;
    if done.rows_affected() == 0 {
        return Ok(());
    }
    let line = Line {
        actor: note.by.trim(),
        action: "case.close_parts",
        object: &object_of(head),
        detail: &format!("{} parts", done.rows_affected()),
    };
    audit::write(transaction, now, &line).await
}

/// Closes the case that a finding opened, because a person said that the finding is wrong. In the review's transaction.
pub(in crate::records) async fn close_by_review(
    transaction: &mut Transaction,
    teller: &mut Teller<'_>,
    case: &Case,
    note: &Note,
) -> Result<(), RecordError> {
    if case.state == CaseState::Closed {
        return Ok(());
    }
    let after = course::closed(case, note, teller.policy());
    write_case(transaction, &after).await?;
    let done = Done {
        act: "review",
        note,
        picture: None,
        once: None,
    };
    write_act(transaction, &after, &done).await?;
    write_line(transaction, teller.now(), &after, &done).await?;
    close_parts(transaction, &after, note, teller.now()).await?;
    let news = News {
        by: note.by.trim().to_owned(),
        words: note.comment.clone(),
        level: Some(case.handling.level),
        ..News::of(NoticeKind::Closed)
    };
    teller.tell(transaction, &after, &news).await
}

fn act_of(row: &Row) -> Result<CaseAct, RecordError> {
    let fields = Fields::of(row, "case_id");
    let picture: Option<String> = fields.get("picture")?;
    Ok(CaseAct {
        version: row.get("seq"),
        act: fields.get("act")?,
        note: Note {
            by: fields.get("actor")?,
            at: fields.moment("at_ms")?,
            comment: fields.get("comment")?,
        },
        state: fields.parsed("stage", CaseState::parse)?,
        round: fields.u32("round")?,
        measure: fields.get("measure")?,
        responsible: fields.get("responsible")?,
        due_at: fields.optional_moment("due_ms")?,
        picture: picture
            .map(|text| PictureId::parse(&text).ok_or_else(|| fields.damaged("picture")))
            .transpose()?,
    })
}
