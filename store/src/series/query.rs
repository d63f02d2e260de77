//! What can be asked of time series, and what the answers mean. Every backend answers the same; where one
//! cannot, it fetches samples and lets [`reference`](super::reference) do it.
//!
//! # Buckets
//!
//! * A bucket is **left-closed**: it holds the samples with `start <= at < end`, and it is **labelled by its
//!   start**.
//! * Buckets never reach beyond the range asked for: the first begins at `range.from`, the last ends at `range.to`,
//!   and either may be shorter than the others.
//! * Steps of a fixed length are counted from `range.from`. Calendar steps begin where the clock on the wall of the
//!   time zone shows a full hour, the beginning of a day, of a month: a day is 23 or 25 hours long where the clocks
//!   are changed, and an hour is longer than 60 minutes where they are changed by less than an hour.
//! * A bucket without a sample is **absent** from the answer. There is no null and no carrying forward: two buckets
//!   that do not touch have a gap between them.
//! * Of several samples of one series at one moment the one that was stored last holds; the others never count.
//!
//! # Aggregates
//!
//! `avg` counts every sample the same, however long it held. `last` is the sample with the latest time. A
//! **quantile** is the **nearest rank**: of `n` values in ascending order `pQ` is the one with the rank
//! `ceil(Q / 100 * n)`, counted from 1. It is always a value that was measured; nothing is interpolated.
//!
//! # Levels
//!
//! Readings are kept for a while, their minutes longer, their hours longest. A query is answered from the finest
//! level that fits ([`Level`]) and says which. At the levels of minutes and hours, cells of that length (beginning
//! at whole minutes and hours of UTC) take the place of samples: **a cell counts where it begins**, as a whole. Sums,
//! counts, extremes and last values are exact for the cells; a quantile lies within 1 % of the nearest rank, or within
//! 1e-9 of it.
//!
//! # Shares of time
//!
//! A sample holds from its moment until the next one, but no longer than `max_hold_ms`, and not beyond the range. The
//! last sample before the range counts for its reach into it. `known_ms` is the time for which a sample held, `over_ms`
//! the part of it in which the value was beyond the limit. What nobody measured is in neither.
//!
//! Where only minutes or hours are left ([`ShareBounds`]), a cell is known as a whole, and its last value holds
//! beyond its end as a sample would that was taken at its beginning. A cell counts as over, or as not over, when all
//! its values and the one that held when it began lie on one side of the limit; otherwise nobody can tell for how much
//! of it the value was beyond, and its time is *unsure*: the share lies between two bounds. Where every cell has samples
//! and no gap is longer than `max_hold_ms`, the exact share lies between them too.

use std::{cmp::Ordering, fmt};

use domain::{Sample, TimeRange, UtcMillis, rule::Comparison};
use jiff::{Timestamp, Zoned, tz::TimeZone};

use super::{MAX_BUCKETS, error::SeriesError};

/// Milliseconds in a minute, the cell of [`Level::Minute`].
pub(super) const MINUTE_MS: i64 = 60_000;
/// Milliseconds in an hour, the cell of [`Level::Hour`].
pub(super) const HOUR_MS: i64 = 3_600_000;

/// One figure about the samples of a bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Aggregate {
    /// The mean, each sample counting the same.
    Avg,
    /// The smallest value.
    Min,
    /// The largest value.
    Max,
    /// How many samples.
    Count,
    /// The sum of all values.
    Sum,
    /// The value of the latest sample.
    Last,
    /// The median, by nearest rank.
    P50,
    /// The value that 95 % do not exceed, by nearest rank.
    P95,
    /// The value that 99 % do not exceed, by nearest rank.
    P99,
}

impl Aggregate {
    /// Every one, in the order in which they are shown.
    pub const ALL: [Aggregate; 9] = [
        Aggregate::Avg,
        Aggregate::Min,
        Aggregate::Max,
        Aggregate::Count,
        Aggregate::Sum,
        Aggregate::Last,
        Aggregate::P50,
        Aggregate::P95,
        Aggregate::P99,
    ];

    /// Its name in interfaces: `avg`, `p95`, …
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Aggregate::Avg => "avg",
            Aggregate::Min => "min",
            Aggregate::Max => "max",
            Aggregate::Count => "count",
            Aggregate::Sum => "sum",
            Aggregate::Last => "last",
            Aggregate::P50 => "p50",
            Aggregate::P95 => "p95",
            Aggregate::P99 => "p99",
        }
    }

    /// For a quantile, of 100: 50, 95 or 99.
    #[must_use]
    pub const fn percent(self) -> Option<u32> {
        match self {
            Aggregate::P50 => Some(50),
            Aggregate::P95 => Some(95),
            Aggregate::P99 => Some(99),
            _ => None,
        }
    }
}

/// A set of [`Aggregate`]s.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Aggregates(u16);

impl Aggregates {
    /// What costs next to nothing: everything but the quantiles.
    pub const PLAIN: Aggregates = Aggregates(0b000_111_111);
    /// Everything.
    pub const ALL: Aggregates = Aggregates(0b111_111_111);

    /// These and one more.
    #[must_use]
    pub const fn with(self, aggregate: Aggregate) -> Aggregates {
        Aggregates(self.0 | 1 << aggregate as u16)
    }

    /// Whether `aggregate` is one of these.
    #[must_use]
    pub const fn contains(self, aggregate: Aggregate) -> bool {
        self.0 & 1 << aggregate as u16 != 0
    }

    /// Whether any quantile is one of these.
    #[must_use]
    pub fn has_quantiles(self) -> bool {
        self.iter().any(|aggregate| aggregate.percent().is_some())
    }

    /// These, in the order of [`Aggregate::ALL`].
    pub fn iter(self) -> impl Iterator<Item = Aggregate> {
        Aggregate::ALL.into_iter().filter(move |a| self.contains(*a))
    }
}

impl FromIterator<Aggregate> for Aggregates {
    fn from_iter<I: IntoIterator<Item = Aggregate>>(wanted: I) -> Aggregates {
        wanted.into_iter().fold(Aggregates(0), Aggregates::with)
    }
}

impl fmt::Debug for Aggregates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter().map(Aggregate::code)).finish()
    }
}

/// A time zone by its name, with its changes of the clock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Zone(TimeZone);

impl Zone {
    /// Coordinated universal time.
    #[must_use]
    pub fn utc() -> Zone {
        Zone(TimeZone::UTC)
    }

    /// The zone of that name, such as `Asia/Shanghai`; `None` when there is none.
    #[must_use]
    pub fn named(name: &str) -> Option<Zone> {
        TimeZone::get(name).ok().map(Zone)
    }

    /// Its name; `UTC` for a zone that has none.
    #[must_use]
    pub fn name(&self) -> &str {
        self.0.iana_name().unwrap_or("UTC")
    }
}

/// A unit of the calendar.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CalendarUnit {
    /// From one full hour on the wall clock to the next.
    Hour,
    /// From midnight (or the first moment of the day) to the next.
    Day,
    /// From the first day of a month to the first of the next.
    Month,
}

/// How a range is cut into buckets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Every so many milliseconds from the range's beginning; at least 1.
    Fixed {
        /// The length of a bucket in milliseconds.
        ms: i64,
    },
    /// At the beginnings of hours, days or months in a time zone.
    Calendar {
        /// Which.
        unit: CalendarUnit,
        /// Where.
        zone: Zone,
    },
    /// So many parts of equal length. Where that is no whole number of milliseconds, a part begins at the next whole
    /// one.
    Parts(u32),
}

/// The samples of a range, bucket by bucket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WindowQuery {
    /// Which time.
    pub range: TimeRange,
    /// How it is cut.
    pub step: Step,
    /// What is wanted of each bucket. Quantiles that are not asked for are not in the answer; the others may be.
    pub aggregates: Aggregates,
}

impl WindowQuery {
    /// The ends of the buckets: `edges[i]..edges[i + 1]` is bucket `i`. Empty when the range is.
    ///
    /// # Errors
    /// [`SeriesError::TooManyBuckets`] beyond [`MAX_BUCKETS`]; a step shorter than 1 ms counts as one.
    pub fn edges(&self) -> Result<Vec<UtcMillis>, SeriesError> {
        edges(self.range, &self.step)
    }
}

/// One bucket: left-closed, labelled by its start.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct WindowBucket {
    /// Its first moment.
    pub start: UtcMillis,
    /// The first moment after it.
    pub end: UtcMillis,
    /// Samples in it; at least 1.
    pub count: u64,
    /// The sum of all values.
    pub sum: f64,
    /// The smallest value.
    pub min: f64,
    /// The largest value.
    pub max: f64,
    /// The value of the latest sample.
    pub last: f64,
    /// The quantiles that were asked for.
    pub quantiles: Quantiles,
}

/// Quantiles by nearest rank; `None` where one was not asked for.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Quantiles {
    /// The median.
    pub p50: Option<f64>,
    /// The value that 95 % do not exceed.
    pub p95: Option<f64>,
    /// The value that 99 % do not exceed.
    pub p99: Option<f64>,
}

impl Quantiles {
    /// Asks `find` for each quantile in `wanted`, by its percentage.
    pub fn of(wanted: Aggregates, mut find: impl FnMut(u32) -> f64) -> Quantiles {
        let mut of = |aggregate: Aggregate| {
            let percent = aggregate.percent().filter(|_| wanted.contains(aggregate));
            percent.map(&mut find)
        };
        Quantiles {
            p50: of(Aggregate::P50),
            p95: of(Aggregate::P95),
            p99: of(Aggregate::P99),
        }
    }
}

impl WindowBucket {
    /// The mean of the samples, each counting the same.
    #[must_use]
    #[expect(
        clippy::cast_precision_loss,
        reason = "a bucket holds far fewer than 2^52 samples"
    )]
    pub fn avg(&self) -> f64 {
        self.sum / self.count as f64
    }

    /// One of its figures; `None` for a quantile that was not asked for.
    #[must_use]
    #[expect(
        clippy::cast_precision_loss,
        reason = "a bucket holds far fewer than 2^52 samples"
    )]
    pub fn get(&self, aggregate: Aggregate) -> Option<f64> {
        match aggregate {
            Aggregate::Avg => Some(self.avg()),
            Aggregate::Min => Some(self.min),
            Aggregate::Max => Some(self.max),
            Aggregate::Count => Some(self.count as f64),
            Aggregate::Sum => Some(self.sum),
            Aggregate::Last => Some(self.last),
            Aggregate::P50 => self.quantiles.p50,
            Aggregate::P95 => self.quantiles.p95,
            Aggregate::P99 => self.quantiles.p99,
        }
    }
}

/// How fine the data are that an answer rests on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Readings as they were measured.
    Raw,
    /// Whole minutes of UTC.
    Minute,
    /// Whole hours of UTC.
    Hour,
}

impl Level {
    /// The length of a cell in milliseconds; `None` for readings.
    #[must_use]
    pub const fn cell_ms(self) -> Option<i64> {
        match self {
            Level::Raw => None,
            Level::Minute => Some(MINUTE_MS),
            Level::Hour => Some(HOUR_MS),
        }
    }

    /// Where a sample counts at this level: at its own moment, or at the beginning of its cell.
    #[must_use]
    pub fn moment(self, at: UtcMillis) -> UtcMillis {
        self.cell_ms()
            .map_or(at, |cell| UtcMillis(at.0.saturating_sub(at.0.rem_euclid(cell))))
    }
}

/// The answer to a [`WindowQuery`].
#[derive(Debug, Clone, PartialEq)]
pub struct WindowAnswer {
    /// How fine the data are that it rests on.
    pub level: Level,
    /// The buckets that hold anything, oldest first: a gap between two of them is a gap in the data.
    pub buckets: Vec<WindowBucket>,
}

/// How long values were beyond a limit.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ShareQuery {
    /// Which time.
    pub range: TimeRange,
    /// Which side of the limit is beyond it.
    pub op: Comparison,
    /// The limit, in the metric's canonical unit.
    pub limit: f64,
    /// How long a value holds at most when nothing follows it, in milliseconds: a few report intervals. Values below
    /// 0 count as 0.
    pub max_hold_ms: i64,
}

/// How long a value was known, and how long it was beyond the limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Share {
    /// Milliseconds beyond the limit.
    pub over_ms: i64,
    /// Milliseconds for which a value held. Of several series, the sum over them.
    pub known_ms: i64,
}

impl Share {
    /// The share of the known time beyond the limit, 0 to 1; `None` when nothing is known.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "a share needs no more than 52 bits")]
    pub fn ratio(&self) -> Option<f64> {
        (self.known_ms > 0).then(|| self.over_ms as f64 / self.known_ms as f64)
    }

    /// Adds another series' or span's time.
    pub fn add(&mut self, other: Share) {
        self.over_ms = self.over_ms.saturating_add(other.over_ms);
        self.known_ms = self.known_ms.saturating_add(other.known_ms);
    }
}

/// One group's share, as [`rank`] orders them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ranked<K> {
    /// What the series were grouped by: themselves, a facility, a region, …
    pub group: K,
    /// The share of all of them together.
    pub share: Share,
    /// How many series it is made of, those of which nothing is known included.
    pub series: u32,
}

/// Orders groups by the share of time beyond the limit, the worst first; of equal ones the one that was beyond for
/// longer, then by their key. Groups of which nothing is known come last.
pub fn rank<K: Ord>(groups: &mut [Ranked<K>]) {
    groups.sort_by(|a, b| worse_first(a.share, b.share).then_with(|| a.group.cmp(&b.group)));
}

fn worse_first(a: Share, b: Share) -> Ordering {
    let known = (b.known_ms > 0).cmp(&(a.known_ms > 0));
    // Fractions are compared crosswise: exact, where a quotient would be rounded.
    let cross = |x: Share, y: Share| i128::from(x.over_ms) * i128::from(y.known_ms);
    known
        .then(cross(b, a).cmp(&cross(a, b)))
        .then(b.over_ms.cmp(&a.over_ms))
}

/// A share of which a part cannot be told: readings are gone, and their minutes or hours lie on both sides of the limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ShareBounds {
    /// The time that is known, and what of it was beyond the limit for certain.
    pub share: Share,
    /// Milliseconds of the known time that may have been beyond it as well, or not. 0 where readings answered.
    pub unsure_ms: i64,
}

impl ShareBounds {
    /// The least and the greatest share of the known time, 0 to 1; `None` when nothing is known.
    #[must_use]
    pub fn ratios(&self) -> Option<(f64, f64)> {
        let most = Share {
            over_ms: self.share.over_ms.saturating_add(self.unsure_ms),
            ..self.share
        };
        Some((self.share.ratio()?, most.ratio()?))
    }

    /// Adds another series' or span's time.
    pub fn add(&mut self, other: ShareBounds) {
        self.share.add(other.share);
        self.unsure_ms = self.unsure_ms.saturating_add(other.unsure_ms);
    }
}

/// One group's share with its bounds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RankedBounds<K> {
    /// What the series were grouped by.
    pub group: K,
    /// The share of all of them together.
    pub bounds: ShareBounds,
    /// How many series it is made of, those of which nothing is known included.
    pub series: u32,
}

/// Shares of groups, and what they rest on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShareAnswer<K> {
    /// The coarsest level that answered for any part of the range.
    pub level: Level,
    /// The groups in the order of [`rank_bounds`].
    pub groups: Vec<RankedBounds<K>>,
}

/// Orders groups as [`rank`] does, by what is certain.
pub fn rank_bounds<K: Ord>(groups: &mut [RankedBounds<K>]) {
    groups.sort_by(|a, b| worse_first(a.bounds.share, b.bounds.share).then_with(|| a.group.cmp(&b.group)));
}

/// One page of samples.
#[derive(Debug, Clone, PartialEq)]
pub struct Page {
    /// Oldest first.
    pub samples: Vec<Sample>,
    /// Where to go on: the `from` of the next page's range. `None` after the last page.
    pub next: Option<UtcMillis>,
}

/// The position of `pPERCENT` among `count` values in ascending order, counted from 0: nearest rank.
#[must_use]
pub fn nearest_rank(percent: u32, count: u64) -> u64 {
    let rank = (u128::from(percent) * u128::from(count)).div_ceil(100);
    u64::try_from(rank.max(1) - 1).expect("a percentage of a u64 fits one")
}

pub(super) fn edges(range: TimeRange, step: &Step) -> Result<Vec<UtcMillis>, SeriesError> {
    if range.from >= range.to {
        return Ok(Vec::new());
    }
    match step {
        Step::Fixed { ms } => fixed(range, (*ms).max(1)),
        Step::Parts(parts) => equal(range, *parts),
        Step::Calendar { unit, zone } => calendar(range, *unit, zone),
    }
}

/// Wide arithmetic: a range may be as long as time itself.
fn length(range: TimeRange) -> i128 {
    i128::from(range.to.0) - i128::from(range.from.0)
}

fn moment(range: TimeRange, offset: i128) -> UtcMillis {
    let at = i128::from(range.from.0) + offset;
    UtcMillis(i64::try_from(at).expect("an edge lies in the range or at its end"))
}

fn too_many(asked: u32) -> SeriesError {
    SeriesError::TooManyBuckets {
        asked,
        max: MAX_BUCKETS,
    }
}

fn fixed(range: TimeRange, ms: i64) -> Result<Vec<UtcMillis>, SeriesError> {
    let count = (length(range) + i128::from(ms) - 1) / i128::from(ms);
    if count > i128::from(MAX_BUCKETS) {
        return Err(too_many(u32::try_from(count).unwrap_or(u32::MAX)));
    }
    let end = |n: i128| moment(range, (n * i128::from(ms)).min(length(range)));
    Ok((0..=count).map(end).collect())
}

fn equal(range: TimeRange, parts: u32) -> Result<Vec<UtcMillis>, SeriesError> {
    if parts > MAX_BUCKETS {
        return Err(too_many(parts));
    }
    if parts == 0 {
        return Ok(Vec::new());
    }
    let parts = i128::from(parts);
    let end = |n: i128| moment(range, (n * length(range) + parts - 1) / parts);
    Ok((0..=parts).map(end).collect())
}

fn calendar(range: TimeRange, unit: CalendarUnit, zone: &Zone) -> Result<Vec<UtcMillis>, SeriesError> {
    let mut edges = vec![range.from];
    let mut at = range.from;
    // Beyond the calendar's own end there are no more edges.
    while let Some(next) = following(at, unit, zone).filter(|next| *next < range.to) {
        if edges.len() >= MAX_BUCKETS as usize {
            return Err(too_many(MAX_BUCKETS + 1));
        }
        edges.push(next);
        at = next;
    }
    edges.push(range.to);
    Ok(edges)
}

/// The first beginning of a unit after `at`; `None` outside the years that the calendar knows.
fn following(at: UtcMillis, unit: CalendarUnit, zone: &Zone) -> Option<UtcMillis> {
    let local = Timestamp::from_millisecond(at.0).ok()?.to_zoned(zone.0.clone());
    let next = match unit {
        CalendarUnit::Hour => return following_hour(&local),
        CalendarUnit::Day => local.tomorrow().ok()?.start_of_day().ok()?,
        CalendarUnit::Month => {
            let first = local.date().last_of_month().tomorrow().ok()?;
            first.to_zoned(zone.0.clone()).ok()?.start_of_day().ok()?
        }
    };
    Some(UtcMillis(next.timestamp().as_millisecond()))
}

/// The next moment at which the wall clock shows a full hour. A clock that is changed within the hour (by half an
/// hour, as on Lord Howe Island) shows another minute after 60 minutes; then its next full hour is taken.
fn following_hour(local: &Zoned) -> Option<UtcMillis> {
    let to_full = |local: &Zoned| {
        let past = (i64::from(local.minute()) * 60 + i64::from(local.second())) * 1000
            + i64::from(local.subsec_nanosecond() / 1_000_000);
        HOUR_MS - past
    };
    let begin = local.timestamp().as_millisecond();
    let mut next = begin.checked_add(to_full(local))?;
    let there = Timestamp::from_millisecond(next)
        .ok()?
        .to_zoned(local.time_zone().clone());
    let left = to_full(&there);
    if left != HOUR_MS {
        next = next.checked_add(left)?;
    }
    Some(UtcMillis(next))
}
