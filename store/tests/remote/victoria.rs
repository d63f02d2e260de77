//! Debian's VictoriaMetrics: by itself, and as a province has it, where the product speaks to `vmauth` over TLS, which hands
//! what is written to `vmagent` and what is asked to the storage, each below a path as a cluster's tenant has it.

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::{Duration, Instant},
};

use domain::{Clock, Sample, Scope, SeriesKey, TimeRange, UtcMillis, status::ForwardState};
use sunshine_store::{
    Forwarder, Records, Remote, RemoteError, RemoteKind, RemoteOptions, TimeSeries, TimeSeriesError, Token,
    remote::{LineHead, Lines, Pace},
};
use tempfile::TempDir;

use crate::{
    conformance::{History, Question, check, key, over_histories, runtime, store, without_corrections},
    engines::{Engine, Routes},
    many,
    tls::{Authority, Validity},
};

/// How long the way from one server to the next may take.
const PATIENCE: Duration = Duration::from_secs(60);

const WRITES: &str = "/insert/0/influx";
const READS: &str = "/select/0/prometheus";
const TOKEN: &str = "province-token";

/// VictoriaMetrics with our forwarder before it and our face behind it.
struct Victoria {
    storage: Engine,
    /// The agent, where there is one; then the doorkeeper.
    between: Vec<Engine>,
    options: RemoteOptions,
    records: Records,
    remote: Remote,
    face: TimeSeries,
    marks: AtomicI64,
    _dir: TempDir,
}

impl Victoria {
    async fn start() -> Option<Victoria> {
        let storage = Engine::victoria_metrics("").await?;
        let options = RemoteOptions {
            kind: RemoteKind::VictoriaMetrics,
            write_url: storage.url(),
            read_url: None,
            token: None,
            ca_pem: None,
            timeout: Duration::from_secs(30),
        };
        Some(Victoria::open(storage, Vec::new(), options).await)
    }

    /// As `docs/SCALING.md` shows a province, with one storage where a cluster has several.
    async fn start_province() -> Option<Victoria> {
        let storage = Engine::victoria_metrics(READS).await?;
        let agent = Engine::vmagent(WRITES, &storage).await?;
        let authority = Authority::new("Province");
        let routes = Routes {
            token: TOKEN,
            to: &[(WRITES, &agent), (READS, &storage)],
        };
        let leaf = authority.sign("127.0.0.1", Validity::Now);
        let door = Engine::vmauth(routes, &authority.pem, &leaf).await?;
        let options = RemoteOptions {
            kind: RemoteKind::VictoriaMetrics,
            write_url: format!("{}{WRITES}", door.url()),
            read_url: Some(format!("{}{READS}", door.url())),
            token: Some(Token::new(TOKEN)),
            ca_pem: Some(authority.pem.into_bytes()),
            timeout: Duration::from_secs(30),
        };
        Some(Victoria::open(storage, vec![agent, door], options).await)
    }

    async fn open(storage: Engine, between: Vec<Engine>, options: RemoteOptions) -> Victoria {
        let clock = Clock::system();
        let dir = tempfile::tempdir().unwrap();
        let records = Records::open(&dir.path().join("records.db"), clock.clone())
            .await
            .unwrap();
        let remote = Remote::new(&options).unwrap();
        let local = store(&dir.path().join("series"), &clock);
        Victoria {
            storage,
            between,
            options,
            records,
            remote: remote.clone(),
            // Everything lies beyond the boundary: nothing is asked of the embedded store.
            face: TimeSeries::with_remote(local, remote, -1_000, clock),
            marks: AtomicI64::new(0),
            _dir: dir,
        }
    }

    async fn send(&self, lines: Lines) {
        let (remote, records) = (self.remote.clone(), self.records.clone());
        let mut forwarder = Forwarder::new(remote, records, Clock::system(), Pace::default());
        forwarder.deliver(&Arc::new(lines)).await;
    }

    /// Sends, and waits until the storage shows it.
    async fn deliver(&self, lines: Lines) {
        self.send(lines).await;
        if !self.between.is_empty() {
            self.everything_passes().await;
        }
        // What was written becomes visible to queries.
        self.storage.get("/internal/force_flush").await;
    }

    /// Sends a mark behind everything else, and waits until it is there.
    async fn everything_passes(&self) {
        let at = UtcMillis(1_700_000_000_000 + self.marks.fetch_add(1, Ordering::SeqCst));
        let mark = SeriesKey {
            device: "mark".parse().unwrap(),
            ..key(0, 0)
        };
        let mut lines = Lines::default();
        let head = LineHead::new(&mark).unwrap();
        lines.push(&head, Sample { at, value: 1.0 }).unwrap();
        self.send(lines).await;
        let range = TimeRange { from: at, to: at + 1 };
        let deadline = Instant::now() + PATIENCE;
        loop {
            self.storage.get("/internal/force_flush").await;
            let page = self
                .face
                .scan(&Scope::everything(), &mark, range, 1)
                .await
                .unwrap();
            if !page.samples.is_empty() {
                return;
            }
            assert!(Instant::now() < deadline, "the agent hands nothing on");
        }
    }

    /// Writes in several requests, as they would come over time.
    async fn write(&self, case: u32, history: &History, at_a_time: usize) {
        let head = |series| LineHead::new(&key(case, series)).unwrap();
        let heads: Vec<LineHead> = (0..history.series).map(head).collect();
        for some in history.writes.chunks(at_a_time) {
            let mut lines = Lines::default();
            for &(series, at, value) in some {
                let at = history.begin + at;
                lines
                    .push(&heads[usize::from(series)], Sample { at, value })
                    .unwrap();
            }
            self.deliver(lines).await;
        }
    }
}

#[test]
fn victoria_metrics() {
    let runtime = runtime();
    let Some(victoria) = runtime.block_on(Victoria::start()) else {
        return;
    };
    over_histories(32, 12, |case, history| {
        let history = without_corrections(history);
        runtime.block_on(async {
            victoria.write(case, &history, 97).await;
            check(&victoria.face, case, &history).await
        })
    });
    let letters = runtime.block_on(victoria.records.dead_letter_counts()).unwrap();
    assert_eq!(letters.kept, 0);
}

/// Which of them is not said: measured, it is neither always the later nor always the larger one.
#[test]
fn victoria_metrics_keeps_one_of_the_values_of_a_moment() {
    let runtime = runtime();
    let Some(victoria) = runtime.block_on(Victoria::start()) else {
        return;
    };
    assert!(!victoria.face.caps().overwrites);
    let writes = (0..200)
        .map(|n| (0, i64::from(n % 50) * 1000, f64::from(n)))
        .collect();
    let history = History::of(1, writes, Vec::new());
    let range = TimeRange {
        from: history.begin,
        to: history.begin + 50_000,
    };
    let page = runtime.block_on(async {
        victoria.write(1, &history, 30).await;
        victoria
            .face
            .scan(&Scope::everything(), &key(1, 0), range, 1000)
            .await
            .unwrap()
    });
    assert_eq!(page.samples.len(), 50, "one value a moment");
    for (n, sample) in (0..).zip(page.samples) {
        assert_eq!(sample.at, history.begin + n * 1000);
        assert_eq!(
            sample.value.rem_euclid(50.0),
            f64::from(i32::try_from(n).unwrap())
        );
    }
}

/// Several lines of an export for each series, of several series at once.
#[test]
fn long_series_of_victoria_metrics_are_counted_piece_by_piece() {
    let runtime = runtime();
    let Some(victoria) = runtime.block_on(Victoria::start()) else {
        return;
    };
    let writes = (0..75_000_i64).map(|n| {
        let series = u8::try_from(n % 3).unwrap();
        let value = f64::from(i32::try_from(n * 7919 % 200).unwrap()) / 10.0;
        (series, n / 3 * 1_000, value)
    });
    let history = History::of(3, writes.collect(), vec![Question::whole(25_000_000)]);
    let checked = runtime.block_on(async {
        victoria.write(1, &history, 10_000).await;
        check(&victoria.face, 1, &history).await
    });
    assert_eq!(checked.map_err(|e| e.to_string()), Ok(()));
}

#[test]
fn fifty_thousand_series_of_victoria_metrics_are_told_apart() {
    many_series(50_000);
}

fn many_series(count: u32) {
    let runtime = runtime();
    let Some(victoria) = runtime.block_on(Victoria::start()) else {
        return;
    };
    runtime.block_on(async {
        for batch in many::batches(count) {
            let mut lines = Lines::default();
            for (key, sample) in batch {
                lines.push(&LineHead::new(&key).unwrap(), sample).unwrap();
            }
            victoria.deliver(lines).await;
        }
        many::check(&victoria.face, count).await;
    });
    let letters = runtime.block_on(victoria.records.dead_letter_counts()).unwrap();
    assert_eq!(letters.kept, 0);
}

#[test]
fn victoria_metrics_behind_vmauth_and_vmagent() {
    let runtime = runtime();
    let Some(victoria) = runtime.block_on(Victoria::start_province()) else {
        return;
    };
    over_histories(12, 6, |case, history| {
        let history = without_corrections(history);
        runtime.block_on(async {
            victoria.write(case, &history, 150).await;
            check(&victoria.face, case, &history).await
        })
    });
    let letters = runtime.block_on(victoria.records.dead_letter_counts()).unwrap();
    assert_eq!(letters.kept, 0);
}

#[test]
fn vmauth_lets_nobody_in_without_the_token() {
    let runtime = runtime();
    let Some(victoria) = runtime.block_on(Victoria::start_province()) else {
        return;
    };
    let options = RemoteOptions {
        token: Some(Token::new("guessed")),
        ..victoria.options.clone()
    };
    runtime.block_on(async {
        let remote = Remote::new(&options).unwrap();
        let dir = tempfile::tempdir().unwrap();
        let local = store(dir.path(), &Clock::system());
        let face = TimeSeries::with_remote(local, remote.clone(), -1_000, Clock::system());
        let denied = face.latest(&Scope::everything(), &key(1, 0)).await;
        match denied {
            Err(TimeSeriesError::Remote(RemoteError::Denied { detail })) => {
                assert!(
                    !detail.contains("guessed"),
                    "it is a secret all the same: {detail}"
                );
            }
            other => panic!("{other:?}"),
        }
        let records = victoria.records.clone();
        let mut forwarder = Forwarder::new(remote, records, Clock::system(), Pace::default());
        let watch = forwarder.watch();
        let mut lines = Lines::default();
        let sample = Sample {
            at: UtcMillis(1_760_000_000_000),
            value: 1.0,
        };
        lines.push(&LineHead::new(&key(1, 0)).unwrap(), sample).unwrap();
        let lines = Arc::new(lines);
        let waits = async {
            while watch.condition().state != ForwardState::Denied {
                tokio::task::yield_now().await;
            }
        };
        tokio::select! {
            () = forwarder.deliver(&lines) => panic!("they were taken"),
            () = waits => {}
        }
        let detail = watch.condition().detail.unwrap();
        assert!(!detail.contains("guessed"), "{detail}");
        assert_eq!(watch.counts().lines, 0);
    });
}

/// The agent says that it has lines when it has them on its disk or in memory; ended in order it has them on its disk.
#[test]
fn what_vmagent_took_outlives_a_storage_that_is_away_and_its_own_restart() {
    let runtime = runtime();
    let Some(mut victoria) = runtime.block_on(Victoria::start_province()) else {
        return;
    };
    let writes = (0..2_000_i64).map(|n| {
        let series = u8::try_from(n % 4).unwrap();
        (series, n * 250, f64::from(i32::try_from(n).unwrap()))
    });
    let history = History::of(4, writes.collect(), vec![Question::whole(500_000)]);
    let checked = runtime.block_on(async {
        victoria.storage.stop();
        let heads: Vec<LineHead> = (0..4).map(|n| LineHead::new(&key(1, n)).unwrap()).collect();
        let mut lines = Lines::default();
        for &(series, at, value) in &history.writes {
            let at = history.begin + at;
            lines
                .push(&heads[usize::from(series)], Sample { at, value })
                .unwrap();
        }
        // Taken, although nobody is there to store it.
        victoria.send(lines).await;
        victoria.between[0].stop();
        assert!(victoria.between[0].go_on().await, "the agent is back");
        assert!(victoria.storage.go_on().await, "the storage is back");
        victoria.everything_passes().await;
        check(&victoria.face, 1, &history).await
    });
    assert_eq!(checked.map_err(|e| e.to_string()), Ok(()));
}
