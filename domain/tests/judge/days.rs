//! Random days in a kitchen whose truth is known: what went wrong, and when. The readings come late, twice and in
//! another order than they were made. However that is, what went wrong is told once, and nothing else is.
//!
//! `PROPTEST_CASES=10000 cargo test --release -p sunshine-domain --test judge a_random_day` tries ten thousand.

use std::collections::BTreeMap;

use proptest::prelude::*;
use sunshine_domain::{ConditionState, Judge, LogEvent, Point, Rule, SeriesKey, Transition, pack};

use crate::{
    properties::cases,
    stage::{MIN, S, point, reading, received, tick},
};

const FRIDGE: u32 = 0;
const DOOR: u32 = 1;
const GAS: u32 = 2;
const SCALE: u32 = 3;
const CABINET: u32 = 4;
const LAMP: u32 = 5;
const CAMERA: u32 = 6;
const PROBE: u32 = 7;

/// A day has six hours.
const LENGTH: i64 = 6 * 60 * MIN;
/// It begins at midnight in China.
const START: i64 = 1_795_536_000_000;

fn points() -> Vec<Point> {
    vec![
        point("fridge", "temperature", "fridge_air", 60),
        point("door", "door_open", "cold_room", 3_600),
        point("gas", "combustible_gas", "kitchen_gas", 15),
        point("scale", "sample_mass", "sample_scale", 3_600),
        point("cabinet", "temperature", "ir_cabinet", 60),
        point("lamp", "uv_on", "uv_lamp", 60),
        point("camera", "person_count", "camera", 30),
        point("probe", "temperature", "food_core", 60),
    ]
}

/// The packs' own rules: a value, a state, a measurement, a cycle, several things at once, stages and a dose.
fn rules() -> Vec<Rule> {
    let wanted = [
        "CN-TMP-01",
        "EN-DOOR-01",
        "FG-GAS-01",
        "CN-SMP-02",
        "CN-DS-02",
        "CN-UV-02",
        "CN-CL-01",
        "CN-DZ-01",
    ];
    let all = pack::built_in().into_iter();
    all.filter(|r| wanted.contains(&r.id.as_str())).collect()
}

/// Numbers that follow from a seed (splitmix64).
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// From `low` to `high`, both included.
    fn between(&mut self, low: i64, high: i64) -> i64 {
        let span = u64::try_from(high - low + 1).unwrap();
        low + i64::try_from(self.next() % span).unwrap()
    }

    fn one_in(&mut self, n: i64) -> bool {
        self.between(1, n) == 1
    }
}

/// What was measured, and how many cases of which rule that makes.
#[derive(Default)]
struct Day {
    made: Vec<(u32, i64, f64)>,
    want: BTreeMap<&'static str, usize>,
}

impl Day {
    fn of(seed: u64) -> Day {
        let mut chance = Chance(seed);
        let mut day = Day::default();
        day.fridge(&mut chance);
        day.door(&mut chance);
        day.gas(&mut chance);
        day.scale(&mut chance);
        day.cabinet(&mut chance);
        day.room(&mut chance);
        day.probe(&mut chance);
        day
    }

    fn expect(&mut self, rule: &'static str, count: usize) {
        *self.want.entry(rule).or_default() += count;
    }

    /// A value every `every` milliseconds.
    fn measure(&mut self, point: u32, every: i64, mut value: impl FnMut(i64) -> f64) {
        for n in 0..LENGTH / every {
            let at = n * every;
            self.made.push((point, at, value(at)));
        }
    }

    fn fridge(&mut self, chance: &mut Chance) {
        let from = chance.between(30, 200) * MIN;
        let lasts = chance.between(45, 90) * MIN;
        let warm = chance.one_in(2);
        self.expect("CN-TMP-01", usize::from(warm));
        let noise = chance.next();
        self.measure(FRIDGE, MIN, |at| {
            let inside = warm && (from..from + lasts).contains(&at);
            let wave = f64::from(u8::try_from((noise >> (at / MIN % 60)) & 7).unwrap()) / 10.0;
            if inside { 9.5 + wave } else { 4.0 + wave }
        });
    }

    fn door(&mut self, chance: &mut Chance) {
        let mut at = 5 * MIN;
        self.made.push((DOOR, 0, 0.0));
        while at < LENGTH - 40 * MIN {
            let long = chance.one_in(4);
            let open = if long {
                chance.between(9 * 60, 20 * 60)
            } else {
                chance.between(20, 90)
            } * S;
            self.expect("EN-DOOR-01", usize::from(long));
            self.made.push((DOOR, at, 1.0));
            self.made.push((DOOR, at + open, 0.0));
            at += open + chance.between(10, 40) * MIN;
        }
    }

    fn gas(&mut self, chance: &mut Chance) {
        let leaks: Vec<i64> = (0..chance.between(0, 3)).map(|n| (40 + n * 90) * MIN).collect();
        let lasts = chance.between(120, 300) * S;
        self.expect("FG-GAS-01", leaks.len());
        self.measure(GAS, 15 * S, |at| {
            let inside = leaks.iter().any(|from| (*from..from + lasts).contains(&at));
            if inside { 12.0 } else { 0.5 }
        });
    }

    fn scale(&mut self, chance: &mut Chance) {
        for n in 0..chance.between(1, 12) {
            let short = chance.one_in(3);
            self.expect("CN-SMP-02", usize::from(short));
            let at = n * 20 * MIN + chance.between(0, 10 * 60_000);
            self.made.push((SCALE, at, if short { 90.0 } else { 140.0 }));
        }
    }

    /// Runs of disinfection, good and bad. Bad ones after bad ones are one breach until a good one ends it.
    fn cabinet(&mut self, chance: &mut Chance) {
        let runs: Vec<(i64, i64)> = (0..5)
            .map(|n| {
                let lasts = if chance.one_in(3) {
                    chance.between(2, 5)
                } else {
                    chance.between(16, 25)
                };
                ((20 + n * 65) * MIN, lasts * MIN)
            })
            .collect();
        let mut failed = false;
        for (_, lasts) in &runs {
            let fails = *lasts < 10 * MIN;
            self.expect("CN-DS-02", usize::from(fails && !failed));
            failed = fails;
        }
        self.measure(CABINET, MIN, |at| {
            let at_temperature = runs
                .iter()
                .any(|(from, lasts)| (*from..from + lasts).contains(&at));
            let warm = runs
                .iter()
                .any(|(from, lasts)| (from - 8 * MIN..from + lasts + 8 * MIN).contains(&at));
            match (at_temperature, warm) {
                (true, _) => 125.0,
                (false, true) => 80.0,
                (false, false) => 25.0,
            }
        });
    }

    /// The lamp is on for half an hour; somebody comes in under it, or afterwards.
    fn room(&mut self, chance: &mut Chance) {
        let on = chance.between(60, 120) * MIN;
        let under = chance.one_in(2);
        let comes = on
            + if under {
                chance.between(5, 15)
            } else {
                chance.between(45, 90)
            } * MIN;
        self.expect("CN-UV-02", usize::from(under));
        self.measure(LAMP, MIN, |at| {
            f64::from(u8::from((on..on + 30 * MIN).contains(&at)))
        });
        self.measure(CAMERA, 30 * S, |at| {
            f64::from(u8::from((comes..comes + 5 * MIN).contains(&at)))
        });
    }

    /// A pot cools, fast or slowly.
    fn probe(&mut self, chance: &mut Chance) {
        let hot_until = chance.between(30, 60) * MIN;
        let slow = chance.one_in(2);
        let warm_for = if slow {
            chance.between(150, 200)
        } else {
            chance.between(30, 80)
        } * MIN;
        self.expect("CN-CL-01", usize::from(slow));
        self.expect("CN-DZ-01", usize::from(slow));
        self.measure(PROBE, MIN, |at| match at - hot_until {
            ..0 => 75.0,
            since if since < warm_for => 35.0,
            _ => 4.0,
        });
    }

    /// Everything as it came in: a little late, some of it later than the next, some twice, and what the fridge, the
    /// cabinet and the probe measured while they were cut off, all at once.
    fn deliver(&self, chance: &mut Chance) -> Vec<LogEvent> {
        let cut = chance.between(20, 300) * MIN;
        let cut_off = cut..cut + chance.between(5, 20) * MIN;
        let keeps = |point: u32| [FRIDGE, CABINET, PROBE].contains(&point);
        let mut log = Vec::new();
        for (point, at, value) in &self.made {
            let mut lag = chance.between(0, 2_000);
            if chance.one_in(30) {
                lag += chance.between(0, 180_000);
            }
            if keeps(*point) && cut_off.contains(at) {
                lag = cut_off.end - at;
            }
            log.push(reading(*point, START + at, START + at + lag, *value));
            if chance.one_in(30) {
                let again = lag + chance.between(0, 120_000);
                log.push(reading(*point, START + at, START + at + again, *value));
            }
        }
        log.extend((0..=(LENGTH + 60 * MIN) / (10 * S)).map(|n| tick(START + n * 10 * S)));
        log.sort_by_key(received);
        log
    }
}

fn play(judge: &mut Judge, keys: &[SeriesKey], log: &[LogEvent], said: &mut Vec<Transition>) {
    for event in log {
        match event {
            LogEvent::Tick(at) => judge.tick(*at, said),
            LogEvent::Reading(reading) => {
                let point = judge.point(&keys[reading.series.0 as usize]).unwrap();
                judge.reading(point, reading, said);
            }
        }
    }
}

proptest! {
    #![proptest_config(cases(24))]

    #[test]
    fn a_random_day_is_told_as_it_was_and_once(seed in any::<u64>()) {
        let day = Day::of(seed);
        let mut chance = Chance(!seed);
        let log = day.deliver(&mut chance);
        let keys: Vec<SeriesKey> = points().iter().map(Point::key).collect();
        let mut judge = Judge::new(rules(), &points());
        let mut said = Vec::new();
        play(&mut judge, &keys, &log, &mut said);

        let mut told: BTreeMap<&str, usize> = day.want.keys().map(|rule| (*rule, 0)).collect();
        let mut names = std::collections::BTreeSet::new();
        for t in said.iter().filter(|t| t.to == ConditionState::Active) {
            *told.entry(t.rule.as_str()).or_default() += 1;
            prop_assert!(names.insert((t.rule.clone(), t.point.clone(), t.since)), "told twice: {:?}", t);
        }
        prop_assert_eq!(&told, &day.want, "seed {}", seed);

        // A crash anywhere, and the judge goes on from its snapshot.
        let at = usize::try_from(chance.between(0, i64::try_from(log.len()).unwrap())).unwrap();
        let mut first = Judge::new(rules(), &points());
        let mut again = Vec::new();
        play(&mut first, &keys, &log[..at], &mut again);
        let mut second = Judge::restore(&first.snapshot(), rules(), &points(), &mut again);
        play(&mut second, &keys, &log[at..], &mut again);
        prop_assert_eq!(again, said, "seed {}", seed);
    }
}
