//! How things are said: numbers with their units, moments with their zone, states in words.

use domain::{
    CaseState, Confidence, Facility, FacilityKind, Metric, Point, Role, Severity, UtcMillis, rule::Comparison,
};
use i18n_embed_fl::fl;
use jiff::{Timestamp, tz::TimeZone};

use crate::{
    i18n::{Lang, Loader},
    picture::Shown,
};

/// A language, a time zone and the present moment: all that saying something takes.
#[derive(Debug, Clone)]
pub(crate) struct Locale {
    pub(crate) lang: Lang,
    pub(crate) l: Loader,
    pub(crate) zone: TimeZone,
    pub(crate) now: UtcMillis,
}

/// A moment, said three ways. In a template: `{{ stamp.html()|safe }}`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Stamp {
    pub(crate) ms: i64,
    /// RFC 3339, for machines.
    pub(crate) iso: String,
    /// In the facilities' time zone.
    pub(crate) text: String,
    /// How long ago.
    pub(crate) age: String,
}

impl Stamp {
    /// The age, which the page keeps counting, with the moment itself as a hint. Needs no escaping:
    /// all of it is made of numbers and our own words.
    pub(crate) fn ago(&self) -> String {
        format!(
            "<time datetime=\"{}\" data-age=\"{}\" title=\"{}\">{}</time>",
            self.iso, self.ms, self.text, self.age
        )
    }

    /// The moment itself.
    pub(crate) fn at(&self) -> String {
        format!("<time datetime=\"{}\">{}</time>", self.iso, self.text)
    }
}

impl Locale {
    pub(crate) fn new(lang: Lang, zone: TimeZone, now: UtcMillis) -> Locale {
        Locale {
            lang,
            l: lang.loader(),
            zone,
            now,
        }
    }

    /// The one of two texts that is in the visitor's language.
    pub(crate) fn pick<'a>(&self, zh: &'a str, en: &'a str) -> &'a str {
        self.lang.pick(zh, en)
    }

    pub(crate) fn stamp(&self, at: UtcMillis) -> Stamp {
        Stamp {
            ms: at.0,
            iso: iso(at),
            text: self.moment(at),
            age: self.age(at),
        }
    }

    /// A moment in the facilities' time zone, to the second.
    pub(crate) fn moment(&self, at: UtcMillis) -> String {
        self.strftime(at, "%Y-%m-%d %H:%M:%S")
    }

    pub(crate) fn clock_time(&self, at: UtcMillis) -> String {
        self.strftime(at, "%Y-%m-%d %H:%M")
    }

    /// A moment as briefly as can be: today without its date. HTML, of numbers only.
    pub(crate) fn brief(&self, at: UtcMillis) -> String {
        let day = |at| self.strftime(at, "%Y-%m-%d");
        let text = match day(at) == day(self.now) {
            true => self.strftime(at, "%H:%M"),
            false => self.strftime(at, "%m-%d %H:%M"),
        };
        format!(
            "<time datetime=\"{}\" title=\"{}\">{text}</time>",
            iso(at),
            self.moment(at)
        )
    }

    /// How long something has lasted that goes on, which the page keeps counting. HTML, of numbers and our own words.
    pub(crate) fn counting(&self, since: UtcMillis) -> String {
        let text = self.duration(self.now.ms_since(since));
        format!("<time data-since=\"{}\">{text}</time>", since.0)
    }

    fn strftime(&self, at: UtcMillis, format: &str) -> String {
        match Timestamp::from_millisecond(at.0) {
            Ok(ts) => ts.to_zoned(self.zone.clone()).strftime(format).to_string(),
            Err(_) => "–".to_owned(),
        }
    }

    /// How long ago `at` was, roughly. A moment in the future reads as now: clocks differ.
    pub(crate) fn age(&self, at: UtcMillis) -> String {
        let seconds = (self.now.ms_since(at) / 1000).max(0);
        let (minutes, hours, days) = ((seconds + 30) / 60, (seconds + 1_800) / 3_600, seconds / 86_400);
        match seconds {
            0..=89 => fl!(self.l, "ago-s", n = seconds),
            90..=5_399 => fl!(self.l, "ago-m", n = minutes),
            5_400..=172_799 => fl!(self.l, "ago-h", n = hours),
            _ => fl!(self.l, "ago-d", n = days),
        }
    }

    /// A length of time in its two largest units.
    pub(crate) fn duration(&self, ms: i64) -> String {
        let minutes = (ms / 60_000).max(0);
        let (hours, days, seconds) = (minutes / 60, minutes / 1_440, (ms / 1000).max(0));
        let (minutes_over, hours_over) = (minutes % 60, hours % 24);
        match minutes {
            0 => fl!(self.l, "for-s", n = seconds),
            1..=59 => fl!(self.l, "for-m", n = minutes),
            60..=1_439 => fl!(self.l, "for-h", h = hours, m = minutes_over),
            _ => fl!(self.l, "for-d", d = days, h = hours_over),
        }
    }

    /// A value without its unit.
    pub(crate) fn number(&self, metric: &Metric, value: f64) -> String {
        if is_switch(metric) {
            return self.switch(metric, value);
        }
        let decimals = metric.info().map_or(2, |m| usize::from(m.decimals));
        let text = format!("{value:.decimals$}");
        // "-0.0" is a rounding artefact that reads like a fault.
        if text
            .trim_start_matches('-')
            .chars()
            .all(|c| matches!(c, '0' | '.'))
        {
            text.trim_start_matches('-').to_owned()
        } else {
            text
        }
    }

    /// A value with its unit.
    pub(crate) fn value(&self, metric: &Metric, value: f64) -> String {
        let sign = metric.unit().sign();
        let number = self.number(metric, value);
        if sign.is_empty() {
            number
        } else {
            format!("{number} {sign}")
        }
    }

    fn switch(&self, metric: &Metric, value: f64) -> String {
        match (metric.as_str(), value >= 0.5) {
            ("door_open", true) => fl!(self.l, "door-open"),
            ("door_open", false) => fl!(self.l, "door-closed"),
            (_, true) => fl!(self.l, "switch-on"),
            (_, false) => fl!(self.l, "switch-off"),
        }
    }

    pub(crate) fn metric(&self, metric: &Metric) -> String {
        metric
            .info()
            .map_or_else(|| metric.to_string(), |m| self.pick(m.zh, m.en).to_owned())
    }

    /// Where a point is, or what it is if nobody said where.
    pub(crate) fn place(&self, point: &Point) -> String {
        let place = self.pick(&point.place_zh, &point.place_en);
        if place.is_empty() {
            point.device.to_string()
        } else {
            place.to_owned()
        }
    }

    pub(crate) fn facility<'a>(&self, facility: &'a Facility) -> &'a str {
        let name = self.pick(&facility.name_zh, &facility.name_en);
        if name.is_empty() {
            facility.id.as_str()
        } else {
            name
        }
    }

    pub(crate) fn kind(&self, kind: FacilityKind) -> String {
        match kind {
            FacilityKind::CareHome => fl!(self.l, "kind-care-home"),
            FacilityKind::CommunityCanteen => fl!(self.l, "kind-canteen"),
        }
    }

    pub(crate) fn state(&self, state: Shown) -> String {
        match state {
            Shown::Active(severity) => self.severity(severity),
            Shown::Pending => fl!(self.l, "state-pending"),
            Shown::Shelved => fl!(self.l, "state-shelved"),
            Shown::Unknown => fl!(self.l, "state-unknown"),
            Shown::Cleared => fl!(self.l, "state-cleared"),
            Shown::Unjudged => fl!(self.l, "state-unjudged"),
            Shown::Normal => fl!(self.l, "state-normal"),
        }
    }

    pub(crate) fn severity(&self, severity: Severity) -> String {
        match severity {
            Severity::P0 => fl!(self.l, "sev-p0"),
            Severity::P1 => fl!(self.l, "sev-p1"),
            Severity::P2 => fl!(self.l, "sev-p2"),
            Severity::P3 => fl!(self.l, "sev-p3"),
            Severity::P4 => fl!(self.l, "sev-p4"),
        }
    }

    pub(crate) fn case_state(&self, state: CaseState) -> String {
        match state {
            CaseState::Open => fl!(self.l, "case-open"),
            CaseState::Acknowledged => fl!(self.l, "case-acknowledged"),
            CaseState::Rectifying => fl!(self.l, "case-rectifying"),
            CaseState::Submitted => fl!(self.l, "case-submitted"),
            CaseState::Rejected => fl!(self.l, "case-rejected"),
            CaseState::Disputed => fl!(self.l, "case-disputed"),
            CaseState::Verified => fl!(self.l, "case-verified"),
            CaseState::Closed => fl!(self.l, "case-closed"),
        }
    }

    pub(crate) fn role(&self, role: Role) -> String {
        match role {
            Role::Inspector => fl!(self.l, "role-inspector"),
            Role::Manager => fl!(self.l, "role-manager"),
            Role::Integrator => fl!(self.l, "role-integrator"),
            Role::Administrator => fl!(self.l, "role-administrator"),
        }
    }

    pub(crate) fn confidence(&self, confidence: Confidence) -> String {
        match confidence {
            Confidence::Verified => fl!(self.l, "conf-verified"),
            Confidence::Secondary => fl!(self.l, "conf-secondary"),
            Confidence::Memory => fl!(self.l, "conf-memory"),
            Confidence::Engineering => fl!(self.l, "conf-engineering"),
        }
    }
}

/// Whether a metric is a yes or no.
pub(crate) fn is_switch(metric: &Metric) -> bool {
    metric.unit() == domain::Unit::Bool
}

pub(crate) const fn comparison_sign(op: Comparison) -> &'static str {
    match op {
        Comparison::Above => ">",
        Comparison::AtLeast => "≥",
        Comparison::Below => "<",
        Comparison::AtMost => "≤",
    }
}

/// A moment in RFC 3339, UTC.
pub(crate) fn iso(at: UtcMillis) -> String {
    Timestamp::from_millisecond(at.0).map_or_else(|_| String::new(), |ts| format!("{ts:.3}"))
}

/// An element's identifier made of any identifier of ours: what CSS would read as more than a name is
/// written as its bytes.
pub(crate) fn dom_id(prefix: &str, id: &str) -> String {
    let mut out = String::with_capacity(prefix.len() + id.len());
    out.push_str(prefix);
    for byte in id.bytes() {
        if byte.is_ascii_alphanumeric() || byte == b'-' {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("_{byte:02x}"));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn locale(lang: Lang) -> Locale {
        Locale::new(
            lang,
            TimeZone::get("Asia/Shanghai").unwrap(),
            UtcMillis(1_700_000_000_000),
        )
    }

    #[test]
    fn values_have_their_units_and_digits() {
        let zh = locale(Lang::Zh);
        let metric = |name| Metric::new(name).unwrap();
        let cases = [
            ("temperature", 4.25, "4.2 °C"),
            ("temperature", -0.04, "0.0 °C"),
            ("temperature", -18.0, "-18.0 °C"),
            ("combustible_gas", 12.0, "12.0 %LEL"),
            ("door_open", 1.0, "开"),
            ("vendor_x", 3.0, "3.00"),
        ];
        for (name, value, want) in cases {
            assert_eq!(zh.value(&metric(name), value), want, "{name} {value}");
        }
    }

    #[test]
    fn moments_are_said_in_the_facilities_zone() {
        let en = locale(Lang::En);
        assert_eq!(en.moment(UtcMillis(1_700_000_000_000)), "2023-11-15 06:13:20");
        assert_eq!(iso(UtcMillis(1_700_000_000_123)), "2023-11-14T22:13:20.123Z");
        let ages = [
            (0, "0 s ago"),
            (-5_000, "0 s ago"),
            (89_999, "89 s ago"),
            (90_000, "2 min ago"),
            (7_200_000, "2 h ago"),
        ];
        for (ms, want) in ages {
            assert_eq!(en.age(en.now - ms), want, "{ms}");
        }
        assert_eq!(en.duration(7_500_000), "2 h 5 min");
    }

    #[test]
    fn element_ids_are_plain_names_and_never_collide() {
        assert_eq!(dom_id("f-", "binhe-01"), "f-binhe-01");
        assert_eq!(dom_id("f-", "a.b_c"), "f-a_2eb_5fc");
        assert_ne!(dom_id("f-", "a.b"), dom_id("f-", "a_2eb"));
    }
}
