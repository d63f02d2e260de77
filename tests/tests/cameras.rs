//! A camera's whole path: real RTSP with digest authentication, real models, a finding, a case, evidence that holds
//! up, and stills on which nobody is known.

use std::{
    future::Future,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::{Context, bail};
use domain::{Check, CheckSetting, Credentials, DeviceId, Scope, check::Hours};
use simulator::CameraScript;
use store::{
    Vault,
    evidence::{ItemRole, verify},
    records::{Finding, FindingFilter},
};
use sunshine_integration_tests::{
    Device, TestApp,
    cameras::{ALLOW_LOOPBACK, Farm},
    point,
};

/// How long a finding may take here: the built-in engine in an unoptimised build takes a second for a look.
const PATIENCE: Duration = Duration::from_secs(180);

/// A product that may connect to this machine, with the engine that is installed here, if one is.
async fn product() -> anyhow::Result<TestApp> {
    product_with("").await
}

/// The same, with further options of `[vision]`.
async fn product_with(vision: &str) -> anyhow::Result<TestApp> {
    let library = Path::new(env!("CARGO_MANIFEST_DIR")).join("../onnxruntime/lib/libonnxruntime.so");
    let library = library
        .exists()
        .then(|| format!("onnxruntime_library = {library:?}\n"));
    let extra = format!(
        "{ALLOW_LOOPBACK}[vision]\nenabled = true\n{vision}{}",
        library.unwrap_or_default()
    );
    TestApp::start_with(&extra).await
}

async fn waited<T, F>(what: &str, ask: impl Fn() -> F) -> anyhow::Result<T>
where
    F: Future<Output = anyhow::Result<Option<T>>>,
{
    let deadline = Instant::now() + PATIENCE;
    while Instant::now() < deadline {
        if let Some(found) = ask().await? {
            return Ok(found);
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    bail!("waited in vain until {what}")
}

async fn finding_of(app: &TestApp, check: Check) -> anyhow::Result<Option<Finding>> {
    let filter = FindingFilter {
        check: Some(check),
        limit: 10,
        ..FindingFilter::default()
    };
    Ok(app.records.findings(&Scope::everything(), &filter).await?.pop())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cook_without_a_mask_becomes_a_finding_with_evidence_that_holds_up() -> anyhow::Result<()> {
    let farm = Farm::start(&[CameraScript::HotKitchen]).await?;
    let app = product().await?;
    farm.attach(&app).await?;
    let finding = waited("there is a finding", || finding_of(&app, Check::NoMask)).await?;
    assert!(
        finding.said.evidence.is_some(),
        "what is said points to what is kept"
    );
    assert!(
        finding.said.model.as_ref().is_some_and(|m| m.sha256.len() == 64),
        "{:?}",
        finding.said.model
    );
    let boxes: Vec<&str> = finding.said.boxes.iter().map(|b| b.label.as_str()).collect();
    assert!(boxes.contains(&"person"), "{boxes:?}");

    let case = waited("there is a case", || async {
        let answer = app.json("/api/v1/cases").await?;
        let cases = answer["cases"].as_array().cloned().unwrap_or_default();
        Ok(cases.into_iter().find(|case| case["rule"] == "V-02"))
    });
    assert_eq!(case.await?["severity"], "P3");

    // The clip follows when what came after has been seen.
    let finding = waited("the clip is there", || async {
        Ok(finding_of(&app, Check::NoMask)
            .await?
            .filter(|f| f.evidence.len() > 1))
    })
    .await?;
    let key = &farm.cameras[0].0.key;
    let page = app
        .get(&format!("/cameras/{}/{}?lang=en", key.facility, key.camera))
        .await?;
    assert_eq!(page.0, 200);
    let secret = &farm.cameras[0].1.password;
    assert!(!page.1.contains(secret), "the password is on the page");
    let evidence = app.data_dir().join("evidence");
    let (dir, kept) = (tempfile::tempdir()?, finding.evidence.len());
    app.finish_keeping(|| copy(&evidence, &dir.path().join("evidence")))
        .await?;
    farm.finish().await?;
    holds_up(&dir.path().join("evidence"), kept)
}

/// The copy is sound, has a clip and blurred stills, and is not sound any more when one byte of it is changed.
fn holds_up(evidence: &Path, kept: usize) -> anyhow::Result<()> {
    let sound = verify(evidence, None)?;
    assert!(sound.is_sound(), "{:?}", sound.problems);
    assert!(sound.packages >= kept as u64);
    let manifests = texts(evidence)?;
    for role in [ItemRole::At, ItemRole::Original, ItemRole::Clip] {
        let name = format!("\"{}\"", role.code());
        assert!(
            manifests.iter().any(|text| text.contains(&name)),
            "nothing is kept as {name}"
        );
    }
    let movie = files(evidence)?
        .into_iter()
        .find(|file| std::fs::read(file).is_ok_and(|bytes| bytes.get(4..8) == Some(b"ftyp")));
    let movie = movie.context("no file is an MP4")?;
    let mut bytes = std::fs::read(&movie)?;
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&movie, bytes)?;
    assert!(
        !verify(evidence, None)?.is_sound(),
        "a changed clip is not noticed"
    );
    Ok(())
}

fn files(dir: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir)? {
        let path = entry?.path();
        match path.is_dir() {
            true => found.extend(files(&path)?),
            false => found.push(path),
        }
    }
    Ok(found)
}

fn texts(dir: &Path) -> anyhow::Result<Vec<String>> {
    Ok(files(dir)?
        .iter()
        .filter_map(|file| std::fs::read_to_string(file).ok())
        .collect())
}

fn copy(from: &Path, to: &Path) -> anyhow::Result<()> {
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from)? {
        let path = entry?.path();
        let target = to.join(path.file_name().context("an entry has a name")?);
        match path.is_dir() {
            true => copy(&path, &target)?,
            false => drop(std::fs::copy(&path, &target)?),
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_camera_that_goes_is_offline_and_one_with_the_wrong_password_says_so() -> anyhow::Result<()> {
    let farm = Farm::start(&[CameraScript::SpecialRoom]).await?;
    let app = TestApp::start_with(ALLOW_LOOPBACK).await?;
    let (camera, credentials) = farm.cameras[0].clone();
    let vault = Vault::open(app.data_dir())?;
    app.records.put_camera(&camera, "test").await?;
    let wrong = Credentials {
        password: "wrong".to_owned(),
        ..credentials.clone()
    };
    app.records
        .put_camera_credentials(&camera.key, &wrong, &vault, "test")
        .await?;
    let path = format!("/api/v1/cameras/{}/{}", camera.key.facility, camera.key.camera);
    let health = |app: &TestApp| {
        let url = app.url(&path);
        async move {
            let answer: serde_json::Value = reqwest::get(url).await?.json().await?;
            anyhow::Ok(answer["health"].clone())
        }
    };
    waited("the password is refused", || async {
        Ok((health(&app).await?["fault"] == "auth").then_some(()))
    })
    .await?;
    app.records
        .put_camera_credentials(&camera.key, &credentials, &vault, "test")
        .await?;
    waited("pictures come", || async {
        Ok((health(&app).await?["link"] == "online").then_some(()))
    })
    .await?;
    farm.finish().await?;
    waited("it is offline", || async {
        Ok((health(&app).await?["link"] == "offline").then_some(()))
    })
    .await?;
    let told = waited("the log says so", || async {
        let latest = app.latest(camera.key.camera.as_str(), "camera_offline").await?;
        Ok(latest.filter(|value| *value > 0.0))
    });
    assert_eq!(told.await?, 1.0);
    app.finish().await
}

/// What the camera pages say of each way in which a lens is of no use.
#[tokio::test(flavor = "multi_thread")]
async fn a_covered_a_frozen_and_a_knocked_camera_are_findings_and_cases() -> anyhow::Result<()> {
    let app = TestApp::start_with(ALLOW_LOOPBACK).await?;
    let vault = Vault::open(app.data_dir())?;
    let mut farms = Vec::new();
    // Seconds into the script: it happens once the watch has learned how the picture should look.
    for (name, second) in [("covered", 20), ("frozen", 106), ("moved", 172)] {
        let farm = Farm::start_at(&[CameraScript::Entrance], second).await?;
        let (mut camera, credentials) = farm.cameras[0].clone();
        camera.key.camera = DeviceId::new(name)?;
        app.records.put_camera(&camera, "test").await?;
        app.records
            .put_camera_credentials(&camera.key, &credentials, &vault, "test")
            .await?;
        farms.push(farm);
    }
    let filter = FindingFilter {
        check: Some(Check::CameraTampered),
        limit: 10,
        ..FindingFilter::default()
    };
    let told = waited("all three are findings", || async {
        let found = app.records.findings(&Scope::everything(), &filter).await?;
        let mut told: Vec<(String, String)> = found
            .iter()
            .map(|f| (f.camera.camera.to_string(), f.said.detail.clone()))
            .collect();
        told.sort();
        told.dedup();
        Ok((told.len() >= 3).then_some(told))
    });
    let same = |name: &str| (name.to_owned(), name.to_owned());
    assert_eq!(told.await?, ["covered", "frozen", "moved"].map(same));
    waited("each is a case", || async {
        let answer = app.json("/api/v1/cases").await?;
        let cases = answer["cases"].as_array().cloned().unwrap_or_default();
        Ok((cases.iter().filter(|case| case["rule"] == "V-16").count() == 3).then_some(()))
    })
    .await?;
    app.finish().await?;
    for farm in farms {
        farm.finish().await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stove_that_burns_with_nobody_near_is_told_by_its_plug_and_the_camera() -> anyhow::Result<()> {
    // The cook walks off 58 s into the script, and somebody comes back at 112 s.
    let farm = Farm::start_at(&[CameraScript::HotKitchen], 48).await?;
    let app = product().await?;
    app.records
        .put_points(&[point("stove-1", "power", "stove")])
        .await?;
    app.add_device("stove-1").await?;
    farm.attach(&app).await?;
    let mut plug = waited("the plug may sign in", || async {
        Ok(Device::connect(app.addrs.mqtt, "stove-1").await.ok())
    })
    .await?;
    plug.publish("up/power", "stove-1", "1850").await?;
    let finding = waited("there is a finding", || finding_of(&app, Check::StoveUnattended)).await?;
    assert!(finding.said.evidence.is_some(), "with its pictures");
    let case = waited("there is a case", || async {
        let answer = app.json("/api/v1/cases").await?;
        let cases = answer["cases"].as_array().cloned().unwrap_or_default();
        Ok(cases.into_iter().find(|case| case["rule"] == "V-13"))
    });
    assert_eq!(case.await?["severity"], "P1");
    app.finish().await?;
    farm.finish().await
}

/// The card of docs/MODELS.md, for a small graph that says the same of every picture.
const OWN_CARD: &str = r#"
name = "kitchen-fire"
file = "fire.onnx"
kind = "classifier"
role = "extra"
precision = "f32"
sha256 = "27f970bd5d0381a1c99ab64ccdb0b667deb6b223aa610feb1a4ae571f6d91c7b"
licence = "our own"
source = "made for this test"
outputs = ["logits"]
labels = ["none", "fire", "smoke"]
scores = "logits"

[picture]
name = "input"
layout = "nhwc"
colour = "rgb"
type = "u8"
width = 32
height = 32
resize = "letterbox"
pad = 114

[thresholds]
score = 0.5

[findings]
fire = "visual_fire"
"#;

#[tokio::test(flavor = "multi_thread")]
async fn an_operators_own_model_judges_beside_the_built_in_ones() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let own = folder.path().join("kitchen-fire");
    std::fs::create_dir(&own)?;
    std::fs::write(own.join("card.toml"), OWN_CARD)?;
    let graph = Path::new(env!("CARGO_MANIFEST_DIR")).join("../models/tests/graphs/classifier.onnx");
    std::fs::copy(graph, own.join("fire.onnx"))?;
    let farm = Farm::start(&[CameraScript::SpecialRoom]).await?;
    let app = product_with(&format!("models_dir = {:?}\n", folder.path())).await?;
    let (mut camera, credentials) = farm.cameras[0].clone();
    camera.checks = vec![CheckSetting {
        hours: Hours::Always,
        min_duration_s: 1,
        ..CheckSetting::of(Check::VisualFire)
    }];
    app.records.put_camera(&camera, "test").await?;
    let vault = Vault::open(app.data_dir())?;
    app.records
        .put_camera_credentials(&camera.key, &credentials, &vault, "test")
        .await?;
    let finding = waited("the own model finds", || finding_of(&app, Check::VisualFire)).await?;
    let model = finding.said.model.context("the finding names its model")?;
    assert_eq!(
        (model.name.as_str(), &model.sha256[..8]),
        ("kitchen-fire", "27f970bd")
    );
    let page = app.get(&format!("/findings/{}?lang=en", finding.id.0)).await?;
    assert!(
        page.0 == 200 && page.1.contains("kitchen-fire"),
        "the page says which model"
    );
    app.finish().await?;
    farm.finish().await
}
