//! The scripted day, seen from outside: what the district says, as text.

#![expect(clippy::unwrap_used, reason = "the tests' own decoder fails loudly")]

use std::collections::{BTreeMap, BTreeSet, HashSet};

use domain::{DeviceTopic, Leaf, TimeRange, UtcMillis};
use serde_json::Value;
use sunshine_simulator::{
    District, IncidentKind, Scenario, SimMessage, district, history, incidents, messages,
};

const START: UtcMillis = UtcMillis(1_795_250_000_000);
const MINUTE: i64 = 60_000;
const HOUR: i64 = 60 * MINUTE;

/// Readings of one payload: (metric, event time, value); the time is that of the message where the payload
/// has none. `None` when nobody can read it.
fn readings(message: &SimMessage) -> Option<Vec<(String, i64, f64)>> {
    let json: Value = serde_json::from_slice(&message.payload).ok()?;
    let topic = DeviceTopic::parse(&message.topic)?;
    let one = |metric: &str, value: &Value| {
        let at = match &value["ts"] {
            Value::Number(ms) => ms.as_i64()?,
            Value::String(text) => text.parse::<jiff::Timestamp>().ok()?.as_millisecond(),
            _ => return None,
        };
        Some((metric.to_owned(), at, value["v"].as_f64()?))
    };
    match (topic.leaf, &json) {
        (Leaf::UpMetric(metric), Value::Number(n)) => {
            Some(vec![(metric.to_owned(), message.at.0, n.as_f64()?)])
        }
        (Leaf::UpMetric(metric), Value::Object(_)) => Some(vec![one(metric, &json)?]),
        (Leaf::UpMetric(metric), Value::Array(all)) => all.iter().map(|v| one(metric, v)).collect(),
        (Leaf::Up, Value::Array(pack)) => {
            let base = pack[0]["bt"].as_f64()?;
            let record = |r: &Value| {
                let seconds = base + r["t"].as_f64().unwrap_or(0.0);
                let value = r["v"]
                    .as_f64()
                    .or_else(|| r["vb"].as_bool().map(|b| f64::from(u8::from(b))))?;
                Some((
                    r["n"].as_str()?.to_owned(),
                    (seconds * 1_000.0).round() as i64,
                    value,
                ))
            };
            pack.iter().map(record).collect()
        }
        (Leaf::Up, Value::Object(all)) => {
            let at = all["ts"].as_i64()?;
            let values = all["values"].as_object()?.iter();
            values
                .map(|(metric, v)| Some((metric.clone(), at, v.as_f64()?)))
                .collect()
        }
        (leaf, _) => of_make(leaf, &json),
    }
}

/// Readings of devices of other makes: their past as pushed JSON, their present as their firmware writes it.
fn of_make(leaf: Leaf<'_>, json: &Value) -> Option<Vec<(String, i64, f64)>> {
    let one = |metric: &str, seconds: f64, value: f64| {
        Some(vec![(
            metric.to_owned(),
            (seconds * 1_000.0).round() as i64,
            value,
        )])
    };
    match leaf {
        Leaf::Push => {
            let rows = json.as_array()?.iter().map(|row| {
                let values = row["values"].as_object()?.iter();
                let at = row["ts"].as_i64()?;
                values
                    .map(|(metric, v)| Some((metric.clone(), at, v.as_f64()?)))
                    .collect::<Option<Vec<_>>>()
            });
            Some(rows.collect::<Option<Vec<_>>>()?.concat())
        }
        Leaf::Other("tele/SENSOR") => {
            let at = json["Time"].as_str()?.parse::<jiff::Timestamp>().ok()?;
            let value = json["DS18B20"]["Temperature"].as_f64()?;
            one("temperature", at.as_millisecond() as f64 / 1_000.0, value)
        }
        Leaf::Other("events/rpc") => {
            let alarm = json["params"]["smoke:0"]["alarm"].as_bool()?;
            one(
                "smoke_alarm",
                json["params"]["ts"].as_f64()?,
                f64::from(u8::from(alarm)),
            )
        }
        _ => None,
    }
}

/// What an incident breaks: its kind, the limit, and how long the limit must be broken, in milliseconds.
type Limit = (IncidentKind, fn(f64) -> bool, i64);

fn scenario(seed: u64, facilities: usize) -> (Scenario, District) {
    (
        Scenario {
            facilities,
            ..Scenario::new(seed, START)
        },
        district(seed, facilities),
    )
}

fn said(seed: u64, facilities: usize, range: TimeRange) -> Vec<SimMessage> {
    let (scenario, made) = scenario(seed, facilities);
    messages(&scenario, &made, range).collect()
}

#[test]
fn the_same_seed_says_the_same_and_another_does_not() {
    let range = TimeRange {
        from: START,
        to: START + 10 * MINUTE,
    };
    let first = said(3, 4, range);
    assert_eq!(first, said(3, 4, range));
    assert_ne!(first, said(4, 4, range));
    assert!(first.iter().all(|m| range.contains(m.at)));
    assert!(
        first
            .windows(2)
            .all(|p| (p[0].at, p[0].device) < (p[1].at, p[1].device))
    );
}

#[test]
fn a_day_in_pieces_is_the_same_day() {
    let whole = said(
        3,
        2,
        TimeRange {
            from: START,
            to: START + HOUR,
        },
    );
    let mut pieces = Vec::new();
    for quarter in 0..4 {
        let from = START + quarter * 15 * MINUTE;
        pieces.extend(said(
            3,
            2,
            TimeRange {
                from,
                to: from + 15 * MINUTE,
            },
        ));
    }
    assert_eq!(whole, pieces);
}

#[test]
fn the_district_speaks_at_its_natural_pace_and_only_about_itself() {
    let (scenario, made) = scenario(1, 24);
    let range = TimeRange {
        from: START,
        to: START + 10 * MINUTE,
    };
    let (mut count, mut unreadable) = (0, 0);
    let mut heard = HashSet::new();
    for message in messages(&scenario, &made, range) {
        count += 1;
        let device = &made.devices[message.device];
        let topic = DeviceTopic::parse(&message.topic).unwrap();
        assert_eq!(
            (topic.facility, topic.device),
            (device.facility.as_str(), device.device.as_str())
        );
        match readings(&message) {
            Some(all) => heard.extend(all.into_iter().map(|(metric, _, _)| (message.device, metric))),
            None => unreadable += 1,
        }
    }
    assert!(
        (10..=30).contains(&(count / 600)),
        "{} messages a second",
        count / 600
    );
    assert_eq!(unreadable, 1, "one garbled payload in the first ten minutes");
    // Every point but that of the one device that has lost its power is heard.
    assert!(
        heard.len() >= made.points.len() - 1,
        "{} of {}",
        heard.len(),
        made.points.len()
    );
}

#[test]
fn points_that_announce_an_interval_keep_it_unless_silent() {
    let (scenario, made) = scenario(1, 6);
    let range = TimeRange {
        from: START,
        to: START + HOUR,
    };
    let silent: HashSet<usize> = incidents(&scenario, &made, range)
        .iter()
        .filter(|i| i.kind == IncidentKind::SensorSilent)
        .map(|i| i.point)
        .collect();
    let mut last: BTreeMap<(String, String), UtcMillis> = BTreeMap::new();
    let mut gaps: BTreeMap<(String, String), i64> = BTreeMap::new();
    for message in messages(&scenario, &made, range) {
        let device = &made.devices[message.device];
        let key = (device.facility.to_string(), device.device.to_string());
        let before = last.insert(key.clone(), message.at).unwrap_or(range.from);
        let gap = gaps.entry(key).or_default();
        *gap = (*gap).max(message.at.ms_since(before));
    }
    for (index, point) in made.points.iter().enumerate() {
        let gap = gaps[&(point.facility.to_string(), point.device.to_string())];
        let due = i64::from(point.report_interval_s) * 1_000;
        if silent.contains(&index) {
            assert!(gap > 10 * MINUTE, "{gap}");
        } else {
            assert!(gap <= due, "{}: {gap} ms without a word", point.key());
        }
    }
}

/// Values of the point that the opening's incident of `kind` befalls, in order of time.
fn at_incident(kind: IncidentKind, range: TimeRange) -> Vec<(i64, f64)> {
    let (scenario, made) = scenario(1, 24);
    let found = incidents(
        &scenario,
        &made,
        TimeRange {
            from: START,
            to: START + 8 * MINUTE,
        },
    );
    let incident = found
        .iter()
        .find(|i| i.kind == kind && i.from < START + 8 * MINUTE)
        .unwrap();
    let point = &made.points[incident.point];
    let index = made
        .devices
        .iter()
        .position(|d| d.facility == point.facility && d.device == point.device);
    messages(&scenario, &made, range)
        .filter(|m| Some(m.device) == index)
        .filter_map(|m| Some((m.at, readings(&m)?)))
        .flat_map(|(at, all)| {
            all.into_iter()
                .map(move |(metric, stamp, value)| (at, metric, stamp, value))
        })
        .filter(|(_, metric, _, _)| metric == point.metric.as_str())
        .map(|(at, _, stamp, value)| {
            (
                if kind == IncidentKind::ClockAhead {
                    stamp - at.0
                } else {
                    at.0 - START.0
                },
                value,
            )
        })
        .collect()
}

/// How long `bad` has held without a break before `until_ms` after the start.
fn held_ms(values: &[(i64, f64)], until_ms: i64, bad: impl Fn(f64) -> bool) -> i64 {
    let before = values.iter().filter(|(at, _)| *at <= until_ms);
    let since = before.rev().take_while(|(_, value)| bad(*value)).last();
    since.map_or(0, |(at, _)| until_ms - at)
}

#[test]
fn the_opening_breaks_its_rules_within_minutes() {
    let range = TimeRange {
        from: START - HOUR,
        to: START + 2 * HOUR,
    };
    let fridge = at_incident(IncidentKind::FridgeFails, range);
    let hot = |v: f64| v > 8.0;
    assert!(
        held_ms(&fridge, 0, hot) < 30 * MINUTE,
        "the case would be older than the start"
    );
    assert!(
        held_ms(&fridge, 150_000, hot) >= 30 * MINUTE,
        "no case two and a half minutes after the start"
    );
    assert_eq!(held_ms(&fridge, 90 * MINUTE, hot), 0, "it is repaired");

    let door = at_incident(IncidentKind::DoorLeftOpen, range);
    assert!(held_ms(&door, 0, |v| v > 0.5) < 300_000);
    assert!(held_ms(&door, 75_000, |v| v > 0.5) >= 300_000);

    let gas = at_incident(IncidentKind::GasRises, range);
    assert!(held_ms(&gas, 0, |v| v >= 10.0) == 0);
    assert!(held_ms(&gas, 60_000, |v| v >= 10.0) >= 10_000);
    let peak = gas.iter().map(|(_, v)| *v).fold(0.0, f64::max);
    assert!((17.0..19.0).contains(&peak), "{peak}");
    assert!(
        gas.iter()
            .filter(|(at, _)| *at > 10 * MINUTE)
            .all(|(_, v)| *v < 8.0)
    );

    for kind in [IncidentKind::Smoke, IncidentKind::SosPressed] {
        let values = at_incident(kind, range);
        let on: Vec<i64> = values
            .iter()
            .filter(|(_, v)| *v > 0.5)
            .map(|(at, _)| *at)
            .collect();
        assert!(
            on.first().is_some_and(|at| (60_000..5 * MINUTE).contains(at)),
            "{kind:?}: {on:?}"
        );
        assert!(on.last().is_some_and(|at| *at < 8 * MINUTE), "{kind:?}: {on:?}");
    }

    let skew = at_incident(
        IncidentKind::ClockAhead,
        TimeRange {
            from: START,
            to: START + HOUR,
        },
    );
    assert!(skew.len() > 200 && skew.iter().all(|(ahead, _)| *ahead == 9 * MINUTE));
}

#[test]
fn the_past_is_the_same_whenever_it_is_told() {
    let (scenario, made) = scenario(2, 2);
    let later = START + 6 * MINUTE;
    for device in 0..made.devices.len() {
        let rows = |until: UtcMillis| -> BTreeSet<String> {
            let mut last = BTreeMap::new();
            let mut rows = BTreeSet::new();
            for message in history(&scenario, &made, device, until) {
                assert!(message.payload.len() < 12_000);
                let all = readings(&message).unwrap();
                assert!((1..=200).contains(&all.len()));
                for (metric, at, value) in all {
                    assert!(at < until.0 && at >= START.0 - 48 * HOUR);
                    let before = last.insert(metric.clone(), at);
                    assert!(before.is_none_or(|b| b < at), "the past goes backwards");
                    rows.insert(format!("{metric} {at} {value}"));
                }
            }
            rows
        };
        let (first, second) = (rows(START), rows(later));
        assert!(first.len() > 1_400, "{}", first.len());
        assert!(first.is_subset(&second));
        assert_eq!(first, rows(START));
    }
}

#[test]
fn the_past_has_cases_that_came_and_went() {
    let (scenario, made) = scenario(1, 24);
    let past = TimeRange {
        from: START - 48 * HOUR,
        to: START - 2 * HOUR,
    };
    let found = incidents(&scenario, &made, past);
    let facilities: HashSet<_> = found.iter().map(|i| &made.points[i.point].facility).collect();
    assert!(facilities.len() >= 6, "{} facilities", facilities.len());
    let limits: [Limit; 10] = [
        (IncidentKind::FridgeFails, |v| v > 8.0, 30 * MINUTE),
        (IncidentKind::DoorLeftOpen, |v| v > 0.5, 5 * MINUTE),
        (IncidentKind::SosPressed, |v| v > 0.5, 0),
        (IncidentKind::GasRises, |v| v >= 10.0, 10_000),
        (IncidentKind::SampleFridgeWarm, |v| v > 8.0, 15 * MINUTE),
        (IncidentKind::HotHoldingCold, |v| v < 60.0, 30 * MINUTE),
        (IncidentKind::SpecialRoomWarm, |v| v > 25.0, 15 * MINUTE),
        (IncidentKind::Smoke, |v| v > 0.5, 0),
        (IncidentKind::WaterLeak, |v| v > 0.5, 30_000),
        (IncidentKind::StoreDamp, |v| v > 70.0, 2 * HOUR),
    ];
    for (kind, bad, hold_ms) in limits {
        let incident = found.iter().find(|i| i.kind == kind).unwrap();
        let point = &made.points[incident.point];
        let of = |d: &sunshine_simulator::SimDevice| d.facility == point.facility && d.device == point.device;
        let device = made.devices.iter().position(of).unwrap();
        let values: Vec<(i64, f64)> = history(&scenario, &made, device, START)
            .flat_map(|m| readings(&m).unwrap())
            .filter(|(metric, _, _)| metric == point.metric.as_str())
            .map(|(_, at, value)| (at - START.0, value))
            .collect();
        let longest = values
            .iter()
            .map(|(at, _)| held_ms(&values, *at, bad))
            .max()
            .unwrap();
        assert!(
            longest >= hold_ms && values.iter().any(|(_, v)| bad(*v)),
            "{kind:?} lasts {longest} ms"
        );
        assert!(
            !values.last().is_some_and(|(_, v)| bad(*v)),
            "{kind:?} is still there"
        );
    }
}
