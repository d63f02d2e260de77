//! A camera in a kitchen, and a judge that watches it.

use std::collections::BTreeMap;

use domain::{
    Camera, CameraKey, CameraSource, Check, CheckSetting, DeviceId, FacilityId, Metric, PictureBox, Polygon,
    Room, Schedule, Spot, UtcMillis,
    camera::{CountLine, Decoding, Retention, Zone},
    check::{Hours, Vote},
    observation::ObservedState,
};
use sunshine_vision::{
    judge::{Ask, CameraJudge, JudgeOptions, Judged, Verdicts},
    seen::{Detection, PersonVerdict, RegionVerdict, Unjudged, Verdict},
};

/// Noon: the kitchen works and serves.
pub(crate) const NOON: u16 = 720;

/// At night nobody should be there.
pub(crate) const NIGHT: u16 = 120;

pub(crate) const POSITIVE: Verdict = Verdict::Positive(0.9);
pub(crate) const NEGATIVE: Verdict = Verdict::Negative(0.1);
pub(crate) const TURNED_AWAY: Verdict = Verdict::Unjudged(Unjudged::TurnedAway);

pub(crate) fn id(text: &str) -> DeviceId {
    DeviceId::new(text).unwrap()
}

/// A check in the whole picture that needs two looks of three and two seconds.
pub(crate) fn quick(check: Check) -> CheckSetting {
    CheckSetting {
        min_duration_s: 2,
        vote: Vote { needed: 2, of: 3 },
        re_alarm_s: 60,
        hours: Hours::Always,
        ..CheckSetting::of(check)
    }
}

/// A camera with these checks, the zones `left` and `right`, and a line up the middle.
pub(crate) fn camera(checks: Vec<CheckSetting>) -> Camera {
    let half = |name: &str, left: f32, right: f32| Zone {
        id: id(name),
        name: name.to_owned(),
        area: Polygon::new(
            [(left, 0.0), (right, 0.0), (right, 1.0), (left, 1.0)]
                .map(|(x, y)| Spot { x, y })
                .to_vec(),
        )
        .unwrap(),
    };
    Camera {
        key: CameraKey {
            facility: FacilityId::new("binhe-01").unwrap(),
            camera: id("cam-1"),
        },
        room: Room::Kitchen,
        place_zh: "热菜间".into(),
        place_en: "Hot kitchen".into(),
        source: CameraSource::Pushed,
        decoding: Decoding::AllFrames,
        masks: Vec::new(),
        zones: vec![half("left", 0.0, 0.5), half("right", 0.5, 1.0)],
        line: Some(CountLine {
            from: Spot { x: 0.5, y: 1.0 },
            to: Spot { x: 0.5, y: 0.0 },
        }),
        capacity: Some(2),
        checks,
        schedule: Schedule::default(),
        gb_id: None,
        live: true,
        retention: Retention::Days30,
        enabled: true,
    }
}

/// Something a tenth of the picture wide whose middle is here, its foot at 0.7.
pub(crate) fn thing(label: &str, x: f32) -> Detection {
    Detection {
        label: label.into(),
        score: 0.8,
        area: PictureBox::new(x - 0.05, 0.2, x + 0.05, 0.7).unwrap(),
    }
}

pub(crate) fn person(x: f32) -> Detection {
    thing("person", x)
}

/// Something small whose middle is here.
pub(crate) fn small(label: &str, x: f32, y: f32) -> Detection {
    Detection {
        label: label.into(),
        score: 0.6,
        area: PictureBox::new(x - 0.02, y - 0.02, x + 0.02, y + 0.02).unwrap(),
    }
}

/// A judge, a clock that goes by half a second a frame, and all that was told.
pub(crate) struct Stage {
    pub(crate) judge: CameraJudge,
    pub(crate) now: UtcMillis,
    pub(crate) minute: u16,
    pub(crate) stove: Option<bool>,
    pub(crate) regions: Vec<RegionVerdict>,
    /// When and what: in seconds since the start.
    pub(crate) told: Vec<(f32, Check, ObservedState)>,
    pub(crate) last: Judged,
    /// The last value of each series.
    pub(crate) series: BTreeMap<String, f64>,
}

pub(crate) const START: UtcMillis = UtcMillis(1_795_000_000_000);

impl Stage {
    pub(crate) fn new(checks: Vec<CheckSetting>) -> Stage {
        Stage::with(&camera(checks), &JudgeOptions::default())
    }

    pub(crate) fn with(camera: &Camera, options: &JudgeOptions) -> Stage {
        Stage {
            judge: CameraJudge::new(camera, options),
            now: START,
            minute: NOON,
            stove: None,
            regions: Vec::new(),
            told: Vec::new(),
            last: Judged::default(),
            series: BTreeMap::new(),
        }
    }

    /// One frame with these things; whoever is asked about gets this verdict. Time goes on by half a second before.
    pub(crate) fn frame(&mut self, seen: &[Detection], verdict: impl Fn(&Ask) -> Verdict) -> Vec<Ask> {
        self.now = self.now + 500;
        let asks = self.judge.track(self.now, self.minute, seen);
        let persons: Vec<PersonVerdict> = asks
            .iter()
            .map(|ask| PersonVerdict {
                track: ask.track,
                check: ask.check,
                verdict: verdict(ask),
            })
            .collect();
        let said = Verdicts {
            persons: &persons,
            regions: &self.regions,
            stove: self.stove,
        };
        self.last = self.judge.judge(self.now, self.minute, &said);
        for said in &self.last.observations {
            assert_eq!(said.check_bounds(), Ok(()));
            self.told.push((self.seconds(), said.check, said.state));
        }
        for (metric, value) in &self.last.series {
            self.series.insert(metric.as_str().to_owned(), *value);
        }
        asks
    }

    /// Frames for so many seconds.
    pub(crate) fn frames(&mut self, seconds: u32, seen: &[Detection], verdict: Verdict) {
        for _ in 0..2 * seconds {
            self.frame(seen, |_| verdict);
        }
    }

    pub(crate) fn seconds(&self) -> f32 {
        self.now.ms_since(START) as f32 / 1_000.0
    }

    /// What was told since this was last asked, without the times.
    pub(crate) fn take_told(&mut self) -> Vec<(Check, ObservedState)> {
        self.told
            .drain(..)
            .map(|(_, check, state)| (check, state))
            .collect()
    }

    pub(crate) fn value(&self, metric: &str) -> Option<f64> {
        self.series.get(metric).copied()
    }
}

/// Whether a metric is among these, and its value.
pub(crate) fn value_of(series: &[(Metric, f64)], name: &str) -> Option<f64> {
    series
        .iter()
        .find(|(metric, _)| metric.as_str() == name)
        .map(|(_, value)| *value)
}
