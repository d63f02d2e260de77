//! Questions to VictoriaMetrics, in MetricsQL and by export, and its answers.
//!
//! A window in MetricsQL is `(t - w, t]`; ours are `[s, s + w)`. With whole milliseconds the two are the same for
//! `t = s + w - 1`. What MetricsQL cannot say exactly (calendar steps, steps that are no whole seconds, quantiles by
//! nearest rank, shares of time with a longest hold) is computed from exported samples by
//! [`reference`](crate::series::reference).

use std::{collections::HashMap, ops::ControlFlow};

use domain::{Sample, SeriesKey, TimeRange, UtcMillis};
use serde::Deserialize;

use super::{
    line::{FIELD, MEASUREMENT},
    options::RemoteError,
    running::Running,
    victoria::{Victoria, causes},
};
use crate::{
    TimeSeriesError,
    remote::answer::bounded,
    series::{
        query::{Level, Page, Quantiles, Share, ShareQuery, Step, WindowAnswer, WindowBucket, WindowQuery},
        reference,
    },
    timeseries::{MAX_RAW, page_of, too_much, whole_step},
};

/// Samples of one line of an export.
const ROWS_PER_LINE: usize = 10_000;

/// The longest line of an export, and the longest answer to a query, in bytes.
const MOST_BYTES: usize = 8 << 20;

/// How far back the newest sample is looked for: a little at first, because the server reads every sample of it.
const LATEST_WITHIN: [&str; 3] = ["1d", "60d", "3650d"];

/// The last moment of the year 2200, beyond which no reading lies.
const FAR: i64 = 7_289_654_399_000;

const FUNCTIONS: [&str; 5] = [
    "count_over_time",
    "sum_over_time",
    "min_over_time",
    "max_over_time",
    "last_over_time",
];

/// Whoever reads an export, line by line, until there is enough.
type TakeLine<'a> = dyn FnMut(&[u8]) -> Result<ControlFlow<()>, RemoteError> + Send + 'a;

/// One line of an export.
#[derive(Deserialize)]
struct Exported {
    metric: Named,
    values: Vec<Option<f64>>,
    timestamps: Vec<i64>,
}

/// The labels that tell one series of ours from another.
#[derive(Debug, Default, PartialEq, Eq, Hash, Deserialize)]
#[serde(default)]
struct Named {
    device: String,
    facility: String,
    metric: String,
}

#[derive(Deserialize)]
struct Answer {
    data: Data,
}

#[derive(Deserialize)]
struct Data {
    result: Vec<Series>,
}

#[derive(Deserialize)]
struct Series {
    metric: Labels,
    #[serde(default)]
    values: Vec<(f64, String)>,
    #[serde(default)]
    value: Option<(f64, String)>,
}

#[derive(Deserialize)]
struct Labels {
    #[serde(default)]
    rollup: String,
}

impl Victoria {
    /// The newest sample until `now`, and an hour beyond for clocks that are ahead.
    pub(super) async fn latest(
        &self,
        key: &SeriesKey,
        now: UtcMillis,
    ) -> Result<Option<Sample>, TimeSeriesError> {
        let until = seconds(now + 3_600_000);
        let mut found = None;
        for within in LATEST_WITHIN {
            let query = format!("tlast_over_time({}[{within}])", selector(key));
            let asked = [("query", query), ("time", until.clone()), no_cache()];
            let answer = self.query("api/v1/query", &asked).await?;
            found = answer.data.result.into_iter().find_map(|series| series.value);
            if found.is_some() {
                break;
            }
        }
        let Some((_, text)) = &found else {
            return Ok(None);
        };
        let at = millis(number(text)?);
        let range = TimeRange {
            from: at - 1,
            to: at + 2,
        };
        // By export, because a value that travels through a query has the time of the query.
        Ok(self.samples(key, range, MAX_RAW).await?.pop())
    }

    pub(super) async fn scan(
        &self,
        key: &SeriesKey,
        range: TimeRange,
        limit: usize,
    ) -> Result<Page, TimeSeriesError> {
        let mut samples = self.samples(key, range, limit).await?;
        samples.truncate(limit);
        Ok(page_of(samples, range, limit))
    }

    pub(super) async fn window(
        &self,
        key: &SeriesKey,
        query: &WindowQuery,
    ) -> Result<WindowAnswer, TimeSeriesError> {
        let edges = query.edges()?;
        let step = match whole_step(query) {
            Step::Fixed { ms } if ms >= 1000 && ms % 1000 == 0 => ms,
            _ => return self.window_of_samples(key, query).await,
        };
        if query.aggregates.has_quantiles() || edges.is_empty() {
            return self.window_of_samples(key, query).await;
        }
        let whole = usize::try_from(query.range.length_ms() / step).unwrap_or(usize::MAX);
        let mut buckets = match whole {
            0 => Vec::new(),
            _ => {
                self.whole_buckets(key, &edges[..=whole.min(edges.len() - 1)], step)
                    .await?
            }
        };
        let from = edges[whole.min(edges.len() - 1)];
        if from < query.range.to {
            // The last bucket is shorter, and a query has one length of window.
            let rest = WindowQuery {
                range: TimeRange {
                    from,
                    to: query.range.to,
                },
                step: Step::Fixed { ms: step },
                aggregates: query.aggregates,
            };
            buckets.extend(self.window_of_samples(key, &rest).await?.buckets);
        }
        Ok(WindowAnswer {
            level: Level::Raw,
            buckets,
        })
    }

    async fn whole_buckets(
        &self,
        key: &SeriesKey,
        edges: &[UtcMillis],
        step: i64,
    ) -> Result<Vec<WindowBucket>, TimeSeriesError> {
        let functions = FUNCTIONS.map(|f| format!("{f:?}")).join(", ");
        let length = step / 1000;
        let query = format!("aggr_over_time(({functions}), {}[{length}s])", selector(key));
        let (first, last) = (edges[0] + (step - 1), edges[edges.len() - 1] - 1);
        let parameters = [
            ("query", query),
            ("start", seconds(first)),
            ("end", seconds(last)),
            ("step", format!("{length}s")),
            no_cache(),
        ];
        let answer = self.query("api/v1/query_range", &parameters).await?;
        let mut found: Vec<Gathered> = vec![Gathered::default(); edges.len() - 1];
        for series in &answer.data.result {
            for (at, text) in &series.values {
                let index = (millis(*at).0 - first.0).div_euclid(step);
                let index = usize::try_from(index).ok().filter(|index| *index < found.len());
                let Some(index) = index else {
                    return Err(odd("a bucket that was not asked for").into());
                };
                found[index].put(&series.metric.rollup, number(text)?)?;
            }
        }
        let buckets = found.into_iter().zip(edges.windows(2));
        let buckets = buckets.map(|(found, ends)| found.bucket(ends[0], ends[1]));
        Ok(buckets
            .collect::<Result<Vec<_>, _>>()?
            .into_iter()
            .flatten()
            .collect())
    }

    async fn window_of_samples(
        &self,
        key: &SeriesKey,
        query: &WindowQuery,
    ) -> Result<WindowAnswer, TimeSeriesError> {
        let samples = self.samples(key, query.range, MAX_RAW + 1).await?;
        too_much(samples.len())?;
        Ok(reference::window(&samples, query, Level::Raw)?)
    }

    /// The shares of `keys`, in their order: one request for all of them, whose answer is counted line by line.
    pub(super) async fn shares(
        &self,
        keys: &[SeriesKey],
        reach: TimeRange,
        query: &ShareQuery,
    ) -> Result<Vec<Share>, RemoteError> {
        let name = |(index, key): (usize, &SeriesKey)| (Named::of(key), index);
        let places: HashMap<Named, usize> = keys.iter().enumerate().map(name).collect();
        let mut running: Vec<Running> = keys.iter().map(|_| Running::default()).collect();
        self.export(keys, reach, &mut |line| {
            let exported = Exported::read(line)?;
            let place = places
                .get(&exported.metric)
                .and_then(|index| running.get_mut(*index));
            let Some(running) = place else {
                return Err(odd("a series that was not asked for"));
            };
            exported.take(reach, running.samples())?;
            running.settle(query);
            Ok(ControlFlow::Continue(()))
        })
        .await?;
        Ok(running.into_iter().map(|one| one.finish(query)).collect())
    }

    /// The samples of `range` in order of time; stops once there are `most`, and may answer some more than that.
    pub(super) async fn samples(
        &self,
        key: &SeriesKey,
        range: TimeRange,
        most: usize,
    ) -> Result<Vec<Sample>, RemoteError> {
        let mut samples: Vec<Sample> = Vec::new();
        self.export(std::slice::from_ref(key), range, &mut |line| {
            Exported::read(line)?.take(range, &mut samples)?;
            Ok(if samples.len() >= most {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            })
        })
        .await?;
        Ok(samples)
    }

    /// Asks for everything that there is of `keys` in `range`, and a little more: the samples of a series in order of
    /// time, [`ROWS_PER_LINE`] of them a line, which `take` is told of until it has enough.
    async fn export(
        &self,
        keys: &[SeriesKey],
        range: TimeRange,
        take: &mut TakeLine<'_>,
    ) -> Result<(), RemoteError> {
        if range.length_ms() <= 0 || range.from.0 > FAR || range.to.0 < 0 {
            return Ok(());
        }
        // Asked for in whole seconds and a little more, because the server reads fractions as floating-point numbers.
        let from = range.from.0.max(0) / 1000;
        let to = (range.to.0.min(FAR) - 1).div_euclid(1000) + 1;
        let mut parameters: Vec<(&str, String)> = keys.iter().map(|key| ("match[]", selector(key))).collect();
        parameters.extend([
            ("start", from.to_string()),
            ("end", to.to_string()),
            ("max_rows_per_line", ROWS_PER_LINE.to_string()),
        ]);
        let mut response = self.ask("api/v1/export", &parameters).await?;
        let mut rest: Vec<u8> = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(broken)? {
            rest.extend_from_slice(&chunk);
            let mut begin = 0;
            while let Some(length) = rest[begin..].iter().position(|byte| *byte == b'\n') {
                let line = rest[begin..begin + length].trim_ascii();
                begin += length + 1;
                if !line.is_empty() && take(line)?.is_break() {
                    return Ok(());
                }
            }
            rest.drain(..begin);
            if rest.len() > MOST_BYTES {
                return Err(odd("a line that is too long"));
            }
        }
        if !rest.is_empty() {
            return Err(odd("an export that ends in the middle of a line"));
        }
        Ok(())
    }

    async fn query(&self, path: &str, parameters: &[(&str, String)]) -> Result<Answer, RemoteError> {
        let mut response = self.ask(path, parameters).await?;
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(broken)? {
            body.extend_from_slice(&chunk);
            if body.len() > MOST_BYTES {
                return Err(odd("an answer that is too long"));
            }
        }
        serde_json::from_slice(&body).map_err(|e| odd(&e.to_string()))
    }
}

/// What the functions say of one bucket.
#[derive(Clone, Default)]
struct Gathered([Option<f64>; FUNCTIONS.len()]);

impl Gathered {
    fn put(&mut self, function: &str, value: f64) -> Result<(), RemoteError> {
        match FUNCTIONS.iter().position(|known| *known == function) {
            Some(index) => {
                self.0[index] = Some(value);
                Ok(())
            }
            None => Err(odd("a function that was not asked for")),
        }
    }

    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a count is a small whole number"
    )]
    fn bucket(&self, start: UtcMillis, end: UtcMillis) -> Result<Option<WindowBucket>, RemoteError> {
        match self.0 {
            [None, None, None, None, None] => Ok(None),
            [Some(count), Some(sum), Some(min), Some(max), Some(last)] if count >= 1.0 => {
                Ok(Some(WindowBucket {
                    start,
                    end,
                    count: count as u64,
                    sum,
                    min,
                    max,
                    last,
                    quantiles: Quantiles::default(),
                }))
            }
            _ => Err(odd("a bucket without some of its figures")),
        }
    }
}

impl Named {
    fn of(key: &SeriesKey) -> Named {
        Named {
            device: key.device.as_str().to_owned(),
            facility: key.facility.as_str().to_owned(),
            metric: key.metric.as_str().to_owned(),
        }
    }
}

impl Exported {
    fn read(line: &[u8]) -> Result<Exported, RemoteError> {
        serde_json::from_slice(line).map_err(|e| odd(&e.to_string()))
    }

    /// Adds its samples in `range` to those that it follows.
    fn take(self, range: TimeRange, samples: &mut Vec<Sample>) -> Result<(), RemoteError> {
        if self.values.len() != self.timestamps.len() {
            return Err(odd("values without times"));
        }
        for (value, at) in self.values.into_iter().zip(self.timestamps) {
            let at = UtcMillis(at);
            // A null is a marker of staleness, which nobody wrote here.
            let Some(value) = value.filter(|_| range.contains(at)) else {
                continue;
            };
            match samples.last_mut() {
                Some(last) if last.at > at => {
                    return Err(odd("samples out of order: are there two of this series?"));
                }
                Some(last) if last.at == at => last.value = value,
                _ => samples.push(Sample { at, value }),
            }
        }
        Ok(())
    }
}

/// The series of `key` and no other. Identifiers hold no quote and no backslash; they are escaped all the same.
fn selector(key: &SeriesKey) -> String {
    let quoted = |text: &str| format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""));
    format!(
        "{MEASUREMENT}_{FIELD}{{device={},facility={},metric={},unit={}}}",
        quoted(key.device.as_str()),
        quoted(key.facility.as_str()),
        quoted(key.metric.as_str()),
        quoted(key.metric.unit().code()),
    )
}

/// A moment as the server reads it: seconds, as a floating-point number that is cut to milliseconds. A quarter of one is
/// added, so that cutting and rounding both come to the moment that is meant.
fn seconds(at: UtcMillis) -> String {
    format!("{}.{:03}25", at.0.div_euclid(1000), at.0.rem_euclid(1000))
}

#[expect(clippy::cast_possible_truncation, reason = "a moment in milliseconds fits")]
fn millis(seconds: f64) -> UtcMillis {
    UtcMillis((seconds * 1000.0).round() as i64)
}

fn number(text: &str) -> Result<f64, RemoteError> {
    text.parse()
        .map_err(|_not_one| odd("something else than a number"))
}

/// The server keeps answers of the past few minutes, and moves the ends of a query to where they fit its memory.
fn no_cache() -> (&'static str, String) {
    ("nocache", "1".to_owned())
}

fn odd(detail: &str) -> RemoteError {
    RemoteError::Answer {
        detail: bounded(detail),
    }
}

fn broken(error: reqwest::Error) -> RemoteError {
    RemoteError::Unreachable {
        detail: bounded(&causes(&error.without_url())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_selector_names_one_series() {
        let key = SeriesKey {
            facility: "厨房".parse().unwrap(),
            device: "fridge-1".parse().unwrap(),
            metric: "temperature".parse().unwrap(),
        };
        assert_eq!(
            selector(&key),
            r#"reading_value{device="fridge-1",facility="厨房",metric="temperature",unit="degC"}"#
        );
    }

    #[test]
    fn moments_survive_the_servers_arithmetic() {
        for ms in [
            0_i64,
            1,
            999,
            1_795_000_000_123,
            1_795_000_000_999,
            4_102_444_799_999,
        ] {
            let read: f64 = seconds(UtcMillis(ms)).parse().unwrap();
            #[expect(clippy::cast_possible_truncation, reason = "as the server does")]
            let (cut, rounded) = ((read * 1e3) as i64, (read * 1e3).round() as i64);
            assert_eq!((cut, rounded), (ms, ms));
            assert_eq!(millis(read), UtcMillis(ms));
        }
    }

    #[test]
    fn an_export_is_checked() {
        let range = TimeRange {
            from: UtcMillis(10),
            to: UtcMillis(20),
        };
        let take = |lines: &[&str]| {
            let mut samples = Vec::new();
            for line in lines {
                Exported::read(line.as_bytes())?.take(range, &mut samples)?;
            }
            Ok::<_, RemoteError>(samples.iter().map(|s| (s.at.0, s.value)).collect::<Vec<_>>())
        };
        let line = r#"{"metric":{},"values":[1,null,3,4],"timestamps":[9,10,11,20]}"#;
        assert_eq!(take(&[line]).unwrap(), [(11, 3.0)]);
        let again = r#"{"metric":{},"values":[5],"timestamps":[11]}"#;
        assert_eq!(take(&[line, again]).unwrap(), [(11, 5.0)]);
        for bad in [
            r#"{"metric":{},"values":[1],"timestamps":[]}"#,
            r#"{"metric":{},"values":[1,2],"timestamps":[12,11]}"#,
            r#"{"metric":{},"values":[1"#,
            "<html>",
        ] {
            assert!(matches!(take(&[bad]), Err(RemoteError::Answer { .. })), "{bad}");
        }
    }
}
