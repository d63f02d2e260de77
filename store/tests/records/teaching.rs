//! Crops and taught heads through the public surface of the record store.

use domain::{
    Camera, CameraKey, CameraSource, Check, DeviceId, FacilityId, Room, Schedule, Scope,
    camera::{Decoding, Retention},
};
use sunshine_store::{
    RecordError, Records,
    records::{CropFilter, CropId, HeadKey, MAX_CROP_BYTES, MAX_CROPS, MAX_HEAD_BYTES, NewCrop, StoredHead},
};

use crate::homes::{NOW, furnished};

const CAMERA: [&str; 2] = ["a", "cam-1"];

fn key() -> CameraKey {
    CameraKey {
        facility: FacilityId::new(CAMERA[0]).unwrap(),
        camera: DeviceId::new(CAMERA[1]).unwrap(),
    }
}

fn of(check: Check, zone: Option<&str>) -> HeadKey {
    HeadKey {
        camera: key(),
        check,
        zone: zone.map(|z| DeviceId::new(z).unwrap()),
    }
}

fn embedder(n: u8) -> String {
    hex::encode([n; 32])
}

fn crop(n: u8) -> NewCrop {
    NewCrop {
        of: of(Check::BinOpen, None),
        at: NOW + i64::from(n),
        jpeg: vec![n; 100],
        embedding: vec![f32::from(n), -0.5, f32::MIN_POSITIVE],
        embedder_sha256: embedder(1),
    }
}

/// A store with one camera.
async fn open() -> (tempfile::TempDir, Records) {
    let dir = tempfile::tempdir().unwrap();
    let records = furnished(&dir.path().join("records.db")).await;
    let camera = Camera {
        key: key(),
        room: Room::Kitchen,
        place_zh: "后厨".into(),
        place_en: "Kitchen".into(),
        source: CameraSource::Pushed,
        decoding: Decoding::KeyFrames,
        masks: Vec::new(),
        zones: Vec::new(),
        line: None,
        capacity: None,
        checks: Vec::new(),
        schedule: Schedule::default(),
        gb_id: None,
        live: false,
        retention: Retention::Days7,
        enabled: true,
    };
    records.put_camera(&camera, "王芳").await.unwrap();
    (dir, records)
}

async fn numbers(records: &Records, filter: CropFilter) -> Vec<i64> {
    let crops = records
        .crops(&Scope::everything(), &key(), Check::BinOpen, filter)
        .await
        .unwrap();
    crops.iter().map(|c| c.id.0).collect()
}

#[tokio::test]
async fn marked_crops_teach_with_the_numbers_of_one_model() {
    let (_dir, records) = open().await;
    let scope = Scope::everything();
    let mut foreign = crop(4);
    foreign.embedder_sha256 = embedder(2);
    let mut zoned = crop(5);
    zoned.of = of(Check::BinOpen, Some("bin"));
    for new in [crop(1), crop(2), crop(3), foreign, zoned] {
        records.add_crop(&new).await.unwrap().unwrap();
    }
    for (id, label) in [
        (1, Some(true)),
        (2, Some(false)),
        (3, Some(true)),
        (3, None),
        (4, Some(true)),
        (5, Some(true)),
    ] {
        let marked = records
            .label_crop(&scope, CropId(id), label, "王芳")
            .await
            .unwrap();
        assert_eq!(marked.label, label);
        assert_eq!(marked.labelled_by.is_some(), label.is_some());
    }
    let taught = records
        .labelled(&scope, &of(Check::BinOpen, None), &embedder(1))
        .await
        .unwrap();
    assert_eq!(taught, [(crop(1).embedding, true), (crop(2).embedding, false)]);
    assert_eq!(numbers(&records, CropFilter::All).await, [5, 4, 3, 2, 1]);
    assert_eq!(numbers(&records, CropFilter::Unlabelled).await, [3]);
    assert_eq!(numbers(&records, CropFilter::Labelled).await, [5, 4, 2, 1]);
    assert_eq!(
        records.crop_jpeg(&scope, CropId(2)).await.unwrap(),
        Some(crop(2).jpeg)
    );
    let trail = records.audit_trail(3).await.unwrap();
    assert_eq!(trail[0].action, "crop.label");
    assert_eq!(trail[0].detail, "a/cam-1 bin_open bin: yes");
    assert_eq!(trail[2].detail, "a/cam-1 bin_open whole picture: taken back");
}

#[tokio::test]
async fn the_oldest_unmarked_crop_makes_room() {
    let (_dir, records) = open().await;
    let scope = Scope::everything();
    for _ in 0..MAX_CROPS {
        records.add_crop(&crop(0)).await.unwrap().unwrap();
    }
    records
        .label_crop(&scope, CropId(1), Some(true), "王芳")
        .await
        .unwrap();
    let mut other_check = crop(1);
    other_check.of.check = Check::FloorDirty;
    records.add_crop(&other_check).await.unwrap().unwrap();
    records.add_crop(&crop(2)).await.unwrap().unwrap();
    let left = numbers(&records, CropFilter::All).await;
    assert_eq!(left.len(), MAX_CROPS);
    assert_eq!(
        &left[MAX_CROPS - 2..],
        [3, 1],
        "the second was the oldest unmarked one"
    );
    for id in numbers(&records, CropFilter::Unlabelled).await {
        records
            .label_crop(&scope, CropId(id), Some(false), "王芳")
            .await
            .unwrap();
    }
    assert_eq!(records.add_crop(&crop(3)).await.unwrap(), None, "all are marked");
    assert_eq!(numbers(&records, CropFilter::All).await, left);
}

#[tokio::test]
async fn a_crop_out_of_bounds_is_refused() {
    let (_dir, records) = open().await;
    type Spoil = fn(&mut NewCrop);
    let spoilt: [(&str, Spoil); 8] = [
        ("jpeg", |c| c.jpeg.clear()),
        ("jpeg", |c| c.jpeg = vec![0; MAX_CROP_BYTES + 1]),
        ("embedding", |c| c.embedding.clear()),
        ("embedding", |c| c.embedding = vec![0.0; 4_097]),
        ("embedding", |c| c.embedding[1] = f32::INFINITY),
        ("embedding", |c| c.embedding[1] = f32::NAN),
        ("embedder_sha256", |c| c.embedder_sha256 = "ab".into()),
        ("embedder_sha256", |c| c.embedder_sha256 = "g".repeat(64)),
    ];
    for (want, spoil) in spoilt {
        let mut bad = crop(1);
        spoil(&mut bad);
        match records.add_crop(&bad).await {
            Err(RecordError::Invalid { field, .. }) => assert_eq!(field, want),
            other => panic!("{want}: {other:?}"),
        }
    }
    let mut stray = crop(1);
    stray.of.camera.camera = DeviceId::new("cam-9").unwrap();
    let error = records.add_crop(&stray).await.unwrap_err();
    assert!(
        matches!(error, RecordError::Missing { what: "camera", .. }),
        "{error:?}"
    );
    let mut largest = crop(1);
    largest.jpeg = vec![0; MAX_CROP_BYTES];
    assert!(records.add_crop(&largest).await.unwrap().is_some());
}

#[tokio::test]
async fn heads_have_versions_and_go_with_their_camera() {
    let (_dir, records) = open().await;
    let scope = Scope::everything();
    let whole = of(Check::BinOpen, None);
    let zoned = of(Check::BinOpen, Some("bin"));
    let before = records.directory_version().await.unwrap();
    assert_eq!(
        records
            .put_head(&scope, &whole, "{\"n\":1}", "王芳")
            .await
            .unwrap(),
        1
    );
    assert!(records.directory_version().await.unwrap() > before);
    assert_eq!(records.put_head(&scope, &zoned, "{}", "王芳").await.unwrap(), 1);
    assert_eq!(
        records
            .put_head(&scope, &whole, "{\"n\":2}", "李雷")
            .await
            .unwrap(),
        2
    );
    let heads = records.heads(&scope, &key()).await.unwrap();
    let first = StoredHead {
        of: whole.clone(),
        json: "{\"n\":2}".into(),
        made_by: "李雷".into(),
        made_at: NOW,
        version: 2,
    };
    assert_eq!(heads[0], first);
    assert_eq!((&heads[1].of, heads.len()), (&zoned, 2));
    let told = &records.audit_trail(1).await.unwrap()[0].detail;
    assert!(told.starts_with("version 2 sha256="), "{told}");

    let too_large = format!("\"{}\"", "x".repeat(MAX_HEAD_BYTES));
    for bad in ["", "{", "{} {}", &too_large] {
        let error = records.put_head(&scope, &whole, bad, "王芳").await.unwrap_err();
        assert!(
            matches!(error, RecordError::Invalid { field: "head", .. }),
            "{error:?}"
        );
    }
    records.add_crop(&crop(1)).await.unwrap().unwrap();
    records.remove_camera(&key(), "王芳").await.unwrap();
    assert_eq!(records.heads(&scope, &key()).await.unwrap(), []);
    assert_eq!(numbers(&records, CropFilter::All).await, [0; 0]);
    let error = records.put_head(&scope, &whole, "{}", "王芳").await.unwrap_err();
    assert!(
        matches!(error, RecordError::Missing { what: "camera", .. }),
        "{error:?}"
    );
}

#[tokio::test]
async fn a_scope_hides_crops_and_heads() {
    let (_dir, records) = open().await;
    let elsewhere = Scope::facilities([FacilityId::new("b").unwrap()]);
    let whole = of(Check::BinOpen, None);
    let id = records.add_crop(&crop(1)).await.unwrap().unwrap();
    records
        .label_crop(&Scope::everything(), id, Some(true), "王芳")
        .await
        .unwrap();
    let hidden = records
        .crops(&elsewhere, &key(), Check::BinOpen, CropFilter::All)
        .await;
    assert_eq!(hidden.unwrap(), []);
    assert_eq!(records.crop_jpeg(&elsewhere, id).await.unwrap(), None);
    assert_eq!(
        records.labelled(&elsewhere, &whole, &embedder(1)).await.unwrap(),
        []
    );
    assert_eq!(records.heads(&elsewhere, &key()).await.unwrap(), []);
    let beyond = records.label_crop(&elsewhere, id, Some(false), "李雷").await;
    assert!(matches!(beyond, Err(RecordError::NotFound)), "{beyond:?}");
    let beyond = records.put_head(&elsewhere, &whole, "{}", "李雷").await;
    assert!(matches!(beyond, Err(RecordError::NotFound)), "{beyond:?}");
    let kept = records
        .labelled(&Scope::everything(), &whole, &embedder(1))
        .await
        .unwrap();
    assert_eq!(
        kept,
        [(crop(1).embedding, true)],
        "what was refused changed nothing"
    );
}
