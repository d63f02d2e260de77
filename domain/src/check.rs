//! Checks: what is looked for in a camera's pictures, and the settings under which a finding counts.

use serde::{Deserialize, Serialize};

use crate::{
    id::{DeviceId, Metric},
    rule::Severity,
};

/// What is looked for (视觉检查). Each has a metric of the same name: 1 while it holds, 0 while it does not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Check {
    /// Nothing covers the hair.
    NoHeadCover,
    /// No mask over mouth and nose.
    NoMask,
    /// No work clothes.
    NoWorkClothes,
    /// No gloves.
    NoGloves,
    /// A bare upper body.
    BareUpperBody,
    /// Somebody smokes.
    Smoking,
    /// A phone in somebody's hand.
    PhoneUse,
    /// A rat or mouse.
    Rodent,
    /// A cat, dog or bird.
    AnimalInKitchen,
    /// A bin without its lid, or overfull.
    BinOpen,
    /// A dirty or wet floor.
    FloorDirty,
    /// Fire or smoke, as seen.
    VisualFire,
    /// Somebody is there outside working hours.
    OffHoursPresence,
    /// The stove burns and nobody is there.
    StoveUnattended,
    /// More people than the room may hold.
    OverCapacity,
    /// The camera is covered, blinded, frozen, blurred or turned.
    CameraTampered,
    /// Somebody lies on the floor.
    PersonDown,
}

/// How a check is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CheckKind {
    /// Of every person in the zone, by what they wear: a finding is one person's.
    Person,
    /// An object of some label is seen in the zone.
    Object,
    /// The state of one fixed part of the picture.
    Region,
    /// From the number of people alone.
    Count,
    /// From the picture's own quality.
    Picture,
}

/// When a check is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Hours {
    /// At any time.
    #[default]
    Always,
    /// While the kitchen works.
    Working,
    /// While it does not.
    Closed,
    /// At meals.
    Meals,
}

/// What is known of a check, from the vision rules that the product is built on (`domain/packs/vision_rules.csv`;
/// where that gives a default and a site's default, the site's).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CheckInfo {
    /// The check.
    pub check: Check,
    /// The name in the API, in topics and as metric.
    pub code: &'static str,
    /// The row of the table it comes from.
    pub table_row: &'static str,
    /// How it is made.
    pub kind: CheckKind,
    /// How bad a finding is.
    pub severity: Severity,
    /// How long it must hold, in seconds.
    pub min_duration_s: u16,
    /// How long after a finding the next one of the same camera may be told, in seconds.
    pub re_alarm_s: u16,
    /// When it is made.
    pub hours: Hours,
    /// Name for people, in Chinese.
    pub zh: &'static str,
    /// Name for people, in English.
    pub en: &'static str,
}

struct Row(
    Check,
    &'static str,
    &'static str,
    CheckKind,
    Severity,
    (u16, u16, Hours),
    (&'static str, &'static str),
);

const fn info(row: &Row) -> CheckInfo {
    let Row(check, code, table_row, kind, severity, (min_duration_s, re_alarm_s, hours), (zh, en)) = *row;
    CheckInfo {
        check,
        code,
        table_row,
        kind,
        severity,
        min_duration_s,
        re_alarm_s,
        hours,
        zh,
        en,
    }
}

/// Every check.
#[rustfmt::skip]
pub const CHECKS: [CheckInfo; 17] = {
    use self::{Check::*, CheckKind::*, Hours::{Always, Closed, Meals, Working}, Severity::*};
    [
        info(&Row(NoHeadCover, "no_head_cover", "V01", Person, P3, (10, 300, Working), ("未戴工作帽", "No head cover"))),
        info(&Row(NoMask, "no_mask", "V02", Person, P3, (10, 300, Working), ("未戴口罩", "No face mask"))),
        info(&Row(NoWorkClothes, "no_work_clothes", "V03", Person, P4, (15, 300, Working), ("未穿工作服", "No work clothes"))),
        info(&Row(NoGloves, "no_gloves", "V04", Person, P4, (15, 300, Meals), ("未戴手套", "No gloves"))),
        info(&Row(BareUpperBody, "bare_upper_body", "V05", Person, P2, (3, 300, Always), ("赤裸上身", "Bare upper body"))),
        info(&Row(Smoking, "smoking", "V06", Object, P2, (3, 300, Always), ("抽烟", "Smoking"))),
        info(&Row(PhoneUse, "phone_use", "V07", Object, P4, (5, 600, Working), ("使用手机", "Phone in use"))),
        info(&Row(Rodent, "rodent", "V08", Object, P1, (3, 30, Always), ("疑似老鼠", "Suspected rodent"))),
        info(&Row(AnimalInKitchen, "animal_in_kitchen", "V08", Object, P2, (3, 300, Always), ("后厨有动物", "Animal in the kitchen"))),
        info(&Row(BinOpen, "bin_open", "V09", Region, P3, (30, 1800, Working), ("垃圾桶未加盖", "Bin uncovered"))),
        info(&Row(FloorDirty, "floor_dirty", "V10", Region, P4, (120, 3600, Working), ("地面不洁或积水", "Floor dirty or wet"))),
        info(&Row(VisualFire, "visual_fire", "V11", Object, P0, (3, 30, Always), ("疑似明火或烟雾", "Suspected fire or smoke"))),
        info(&Row(OffHoursPresence, "off_hours_presence", "V12", Count, P2, (3, 60, Closed), ("非工作时段有人", "Presence outside working hours"))),
        info(&Row(StoveUnattended, "stove_unattended", "V13", Count, P1, (180, 300, Always), ("动火离人", "Stove unattended"))),
        info(&Row(OverCapacity, "over_capacity", "V14", Count, P3, (10, 300, Always), ("超过容纳人数", "Over capacity"))),
        info(&Row(CameraTampered, "camera_tampered", "V16", Picture, P3, (30, 600, Always), ("摄像头被遮挡或异常", "Camera covered, frozen or moved"))),
        info(&Row(PersonDown, "person_down", "V17", Person, P1, (5, 60, Always), ("有人倒地", "Person down"))),
    ]
};

impl Check {
    /// What is known of it.
    ///
    /// # Panics
    /// Never: a test holds every check to be listed.
    #[must_use]
    pub fn info(self) -> &'static CheckInfo {
        CHECKS
            .iter()
            .find(|row| row.check == self)
            .expect("every check is listed")
    }

    /// The name in the API, in topics and as metric.
    #[must_use]
    pub fn code(self) -> &'static str {
        self.info().code
    }

    /// Reads [`Check::code`] back.
    #[must_use]
    pub fn parse(code: &str) -> Option<Check> {
        CHECKS.iter().find(|row| row.code == code).map(|row| row.check)
    }

    /// The metric by which it is judged.
    ///
    /// # Panics
    /// Never: a test holds every code to be a metric's name.
    #[must_use]
    pub fn metric(self) -> Metric {
        Metric::new(self.code()).expect("every code is a valid identifier")
    }
}

/// How many of the last judged pictures must agree (投票), so that one bad picture raises nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Vote {
    /// So many…
    pub needed: u8,
    /// …of the last so many judged ones: 1 to 32, and no fewer than `needed`.
    pub of: u8,
}

impl Vote {
    /// 60 % of ten: what the table asks for.
    pub const DEFAULT: Vote = Vote { needed: 6, of: 10 };

    /// Whether the numbers make sense.
    #[must_use]
    pub const fn is_valid(self) -> bool {
        self.needed >= 1 && self.needed <= self.of && self.of <= 32
    }
}

/// One check of one camera.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CheckSetting {
    /// What is looked for.
    pub check: Check,
    /// The zone in which it is looked for; `None` for the whole picture.
    #[serde(default)]
    pub zone: Option<DeviceId>,
    /// When.
    pub hours: Hours,
    /// How sure the model must be, 0 to 1; `None` for the model card's own threshold.
    #[serde(default)]
    pub sensitivity: Option<f32>,
    /// How long it must hold, in seconds: 1 to 3,600.
    pub min_duration_s: u16,
    /// How many judged pictures must agree.
    pub vote: Vote,
    /// How long after a finding the next one may be told, in seconds: 1 to 36,000.
    pub re_alarm_s: u16,
}

impl CheckSetting {
    /// The setting that the table asks for, in the whole picture.
    #[must_use]
    pub fn of(check: Check) -> CheckSetting {
        let info = check.info();
        CheckSetting {
            check,
            zone: None,
            hours: info.hours,
            sensitivity: None,
            min_duration_s: info.min_duration_s,
            vote: match info.kind {
                // Three states in a row, as the table says of bins.
                CheckKind::Region => Vote { needed: 3, of: 3 },
                // Two sightings with displacement between them, as the table says of animals.
                CheckKind::Object => Vote { needed: 2, of: 3 },
                CheckKind::Count => Vote { needed: 3, of: 5 },
                CheckKind::Person | CheckKind::Picture => Vote::DEFAULT,
            },
            re_alarm_s: info.re_alarm_s,
        }
    }
}

/// A span of the day, in minutes after midnight, local time. One that ends before it begins goes past midnight.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DaySpan {
    /// From, 0 to 1,439.
    pub from_min: u16,
    /// Until, exclusive, 0 to 1,440.
    pub until_min: u16,
}

impl DaySpan {
    /// Whether `minute` of the day lies inside.
    #[must_use]
    pub const fn contains(self, minute: u16) -> bool {
        if self.from_min <= self.until_min {
            self.from_min <= minute && minute < self.until_min
        } else {
            minute >= self.from_min || minute < self.until_min
        }
    }
}

/// When a kitchen works and when it serves, in local time; the same every day, as canteens that feed residents do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Schedule {
    /// While somebody may be there.
    pub working: Vec<DaySpan>,
    /// While meals are served.
    pub meals: Vec<DaySpan>,
}

impl Default for Schedule {
    /// Work from 05:00 to 20:00; meals 06:30–08:00, 11:00–13:00, 17:00–18:30.
    fn default() -> Schedule {
        let span = |from_min, until_min| DaySpan { from_min, until_min };
        Schedule {
            working: vec![span(300, 1200)],
            meals: vec![span(390, 480), span(660, 780), span(1020, 1110)],
        }
    }
}

impl Schedule {
    /// Whether a check of these hours is made at this minute of the day.
    #[must_use]
    pub fn covers(&self, hours: Hours, minute: u16) -> bool {
        let within = |spans: &[DaySpan]| spans.iter().any(|span| span.contains(minute));
        match hours {
            Hours::Always => true,
            Hours::Working => within(&self.working),
            Hours::Closed => !within(&self.working),
            Hours::Meals => within(&self.meals),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_check_is_listed_once_and_has_a_metric() {
        for row in &CHECKS {
            assert_eq!(Check::parse(row.code), Some(row.check));
            assert_eq!(row.check.info(), row);
            assert_eq!(
                row.check.metric().info().map(|m| m.unit),
                Some(crate::Unit::Bool),
                "{}",
                row.code
            );
            assert!(CheckSetting::of(row.check).vote.is_valid(), "{}", row.code);
        }
        assert_eq!(Check::parse("no_hat"), None);
    }

    /// The fields of one row of comma-separated values, quotes taken away.
    fn fields(line: &str) -> Vec<String> {
        let mut fields = vec![String::new()];
        let mut quoted = false;
        for character in line.chars() {
            match character {
                '"' => quoted = !quoted,
                ',' if !quoted => fields.push(String::new()),
                other => fields.last_mut().unwrap().push(other),
            }
        }
        fields
    }

    /// The last number of `3 (site default 10)`: the site's own default where there are two.
    fn site_default(field: &str) -> Option<u16> {
        let digits = |c: char| !c.is_ascii_digit();
        field.split(digits).rfind(|part| !part.is_empty())?.parse().ok()
    }

    /// The table is the source of the numbers. It says nothing of cats and dogs but that they are optional.
    #[test]
    fn the_defaults_are_those_of_the_table() {
        let table = include_str!("../packs/vision_rules.csv");
        for row in CHECKS.iter().filter(|row| row.check != Check::AnimalInKitchen) {
            let line = table
                .lines()
                .map(fields)
                .find(|f| f[0].starts_with(row.table_row));
            let line = line.unwrap();
            let numbers = (site_default(&line[3]), site_default(&line[4]));
            assert_eq!(
                numbers,
                (Some(row.min_duration_s), Some(row.re_alarm_s)),
                "{}",
                row.code
            );
            assert_eq!(line[7], row.severity.code(), "{}", row.code);
        }
    }

    #[test]
    fn a_schedule_knows_its_hours() {
        let night_shift = Schedule {
            working: vec![DaySpan {
                from_min: 1320,
                until_min: 360,
            }],
            meals: Vec::new(),
        };
        let cases = [
            (Hours::Working, 1380, true),
            (Hours::Working, 0, true),
            (Hours::Working, 360, false),
            (Hours::Closed, 720, true),
            (Hours::Meals, 720, false),
            (Hours::Always, 720, true),
        ];
        for (hours, minute, want) in cases {
            assert_eq!(night_shift.covers(hours, minute), want, "{hours:?} {minute}");
        }
        assert!(Schedule::default().covers(Hours::Meals, 700));
    }
}
