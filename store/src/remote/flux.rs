//! Questions to InfluxDB 2, in Flux, and its answers.
//!
//! Every query names one series and says `createEmpty: false`, so that no null comes back: the crate panics on one.
//! Times come back as whole nanoseconds, and a bucket carries its start (`timeSrc: "_start"`; Flux's own choice is the
//! end). Nothing is pivoted. Shares of time, and steps that are no whole milliseconds, are computed from samples by
//! [`reference`](crate::series::reference).

use std::{fmt::Write as _, panic::AssertUnwindSafe};

use domain::{Sample, SeriesKey, TimeRange, UtcMillis};
use fallible_iterator::FallibleIterator;
use influxdb2::{RequestError, models::Query};

use super::{
    answer::bounded,
    influx::Influx,
    line::{FIELD, MEASUREMENT},
    options::RemoteError,
    running::Running,
    trust::unanswered,
};
use crate::{
    TimeSeriesError,
    series::{
        query::{
            Aggregate, Aggregates, CalendarUnit, Level, Page, Quantiles, Share, ShareQuery, Step,
            WindowAnswer, WindowBucket, WindowQuery,
        },
        reference,
    },
    timeseries::{MAX_PAGE, MAX_RAW, page_of, too_much, whole_step},
};

/// Moments outside these years are cut to them: Flux knows nothing beyond.
const MOMENTS: TimeRange = TimeRange {
    from: UtcMillis(-9_223_372_036_000),
    to: UtcMillis(9_223_372_036_000),
};

/// One row of an answer.
struct Row {
    result: String,
    at: UtcMillis,
    value: f64,
}

impl Influx {
    pub(super) async fn latest(
        &self,
        key: &SeriesKey,
        now: UtcMillis,
    ) -> Result<Option<Sample>, TimeSeriesError> {
        let range = TimeRange {
            from: UtcMillis(0),
            to: now + 3_600_000,
        };
        let rows = self.rows(latest(&self.bucket, key, range)).await?;
        Ok(rows.last().map(|row| Sample {
            at: row.at,
            value: row.value,
        }))
    }

    pub(super) async fn scan(
        &self,
        key: &SeriesKey,
        range: TimeRange,
        limit: usize,
    ) -> Result<Page, TimeSeriesError> {
        if range.length_ms() == 0 {
            return Ok(page_of(Vec::new(), range, limit));
        }
        let rows = self.rows(scan(&self.bucket, key, range, limit)).await?;
        let samples: Vec<Sample> = rows
            .into_iter()
            .map(|row| Sample {
                at: row.at,
                value: row.value,
            })
            .collect();
        if samples.windows(2).any(|pair| pair[0].at >= pair[1].at) {
            return Err(odd("samples out of order").into());
        }
        Ok(page_of(samples, range, limit))
    }

    pub(super) async fn samples(
        &self,
        key: &SeriesKey,
        mut range: TimeRange,
    ) -> Result<Vec<Sample>, TimeSeriesError> {
        let mut samples = Vec::new();
        loop {
            let mut page = self.scan(key, range, MAX_PAGE).await?;
            samples.append(&mut page.samples);
            too_much(samples.len())?;
            match page.next {
                Some(next) => range.from = next,
                None => return Ok(samples),
            }
        }
    }

    /// The share of one series, whose samples in `reach` are counted page by page.
    pub(super) async fn share(
        &self,
        key: &SeriesKey,
        mut reach: TimeRange,
        query: &ShareQuery,
    ) -> Result<Share, TimeSeriesError> {
        let mut running = Running::default();
        loop {
            let page = self.scan(key, reach, MAX_PAGE).await?;
            running.samples().extend(page.samples);
            running.settle(query);
            match page.next {
                Some(next) => reach.from = next,
                None => return Ok(running.finish(query)),
            }
        }
    }

    pub(super) async fn window(
        &self,
        key: &SeriesKey,
        query: &WindowQuery,
    ) -> Result<WindowAnswer, TimeSeriesError> {
        let edges = query.edges()?;
        let answer = |buckets| WindowAnswer {
            level: Level::Raw,
            buckets,
        };
        if edges.is_empty() {
            return Ok(answer(Vec::new()));
        }
        let Some(text) = window(&self.bucket, key, query) else {
            let samples = self.samples(key, query.range).await?;
            return Ok(reference::window(&samples, query, Level::Raw)?);
        };
        let mut found = vec![Gathered::default(); edges.len() - 1];
        for row in self.rows(text).await? {
            let index = edges.binary_search(&row.at).ok().and_then(|i| found.get_mut(i));
            let Some(gathered) = index else {
                return Err(odd("a bucket that was not asked for").into());
            };
            gathered.put(&row.result, row.value)?;
        }
        let buckets = found.iter().zip(edges.windows(2));
        let buckets = buckets.map(|(found, ends)| found.bucket(ends[0], ends[1], query.aggregates));
        let buckets: Vec<Option<WindowBucket>> = buckets.collect::<Result<_, _>>()?;
        Ok(answer(buckets.into_iter().flatten().collect()))
    }

    async fn rows(&self, text: String) -> Result<Vec<Row>, RemoteError> {
        let asked = self.reader.query_raw_iter(Some(Query::new(text))).await;
        let table = match asked {
            Ok(table) => table,
            Err(RequestError::Http { status, text }) => {
                let detail = bounded(&format!("{}: {text}", status.as_u16()));
                return Err(match status.as_u16() {
                    401 | 403 => RemoteError::Denied { detail },
                    _ => RemoteError::Failed { detail },
                });
            }
            Err(other) => return Err(unanswered(&other)),
        };
        // Reading a hundred thousand rows takes a while, and the crate panics on what it does not expect.
        let read = tokio::task::spawn_blocking(move || {
            std::panic::catch_unwind(AssertUnwindSafe(|| rows_of(table.result())))
        });
        match read.await {
            Ok(Ok(rows)) => rows,
            Ok(Err(_panic)) => Err(odd("a value that is none, or a row that is broken")),
            Err(e) => Err(odd(&e.to_string())),
        }
    }
}

fn rows_of(
    mut records: impl FallibleIterator<Item = influxdb2::api::query::FluxRecord, Error = RequestError>,
) -> Result<Vec<Row>, RemoteError> {
    let mut rows = Vec::new();
    while let Some(record) = records.next().map_err(|e| failed(&e))? {
        let values = &record.values;
        let at = values.get("at").and_then(|value| value.i64());
        let value = values.get("_value").and_then(|value| value.f64());
        let (Some(at), Some(value)) = (at, value) else {
            return Err(odd("a row without time or value"));
        };
        let result = values.get("result").and_then(|value| value.string());
        rows.push(Row {
            result: result.unwrap_or_default(),
            at: UtcMillis(at.div_euclid(1_000_000)),
            value,
        });
        if rows.len() > MAX_RAW {
            return Err(odd("more rows than were asked for"));
        }
    }
    Ok(rows)
}

/// An error table in the middle of an answer comes as an error of parsing, with the server's words.
fn failed(error: &RequestError) -> RemoteError {
    match error {
        RequestError::Deserializing { text } => RemoteError::Answer {
            detail: bounded(text),
        },
        other => RemoteError::Answer {
            detail: bounded(&other.to_string()),
        },
    }
}

fn odd(detail: &str) -> RemoteError {
    RemoteError::Answer {
        detail: bounded(detail),
    }
}

/// What the yields say of one bucket.
#[derive(Clone, Default)]
struct Gathered([Option<f64>; Aggregate::ALL.len()]);

impl Gathered {
    fn put(&mut self, name: &str, value: f64) -> Result<(), RemoteError> {
        match Aggregate::ALL.iter().position(|a| a.code() == name) {
            Some(index) => {
                self.0[index] = Some(value);
                Ok(())
            }
            None => Err(odd("a result that was not asked for")),
        }
    }

    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a count is a small whole number"
    )]
    fn bucket(
        &self,
        start: UtcMillis,
        end: UtcMillis,
        wanted: Aggregates,
    ) -> Result<Option<WindowBucket>, RemoteError> {
        if self.0.iter().all(Option::is_none) {
            return Ok(None);
        }
        let of = |aggregate: Aggregate| {
            let found = self.0[aggregate as usize];
            found.ok_or_else(|| odd("a bucket without some of its figures"))
        };
        let quantile = |aggregate| wanted.contains(aggregate).then(|| of(aggregate)).transpose();
        Ok(Some(WindowBucket {
            start,
            end,
            count: of(Aggregate::Count)? as u64,
            sum: of(Aggregate::Sum)?,
            min: of(Aggregate::Min)?,
            max: of(Aggregate::Max)?,
            last: of(Aggregate::Last)?,
            quantiles: Quantiles {
                p50: quantile(Aggregate::P50)?,
                p95: quantile(Aggregate::P95)?,
                p99: quantile(Aggregate::P99)?,
            },
        }))
    }
}

/// The series of `key` in `range`: the beginning of every query.
fn data(bucket: &str, key: &SeriesKey, range: TimeRange) -> String {
    let (from, to) = (range.from.max(MOMENTS.from), range.to.min(MOMENTS.to));
    let tags = [
        ("_measurement", MEASUREMENT),
        ("_field", FIELD),
        ("facility", key.facility.as_str()),
        ("device", key.device.as_str()),
        ("metric", key.metric.as_str()),
        ("unit", key.metric.unit().code()),
    ];
    let filter = tags.map(|(tag, value)| format!("r.{tag} == {}", quoted(value)));
    format!(
        "from(bucket: {})\n  |> range(start: time(v: {}), stop: time(v: {}))\n  |> filter(fn: (r) => {})\n",
        quoted(bucket),
        nanos(from),
        nanos(to),
        filter.join(" and ")
    )
}

const TIMES: &str = "  |> map(fn: (r) => ({_value: float(v: r._value), at: int(v: r._time)}))\n";

pub(super) fn latest(bucket: &str, key: &SeriesKey, range: TimeRange) -> String {
    format!("{}  |> group()\n  |> last()\n{TIMES}", data(bucket, key, range))
}

pub(super) fn scan(bucket: &str, key: &SeriesKey, range: TimeRange, limit: usize) -> String {
    format!(
        "{}  |> group()\n  |> sort(columns: [\"_time\"])\n  |> limit(n: {limit})\n{TIMES}",
        data(bucket, key, range)
    )
}

/// `None` for steps that Flux cannot cut exactly.
pub(super) fn window(bucket: &str, key: &SeriesKey, query: &WindowQuery) -> Option<String> {
    let mut text = String::new();
    let cut = match whole_step(query) {
        Step::Fixed { ms } => {
            let ms = ms.max(1);
            format!("every: {ms}ms, offset: {}ms", query.range.from.0.rem_euclid(ms))
        }
        Step::Calendar { unit, zone } => {
            let every = match unit {
                CalendarUnit::Hour => "1h",
                CalendarUnit::Day => "1d",
                CalendarUnit::Month => "1mo",
            };
            text.push_str("import \"timezone\"\n\n");
            format!(
                "every: {every}, location: timezone.location(name: {})",
                quoted(zone.name())
            )
        }
        Step::Parts(_) => return None,
    };
    write!(text, "data = {}  |> group()\n\n", data(bucket, key, query.range))
        .expect("writing to a String succeeds");
    let plain = [
        Aggregate::Count,
        Aggregate::Sum,
        Aggregate::Min,
        Aggregate::Max,
        Aggregate::Last,
    ];
    let quantiles = query.aggregates.iter().filter(|a| a.percent().is_some());
    for aggregate in plain.into_iter().chain(quantiles) {
        let name = aggregate.code();
        let function = match aggregate.percent() {
            // The nearest rank: a value that was measured.
            Some(percent) => format!(
                "(column, tables=<-) => tables |> quantile(q: 0.{percent}, method: \"exact_selector\", column: column)"
            ),
            None => name.to_owned(),
        };
        write!(
            text,
            "data\n  |> aggregateWindow({cut}, fn: {function}, createEmpty: false, timeSrc: \"_start\")\n{TIMES}  \
             |> yield(name: \"{name}\")\n\n"
        )
        .expect("writing to a String succeeds");
    }
    Some(text)
}

fn nanos(at: UtcMillis) -> i64 {
    at.0.saturating_mul(1_000_000)
}

/// A string literal. Flux knows `${…}` inside of one.
fn quoted(text: &str) -> String {
    let escaped = text
        .replace('\\', "\\\\")
        .replace('"', "\\\"")
        .replace("${", "\\${")
        .replace(['\n', '\r'], " ");
    format!("\"{escaped}\"")
}

#[cfg(test)]
mod tests;
