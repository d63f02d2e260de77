//! Shares of time beyond a limit over a set of points, by point, facility or region: what `/analysis` and
//! `/api/v1/share` both show.

use std::{collections::BTreeMap, sync::Arc};

use domain::{FacilityId, Point, RegionId, Scope, SeriesId, SeriesKey, TimeRange, rule::Comparison};
use store::{Level, RankedBounds, ShareBounds, ShareQuery, series::query::rank_bounds};

use crate::{app::App, failure::Failure, picture::patience_ms};

/// The most days of points, added up over all of them, that are read from minutes and hours for one answer.
const MAX_CELL_DAYS: i64 = 60_000;

const DAY_MS: i64 = 86_400_000;

/// What shares are added up by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum By {
    Series,
    Facility,
    Region,
}

impl By {
    pub(crate) const ALL: [By; 3] = [By::Facility, By::Region, By::Series];

    pub(crate) const fn code(self) -> &'static str {
        match self {
            By::Series => "series",
            By::Facility => "facility",
            By::Region => "region",
        }
    }

    pub(crate) fn parse(code: &str) -> Option<By> {
        By::ALL.into_iter().find(|by| by.code() == code)
    }
}

/// For which share of a time values were beyond a limit.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Question {
    /// Not beyond now: what has not been cannot be known.
    pub(crate) range: TimeRange,
    pub(crate) op: Comparison,
    pub(crate) limit: f64,
    pub(crate) by: By,
}

impl Question {
    /// As the store is asked it, of points whose values hold for so many milliseconds.
    fn held(&self, max_hold_ms: i64) -> ShareQuery {
        ShareQuery {
            range: self.range,
            op: self.op,
            limit: self.limit,
            max_hold_ms,
        }
    }
}

/// Points by how long a value of theirs holds, in milliseconds.
type ByHold = BTreeMap<i64, Vec<(Option<SeriesId>, SeriesKey)>>;

/// A point, a facility or a region; one variant only in one answer.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum GroupKey {
    Region(RegionId),
    Facility(FacilityId),
    Series(SeriesKey),
}

/// What is known of one group.
#[derive(Debug, Clone)]
pub(crate) struct Group {
    pub(crate) key: GroupKey,
    pub(crate) bounds: ShareBounds,
    /// Its points that were asked for, with those that never said anything.
    pub(crate) points: u32,
    /// The point that was beyond the limit for longest, if any was.
    pub(crate) worst: Option<SeriesKey>,
}

impl Group {
    /// The share of the time of all its points that is known, 0 to 1.
    pub(crate) fn coverage(&self, range: TimeRange) -> f64 {
        let whole = range.length_ms() as f64 * f64::from(self.points);
        if whole > 0.0 {
            (self.bounds.share.known_ms as f64 / whole).min(1.0)
        } else {
            0.0
        }
    }
}

/// Groups, the worst first; those of which nothing is known come last.
#[derive(Debug, Clone)]
pub(crate) struct Ranking {
    pub(crate) level: Level,
    pub(crate) groups: Vec<Group>,
}

impl App {
    /// The shares of all points in `scope` that `wanted` takes.
    pub(crate) async fn share(
        self: &Arc<App>,
        scope: &Scope,
        question: &Question,
        wanted: impl Fn(&Point) -> bool,
    ) -> Result<Ranking, Failure> {
        let directory = self.directory().await?;
        let mut groups: BTreeMap<GroupKey, Group> = BTreeMap::new();
        // Points by how long a value of theirs holds, each with the series that it has here, if it was heard here.
        let mut by_hold = ByHold::new();
        let mut regions: BTreeMap<FacilityId, RegionId> = BTreeMap::new();
        for entry in directory.facilities(scope) {
            let facility = &entry.facility;
            for point in entry.points.iter().filter(|entry| wanted(&entry.point)) {
                regions.insert(facility.id.clone(), facility.region.clone());
                let key = group_of(question.by, &point.key, &facility.region);
                let group = groups.entry(key.clone()).or_insert(Group {
                    key,
                    bounds: ShareBounds::default(),
                    points: 0,
                    worst: None,
                });
                group.points += 1;
                let series = self.stores.series.find(scope, &point.key);
                // A value holds until the next one, but no longer than the pages take its point to be heard.
                let hold = patience_ms(point.point.report_interval_s);
                by_hold.entry(hold).or_default().push((series, point.key.clone()));
            }
        }
        let (level, points) = if self.stores.timeseries.reaches_beyond(question.range) {
            (Level::Raw, self.shares_beyond(scope, question, by_hold).await?)
        } else {
            self.shares_here(scope, question, by_hold).await?
        };
        let mut most: BTreeMap<GroupKey, i64> = BTreeMap::new();
        for point in points {
            let region = &regions[&point.group.facility];
            let key = group_of(question.by, &point.group, region);
            let Some(group) = groups.get_mut(&key) else {
                continue;
            };
            group.bounds.add(point.bounds);
            let over_ms = point.bounds.share.over_ms;
            let longest = most.entry(key).or_default();
            if over_ms > *longest {
                *longest = over_ms;
                group.worst = Some(point.group);
            }
        }
        Ok(Ranking {
            level,
            groups: ranked(groups),
        })
    }

    /// Of the embedded store, exact as far back as it has readings.
    async fn shares_here(
        self: &Arc<App>,
        scope: &Scope,
        question: &Question,
        by_hold: ByHold,
    ) -> Result<(Level, Vec<RankedBounds<SeriesKey>>), Failure> {
        let heard = by_hold.into_iter().map(|(hold, points)| {
            let points = points.into_iter().filter_map(|(id, key)| Some((id?, key)));
            (hold, points.collect::<Vec<(SeriesId, SeriesKey)>>())
        });
        let heard: Vec<_> = heard.collect();
        self.check_cost(question.range, heard.iter().map(|(_, points)| points.len()).sum())?;
        let (scope, question) = (scope.clone(), question.clone());
        let read = self.read_blocking(move |app| {
            let (mut level, mut points) = (Level::Raw, Vec::new());
            for (hold, series) in heard {
                let answer = app
                    .stores
                    .series
                    .share_bounds(&scope, &series, &question.held(hold))?;
                level = level.max(answer.level);
                points.extend(answer.groups);
            }
            Ok::<_, store::SeriesError>((level, points))
        });
        Ok(read.await??)
    }

    /// Of the embedded store and of the other server that has what is older: from readings, so exact.
    async fn shares_beyond(
        &self,
        scope: &Scope,
        question: &Question,
        by_hold: ByHold,
    ) -> Result<Vec<RankedBounds<SeriesKey>>, Failure> {
        let mut ranked = Vec::new();
        for (hold, points) in by_hold {
            let series: Vec<(SeriesKey, SeriesKey)> =
                points.into_iter().map(|(_, key)| (key.clone(), key)).collect();
            let query = question.held(hold);
            let answer = self.stores.timeseries.share_by(scope, &series, &query).await?;
            ranked.extend(answer.into_iter().map(|point| RankedBounds {
                group: point.group,
                bounds: ShareBounds {
                    share: point.share,
                    unsure_ms: 0,
                },
                series: point.series,
            }));
        }
        Ok(ranked)
    }

    /// Refuses what would take too long: readings of many points are read by summaries, but minutes and hours one by one.
    fn check_cost(&self, range: TimeRange, points: usize) -> Result<(), Failure> {
        let Some(raw_from) = self.stores.series.stats().raw_from else {
            return Ok(());
        };
        let days = raw_from
            .min(range.to)
            .ms_since(range.from)
            .max(0)
            .div_euclid(DAY_MS);
        let points = i64::try_from(points).unwrap_or(i64::MAX);
        if days.saturating_mul(points) > MAX_CELL_DAYS {
            let allowed = MAX_CELL_DAYS / points.max(1);
            let wanted = format!(
                "at most {allowed} days before {}, from where on readings are kept, for {points} points: ask for a later \
                 beginning or for fewer points",
                crate::format::iso(raw_from)
            );
            return Err(Failure::bad_parameter("from", &wanted));
        }
        Ok(())
    }
}

fn group_of(by: By, series: &SeriesKey, region: &RegionId) -> GroupKey {
    match by {
        By::Series => GroupKey::Series(series.clone()),
        By::Facility => GroupKey::Facility(series.facility.clone()),
        By::Region => GroupKey::Region(region.clone()),
    }
}

fn ranked(mut groups: BTreeMap<GroupKey, Group>) -> Vec<Group> {
    let mut order: Vec<RankedBounds<GroupKey>> = groups
        .values()
        .map(|group| RankedBounds {
            group: group.key.clone(),
            bounds: group.bounds,
            series: group.points,
        })
        .collect();
    rank_bounds(&mut order);
    order
        .iter()
        .filter_map(|ranked| groups.remove(&ranked.group))
        .collect()
}

/// A level's name in interfaces.
pub(crate) const fn level_code(level: Level) -> &'static str {
    match level {
        Level::Raw => "raw",
        Level::Minute => "minute",
        Level::Hour => "hour",
    }
}
