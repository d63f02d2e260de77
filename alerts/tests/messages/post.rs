//! A kitchen whose messages go to a test's own servers.

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use domain::{
    Case, Clock, DeviceId, Facility, FacilityId, FacilityKind, Metric, Point, Region, RegionId, RuleId,
    Scope, SeriesKey, Severity, SizeClass, Unit, UtcMillis,
    case::{Act, Note, cause::Trouble},
    duty::{Contact, ContactId, Reach, Step},
    message::{ChannelKind, ChannelSecrets, ChannelSettings, Language},
    outbound::Addresses,
    pack,
};
use futures::FutureExt as _;
use store::{
    Records, SeriesOptions, SeriesStore, Vault,
    records::{CaseAction, CaseWrite, Channel, Delivery, DeliveryFilter, NewCase},
};
use sunshine_alerts::{AlertHandle, Engine, MessageHandle, Messenger, MessengerParts, Moments, PushKeys};

pub(crate) const START: UtcMillis = UtcMillis(1_795_243_200_000);
pub(crate) const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// A private key of nobody.
const VAPID: &str = "yfWPiYE-n46HLnH0KqZOF1fJJU3MYrct3AELtAQ-oRw";

/// What was published under our own listener.
pub(crate) type Published = Arc<Mutex<Vec<(String, Vec<u8>)>>>;

pub(crate) struct Post {
    pub(crate) records: Records,
    pub(crate) clock: Clock,
    pub(crate) messenger: Messenger,
    pub(crate) handle: MessageHandle,
    pub(crate) published: Published,
    pub(crate) picture: Arc<Mutex<Option<Bytes>>>,
    alerts: AlertHandle,
    /// Authorities that are trusted besides the machine's, from the next restart on.
    pub(crate) authorities: Vec<u8>,
    vault: Vault,
    _engine: Engine,
    _dir: tempfile::TempDir,
}

pub(crate) fn key(device: &str, metric: &str) -> SeriesKey {
    SeriesKey {
        facility: FacilityId::new("binhe").unwrap(),
        device: DeviceId::new(device).unwrap(),
        metric: Metric::new(metric).unwrap(),
    }
}

pub(crate) fn contact(channel: &str, address: &str) -> Contact {
    Contact {
        id: ContactId(0),
        person: None,
        name: format!("duty over {channel}"),
        language: Language::Zh,
        step: Step::Duty,
        reach: Reach::Everywhere,
        channel: channel.into(),
        address: address.into(),
        least: Severity::P4,
        quiet: None,
        digest: None,
        digest_at: 480,
        shifts: Vec::new(),
        enabled: true,
    }
}

impl Post {
    pub(crate) async fn open() -> Post {
        let dir = tempfile::tempdir().unwrap();
        let clock = Clock::simulated(START);
        let records = Records::open(&dir.path().join("records.db"), clock.clone())
            .await
            .unwrap();
        let region = RegionId::new("town").unwrap();
        let row = Region {
            id: region.clone(),
            parent: None,
            name_zh: "镇".into(),
            name_en: "Town".into(),
        };
        records.put_region(&row).await.unwrap();
        let facility = Facility {
            id: FacilityId::new("binhe").unwrap(),
            region,
            name_zh: "滨河颐养院".into(),
            name_en: "Binhe Care Home".into(),
            kind: FacilityKind::CareHome,
            size: SizeClass::Small,
            beds: 10,
            people_served: 10,
            address: "-".into(),
        };
        records.put_facility(&facility).await.unwrap();
        let point = Point {
            facility: facility.id.clone(),
            device: DeviceId::new("fridge-1").unwrap(),
            metric: Metric::new("temperature").unwrap(),
            unit: Unit::Celsius,
            point_type: "fridge_air".into(),
            place_zh: "1 号冷藏柜".into(),
            place_en: "Fridge 1".into(),
            report_interval_s: 60,
        };
        records.put_point(&point).await.unwrap();
        let series = SeriesStore::open(SeriesOptions::new(dir.path().join("series")), clock.clone()).unwrap();
        let engine = Engine::open(records.clone(), series, pack::built_in(), clock.clone())
            .await
            .unwrap();
        let vault = Vault::open(dir.path()).unwrap();
        let (published, picture) = (Published::default(), Arc::new(Mutex::new(None::<Bytes>)));
        let alerts = engine.handle();
        let messenger = messenger(&records, &clock, &alerts, (&vault, &published, &picture, b""));
        Post {
            handle: messenger.handle(),
            messenger,
            records,
            clock,
            published,
            picture,
            alerts,
            authorities: Vec::new(),
            vault,
            _engine: engine,
            _dir: dir,
        }
    }

    /// As after a restart: what the messenger held in memory is gone.
    pub(crate) fn restart(&mut self) {
        let held = (
            &self.vault,
            &self.published,
            &self.picture,
            self.authorities.as_slice(),
        );
        self.messenger = messenger(&self.records, &self.clock, &self.alerts, held);
        self.handle = self.messenger.handle();
    }

    pub(crate) async fn channel(&self, kind: ChannelKind, settings: ChannelSettings, secrets: (&str, &str)) {
        let channel = Channel {
            name: kind.code().into(),
            kind,
            settings,
            has_secrets: false,
            enabled: true,
            tried_at: None,
            worked: None,
            said: String::new(),
            version: 0,
        };
        let secrets = ChannelSecrets {
            token: secrets.0.into(),
            secret: secrets.1.into(),
        };
        self.handle
            .put_channel(&channel, Some(&secrets), "admin")
            .await
            .unwrap();
    }

    pub(crate) async fn put(&self, contact: &Contact) {
        self.records.put_contact(contact, 0, "admin").await.unwrap();
    }

    /// Opens a case of CN-TMP-01, or of another rule at another point.
    pub(crate) async fn open_case(&self, rule: &str, point: SeriesKey, severity: Severity) -> Case {
        let now = self.clock.now();
        let new = NewCase {
            rule: RuleId::new(rule).unwrap(),
            rule_version: "1".into(),
            point,
            severity,
            since: now,
            raised_at: now,
            value: Some(9.25),
            limit: Some(8.0),
            trouble: Trouble::Own,
        };
        self.records
            .apply_cases(&[CaseWrite::Open(new)], None)
            .await
            .unwrap()
            .remove(0)
    }

    pub(crate) async fn act(&self, case: &Case, act: Act, by: &str) -> Case {
        let note = Note {
            by: by.into(),
            at: self.clock.now(),
            comment: "words".into(),
        };
        let all = Scope::everything();
        self.records
            .act_on_case(&all, case.id, case.version, CaseAction::new(act, note))
            .await
            .unwrap()
    }

    pub(crate) async fn outbox(&self) -> Vec<Delivery> {
        let filter = DeliveryFilter {
            limit: 1_000,
            ..DeliveryFilter::default()
        };
        let mut rows = self
            .records
            .deliveries(&Scope::everything(), &filter)
            .await
            .unwrap();
        rows.reverse();
        rows
    }

    pub(crate) fn pass(&self, ms: i64) {
        self.clock.set(self.clock.now() + ms);
    }
}

fn messenger(
    records: &Records,
    clock: &Clock,
    alerts: &AlertHandle,
    (vault, published, picture, authorities): (&Vault, &Published, &Arc<Mutex<Option<Bytes>>>, &[u8]),
) -> Messenger {
    let (published, picture) = (Arc::clone(published), Arc::clone(picture));
    let networks = ["127.0.0.0/8"].map(|text| text.parse().unwrap()).to_vec();
    Messenger::open(MessengerParts {
        records: records.clone(),
        vault: vault.clone(),
        clock: clock.clone(),
        alerts: alerts.clone(),
        addresses: Addresses::public_and(networks),
        publish: Arc::new(move |topic, payload| {
            published.lock().unwrap().push((topic, payload));
            async { Ok(()) }.boxed()
        }),
        authorities: authorities.to_vec(),
        push: Some(PushKeys::read(VAPID, "mailto:kitchen@example.org").unwrap()),
        picture: Arc::new(move |_point, _since| {
            let picture = picture.lock().unwrap().clone();
            async { picture }.boxed()
        }),
        moments: Moments {
            local: Arc::new(|at| format!("local {}", at.0)),
            iso: Arc::new(|at| format!("iso {}", at.0)),
        },
        link: "https://kitchen.example/".into(),
    })
    .unwrap()
}
