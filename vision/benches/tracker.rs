//! What judgement costs per frame beside the models: following 20 and 64 people who walk about, at one and at fifteen
//! frames a second; all of it for 20 people and every check; and the motion gate.

use std::{hint::black_box, sync::Arc};

use camera::Frame;
use criterion::{Criterion, criterion_group, criterion_main};
use domain::{
    Camera, CameraKey, CameraSource, CheckSetting, DeviceId, FacilityId, PictureBox, Room, Schedule,
    UtcMillis,
    camera::{Decoding, Retention},
    check::CHECKS,
};
use sunshine_vision::{
    judge::{CameraJudge, JudgeOptions, Verdicts},
    motion::{MotionGate, MotionOptions},
    seen::{Detection, PersonVerdict, Verdict},
    track::{Sight, TrackIds, TrackOptions, Tracker},
};

/// A minute of people who walk to and fro on paths of their own, now and then badly seen.
fn minute(people: usize, step_ms: i64) -> Vec<(UtcMillis, Vec<Sight>)> {
    let frame = |n: i64| {
        let seconds = (n * step_ms) as f32 / 1_000.0;
        let person = |who: usize| {
            let phase = who as f32 * 0.7;
            let left = 0.45 + 0.4 * (seconds / 8.0 + phase).sin();
            let top = 0.05 + 0.6 * (who as f32 / people as f32);
            let score = if (who as i64 + n) % 7 == 0 { 0.2 } else { 0.8 };
            let area = PictureBox::new(left, top, left + 0.06, top + 0.25).expect("inside the picture");
            Sight { score, area }
        };
        (UtcMillis(n * step_ms), (0..people).map(person).collect())
    };
    (0..60_000 / step_ms).map(frame).collect()
}

fn follow(criterion: &mut Criterion) {
    for (people, step_ms) in [(20, 1_000), (20, 67), (64, 67)] {
        let frames = minute(people, step_ms);
        let mut ids = TrackIds::default();
        let mut tracker = Tracker::new(TrackOptions::default());
        let mut turn = 0;
        criterion.bench_function(&format!("tracker/{people} people every {step_ms} ms"), |bench| {
            bench.iter(|| {
                let (at, sights) = &frames[turn % frames.len()];
                // Time goes on from one minute to the next.
                let minutes = i64::try_from(turn / frames.len()).expect("few rounds");
                turn += 1;
                black_box(tracker.update(*at + minutes * 60_000, sights, &mut ids).len())
            });
        });
    }
}

fn kitchen() -> Camera {
    Camera {
        key: CameraKey {
            facility: FacilityId::new("binhe-01").expect("an identifier"),
            camera: DeviceId::new("cam-1").expect("an identifier"),
        },
        room: Room::Kitchen,
        place_zh: String::new(),
        place_en: String::new(),
        source: CameraSource::Pushed,
        decoding: Decoding::AllFrames,
        masks: Vec::new(),
        zones: Vec::new(),
        line: None,
        capacity: Some(10),
        checks: CHECKS.iter().map(|row| CheckSetting::of(row.check)).collect(),
        schedule: Schedule::default(),
        gb_id: None,
        live: false,
        retention: Retention::Days30,
        enabled: true,
    }
}

fn judge(criterion: &mut Criterion) {
    let label: Arc<str> = "person".into();
    let detections = |sights: Vec<Sight>| {
        let seen = sights.into_iter().map(|sight| Detection {
            label: Arc::clone(&label),
            score: sight.score,
            area: sight.area,
        });
        seen.collect::<Vec<Detection>>()
    };
    let frames: Vec<(UtcMillis, Vec<Detection>)> = minute(20, 200)
        .into_iter()
        .map(|(at, sights)| (at, detections(sights)))
        .collect();
    let mut judge = CameraJudge::new(&kitchen(), &JudgeOptions::default());
    let mut turn = 0;
    criterion.bench_function("judge/20 people, every check", |bench| {
        bench.iter(|| {
            let (at, seen) = &frames[turn % frames.len()];
            let at = *at + i64::try_from(turn / frames.len()).expect("few rounds") * 60_000;
            turn += 1;
            let asks = judge.track(at, 720, seen);
            let said: Vec<PersonVerdict> = asks
                .iter()
                .map(|ask| PersonVerdict {
                    track: ask.track,
                    check: ask.check,
                    verdict: Verdict::Positive(0.9),
                })
                .collect();
            let said = Verdicts {
                persons: &said,
                ..Verdicts::default()
            };
            black_box(judge.judge(at, 720, &said).boxes.len())
        });
    });
}

fn gate(criterion: &mut Criterion) {
    for (width, height) in [(640, 360), (1_920, 1_080)] {
        let size = usize::try_from(width * height * 3).expect("a picture");
        let rgb: Vec<u8> = (0..size).map(|n| (n * 7 % 251) as u8).collect();
        let mut frame = Frame {
            at: UtcMillis(0),
            width,
            height,
            rgb: rgb.into(),
        };
        let mut gate = MotionGate::new(MotionOptions::default(), &[]);
        criterion.bench_function(&format!("motion gate/{width} x {height}"), |bench| {
            bench.iter(|| {
                frame.at = frame.at + 200;
                black_box(gate.wants_look(&frame))
            });
        });
    }
}

criterion_group!(benches, follow, judge, gate);
criterion_main!(benches);
