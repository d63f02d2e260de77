//! What a camera's description may hold.

use std::{collections::BTreeSet, ops::RangeInclusive};

use domain::{Camera, CameraSource, CheckSetting, Schedule, check::DaySpan};

use crate::records::{
    error::{Problem, RecordError},
    points::MAX_PLACE,
    text::check_line,
};

/// The most checks of one camera, each zone's counted.
const MAX_CHECKS: usize = 64;

/// The most spans of a day, of each kind.
const MAX_SPANS: usize = 12;

/// The most characters of a zone's name, and of a folder's path.
const MAX_ZONE_NAME: usize = 80;
const MAX_PATH: usize = 1_024;

/// The most people that a room may be said to hold.
const MAX_CAPACITY: u32 = 10_000;

/// The longest description in bytes of JSON: 32 areas of 32 corners, with room.
const MAX_SETTINGS: usize = 128 * 1024;

/// Refuses a camera that may not be attached, or whose settings make no sense.
pub(super) fn check(camera: &Camera) -> Result<(), RecordError> {
    camera.check().map_err(|source| RecordError::Camera { source })?;
    check_line("place_zh", &camera.place_zh, MAX_PLACE)?;
    check_line("place_en", &camera.place_en, MAX_PLACE)?;
    check_source(&camera.source)?;
    check_zones(camera)?;
    let capacity = i64::from(camera.capacity.unwrap_or(1));
    in_range("capacity", capacity, 1..=i64::from(MAX_CAPACITY))?;
    at_most("checks", camera.checks.len(), MAX_CHECKS)?;
    camera
        .checks
        .iter()
        .try_for_each(|setting| check_setting(camera, setting))?;
    check_schedule(&camera.schedule)
}

/// The description as it is stored.
pub(super) fn settings(camera: &Camera) -> Result<String, RecordError> {
    let text = serde_json::to_string(camera).expect("a camera is JSON");
    if text.len() > MAX_SETTINGS {
        let problem = Problem::TooLong { max: MAX_SETTINGS };
        return Err(invalid("camera", problem));
    }
    Ok(text)
}

fn check_source(source: &CameraSource) -> Result<(), RecordError> {
    match source {
        CameraSource::Snapshot { interval_ms, .. } => {
            in_range("interval_ms", i64::from(*interval_ms), 200..=60_000)
        }
        CameraSource::Folder { path, interval_ms } => {
            check_line("path", path, MAX_PATH)?;
            in_range("interval_ms", i64::from(*interval_ms), 40..=60_000)
        }
        CameraSource::Rtsp { .. } | CameraSource::Mjpeg { .. } | CameraSource::Pushed => Ok(()),
    }
}

fn check_zones(camera: &Camera) -> Result<(), RecordError> {
    for zone in &camera.zones {
        check_line("zone", &zone.name, MAX_ZONE_NAME)?;
    }
    let ids: BTreeSet<_> = camera.zones.iter().map(|zone| &zone.id).collect();
    if ids.len() < camera.zones.len() {
        return Err(invalid("zone", Problem::Twice));
    }
    Ok(())
}

fn check_setting(camera: &Camera, setting: &CheckSetting) -> Result<(), RecordError> {
    if let Some(zone) = &setting.zone
        && camera.zone(zone).is_none()
    {
        return Err(RecordError::Missing {
            what: "zone",
            id: zone.to_string(),
        });
    }
    let same = |other: &&CheckSetting| other.check == setting.check && other.zone == setting.zone;
    if camera.checks.iter().filter(same).count() > 1 {
        return Err(invalid("check", Problem::Twice));
    }
    in_range("min_duration_s", i64::from(setting.min_duration_s), 1..=3_600)?;
    in_range("re_alarm_s", i64::from(setting.re_alarm_s), 1..=36_000)?;
    if !setting.vote.is_valid() {
        return Err(invalid("vote", Problem::OutOfRange { min: 1, max: 32 }));
    }
    if !setting
        .sensitivity
        .is_none_or(|share| (0.0..=1.0).contains(&share))
    {
        return Err(invalid("sensitivity", Problem::OutOfRange { min: 0, max: 1 }));
    }
    Ok(())
}

fn check_schedule(schedule: &Schedule) -> Result<(), RecordError> {
    for (field, spans) in [("working", &schedule.working), ("meals", &schedule.meals)] {
        at_most(field, spans.len(), MAX_SPANS)?;
        for DaySpan { from_min, until_min } in spans {
            in_range(field, i64::from(*from_min), 0..=1_439)?;
            in_range(field, i64::from(*until_min), 0..=1_440)?;
        }
    }
    Ok(())
}

fn in_range(field: &'static str, number: i64, range: RangeInclusive<i64>) -> Result<(), RecordError> {
    if range.contains(&number) {
        return Ok(());
    }
    let (min, max) = range.into_inner();
    Err(invalid(field, Problem::OutOfRange { min, max }))
}

fn at_most(field: &'static str, count: usize, max: usize) -> Result<(), RecordError> {
    if count <= max {
        return Ok(());
    }
    Err(invalid(field, Problem::TooMany { max }))
}

fn invalid(field: &'static str, problem: Problem) -> RecordError {
    RecordError::Invalid { field, problem }
}
