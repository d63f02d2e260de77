//! The queries.

use std::{collections::BTreeMap, ops::ControlFlow};

use domain::{Sample, Scope, SeriesId, TimeRange, UtcMillis};

use super::{
    Bucket, Inner, SeriesStore,
    cells::cells_of,
    chunk::{DAY_MS, day_of},
    error::SeriesError,
    level::choose,
    query::{
        Aggregates, Level, Page, Ranked, RankedBounds, Share, ShareAnswer, ShareBounds, ShareQuery, Step,
        WindowAnswer, WindowQuery, rank, rank_bounds,
    },
    read::{CellsOf, Part},
    share::{CellHolding, Holding, parts_of},
    window::Window,
};

/// From so many series on, shares are read day by day for all of them, instead of series by series.
const MANY: usize = 64;

/// From so many days on, their shares are added up by two threads.
const SPLIT_DAYS: i64 = 4;

/// Series whose shares are added up together: bounds what is copied from memory at once.
const TOGETHER: usize = 8_192;

impl SeriesStore {
    /// The latest sample by event time; of several at one moment the one appended last. From memory.
    #[must_use]
    pub fn latest(&self, scope: &Scope, series: SeriesId) -> Option<Sample> {
        if self.0.shows(scope, series) {
            self.0.head.latest(series)
        } else {
            None
        }
    }

    /// The latest samples of many series at one moment, in their order; `None` for a series without a sample, one
    /// that is unknown or outside `scope`. From memory.
    #[must_use]
    pub fn latest_of(&self, scope: &Scope, series: &[SeriesId]) -> Vec<Option<Sample>> {
        let names = self.0.names();
        let shown = series.iter().map(|series| {
            let key = names.key(*series)?;
            scope.allows(&key.facility).then_some(*series)
        });
        self.0.head.latest_of(shown)
    }

    /// `range` in `buckets` of equal length, at most [`MAX_BUCKETS`](super::MAX_BUCKETS); those that hold nothing are
    /// absent. Where the length is not a whole number of milliseconds, a bucket begins at the next whole one.
    /// Empty for a series that is unknown or outside `scope`. From the level that [`SeriesStore::aggregate`] takes.
    ///
    /// # Errors
    /// Those of [`SeriesStore::aggregate`].
    pub fn window(
        &self,
        scope: &Scope,
        series: SeriesId,
        range: TimeRange,
        buckets: u32,
    ) -> Result<Vec<Bucket>, SeriesError> {
        let query = WindowQuery {
            range,
            step: Step::Parts(buckets),
            aggregates: Aggregates::PLAIN,
        };
        let answer = self.aggregate(scope, series, &query)?;
        let bucket = |b: &super::query::WindowBucket| Bucket {
            start: b.start,
            count: b.count,
            min: b.min,
            max: b.max,
            sum: b.sum,
            last: b.last,
        };
        Ok(answer.buckets.iter().map(bucket).collect())
    }

    /// The samples of a range, bucket by bucket, from the finest level that fits; the answer says which. What that
    /// means exactly is written in [`query`](super::query). Without buckets for a series that is unknown or outside
    /// `scope`.
    ///
    /// # Errors
    /// [`SeriesError::TooManyBuckets`], [`SeriesError::Damaged`] when a chunk cannot be read, and what the
    /// database says.
    pub fn aggregate(
        &self,
        scope: &Scope,
        series: SeriesId,
        query: &WindowQuery,
    ) -> Result<WindowAnswer, SeriesError> {
        let edges = query.edges()?;
        let shown = self.0.shows(scope, series);
        let mut minutes = true;
        loop {
            let floors = self.0.readers.floors();
            let level = choose(&edges, minutes, floors);
            let mut window = Window::new(edges.clone(), level, query.aggregates);
            if shown {
                self.0.gather(series, level, &mut window)?;
            }
            // Minutes of older files have no quantiles; hours have.
            if level == Level::Minute && window.lacks_bins() {
                minutes = false;
                continue;
            }
            // Retention may have taken a file away that was about to be read: then there is a coarser one.
            if self.0.readers.floors() == floors {
                return Ok(WindowAnswer {
                    level,
                    buckets: window.finish(),
                });
            }
        }
    }

    /// Every sample in `range`, oldest first, at most `limit`. Empty for a series that is unknown or
    /// outside `scope`.
    ///
    /// # Errors
    /// [`SeriesError::Damaged`] when a chunk cannot be read, and what the database says.
    pub fn scan(
        &self,
        scope: &Scope,
        series: SeriesId,
        range: TimeRange,
        limit: usize,
    ) -> Result<Vec<Sample>, SeriesError> {
        if range.length_ms() == 0 || limit == 0 || !self.0.shows(scope, series) {
            return Ok(Vec::new());
        }
        let memory = self.0.memory(series, range);
        let mut samples = Vec::new();
        self.0.readers.each_day(series.0, range, &memory, &mut |day| {
            let of_day = day.decode(day.rows)?;
            let room = limit - samples.len();
            samples.extend(of_day.into_iter().filter(|s| range.contains(s.at)).take(room));
            Ok(if samples.len() < limit {
                ControlFlow::Continue(())
            } else {
                ControlFlow::Break(())
            })
        })?;
        Ok(samples)
    }

    /// One page of the samples in `range`, oldest first, at most `limit` (at least 1), and where the next one begins.
    ///
    /// # Errors
    /// Those of [`SeriesStore::scan`].
    pub fn scan_page(
        &self,
        scope: &Scope,
        series: SeriesId,
        range: TimeRange,
        limit: usize,
    ) -> Result<Page, SeriesError> {
        let limit = limit.max(1);
        let mut samples = self.scan(scope, series, range, limit.saturating_add(1))?;
        let next = samples.get(limit).map(|sample| sample.at);
        samples.truncate(limit);
        Ok(Page { samples, next })
    }

    /// How long series were beyond a limit, added up by the groups that the caller puts them in (the series
    /// themselves, their facilities, regions, …), the worst group first. Series that are unknown or outside `scope` are
    /// left out. From readings only: time whose readings are not kept any more is not known;
    /// [`SeriesStore::share_bounds`] knows more of it.
    ///
    /// # Errors
    /// [`SeriesError::Damaged`] when a chunk cannot be read, and what the database says.
    pub fn share_over<K: Ord + Clone>(
        &self,
        scope: &Scope,
        series: &[(SeriesId, K)],
        query: &ShareQuery,
    ) -> Result<Vec<Ranked<K>>, SeriesError> {
        let grouped = self.by_group(scope, series, |ids| {
            let shares = self.0.shares(ids, query)?.into_iter();
            Ok(shares.map(|share| ShareBounds { share, unsure_ms: 0 }).collect())
        })?;
        let mut ranked: Vec<Ranked<K>> = grouped
            .into_iter()
            .map(|of| Ranked {
                group: of.group,
                share: of.bounds.share,
                series: of.series,
            })
            .collect();
        rank(&mut ranked);
        Ok(ranked)
    }

    /// The same for times whose readings are gone as well: from readings as far back as they are kept, before them from
    /// minutes, before them from hours. What cells cannot tell is said to be unsure; the answer says which level was the
    /// coarsest. What that means exactly is written in [`query`](super::query).
    ///
    /// # Errors
    /// Those of [`SeriesStore::share_over`].
    pub fn share_bounds<K: Ord + Clone>(
        &self,
        scope: &Scope,
        series: &[(SeriesId, K)],
        query: &ShareQuery,
    ) -> Result<ShareAnswer<K>, SeriesError> {
        loop {
            let floors = self.0.readers.floors();
            let parts = parts_of(query.range, floors);
            let mut groups =
                self.by_group(scope, series, |ids| self.0.shares_of_parts(ids, &parts, query))?;
            // Retention may have taken a file away that was about to be read: then there is a coarser one.
            if self.0.readers.floors() == floors {
                rank_bounds(&mut groups);
                let level = parts.first().map_or(Level::Raw, |(level, _)| *level);
                return Ok(ShareAnswer { level, groups });
            }
        }
    }

    /// Adds up, by group, what `shares` says of series in ascending order, some at a time. In no particular order.
    fn by_group<K: Ord + Clone>(
        &self,
        scope: &Scope,
        series: &[(SeriesId, K)],
        shares: impl Fn(&[SeriesId]) -> Result<Vec<ShareBounds>, SeriesError>,
    ) -> Result<Vec<RankedBounds<K>>, SeriesError> {
        let mut shown: Vec<&(SeriesId, K)> = {
            let names = self.0.names();
            let allowed = |id| names.key(id).is_some_and(|key| scope.allows(&key.facility));
            series.iter().filter(|(id, _)| allowed(*id)).collect()
        };
        shown.sort_by_key(|(id, _)| *id);
        shown.dedup_by_key(|(id, _)| *id);
        let mut groups: BTreeMap<&K, (ShareBounds, u32)> = BTreeMap::new();
        for some in shown.chunks(TOGETHER) {
            let ids: Vec<SeriesId> = some.iter().map(|(id, _)| *id).collect();
            for ((_, key), bounds) in some.iter().zip(shares(&ids)?) {
                let (sum, count) = groups.entry(key).or_default();
                sum.add(bounds);
                *count += 1;
            }
        }
        let ranked = groups.into_iter().map(|(group, (bounds, series))| RankedBounds {
            group: group.clone(),
            bounds,
            series,
        });
        Ok(ranked.collect())
    }
}

impl Inner {
    fn gather(&self, series: SeriesId, level: Level, window: &mut Window) -> Result<(), SeriesError> {
        let range = window.range();
        // Copied before anything is looked up on disk, so that nothing is missed that is flushed meanwhile.
        let memory = self.memory(series, range);
        if level == Level::Raw {
            return self.readers.each_day(series.0, range, &memory, &mut |day| {
                window.add_day(day)?;
                Ok(ControlFlow::Continue(()))
            });
        }
        let cells = CellsOf {
            series: series.0,
            level,
            bins: window.wants_bins(),
        };
        self.readers
            .each_part(cells, range, &memory, &mut |part| match part {
                Part::Day(day) => window.add_day(day),
                Part::Cells(cells) => {
                    window.add_cells(cells);
                    Ok(())
                }
            })
    }

    /// The shares of some series, in ascending order, each once. Those of many series over several days are added up by
    /// two threads, one for each half of the time.
    fn shares(&self, series: &[SeriesId], query: &ShareQuery) -> Result<Vec<Share>, SeriesError> {
        let days = query.range.length_ms() / DAY_MS;
        if series.len() < MANY || days < SPLIT_DAYS {
            return self.shares_within(series, query);
        }
        // At the beginning of a day: its chunks are then asked for once.
        let middle = UtcMillis((day_of(query.range.from) + days / 2).saturating_mul(DAY_MS));
        let part = |from, to| ShareQuery {
            range: TimeRange { from, to },
            ..*query
        };
        let (earlier, later) = (part(query.range.from, middle), part(middle, query.range.to));
        let (earlier, later) = std::thread::scope(|scope| {
            let later = scope.spawn(|| self.shares_within(series, &later));
            let earlier = self.shares_within(series, &earlier);
            (earlier, later.join().expect("nothing panics while it adds up"))
        });
        let mut shares = earlier?;
        for (share, later) in shares.iter_mut().zip(later?) {
            share.add(later);
        }
        Ok(shares)
    }

    /// The same of a range of which each part has its level.
    fn shares_of_parts(
        &self,
        series: &[SeriesId],
        parts: &[(Level, TimeRange)],
        query: &ShareQuery,
    ) -> Result<Vec<ShareBounds>, SeriesError> {
        let mut bounds = vec![ShareBounds::default(); series.len()];
        for &(level, range) in parts {
            let query = ShareQuery { range, ..*query };
            if let Some(cell_ms) = level.cell_ms() {
                for (series, sum) in series.iter().zip(&mut bounds) {
                    sum.add(self.share_of_cells(*series, (level, cell_ms), &query)?);
                }
            } else {
                for (share, sum) in self.shares(series, &query)?.into_iter().zip(&mut bounds) {
                    sum.share.add(share);
                }
            }
        }
        Ok(bounds)
    }

    fn share_of_cells(
        &self,
        series: SeriesId,
        (level, cell_ms): (Level, i64),
        query: &ShareQuery,
    ) -> Result<ShareBounds, SeriesError> {
        let reach = query.max_hold_ms.max(cell_ms);
        let range = TimeRange {
            from: level.moment(query.range.from - reach),
            to: query.range.to,
        };
        let mut holding = CellHolding::new(query, cell_ms);
        let memory = self.memory(series, range);
        let cells = CellsOf {
            series: series.0,
            level,
            bins: false,
        };
        self.readers.each_part(cells, range, &memory, &mut |part| {
            match part {
                Part::Cells(cells) => {
                    let begin = cells.partition_point(|cell| cell.start < range.from);
                    let end = cells.partition_point(|cell| cell.start < range.to);
                    holding.add(&cells[begin..end]);
                }
                Part::Day(day) => holding.add(&cells_of(&day.decode(day.rows)?, level)),
            }
            Ok(())
        })?;
        Ok(holding.finish())
    }

    fn shares_within(&self, series: &[SeriesId], query: &ShareQuery) -> Result<Vec<Share>, SeriesError> {
        let range = TimeRange {
            // The last sample before the range reaches into it.
            from: query.range.from - query.max_hold_ms.max(0),
            to: query.range.to,
        };
        if query.range.from >= query.range.to {
            return Ok(vec![Share::default(); series.len()]);
        }
        let memory: Vec<Vec<Sample>> = series.iter().map(|series| self.memory(*series, range)).collect();
        let mut holdings: Vec<Holding<'_>> = series.iter().map(|_| Holding::new(query)).collect();
        if series.len() < MANY {
            for ((series, memory), holding) in series.iter().zip(&memory).zip(&mut holdings) {
                self.readers.each_day(series.0, range, memory, &mut |day| {
                    holding.add_day(day)?;
                    Ok(ControlFlow::Continue(()))
                })?;
            }
        } else {
            let wanted: Vec<(u32, &[Sample])> = series
                .iter()
                .zip(&memory)
                .map(|(series, memory)| (series.0, memory.as_slice()))
                .collect();
            self.readers
                .each_day_of_many(&wanted, range, &mut |index, day| holdings[index].add_day(day))?;
        }
        Ok(holdings.into_iter().map(Holding::finish).collect())
    }
}
