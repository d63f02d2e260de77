//! The district's cameras as they are attached: where they hang, what is looked for, which script they play.

use domain::{
    Camera, CameraKey, CameraSource, CameraUrl, Check, CheckSetting, Credentials, DeviceId, Facility,
    Identity, IdentityName, Polygon, Room, Schedule, Spot,
    camera::{Decoding, Retention, RtpTransport, Zone},
    check::{Hours, Vote},
};

use crate::cameras::{
    canvas::{HEIGHT, WIDTH},
    script::CameraScript,
};

/// A simulated camera and how it is attached.
#[derive(Debug, Clone)]
pub struct SimCamera {
    /// The camera. Until [`crate::CameraFarm::start`] the URL of an RTSP camera names a port at which nothing
    /// listens.
    pub camera: Camera,
    /// What signs in to it. A camera that pushes over MQTT signs in as a device and has no use for them.
    pub credentials: Credentials,
    /// What it shows.
    pub script: CameraScript,
}

impl SimCamera {
    /// Whether it publishes its pictures over MQTT, and so needs a secret as a device does.
    #[must_use]
    pub fn is_pushed(&self) -> bool {
        matches!(self.camera.source, CameraSource::Pushed)
    }

    /// The name under which it signs in to the broker, when it pushes.
    ///
    /// # Panics
    /// Never: the plan's identifiers are short enough for a name.
    #[must_use]
    pub fn identity(&self) -> IdentityName {
        let CameraKey { facility, camera } = &self.camera.key;
        Identity::device_name(facility, camera).expect("the plan's identifiers are short")
    }

    /// Its name in its URL: `<facility>/<camera>`.
    #[must_use]
    pub fn name(&self) -> String {
        self.camera.key.to_string()
    }
}

/// Identifier, name, corners in pixels.
type PlannedZone = (&'static str, &'static str, &'static [(u16, u16)]);

/// Check, zone, seconds that it must hold.
type PlannedCheck = (Check, Option<&'static str>, u16);

/// Which camera hangs where.
struct Plan {
    /// Index of the facility.
    facility: usize,
    id: &'static str,
    room: Room,
    place: (&'static str, &'static str),
    script: CameraScript,
    capacity: Option<u32>,
    zones: &'static [PlannedZone],
    checks: &'static [PlannedCheck],
    pushed: bool,
}

const PLANS: [Plan; 6] = [
    Plan {
        facility: 0,
        id: "cam-stove",
        room: Room::Kitchen,
        place: ("热菜间灶台", "Stove of the hot kitchen"),
        script: CameraScript::HotKitchen,
        capacity: Some(4),
        zones: &[
            ("stove", "灶台 Stove", &[(0, 70), (310, 70), (310, 350), (0, 350)]),
            (
                "cooking",
                "烹饪区 Cooking",
                &[(0, 60), (470, 60), (470, 359), (0, 359)],
            ),
        ],
        checks: &[
            (Check::NoMask, Some("cooking"), 8),
            (Check::StoveUnattended, Some("stove"), 10),
            (Check::CameraTampered, None, 5),
        ],
        pushed: false,
    },
    Plan {
        facility: 0,
        id: "cam-special",
        room: Room::SpecialRoom,
        place: ("凉菜专间", "Cold-dish room"),
        script: CameraScript::SpecialRoom,
        capacity: Some(3),
        zones: &[(
            "worktop",
            "操作台 Worktop",
            &[(0, 60), (639, 60), (639, 359), (0, 359)],
        )],
        checks: &[
            (Check::NoMask, Some("worktop"), 8),
            (Check::CameraTampered, None, 5),
        ],
        pushed: false,
    },
    Plan {
        facility: 1,
        id: "cam-dining",
        room: Room::Dining,
        place: ("一楼餐厅", "Dining room"),
        script: CameraScript::Dining,
        capacity: Some(3),
        zones: &[(
            "tables",
            "就餐区 Tables",
            &[(0, 80), (639, 80), (639, 359), (0, 359)],
        )],
        checks: &[(Check::OverCapacity, None, 8), (Check::CameraTampered, None, 5)],
        pushed: false,
    },
    Plan {
        facility: 1,
        id: "cam-store",
        room: Room::Store,
        place: ("干货库", "Dry store"),
        script: CameraScript::StoreAtNight,
        capacity: None,
        zones: &[(
            "floor",
            "地面 Floor",
            &[(0, 150), (639, 150), (639, 359), (0, 359)],
        )],
        checks: &[
            (Check::AnimalInKitchen, Some("floor"), 3),
            (Check::OffHoursPresence, None, 5),
            (Check::CameraTampered, None, 5),
        ],
        pushed: false,
    },
    Plan {
        facility: 2,
        id: "cam-entrance",
        room: Room::Entrance,
        place: ("食堂入口", "Entrance of the canteen"),
        script: CameraScript::Entrance,
        capacity: None,
        zones: &[],
        checks: &[(Check::CameraTampered, None, 5)],
        pushed: false,
    },
    Plan {
        facility: 2,
        id: "cam-serving",
        room: Room::Serving,
        place: ("售餐窗口", "Serving line"),
        script: CameraScript::Serving,
        capacity: None,
        zones: &[(
            "line",
            "售餐台 Serving line",
            &[(0, 60), (639, 60), (639, 359), (0, 359)],
        )],
        checks: &[(Check::NoMask, Some("line"), 10)],
        pushed: true,
    },
];

/// The cameras of the first facilities of `facilities`, spread over as many as there are, up to three.
pub(crate) fn cameras(facilities: &[Facility]) -> Vec<SimCamera> {
    if facilities.is_empty() {
        return Vec::new();
    }
    let attach = |plan: &Plan| plan.attach(&facilities[plan.facility % facilities.len()]);
    PLANS.iter().map(attach).collect()
}

impl Plan {
    fn attach(&self, facility: &Facility) -> SimCamera {
        let key = CameraKey {
            facility: facility.id.clone(),
            camera: id(self.id),
        };
        let source = if self.pushed {
            CameraSource::Pushed
        } else {
            let url = CameraUrl::new(&format!("rtsp://127.0.0.1:9/cam/{key}"));
            CameraSource::Rtsp {
                main: url.expect("the plan's names make a URL"),
                sub: None,
                transport: RtpTransport::Tcp,
            }
        };
        let camera = Camera {
            key,
            room: self.room,
            place_zh: self.place.0.to_owned(),
            place_en: self.place.1.to_owned(),
            source,
            decoding: Decoding::KeyFrames,
            masks: Vec::new(),
            zones: self.zones.iter().map(zone).collect(),
            line: None,
            capacity: self.capacity,
            checks: self.checks.iter().map(setting).collect(),
            schedule: Schedule::default(),
            gb_id: None,
            live: true,
            retention: Retention::default(),
            enabled: true,
        };
        SimCamera {
            camera,
            credentials: Credentials {
                user: "viewer".to_owned(),
                password: format!("demo-{}-{}", facility.id, self.id),
            },
            script: self.script,
        }
    }
}

fn id(text: &str) -> DeviceId {
    DeviceId::new(text).expect("the plan's identifiers are valid")
}

fn zone((name, title, corners): &PlannedZone) -> Zone {
    let spot = |(x, y): &(u16, u16)| Spot {
        x: f32::from(*x) / WIDTH as f32,
        y: f32::from(*y) / HEIGHT as f32,
    };
    let area = Polygon::new(corners.iter().map(spot).collect());
    Zone {
        id: id(name),
        name: (*title).to_owned(),
        area: area.expect("the plan's zones are polygons"),
    }
}

/// At any hour, and told again when the script comes round: the demonstration does not wait for noon.
fn setting((check, zone, min_duration_s): &PlannedCheck) -> CheckSetting {
    CheckSetting {
        zone: zone.map(id),
        hours: Hours::Always,
        min_duration_s: *min_duration_s,
        vote: Vote { needed: 3, of: 5 },
        re_alarm_s: 120,
        ..CheckSetting::of(*check)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::district;

    #[test]
    fn every_camera_may_be_attached_and_names_its_own_zones() {
        for facilities in [1, 2, 24] {
            let made = cameras(&district(1, facilities).facilities);
            assert_eq!(made.len(), PLANS.len());
            let names: HashSet<_> = made.iter().map(SimCamera::name).collect();
            assert_eq!(names.len(), made.len());
            for SimCamera { camera, .. } in &made {
                assert_eq!(camera.check(), Ok(()));
                for setting in &camera.checks {
                    let zone = setting.zone.as_ref();
                    assert!(zone.is_none_or(|id| camera.zone(id).is_some()), "{setting:?}");
                    assert!(setting.vote.is_valid());
                }
            }
            let places: HashSet<_> = made.iter().map(|c| &c.camera.key.facility).collect();
            assert_eq!(places.len(), facilities.min(3));
        }
        assert!(cameras(&[]).is_empty());
    }
}
