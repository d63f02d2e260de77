//! Devices added together, vendor roots that nobody shares, calibrations, and a CSV file read row by row.

use domain::{
    Access, Calibration, Clock, DeviceId, FacilityId, Identity, Metric, Profiles, Scope, SeriesKey,
    UtcMillis, VendorRoot,
};
use proptest::prelude::{any, prop, prop_assert, prop_assert_eq, proptest};
use sunshine_store::{
    RecordError, Records,
    onboarding::{Known, RowProblem, plan, quoted},
    records::{NewDevice, fresh_secret},
};

use crate::homes::{self, region};

async fn records() -> (tempfile::TempDir, Records) {
    let dir = tempfile::tempdir().unwrap();
    let clock = Clock::simulated(UtcMillis(1_795_000_000_000));
    let records = Records::open(&dir.path().join("records.db"), clock)
        .await
        .unwrap();
    records.put_region(&region("r", None)).await.unwrap();
    records.put_facility(&homes::facility("f", "r")).await.unwrap();
    (dir, records)
}

fn facility() -> FacilityId {
    FacilityId::new("f").unwrap()
}

fn device(id: &str, root: Option<&str>) -> NewDevice {
    let (_, hash) = fresh_secret().unwrap();
    let device = DeviceId::new(id).unwrap();
    let root = root.map(|root| VendorRoot::parse(root).unwrap());
    let identity = Identity::of_device(&facility(), &device, "standard", hash)
        .unwrap()
        .below(root);
    NewDevice {
        facility: facility(),
        device,
        identity: Some(identity),
        gateway: None,
        points: Vec::new(),
    }
}

#[tokio::test]
async fn one_that_cannot_be_added_costs_the_others_nothing() {
    let (_dir, records) = records().await;
    let elsewhere = NewDevice {
        facility: FacilityId::new("nowhere").unwrap(),
        identity: device("x", None).identity.map(|mut identity| {
            if let Access::Device { facility, .. } = &mut identity.access {
                *facility = FacilityId::new("nowhere").unwrap();
            }
            identity
        }),
        ..device("x", None)
    };
    let all = [
        device("a", Some("spBv1.0/g/e")),
        device("b", Some("spBv1.0/g/e")),
        device("a", None),
        elsewhere,
        device("c", Some("shellies/c")),
    ];
    let version = records.directory_version().await.unwrap();
    let answers = records.onboard(&all, "王芳").await.unwrap();
    assert!(answers[0].is_ok() && answers[4].is_ok());
    assert!(matches!(&answers[1], Err(RecordError::RootTaken { root }) if root == "spBv1.0/g/e"));
    assert!(matches!(&answers[2], Err(RecordError::DeviceExists { device }) if device == "f/a"));
    assert!(matches!(
        &answers[3],
        Err(RecordError::Missing { what: "facility", .. })
    ));
    assert!(records.directory_version().await.unwrap() > version);
    let known: Vec<String> = records
        .identities()
        .await
        .unwrap()
        .iter()
        .map(|i| i.name.to_string())
        .collect();
    assert_eq!(known, ["f/a", "f/c"]);
    let a = records
        .device(&Scope::everything(), &facility(), &DeviceId::new("a").unwrap())
        .await
        .unwrap();
    assert!(matches!(a.access, Access::Device { root: Some(root), .. } if root.to_string() == "spBv1.0/g/e"));
    let trail = records.audit_trail(10).await.unwrap();
    assert_eq!(trail.iter().filter(|line| line.action == "device.add").count(), 2);
    assert_eq!(records.verify_audit().await.unwrap(), None);
    let many: Vec<NewDevice> = (0..2_001).map(|n| device(&format!("d{n}"), None)).collect();
    assert!(matches!(
        records.onboard(&many, "x").await,
        Err(RecordError::Invalid { .. })
    ));
}

#[tokio::test]
async fn a_new_secret_ends_the_old_one_and_a_scope_hides_the_device() {
    let (_dir, records) = records().await;
    records.onboard(&[device("a", None)], "x").await.unwrap();
    let id = DeviceId::new("a").unwrap();
    let of = (&facility(), &id);
    records
        .revoke_identity(&Identity::device_name(of.0, of.1).unwrap(), "x")
        .await
        .unwrap();
    let secret = records.renew_secret(&Scope::everything(), of, "x").await.unwrap();
    let identity = records.device(&Scope::everything(), of.0, of.1).await.unwrap();
    assert!(identity.secret.verify(secret.as_bytes()) && identity.revoked_at.is_none());
    let nobody = Scope::facilities([]);
    for refused in [
        records.renew_secret(&nobody, of, "x").await.map(drop),
        records.device(&nobody, of.0, of.1).await.map(drop),
        records.new_claim(&nobody, of, "x").await.map(drop),
    ] {
        assert!(matches!(refused, Err(RecordError::NotFound)));
    }
}

#[tokio::test]
async fn a_calibration_is_kept_with_who_and_when() {
    let (_dir, records) = records().await;
    let calibration = Calibration {
        key: SeriesKey {
            facility: facility(),
            device: DeviceId::new("a").unwrap(),
            metric: Metric::new("temperature").unwrap(),
        },
        scale: 1.02,
        offset: -0.4,
        due: Some(UtcMillis(1_800_000_000_000)),
        since: UtcMillis(1_795_000_000_000),
        by: "王芳".into(),
    };
    let all = Scope::everything();
    records.put_calibration(&all, &calibration).await.unwrap();
    let newer = Calibration {
        offset: -0.5,
        ..calibration.clone()
    };
    records.put_calibration(&all, &newer).await.unwrap();
    assert_eq!(records.calibrations(&all, None).await.unwrap(), [newer]);
    assert_eq!(
        records.calibrations(&Scope::facilities([]), None).await.unwrap(),
        []
    );
    let broken = [
        Calibration {
            scale: 0.0,
            ..calibration.clone()
        },
        Calibration {
            scale: f64::NAN,
            ..calibration.clone()
        },
        Calibration {
            offset: f64::INFINITY,
            ..calibration.clone()
        },
    ];
    for broken in broken {
        let refused = records.put_calibration(&all, &broken).await;
        assert!(matches!(refused, Err(RecordError::Calibration { .. })));
    }
    assert!(
        records
            .put_calibration(&Scope::facilities([]), &calibration)
            .await
            .is_err()
    );
}

fn known() -> Known {
    let mut known = Known::default();
    known.facilities.insert(facility());
    let gateway = (facility(), DeviceId::new("hub").unwrap());
    known.devices.insert(gateway, "zigbee2mqtt".into());
    known
}

#[test]
fn a_row_becomes_a_device_with_its_points() {
    let csv = "\u{feff}device,facility,profile,place_zh,points,report_interval_s,place_en\r\n\
               fridge,f,fridge-probe,\"1 号柜, \"\"左\"\"\",,,\r\n\
               \r\n\
               hub.door,f,,\"冷库\n门\",door_open=cold_room;battery=sensor,300,Cold room\r\n\
               hub2,f,zigbee2mqtt,,,,\r\n\
               hub2.smoke,f,,,smoke_alarm=smoke_detector,,Hall\r\n\
               smoke,f,nbiot-smoke,,,,";
    let plan = plan(csv, &Profiles::built_in(), &known()).unwrap();
    let errors: Vec<String> = plan.errors.iter().map(ToString::to_string).collect();
    assert_eq!(
        errors.len(),
        1,
        "a line break inside a cell cannot be printed: {errors:?}"
    );
    assert_eq!(plan.errors[0].problem, RowProblem::Text);
    let fridge = &plan.devices[0];
    assert_eq!((fridge.line, fridge.new.points.len()), (2, 1));
    let point = &fridge.new.points[0];
    assert_eq!(
        (point.place_zh.as_str(), point.place_en.as_str()),
        ("1 号柜, \"左\"", "1 号柜, \"左\"")
    );
    assert_eq!(
        (point.point_type.as_str(), point.report_interval_s),
        ("fridge_air", 60)
    );
    let rest: Vec<(&str, bool, usize)> = plan.devices[1..]
        .iter()
        .map(|p| (p.new.device.as_str(), p.secret.is_some(), p.new.points.len()))
        .collect();
    assert_eq!(
        rest,
        [("hub2", true, 0), ("hub2.smoke", false, 1), ("smoke", true, 0)]
    );
}

#[tokio::test]
async fn the_gateway_of_a_device_with_a_secret_of_its_own_is_kept_and_a_wrong_one_is_named() {
    let csv = "facility,device,gateway\n\
               f,fridge,hub\n\
               f,freezer,router\n\
               f,router,\n\
               f,oven,nobody\n\
               f,lamp,lamp\n\
               f,hub.door,hub\n";
    let plan = plan(csv, &Profiles::built_in(), &known()).unwrap();
    let errors: Vec<(usize, &str)> = plan.errors.iter().map(|e| (e.line, e.column.as_str())).collect();
    assert_eq!(errors, [(5, "gateway"), (6, "gateway"), (7, "points")]);
    let (_dir, records) = records().await;
    let devices: Vec<NewDevice> = plan.devices.into_iter().map(|planned| planned.new).collect();
    let added = records.onboard(&devices, "王芳").await.unwrap();
    assert!(added.iter().all(Result::is_ok), "{added:?}");
    let gateways = records.gateways(&Scope::everything(), None).await.unwrap();
    let hang: Vec<(&str, &str)> = gateways
        .iter()
        .map(|((_, device), gateway)| (device.as_str(), gateway.as_str()))
        .collect();
    assert_eq!(hang, [("freezer", "router"), ("fridge", "hub")]);
}

proptest! {
    #[test]
    fn what_is_quoted_is_read_back(place in "[a-z,\"' =@温度-]{1,20}") {
        let place = place.trim().to_owned();
        let csv = format!("facility,device,profile,place_zh\nf,a,fridge-probe,{}\n", quoted(&place));
        let plan = plan(&csv, &Profiles::built_in(), &known()).unwrap();
        prop_assert_eq!(plan.errors.len(), 0);
        let read = &plan.devices[0].new.points[0].place_zh;
        let want = if place.is_empty() { "a" } else { place.as_str() };
        // What a spreadsheet would take for a formula has a quote before it.
        prop_assert_eq!(read.strip_prefix('\'').filter(|_| !place.starts_with('\'')).unwrap_or(read), want);
    }

    #[test]
    fn any_text_is_answered(text in prop::collection::vec(any::<char>(), 0..200)) {
        let text: String = text.into_iter().collect();
        let read = plan(&text, &Profiles::built_in(), &known()).unwrap();
        prop_assert!(read.devices.is_empty());
        let with_header = plan(&format!("facility,device\n{text}"), &Profiles::built_in(), &known()).unwrap();
        prop_assert!(with_header.errors.windows(2).all(|pair| pair[0].line <= pair[1].line));
    }
}
