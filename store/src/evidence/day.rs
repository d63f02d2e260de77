//! Days of the chain, in UTC: `2026-11-18`.

use std::fmt;

use domain::UtcMillis;
use serde::{Deserialize, Serialize};

const DAY_MS: i64 = 86_400_000;

/// 9999-12-31: the last day that is written with four digits.
const LAST: i64 = 2_932_896;

/// A day between 1970 and 9999, counted from 1970-01-01.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub(super) struct Day(i64);

impl Day {
    /// The day of `at`, held at the ends of the range.
    pub(super) fn of(at: UtcMillis) -> Day {
        Day(at.0.div_euclid(DAY_MS).clamp(0, LAST))
    }

    /// Reads what [`Day`] is written as, and nothing else.
    pub(super) fn parse(text: &str) -> Option<Day> {
        let mut parts = text.splitn(3, '-').map(|part| part.parse::<i64>().ok());
        let (year, month, day) = (parts.next()??, parts.next()??, parts.next()??);
        let in_range = (1970..=9999).contains(&year) && (1..=12).contains(&month) && (1..=31).contains(&day);
        // Writing it again tells apart what is no day: the 31st of June, a missing zero.
        let day = in_range.then(|| Day(days_to(year, month, day)))?;
        (day.to_string() == text).then_some(day)
    }
}

/// Days from 1970-01-01 to a date. Years are counted from March, so that a leap day is a year's last one.
fn days_to(year: i64, month: i64, day: i64) -> i64 {
    let year = if month > 2 { year } else { year - 1 };
    let months_since_march = (month + 9) % 12;
    let day_of_year = (153 * months_since_march + 2) / 5 + day - 1;
    year * 365 + year / 4 - year / 100 + year / 400 + day_of_year - 719_468
}

impl fmt::Display for Day {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The other way round, within eras of 400 years, which have 146,097 days each.
        let days = self.0 + 719_468;
        let (era, day_of_era) = (days / 146_097, days % 146_097);
        let year_of_era =
            (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let months_since_march = (5 * day_of_year + 2) / 153;
        let day = day_of_year - (153 * months_since_march + 2) / 5 + 1;
        let month = (months_since_march + 2) % 12 + 1;
        let year = era * 400 + year_of_era + i64::from(month <= 2);
        write!(f, "{year:04}-{month:02}-{day:02}")
    }
}

impl TryFrom<String> for Day {
    type Error = &'static str;
    fn try_from(text: String) -> Result<Self, Self::Error> {
        Day::parse(&text).ok_or("expected a day such as 2026-11-18")
    }
}

impl From<Day> for String {
    fn from(day: Day) -> String {
        day.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_written_and_read_again() {
        let mut before = String::new();
        // Every day of the first 150 years, then some of each year.
        for n in (0..55_000).chain((55_000..LAST).step_by(17)).chain([LAST]) {
            let text = Day(n).to_string();
            assert!(text > before, "{before} {text}");
            assert_eq!(Day::parse(&text), Some(Day(n)), "{text}");
            before = text;
        }
        assert_eq!(before, "9999-12-31");
    }

    #[test]
    fn known_days_have_their_dates() {
        let cases = [
            (0, "1970-01-01"),
            (951_782_400_000, "2000-02-29"),
            (1_795_000_000_000, "2026-11-18"),
            (-1, "1970-01-01"),
            (i64::MAX, "9999-12-31"),
        ];
        for (ms, want) in cases {
            assert_eq!(Day::of(UtcMillis(ms)).to_string(), want);
        }
        for bad in [
            "",
            "2026-11",
            "2026-02-30",
            "2026-1-01",
            "+2026-11-18",
            "2026-11-18-",
            "1969-12-31",
        ] {
            assert_eq!(Day::parse(bad), None, "{bad}");
        }
    }
}
