//! What judging costs per reading: `cargo bench -p sunshine-domain`.
//!
//! Prints nanoseconds per reading, the fastest of several rounds, because a busy machine makes none faster:
//!
//! - the goal's case, 50,000 series with 20 rules each, one of nearly every kind; calm, and a twentieth in breach and
//!   back;
//! - a district's points under the default packs, which is what a replay of its log costs;
//! - a series that no rule concerns.
//!
//! And how many bytes the judge holds per series.

use std::time::Instant;

use sunshine_domain::{
    DeviceId, FacilityId, Judge, Metric, Point, Quality, Reading, Rule, RuleId, RuleKind, SeriesId, Unit,
    UtcMillis,
    judge::PointIndex,
    pack::{self, DEFAULT_PACKS},
    rule::{Clause, Comparison, Near, ResetSide, StageStep, Weigh},
};

/// Metric, point type, and a value that no rule minds.
const KINDS: [(&str, &str, f64); 4] = [
    ("temperature", "fridge_air", 4.0),
    ("temperature", "freezer_air", -20.0),
    ("combustible_gas", "kitchen_gas", 0.0),
    ("co", "kitchen_co", 0.0),
];

/// How often each point reports, in milliseconds.
const EVERY_MS: i64 = 10_000;

fn main() {
    let rules = twenty();
    let points: Vec<Point> = (0..50_000)
        .map(|n| point(n / 20, &format!("d-{}", n % 20), ("temperature", "fridge_air")))
        .collect();
    for (name, breach_every) in [("calm", usize::MAX), ("a twentieth in breach and back", 20)] {
        run(
            &format!("50,000 series x 20 rules, {name}"),
            &rules,
            &points,
            breach_every,
        );
    }
    let points: Vec<Point> = (0..1_000)
        .flat_map(|facility| KINDS.map(|(metric, kind, _)| point(facility, kind, (metric, kind))))
        .collect();
    let rules = pack::active(&DEFAULT_PACKS).expect("the default packs are built in");
    for (name, breach_every) in [("calm", usize::MAX), ("a twentieth in breach and back", 20)] {
        run(
            &format!("4,000 series, default packs, {name}"),
            &rules,
            &points,
            breach_every,
        );
    }
    run("4,000 series, no rules", &[], &points, usize::MAX);
}

/// Twenty rules that all judge a fridge's temperature.
fn twenty() -> Vec<Rule> {
    let all = pack::built_in();
    let base = all
        .iter()
        .find(|r| r.id.as_str() == "CN-TMP-01")
        .expect("it is built in");
    let threshold = |limit: f64| RuleKind::Threshold {
        op: Comparison::Above,
        limit,
        clear_op: Comparison::AtMost,
        clear_limit: limit - 1.0,
    };
    let mut kinds: Vec<RuleKind> = (0..10_u8).map(|n| threshold(8.0 + f64::from(n))).collect();
    kinds.extend(values());
    kinds.extend(pasts());
    let rule = |(n, kind): (usize, RuleKind)| Rule {
        id: RuleId::new(&format!("B-{n}")).expect("letters and digits"),
        kind,
        ..base.clone()
    };
    kinds.into_iter().enumerate().map(rule).collect()
}

/// Kinds that look at values one by one.
fn values() -> [RuleKind; 5] {
    [
        RuleKind::Range {
            low: -2.0,
            high: 12.0,
            clear_low: -1.0,
            clear_high: 11.0,
        },
        RuleKind::RateOfChange {
            op: Comparison::Above,
            limit: 60.0,
            clear_op: Comparison::AtMost,
            clear_limit: 30.0,
            over_s: 60,
        },
        RuleKind::Event {
            op: Comparison::Above,
            limit: 50.0,
        },
        RuleKind::Count {
            op: Comparison::Above,
            limit: 8.0,
            at_least: 3,
            within_s: 3_600,
        },
        RuleKind::NoData { intervals: 3 },
    ]
}

/// Kinds that need a past, or a neighbour.
fn pasts() -> [RuleKind; 5] {
    [
        RuleKind::Dose {
            low: Some(8.0),
            high: Some(60.0),
            weigh: Weigh::Time,
            limit: 120.0,
            reset: ResetSide::Below,
            reset_s: 600,
        },
        RuleKind::Stage {
            from: 60.0,
            steps: vec![StageStep {
                to: 21.0,
                within_s: Some(7_200),
            }],
        },
        RuleKind::Stuck {
            for_s: 21_600,
            tolerance: 0.0,
        },
        RuleKind::ClockSkew {
            limit_s: 300,
            clear_s: 60,
            for_s: 600,
        },
        RuleKind::Correlation {
            op: Comparison::Above,
            limit: 8.0,
            over_s: None,
            with: vec![Clause {
                metric: Metric::new("door_open").expect("a name"),
                point_type: None,
                op: Comparison::AtLeast,
                limit: 1.0,
                every: false,
            }],
            window_s: 60,
            near: Near::Facility,
        },
    ]
}

fn point(facility: usize, device: &str, (metric, kind): (&str, &str)) -> Point {
    let valid = "an identifier of letters and digits";
    Point {
        facility: FacilityId::new(&format!("f-{facility}")).expect(valid),
        device: DeviceId::new(device).expect(valid),
        metric: Metric::new(metric).expect(valid),
        unit: Unit::One,
        point_type: kind.to_owned(),
        place_zh: String::new(),
        place_en: String::new(),
        report_interval_s: 10,
    }
}

/// A value that its rules do not mind, moving a little as a real probe does.
fn calm(point: &Point, round: i64) -> f64 {
    let base = KINDS
        .iter()
        .find(|k| k.1 == point.point_type)
        .map_or(4.0, |k| k.2);
    let small = f64::from(i8::try_from(round % 5).expect("below five")) / 10.0;
    if base > 0.0 { base + small } else { base }
}

/// A reading of each point every ten seconds, in rounds; the fastest of them is told.
fn run(name: &str, rules: &[Rule], points: &[Point], breach_every: usize) {
    let mut judge = Judge::new(rules.to_vec(), points);
    let indices: Vec<PointIndex> = points
        .iter()
        .map(|p| judge.point(&p.key()).expect("it was registered"))
        .collect();
    let count = i64::try_from(points.len()).expect("few points");
    // Of each round of the log; a few of them are one measurement.
    let rounds = 4_000_000 / count;
    let measured = (rounds / 8).max(1);
    let (mut out, mut transitions) = (Vec::new(), 0);
    let mut fastest = u128::MAX;
    for first in (0..rounds).step_by(usize::try_from(measured).expect("few rounds")) {
        let begun = Instant::now();
        for round in first..(first + measured).min(rounds) {
            for (number, index) in points.iter().zip(0_i64..).zip(&indices).map(|((_, n), i)| (n, i)) {
                let at = UtcMillis(round * EVERY_MS + number * EVERY_MS / count);
                let slot = usize::try_from(number).expect("few points");
                // Some minutes of breach, then some without.
                let breach = breach_every != usize::MAX && slot % breach_every == 0 && round % 60 < 30;
                let value = if breach { 200.0 } else { calm(&points[slot], round) };
                let reading = Reading {
                    series: SeriesId(u32::try_from(number).expect("few points")),
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
        let readings = measured.min(rounds - first) * count;
        fastest = fastest.min(begun.elapsed().as_nanos() / u128::from(readings.unsigned_abs()));
    }
    let per_second = 1_000_000_000 / fastest.max(1);
    println!("{name}: {fastest} ns per reading, {per_second} readings/s; {transitions} transitions");
    println!("  {} bytes per series", judge.held_bytes() / points.len());
    let begun = Instant::now();
    let snapshot = judge.snapshot();
    println!("  snapshot: {} us", begun.elapsed().as_micros());
    drop(snapshot);
    let begun = Instant::now();
    let board = judge.board();
    println!(
        "  board of {} points: {} us",
        board.points.len(),
        begun.elapsed().as_micros()
    );
}
