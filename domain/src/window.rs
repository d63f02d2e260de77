//! Shelves and windows: when people set rules aside, for how long, and on whose word.

use std::ops::RangeInclusive;

use crate::{
    judge::{Mute, MuteTarget, Resume},
    rule::DayMinute,
    time::{TimeRange, UtcMillis},
    zone::Zone,
};

const MINUTE_MS: i64 = 60_000;
const DAY_MS: i64 = 24 * 60 * MINUTE_MS;

/// The longest shelf, in milliseconds: a week. Longer, somebody has to look again.
pub const MAX_SHELF_MS: i64 = 7 * DAY_MS;

/// The longest defrost, in minutes.
pub const MAX_DEFROST_MIN: u16 = 45;

/// The most defrosts of one device on one day.
pub const MAX_DEFROSTS: usize = 4;

/// The most windows of one facility, and the most shelves of it that are not over yet.
pub const MAX_PER_FACILITY: usize = 200;

/// Something that somebody set aside until a moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shelf {
    /// Its number.
    pub id: i64,
    /// What is set aside.
    pub target: MuteTarget,
    /// From when, in log time.
    pub from: UtcMillis,
    /// Until when; earlier than was asked for when somebody took it up before.
    pub until: UtcMillis,
    /// Who asked for it.
    pub who: String,
    /// Why.
    pub why: String,
    /// Who took it up before its time, if anybody did.
    pub ended_by: Option<String>,
}

/// What goes on in a window.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum WindowKind {
    /// Somebody works on the devices.
    Maintenance,
    /// A fridge or freezer defrosts itself.
    Defrost,
    /// Cleaning, with doors open and water about.
    Cleaning,
    /// The hours in which the rule counts at all (service, or a room in use): outside them it is set aside.
    Service,
}

/// When a window is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// Once.
    Once {
        /// The first moment.
        from: UtcMillis,
        /// The first moment after it.
        until: UtcMillis,
    },
    /// Again and again, by local time.
    Recurring {
        /// The days of the week: bit 0 is Monday.
        days: u8,
        /// When it begins.
        from: DayMinute,
        /// How long it lasts, 1 to 1,440.
        minutes: u16,
    },
}

/// A window.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Window {
    /// Its number.
    pub id: i64,
    /// What goes on.
    pub kind: WindowKind,
    /// What it is about.
    pub target: MuteTarget,
    /// When it is.
    pub when: When,
    /// From when on it holds, in log time.
    pub since: UtcMillis,
    /// When somebody did away with it.
    pub ended: Option<UtcMillis>,
    /// Who entered it.
    pub who: String,
    /// Why.
    pub why: String,
}

/// Why a shelf or a window cannot be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum WindowError {
    /// It ends before it begins.
    #[error("it must end after it begins")]
    Reversed,
    /// A shelf is longer than [`MAX_SHELF_MS`], or a maintenance is.
    #[error("it may last a week at most; look again then")]
    TooLong,
    /// A defrost is longer than [`MAX_DEFROST_MIN`].
    #[error("a defrost may last {MAX_DEFROST_MIN} minutes at most")]
    LongDefrost,
    /// A defrost names no device.
    #[error("a defrost names its device")]
    NoDevice,
    /// Service hours name no rule.
    #[error("service hours name the rule that counts in them, and recur")]
    NoRule,
    /// No day of the week, or no minute.
    #[error("it needs a day of the week and 1 to 1440 minutes")]
    Never,
}

impl WindowKind {
    /// Every kind.
    pub const ALL: [WindowKind; 4] = [
        WindowKind::Maintenance,
        WindowKind::Defrost,
        WindowKind::Cleaning,
        WindowKind::Service,
    ];

    /// The name in the record store and in forms.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            WindowKind::Maintenance => "maintenance",
            WindowKind::Defrost => "defrost",
            WindowKind::Cleaning => "cleaning",
            WindowKind::Service => "service",
        }
    }

    /// Reads [`WindowKind::code`] back.
    #[must_use]
    pub fn parse(code: &str) -> Option<WindowKind> {
        WindowKind::ALL.into_iter().find(|k| k.code() == code)
    }
}

impl Shelf {
    /// What the judge is told of it.
    #[must_use]
    pub fn mute(&self) -> Mute {
        Mute {
            target: self.target.clone(),
            from: self.from,
            until: self.until,
            resume: Resume::Told,
        }
    }
}

/// Whether something may be shelved from `from` until `until`.
///
/// # Errors
/// [`WindowError::Reversed`] or [`WindowError::TooLong`].
pub fn check_shelf(from: UtcMillis, until: UtcMillis) -> Result<(), WindowError> {
    match until.ms_since(from) {
        ..=0 => Err(WindowError::Reversed),
        1..=MAX_SHELF_MS => Ok(()),
        _ => Err(WindowError::TooLong),
    }
}

impl Window {
    /// Whether it can be.
    ///
    /// # Errors
    /// [`WindowError`] says what stands against it.
    pub fn check(&self) -> Result<(), WindowError> {
        let minutes = match self.when {
            When::Once { from, until } => {
                check_shelf(from, until)?;
                (until.ms_since(from) + MINUTE_MS - 1) / MINUTE_MS
            }
            When::Recurring { days, minutes, .. } => {
                if days & 0x7f == 0 || !(1..=24 * 60).contains(&minutes) {
                    return Err(WindowError::Never);
                }
                i64::from(minutes)
            }
        };
        let recurs = matches!(self.when, When::Recurring { .. });
        match self.kind {
            WindowKind::Defrost if self.target.device.is_none() => Err(WindowError::NoDevice),
            WindowKind::Defrost if minutes > i64::from(MAX_DEFROST_MIN) => Err(WindowError::LongDefrost),
            WindowKind::Service if self.target.rule.is_none() || !recurs => Err(WindowError::NoRule),
            _ => Ok(()),
        }
    }

    /// What the judge is told of it for the time of `range`.
    #[must_use]
    pub fn mutes(&self, zone: &Zone, range: TimeRange) -> Vec<Mute> {
        let from = range.from.max(self.since);
        let until = self.ended.map_or(range.to, |ended| ended.min(range.to));
        let spans = self.spans(zone, TimeRange { from, to: until });
        let spans = if self.kind == WindowKind::Service {
            between(&spans, from, until)
        } else {
            spans
        };
        let inside = spans.into_iter().filter(|(begin, end)| begin < end);
        inside
            .map(|(begin, end)| Mute {
                target: self.target.clone(),
                from: begin,
                until: end,
                resume: Resume::Anew,
            })
            .collect()
    }

    /// Its occurrences within a range, in order, cut to it.
    fn spans(&self, zone: &Zone, range: TimeRange) -> Vec<(UtcMillis, UtcMillis)> {
        let cut = |begin: UtcMillis, end: UtcMillis| (begin.max(range.from), end.min(range.to));
        match self.when {
            When::Once { from, until } => vec![cut(from, until)],
            When::Recurring { days, from, minutes } => {
                let mut spans = Vec::new();
                // One that began the day before may reach into the range.
                let mut begin = zone.next(from, range.from - 2 * DAY_MS);
                while begin < range.to {
                    let end = begin + i64::from(minutes) * MINUTE_MS;
                    if days & (1 << zone.weekday(begin)) != 0 && end > range.from {
                        spans.push(cut(begin, end));
                    }
                    begin = zone.next(from, begin);
                }
                spans
            }
        }
    }
}

/// What lies between spans, from the beginning to the end.
fn between(
    spans: &[(UtcMillis, UtcMillis)],
    from: UtcMillis,
    until: UtcMillis,
) -> Vec<(UtcMillis, UtcMillis)> {
    let begins = spans.iter().map(|(begin, _)| *begin).chain([until]);
    let ends = [from].into_iter().chain(spans.iter().map(|(_, end)| *end));
    ends.zip(begins).collect()
}

/// How long something was set aside within `range`, in milliseconds: what overlaps counts once.
#[must_use]
pub fn shelved_ms(shelves: &[Shelf], range: TimeRange) -> i64 {
    let mut spans: Vec<RangeInclusive<i64>> = shelves
        .iter()
        .map(|s| s.from.max(range.from).0..=s.until.min(range.to).0)
        .filter(|span| span.start() < span.end())
        .collect();
    spans.sort_by_key(|span| *span.start());
    let mut total = 0;
    let mut reached = i64::MIN;
    for span in spans {
        let begin = (*span.start()).max(reached);
        total += (*span.end() - begin).max(0);
        reached = reached.max(*span.end());
    }
    total
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::{DeviceId, FacilityId, RuleId};

    const HOUR: i64 = 60 * MINUTE_MS;
    /// 2026-11-25T00:00 in China, a Wednesday.
    const START: UtcMillis = UtcMillis(1_795_536_000_000);

    fn window(kind: WindowKind, when: When) -> Window {
        Window {
            id: 1,
            kind,
            target: MuteTarget {
                facility: FacilityId::new("f").unwrap(),
                device: Some(DeviceId::new("d").unwrap()),
                metric: None,
                rule: Some(RuleId::new("R").unwrap()),
            },
            when,
            since: START - DAY_MS,
            ended: None,
            who: "w".to_owned(),
            why: "w".to_owned(),
        }
    }

    fn daily(days: u8, from: &str, minutes: u16) -> When {
        When::Recurring {
            days,
            from: DayMinute::parse(from).unwrap(),
            minutes,
        }
    }

    /// Hours after `START`.
    #[track_caller]
    fn check(window: &Window, days: i64, want: &[(i64, i64)]) {
        let range = TimeRange {
            from: START,
            to: START + days * DAY_MS,
        };
        let hours: Vec<_> = window
            .mutes(&Zone::default(), range)
            .iter()
            .map(|m| (m.from.ms_since(START) / HOUR, m.until.ms_since(START) / HOUR))
            .collect();
        assert_eq!(hours, want, "{window:?}");
    }

    #[test]
    fn windows_recur_by_local_time() {
        let cleaning = window(WindowKind::Cleaning, daily(0x7f, "20:00", 120));
        check(&cleaning, 2, &[(20, 22), (44, 46)]);
        let thursdays = window(WindowKind::Cleaning, daily(1 << 3, "20:00", 120));
        check(&thursdays, 3, &[(44, 46)]);
        let nights = window(WindowKind::Maintenance, daily(0x7f, "23:00", 180));
        check(&nights, 1, &[(0, 2), (23, 24)]);
        let once = When::Once {
            from: START + HOUR,
            until: START + 3 * HOUR,
        };
        check(&window(WindowKind::Maintenance, once), 1, &[(1, 3)]);
        let mut ended = cleaning;
        ended.ended = Some(START + 21 * HOUR);
        check(&ended, 2, &[(20, 21)]);
    }

    #[test]
    fn outside_its_service_hours_a_rule_is_set_aside() {
        let service = window(WindowKind::Service, daily(0x7f, "11:00", 120));
        check(&service, 2, &[(0, 11), (13, 35), (37, 48)]);
    }

    #[test]
    fn what_cannot_be_is_refused() {
        let defrost = |minutes| window(WindowKind::Defrost, daily(0x7f, "03:00", minutes));
        assert_eq!(defrost(45).check(), Ok(()));
        assert_eq!(defrost(46).check(), Err(WindowError::LongDefrost));
        assert_eq!(
            window(WindowKind::Cleaning, daily(0, "03:00", 5)).check(),
            Err(WindowError::Never)
        );
        let mut service = window(WindowKind::Service, daily(1, "03:00", 5));
        service.target.rule = None;
        assert_eq!(service.check(), Err(WindowError::NoRule));
        assert_eq!(check_shelf(START, START), Err(WindowError::Reversed));
        assert_eq!(
            check_shelf(START, START + MAX_SHELF_MS + 1),
            Err(WindowError::TooLong)
        );
        assert_eq!(check_shelf(START, START + MAX_SHELF_MS), Ok(()));
    }

    #[test]
    fn shelved_time_counts_once() {
        let shelf = |from: i64, until: i64| Shelf {
            id: 1,
            target: window(WindowKind::Cleaning, daily(1, "03:00", 5)).target,
            from: START + from * HOUR,
            until: START + until * HOUR,
            who: String::new(),
            why: String::new(),
            ended_by: None,
        };
        let range = TimeRange {
            from: START,
            to: START + DAY_MS,
        };
        let shelves = [shelf(-5, 2), shelf(1, 3), shelf(20, 30), shelf(40, 50)];
        assert_eq!(shelved_ms(&shelves, range), 7 * HOUR);
    }
}
