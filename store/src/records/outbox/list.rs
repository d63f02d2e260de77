//! What people see of the outbox, and what they may do about it.

use domain::{CaseId, FacilityId, Scope, UtcMillis};

use super::{Delivery, DeliveryId, DeliveryState, delivery_of, select};
use crate::records::{
    Records,
    audit::{self, Line},
    cases::push_facilities,
    database::commit,
    error::RecordError,
};

/// The most deliveries that are answered with at once.
pub const MAX_DELIVERIES: u32 = 1_000;

/// Which deliveries to list.
#[derive(Debug, Clone, Default)]
pub struct DeliveryFilter {
    /// In this state only.
    pub state: Option<DeliveryState>,
    /// Of this facility only.
    pub facility: Option<FacilityId>,
    /// Of this case only.
    pub case: Option<CaseId>,
    /// Older than this one only.
    pub before: Option<DeliveryId>,
    /// At most this many, and never more than [`MAX_DELIVERIES`].
    pub limit: u32,
}

/// How many deliveries stand where.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct OutboxCounts {
    /// To be sent.
    pub waiting: u64,
    /// Given up.
    pub dead: u64,
    /// Nobody was there to hear.
    pub unheard: u64,
}

/// How the outbox as a whole stands, for whoever watches the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct OutboxState {
    /// Deliveries that are to be sent, now or later.
    pub waiting: u64,
    /// Deliveries that were given up.
    pub dead: u64,
    /// When the oldest one was written that should have gone out by now; `None` when there is none. What quiet hours or a
    /// digest hold back does not count.
    pub oldest: Option<UtcMillis>,
}

impl Records {
    /// How the outbox as a whole stands.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn outbox_state(&self) -> Result<OutboxState, RecordError> {
        let count = |state: DeliveryState| {
            sqlx::query_scalar::<_, i64>("SELECT COUNT(*) FROM outbox WHERE state = $1")
                .bind(state.code())
                .fetch_one(self.database.readers())
        };
        let (waiting, dead) = (count(DeliveryState::Waiting), count(DeliveryState::Dead));
        let waiting = waiting.await.map_err(RecordError::from_database)?;
        let dead = dead.await.map_err(RecordError::from_database)?;
        let oldest: Option<i64> = sqlx::query_scalar(
            "SELECT MIN(created_ms) FROM outbox WHERE state = 'waiting' AND (attempts > 0 OR due_ms <= $1)",
        )
        .bind(self.clock.now().0)
        .fetch_one(self.database.readers())
        .await
        .map_err(RecordError::from_database)?;
        Ok(OutboxState {
            waiting: u64::try_from(waiting).unwrap_or(0),
            dead: u64::try_from(dead).unwrap_or(0),
            oldest: oldest.map(UtcMillis),
        })
    }

    /// The deliveries in `scope` that `filter` lets through, newest first.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn deliveries(
        &self,
        scope: &Scope,
        filter: &DeliveryFilter,
    ) -> Result<Vec<Delivery>, RecordError> {
        let Some(facilities) = self.reach(scope, filter.facility.as_ref()).await? else {
            return Ok(Vec::new());
        };
        let mut query = select();
        query.push_bind(filter.before.map_or(i64::MAX, |id| id.0));
        push_facilities(&mut query, &facilities);
        if let Some(state) = filter.state {
            query.push(" AND state = ").push_bind(state.code());
        }
        if let Some(case) = filter.case {
            query.push(" AND case_id = ").push_bind(case.0);
        }
        query
            .push(" ORDER BY id DESC LIMIT ")
            .push_bind(i64::from(filter.limit.min(MAX_DELIVERIES)));
        let rows = query
            .build()
            .fetch_all(self.database.readers())
            .await
            .map_err(RecordError::from_database)?;
        rows.iter().map(delivery_of).collect()
    }

    /// How many deliveries in `scope` wait, were given up, or found nobody.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn outbox_counts(&self, scope: &Scope) -> Result<OutboxCounts, RecordError> {
        let Some(facilities) = self.reach(scope, None).await? else {
            return Ok(OutboxCounts::default());
        };
        let select = "SELECT state, COUNT(*) FROM outbox WHERE state IN ('waiting', 'dead', 'unheard')";
        let mut counts = OutboxCounts::default();
        for (state, count) in self.count_by_state(select, &facilities).await? {
            match DeliveryState::parse(&state) {
                Some(DeliveryState::Waiting) => counts.waiting = count,
                Some(DeliveryState::Dead) => counts.dead = count,
                _ => counts.unheard = count,
            }
        }
        Ok(counts)
    }

    /// Has a delivery that was given up sent again, at once, under the same idempotency key.
    ///
    /// # Errors
    /// [`RecordError::NotFound`] when it does not exist, lies outside `scope` or was not given up;
    /// [`RecordError::Invalid`] for an empty or over-long name.
    pub async fn resend_delivery(
        &self,
        scope: &Scope,
        id: DeliveryId,
        actor: &str,
    ) -> Result<(), RecordError> {
        audit::check_actor("by", actor)?;
        let now = self.clock.now();
        let mut transaction = self.database.write().await?;
        let row = sqlx::query("SELECT * FROM outbox WHERE id = $1 AND state = 'dead'")
            .bind(id.0)
            .fetch_optional(&mut *transaction)
            .await
            .map_err(RecordError::from_database)?;
        let found = row.as_ref().map(delivery_of).transpose()?;
        let found = found.filter(|delivery| scope.allows(&delivery.facility));
        let found = found.ok_or(RecordError::NotFound)?;
        sqlx::query(
            "UPDATE outbox SET state = 'waiting', due_ms = $2, settled_ms = NULL, attempts = 0, created_ms = $2 \
             WHERE id = $1",
        )
        .bind(id.0)
        .bind(now.0)
        .execute(&mut *transaction)
        .await
        .map_err(RecordError::from_database)?;
        let line = Line {
            actor: actor.trim(),
            action: "message.resend",
            object: &format!("message {}", found.name),
            detail: "",
        };
        audit::write(&mut transaction, now, &line).await?;
        commit(transaction).await
    }
}
