//! Facilities, the regions they lie in, and the points at which something is measured.

use serde::{Deserialize, Serialize};

use crate::{
    id::{DeviceId, FacilityId, Metric, RegionId},
    metric::Unit,
    reading::SeriesKey,
};

/// An administrative region.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Region {
    /// Its identifier.
    pub id: RegionId,
    /// The region it is part of.
    pub parent: Option<RegionId>,
    /// Its name in Chinese.
    pub name_zh: String,
    /// Its name in English.
    pub name_en: String,
}

/// What kind of place a facility is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FacilityKind {
    /// A residential care home (养老院, 护理院).
    CareHome,
    /// A community canteen that serves older people (社区助餐点).
    CommunityCanteen,
}

/// Size by beds, as elder-care statistics count it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SizeClass {
    /// Fewer than 100 beds, or none.
    Small,
    /// 100 to 299 beds.
    Medium,
    /// 300 beds and more.
    Large,
}

/// A facility with a kitchen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facility {
    /// Its identifier, part of every topic of its devices.
    pub id: FacilityId,
    /// The region whose inspectors are responsible for it.
    pub region: RegionId,
    /// Its name in Chinese.
    pub name_zh: String,
    /// Its name in English.
    pub name_en: String,
    /// What kind of place it is.
    pub kind: FacilityKind,
    /// How large it is.
    pub size: SizeClass,
    /// Licensed beds; 0 for a canteen.
    pub beds: u32,
    /// People who eat from its kitchen on an ordinary day: those a hazard reaches.
    pub people_served: u32,
    /// Its street address.
    pub address: String,
}

/// A point of measurement: what one series of readings means at one place in one kitchen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Point {
    /// The facility.
    pub facility: FacilityId,
    /// The device that measures.
    pub device: DeviceId,
    /// What it measures.
    pub metric: Metric,
    /// The unit the device sends when its message names none.
    pub unit: Unit,
    /// What the point is for judgement, as in the rule packs: `fridge_air`, `kitchen_gas`, …
    pub point_type: String,
    /// Where it is, in Chinese: `1 号冷藏柜`.
    pub place_zh: String,
    /// Where it is, in English: `Fridge 1`.
    pub place_en: String,
    /// How often a reading is due, in seconds; silence is judged against it. 1 to 86,400.
    pub report_interval_s: u32,
}

impl Point {
    /// The series of this point.
    #[must_use]
    pub fn key(&self) -> SeriesKey {
        SeriesKey {
            facility: self.facility.clone(),
            device: self.device.clone(),
            metric: self.metric.clone(),
        }
    }
}
