//! Shelves and windows: what people set aside, until when, who and why.

use domain::{
    MuteTarget, Scope, Shelf, TimeRange, UtcMillis, When, Window, WindowKind,
    rule::DayMinute,
    window::{MAX_DEFROSTS, MAX_PER_FACILITY},
};

use super::{
    Records,
    audit::{self, Line},
    cases::{Facilities, push_facilities},
    database::{Builder, Row, Transaction, commit},
    error::{Problem, RecordError},
    fields::Fields,
    text::check_line,
};

/// The most characters of the words in which somebody says why.
pub const MAX_WHY: usize = 500;

/// The most shelves or windows that a list answers with.
pub const MAX_SHELVES: u32 = 10_000;

impl Records {
    /// Keeps a shelf and answers with it as it is kept, with its number. The audit line is written with it.
    ///
    /// # Errors
    /// [`RecordError::NotFound`] when its facility lies outside `scope`, [`RecordError::Missing`] when that is not
    /// registered, [`RecordError::Invalid`] for an empty or over-long name or reason, or when the facility has
    /// [`MAX_PER_FACILITY`] shelves that are not over.
    pub async fn add_shelf(&self, scope: &Scope, shelf: &Shelf) -> Result<Shelf, RecordError> {
        check_words(&shelf.who, &shelf.why)?;
        let target = &shelf.target;
        expect_reach(scope, target)?;
        let mut transaction = self.database.write().await?;
        let standing: i64 =
            sqlx::query_scalar("SELECT COUNT(*) FROM shelves WHERE facility = $1 AND until_ms > $2")
                .bind(target.facility.as_str())
                .bind(shelf.from.0)
                .fetch_one(&mut *transaction)
                .await
                .map_err(RecordError::from_database)?;
        expect_room("shelf", standing, MAX_PER_FACILITY)?;
        let id = draw(&mut transaction, "shelves").await?;
        sqlx::query(
            "INSERT INTO shelves (id, facility, device, metric, rule, from_ms, until_ms, who, why) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
        )
        .bind(id)
        .bind(target.facility.as_str())
        .bind(target.device.as_ref().map(|d| d.as_str()))
        .bind(target.metric.as_ref().map(|m| m.as_str()))
        .bind(target.rule.as_ref().map(|r| r.as_str()))
        .bind(shelf.from.0)
        .bind(shelf.until.0)
        .bind(shelf.who.trim())
        .bind(shelf.why.trim())
        .execute(&mut *transaction)
        .await
        .map_err(|e| RecordError::from_reference(e, "facility", target.facility.as_str()))?;
        let line = Line {
            actor: shelf.who.trim(),
            action: "shelf.add",
            object: &format!("shelf {id}"),
            detail: &format!(
                "{} from={} until={}: {}",
                name_of(target),
                shelf.from.0,
                shelf.until.0,
                shelf.why.trim()
            ),
        };
        audit::write(&mut transaction, self.clock.now(), &line).await?;
        commit(transaction).await?;
        Ok(Shelf { id, ..shelf.clone() })
    }

    /// Takes up what was shelved, from `at` on.
    ///
    /// # Errors
    /// [`RecordError::NotFound`] when there is no such shelf in `scope` or it was over before `at`,
    /// [`RecordError::Invalid`] for an empty or over-long name.
    pub async fn end_shelf(
        &self,
        scope: &Scope,
        id: i64,
        at: UtcMillis,
        who: &str,
    ) -> Result<Shelf, RecordError> {
        audit::check_actor("by", who)?;
        let mut transaction = self.database.write().await?;
        let row = sqlx::query(
            "UPDATE shelves SET until_ms = $2, ended_by = $3 WHERE id = $1 AND until_ms > $2 RETURNING *",
        )
        .bind(id)
        .bind(at.0)
        .bind(who.trim())
        .fetch_optional(&mut *transaction)
        .await
        .map_err(RecordError::from_database)?;
        let shelf = row.as_ref().map(shelf_of).transpose()?;
        // What was written outside the scope goes with the transaction.
        let shelf = shelf.filter(|s| scope.allows(&s.target.facility));
        let shelf = shelf.ok_or(RecordError::NotFound)?;
        let line = Line {
            actor: who.trim(),
            action: "shelf.end",
            object: &format!("shelf {id}"),
            detail: &format!("at={}", at.0),
        };
        audit::write(&mut transaction, self.clock.now(), &line).await?;
        commit(transaction).await?;
        Ok(shelf)
    }

    /// The shelves in `scope` that are, or were, up within `range`, newest first; at most [`MAX_SHELVES`].
    ///
    /// # Errors
    /// When the database fails.
    pub async fn shelves(&self, scope: &Scope, range: TimeRange) -> Result<Vec<Shelf>, RecordError> {
        let Some(facilities) = self.reach(scope, None).await? else {
            return Ok(Vec::new());
        };
        let mut query = Builder::new("SELECT * FROM shelves WHERE until_ms > ");
        query.push_bind(range.from.0);
        query.push(" AND from_ms < ").push_bind(range.to.0);
        let rows = self.newest(query, &facilities).await?;
        rows.iter().map(shelf_of).collect()
    }

    /// Keeps a window and answers with it as it is kept, with its number.
    ///
    /// # Errors
    /// As [`Records::add_shelf`]; also [`RecordError::Invalid`] for a fifth defrost of one device.
    pub async fn add_window(&self, scope: &Scope, window: &Window) -> Result<Window, RecordError> {
        check_words(&window.who, &window.why)?;
        let target = &window.target;
        expect_reach(scope, target)?;
        let mut transaction = self.database.write().await?;
        expect_window_room(&mut transaction, window).await?;
        let id = draw(&mut transaction, "windows").await?;
        let (once, recurring) = match window.when {
            When::Once { from, until } => (Some((from, until)), None),
            When::Recurring { days, from, minutes } => (None, Some((days, from, minutes))),
        };
        sqlx::query(
            "INSERT INTO rule_windows (id, kind, facility, device, metric, rule, once_from_ms, once_until_ms, \
               days, from_min, minutes, since_ms, who, why) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)",
        )
        .bind(id)
        .bind(window.kind.code())
        .bind(target.facility.as_str())
        .bind(target.device.as_ref().map(|d| d.as_str()))
        .bind(target.metric.as_ref().map(|m| m.as_str()))
        .bind(target.rule.as_ref().map(|r| r.as_str()))
        .bind(once.map(|(from, _)| from.0))
        .bind(once.map(|(_, until)| until.0))
        .bind(recurring.map(|(days, ..)| i64::from(days)))
        .bind(recurring.map(|(_, from, _)| i64::from(from.minute())))
        .bind(recurring.map(|(.., minutes)| i64::from(minutes)))
        .bind(window.since.0)
        .bind(window.who.trim())
        .bind(window.why.trim())
        .execute(&mut *transaction)
        .await
        .map_err(|e| RecordError::from_reference(e, "facility", target.facility.as_str()))?;
        let line = Line {
            actor: window.who.trim(),
            action: "window.add",
            object: &format!("window {id}"),
            detail: &format!(
                "{} {}: {}",
                window.kind.code(),
                name_of(target),
                window.why.trim()
            ),
        };
        audit::write(&mut transaction, self.clock.now(), &line).await?;
        commit(transaction).await?;
        Ok(Window { id, ..window.clone() })
    }

    /// Does away with a window, from `at` on.
    ///
    /// # Errors
    /// As [`Records::end_shelf`].
    pub async fn end_window(
        &self,
        scope: &Scope,
        id: i64,
        at: UtcMillis,
        who: &str,
    ) -> Result<Window, RecordError> {
        audit::check_actor("by", who)?;
        let mut transaction = self.database.write().await?;
        let row = sqlx::query(
            "UPDATE rule_windows SET ended_ms = $2 WHERE id = $1 AND ended_ms IS NULL RETURNING *",
        )
        .bind(id)
        .bind(at.0)
        .fetch_optional(&mut *transaction)
        .await
        .map_err(RecordError::from_database)?;
        let window = row.as_ref().map(window_of).transpose()?;
        let window = window.filter(|w| scope.allows(&w.target.facility));
        let window = window.ok_or(RecordError::NotFound)?;
        let line = Line {
            actor: who.trim(),
            action: "window.end",
            object: &format!("window {id}"),
            detail: &format!("at={}", at.0),
        };
        audit::write(&mut transaction, self.clock.now(), &line).await?;
        commit(transaction).await?;
        Ok(window)
    }

    /// The windows in `scope` that were not done away with before `since`, newest first; at most [`MAX_SHELVES`].
    ///
    /// # Errors
    /// When the database fails.
    pub async fn windows(&self, scope: &Scope, since: UtcMillis) -> Result<Vec<Window>, RecordError> {
        let Some(facilities) = self.reach(scope, None).await? else {
            return Ok(Vec::new());
        };
        let mut query = Builder::new("SELECT * FROM rule_windows WHERE COALESCE(ended_ms, ");
        query.push_bind(i64::MAX).push(") > ").push_bind(since.0);
        let rows = self.newest(query, &facilities).await?;
        rows.iter().map(window_of).collect()
    }

    /// Runs a query of one of these tables, newest first and bounded.
    pub(super) async fn newest(
        &self,
        mut query: Builder,
        facilities: &Facilities,
    ) -> Result<Vec<Row>, RecordError> {
        push_facilities(&mut query, facilities);
        query
            .push(" ORDER BY id DESC LIMIT ")
            .push_bind(i64::from(MAX_SHELVES));
        query
            .build()
            .fetch_all(self.database.readers())
            .await
            .map_err(RecordError::from_database)
    }
}

fn check_words(who: &str, why: &str) -> Result<(), RecordError> {
    audit::check_actor("by", who)?;
    check_line("why", why, MAX_WHY)
}

fn expect_reach(scope: &Scope, target: &MuteTarget) -> Result<(), RecordError> {
    if scope.allows(&target.facility) {
        Ok(())
    } else {
        Err(RecordError::NotFound)
    }
}

fn expect_room(field: &'static str, there: i64, max: usize) -> Result<(), RecordError> {
    if usize::try_from(there).is_ok_and(|there| there < max) {
        return Ok(());
    }
    Err(RecordError::Invalid {
        field,
        problem: Problem::TooMany { max },
    })
}

async fn expect_window_room(transaction: &mut Transaction, window: &Window) -> Result<(), RecordError> {
    let facility = window.target.facility.as_str();
    let standing: i64 =
        sqlx::query_scalar("SELECT COUNT(*) FROM rule_windows WHERE facility = $1 AND ended_ms IS NULL")
            .bind(facility)
            .fetch_one(&mut **transaction)
            .await
            .map_err(RecordError::from_database)?;
    expect_room("window", standing, MAX_PER_FACILITY)?;
    if window.kind != WindowKind::Defrost {
        return Ok(());
    }
    let defrosts: i64 = sqlx::query_scalar(
        "SELECT COUNT(*) FROM rule_windows \
         WHERE facility = $1 AND device = $2 AND kind = 'defrost' AND ended_ms IS NULL",
    )
    .bind(facility)
    .bind(window.target.device.as_ref().map_or("", |d| d.as_str()))
    .fetch_one(&mut **transaction)
    .await
    .map_err(RecordError::from_database)?;
    expect_room("defrost", defrosts, MAX_DEFROSTS)
}

/// The next number of that counter.
pub(super) async fn draw(transaction: &mut Transaction, counter: &str) -> Result<i64, RecordError> {
    sqlx::query_scalar("UPDATE counters SET value = value + 1 WHERE name = $1 RETURNING value")
        .bind(counter)
        .fetch_one(&mut **transaction)
        .await
        .map_err(RecordError::from_database)
}

/// How the audit trail names what is set aside.
fn name_of(target: &MuteTarget) -> String {
    let any = |part: Option<&str>| part.unwrap_or("*").to_owned();
    format!(
        "{}/{}/{} {}",
        target.facility,
        any(target.device.as_ref().map(|d| d.as_str())),
        any(target.metric.as_ref().map(|m| m.as_str())),
        any(target.rule.as_ref().map(|r| r.as_str())),
    )
}

/// An identifier that may be absent.
fn optional_id<T: std::str::FromStr>(
    fields: &Fields<'_>,
    column: &'static str,
) -> Result<Option<T>, RecordError> {
    let text = fields.get::<Option<String>>(column)?;
    text.map(|text| text.parse().map_err(|_unreadable| fields.damaged(column)))
        .transpose()
}

fn target_of(fields: &Fields<'_>) -> Result<MuteTarget, RecordError> {
    Ok(MuteTarget {
        facility: fields.id("facility")?,
        device: optional_id(fields, "device")?,
        metric: optional_id(fields, "metric")?,
        rule: optional_id(fields, "rule")?,
    })
}

fn shelf_of(row: &Row) -> Result<Shelf, RecordError> {
    let fields = Fields::of(row, "id");
    Ok(Shelf {
        id: fields.get("id")?,
        target: target_of(&fields)?,
        from: fields.moment("from_ms")?,
        until: fields.moment("until_ms")?,
        who: fields.get("who")?,
        why: fields.get("why")?,
        ended_by: fields.get("ended_by")?,
    })
}

fn window_of(row: &Row) -> Result<Window, RecordError> {
    let fields = Fields::of(row, "id");
    let when = match fields.optional_moment("once_from_ms")? {
        Some(from) => When::Once {
            from,
            until: fields.moment("once_until_ms")?,
        },
        None => recurring_of(&fields)?,
    };
    Ok(Window {
        id: fields.get("id")?,
        kind: fields.parsed("kind", WindowKind::parse)?,
        target: target_of(&fields)?,
        when,
        since: fields.moment("since_ms")?,
        ended: fields.optional_moment("ended_ms")?,
        who: fields.get("who")?,
        why: fields.get("why")?,
    })
}

fn recurring_of(fields: &Fields<'_>) -> Result<When, RecordError> {
    let days = u8::try_from(fields.get::<i64>("days")?).map_err(|_no_set| fields.damaged("days"))?;
    let from = u16::try_from(fields.get::<i64>("from_min")?).ok();
    let minutes = u16::try_from(fields.get::<i64>("minutes")?);
    Ok(When::Recurring {
        days,
        from: from
            .and_then(DayMinute::new)
            .ok_or_else(|| fields.damaged("from_min"))?,
        minutes: minutes.map_err(|_too_many| fields.damaged("minutes"))?,
    })
}

#[cfg(test)]
mod tests;
