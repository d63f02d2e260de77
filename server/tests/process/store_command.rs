//! `sunshine store`: what an operator sees of a store that was filled before.

use std::{fs, path::Path, process::Output};

use domain::{Clock, LogPosition, Quality, Reading, SeriesKey, UtcMillis};
use store::{SeriesOptions, SeriesStore};

use crate::sunshine::command;

const START: i64 = 20_776 * 86_400_000;

fn fill(dir: &Path) {
    let store = SeriesStore::open(SeriesOptions::new(dir), Clock::simulated(UtcMillis(START))).unwrap();
    for (position, device) in [(0, "fridge-1"), (1, "fridge-2")] {
        let key = SeriesKey {
            facility: "binhe".parse().unwrap(),
            device: device.parse().unwrap(),
            metric: "temperature".parse().unwrap(),
        };
        let series = store.resolve(&key).unwrap();
        let batch: Vec<Reading> = (0..1_000)
            .map(|n| Reading {
                series,
                at: UtcMillis(START + n * 10_000),
                received: UtcMillis(START),
                value: 4.5,
                quality: Quality::Good,
            })
            .collect();
        store
            .append(&batch, LogPosition(position), LogPosition(position + 1))
            .unwrap();
    }
    store.flush().unwrap();
}

fn run(dir: &Path, arguments: &[&str]) -> Output {
    command()
        .arg("store")
        .args(arguments)
        .arg("--dir")
        .arg(dir)
        .output()
        .unwrap()
}

/// What a command that succeeds prints.
fn told(dir: &Path, arguments: &[&str]) -> String {
    let output = run(dir, arguments);
    assert!(output.status.success(), "{arguments:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// What a command that fails says.
fn refused(dir: &Path, arguments: &[&str]) -> String {
    let output = run(dir, arguments);
    assert_eq!(output.status.code(), Some(1), "{arguments:?}: {output:?}");
    String::from_utf8(output.stderr).unwrap()
}

#[test]
fn a_store_is_compacted_checked_listed_and_exported() {
    let dir = tempfile::tempdir().unwrap();
    let store = dir.path().join("series");
    assert!(refused(&store, &["stats"]).contains("there is no time-series store in"));
    fill(&store);
    assert!(told(&store, &["compact"]).contains("2 chunks in"));
    let stats = told(&store, &["stats"]);
    assert!(
        stats.starts_with("2 series, the log is on disk up to 2"),
        "{stats}"
    );
    assert!(stats.contains("2026-11-19 … 2026-11-25"), "{stats}");
    assert!(stats.contains("2000 values"), "{stats}");
    assert!(told(&store, &["check"]).contains("Everything reads back as it was written."));

    let csv = told(
        &store,
        &["export", "--device", "fridge-2", "--from", "2026-11-19T00:00:10Z"],
    );
    assert_eq!(csv.lines().count(), 1_000);
    assert_eq!(
        csv.lines().nth(1),
        Some("binhe,fridge-2,temperature,degC,2026-11-19T00:00:10Z,4.5")
    );
    let file = dir.path().join("readings.parquet");
    let output = file.to_str().unwrap();
    let export = ["export", "--format", "parquet", "--output", output];
    assert!(told(&store, &export).contains("2000 readings of 2 series"));
    assert!(fs::read(&file).unwrap().starts_with(b"PAR1"));
    assert!(refused(&store, &export).contains("is there already"));
    assert!(refused(&store, &["export", "--metric", "humidity"]).contains("no series matches"));
    assert_eq!(
        fs::read_dir(dir.path()).unwrap().count(),
        2,
        "no part is left behind"
    );

    fs::write(store.join("raw-2968.db"), vec![b'x'; 10_000]).unwrap();
    assert!(refused(&store, &["check"]).contains("1 problems in"));
}
