//! What attached cameras cost: starts a product in this process, attaches so many cameras to one RTSP server in another
//! process, and counts this process's processor time and memory while their pictures are judged.
//!
//! ```sh
//! scripts/bench-video.sh /tmp/kitchen.h264
//! cargo run --release -p sunshine-integration-tests --example camera_load -- --video /tmp/kitchen.mkv --cameras 40
//! ```
//!
//! With `--viewers 50` so many people also watch the first camera, over WebSockets of a third process. With `--restarts 5`
//! the RTSP server is then ended and started again so many times, and what is measured is from its start to the first
//! judged picture.

use std::{
    path::{Path, PathBuf},
    process::Stdio,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use anyhow::{Context, bail};
use clap::Parser;
use domain::{
    Camera, CameraKey, CameraSource, Check, CheckSetting, DeviceId, FacilityId, Role, Room, Schedule,
    camera::{Decoding, Retention},
};
use futures::StreamExt;
use sunshine_integration_tests::{FACILITY, TestApp, cameras::ALLOW_LOOPBACK, until};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    process::{Child, Command},
    task::JoinSet,
};

/// Judged pictures of every camera before the measurement begins.
const WARM_UP: u64 = 5;

/// Where the first camera is watched.
const LIVE_PATH: &str = "/live/binhe/cam-0";

#[derive(Parser)]
struct Arguments {
    /// The video that every camera shows, as `scripts/bench-video.sh` makes it.
    #[arg(long)]
    video: PathBuf,
    /// Cameras to attach.
    #[arg(long, default_value_t = 40)]
    cameras: usize,
    /// Seconds to measure: a whole round of the video, or several.
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// People who watch the first camera live.
    #[arg(long, default_value_t = 0)]
    viewers: usize,
    /// Times that the RTSP server is ended and started again at the end.
    #[arg(long, default_value_t = 0)]
    restarts: usize,
    /// Watches a camera at this address, and does nothing else: how the viewers' process is started.
    #[arg(long, hide = true)]
    watch: Option<String>,
    /// What the viewers say of themselves.
    #[arg(long, hide = true, default_value = "")]
    cookie: String,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    if let Some(address) = &arguments.watch {
        return watch(address, &arguments).await;
    }
    let app = product().await?;
    let cookie = app.sign_in(Role::Inspector, "measurement").await?;
    let app = Watched { app, cookie };
    let idle = Usage::now()?;
    let (told, page) = (Arc::new(Mutex::new(Vec::new())), open_page(&app).await?);
    let mut watching = JoinSet::new();
    watching.spawn(note_cases(
        page,
        app.url("/api/v1/cases?limit=1"),
        app.cookie.clone(),
        Arc::clone(&told),
    ));
    let mut server = Rtsp::start(&arguments.video, 0).await?;
    for number in 0..arguments.cameras {
        app.records
            .put_camera(&camera(number, server.port)?, "bench")
            .await?;
    }
    until("every camera is judged", || async {
        let judged = judged(&app).await?;
        Ok(judged.len() == arguments.cameras && judged.iter().all(|(judged, _)| *judged >= WARM_UP))
    })
    .await?;
    let alone = measure(&app, &arguments, "cameras").await?;
    let grown = Usage::now()?.resident_mib - idle.resident_mib;
    println!(
        "{} cameras: {:.2} % of a core and {:.1} MiB each ({:.1} MiB before); {:.1} cameras on one core",
        arguments.cameras,
        alone.cpu_share * 100.0 / arguments.cameras as f64,
        grown / arguments.cameras as f64,
        idle.resident_mib,
        arguments.cameras as f64 / alone.cpu_share,
    );
    if arguments.viewers > 0 {
        let mut viewers = viewers(&app, arguments.viewers).await?;
        let watched = measure(&app, &arguments, "with viewers").await?;
        println!(
            "{} viewers of one camera: {:.2} % of a core together",
            arguments.viewers,
            (watched.cpu_share - alone.cpu_share) * 100.0
        );
        viewers.kill().await?;
    }
    for _ in 0..arguments.restarts {
        server = restart(&app, server, &arguments).await?;
    }
    watching.shutdown().await;
    tell_cases(&told);
    server.stop().await?;
    app.app.finish().await
}

async fn product() -> anyhow::Result<TestApp> {
    let library = Path::new("onnxruntime/lib/libonnxruntime.so").canonicalize();
    let library =
        library.context("run scripts/get-onnxruntime.sh first, and this in the root of the repository")?;
    let vision = format!("[vision]\nenabled = true\nonnxruntime_library = {library:?}\n");
    // The product's own limit of viewers is below what is asked here.
    let cameras = ALLOW_LOOPBACK.replace(
        "[cameras]\n",
        "[cameras]\nviewers = 200\nviewers_per_camera = 100\n",
    );
    TestApp::start_with(&format!("{cameras}{vision}")).await
}

fn camera(number: usize, port: u16) -> anyhow::Result<Camera> {
    let main = format!("rtsp://127.0.0.1:{port}/camera");
    Ok(Camera {
        key: CameraKey {
            facility: FacilityId::new(FACILITY)?,
            camera: DeviceId::new(&format!("cam-{number}"))?,
        },
        room: Room::Kitchen,
        place_zh: "厨房".to_owned(),
        place_en: "Kitchen".to_owned(),
        source: CameraSource::Rtsp {
            main: main.parse()?,
            sub: None,
            transport: Default::default(),
        },
        decoding: Decoding::KeyFrames,
        masks: Vec::new(),
        zones: Vec::new(),
        line: None,
        capacity: None,
        checks: [
            Check::NoMask,
            Check::PhoneUse,
            Check::AnimalInKitchen,
            Check::CameraTampered,
        ]
        .map(CheckSetting::of)
        .to_vec(),
        schedule: Schedule::default(),
        gb_id: None,
        live: true,
        retention: Retention::default(),
        enabled: true,
    })
}

/// A product, and what signs in to it.
struct Watched {
    app: TestApp,
    cookie: String,
}

impl std::ops::Deref for Watched {
    type Target = TestApp;

    fn deref(&self) -> &TestApp {
        &self.app
    }
}

/// How many pictures of each camera were judged, and at how many the model looked.
async fn judged(app: &Watched) -> anyhow::Result<Vec<(u64, u64)>> {
    let client = reqwest::Client::new();
    let asked = client
        .get(app.url("/api/v1/cameras?limit=500"))
        .header("cookie", &app.cookie);
    let answer: serde_json::Value = asked.send().await?.error_for_status()?.json().await?;
    let cameras = answer["cameras"].as_array().context("a list of cameras")?;
    let of = |camera: &serde_json::Value, name: &str| camera["health"][name].as_u64().unwrap_or(0);
    Ok(cameras
        .iter()
        .map(|camera| (of(camera, "judged"), of(camera, "looked")))
        .collect())
}

/// The overview's stream, as an open page has it.
async fn open_page(app: &Watched) -> anyhow::Result<reqwest::Response> {
    let client = reqwest::Client::new();
    let asked = client
        .get(app.url("/live?page=overview&lang=en"))
        .header("cookie", &app.cookie);
    Ok(asked.send().await?.error_for_status()?)
}

/// Notes for each case that the page is told of how long ago its finding was complete, in milliseconds.
async fn note_cases(page: reqwest::Response, newest: String, cookie: String, told: Arc<Mutex<Vec<i64>>>) {
    let (client, clock) = (reqwest::Client::new(), domain::Clock::system());
    let mut stream = page.bytes_stream();
    while let Some(Ok(bytes)) = stream.next().await {
        if !String::from_utf8_lossy(&bytes).contains("event: case") {
            continue;
        }
        let now = clock.now();
        let Ok(answer) = client.get(&newest).header("cookie", &cookie).send().await else {
            continue;
        };
        let Ok(answer) = answer.json::<serde_json::Value>().await else {
            continue;
        };
        let case = &answer["cases"][0];
        let raised = case["raised_at"]
            .as_str()
            .and_then(|at| at.parse::<jiff::Timestamp>().ok());
        if let (Some(raised), true) = (
            raised,
            case["rule"].as_str().is_some_and(|rule| rule.starts_with("V-")),
        ) {
            told.lock()
                .expect("nobody panics while noting")
                .push(now.0 - raised.as_millisecond());
        }
    }
}

fn tell_cases(told: &Mutex<Vec<i64>>) {
    let mut told = told.lock().expect("nobody panics while noting").clone();
    told.sort_unstable();
    if let (Some(middle), Some(last)) = (told.get(told.len() / 2), told.last()) {
        println!(
            "finding complete -> case on an open page: {} cases, median {middle} ms, max {last} ms",
            told.len()
        );
    }
}

struct Measured {
    /// Cores used.
    cpu_share: f64,
}

async fn measure(app: &Watched, arguments: &Arguments, what: &str) -> anyhow::Result<Measured> {
    let sum = |all: &[(u64, u64)]| all.iter().fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1));
    let (before, used, began) = (sum(&judged(app).await?), Usage::now()?, Instant::now());
    tokio::time::sleep(Duration::from_secs(arguments.seconds)).await;
    let (after, now, took) = (
        sum(&judged(app).await?),
        Usage::now()?,
        began.elapsed().as_secs_f64(),
    );
    let pictures = (after.0 - before.0) as f64;
    let cpu_share = (now.cpu_s - used.cpu_s) / took;
    println!(
        "{what}: {took:.0} s, {:.1} judged pictures a second ({:.2} per camera), {:.0} % looked at by the model, {:.1} % of a core, \
         {:.2} ms of a core per judged picture",
        pictures / took,
        pictures / took / arguments.cameras as f64,
        (after.1 - before.1) as f64 * 100.0 / pictures.max(1.0),
        cpu_share * 100.0,
        (now.cpu_s - used.cpu_s) * 1e3 / pictures.max(1.0),
    );
    Ok(Measured { cpu_share })
}

/// What this process has used.
struct Usage {
    cpu_s: f64,
    resident_mib: f64,
}

impl Usage {
    fn now() -> anyhow::Result<Usage> {
        const TICKS_PER_S: f64 = 100.0;
        let stat = std::fs::read_to_string("/proc/self/stat")?;
        let fields: Vec<&str> = stat.rsplit(") ").next().unwrap_or_default().split(' ').collect();
        let ticks = |at: usize| fields.get(at).and_then(|f| f.parse::<f64>().ok()).unwrap_or(0.0);
        let status = std::fs::read_to_string("/proc/self/status")?;
        let resident = status
            .lines()
            .find_map(|line| line.strip_prefix("VmRSS:"))
            .unwrap_or_default();
        let kib: f64 = resident.trim().trim_end_matches(" kB").parse()?;
        Ok(Usage {
            cpu_s: (ticks(11) + ticks(12)) / TICKS_PER_S,
            resident_mib: kib / 1024.0,
        })
    }
}

/// An RTSP server that is not ours, in a process of its own.
struct Rtsp {
    child: Child,
    port: u16,
}

impl Rtsp {
    async fn start(video: &Path, port: u16) -> anyhow::Result<Rtsp> {
        let mut child = Command::new("/usr/bin/python3")
            .arg("scripts/bench-rtsp.py")
            .arg(video)
            .arg(port.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .context("cannot start scripts/bench-rtsp.py")?;
        let said = child.stdout.take().context("its output")?;
        let port = BufReader::new(said)
            .lines()
            .next_line()
            .await?
            .context("it ended at once")?;
        Ok(Rtsp {
            child,
            port: port.parse()?,
        })
    }

    async fn stop(mut self) -> anyhow::Result<()> {
        let mut input = self.child.stdin.take().context("its input")?;
        input.shutdown().await?;
        drop(input);
        self.child.wait().await?;
        Ok(())
    }
}

/// Ends the server, waits until the camera is known to be gone, starts it anew and waits for a judged picture.
async fn restart(app: &Watched, server: Rtsp, arguments: &Arguments) -> anyhow::Result<Rtsp> {
    let port = server.port;
    server.stop().await?;
    tokio::time::sleep(Duration::from_secs(3)).await;
    let before: u64 = judged(app)
        .await?
        .iter()
        .map(|(judged, _)| *judged)
        .max()
        .unwrap_or(0);
    let server = Rtsp::start(&arguments.video, port).await?;
    let began = Instant::now();
    let mut first = None;
    loop {
        let now = judged(app).await?;
        let fresh = now.iter().filter(|(judged, _)| *judged > before).count();
        if fresh > 0 && first.is_none() {
            first = Some(began.elapsed());
        }
        if fresh == arguments.cameras {
            break;
        }
        if began.elapsed() > Duration::from_secs(60) {
            bail!(
                "{fresh} of {} cameras came back within a minute",
                arguments.cameras
            );
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    println!(
        "RTSP server up again -> first judged picture {:.1} s, of every camera {:.1} s",
        first.unwrap_or_default().as_secs_f64(),
        began.elapsed().as_secs_f64()
    );
    Ok(server)
}

/// Starts the process of the viewers and waits until all of them see pictures.
async fn viewers(app: &Watched, count: usize) -> anyhow::Result<Child> {
    let address = format!("ws://{}{LIVE_PATH}", app.addrs.http);
    let mut child = Command::new(std::env::current_exe()?)
        .args([
            "--video",
            "none",
            "--viewers",
            &count.to_string(),
            "--watch",
            &address,
            "--cookie",
            &app.cookie,
        ])
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()?;
    let said = child.stdout.take().context("its output")?;
    BufReader::new(said)
        .lines()
        .next_line()
        .await?
        .context("the viewers ended at once")?;
    Ok(child)
}

/// Watches the camera at `address` so many times, until it is ended.
async fn watch(address: &str, arguments: &Arguments) -> anyhow::Result<()> {
    let mut streams = Vec::new();
    for _ in 0..arguments.viewers {
        let request = tokio_tungstenite::tungstenite::ClientRequestBuilder::new(address.parse()?)
            .with_header(
                "origin",
                address.replace("ws://", "http://").trim_end_matches(LIVE_PATH),
            )
            .with_header("cookie", &arguments.cookie);
        let (mut socket, _) = tokio_tungstenite::connect_async(request).await?;
        let first = socket.next().await.context("a viewer was turned away")??;
        anyhow::ensure!(first.is_text(), "a viewer was turned away: {first:?}");
        streams.push(socket);
    }
    println!("all of them watch");
    let mut all = futures::stream::select_all(streams);
    while let Some(message) = all.next().await {
        anyhow::ensure!(!message?.is_close(), "a viewer was sent away");
    }
    Ok(())
}
