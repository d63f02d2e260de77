use std::{
    collections::BTreeMap,
    io::Write as _,
    path::Path,
    process::{Command, Stdio},
};

use super::*;
use crate::series::query::Zone;

fn key() -> SeriesKey {
    SeriesKey {
        facility: "厨房-1".parse().unwrap(),
        device: "fridge_1.a".parse().unwrap(),
        metric: "temperature".parse().unwrap(),
    }
}

fn range() -> TimeRange {
    TimeRange {
        from: UtcMillis(1_795_000_000_123),
        to: UtcMillis(1_795_086_400_123),
    }
}

fn query(step: Step, aggregates: Aggregates) -> WindowQuery {
    WindowQuery {
        range: range(),
        step,
        aggregates,
    }
}

fn calendar(unit: CalendarUnit) -> Step {
    Step::Calendar {
        unit,
        zone: Zone::named("Europe/Berlin").unwrap(),
    }
}

/// Every query that can be asked, by name.
fn queries() -> BTreeMap<&'static str, String> {
    let window = |step| window("sun\"shine ${x} \\", &key(), &query(step, Aggregates::ALL)).unwrap();
    BTreeMap::from([
        ("latest", latest("sunshine", &key(), range())),
        ("scan", scan("sunshine", &key(), range(), 100_000)),
        ("fixed", window(Step::Fixed { ms: 60_000 })),
        ("odd fixed", window(Step::Fixed { ms: 1 })),
        ("parts", window(Step::Parts(180))),
        ("hours", window(calendar(CalendarUnit::Hour))),
        ("days", window(calendar(CalendarUnit::Day))),
        ("months", window(calendar(CalendarUnit::Month))),
    ])
}

#[test]
fn a_window_is_asked_for_by_its_start_without_empty_buckets_and_never_pivoted() {
    for (name, text) in queries() {
        assert!(!text.contains("pivot"), "{name}");
        let windows = text.matches("aggregateWindow").count();
        assert_eq!(text.matches("createEmpty: false").count(), windows, "{name}");
        assert_eq!(text.matches("timeSrc: \"_start\"").count(), windows, "{name}");
    }
    let text = window("b", &key(), &query(Step::Fixed { ms: 60_000 }, Aggregates::PLAIN)).unwrap();
    assert!(text.contains("every: 60000ms, offset: 40123ms"), "{text}");
    assert_eq!(
        text.matches("yield").count(),
        5,
        "no quantile that nobody asked for"
    );
    assert_eq!(
        window("b", &key(), &query(Step::Parts(7), Aggregates::PLAIN)),
        None
    );
}

#[test]
fn a_name_cannot_leave_its_quotes() {
    assert_eq!(quoted("a\"b\\c${d}\n"), "\"a\\\"b\\\\c\\${d} \"");
}

#[test]
fn the_real_compiler_takes_every_query_and_refuses_what_is_wrong() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let compiler = root.join("target/flux-compiler");
    if !compiler.join("node_modules").exists() {
        // Whether this is CI is for the shell to say: the product's code reads no environment.
        let in_ci = Command::new("sh")
            .args(["-c", "test \"$CI\" = true"])
            .status()
            .unwrap();
        assert!(
            !in_ci.success(),
            "scripts/get-flux-compiler.sh fetches what is missing here"
        );
        eprintln!("skipped: the Flux compiler is not here (scripts/get-flux-compiler.sh fetches it)");
        return;
    }
    let mut asked = queries();
    asked.insert("BAD name", "from(bucket: \"b\") |> rangee(start: -1d)".to_owned());
    asked.insert(
        "BAD type",
        "from(bucket: \"b\") |> range(start: -1d) |> filter(fn: (r) => r._value + \"x\")".to_owned(),
    );
    let mut node = Command::new("node")
        .arg(root.join("scripts/check-flux.mjs"))
        .arg(&compiler)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let text = serde_json::to_vec(&asked).unwrap();
    node.stdin.take().unwrap().write_all(&text).unwrap();
    let output = node.wait_with_output().unwrap();
    let refused: BTreeMap<String, String> = serde_json::from_slice(&output.stdout).unwrap();
    let names: Vec<&str> = refused.keys().map(String::as_str).collect();
    assert_eq!(names, ["BAD name", "BAD type"], "{refused:?}\n{}", asked["days"]);
}
