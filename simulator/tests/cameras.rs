//! The cameras as an independent client sees them.

#![expect(
    clippy::unwrap_used,
    reason = "the watching client is part of the tests and fails loudly"
)]

use std::{process::Stdio, time::Duration};

use domain::{CameraSource, Clock, UtcMillis};
use sunshine_simulator::{CameraFarm, CameraScript, district};
use tokio::{process::Command, task::JoinSet, time::timeout};
use tokio_util::sync::CancellationToken;

const START: UtcMillis = UtcMillis(1_795_250_000_000);
const LIMIT: Duration = Duration::from_secs(60);

/// Runs ffmpeg on `url` and gives seven pictures of its output, luma only; `None` when it is not installed.
async fn watch(url: &str) -> Option<Vec<u8>> {
    let mut command = Command::new("ffmpeg");
    command
        .args(["-v", "error", "-xerror", "-analyzeduration", "500000"])
        .args(["-rtsp_transport", "tcp", "-i", url])
        .args(["-frames:v", "7", "-pix_fmt", "gray", "-f", "rawvideo", "-"])
        .stdin(Stdio::null())
        .kill_on_drop(true);
    let output = match timeout(LIMIT, command.output()).await.unwrap() {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return None,
        output => output.unwrap(),
    };
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && complaint.is_empty(), "{complaint}");
    Some(output.stdout)
}

fn mean(luma: &[u8]) -> f64 {
    luma.iter().map(|value| f64::from(*value)).sum::<f64>() / luma.len() as f64
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ffmpeg_shows_every_camera() {
    let clock = Clock::simulated(START);
    let cameras = district(1, 3).cameras;
    let scripts: Vec<CameraScript> = cameras.iter().map(|camera| camera.script).collect();
    assert_eq!(scripts, CameraScript::ALL);
    let here = "127.0.0.1:0".parse().unwrap();
    let farm = CameraFarm::start(here, cameras, clock.clone()).await.unwrap();
    let served = farm.cameras();
    assert_eq!(served.len(), 5, "the camera that pushes is not served");
    let stop = CancellationToken::new();
    let mut tasks = JoinSet::new();
    tasks.spawn(farm.run(stop.clone()));
    // The dining room with its five guests; the covered lens at the entrance.
    clock.set(START.plus_ms(60_000));
    let mut means = Vec::new();
    for (camera, credentials) in served {
        let CameraSource::Rtsp { main, .. } = camera.source else {
            panic!("{} is not served", camera.key);
        };
        let secret = format!("rtsp://{}:{}@", credentials.user, credentials.password);
        let url = main.as_str().replacen("rtsp://", &secret, 1);
        let Some(pictures) = watch(&url).await else {
            eprintln!("ffmpeg is not installed: whether it can watch the cameras was not tested");
            return;
        };
        assert_eq!(pictures.len(), 7 * 640 * 360, "{}", camera.key);
        means.push(mean(&pictures));
    }
    let bright = means.iter().filter(|mean| **mean > 90.0).count();
    let dark = means.iter().filter(|mean| **mean < 70.0).count();
    assert_eq!((bright, dark), (3, 2), "{means:?}");
    stop.cancel();
    timeout(LIMIT, tasks.join_next())
        .await
        .unwrap()
        .unwrap()
        .unwrap()
        .unwrap();
}
