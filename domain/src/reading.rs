//! Readings: one value of one series at one moment.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{
    id::{DeviceId, FacilityId, Metric},
    time::UtcMillis,
};

/// Where a record stands in the log. Grows with every record; a position says "everything before this".
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct LogPosition(pub u64);

/// What a series of readings is about.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct SeriesKey {
    /// The facility the device belongs to.
    pub facility: FacilityId,
    /// The device that measures.
    pub device: DeviceId,
    /// What it measures.
    pub metric: Metric,
}

impl fmt::Display for SeriesKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.facility, self.device, self.metric)
    }
}

/// A series' short number within one running process. Never stored outside the time-series store: a
/// restart may number series anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SeriesId(pub u32);

/// What was doubtful about a reading's time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Quality {
    /// Nothing.
    #[default]
    Good,
    /// The device gave no time: the moment of receipt stands in for it.
    NoDeviceTime,
    /// The device's time lay too far in the future: the moment of receipt replaced it.
    ClockAhead,
    /// The device's clock was never set (before 2000): the moment of receipt replaced it.
    ClockUnset,
}

/// One value of one series, in the metric's canonical unit.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Reading {
    /// Which series.
    pub series: SeriesId,
    /// When it was measured, as far as is known.
    pub at: UtcMillis,
    /// When the log took it in. Never goes back from one record to the next.
    pub received: UtcMillis,
    /// The value; finite.
    pub value: f64,
    /// What was doubtful about its time.
    pub quality: Quality,
}

/// A stored value: what remains of a reading once its series is known.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sample {
    /// When it was measured.
    pub at: UtcMillis,
    /// The value in the metric's canonical unit.
    pub value: f64,
}
