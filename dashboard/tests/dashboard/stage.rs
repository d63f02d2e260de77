//! A small district on real stores, with judgement at work: what the tests and the preview look at.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use alerts::{AlertHandle, Engine};
use domain::{
    Access, Batch, Clock, DeviceId, Facility, FacilityId, FacilityKind, Identity, IdentityName, LogPosition,
    Metric, Point, Profiles, Quality, Reading, Region, RegionId, Scope, SecretHash, SizeClass, UtcMillis,
    batch::Tick,
    pack::{self, DEFAULT_PACKS},
    profile::Tried,
    status::{Refusal, RefusalReason, Reject, RejectReason, Sighting, SystemStats},
};
use store::{DeviceBook, ProfileBook, Records, SeriesOptions, SeriesStore};
use sunshine_dashboard::{DashboardState, Sight, SiteInfo};
use tokio::{sync::mpsc, task::JoinSet};

const MINUTE: i64 = 60_000;

/// A measured thing: device, metric, type of point, name in Chinese and English.
type Equipment = (
    &'static str,
    &'static str,
    &'static str,
    &'static str,
    &'static str,
);

const EQUIPMENT: [Equipment; 6] = [
    ("fridge-1", "temperature", "fridge_air", "1 号冷藏柜", "Fridge 1"),
    ("fridge-2", "temperature", "fridge_air", "2 号冷藏柜", "Fridge 2"),
    ("freezer-1", "temperature", "freezer_air", "冷冻柜", "Freezer"),
    ("gas-1", "combustible_gas", "kitchen_gas", "灶台燃气", "Stove gas"),
    (
        "smoke-1",
        "smoke_alarm",
        "smoke_detector",
        "操作间烟感",
        "Kitchen smoke",
    ),
    ("room-1", "humidity", "dry_store", "干货库", "Dry store"),
];

const NAMES: [(&str, &str, &str, u32); 12] = [
    ("binhe-01", "滨河颐养院", "Binhe Care Home", 186),
    ("songbai-02", "松柏养老服务中心", "Songbai Centre", 240),
    ("zhaoyang-03", "朝阳老年公寓", "Zhaoyang Residence", 122),
    ("kangning-04", "康宁护理院", "Kangning Nursing Home", 118),
    ("fushou-05", "福寿园敬老院", "Fushou Home", 86),
    ("jinqiu-06", "金秋社区食堂", "Jinqiu Canteen", 310),
    ("hexie-07", "和谐养老院", "Hexie Home", 95),
    ("yinling-08", "银龄之家", "Silver Age House", 64),
    ("changqing-09", "长青颐养院", "Changqing Home", 143),
    ("chunhui-10", "春晖养老中心", "Chunhui Centre", 132),
    ("taoyuan-11", "桃源社区食堂", "Taoyuan Canteen", 205),
    ("renai-12", "仁爱护理院", "Ren’ai Nursing Home", 77),
];

/// The stores, and judgement over them.
pub(crate) struct Stage {
    _dir: tempfile::TempDir,
    pub(crate) clock: Clock,
    pub(crate) state: DashboardState,
    pub(crate) stats: Arc<Mutex<SystemStats>>,
    batches: mpsc::Sender<Arc<Batch>>,
    position: Mutex<LogPosition>,
    engine: JoinSet<()>,
}

impl Stage {
    /// A district of `facilities` kitchens at `now`, with nothing measured yet.
    pub(crate) async fn build(facilities: usize, now: UtcMillis) -> Stage {
        Stage::build_notifying(facilities, now, true).await
    }

    /// The same, where browsers are notified or not.
    pub(crate) async fn build_notifying(facilities: usize, now: UtcMillis, push: bool) -> Stage {
        let dir = tempfile::tempdir().unwrap();
        let clock = Clock::simulated(now);
        let records = Records::open(&dir.path().join("records.db"), clock.clone())
            .await
            .unwrap();
        register(&records, facilities).await;
        let series = SeriesStore::open(SeriesOptions::new(dir.path().join("series")), clock.clone()).unwrap();
        let rules = pack::active(&DEFAULT_PACKS).unwrap();
        let engine = Engine::open(records.clone(), series.clone(), rules, clock.clone())
            .await
            .unwrap();
        let handle = engine.handle();
        let vault = store::Vault::open(dir.path()).unwrap();
        let records_for_messages = records.clone();
        let (batches, queue) = mpsc::channel(4);
        let mut task = JoinSet::new();
        task.spawn(async move { engine.run(queue).await.unwrap() });
        let stats = Arc::new(Mutex::new(SystemStats {
            records_accepted: 12,
            readings_stored: 11,
            rejects: vec![("syntax", 1)],
            disk_free_ratio: 0.6,
            ..SystemStats::default()
        }));
        let (figures, at) = (Arc::clone(&stats), now);
        let state = DashboardState {
            timeseries: store::TimeSeries::embedded(series.clone(), clock.clone()),
            series,
            records,
            devices: DeviceBook::new(),
            messages: messages(&records_for_messages, &vault, (&handle, &clock), push),
            alerts: handle,
            stats: Arc::new(move || figures.lock().unwrap().clone()),
            refusals: Arc::new(move || vec![refusal(at)]),
            clock: clock.clone(),
            site: SiteInfo {
                name_zh: "滨河区".into(),
                name_en: "Binhe District".into(),
                mqtt_addr: "192.0.2.10:1883".into(),
                intake_addr: Some("192.0.2.10:8086".into()),
                demo: true,
                time_zone: "Asia/Shanghai".into(),
            },
            sight: Sight::none(),
            evidence: None,
            demo_people: Arc::from([]),
            profiles: ProfileBook::new(Profiles::built_in()),
            // What a message means is ingest's to know; the stage takes in readings.
            try_profile: Arc::new(|profile, topic, _| Tried {
                refused: vec![("topic", format!("{} {topic}", profile.id))],
                ..Tried::default()
            }),
            signing_key: Some(Arc::new(|identity| format!("key-of-{}", identity.name))),
        };
        let position = Mutex::new(LogPosition(0));
        Stage {
            _dir: dir,
            clock,
            state,
            stats,

            batches,
            position,
            engine: task,
        }
    }

    pub(crate) fn alerts(&self) -> &AlertHandle {
        &self.state.alerts
    }

    /// Takes in one moment: `values` are (facility's index, equipment's index, value).
    pub(crate) async fn take_in(&self, at: UtcMillis, values: &[(usize, usize, f64)]) {
        let batch = self.batch(at, values);
        self.state
            .series
            .append(&batch.readings, batch.from, batch.upto)
            .unwrap();
        self.state.devices.apply(&batch);
        *self.position.lock().unwrap() = batch.upto;
        self.batches.send(Arc::new(batch)).await.unwrap();
    }

    /// Waits until judgement has seen everything taken in.
    pub(crate) async fn judged(&self) {
        let upto = *self.position.lock().unwrap();
        let waited = tokio::time::timeout(Duration::from_secs(60), async {
            while self.alerts().health().position < upto {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        });
        waited.await.expect("judgement keeps up");
    }

    fn batch(&self, at: UtcMillis, values: &[(usize, usize, f64)]) -> Batch {
        let from = *self.position.lock().unwrap();
        let mut batch = Batch {
            from,
            upto: from,
            ..Batch::default()
        };
        batch.ticks.push(Tick { before: 0, at });
        batch.upto.0 += 10;
        for (facility, equipment, value) in values {
            let point = point(*facility, *equipment);
            let series = self.state.series.resolve(&point.key()).unwrap();
            batch.positions.push(batch.upto);
            batch.readings.push(Reading {
                series,
                at,
                received: at,
                value: *value,
                quality: Quality::Good,
            });
            batch.sightings.push(Sighting {
                facility: point.facility.clone(),
                device: point.device.clone(),
                received: at,
                topic: format!("sk/v1/{}/{}/up/{}", point.facility, point.device, point.metric),
                payload: format!("{{\"v\":{value:.1}}}"),
                messages: 1,
                readings: 1,
                doubtful_times: 0,
            });
            batch.upto.0 += 10;
        }
        batch
    }

    /// Takes in a payload that was not understood.
    pub(crate) fn reject(&self, facility: usize, device: &str, at: UtcMillis, payload: &str) {
        let facility = FacilityId::new(NAMES[facility].0).unwrap();
        let device = DeviceId::new(device).unwrap();
        self.state.devices.apply(&Batch {
            rejects: vec![Reject {
                topic: format!("sk/v1/{facility}/{device}/up"),
                facility,
                device,
                received: at,
                reason: RejectReason::Syntax,
                detail: "the payload is neither JSON nor SenML nor a number; send one of these".into(),
                excerpt: domain::status::excerpt(payload.as_bytes()),
            }],
            ..Batch::default()
        });
    }

    /// Ends judgement.
    pub(crate) async fn finish(mut self) {
        drop(self.batches);
        while self.engine.join_next().await.is_some() {}
    }
}

/// A messenger that only pages talk to: it is not run.
fn messages(
    records: &Records,
    vault: &store::Vault,
    (alerts, clock): (&AlertHandle, &Clock),
    push: bool,
) -> alerts::MessageHandle {
    let networks = vec!["127.0.0.0/8".parse().unwrap()];
    let messenger = alerts::Messenger::open(alerts::MessengerParts {
        records: records.clone(),
        vault: vault.clone(),
        clock: clock.clone(),
        alerts: alerts.clone(),
        addresses: domain::outbound::Addresses::public_and(networks),
        publish: Arc::new(|_topic, _payload| Box::pin(async { Ok(()) })),
        authorities: Vec::new(),
        push: push.then(|| {
            alerts::PushKeys::read(
                "yfWPiYE-n46HLnH0KqZOF1fJJU3MYrct3AELtAQ-oRw",
                "mailto:kitchen@example.org",
            )
            .unwrap()
        }),
        picture: Arc::new(|_point, _since| Box::pin(async { None })),
        moments: alerts::Moments {
            local: Arc::new(|at| at.to_string()),
            iso: Arc::new(|at| at.to_string()),
        },
        link: "http://localhost:8080".into(),
    });
    messenger.unwrap().handle()
}

fn refusal(at: UtcMillis) -> Refusal {
    Refusal {
        identity: Some(IdentityName::new("binhe-01/fridge-1").unwrap()),
        at: at - 5 * MINUTE,
        reason: RefusalReason::PublishDenied,
        detail: "sk/v1/kangning-04/fridge-1/up".into(),
    }
}

/// The point of a facility's equipment.
pub(crate) fn point(facility: usize, equipment: usize) -> Point {
    let (device, metric, point_type, zh, en) = EQUIPMENT[equipment];
    let metric = Metric::new(metric).unwrap();
    Point {
        facility: FacilityId::new(NAMES[facility].0).unwrap(),
        device: DeviceId::new(device).unwrap(),
        unit: metric.unit(),
        metric,
        point_type: point_type.into(),
        place_zh: zh.into(),
        place_en: en.into(),
        report_interval_s: 60,
    }
}

/// How many things each kitchen measures.
pub(crate) const EQUIPMENT_COUNT: usize = EQUIPMENT.len();

async fn register(records: &Records, facilities: usize) {
    let region = RegionId::new("binhe").unwrap();
    let names = ("滨河区".to_owned(), "Binhe District".to_owned());
    records
        .put_region(&Region {
            id: region.clone(),
            parent: None,
            name_zh: names.0,
            name_en: names.1,
        })
        .await
        .unwrap();
    for (index, (id, zh, en, people)) in NAMES[..facilities].iter().enumerate() {
        let facility = FacilityId::new(id).unwrap();
        let canteen = zh.contains("食堂");
        records
            .put_facility(&Facility {
                id: facility.clone(),
                region: region.clone(),
                name_zh: (*zh).into(),
                name_en: (*en).into(),
                kind: if canteen {
                    FacilityKind::CommunityCanteen
                } else {
                    FacilityKind::CareHome
                },
                size: SizeClass::Medium,
                beds: if canteen { 0 } else { people - 20 },
                people_served: *people,
                address: format!("滨河路 {} 号", 18 + index * 24),
            })
            .await
            .unwrap();
        let points: Vec<Point> = (0..EQUIPMENT_COUNT).map(|e| point(index, e)).collect();
        records.put_points(&points).await.unwrap();
        let identities: Vec<Identity> = points
            .iter()
            .map(|p| Identity {
                name: Identity::device_name(&p.facility, &p.device).unwrap(),
                access: Access::Device {
                    facility: p.facility.clone(),
                    device: p.device.clone(),
                    profile: "standard".into(),
                    root: None,
                },
                secret: SecretHash::of(b"secret", [1; 16]),
                expires_at: None,
                revoked_at: None,
            })
            .collect();
        records.put_identities(&identities).await.unwrap();
    }
    assert_eq!(
        records.facilities(&Scope::everything()).await.unwrap().len(),
        facilities
    );
}
