//! What following people costs per frame: 20 and 64 of them walking about, at one and at fifteen frames a second.

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use domain::{PictureBox, UtcMillis};
use sunshine_vision::track::{Sight, TrackIds, TrackOptions, Tracker};

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

criterion_group!(benches, follow);
criterion_main!(benches);
