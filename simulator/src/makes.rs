//! Devices of other makes: a Zigbee2MQTT gateway, a Tasmota plug, a Sparkplug B edge node and a Telegraf, each speaking
//! as its firmware does, below its own topics or over HTTP.
//!
//! Unlike our own devices they keep nothing back while their line is broken, because their firmware does not: what was
//! not heard is not told again.

mod client;
mod sparkplug;
mod telegraf;
mod words;

use domain::{DeviceId, Facility, Identity, IdentityName, Metric, Point, UtcMillis, VendorRoot, address};

use crate::{
    equipment::PointKind,
    noise::key,
    physics::Nature,
    rhythm::{LocalDay, Opening},
};

pub(crate) use client::MadeDevice;
pub(crate) use telegraf::Telegraf;

/// How often each reports, in seconds.
pub(crate) const EVERY_S: u32 = 15;

/// Which make.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Make {
    Zigbee2mqtt,
    Tasmota,
    Sparkplug,
    Telegraf,
}

/// What a thing behind or in a device measures: its name behind the device (empty for the device's own), the kind, and
/// where it is.
type Thing = (&'static str, PointKind, &'static str, &'static str);

const ZIGBEE: &[Thing] = &[
    ("fruit-fridge", PointKind::Fridge, "水果冷藏柜", "Fruit fridge"),
    (
        "yard-door",
        PointKind::ColdRoomDoor,
        "后院冷库门",
        "Cold-room door, yard",
    ),
];
const TASMOTA: &[Thing] = &[(
    "",
    PointKind::Freezer,
    "面点间冷冻柜",
    "Freezer of the pastry room",
)];
const SPARKPLUG: &[Thing] = &[
    ("", PointKind::Rinse, "二号洗碗机漂洗", "Rinse of dishwasher 2"),
    (
        "buffet",
        PointKind::HotHolding,
        "自助餐保温台",
        "Buffet hot holding",
    ),
];
const TELEGRAF: &[Thing] = &[("pantry", PointKind::DryStore, "副食库", "Pantry")];

impl Make {
    const ALL: [Make; 4] = [Make::Zigbee2mqtt, Make::Tasmota, Make::Sparkplug, Make::Telegraf];

    const fn things(self) -> &'static [Thing] {
        match self {
            Make::Zigbee2mqtt => ZIGBEE,
            Make::Tasmota => TASMOTA,
            Make::Sparkplug => SPARKPLUG,
            Make::Telegraf => TELEGRAF,
        }
    }

    const fn device(self) -> &'static str {
        match self {
            Make::Zigbee2mqtt => "zigbee",
            Make::Tasmota => "tasmota-1",
            Make::Sparkplug => "plc",
            Make::Telegraf => "telegraf",
        }
    }

    const fn profile(self) -> &'static str {
        match self {
            Make::Zigbee2mqtt => "zigbee2mqtt",
            Make::Tasmota => "tasmota",
            Make::Sparkplug => "sparkplug-b",
            Make::Telegraf => "line-protocol",
        }
    }
}

/// A device of another make, registered with its profile and with a secret like any device.
#[derive(Debug, Clone)]
pub struct SimMake {
    /// What it and those behind it measure. Not among [`crate::District::points`].
    pub points: Vec<Point>,
    /// Its profile.
    pub profile: &'static str,
    /// The root that its firmware cannot leave, if any.
    pub root: Option<VendorRoot>,
    pub(crate) make: Make,
    device: DeviceId,
    natures: Vec<Nature>,
}

impl SimMake {
    /// One of each make, spread over the first facilities.
    pub(crate) fn all(seed: u64, facilities: &[Facility]) -> Vec<SimMake> {
        let spread = Make::ALL.into_iter().zip(facilities.iter().cycle().skip(1));
        spread
            .map(|(make, facility)| SimMake::new(seed, make, facility))
            .collect()
    }

    fn new(seed: u64, make: Make, facility: &Facility) -> SimMake {
        let device = DeviceId::new(make.device()).expect("the table's identifiers are valid");
        let point = |(behind, kind, zh, en): &Thing| {
            let name = match *behind {
                "" => make.device().to_owned(),
                behind => format!("{device}.{behind}"),
            };
            let spec = kind.spec();
            Point {
                facility: facility.id.clone(),
                device: DeviceId::new(&name).expect("the table's identifiers are valid"),
                metric: Metric::new(spec.metric).expect("the table's metrics are valid"),
                unit: spec.unit,
                point_type: spec.point_type.to_owned(),
                place_zh: (*zh).to_owned(),
                place_en: (*en).to_owned(),
                report_interval_s: EVERY_S,
            }
        };
        let nature = |(n, thing): (usize, &Thing)| {
            let own = 0x3A4E_0000 + 16 * make as u64 + n as u64;
            Nature::new(thing.1, key(seed, own))
        };
        let root =
            (make == Make::Sparkplug).then(|| VendorRoot::parse(&format!("spBv1.0/{}/plc", facility.id)));
        SimMake {
            points: make.things().iter().map(point).collect(),
            profile: make.profile(),
            root: root.map(|root| root.expect("the table's identifiers are valid")),
            natures: make.things().iter().enumerate().map(nature).collect(),
            make,
            device,
        }
    }

    /// The device that signs in: itself, not one behind it.
    #[must_use]
    pub fn device(&self) -> &DeviceId {
        &self.device
    }

    /// The facility it stands in.
    ///
    /// # Panics
    /// Never: each measures something.
    #[must_use]
    pub fn facility(&self) -> &domain::FacilityId {
        &self.points.first().expect("each measures something").facility
    }

    /// The name under which it signs in.
    ///
    /// # Panics
    /// Never: the table's identifiers are short enough for a name.
    #[must_use]
    pub fn identity(&self) -> IdentityName {
        Identity::device_name(self.facility(), &self.device).expect("the table's identifiers are short")
    }

    /// The beginning of its topics, without the closing slash.
    pub(crate) fn topics(&self) -> String {
        match &self.root {
            Some(root) => root.to_string(),
            None => address::device_root(self.facility(), &self.device)
                .trim_end_matches('/')
                .to_owned(),
        }
    }

    /// What each of its things measures at `at`, with its name behind the device.
    pub(crate) fn measure(&self, at: UtcMillis) -> Vec<(&'static str, f64)> {
        let day = LocalDay::of(at);
        let measure = |nature: &Nature| {
            let openings: Vec<Opening> = nature.openings(day);
            nature.measure(at, &openings, &[])
        };
        let names = self.make.things().iter().map(|thing| thing.0);
        names.zip(self.natures.iter().map(measure)).collect()
    }
}

/// The next full step of reporting after `now`; each device at a phase of its own.
pub(crate) fn next_report(now: UtcMillis, make: Make, step_ms: i64) -> UtcMillis {
    let phase = step_ms / 20 * make as i64;
    UtcMillis(((now.0 - phase).div_euclid(step_ms) + 1) * step_ms + phase)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::district;

    #[test]
    fn the_district_has_one_of_each_make_and_the_same_seed_makes_the_same() {
        for facilities in [1, 2, 24] {
            let made = district(7, facilities);
            let profiles: HashSet<_> = made.makes.iter().map(|m| m.profile).collect();
            assert_eq!(profiles.len(), 4);
            let keys: HashSet<_> = made
                .makes
                .iter()
                .flat_map(|m| &m.points)
                .chain(&made.points)
                .map(Point::key)
                .collect();
            let count = made.points.len() + made.makes.iter().map(|m| m.points.len()).sum::<usize>();
            assert_eq!(keys.len(), count, "no series is measured twice");
            assert!(!profiles.contains("standard"));
        }
        let at = UtcMillis(1_795_250_000_000);
        let (one, two) = (district(7, 5).makes, district(7, 5).makes);
        for (a, b) in one.iter().zip(&two) {
            assert_eq!(a.measure(at), b.measure(at));
            assert_eq!(a.measure(at).len(), a.points.len());
        }
        assert_ne!(one[0].measure(at), district(8, 5).makes[0].measure(at));
        assert!(district(7, 0).makes.is_empty());
    }

    #[test]
    fn each_reports_in_step_at_a_phase_of_its_own() {
        let now = UtcMillis(1_795_250_000_000);
        for make in Make::ALL {
            let next = next_report(now, make, 15_000);
            assert!(next > now && next.ms_since(now) <= 15_000);
            assert_eq!(next_report(next, make, 15_000), next + 15_000);
        }
    }
}
