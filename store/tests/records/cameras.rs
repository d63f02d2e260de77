//! Cameras and their credentials through the public surface of the record store.

use domain::{
    Camera, CameraKey, CameraSource, CameraUrl, Check, CheckSetting, Clock, Credentials, DeviceId,
    FacilityId, Metric, Point, Polygon, Room, Schedule, Scope, Spot, Unit,
    camera::{CameraError, Decoding, Retention, RtpTransport, Zone},
};
use sunshine_store::{
    RecordError, Records, Vault, VaultError,
    records::{MAX_CAMERAS, Problem, camera_points},
};

use crate::homes::{NOW, furnished};

fn key(facility: &str, camera: &str) -> CameraKey {
    CameraKey {
        facility: FacilityId::new(facility).unwrap(),
        camera: DeviceId::new(camera).unwrap(),
    }
}

fn url(text: &str) -> CameraUrl {
    CameraUrl::new(text).unwrap()
}

fn rtsp(main: &str) -> CameraSource {
    CameraSource::Rtsp {
        main: url(main),
        sub: None,
        transport: RtpTransport::Tcp,
    }
}

fn zone(id: &str) -> Zone {
    let corner = |x, y| Spot { x, y };
    Zone {
        id: DeviceId::new(id).unwrap(),
        name: "灶台".into(),
        area: Polygon::new(vec![corner(0.1, 0.1), corner(0.9, 0.1), corner(0.5, 0.9)]).unwrap(),
    }
}

fn camera(facility: &str, id: &str) -> Camera {
    Camera {
        key: key(facility, id),
        room: Room::Kitchen,
        place_zh: "热菜间灶台".into(),
        place_en: "Hot kitchen, stoves".into(),
        source: rtsp("rtsp://192.168.1.64:554/102"),
        decoding: Decoding::KeyFrames,
        masks: Vec::new(),
        zones: vec![zone("stove")],
        line: None,
        capacity: Some(8),
        checks: vec![
            CheckSetting::of(Check::NoMask),
            CheckSetting {
                zone: Some(DeviceId::new("stove").unwrap()),
                ..CheckSetting::of(Check::NoMask)
            },
        ],
        schedule: Schedule::default(),
        gb_id: None,
        live: true,
        retention: Retention::Days30,
        enabled: true,
    }
}

async fn metrics(records: &Records) -> Vec<String> {
    let points = records.points(&Scope::everything(), None).await.unwrap();
    points
        .iter()
        .map(|p| format!("{}/{}/{}", p.facility, p.device, p.metric))
        .collect()
}

fn secret() -> Credentials {
    Credentials {
        user: "admin".into(),
        password: "hunter2-und-länger".into(),
    }
}

#[test]
fn a_camera_is_judged_by_its_own_points() {
    let mut watched = camera("a", "cam-1");
    let points = camera_points(&watched);
    let told: Vec<_> = points.iter().map(|p| (p.metric.as_str(), p.unit)).collect();
    let want = [
        ("camera_offline", Unit::Bool),
        ("camera_tampered", Unit::Bool),
        ("no_mask", Unit::Bool),
        ("person_count", Unit::Count),
        ("unjudged_share", Unit::Percent),
        ("vision_fault", Unit::Bool),
    ];
    assert_eq!(told, want, "a check in two zones is one point");
    assert!(points.iter().all(|p| p.metric.info().is_some()), "all are known");
    assert_eq!(points[0].place_zh, "热菜间灶台");
    assert_eq!(points[0].report_interval_s, 15);
    // Nothing says that another maker's box is still there: only what it finds is judged.
    watched.source = domain::CameraSource::External;
    let external: Vec<_> = camera_points(&watched)
        .into_iter()
        .map(|p| (p.metric.to_string(), p.report_interval_s))
        .collect();
    assert_eq!(external, [("no_mask".to_owned(), 86_400)]);
    watched.enabled = false;
    assert_eq!(camera_points(&watched), []);
}

#[tokio::test]
async fn a_camera_brings_its_points_and_takes_them_away() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("records.db");
    let records = furnished(&path).await;
    let sensor = Point {
        facility: FacilityId::new("a").unwrap(),
        device: DeviceId::new("cam-1").unwrap(),
        metric: Metric::new("temperature").unwrap(),
        unit: Unit::Celsius,
        point_type: "room_air".into(),
        place_zh: "厨房".into(),
        place_en: "Kitchen".into(),
        report_interval_s: 60,
    };
    records.put_point(&sensor).await.unwrap();
    let version = records.directory_version().await.unwrap();
    let mut one = camera("a", "cam-1");
    assert_eq!(records.put_camera(&one, "王芳").await.unwrap(), 1);
    assert!(records.directory_version().await.unwrap() > version);
    assert_eq!(metrics(&records).await.len(), 7);

    one.checks = vec![CheckSetting::of(Check::PhoneUse)];
    assert_eq!(records.put_camera(&one, "王芳").await.unwrap(), 2);
    let told = metrics(&records).await;
    assert!(told.contains(&"a/cam-1/phone_use".to_owned()), "{told:?}");
    assert!(!told.contains(&"a/cam-1/no_mask".to_owned()), "{told:?}");
    records.close().await;

    let records = Records::open(&path, Clock::simulated(NOW)).await.unwrap();
    let all = Scope::everything();
    assert_eq!(records.camera(&all, &one.key).await.unwrap(), Some(one.clone()));
    let version = records.directory_version().await.unwrap();
    records.remove_camera(&one.key, "王芳").await.unwrap();
    assert!(records.directory_version().await.unwrap() > version);
    assert_eq!(records.camera(&all, &one.key).await.unwrap(), None);
    assert_eq!(metrics(&records).await, ["a/cam-1/temperature"]);
    assert!(matches!(
        records.remove_camera(&one.key, "王芳").await,
        Err(RecordError::NotFound)
    ));
    let trail = records.audit_trail(10).await.unwrap();
    let told: Vec<_> = trail
        .iter()
        .map(|e| (e.action.as_str(), e.object.as_str(), e.detail.as_str()))
        .collect();
    let want = [
        ("camera.remove", "camera a/cam-1", ""),
        ("camera.put", "camera a/cam-1", "version 2"),
        ("camera.put", "camera a/cam-1", "version 1"),
    ];
    assert_eq!(told, want);
    assert_eq!(records.verify_audit().await.unwrap(), None);
}

#[tokio::test]
async fn a_scope_hides_cameras() {
    let dir = tempfile::tempdir().unwrap();
    let records = furnished(&dir.path().join("records.db")).await;
    let vault = Vault::open(dir.path()).unwrap();
    for (facility, id) in [("a", "cam-2"), ("a", "cam-1"), ("b", "cam-1")] {
        records.put_camera(&camera(facility, id), "王芳").await.unwrap();
    }
    let (a, b) = (FacilityId::new("a").unwrap(), FacilityId::new("b").unwrap());
    records
        .put_camera_credentials(&key("a", "cam-1"), &secret(), &vault, "王芳")
        .await
        .unwrap();
    let only_b = Scope::facilities([b.clone()]);
    let keys = async |scope: &Scope, facility: Option<&FacilityId>| {
        let cameras = records.cameras(scope, facility).await.unwrap();
        cameras.iter().map(|c| c.key.to_string()).collect::<Vec<String>>()
    };
    let all = Scope::everything();
    assert_eq!(keys(&all, None).await, ["a/cam-1", "a/cam-2", "b/cam-1"]);
    assert_eq!(keys(&all, Some(&a)).await, ["a/cam-1", "a/cam-2"]);
    assert_eq!(keys(&only_b, None).await, ["b/cam-1"]);
    assert_eq!(keys(&only_b, Some(&a)).await, [""; 0]);
    assert_eq!(records.camera(&only_b, &key("a", "cam-1")).await.unwrap(), None);
    assert!(records.has_credentials(&all, &key("a", "cam-1")).await.unwrap());
    assert!(
        !records
            .has_credentials(&only_b, &key("a", "cam-1"))
            .await
            .unwrap()
    );
}

#[tokio::test]
async fn a_camera_that_may_not_be_or_makes_no_sense_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let records = furnished(&dir.path().join("records.db")).await;
    for room in Room::ALL.into_iter().filter(|room| room.is_private()) {
        let private = Camera {
            room,
            ..camera("a", "cam-1")
        };
        let error = records.put_camera(&private, "王芳").await.unwrap_err();
        let refused = matches!(
            error,
            RecordError::Camera {
                source: CameraError::PrivateRoom
            }
        );
        assert!(refused, "{error:?}");
    }
    let lost = records.put_camera(&camera("nowhere", "cam-1"), "王芳").await;
    assert!(
        matches!(&lost, Err(RecordError::Missing { what: "facility", id }) if id == "nowhere"),
        "{lost:?}"
    );
    type Spoil = fn(&mut Camera);
    let spoilt: [(&str, Spoil); 12] = [
        ("place_en", |c| c.place_en = " ".into()),
        ("zone", |c| c.zones.push(zone("stove"))),
        ("zone", |c| c.zones[0].name.clear()),
        ("check", |c| c.checks.push(CheckSetting::of(Check::NoMask))),
        ("min_duration_s", |c| c.checks[0].min_duration_s = 0),
        ("re_alarm_s", |c| c.checks[0].re_alarm_s = 36_001),
        ("vote", |c| c.checks[0].vote.needed = 0),
        ("sensitivity", |c| c.checks[0].sensitivity = Some(f32::NAN)),
        ("capacity", |c| c.capacity = Some(0)),
        ("working", |c| c.schedule.working[0].from_min = 1_440),
        ("meals", |c| c.schedule.meals = vec![c.schedule.meals[0]; 13]),
        ("interval_ms", |c| {
            c.source = CameraSource::Snapshot {
                url: url("http://cam/"),
                interval_ms: 199,
            };
        }),
    ];
    for (want, spoil) in spoilt {
        let mut bad = camera("a", "cam-1");
        spoil(&mut bad);
        match records.put_camera(&bad, "王芳").await {
            Err(RecordError::Invalid { field, .. }) => assert_eq!(field, want),
            other => panic!("{want}: {other:?}"),
        }
    }
    let mut stray = camera("a", "cam-1");
    stray.zones.clear();
    let error = records.put_camera(&stray, "王芳").await.unwrap_err();
    assert!(
        matches!(error, RecordError::Missing { what: "zone", .. }),
        "{error:?}"
    );
    assert!(matches!(
        records.put_camera(&camera("a", "cam-1"), " ").await,
        Err(RecordError::Invalid { field: "actor", .. })
    ));
    assert_eq!(records.cameras(&Scope::everything(), None).await.unwrap(), []);
    assert_eq!(metrics(&records).await, [""; 0]);
}

#[tokio::test]
async fn only_so_many_cameras_fit() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("records.db");
    let records = furnished(&path).await;
    records.put_camera(&camera("a", "first"), "王芳").await.unwrap();
    let mut raw = rusqlite::Connection::open(&path).unwrap();
    let transaction = raw.transaction().unwrap();
    for n in 1..MAX_CAMERAS {
        transaction
            .execute(
                "INSERT INTO cameras SELECT facility, ?1, room, enabled, live, settings, version FROM cameras \
                 WHERE camera = 'first'",
                [format!("more-{n}")],
            )
            .unwrap();
    }
    transaction.commit().unwrap();
    let error = records
        .put_camera(&camera("b", "one-more"), "王芳")
        .await
        .unwrap_err();
    assert!(
        matches!(error, RecordError::Invalid { field: "cameras", problem: Problem::TooMany { max } } if max == MAX_CAMERAS),
        "{error:?}"
    );
    assert_eq!(
        records.put_camera(&camera("a", "first"), "王芳").await.unwrap(),
        2,
        "one that is there may be changed"
    );
}

#[tokio::test]
async fn credentials_come_back_and_leave_no_trace() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("records.db");
    let records = furnished(&path).await;
    let vault = Vault::open(dir.path()).unwrap();
    let one = key("a", "cam-1");
    let early = records
        .put_camera_credentials(&one, &secret(), &vault, "王芳")
        .await
        .unwrap_err();
    assert!(
        matches!(early, RecordError::Missing { what: "camera", .. }),
        "{early:?}"
    );
    records.put_camera(&camera("a", "cam-1"), "王芳").await.unwrap();
    assert_eq!(records.camera_credentials(&one, &vault).await.unwrap(), None);
    let version = records.directory_version().await.unwrap();
    records
        .put_camera_credentials(&one, &secret(), &vault, "王芳")
        .await
        .unwrap();
    assert!(records.directory_version().await.unwrap() > version);
    assert_eq!(
        records.camera_credentials(&one, &vault).await.unwrap(),
        Some(secret())
    );

    let other = Credentials {
        user: String::new(),
        password: "another".into(),
    };
    records
        .put_camera_credentials(&one, &other, &vault, "王芳")
        .await
        .unwrap();
    assert_eq!(
        records.camera_credentials(&one, &vault).await.unwrap(),
        Some(other)
    );
    let trail = records.audit_trail(100).await.unwrap();
    assert_eq!(trail[0].action, "camera.credentials.put");
    let told = format!("{trail:?}");
    assert!(!told.contains("hunter2") && !told.contains("another"), "{told}");
    records.close().await;
    for entry in std::fs::read_dir(dir.path()).unwrap() {
        let bytes = std::fs::read(entry.unwrap().path()).unwrap();
        for word in [&b"hunter2"[..], b"another"] {
            assert!(!bytes.windows(word.len()).any(|w| w == word));
        }
    }

    let records = Records::open(&path, Clock::simulated(NOW)).await.unwrap();
    records.remove_camera_credentials(&one, "王芳").await.unwrap();
    assert_eq!(records.camera_credentials(&one, &vault).await.unwrap(), None);
    assert!(matches!(
        records.remove_camera_credentials(&one, "王芳").await,
        Err(RecordError::NotFound)
    ));
}

#[tokio::test]
async fn credentials_out_of_bounds_are_refused_and_not_echoed() {
    let dir = tempfile::tempdir().unwrap();
    let records = furnished(&dir.path().join("records.db")).await;
    let vault = Vault::open(dir.path()).unwrap();
    let one = key("a", "cam-1");
    records.put_camera(&camera("a", "cam-1"), "王芳").await.unwrap();
    let long = Credentials {
        user: "admin".into(),
        password: "x".repeat(257),
    };
    let error = records
        .put_camera_credentials(&one, &long, &vault, "王芳")
        .await
        .unwrap_err();
    assert!(
        matches!(
            error,
            RecordError::Invalid {
                field: "password",
                ..
            }
        ),
        "{error:?}"
    );
    assert!(!error.to_string().contains("xxx"), "{error}");
}

#[tokio::test]
async fn credentials_open_with_their_own_key_and_row_only() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("records.db");
    let records = furnished(&path).await;
    let vault = Vault::open(dir.path()).unwrap();
    let (one, two) = (key("a", "cam-1"), key("a", "cam-2"));
    for id in ["cam-1", "cam-2"] {
        records.put_camera(&camera("a", id), "王芳").await.unwrap();
    }
    records
        .put_camera_credentials(&one, &secret(), &vault, "王芳")
        .await
        .unwrap();
    let sealed = |error: RecordError| match error {
        RecordError::Vault { source } => matches!(source, VaultError::Sealed),
        _ => false,
    };
    let elsewhere = tempfile::tempdir().unwrap();
    let other_vault = Vault::open(elsewhere.path()).unwrap();
    assert!(sealed(
        records.camera_credentials(&one, &other_vault).await.unwrap_err()
    ));

    let raw = rusqlite::Connection::open(&path).unwrap();
    raw.execute(
        "INSERT INTO camera_secrets SELECT facility, 'cam-2', sealed FROM camera_secrets",
        [],
    )
    .unwrap();
    assert!(sealed(
        records.camera_credentials(&two, &vault).await.unwrap_err()
    ));
    let mut bytes: Vec<u8> = raw
        .query_row(
            "SELECT sealed FROM camera_secrets WHERE camera = 'cam-1'",
            [],
            |row| row.get(0),
        )
        .unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    raw.execute(
        "UPDATE camera_secrets SET sealed = ?1 WHERE camera = 'cam-1'",
        [bytes],
    )
    .unwrap();
    assert!(sealed(
        records.camera_credentials(&one, &vault).await.unwrap_err()
    ));
}

#[tokio::test]
async fn whoever_moves_a_camera_to_another_host_does_not_get_its_password_sent_there() {
    let dir = tempfile::tempdir().unwrap();
    let records = furnished(&dir.path().join("records.db")).await;
    let vault = Vault::open(dir.path()).unwrap();
    let all = Scope::everything();
    let mut one = camera("a", "cam-1");
    records.put_camera(&one, "王芳").await.unwrap();
    records
        .put_camera_credentials(&one.key, &secret(), &vault, "王芳")
        .await
        .unwrap();
    one.source = rtsp("rtsp://192.168.1.64:8554/other");
    records.put_camera(&one, "王芳").await.unwrap();
    assert!(
        records.has_credentials(&all, &one.key).await.unwrap(),
        "the same host"
    );
    one.source = CameraSource::Rtsp {
        main: url("rtsp://192.168.1.64/101"),
        sub: Some(url("rtsp://evil.example/102")),
        transport: RtpTransport::Tcp,
    };
    records.put_camera(&one, "李雷").await.unwrap();
    assert!(!records.has_credentials(&all, &one.key).await.unwrap());
    let told = &records.audit_trail(1).await.unwrap()[0].detail;
    assert!(told.contains("credentials were forgotten"), "{told}");
}
