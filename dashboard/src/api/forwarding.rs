//! `/api/v1/forwarding`: how readings reach another time-series server, and the lines that it refuses.

use std::sync::Arc;

use axum::{extract::State, http::Uri, response::IntoResponse};
use domain::status::ForwardStats;
use serde::Serialize;
use store::records::{DeadLetter, MAX_LETTERS};

use super::json;
use crate::{app::App, failure::Failure, format::iso, query::Parameters, visitor::Visitor};

/// How forwarding fares.
#[derive(Serialize)]
pub(super) struct ForwardBody {
    backend: &'static str,
    mode: &'static str,
    state: &'static str,
    needs_a_person: bool,
    since: Option<String>,
    again_at: Option<String>,
    detail: Option<String>,
    lines: u64,
    requests: u64,
    retries: u64,
    letters: u64,
    letters_dropped: u64,
    lag_bytes: u64,
    held_bytes_max: u64,
    owed_readings: u64,
    owed_spans: u64,
}

impl From<ForwardStats> for ForwardBody {
    fn from(stats: ForwardStats) -> ForwardBody {
        let condition = stats.condition;
        ForwardBody {
            backend: stats.backend,
            mode: if stats.primary { "primary" } else { "mirror" },
            state: condition.state.code(),
            needs_a_person: condition.state.needs_a_person(),
            since: condition.since.map(iso),
            again_at: condition.again_at.map(iso),
            detail: condition.detail,
            lines: stats.lines,
            requests: stats.requests,
            retries: stats.retries,
            letters: stats.letters,
            letters_dropped: stats.letters_dropped,
            lag_bytes: stats.lag_bytes,
            held_bytes_max: stats.held_bytes_max,
            owed_readings: stats.owed_readings,
            owed_spans: stats.owed_spans,
        }
    }
}

#[derive(Serialize)]
struct LetterBody {
    id: i64,
    facility: String,
    at: String,
    line: String,
    reason: String,
    again: bool,
}

impl From<DeadLetter> for LetterBody {
    fn from(letter: DeadLetter) -> LetterBody {
        LetterBody {
            id: letter.id,
            facility: letter.facility.to_string(),
            at: iso(letter.at),
            line: letter.line,
            reason: letter.reason,
            again: letter.again,
        }
    }
}

#[derive(Serialize)]
struct Forwarding {
    /// `null` where nothing is forwarded.
    forward: Option<ForwardBody>,
    /// Newest first.
    letters: Vec<LetterBody>,
}

#[derive(Serialize)]
struct Done {
    letters: u64,
}

pub(super) async fn show(
    State(app): State<Arc<App>>,
    visitor: Visitor,
    uri: Uri,
) -> Result<impl IntoResponse, Failure> {
    let limit = Parameters::of(&uri)?.number("limit", 1, MAX_LETTERS, 50)?;
    let letters = app.stores.records.dead_letters(&visitor.scope, limit).await?;
    Ok(json(Forwarding {
        forward: (app.stores.stats)().forward.map(ForwardBody::from),
        letters: letters.into_iter().map(LetterBody::from).collect(),
    }))
}

pub(super) async fn resend(
    State(app): State<Arc<App>>,
    visitor: Visitor,
) -> Result<impl IntoResponse, Failure> {
    let letters = app.stores.records.resend_dead_letters(&visitor.scope).await?;
    Ok(json(Done { letters }))
}

pub(super) async fn discard(
    State(app): State<Arc<App>>,
    visitor: Visitor,
) -> Result<impl IntoResponse, Failure> {
    let letters = app.stores.records.discard_dead_letters(&visitor.scope).await?;
    tracing::info!(letters, "Dead letters were discarded through the API.");
    Ok(json(Done { letters }))
}
