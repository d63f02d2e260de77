//! The plug of a stove, which says how much power it draws: what a camera cannot see.

use domain::{DeviceId, Identity, IdentityName, Metric, Point, Unit, UtcMillis};

use crate::{
    cameras::{attached::SimCamera, script::CameraScript},
    rhythm::SECOND,
};

/// How often it reports.
const EVERY_MS: i64 = 5 * SECOND;

/// What it draws while it burns and while it does not, in watts.
const POWER_W: [u32; 2] = [1_850, 3];

/// A stove's plug below a camera, registered and with a secret like any device.
#[derive(Debug, Clone)]
pub struct SimStove {
    /// What it measures.
    pub point: Point,
    pub(crate) script: CameraScript,
}

impl SimStove {
    /// The plug of the stove at which `camera` looks; `None` when it looks at none.
    pub(crate) fn below(camera: &SimCamera) -> Option<SimStove> {
        camera.script.stove_burns(0)?;
        let point = Point {
            facility: camera.camera.key.facility.clone(),
            device: DeviceId::new("stove-1").expect("a constant that is an identifier"),
            metric: Metric::new("power").expect("a constant that is an identifier"),
            unit: Unit::Watt,
            point_type: "stove".to_owned(),
            place_zh: "热菜间灶台电源".to_owned(),
            place_en: "Power of the stove in the hot kitchen".to_owned(),
            report_interval_s: 5,
        };
        Some(SimStove {
            point,
            script: camera.script,
        })
    }

    /// The name under which it signs in to the broker.
    ///
    /// # Panics
    /// Never: the plan's identifiers are short enough for a name.
    #[must_use]
    pub fn identity(&self) -> IdentityName {
        Identity::device_name(&self.point.facility, &self.point.device)
            .expect("the plan's identifiers are short")
    }
}

/// A plug at work.
#[derive(Debug)]
pub(crate) struct StovePlug {
    stove: SimStove,
    start: UtcMillis,
    next_at: UtcMillis,
}

impl StovePlug {
    /// Its camera's script counts from `start`; the first report is due at `from`.
    pub(crate) fn new(stove: &SimStove, start: UtcMillis, from: UtcMillis) -> StovePlug {
        StovePlug {
            stove: stove.clone(),
            start,
            next_at: from,
        }
    }

    /// The topic that `leaf` has below its root.
    pub(crate) fn topic(&self, leaf: &str) -> String {
        let Point { facility, device, .. } = &self.stove.point;
        format!("sk/v1/{facility}/{device}/{leaf}")
    }

    /// When the next report is due.
    pub(crate) fn next_at(&self) -> UtcMillis {
        self.next_at
    }

    /// The report of the moment `now`; the next one is due a while later.
    pub(crate) fn report(&mut self, now: UtcMillis) -> Vec<u8> {
        self.next_at = now + EVERY_MS;
        let burns = self
            .stove
            .script
            .stove_burns(now.ms_since(self.start))
            .unwrap_or(false);
        let watts = POWER_W[usize::from(!burns)];
        format!("{{\"ts\":{},\"v\":{watts}}}", now.0).into_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::district;

    #[test]
    fn it_draws_power_while_the_picture_shows_flames() {
        let stoves = district(1, 3).stoves;
        assert_eq!(stoves.len(), 1, "one camera looks at a stove");
        let start = UtcMillis(1_795_250_000_000);
        let mut plug = StovePlug::new(&stoves[0], start, start);
        assert!(plug.topic("up/power").ends_with("/stove-1/up/power"));
        let burning = plug.report(start + 80 * SECOND);
        assert_eq!(plug.next_at(), start + 85 * SECOND);
        assert_eq!(burning, br#"{"ts":1795250080000,"v":1850}"#);
        assert_eq!(
            plug.report(start + 140 * SECOND),
            br#"{"ts":1795250140000,"v":3}"#
        );
    }
}
