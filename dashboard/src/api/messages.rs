//! `/api/v1/messages`: what people were told, and what is still to be told.

use std::sync::Arc;

use axum::{extract::State, http::Uri, response::IntoResponse};
use domain::CaseId;
use serde::Serialize;
use store::records::{Delivery, DeliveryFilter, DeliveryId, DeliveryState};

use super::json;
use crate::{app::App, failure::Failure, format::iso, query::Parameters, visitor::Visitor};

/// A message to one contact.
#[derive(Serialize)]
struct MessageBody {
    id: i64,
    /// Its idempotency key: the webhook-id of a webhook.
    name: String,
    case: i64,
    facility: String,
    kind: &'static str,
    contact: Option<i64>,
    channel: Option<String>,
    state: &'static str,
    digest: bool,
    created_at: String,
    due_at: String,
    settled_at: Option<String>,
    attempts: u32,
    error: String,
}

impl From<Delivery> for MessageBody {
    fn from(delivery: Delivery) -> MessageBody {
        MessageBody {
            id: delivery.id.0,
            name: delivery.name,
            case: delivery.case.0,
            facility: delivery.facility.to_string(),
            kind: delivery.kind.code(),
            contact: delivery.contact.map(|id| id.0),
            channel: delivery.channel,
            state: delivery.state.code(),
            digest: delivery.digest,
            created_at: iso(delivery.created_at),
            due_at: iso(delivery.due_at),
            settled_at: delivery.settled_at.map(iso),
            attempts: delivery.attempts,
            error: delivery.error,
        }
    }
}

#[derive(Serialize)]
struct Messages {
    messages: Vec<MessageBody>,
    /// The message before which to go on; absent on the last page.
    next: Option<i64>,
}

pub(super) async fn list(
    State(app): State<Arc<App>>,
    visitor: Visitor,
    uri: Uri,
) -> Result<impl IntoResponse, Failure> {
    let parameters = Parameters::of(&uri)?;
    let limit = parameters.number("limit", 1, 200, 50)?;
    let number = |name: &str| match parameters.get(name).map(str::parse::<i64>) {
        None => Ok(None),
        Some(Ok(n)) if n > 0 => Ok(Some(n)),
        Some(_) => Err(Failure::bad_parameter(name, "a number of 1 or above")),
    };
    let state = match parameters.get("state").map(DeliveryState::parse) {
        Some(None) => {
            return Err(Failure::bad_parameter(
                "state",
                "waiting, sent, dead, dropped or unheard",
            ));
        }
        state => state.flatten(),
    };
    let filter = DeliveryFilter {
        state,
        facility: parameters.facility()?,
        case: number("case")?.map(CaseId),
        before: number("before")?.map(DeliveryId),
        limit: limit + 1,
    };
    let mut found = app.stores.records.deliveries(&visitor.scope, &filter).await?;
    let more = found.len() > limit as usize;
    found.truncate(limit as usize);
    let next = found.last().filter(|_| more).map(|last| last.id.0);
    Ok(json(Messages {
        messages: found.into_iter().map(MessageBody::from).collect(),
        next,
    }))
}
