//! What judging costs per reading: `cargo bench -p sunshine-domain`.
//!
//! Prints nanoseconds per reading for a district's points under the default packs: all calm, a twentieth
//! of the points in breach and back, and a series that no rule concerns.

use std::time::Instant;

use sunshine_domain::{
    DeviceId, FacilityId, Judge, Metric, Point, Quality, Reading, SeriesId, Unit, UtcMillis,
    judge::PointIndex,
    pack::{self, DEFAULT_PACKS},
};

const FACILITIES: usize = 1_000;

/// Metric, point type, and a value that no rule minds.
const KINDS: [(&str, &str, f64); 4] = [
    ("temperature", "fridge_air", 4.0),
    ("temperature", "freezer_air", -20.0),
    ("combustible_gas", "kitchen_gas", 0.0),
    ("co", "kitchen_co", 0.0),
];

fn main() {
    let points: Vec<Point> = (0..FACILITIES)
        .flat_map(|facility| KINDS.map(|(metric, kind, _)| point(facility, metric, kind)))
        .collect();
    let rules = pack::active(&DEFAULT_PACKS).expect("the default packs are built in");
    for (name, breach_every) in [("calm", usize::MAX), ("a twentieth in breach and back", 20)] {
        let mut judge = Judge::new(rules.clone(), &points);
        let indices: Vec<PointIndex> = points
            .iter()
            .map(|p| judge.point(&p.key()).expect("it was registered"))
            .collect();
        run(name, &mut judge, &indices, breach_every);
    }
    let mut judge = Judge::new(Vec::new(), &points);
    let indices: Vec<PointIndex> = points
        .iter()
        .map(|p| judge.point(&p.key()).expect("it was registered"))
        .collect();
    run("no rules", &mut judge, &indices, usize::MAX);
}

fn point(facility: usize, metric: &str, kind: &str) -> Point {
    let valid = "an identifier of letters and digits";
    Point {
        facility: FacilityId::new(&format!("f-{facility}")).expect(valid),
        device: DeviceId::new(kind).expect(valid),
        metric: Metric::new(metric).expect(valid),
        unit: Unit::One,
        point_type: kind.to_owned(),
        place_zh: String::new(),
        place_en: String::new(),
        report_interval_s: 10,
    }
}

/// A reading of each point every ten seconds for 1,000 rounds.
fn run(name: &str, judge: &mut Judge, points: &[PointIndex], breach_every: usize) {
    let mut out = Vec::new();
    let mut transitions = 0;
    let begun = Instant::now();
    let rounds = 1_000;
    for round in 0..rounds {
        for (number, index) in points.iter().enumerate() {
            let at = UtcMillis(round * 10_000 + i64::try_from(number).expect("few points") * 10_000 / 4_000);
            // Breaching points have an hour of it, then an hour without.
            let breach = breach_every != usize::MAX && number % breach_every == 0 && round % 720 < 360;
            let value = if breach {
                200.0
            } else {
                KINDS[number % KINDS.len()].2
            };
            let series = SeriesId(u32::try_from(number).expect("few points"));
            let reading = Reading {
                series,
                at,
                received: at,
                value,
                quality: Quality::Good,
            };
            judge.reading(*index, &reading, &mut out);
        }
        transitions += out.len();
        out.clear();
    }
    let readings = u128::from(rounds.unsigned_abs()) * points.len() as u128;
    let each = begun.elapsed().as_nanos() / readings;
    println!("{name}: {each} ns per reading, {readings} readings, {transitions} transitions");
    let begun = Instant::now();
    let snapshot = judge.snapshot();
    println!(
        "  snapshot of {} points: {} us",
        points.len(),
        begun.elapsed().as_micros()
    );
    drop(snapshot);
    let begun = Instant::now();
    let board = judge.board();
    println!(
        "  board of {} points: {} us",
        board.points.len(),
        begun.elapsed().as_micros()
    );
}
