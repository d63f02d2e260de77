//! The record store through its public surface, on real files.

use domain::{
    Access, Clock, DeviceId, Facility, FacilityId, Identity, IdentityName, LogPosition, Metric, Point,
    RegionId, Scope, SecretHash, Unit, UtcMillis,
};
use sunshine_store::{
    RecordError, Records,
    records::{EngineSnapshot, Problem},
};

use crate::homes::{NOW, facility, furnished, open, region};

fn facility_id(text: &str) -> FacilityId {
    FacilityId::new(text).unwrap()
}

fn point(facility: &str, device: &str, metric: &str) -> Point {
    Point {
        facility: facility_id(facility),
        device: DeviceId::new(device).unwrap(),
        metric: Metric::new(metric).unwrap(),
        unit: Unit::Fahrenheit,
        point_type: "fridge_air".into(),
        place_zh: "1 号冷藏柜".into(),
        place_en: "Fridge 1".into(),
        report_interval_s: 60,
    }
}

fn device(facility: &str, device: &str) -> Identity {
    let (facility, device) = (facility_id(facility), DeviceId::new(device).unwrap());
    Identity {
        name: Identity::device_name(&facility, &device).unwrap(),
        access: Access::Device {
            facility,
            device,
            profile: "standard".into(),
            root: None,
        },
        secret: SecretHash::of(b"secret", [3; 16]),
        expires_at: Some(UtcMillis(5)),
        revoked_at: None,
    }
}

fn service(name: &str) -> Identity {
    Identity {
        name: IdentityName::new(name).unwrap(),
        access: Access::Service {
            publish: vec!["a/#".into()],
            subscribe: vec!["sk/v1/+/+/up/#".into(), "\"".into()],
        },
        secret: SecretHash::of(b"other", [4; 16]),
        expires_at: None,
        revoked_at: None,
    }
}

#[tokio::test]
async fn what_is_put_is_read_back_also_after_reopening() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("records.db");
    let records = furnished(&path).await;
    records
        .put_region(&region("street", Some("binhe")))
        .await
        .unwrap();
    let points = [
        point("a", "fridge-1", "temperature"),
        point("b", "灶台", "combustible_gas"),
    ];
    records.put_points(&points).await.unwrap();
    let mut changed = points[0].clone();
    changed.place_en = "Fridge one".into();
    records.put_point(&changed).await.unwrap();
    records
        .put_identities(&[device("a", "fridge-1"), service("wall")])
        .await
        .unwrap();
    let snapshot = EngineSnapshot {
        position: LogPosition(77),
        state: vec![0, 255, 7],
    };
    records.apply_cases(&[], Some(&snapshot)).await.unwrap();
    records.close().await;

    let records = open(&path).await;
    let all = Scope::everything();
    assert_eq!(
        records.regions().await.unwrap(),
        [region("binhe", None), region("street", Some("binhe"))]
    );
    assert_eq!(
        records.facilities(&all).await.unwrap(),
        [facility("a", "binhe"), facility("b", "binhe")]
    );
    assert_eq!(
        records.facility(&all, &facility_id("b")).await.unwrap(),
        Some(facility("b", "binhe"))
    );
    assert_eq!(
        records.points(&all, None).await.unwrap(),
        [changed, points[1].clone()]
    );
    assert_eq!(
        records.identities().await.unwrap(),
        [device("a", "fridge-1"), service("wall")]
    );
    assert_eq!(records.engine_snapshot().await.unwrap(), Some(snapshot));
    assert_eq!(records.verify_audit().await.unwrap(), None);
    records.ping().await.unwrap();
}

#[tokio::test]
async fn what_does_not_hold_together_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let records = furnished(&dir.path().join("records.db")).await;
    let missing = |e: RecordError| match e {
        RecordError::Missing { what, id } => (what, id),
        other => panic!("{other:?}"),
    };
    let invalid = |e: RecordError| match e {
        RecordError::Invalid { field, problem } => (field, problem),
        other => panic!("{other:?}"),
    };
    let orphan = records
        .put_region(&region("x", Some("nowhere")))
        .await
        .unwrap_err();
    assert_eq!(missing(orphan), ("region", "nowhere".into()));
    let lost = Facility {
        region: RegionId::new("nowhere").unwrap(),
        ..facility("c", "binhe")
    };
    assert_eq!(
        missing(records.put_facility(&lost).await.unwrap_err()),
        ("region", "nowhere".into())
    );
    // The good point before it is not kept either.
    let batch = [point("a", "d", "temperature"), point("zzz", "d", "temperature")];
    assert_eq!(
        missing(records.put_points(&batch).await.unwrap_err()),
        ("facility", "zzz".into())
    );
    assert_eq!(records.points(&Scope::everything(), None).await.unwrap(), []);
    let stray = records.put_identities(&[device("zzz", "d")]).await.unwrap_err();
    assert_eq!(missing(stray), ("facility", "zzz".into()));

    let nameless = Facility {
        name_en: " ".into(),
        ..facility("c", "binhe")
    };
    assert_eq!(
        invalid(records.put_facility(&nameless).await.unwrap_err()),
        ("name_en", Problem::Empty)
    );
    let never = Point {
        report_interval_s: 0,
        ..point("a", "d", "temperature")
    };
    let range = Problem::OutOfRange { min: 1, max: 86_400 };
    assert_eq!(
        invalid(records.put_point(&never).await.unwrap_err()),
        ("report_interval_s", range)
    );
    records
        .put_region(&region("street", Some("binhe")))
        .await
        .unwrap();
    let own_grandparent = records
        .put_region(&region("binhe", Some("street")))
        .await
        .unwrap_err();
    assert_eq!(invalid(own_grandparent), ("parent", Problem::Cycle));
    assert_eq!(
        invalid(records.put_region(&region("y", Some("y"))).await.unwrap_err()),
        ("parent", Problem::Cycle)
    );
}

#[tokio::test]
async fn a_scope_hides_facilities_points_and_devices() {
    let dir = tempfile::tempdir().unwrap();
    let records = furnished(&dir.path().join("records.db")).await;
    records
        .put_points(&[point("a", "d", "co"), point("b", "d", "co")])
        .await
        .unwrap();
    records
        .put_identities(&[device("a", "d"), device("b", "d"), service("wall")])
        .await
        .unwrap();
    let (a, b) = (facility_id("a"), facility_id("b"));
    let only_b = Scope::facilities([b.clone()]);
    assert_eq!(
        records.facilities(&only_b).await.unwrap(),
        [facility("b", "binhe")]
    );
    assert_eq!(records.facility(&only_b, &a).await.unwrap(), None);
    assert_eq!(
        records.points(&only_b, None).await.unwrap(),
        [point("b", "d", "co")]
    );
    assert_eq!(records.points(&only_b, Some(&a)).await.unwrap(), []);
    assert_eq!(records.devices(&only_b, None).await.unwrap(), [device("b", "d")]);
    assert_eq!(records.devices(&only_b, Some(&a)).await.unwrap(), []);
    assert_eq!(
        records.devices(&only_b, Some(&b)).await.unwrap(),
        [device("b", "d")]
    );
    assert_eq!(
        records.devices(&Scope::everything(), None).await.unwrap().len(),
        2
    );
    assert_eq!(records.facilities(&Scope::facilities([])).await.unwrap(), []);
}

#[tokio::test]
async fn an_identity_is_revoked_once_and_put_back_by_a_new_secret() {
    let dir = tempfile::tempdir().unwrap();
    let clock = Clock::simulated(NOW);
    let records = Records::open(&dir.path().join("records.db"), clock.clone())
        .await
        .unwrap();
    records.put_identities(&[service("wall")]).await.unwrap();
    let name = IdentityName::new("wall").unwrap();
    let version = records.directory_version().await.unwrap();
    records.revoke_identity(&name, "王芳").await.unwrap();
    assert!(records.directory_version().await.unwrap() > version);
    clock.set(NOW + 1_000);
    records.revoke_identity(&name, "李雷").await.unwrap();
    assert_eq!(records.identities().await.unwrap()[0].revoked_at, Some(NOW));
    let trail = records.audit_trail(10).await.unwrap();
    let told: Vec<_> = trail
        .iter()
        .map(|e| (e.actor.as_str(), e.action.as_str(), e.object.as_str()))
        .collect();
    assert_eq!(
        told,
        [
            ("李雷", "identity.revoke", "wall"),
            ("王芳", "identity.revoke", "wall"),
            ("system", "identity.put", "wall"),
        ]
    );
    records.put_identities(&[service("wall")]).await.unwrap();
    assert_eq!(records.identities().await.unwrap()[0].revoked_at, None);
    let nobody = IdentityName::new("nobody").unwrap();
    assert!(matches!(
        records.revoke_identity(&nobody, "王芳").await,
        Err(RecordError::NotFound)
    ));
    assert!(matches!(
        records.revoke_identity(&name, " ").await,
        Err(RecordError::Invalid { field: "by", .. })
    ));
}

#[tokio::test]
async fn the_directory_version_moves_with_every_change_also_from_elsewhere() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("records.db");
    let server = furnished(&path).await;
    let tool = open(&path).await;
    let mut seen = server.directory_version().await.unwrap();
    let mut moved = async || {
        let now = server.directory_version().await.unwrap();
        std::mem::replace(&mut seen, now) < now
    };
    tool.put_facility(&facility("c", "binhe")).await.unwrap();
    assert!(moved().await);
    tool.put_point(&point("c", "d", "co")).await.unwrap();
    assert!(moved().await);
    tool.put_identities(&[device("c", "d")]).await.unwrap();
    assert!(moved().await);
    tool.audit(("王芳", "export", "cases", "")).await.unwrap();
    assert!(!moved().await, "the audit trail is no part of the directory");
    assert_eq!(server.facilities(&Scope::everything()).await.unwrap().len(), 3);
}

#[cfg(unix)]
#[tokio::test]
async fn the_file_is_its_owners_alone() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("records.db");
    let records = furnished(&path).await;
    for name in ["records.db", "records.db-wal"] {
        let mode = std::fs::metadata(dir.path().join(name))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o077, 0, "{name} has mode {mode:o}");
    }
    records.close().await;
}

#[tokio::test]
async fn a_file_that_cannot_be_opened_or_is_newer_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let nowhere = dir.path().join("missing").join("records.db");
    let error = Records::open(&nowhere, Clock::simulated(NOW)).await.unwrap_err();
    assert!(matches!(error, RecordError::Open { .. }), "{error:?}");

    let text = dir.path().join("text.db");
    std::fs::write(&text, "this is no database, however long one looks at it").unwrap();
    let error = Records::open(&text, Clock::simulated(NOW)).await.unwrap_err();
    assert!(matches!(error, RecordError::Open { .. }), "{error:?}");

    let newer = dir.path().join("newer.db");
    furnished(&newer).await.close().await;
    let raw = rusqlite::Connection::open(&newer).unwrap();
    raw.execute(
        "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) \
         VALUES (9999, 'from the future', TRUE, X'00', 0)",
        [],
    )
    .unwrap();
    drop(raw);
    let error = Records::open(&newer, Clock::simulated(NOW)).await.unwrap_err();
    assert!(matches!(error, RecordError::Schema { .. }), "{error:?}");
}

#[tokio::test]
async fn a_value_changed_by_other_means_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("records.db");
    let records = furnished(&path).await;
    let raw = rusqlite::Connection::open(&path).unwrap();
    raw.execute("UPDATE facilities SET kind = 'castle' WHERE id = 'b'", [])
        .unwrap();
    match records.facilities(&Scope::everything()).await {
        Err(RecordError::Damaged { what: "kind", key }) => assert_eq!(key, "b"),
        other => panic!("{other:?}"),
    }
}
