//! How things stand now: the state of points and facilities as the pages show it.

use std::{collections::BTreeMap, sync::Arc};

use alerts::{Board, ConditionState};
use domain::{
    Case, FacilityId, Rule, RuleId, RuleKind, Sample, Scope, SeriesId, Severity, UtcMillis, rule::Comparison,
};

use crate::{
    app::App,
    directory::{Directory, FacilityEntry, PointEntry},
    spark::{Spark, Wanted},
};

/// A state as it is shown, worst first. Silence is [`Shown::Unknown`], never normal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Shown {
    /// A breach that lasted long enough.
    Active(Severity),
    /// Nothing is heard.
    Unknown,
    /// It was in breach and is not any more; people have yet to say so.
    Cleared,
    /// In breach, and set aside by people until a moment that they named.
    Shelved,
    /// Over the limit, but for less time than the rule allows: a door that somebody walks through. Nobody
    /// need do anything yet.
    Pending,
    /// Values come, but no rule judges them.
    Unjudged,
    /// Values come and are within the limits.
    Normal,
}

impl Shown {
    /// The name in the API.
    pub(crate) const fn code(self) -> &'static str {
        match self {
            Shown::Active(_) => "active",
            Shown::Pending => "pending",
            Shown::Shelved => "shelved",
            Shown::Unknown => "unknown",
            Shown::Cleared => "cleared",
            Shown::Unjudged => "unjudged",
            Shown::Normal => "normal",
        }
    }

    /// The class that gives it its colour and its mark.
    pub(crate) const fn tone(self) -> &'static str {
        match self {
            Shown::Active(Severity::P0 | Severity::P1) => "crit",
            Shown::Active(_) => "warn",
            Shown::Unknown => "off",
            Shown::Cleared | Shown::Shelved | Shown::Pending | Shown::Unjudged => "calm",
            Shown::Normal => "ok",
        }
    }

    /// Whether it calls for somebody.
    pub(crate) const fn is_breach(self) -> bool {
        matches!(self, Shown::Active(_))
    }
}

/// A line on a chart that must not be crossed.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Limit {
    pub(crate) op: Comparison,
    pub(crate) value: f64,
    pub(crate) severity: Severity,
    pub(crate) rule: RuleId,
}

impl Limit {
    /// Whether a breach lies above the line.
    pub(crate) const fn breach_above(&self) -> bool {
        matches!(self.op, Comparison::Above | Comparison::AtLeast)
    }
}

/// A point as it stands now.
#[derive(Debug, Clone)]
pub(crate) struct PointNow {
    pub(crate) state: Shown,
    pub(crate) since: Option<UtcMillis>,
    pub(crate) rule: Option<RuleId>,
    pub(crate) latest: Option<Sample>,
    pub(crate) series: Option<SeriesId>,
    pub(crate) limits: Vec<Limit>,
    pub(crate) spark: Option<Arc<Spark>>,
}

/// A facility as it stands now.
#[derive(Debug, Clone)]
pub(crate) struct FacilityNow {
    pub(crate) entry: Arc<FacilityEntry>,
    pub(crate) points: Vec<PointNow>,
    /// The worst state of its points; [`Shown::Unknown`] when it has none.
    pub(crate) worst: Shown,
    /// The point whose value stands for the facility.
    pub(crate) headline: Option<usize>,
    /// Cases that are not closed; 0 until [`count_cases`] has counted them.
    pub(crate) open_cases: usize,
}

/// Tells every facility how many of `cases`, none of them closed, are its own, and puts first what needs
/// somebody: breaches, then cases that outlived theirs, then the others, the worst first.
pub(crate) fn count_cases(all: &mut [FacilityNow], cases: &[Case]) {
    let mut counts: BTreeMap<&FacilityId, usize> = BTreeMap::new();
    for case in cases {
        *counts.entry(&case.point.facility).or_default() += 1;
    }
    for facility in &mut *all {
        facility.open_cases = counts.get(&facility.entry.facility.id).copied().unwrap_or(0);
    }
    let urgency = |f: &FacilityNow| match (f.worst.is_breach(), f.open_cases) {
        (true, _) => 0,
        (false, 1..) => 1,
        (false, 0) => 2,
    };
    all.sort_by(|a, b| {
        let key = |f: &FacilityNow| (urgency(f), f.worst);
        (key(a), &a.entry.facility.id).cmp(&(key(b), &b.entry.facility.id))
    });
}

impl FacilityNow {
    pub(crate) fn newest(&self) -> Option<UtcMillis> {
        self.points.iter().filter_map(|p| p.latest.map(|s| s.at)).max()
    }

    /// Points that are heard.
    pub(crate) fn reporting(&self) -> usize {
        self.points.iter().filter(|p| p.state != Shown::Unknown).count()
    }

    pub(crate) fn in_breach(&self) -> usize {
        self.points.iter().filter(|p| p.state.is_breach()).count()
    }

    pub(crate) fn headline(&self) -> Option<(&PointEntry, &PointNow)> {
        let i = self.headline?;
        Some((&self.entry.points[i], &self.points[i]))
    }
}

/// What judgement says at this moment, held still while a page is drawn.
pub(crate) struct Judgement {
    pub(crate) board: Arc<Board>,
    pub(crate) now: UtcMillis,
}

impl App {
    pub(crate) fn judgement(&self) -> Judgement {
        Judgement {
            board: self.stores.alerts.board(),
            now: self.stores.clock.now(),
        }
    }

    /// How every facility in `scope` stands, worst first.
    pub(crate) fn facilities_now(&self, scope: &Scope, directory: &Directory) -> Vec<FacilityNow> {
        let judgement = self.judgement();
        let mut all: Vec<FacilityNow> = directory
            .facilities(scope)
            .map(|e| self.facility_now(scope, e, &judgement))
            .collect();
        all.sort_by(|a, b| (a.worst, &a.entry.facility.id).cmp(&(b.worst, &b.entry.facility.id)));
        all
    }

    pub(crate) fn facility_now(
        &self,
        scope: &Scope,
        entry: &Arc<FacilityEntry>,
        judgement: &Judgement,
    ) -> FacilityNow {
        let points: Vec<PointNow> = entry
            .points
            .iter()
            .map(|p| self.point_now(scope, p, judgement))
            .collect();
        let worst = points.iter().map(|p| p.state).min().unwrap_or(Shown::Unknown);
        let headline = headline(entry, &points);
        FacilityNow {
            entry: Arc::clone(entry),
            points,
            worst,
            headline,
            open_cases: 0,
        }
    }

    pub(crate) fn point_now(&self, scope: &Scope, entry: &PointEntry, judgement: &Judgement) -> PointNow {
        let store = &self.stores.series;
        let series = store.find(scope, &entry.key);
        let latest = series.and_then(|s| store.latest(scope, s));
        let judged = judgement.board.points.get(&entry.key);
        let state = judged.map_or(Shown::Unjudged, |p| match p.state {
            ConditionState::Normal => Shown::Normal,
            ConditionState::Pending => Shown::Pending,
            ConditionState::Shelved => Shown::Shelved,
            ConditionState::Active => Shown::Active(p.severity.unwrap_or(Severity::P2)),
            ConditionState::Cleared => Shown::Cleared,
            ConditionState::Unknown => Shown::Unknown,
        });
        let shown = heard(state, latest, entry.point.report_interval_s, judgement.now);
        // Where silence speaks instead of judgement, it lasts since the last value.
        let (since, rule) = if shown == state {
            (judged.map(|p| p.since), judged.and_then(|p| p.rule.clone()))
        } else {
            (latest.map(|s| s.at), None)
        };
        PointNow {
            state: shown,
            since,
            rule,
            latest,
            series,
            limits: limits(entry, &self.stores.alerts.rules_of(&entry.key.facility)),
            spark: self.sparks.get(&entry.key),
        }
    }

    /// Sees to it that every facility's headline has a fresh sparkline, at most `most` of them now.
    pub(crate) async fn draw_headlines(self: &Arc<App>, all: &mut [FacilityNow], most: usize) {
        let wanted = all
            .iter()
            .filter_map(|f| f.headline().and_then(|(e, n)| wanted(e, n)))
            .collect();
        self.draw_sparks(wanted, most).await;
        for facility in all {
            if let Some(i) = facility.headline {
                facility.points[i].spark = self.sparks.get(&facility.entry.points[i].key);
            }
        }
    }

    /// Sees to it that every point of a facility has a fresh sparkline.
    pub(crate) async fn draw_points(self: &Arc<App>, facility: &mut FacilityNow, most: usize) {
        let pairs = facility.entry.points.iter().zip(&facility.points);
        let wanted = pairs.filter_map(|(e, n)| wanted(e, n)).collect();
        self.draw_sparks(wanted, most).await;
        for (entry, now) in facility.entry.points.iter().zip(&mut facility.points) {
            now.spark = self.sparks.get(&entry.key);
        }
    }

    /// A sparkline that cannot be drawn is left out: it is not worth a failed page.
    async fn draw_sparks(self: &Arc<App>, wanted: Vec<Wanted>, most: usize) {
        let now = self.stores.clock.now();
        let stale = self.sparks.stale(wanted, now, most);
        if stale.is_empty() {
            return;
        }
        let drawn = self
            .read_blocking(move |app| app.sparks.draw(&app.stores.series, &stale, now))
            .await;
        if let Err(failure) = drawn {
            tracing::warn!(cause = failure.cause, "sparklines were not drawn");
        }
    }
}

fn wanted(entry: &PointEntry, now: &PointNow) -> Option<Wanted> {
    let limit = now.limits.first().map(|l| l.value);
    Some(Wanted {
        key: entry.key.clone(),
        series: now.series?,
        limit,
    })
}

/// Judgement learns of silence by its own rules. Where none watches a point, or judgement itself has
/// stopped, the age of the last value speaks: what is silent for long is not shown as well.
fn heard(state: Shown, latest: Option<Sample>, interval_s: u32, now: UtcMillis) -> Shown {
    // A breach that was found stays one until somebody hears otherwise; a mere suspicion does not.
    if matches!(state, Shown::Active(_)) {
        return state;
    }
    let patience_ms = patience_ms(interval_s);
    match latest {
        Some(sample) if now.ms_since(sample.at) <= patience_ms => state,
        _ => Shown::Unknown,
    }
}

/// How long after its last reading a point that reports so often still counts as heard, in milliseconds.
pub(crate) fn patience_ms(interval_s: u32) -> i64 {
    i64::from(interval_s).saturating_mul(5_000).saturating_add(60_000)
}

/// The lines of a rule that compares single values with a limit; the others have none that a chart could show.
fn lines_of(rule: &Rule) -> Vec<Limit> {
    let line = |op, value| Limit {
        op,
        value,
        severity: rule.severity,
        rule: rule.id.clone(),
    };
    match rule.kind {
        RuleKind::Threshold { op, limit, .. } | RuleKind::Event { op, limit } => vec![line(op, limit)],
        RuleKind::Range { low, high, .. } => {
            vec![line(Comparison::Below, low), line(Comparison::Above, high)]
        }
        _ => Vec::new(),
    }
}

/// The limits that rules set at a point, in the order in which a rising value crosses them; then those below.
fn limits(entry: &PointEntry, rules: &BTreeMap<RuleId, Rule>) -> Vec<Limit> {
    let point = &entry.point;
    let mut limits: Vec<Limit> = rules
        .values()
        .filter(|rule| rule.applies_to(point))
        .flat_map(lines_of)
        .collect();
    let crossed_first = |l: &Limit| {
        if l.breach_above() {
            (false, l.value)
        } else {
            (true, -l.value)
        }
    };
    limits.sort_by(|a, b| {
        let ((below_a, a), (below_b, b)) = (crossed_first(a), crossed_first(b));
        below_a.cmp(&below_b).then(a.total_cmp(&b))
    });
    limits
}

/// The value that stands for a facility: the worst breach; else the warmest cold store; else the first point.
fn headline(entry: &FacilityEntry, points: &[PointNow]) -> Option<usize> {
    let breach = (0..points.len())
        .filter(|i| points[*i].state.is_breach())
        .min_by_key(|i| points[*i].state);
    let value = |i: &usize| points[*i].latest.map(|s| s.value);
    let cold = |i: &usize| {
        let point = &entry.points[*i].point;
        point.metric.as_str() == "temperature"
            && ["fridge", "cold", "chill"]
                .iter()
                .any(|word| point.point_type.contains(word))
    };
    breach
        .or_else(|| {
            (0..points.len()).filter(cold).max_by(|a, b| {
                value(a)
                    .unwrap_or(f64::MIN)
                    .total_cmp(&value(b).unwrap_or(f64::MIN))
            })
        })
        .or(if points.is_empty() { None } else { Some(0) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_are_ordered_worst_first() {
        let mut states = [
            Shown::Normal,
            Shown::Unknown,
            Shown::Active(Severity::P2),
            Shown::Unjudged,
            Shown::Pending,
            Shown::Active(Severity::P0),
            Shown::Cleared,
        ];
        states.sort_unstable();
        assert_eq!(states[0], Shown::Active(Severity::P0));
        assert_eq!(states[1], Shown::Active(Severity::P2));
        assert_eq!(states[2], Shown::Unknown, "silence is worse than normal");
        assert_eq!(
            states[4],
            Shown::Pending,
            "what may still pass comes after what needs somebody"
        );
        assert!(!Shown::Pending.is_breach() && Shown::Pending.tone() == "calm");
        assert_eq!(states[6], Shown::Normal);
    }

    #[test]
    fn what_is_silent_is_unknown_and_never_normal() {
        let now = UtcMillis(10_000_000);
        let sample = |age_s: i64| {
            Some(Sample {
                at: now - age_s * 1000,
                value: 1.0,
            })
        };
        let cases = [
            (Shown::Normal, None, Shown::Unknown),
            (Shown::Normal, sample(10), Shown::Normal),
            (Shown::Normal, sample(361), Shown::Unknown),
            (Shown::Unjudged, sample(361), Shown::Unknown),
            (Shown::Cleared, sample(10), Shown::Cleared),
            (Shown::Pending, sample(361), Shown::Unknown),
            (
                Shown::Active(Severity::P1),
                sample(5000),
                Shown::Active(Severity::P1),
            ),
        ];
        for (state, latest, want) in cases {
            assert_eq!(heard(state, latest, 60, now), want, "{state:?} {latest:?}");
        }
    }
}
