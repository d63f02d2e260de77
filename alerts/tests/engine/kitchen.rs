//! One kitchen, its stores on disk, and a log to judge.

use std::{sync::Arc, time::Duration};

use domain::{
    Batch, Case, Clock, DeviceId, Facility, FacilityId, FacilityKind, LogEvent, LogPosition, Metric, Point,
    Quality, Reading, Region, RegionId, Rule, Scope, SeriesId, SeriesKey, SizeClass, Unit, UtcMillis,
    batch::Tick,
    pack::{self, DEFAULT_PACKS},
};
use store::{Records, SeriesOptions, SeriesStore, records::CaseFilter};
use sunshine_alerts::{AlertError, AlertHandle, Engine};
use tokio::{sync::mpsc, task::JoinSet};

/// When the log begins: 2026-11-21 06:40 UTC.
pub(crate) const START: i64 = 1_795_243_200_000;
/// Milliseconds of a second.
pub(crate) const S: i64 = 1_000;

/// The points, in the order of their series numbers.
pub(crate) const FRIDGE: usize = 0;
pub(crate) const SMOKE: usize = 1;
pub(crate) const DOOR: usize = 2;
pub(crate) const LATER: usize = 3;

pub(crate) fn facility() -> FacilityId {
    FacilityId::new("binhe-01").unwrap()
}

pub(crate) fn point(device: &str, metric: &str, point_type: &str) -> Point {
    Point {
        facility: facility(),
        device: DeviceId::new(device).unwrap(),
        metric: Metric::new(metric).unwrap(),
        unit: Unit::One,
        point_type: point_type.to_owned(),
        place_zh: "厨房".to_owned(),
        place_en: "Kitchen".to_owned(),
        report_interval_s: 3_600,
    }
}

pub(crate) fn points() -> Vec<Point> {
    vec![
        point("fridge-1", "temperature", "fridge_air"),
        point("smoke-1", "smoke_alarm", "smoke_detector"),
        point("door-1", "door_open", "cold_room"),
        point("fridge-2", "temperature", "fridge_air"),
    ]
}

/// The stores of a kitchen. The last of [`points`] is not registered yet.
pub(crate) struct Kitchen {
    dir: tempfile::TempDir,
    pub(crate) clock: Clock,
    pub(crate) records: Records,
    pub(crate) series: SeriesStore,
}

impl Kitchen {
    pub(crate) async fn build() -> Kitchen {
        let dir = tempfile::tempdir().unwrap();
        let clock = Clock::simulated(UtcMillis(START));
        let records = Records::open(&dir.path().join("records.db"), clock.clone())
            .await
            .unwrap();
        let region = RegionId::new("yinzhou").unwrap();
        records
            .put_region(&Region {
                id: region.clone(),
                parent: None,
                name_zh: "鄞州区".to_owned(),
                name_en: "Yinzhou".to_owned(),
            })
            .await
            .unwrap();
        records
            .put_facility(&Facility {
                id: facility(),
                region,
                name_zh: "滨河护理院".to_owned(),
                name_en: "Binhe".to_owned(),
                kind: FacilityKind::CareHome,
                size: SizeClass::Medium,
                beds: 120,
                people_served: 150,
                address: "-".to_owned(),
            })
            .await
            .unwrap();
        records.put_points(&points()[..LATER]).await.unwrap();
        let series = SeriesStore::open(SeriesOptions::new(dir.path().join("series")), clock.clone()).unwrap();
        for (point, number) in points().iter().zip(0..) {
            assert_eq!(series.resolve(&point.key()).unwrap(), SeriesId(number));
        }
        Kitchen {
            dir,
            clock,
            records,
            series,
        }
    }

    /// Opens the record store again, as a new process would.
    pub(crate) async fn reopen_records(&mut self) {
        self.records.close().await;
        self.records = Records::open(&self.dir.path().join("records.db"), self.clock.clone())
            .await
            .unwrap();
    }

    pub(crate) async fn engine(&self) -> Engine {
        self.engine_with(rules()).await
    }

    pub(crate) async fn engine_with(&self, rules: Vec<Rule>) -> Engine {
        Engine::open(
            self.records.clone(),
            self.series.clone(),
            rules,
            self.clock.clone(),
        )
        .await
        .unwrap()
    }

    pub(crate) async fn start(&self) -> Running {
        Running::start(self.engine().await)
    }

    /// Every case, oldest first.
    pub(crate) async fn cases(&self) -> Vec<Case> {
        let filter = CaseFilter {
            limit: 1_000,
            ..CaseFilter::default()
        };
        let mut cases = self.records.cases(&Scope::everything(), &filter).await.unwrap();
        cases.sort_by_key(|c| c.id);
        cases
    }

    /// Every case as `(rule, device, since, cleared, state)`, times in seconds of the log.
    pub(crate) async fn told(&self) -> Vec<(String, String, i64, Option<i64>, &'static str)> {
        let since_start = |at: UtcMillis| (at.0 - START) / S;
        self.cases()
            .await
            .into_iter()
            .map(|c| {
                let cleared = c.cleared_at.map(since_start);
                (
                    c.rule.to_string(),
                    c.point.device.to_string(),
                    since_start(c.since),
                    cleared,
                    c.state.code(),
                )
            })
            .collect()
    }
}

pub(crate) fn rules() -> Vec<Rule> {
    pack::active(&DEFAULT_PACKS).unwrap()
}

/// An engine at work.
pub(crate) struct Running {
    pub(crate) handle: AlertHandle,
    pub(crate) batches: mpsc::Sender<Arc<Batch>>,
    task: JoinSet<Result<(), AlertError>>,
}

impl Running {
    pub(crate) fn start(engine: Engine) -> Running {
        let handle = engine.handle();
        let (batches, queue) = mpsc::channel(4);
        let mut task = JoinSet::new();
        task.spawn(engine.run(queue));
        Running {
            handle,
            batches,
            task,
        }
    }

    pub(crate) async fn send(&self, batches: Vec<Batch>) {
        for batch in batches {
            self.batches.send(Arc::new(batch)).await.unwrap();
        }
    }

    /// Waits until everything before `position` was judged.
    pub(crate) async fn judged(&self, position: LogPosition) {
        until("the log was judged", || self.handle.health().position >= position).await;
    }

    pub(crate) async fn send_and_wait(&self, batches: Vec<Batch>) {
        let upto = batches.last().unwrap().upto;
        self.send(batches).await;
        self.judged(upto).await;
    }

    /// Ends the log, and answers with what the engine said at the end.
    pub(crate) async fn stop(mut self) -> Result<(), AlertError> {
        drop(self.batches);
        self.task.join_next().await.unwrap().unwrap()
    }

    /// Ends the engine where it stands, as a crash would.
    pub(crate) async fn crash(mut self) {
        self.task.shutdown().await;
    }
}

/// Waits for `condition`, at most 20 seconds.
#[track_caller]
pub(crate) fn until(what: &str, condition: impl Fn() -> bool) -> impl Future<Output = ()> {
    let caller = std::panic::Location::caller();
    async move {
        let waited = tokio::time::timeout(Duration::from_secs(20), async {
            while !condition() {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        });
        assert!(waited.await.is_ok(), "{caller}: not within 20 s: {what}");
    }
}

/// A log, second by second: one tick each, and readings.
#[derive(Default, Clone)]
pub(crate) struct Log(Vec<LogEvent>);

impl Log {
    /// Ticks up to second `to`, beginning where the log ends.
    pub(crate) fn ticks_to(mut self, to: i64) -> Log {
        let from = self.0.iter().filter(|e| matches!(e, LogEvent::Tick(_))).count();
        let from = i64::try_from(from).unwrap();
        self.0
            .extend((from..=to).map(|s| LogEvent::Tick(UtcMillis(START + s * S))));
        self
    }

    /// A reading at the second of the last tick.
    pub(crate) fn read(mut self, point: usize, value: f64) -> Log {
        let at = match self.0.iter().rev().find(|e| matches!(e, LogEvent::Tick(_))) {
            Some(LogEvent::Tick(at)) => *at,
            _ => UtcMillis(START),
        };
        self.0.push(LogEvent::Reading(Reading {
            series: SeriesId(u32::try_from(point).unwrap()),
            at,
            received: at,
            value,
            quality: Quality::Good,
        }));
        self
    }

    /// In batches of `size` events. Every event is one record of 10 bytes.
    pub(crate) fn batches(&self, size: usize) -> Vec<Batch> {
        let mut from = 0;
        let mut batches = Vec::new();
        for events in self.0.chunks(size) {
            let mut batch = Batch {
                from: LogPosition(from),
                ..Batch::default()
            };
            for event in events {
                match event {
                    LogEvent::Tick(at) => {
                        batch.ticks.push(Tick {
                            before: batch.readings.len(),
                            at: *at,
                        });
                    }
                    LogEvent::Reading(reading) => {
                        batch.readings.push(*reading);
                        batch.positions.push(LogPosition(from));
                    }
                }
                from += 10;
            }
            batch.upto = LogPosition(from);
            batches.push(batch);
        }
        batches
    }

    pub(crate) fn end(&self) -> LogPosition {
        LogPosition(self.0.len() as u64 * 10)
    }
}

pub(crate) fn key(point: usize) -> SeriesKey {
    points()[point].key()
}
