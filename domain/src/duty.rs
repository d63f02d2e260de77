//! Who hears of a case: the ladder from a facility's duty to the district, who is on duty, and what each person wants
//! to hear and when.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::{
    id::{FacilityId, PersonId, RegionId},
    message::{Language, NoticeKind},
    rule::Severity,
};

/// Minutes of a day.
pub const DAY_MINUTES: u16 = 1_440;

/// The most shifts of one contact, and the most facilities or regions of one reach.
pub const MAX_SHIFTS: usize = 28;
/// The most facilities or regions of one reach.
pub const MAX_REACH: usize = 1_000;

/// A step of the ladder (值班→负责人→所→区).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Step {
    /// Whoever is on duty at the facility.
    Duty,
    /// The facility's head.
    Head,
    /// The town's inspector.
    Town,
    /// The district.
    District,
    /// No step: a program, or a person who follows everything from its opening to its end.
    Observer,
}

impl Step {
    /// Every step.
    pub const ALL: [Step; 5] = [Step::Duty, Step::Head, Step::Town, Step::District, Step::Observer];

    /// The name in the record store and the API.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Step::Duty => "duty",
            Step::Head => "head",
            Step::Town => "town",
            Step::District => "district",
            Step::Observer => "observer",
        }
    }

    /// Reads [`Step::code`] back.
    #[must_use]
    pub fn parse(code: &str) -> Option<Step> {
        Step::ALL.into_iter().find(|step| step.code() == code)
    }

    /// Whether this step hears of a notice. An inspector hears when a deadline has passed, when there is something to
    /// look at, and of whatever follows; the facility hears of what it has to do.
    #[must_use]
    pub const fn hears(self, kind: NoticeKind, level: u8) -> bool {
        let told = match self {
            Step::Duty => true,
            Step::Head => level >= 1,
            Step::Town => level >= 2,
            Step::District => level >= 3,
            Step::Observer => return true,
        };
        match kind {
            NoticeKind::Submitted | NoticeKind::Disputed => matches!(self, Step::Town),
            NoticeKind::Rejected | NoticeKind::Decided => matches!(self, Step::Duty | Step::Head),
            // Whoever is on duty did it themselves, or sees it happen.
            NoticeKind::Taken => told && !matches!(self, Step::Duty),
            NoticeKind::Opened
            | NoticeKind::Reminder
            | NoticeKind::Overdue
            | NoticeKind::Card
            | NoticeKind::Cleared
            | NoticeKind::Closed
            | NoticeKind::Picture
            | NoticeKind::Test => told,
        }
    }
}

/// Where a contact is responsible.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reach {
    /// Everywhere.
    Everywhere,
    /// In these facilities.
    Facilities(BTreeSet<FacilityId>),
    /// In every facility of these regions and of the regions inside them.
    Regions(BTreeSet<RegionId>),
}

impl Reach {
    /// Whether a facility, in a region inside those of `regions`, lies within.
    #[must_use]
    pub fn covers(&self, facility: &FacilityId, regions: &[RegionId]) -> bool {
        match self {
            Reach::Everywhere => true,
            Reach::Facilities(ids) => ids.contains(facility),
            Reach::Regions(ids) => regions.iter().any(|region| ids.contains(region)),
        }
    }
}

/// A span of the day in local minutes; one that ends before it begins goes over midnight, one that ends when it begins is
/// the whole day.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Span {
    /// The first minute, 0 to 1,439.
    pub from: u16,
    /// The first minute after it, 0 to 1,439.
    pub to: u16,
}

impl Span {
    /// Whether `minute` lies inside.
    #[must_use]
    pub const fn holds(self, minute: u16) -> bool {
        if self.from < self.to {
            self.from <= minute && minute < self.to
        } else {
            self.from <= minute || minute < self.to
        }
    }

    /// Minutes from `minute` to the end of the span.
    #[must_use]
    pub const fn left(self, minute: u16) -> u16 {
        (self.to + DAY_MINUTES - minute % DAY_MINUTES) % DAY_MINUTES
    }
}

/// When somebody is on duty.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shift {
    /// The weekdays on which it begins: bit 0 is Monday.
    pub days: u8,
    /// When.
    pub span: Span,
}

/// A local moment, as precise as duty is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LocalTime {
    /// 0 for Monday to 6 for Sunday.
    pub weekday: u8,
    /// The minute of the day, 0 to 1,439.
    pub minute: u16,
}

impl LocalTime {
    /// The local moment of `at` where the clocks are `offset_min` minutes ahead of UTC.
    #[must_use]
    pub fn of(at: crate::time::UtcMillis, offset_min: i32) -> LocalTime {
        let minutes = at.0.div_euclid(60_000) + i64::from(offset_min);
        let day = minutes.div_euclid(i64::from(DAY_MINUTES));
        LocalTime {
            // 1970-01-01 was a Thursday.
            weekday: u8::try_from((day + 3).rem_euclid(7)).unwrap_or(0),
            minute: u16::try_from(minutes.rem_euclid(i64::from(DAY_MINUTES))).unwrap_or(0),
        }
    }
}

impl Shift {
    /// Whether the shift is on.
    #[must_use]
    pub const fn is_on(self, now: LocalTime) -> bool {
        if !self.span.holds(now.minute) {
            return false;
        }
        // After midnight it is still the shift of the day before.
        let began_yesterday = self.span.from >= self.span.to && now.minute < self.span.to;
        let day = if began_yesterday {
            (now.weekday + 6) % 7
        } else {
            now.weekday
        };
        self.days >> day & 1 == 1
    }
}

/// A contact's number, given by the record store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ContactId(pub i64);

/// Somebody, or some program, that is told of cases over one channel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Contact {
    /// Its number.
    pub id: ContactId,
    /// Whose account it is. Then it hears of what lies within that person's reach only, nothing while they are barred,
    /// and they choose channel, language, quiet hours and digest themselves. `None` for a robot, a program, and
    /// somebody who does not sign in.
    #[serde(default)]
    pub person: Option<PersonId>,
    /// A name for people.
    pub name: String,
    /// The language to write in.
    pub language: Language,
    /// Its step of the ladder.
    pub step: Step,
    /// Where it is responsible.
    pub reach: Reach,
    /// The channel's name.
    pub channel: String,
    /// Where on that channel: an e-mail address, a telephone number, a chat; empty where the channel has one place.
    pub address: String,
    /// Milder cases are not told.
    pub least: Severity,
    /// When nothing but P0 and P1 is told; the rest follows when it ends.
    pub quiet: Option<Span>,
    /// From this severity on, cases are told once a day in a digest.
    pub digest: Option<Severity>,
    /// The minute of the day at which the digest is sent.
    pub digest_at: u16,
    /// When it is on duty; always, where there is no shift.
    pub shifts: Vec<Shift>,
    /// Whether it is told anything at all.
    pub enabled: bool,
}

/// What a notice is about, as far as it matters for who hears it.
#[derive(Debug, Clone, Copy)]
pub struct Heard<'a> {
    /// What is told.
    pub kind: NoticeKind,
    /// How bad the case is.
    pub severity: Severity,
    /// The last step of the ladder that hears it.
    pub level: u8,
    /// Where.
    pub facility: &'a FacilityId,
    /// The facility's region, and those that it lies in.
    pub regions: &'a [RegionId],
    /// Whether it tells of something long past: then it waits for the digest, unless it is danger.
    pub late: bool,
}

/// A delivery that is to be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Planned {
    /// To whom.
    pub contact: ContactId,
    /// In how many minutes: 0 is now.
    pub wait_min: u16,
    /// Whether it is gathered with others into one message.
    pub digest: bool,
}

/// Who is told of a notice, and when. Where nobody of a facility's duty is on a shift, everybody of that step hears.
#[must_use]
pub fn plan(contacts: &[Contact], heard: &Heard<'_>, now: LocalTime) -> Vec<Planned> {
    let concerned: Vec<&Contact> = contacts
        .iter()
        .filter(|c| c.enabled && c.step.hears(heard.kind, heard.level))
        // That something milder than a hazard is over can be read on the page.
        .filter(|c| heard.kind != NoticeKind::Cleared || heard.severity <= Severity::P1 || c.step == Step::Observer)
        .filter(|c| heard.severity <= c.least && c.reach.covers(heard.facility, heard.regions))
        .collect();
    let on_duty = |c: &Contact| c.shifts.is_empty() || c.shifts.iter().any(|shift| shift.is_on(now));
    let somebody = |step: Step| concerned.iter().any(|c| c.step == step && on_duty(c));
    concerned
        .iter()
        .filter(|c| on_duty(c) || !somebody(c.step))
        .map(|c| when(c, heard, now))
        .collect()
}

fn when(contact: &Contact, heard: &Heard<'_>, now: LocalTime) -> Planned {
    let urgent = heard.severity <= Severity::P1;
    let in_digest = heard.late || contact.digest.is_some_and(|from| heard.severity >= from);
    // A program reads everything as it happens.
    let program = contact.step == Step::Observer && contact.digest.is_none() && contact.person.is_none();
    let digest = in_digest && !urgent && !program;
    let wait_min = if digest {
        let until = Span {
            from: now.minute,
            to: contact.digest_at % DAY_MINUTES,
        };
        until.left(now.minute)
    } else {
        match contact.quiet {
            Some(quiet) if !urgent && quiet.holds(now.minute) => quiet.left(now.minute),
            _ => 0,
        }
    };
    Planned {
        contact: contact.id,
        wait_min,
        digest,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{prop_assert, proptest};

    use super::*;
    use crate::time::UtcMillis;

    fn contact(id: i64, step: Step) -> Contact {
        Contact {
            id: ContactId(id),
            person: None,
            name: format!("contact {id}"),
            language: Language::Zh,
            step,
            reach: Reach::Everywhere,
            channel: "c".into(),
            address: String::new(),
            least: Severity::P4,
            quiet: None,
            digest: None,
            digest_at: 480,
            shifts: Vec::new(),
            enabled: true,
        }
    }

    fn heard(kind: NoticeKind, severity: Severity, level: u8, facility: &FacilityId) -> Heard<'_> {
        Heard {
            kind,
            severity,
            level,
            facility,
            regions: &[],
            late: false,
        }
    }

    fn told(planned: &[Planned]) -> Vec<(i64, u16, bool)> {
        planned
            .iter()
            .map(|p| (p.contact.0, p.wait_min, p.digest))
            .collect()
    }

    const NOON: LocalTime = LocalTime {
        weekday: 2,
        minute: 720,
    };

    #[test]
    fn the_manager_first_and_the_inspector_after_the_deadline() {
        let home = FacilityId::new("f").unwrap();
        let all: Vec<Contact> = [Step::Duty, Step::Head, Step::Town, Step::District, Step::Observer]
            .into_iter()
            .zip(0..)
            .map(|(step, id)| contact(id, step))
            .collect();
        let who = |kind, level| -> Vec<i64> {
            let heard = heard(kind, Severity::P2, level, &home);
            plan(&all, &heard, NOON).iter().map(|p| p.contact.0).collect()
        };
        assert_eq!(who(NoticeKind::Opened, 0), [0, 4]);
        assert_eq!(who(NoticeKind::Overdue, 1), [0, 1, 4]);
        assert_eq!(who(NoticeKind::Overdue, 3), [0, 1, 2, 3, 4]);
        assert_eq!(who(NoticeKind::Submitted, 0), [2, 4]);
        assert_eq!(who(NoticeKind::Rejected, 0), [0, 1, 4]);
        assert_eq!(who(NoticeKind::Taken, 2), [1, 2, 4]);
    }

    #[test]
    fn each_hears_what_they_want_when_they_want_but_danger_at_once() {
        let home = FacilityId::new("f").unwrap();
        let mut one = contact(1, Step::Duty);
        one.quiet = Some(Span { from: 1_320, to: 420 });
        one.digest = Some(Severity::P3);
        one.least = Severity::P3;
        let night = LocalTime {
            weekday: 2,
            minute: 1_380,
        };
        let at = |severity, now| {
            let heard = heard(NoticeKind::Opened, severity, 0, &home);
            told(&plan(std::slice::from_ref(&one), &heard, now))
        };
        assert_eq!(at(Severity::P0, night), [(1, 0, false)]);
        assert_eq!(at(Severity::P1, night), [(1, 0, false)]);
        assert_eq!(at(Severity::P2, night), [(1, 480, false)]);
        assert_eq!(at(Severity::P2, NOON), [(1, 0, false)]);
        assert_eq!(at(Severity::P3, NOON), [(1, 1_200, true)]);
        assert_eq!(at(Severity::P4, NOON), []);
    }

    #[test]
    fn whoever_is_on_duty_hears_and_everybody_when_nobody_is() {
        let home = FacilityId::new("f").unwrap();
        let weekdays = 0b001_1111;
        let shift = |from, to| Shift {
            days: weekdays,
            span: Span { from, to },
        };
        let (mut day, mut night) = (contact(1, Step::Duty), contact(2, Step::Duty));
        day.shifts = vec![shift(480, 1_200)];
        night.shifts = vec![shift(1_200, 480)];
        let all = [day, night];
        let who = |weekday, minute| -> Vec<i64> {
            let heard = heard(NoticeKind::Opened, Severity::P2, 0, &home);
            let planned = plan(&all, &heard, LocalTime { weekday, minute });
            planned.iter().map(|p| p.contact.0).collect()
        };
        assert_eq!(who(0, 720), [1]);
        assert_eq!(who(0, 1_300), [2]);
        assert_eq!(who(5, 60), [2], "Friday's night shift lasts into Saturday");
        assert_eq!(who(5, 720), [1, 2], "nobody is on duty: everybody hears");
        assert_eq!(who(0, 60), [1, 2], "Sunday has no night shift");
    }

    #[test]
    fn a_reach_covers_facilities_and_regions() {
        let (home, other) = (FacilityId::new("f").unwrap(), FacilityId::new("g").unwrap());
        let town = RegionId::new("town").unwrap();
        let only = Reach::Facilities(BTreeSet::from([home.clone()]));
        assert!(only.covers(&home, &[]) && !only.covers(&other, &[]));
        let region = Reach::Regions(BTreeSet::from([town.clone()]));
        assert!(region.covers(&other, &[town]) && !region.covers(&other, &[]));
        let at = LocalTime::of(UtcMillis(1_795_243_200_000), 480);
        assert_eq!(
            (at.weekday, at.minute),
            (5, 880),
            "Saturday 2026-11-21, 14:40 in Shanghai"
        );
    }

    proptest! {
        #[test]
        fn a_span_ends_within_a_day_and_not_before(from in 0_u16..1_440, to in 0_u16..1_440, at in 0_u16..1_440) {
            let span = Span { from, to };
            prop_assert!(span.left(at) < DAY_MINUTES);
            if span.holds(at) && from != to {
                let end = (at + span.left(at)) % DAY_MINUTES;
                prop_assert!(!span.holds(end));
            }
        }

        #[test]
        fn danger_never_waits(minute in 0_u16..1_440, weekday in 0_u8..7, from in 0_u16..1_440, to in 0_u16..1_440) {
            let home = FacilityId::new("f").unwrap();
            let mut one = contact(1, Step::Duty);
            one.quiet = Some(Span { from, to });
            one.digest = Some(Severity::P0);
            one.shifts = vec![Shift { days: 0, span: Span { from, to } }];
            for severity in [Severity::P0, Severity::P1] {
                let heard = heard(NoticeKind::Opened, severity, 0, &home);
                let planned = plan(std::slice::from_ref(&one), &heard, LocalTime { weekday, minute });
                prop_assert!(planned.len() == 1 && planned[0].wait_min == 0 && !planned[0].digest);
            }
        }
    }
}
