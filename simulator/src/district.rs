//! The made-up district: regions, facilities, points and devices.

use std::ops::Range;

use domain::{
    DeviceId, Facility, FacilityId, FacilityKind, Identity, IdentityName, Metric, Point, Region, RegionId,
    SizeClass, Unit,
};

use crate::{
    cameras::{SimCamera, SimStove, cameras},
    equipment::{self, DeviceSpec},
    makes::SimMake,
    names::{FACILITIES, REGIONS, ROADS},
    noise::{Dice, key},
};

/// A district with everything that the record store must know before its devices may speak.
#[derive(Debug, Clone)]
pub struct District {
    /// The district, then its streets and towns.
    pub regions: Vec<Region>,
    /// The facilities, in the order of their regions' list.
    pub facilities: Vec<Facility>,
    /// Every point of measurement; those of one device stand together.
    pub points: Vec<Point>,
    /// Every device.
    pub devices: Vec<SimDevice>,
    /// The cameras, in the first facilities.
    pub cameras: Vec<SimCamera>,
    /// The plugs of stoves at which cameras look. Their points are not among [`District::points`].
    pub stoves: Vec<SimStove>,
    /// Devices of other makes, in the first facilities. Their points are not among [`District::points`].
    pub makes: Vec<SimMake>,
}

/// A device of the district. It signs in as [`SimDevice::identity`].
#[derive(Debug, Clone)]
pub struct SimDevice {
    /// The facility it stands in.
    pub facility: FacilityId,
    /// Its identifier there.
    pub device: DeviceId,
    /// How its payloads are read.
    pub profile: &'static str,
    pub(crate) spec: &'static DeviceSpec,
    /// Its points, as indexes of [`District::points`].
    pub(crate) points: Range<usize>,
}

impl SimDevice {
    /// The name under which it signs in to the broker.
    ///
    /// # Panics
    /// Never: the district's identifiers are short enough for a name.
    #[must_use]
    pub fn identity(&self) -> IdentityName {
        Identity::device_name(&self.facility, &self.device).expect("the district's identifiers are short")
    }
}

/// Builds a district of `facilities` facilities (24 is the usual size). The same arguments give the same
/// district.
///
/// # Panics
/// Never: every identifier comes from a table of valid ones.
#[must_use]
pub fn district(seed: u64, facilities: usize) -> District {
    let regions = REGIONS
        .iter()
        .map(|(id, parent, zh, en)| Region {
            id: region_id(id),
            parent: parent.map(region_id),
            name_zh: (*zh).to_owned(),
            name_en: (*en).to_owned(),
        })
        .collect();
    let mut district = District {
        regions,
        facilities: Vec::with_capacity(facilities),
        points: Vec::with_capacity(facilities * 13),
        devices: Vec::with_capacity(facilities * 12),
        cameras: Vec::new(),
        stoves: Vec::new(),
        makes: Vec::new(),
    };
    for index in 0..facilities {
        let facility = facility(seed, index);
        equip(&mut district, &facility, index);
        district.facilities.push(facility);
    }
    district.cameras = cameras(&district.facilities);
    district.makes = SimMake::all(seed, &district.facilities);
    district.stoves = district.cameras.iter().filter_map(SimStove::below).collect();
    district
}

fn region_id(text: &str) -> RegionId {
    RegionId::new(text).expect("the table's identifiers are valid")
}

fn facility(seed: u64, index: usize) -> Facility {
    let mut dice = Dice::new(key(seed, index as u64));
    let (slug, zh, en, kind) = FACILITIES[index % FACILITIES.len()];
    let round = index / FACILITIES.len();
    let area = index % ROADS.len();
    let beds = match kind {
        FacilityKind::CareHome => 30 + 10 * dice.whole(0, 12) + if dice.chance(0.25) { 200 } else { 0 },
        FacilityKind::CommunityCanteen => 0,
    };
    let people_served = match kind {
        FacilityKind::CareHome => beds * dice.whole(82, 97) / 100 + dice.whole(8, 20),
        FacilityKind::CommunityCanteen => dice.whole(110, 320),
    };
    let size = match beds {
        0..100 => SizeClass::Small,
        100..300 => SizeClass::Medium,
        _ => SizeClass::Large,
    };
    let road = ROADS[area][dice.whole(0, 3) as usize];
    let number = dice.whole(3, 289);
    let (id, name_zh, name_en) = match round {
        0 => (slug.to_owned(), zh.to_owned(), en.to_owned()),
        more => (
            format!("{slug}-{}", more + 1),
            format!("{zh}（{} 部）", more + 1),
            format!("{en} {}", more + 1),
        ),
    };
    Facility {
        id: FacilityId::new(&id).expect("the table's identifiers are valid"),
        region: region_id(REGIONS[area + 1].0),
        name_zh,
        name_en,
        kind,
        size,
        beds,
        people_served,
        address: format!("青杉区{}{road} {number} 号", REGIONS[area + 1].2),
    }
}

/// Adds the facility's devices. The first facility has everything, so that a district of one can show
/// every incident.
fn equip(district: &mut District, facility: &Facility, index: usize) {
    let first = index == 0;
    let home = facility.kind == FacilityKind::CareHome;
    let mut specs = vec![&equipment::FRIDGE_1];
    if home {
        specs.push(&equipment::FRIDGE_2);
    }
    specs.extend([&equipment::FREEZER, &equipment::SAMPLES, &equipment::HOT_HOLDING]);
    if first || facility.beds >= 80 {
        specs.push(&equipment::SPECIAL_ROOM);
    }
    specs.extend([
        &equipment::GAS_GATEWAY,
        &equipment::SMOKE,
        &equipment::STORE_GATEWAY,
    ]);
    specs.push(&equipment::DOOR);
    if first || !home || facility.beds >= 60 {
        specs.push(&equipment::DISHWASHER);
    }
    if index.is_multiple_of(3) {
        specs.push(&equipment::SOS);
    }
    for spec in specs {
        // Two homes bought an imported fridge that speaks Fahrenheit.
        let imported = spec.id == equipment::FRIDGE_2.id && matches!(index % FACILITIES.len(), 7 | 14);
        add_device(district, facility, spec, imported);
    }
}

fn add_device(district: &mut District, facility: &Facility, spec: &'static DeviceSpec, imported: bool) {
    let device = DeviceId::new(spec.id).expect("the table's identifiers are valid");
    let begin = district.points.len();
    for kind in spec.points {
        let point = kind.spec();
        district.points.push(Point {
            facility: facility.id.clone(),
            device: device.clone(),
            metric: Metric::new(point.metric).expect("the table's metrics are valid"),
            unit: if imported { Unit::Fahrenheit } else { point.unit },
            point_type: point.point_type.to_owned(),
            place_zh: format!("{}{}", point.place_zh, spec.suffix),
            place_en: format!("{}{}", point.place_en, spec.suffix),
            report_interval_s: spec.interval_s,
        });
    }
    district.devices.push(SimDevice {
        facility: facility.id.clone(),
        device,
        profile: spec.profile,
        spec,
        points: begin..district.points.len(),
    });
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::equipment::PointKind;

    #[test]
    fn a_district_has_unique_valid_members() {
        for (seed, size) in [(1, 24), (2, 60), (3, 1), (4, 0)] {
            let made = district(seed, size);
            assert_eq!(made.facilities.len(), size);
            let regions: HashSet<_> = made.regions.iter().map(|r| r.id.clone()).collect();
            assert_eq!(regions.len(), made.regions.len());
            assert!(
                made.regions
                    .iter()
                    .all(|r| r.parent.as_ref().is_none_or(|p| regions.contains(p)))
            );
            let facilities: HashSet<_> = made.facilities.iter().map(|f| f.id.clone()).collect();
            assert_eq!(facilities.len(), size);
            assert!(made.facilities.iter().all(|f| regions.contains(&f.region)));
            let keys: HashSet<_> = made.points.iter().map(Point::key).collect();
            assert_eq!(keys.len(), made.points.len());
            let names: HashSet<_> = made.devices.iter().map(SimDevice::identity).collect();
            assert_eq!(names.len(), made.devices.len());
            for device in &made.devices {
                assert!(facilities.contains(&device.facility));
                let points = &made.points[device.points.clone()];
                assert!(!points.is_empty());
                assert!(
                    points
                        .iter()
                        .all(|p| p.facility == device.facility && p.device == device.device)
                );
            }
        }
    }

    #[test]
    fn the_usual_district_is_of_the_usual_size() {
        let made = district(1, 24);
        assert!(
            (270..=320).contains(&made.points.len()),
            "{} points",
            made.points.len()
        );
        let names: HashSet<_> = made.facilities.iter().map(|f| f.name_zh.clone()).collect();
        assert_eq!(names.len(), 24);
        assert!(made.facilities.iter().all(|f| f.people_served >= 30));
        assert!(made.points.iter().any(|p| p.unit == Unit::Fahrenheit));
        let canteens = made
            .facilities
            .iter()
            .filter(|f| f.kind == FacilityKind::CommunityCanteen)
            .count();
        assert_eq!(canteens, 3);
    }

    #[test]
    fn one_facility_carries_every_kind_of_point() {
        let made = district(9, 1);
        assert_eq!(made.devices.len(), 12);
        for kind in PointKind::ALL {
            let spec = kind.spec();
            let point = made.points.iter().find(|p| p.point_type == spec.point_type);
            let point = point.unwrap_or_else(|| panic!("no {}", spec.point_type));
            assert_eq!(point.metric.unit(), spec.unit, "{}", spec.metric);
            assert!(point.metric.info().is_some());
        }
    }
}
