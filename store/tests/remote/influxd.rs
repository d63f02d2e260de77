//! InfluxData's own parser and storage: Debian's InfluxDB 1.6 takes what the crate `influxdb2` sends, through a small proxy
//! that gives version 2's address for writing the form that version 1 knows.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use domain::{Clock, Sample, Scope, SeriesKey, UtcMillis};
use sunshine_store::{
    Forwarder, Records, Remote, RemoteKind, RemoteOptions,
    remote::{LineHead, Lines, Pace},
};

use crate::{
    engines::Engine,
    rig::{Reply, Rig},
};

/// A Monday, on which a shard of InfluxDB begins.
const BEGIN: UtcMillis = UtcMillis(1_759_708_800_000);

fn key(device: usize) -> SeriesKey {
    SeriesKey {
        facility: "厨房".parse().unwrap(),
        device: format!("d{device}").parse().unwrap(),
        metric: "temperature".parse().unwrap(),
    }
}

async fn forwarder(engine: &Engine, dir: &std::path::Path) -> (Forwarder, Records, Rig) {
    let upstream = engine.port;
    let rig = Rig::start(move |request| {
        assert!(request.target.starts_with("/api/v2/write?"), "{}", request.target);
        Reply::Pass(upstream, "/write?db=sunshine&precision=ms".into())
    })
    .await;
    let remote = Remote::new(&RemoteOptions {
        kind: RemoteKind::InfluxDb2 {
            organisation: "kitchens".into(),
            bucket: "sunshine".into(),
        },
        write_url: rig.url(),
        read_url: None,
        token: None,
        ca_pem: None,
        timeout: Duration::from_secs(30),
    })
    .unwrap();
    let records = Records::open(&dir.join("records.db"), Clock::system())
        .await
        .unwrap();
    let forwarder = Forwarder::new(remote, records.clone(), Clock::system(), Pace::default());
    (forwarder, records, rig)
}

/// Everything that InfluxDB has: by device, the values in order of time.
async fn kept(engine: &Engine) -> BTreeMap<String, Vec<(i64, f64)>> {
    let query = "/query?db=sunshine&epoch=ms&q=SELECT+value+FROM+reading+GROUP+BY+device";
    let answer: serde_json::Value = serde_json::from_str(&engine.get(query).await).unwrap();
    let none = Vec::new();
    let series = answer["results"][0]["series"].as_array().unwrap_or(&none);
    let rows = |one: &serde_json::Value| {
        let rows = one["values"].as_array().unwrap().iter();
        rows.map(|row| (row[0].as_i64().unwrap(), row[1].as_f64().unwrap()))
            .collect()
    };
    let name = |one: &serde_json::Value| one["tags"]["device"].as_str().unwrap().to_owned();
    series.iter().map(|one| (name(one), rows(one))).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn influxdb_takes_every_line_overwrites_and_keeps_each_moment_once() {
    let Some(engine) = Engine::influxdb_1().await else {
        return;
    };
    let dir = tempfile::tempdir().unwrap();
    let (mut forwarder, records, _rig) = forwarder(&engine, dir.path()).await;
    let heads: Vec<LineHead> = (0..40).map(|d| LineHead::new(&key(d)).unwrap()).collect();
    let mut want: BTreeMap<String, BTreeMap<i64, f64>> = BTreeMap::new();
    let mut lines = Lines::default();
    // Late, doubled and overwritten, large, small and negative.
    for n in 0..30_000_usize {
        let device = n * 7 % 40;
        let at = BEGIN.0 + i64::try_from(n * 37 % 5_000).unwrap() * 1000;
        let value = match n % 50 {
            0 => 1e22,
            1 => -1e-7,
            _ => (f64::from(u32::try_from(n).unwrap()) - 7000.0) / 10.0,
        };
        lines
            .push(
                &heads[device],
                Sample {
                    at: UtcMillis(at),
                    value,
                },
            )
            .unwrap();
        want.entry(format!("d{device}")).or_default().insert(at, value);
    }
    let lines = Arc::new(lines);
    forwarder.deliver(&lines).await;
    // As after a crash: everything once more.
    forwarder.deliver(&lines).await;
    let want: BTreeMap<String, Vec<(i64, f64)>> = want
        .into_iter()
        .map(|(device, of)| (device, of.into_iter().collect()))
        .collect();
    let got = kept(&engine).await;
    assert_eq!(got.keys().collect::<Vec<_>>(), want.keys().collect::<Vec<_>>());
    for (device, want) in &want {
        let differs = got[device].iter().zip(want).find(|(got, want)| got != want);
        assert_eq!((got[device].len(), differs), (want.len(), None), "{device}");
    }
    assert_eq!(records.dead_letter_counts().await.unwrap().kept, 0);
    assert_eq!(forwarder.watch().counts().lines, 60_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_influxdb_really_refuses_becomes_a_letter_and_nothing_else_does() {
    let Some(engine) = Engine::influxdb_1().await else {
        return;
    };
    let dir = tempfile::tempdir().unwrap();
    let (mut forwarder, records, _rig) = forwarder(&engine, dir.path()).await;
    // Somebody wrote whole numbers into the same field four weeks later: that shard takes no others.
    let later = BEGIN + 28 * 86_400_000;
    let whole = format!("reading,device=x value=5i {}", later.0);
    assert_eq!(engine.post("/write?db=sunshine&precision=ms", &whole).await, 204);
    let mut lines = Lines::default();
    for n in 0..200_i64 {
        let at = if n % 50 == 49 { later + n } else { BEGIN + n };
        let head = LineHead::new(&key(0)).unwrap();
        lines.push(&head, Sample { at, value: 1.5 }).unwrap();
    }
    forwarder.deliver(&Arc::new(lines)).await;
    let letters = records.dead_letters(&Scope::everything(), 100).await.unwrap();
    assert_eq!(letters.len(), 4);
    assert!(
        letters.iter().all(|l| l.reason.contains("field type conflict")),
        "{:?}",
        letters[0]
    );
    assert_eq!(letters[0].facility.as_str(), "厨房");
    assert_eq!(kept(&engine).await["d0"].len(), 196);
}
