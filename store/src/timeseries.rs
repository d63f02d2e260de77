//! One face for readings, wherever they are: the embedded store, and InfluxDB 2 or VictoriaMetrics for times that the
//! embedded store no longer has.
//!
//! Questions and answers are those of [`crate::series::query`]; no query string crosses this module. Live values and
//! judgement need no face: they are the embedded store's, whatever else there is.
//!
//! A question that reaches back beyond the boundary (`local_ms` before now) is cut there: the older part is asked of
//! the other server, the newer one of the embedded store, so that a chart does not lack what has yet to be sent.

use std::collections::{BTreeMap, HashSet};

use domain::{Clock, Sample, Scope, SeriesId, SeriesKey, TimeRange, UtcMillis};

use crate::{
    RemoteError, SeriesError, SeriesStore,
    remote::Remote,
    series::query::{Level, Page, Ranked, Share, ShareQuery, Step, WindowAnswer, WindowQuery, rank},
};

/// The most samples that are fetched for one answer that has to be computed from samples: one series every ten
/// seconds for more than half a year.
pub const MAX_RAW: usize = 2_000_000;

/// The most samples of one [`Page`].
pub const MAX_PAGE: usize = 100_000;

/// Why a question has no answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TimeSeriesError {
    /// The embedded store says so, or the question itself is refused.
    #[error(transparent)]
    Series(#[from] SeriesError),
    /// The other server says so.
    #[error(transparent)]
    Remote(#[from] RemoteError),
    /// The thread that read was lost.
    #[error("reading from the embedded store broke off: {detail}; ask again, and look at the log")]
    BrokeOff {
        /// Why.
        detail: String,
    },
}

/// What a backend can do, for those who show it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Caps {
    /// Its name in the configuration.
    pub name: &'static str,
    /// Whether a later value at the same moment always takes the place of the earlier one. VictoriaMetrics keeps the
    /// larger of the two in newer versions.
    pub overwrites: bool,
    /// Whether every bit of a value is kept. VictoriaMetrics keeps about 15 digits of the largest value of a block.
    pub exact_values: bool,
    /// Whether aggregates are computed there; where not, samples are fetched.
    pub aggregates: bool,
}

/// Readings, wherever they are. Cheap to clone. Cancel-safe: a dropped question has no effect.
#[derive(Clone)]
pub struct TimeSeries {
    local: SeriesStore,
    beyond: Option<Beyond>,
    clock: Clock,
}

#[derive(Debug, Clone)]
struct Beyond {
    remote: Remote,
    local_ms: i64,
}

impl std::fmt::Debug for TimeSeries {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TimeSeries")
            .field("beyond", &self.beyond)
            .finish_non_exhaustive()
    }
}

impl TimeSeries {
    /// The embedded store alone.
    #[must_use]
    pub fn embedded(local: SeriesStore, clock: Clock) -> TimeSeries {
        TimeSeries {
            local,
            beyond: None,
            clock,
        }
    }

    /// The embedded store for the last `local_ms` milliseconds, `remote` for what is older.
    #[must_use]
    pub fn with_remote(local: SeriesStore, remote: Remote, local_ms: i64, clock: Clock) -> TimeSeries {
        TimeSeries {
            local,
            beyond: Some(Beyond { remote, local_ms }),
            clock,
        }
    }

    /// What can be done, by the backend for old readings.
    #[must_use]
    pub fn caps(&self) -> Caps {
        match &self.beyond {
            Some(beyond) => beyond.remote.caps(),
            None => Caps {
                name: "embedded",
                overwrites: true,
                exact_values: true,
                aggregates: true,
            },
        }
    }

    /// Whether a question about `range` is asked of another server, at least in part.
    #[must_use]
    pub fn reaches_beyond(&self, range: TimeRange) -> bool {
        self.boundary().is_some_and(|boundary| range.from < boundary)
    }

    /// The newest sample: the embedded store's, or the other server's where that one has none. `None` also for a series
    /// outside `scope`.
    ///
    /// # Errors
    /// [`TimeSeriesError::Remote`].
    pub async fn latest(&self, scope: &Scope, key: &SeriesKey) -> Result<Option<Sample>, TimeSeriesError> {
        if !scope.allows(&key.facility) {
            return Ok(None);
        }
        let here = self.local.find(scope, key);
        let here = here.and_then(|series| self.local.latest(scope, series));
        match (&self.beyond, here) {
            (Some(beyond), None) => beyond.remote.latest(key, self.clock.now()).await,
            _ => Ok(here),
        }
    }

    /// A range bucket by bucket. Empty for a series that is unknown or outside `scope`.
    ///
    /// # Errors
    /// [`SeriesError::TooManyBuckets`], [`RemoteError::TooMuch`] when more than [`MAX_RAW`] samples would have to be
    /// fetched, and what the backends say.
    pub async fn window(
        &self,
        scope: &Scope,
        key: &SeriesKey,
        query: &WindowQuery,
    ) -> Result<WindowAnswer, TimeSeriesError> {
        let mut answer = WindowAnswer {
            level: Level::Raw,
            buckets: Vec::new(),
        };
        if !scope.allows(&key.facility) {
            return Ok(answer);
        }
        let (older, newer) = self.cut_window(query)?;
        if let (Some(query), Some(beyond)) = (older, &self.beyond) {
            answer.buckets = beyond.remote.window(key, &query).await?.buckets;
        }
        if let Some(query) = newer {
            let newer = self.local_window(scope, key, query).await?;
            answer.level = newer.level;
            answer.buckets.extend(newer.buckets);
        }
        Ok(answer)
    }

    /// For how long the values of `keys` together were beyond a limit. Keys outside `scope` count for nothing.
    ///
    /// # Errors
    /// As [`TimeSeries::share_by`].
    pub async fn share_over(
        &self,
        scope: &Scope,
        keys: &[SeriesKey],
        query: &ShareQuery,
    ) -> Result<Share, TimeSeriesError> {
        let together: Vec<(SeriesKey, ())> = keys.iter().map(|key| (key.clone(), ())).collect();
        let ranked = self.share_by(scope, &together, query).await?;
        Ok(ranked.first().map(|all| all.share).unwrap_or_default())
    }

    /// How long series were beyond a limit, added up by the groups that the caller puts them in (the series themselves,
    /// their facilities, regions, …), the worst group first: what [`SeriesStore::share_over`] answers, for old times as
    /// well. A key that is given twice counts once, in the group that it is given with first; those outside `scope` are
    /// left out. Of the other server one stretch of one series is in memory at a time, so neither the number of series nor
    /// the length of the range has a bound but the caller's patience.
    ///
    /// # Errors
    /// What the backends say.
    pub async fn share_by<K: Ord + Clone + Send + 'static>(
        &self,
        scope: &Scope,
        series: &[(SeriesKey, K)],
        query: &ShareQuery,
    ) -> Result<Vec<Ranked<K>>, TimeSeriesError> {
        let mut seen = HashSet::new();
        let shown = series.iter().filter(|(key, _)| scope.allows(&key.facility));
        let shown: Vec<&(SeriesKey, K)> = shown.filter(|(key, _)| seen.insert(key)).collect();
        let mut groups: BTreeMap<K, (Share, u32)> = BTreeMap::new();
        for (_, group) in &shown {
            groups.entry(group.clone()).or_default().1 += 1;
        }
        let (older, newer) = self.cut(query.range);
        if let (Some(range), Some(beyond)) = (older, &self.beyond) {
            let query = ShareQuery { range, ..*query };
            let keys: Vec<SeriesKey> = shown.iter().map(|(key, _)| key.clone()).collect();
            let shares = beyond.remote.shares(&keys, &query).await?;
            for ((_, group), share) in shown.iter().zip(shares) {
                groups.entry(group.clone()).or_default().0.add(share);
            }
        }
        if let Some(range) = newer {
            let query = ShareQuery { range, ..*query };
            let here = shown.iter().filter_map(|(key, group)| {
                let series = self.local.find(scope, key)?;
                Some((series, group.clone()))
            });
            let (here, scope): (Vec<(SeriesId, K)>, Scope) = (here.collect(), scope.clone());
            let newer = self
                .blocking(move |local| local.share_over(&scope, &here, &query))
                .await?;
            for of in newer {
                groups.entry(of.group).or_default().0.add(of.share);
            }
        }
        let ranked = groups
            .into_iter()
            .map(|(group, (share, series))| Ranked { group, share, series });
        let mut ranked: Vec<Ranked<K>> = ranked.collect();
        rank(&mut ranked);
        Ok(ranked)
    }

    /// Samples in order of time, at most `limit` and at most [`MAX_PAGE`] of them. Empty for a series that is unknown
    /// or outside `scope`.
    ///
    /// # Errors
    /// As [`TimeSeries::window`].
    pub async fn scan(
        &self,
        scope: &Scope,
        key: &SeriesKey,
        range: TimeRange,
        limit: usize,
    ) -> Result<Page, TimeSeriesError> {
        let limit = limit.clamp(1, MAX_PAGE);
        if !scope.allows(&key.facility) {
            return Ok(Page {
                samples: Vec::new(),
                next: None,
            });
        }
        let (older, newer) = self.cut(range);
        if let (Some(older), Some(beyond)) = (older, &self.beyond) {
            let mut page = beyond.remote.scan(key, older, limit).await?;
            page.next = page.next.or(newer.map(|newer| newer.from));
            return Ok(page);
        }
        let Some(range) = newer else {
            return Ok(Page {
                samples: Vec::new(),
                next: None,
            });
        };
        let Some(series) = self.local.find(scope, key) else {
            return Ok(Page {
                samples: Vec::new(),
                next: None,
            });
        };
        let scope = scope.clone();
        self.blocking(move |local| local.scan_page(&scope, series, range, limit))
            .await
    }

    fn boundary(&self) -> Option<UtcMillis> {
        let beyond = self.beyond.as_ref()?;
        Some(self.clock.now() - beyond.local_ms)
    }

    /// The parts of `range` before and after the boundary.
    fn cut(&self, range: TimeRange) -> (Option<TimeRange>, Option<TimeRange>) {
        let boundary = self.boundary().unwrap_or(range.from);
        let boundary = boundary.min(range.to).max(range.from);
        let older = TimeRange {
            to: boundary,
            ..range
        };
        let newer = TimeRange {
            from: boundary,
            ..range
        };
        let some = |range: TimeRange| (range.length_ms() > 0).then_some(range);
        (some(older), some(newer))
    }

    /// The same of a query, cut at the first end of a bucket behind the boundary. Parts whose length is no whole number
    /// of milliseconds are not cut: the older side answers all of them.
    fn cut_window(
        &self,
        query: &WindowQuery,
    ) -> Result<(Option<WindowQuery>, Option<WindowQuery>), SeriesError> {
        let edges = query.edges()?;
        let boundary = self.boundary().filter(|boundary| query.range.from < *boundary);
        let Some(boundary) = boundary else {
            return Ok((None, Some(query.clone())));
        };
        let step = whole_step(query);
        let cut = edges.iter().copied().find(|edge| *edge >= boundary);
        let cut = match (cut, &step) {
            (Some(cut), Step::Fixed { .. } | Step::Calendar { .. }) => cut,
            _ => query.range.to,
        };
        let part = |from, to| {
            let range = TimeRange { from, to };
            (range.length_ms() > 0).then(|| WindowQuery {
                range,
                step: step.clone(),
                aggregates: query.aggregates,
            })
        };
        Ok((part(query.range.from, cut), part(cut, query.range.to)))
    }

    async fn local_window(
        &self,
        scope: &Scope,
        key: &SeriesKey,
        query: WindowQuery,
    ) -> Result<WindowAnswer, TimeSeriesError> {
        let Some(series) = self.local.find(scope, key) else {
            return Ok(WindowAnswer {
                level: Level::Raw,
                buckets: Vec::new(),
            });
        };
        let scope = scope.clone();
        self.blocking(move |local| local.aggregate(&scope, series, &query))
            .await
    }

    async fn blocking<T: Send + 'static>(
        &self,
        read: impl FnOnce(&SeriesStore) -> Result<T, SeriesError> + Send + 'static,
    ) -> Result<T, TimeSeriesError> {
        let local = self.local.clone();
        match tokio::task::spawn_blocking(move || read(&local)).await {
            Ok(read) => Ok(read?),
            Err(e) => Err(TimeSeriesError::BrokeOff {
                detail: e.to_string(),
            }),
        }
    }
}

/// Refuses to compute from more samples than one answer may take.
pub(crate) fn too_much(samples: usize) -> Result<(), RemoteError> {
    if samples > MAX_RAW {
        return Err(RemoteError::TooMuch {
            asked: samples as u64,
            max: MAX_RAW as u64,
        });
    }
    Ok(())
}

/// A page of samples of which there may be more behind.
pub(crate) fn page_of(samples: Vec<Sample>, range: TimeRange, limit: usize) -> Page {
    let last = samples.last().filter(|_| samples.len() >= limit);
    let next = last.map(|last| last.at + 1).filter(|next| *next < range.to);
    Page { samples, next }
}

/// Parts of a whole number of milliseconds as steps of that length; any other step as it is.
pub(crate) fn whole_step(query: &WindowQuery) -> Step {
    let length = query.range.length_ms();
    match query.step {
        Step::Parts(parts) if parts > 0 && length % i64::from(parts) == 0 => Step::Fixed {
            ms: length / i64::from(parts),
        },
        _ => query.step.clone(),
    }
}
