//! Readings on their way to another time-series server that is away, comes back, refuses and fills the log: with a real
//! MQTT client in front and a server behind that keeps what it takes.

use std::{
    collections::BTreeMap,
    io::Read,
    process::{Child, Command, Stdio},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU16, Ordering},
    },
};

use axum::{
    Router,
    body::Bytes,
    extract::{RawQuery, State},
    http::StatusCode,
    routing::{get, post},
};
use integration_tests::{Device, FACILITY, TestApp, owned, sparkplug::sparkplug, until};
use tokio::{net::TcpListener, sync::Semaphore, task::JoinHandle};

extern crate sunshine_integration_tests as integration_tests;

/// What the server says when it takes lines.
const TAKEN: u16 = 204;

/// It takes what it is sent, and answers when it is let.
const SLOW: u16 = 1;

/// It takes the request and never answers.
const SILENT: u16 = 0;

const HELD: &str = "nothing panics while it holds what the server keeps";

/// A time-series server that answers with whatever status it is told to, and keeps what it takes.
struct Server {
    url: String,
    kept: Arc<Kept>,
    running: JoinHandle<()>,
}

struct Kept {
    status: AtomicU16,
    /// How many requests a slow server may answer.
    answers: Semaphore,
    /// Each line, and how often it came.
    lines: Mutex<BTreeMap<String, usize>>,
    /// The order in which they first came.
    order: Mutex<Vec<String>>,
}

impl Server {
    async fn start(status: u16) -> anyhow::Result<Server> {
        let kept = Arc::new(Kept {
            status: AtomicU16::new(status),
            answers: Semaphore::new(0),
            lines: Mutex::default(),
            order: Mutex::default(),
        });
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("http://{}", listener.local_addr()?);
        let router = Router::new()
            .route("/api/v2/write", post(write))
            .with_state(kept.clone());
        let running = owned(async move {
            axum::serve(listener, router).await.expect("the server runs");
        });
        Ok(Server { url, kept, running })
    }

    fn answers(&self, status: u16) {
        self.kept.status.store(status, Ordering::SeqCst);
    }

    /// The values it has of one device's temperature, in the order in which they came.
    fn values(&self, device: &str) -> Vec<f64> {
        let start =
            format!("reading,device={device},facility={FACILITY},metric=temperature,unit=degC value=");
        let order = self.kept.order.lock().expect(HELD);
        let of = order.iter().filter_map(|line| line.strip_prefix(&start));
        of.filter_map(|rest| rest.split(' ').next()?.parse().ok())
            .collect()
    }

    fn repeated(&self) -> usize {
        let lines = self.kept.lines.lock().expect(HELD);
        lines.values().filter(|times| **times > 1).count()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.running.abort();
    }
}

async fn write(State(kept): State<Arc<Kept>>, body: Bytes) -> StatusCode {
    let mut text = String::new();
    let read = flate2::read::GzDecoder::new(&body[..]).read_to_string(&mut text);
    let status = kept.status.load(Ordering::SeqCst);
    let refuses = text.contains("value=666.0 ") && status == TAKEN;
    if read.is_err() || refuses {
        return StatusCode::BAD_REQUEST;
    }
    if status == SILENT {
        std::future::pending().await
    }
    if status == SLOW
        && let Ok(answer) = kept.answers.acquire().await
    {
        answer.forget();
    }
    if matches!(status, TAKEN | SLOW) {
        for line in text.lines() {
            let mut lines = kept.lines.lock().expect(HELD);
            let times = lines.entry(line.to_owned()).or_default();
            *times += 1;
            if *times == 1 {
                kept.order.lock().expect(HELD).push(line.to_owned());
            }
        }
    }
    let status = if status == SLOW { TAKEN } else { status };
    StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}

fn influxdb(url: &str, more: &str) -> String {
    format!(
        "[timeseries]\nbackend = \"influxdb2\"\nmode = \"mirror\"\nurl = \"{url}\"\norganisation = \"kitchens\"\n\
         bucket = \"sunshine\"\n{more}"
    )
}

async fn forward(app: &TestApp) -> anyhow::Result<serde_json::Value> {
    Ok(app.json("/api/v1/forwarding").await?["forward"].clone())
}

async fn wait_for_state(app: &TestApp, state: &str) -> anyhow::Result<()> {
    until(&format!("forwarding is {state}"), || async {
        Ok(forward(app).await?["state"] == state)
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_was_away_gets_every_reading_once_in_order_also_after_a_restart() -> anyhow::Result<()>
{
    let server = Server::start(503).await?;
    let mut app = TestApp::start_with(&influxdb(&server.url, "")).await?;
    let mut device = Device::connect(app.addrs.mqtt, "fridge-1").await?;
    for n in 0..40 {
        // Each is acknowledged although the server is away.
        let payload = format!(r#"{{"ts":{},"v":{n}.5}}"#, 1_795_000_000_000_i64 + n);
        device.publish("up/temperature", "fridge-1", &payload).await?;
    }
    until("the last is stored here", || async {
        Ok(app.latest("fridge-1", "temperature").await? == Some(39.5))
    })
    .await?;
    wait_for_state(&app, "busy").await?;
    let (ready, _) = app.get("/readyz").await?;
    assert_eq!(ready, 200, "somebody else's failure is not ours");
    drop(device);
    app = app.restart_with(&influxdb(&server.url, "")).await?;
    wait_for_state(&app, "busy").await?;
    let mut device = Device::connect(app.addrs.mqtt, "fridge-1").await?;
    device
        .publish("up/temperature", "fridge-1", r#"{"ts":1795000000040,"v":40.5}"#)
        .await?;
    assert_eq!(server.values("fridge-1"), Vec::<f64>::new());
    server.answers(TAKEN);
    let want: Vec<f64> = (0..=40).map(|n| f64::from(n) + 0.5).collect();
    until("the server has them all", || async {
        Ok(server.values("fridge-1").len() >= want.len())
    })
    .await?;
    assert_eq!(server.values("fridge-1"), want, "in order");
    assert_eq!(server.repeated(), 0, "each once");
    wait_for_state(&app, "flowing").await?;
    let forward = forward(&app).await?;
    assert_eq!(
        (&forward["letters"], &forward["owed_readings"]),
        (&0.into(), &0.into())
    );
    assert_eq!(forward["mode"], "mirror");
    app.finish().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_never_answers_holds_up_nobody_and_no_stop() -> anyhow::Result<()> {
    let server = Server::start(SILENT).await?;
    let app = TestApp::start_with(&influxdb(&server.url, "timeout_s = 300\n")).await?;
    let mut device = Device::connect(app.addrs.mqtt, "fridge-1").await?;
    for n in 0..50 {
        device
            .publish("up/temperature", "fridge-1", &format!("{n}.5"))
            .await?;
    }
    until("the last is stored here", || async {
        Ok(app.latest("fridge-1", "temperature").await? == Some(49.5))
    })
    .await?;
    until("the log is held for the server", || async {
        Ok(forward(&app).await?["lag_bytes"].as_u64() > Some(0))
    })
    .await?;
    assert_eq!(app.get("/readyz").await?.0, 200);
    assert_eq!(forward(&app).await?["lines"], 0);
    // In the middle of a request that would last five minutes.
    app.finish().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_takes_its_time_gets_everything_and_nobody_waits_for_it() -> anyhow::Result<()> {
    let server = Server::start(SLOW).await?;
    let app = TestApp::start_with(&influxdb(&server.url, "timeout_s = 300\n")).await?;
    let mut device = Device::connect(app.addrs.mqtt, "fridge-1").await?;
    for n in 0..40 {
        // Each is acknowledged while a request waits, and now and then one of these is answered.
        let payload = format!(r#"{{"ts":{},"v":{n}}}"#, 1_795_000_000_000_i64 + n);
        device.publish("up/temperature", "fridge-1", &payload).await?;
        if n % 10 == 9 {
            until("it is stored here", || async {
                Ok(app.latest("fridge-1", "temperature").await? == Some(f64::from(n as i32)))
            })
            .await?;
            assert_eq!(app.get("/readyz").await?.0, 200);
            server.kept.answers.add_permits(1);
            until("a request was answered", || async {
                Ok(server.kept.answers.available_permits() == 0)
            })
            .await?;
        }
    }
    server.kept.answers.add_permits(1_000);
    until("the server has them all", || async {
        Ok(server.values("fridge-1").len() >= 40)
    })
    .await?;
    let want: Vec<f64> = (0..40).map(f64::from).collect();
    assert_eq!(server.values("fridge-1"), want, "in order");
    assert_eq!(server.repeated(), 0, "each once");
    assert_eq!(forward(&app).await?["retries"], 0, "slow is not away");
    app.finish().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_token_is_said_on_every_page_and_a_bad_line_can_be_sent_again() -> anyhow::Result<()> {
    let server = Server::start(401).await?;
    let app = TestApp::start_with(&influxdb(&server.url, "")).await?;
    let mut device = Device::connect(app.addrs.mqtt, "fridge-1").await?;
    for value in ["1", "666", "3"] {
        device.publish("up/temperature", "fridge-1", value).await?;
    }
    wait_for_state(&app, "denied").await?;
    let (_, page) = app.get("/?lang=en").await?;
    assert!(page.contains("it refuses the token"), "the banner");
    let (_, page) = app.get("/?lang=zh-CN").await?;
    assert!(page.contains("令牌被拒绝"), "the banner");
    let (_, metrics) = app.get("/metrics").await?;
    assert!(metrics.contains("sunshine_forward_state{state=\"denied\"} 1"));

    server.answers(TAKEN);
    until("the good ones are there", || async {
        Ok(server.values("fridge-1") == [1.0, 3.0])
    })
    .await?;
    until("the bad one is a letter", || async {
        Ok(forward(&app).await?["letters"] == 1)
    })
    .await?;
    let (_, page) = app.get("/forwarding?lang=en").await?;
    assert!(
        page.contains("value=666.0") && page.contains("Send all again"),
        "{page}"
    );
    // The server is mended, and the letter sent again.
    server.answers(200);
    let asked = reqwest::Client::new()
        .post(app.url("/api/v1/forwarding/resend"))
        .header("Sec-Fetch-Site", "same-origin")
        .send()
        .await?;
    assert_eq!(asked.text().await?, r#"{"letters":1}"#);
    until("no letter is left", || async {
        Ok(forward(&app).await?["letters"] == 0)
    })
    .await?;
    app.finish().await
}

#[tokio::test(flavor = "multi_thread")]
async fn beyond_its_share_of_the_log_readings_are_passed_over_and_sent_later_from_the_store()
-> anyhow::Result<()> {
    let server = Server::start(503).await?;
    // One per cent of 256 MiB.
    let app = TestApp::start_with(&influxdb(&server.url, "journal_percent = 1\n")).await?;
    let mut device = Device::connect(app.addrs.mqtt, "fridge-1").await?;
    // A member that nobody knows makes a message as long as it likes.
    let padding = "x".repeat(200_000);
    for n in 0..30 {
        let at = 1_795_000_000_000_i64 + n;
        let payload = format!(r#"{{"ts":{at},"v":{n},"note":"{padding}"}}"#);
        device.publish("up/temperature", "fridge-1", &payload).await?;
    }
    until("some are passed over", || async {
        let forward = forward(&app).await?;
        let owed = forward["owed_readings"].as_u64().unwrap_or(0);
        let lag = forward["lag_bytes"].as_u64().unwrap_or(u64::MAX);
        Ok(owed > 0 && lag <= forward["held_bytes_max"].as_u64().unwrap_or(0))
    })
    .await?;
    let (_, page) = app.get("/?lang=en").await?;
    assert!(page.contains("readings were passed over"), "the banner");
    server.answers(TAKEN);
    until("nothing is owed", || async {
        let all = (0..30).all(|n| server.values("fridge-1").contains(&f64::from(n)));
        Ok(all && forward(&app).await?["owed_readings"] == 0)
    })
    .await?;
    app.finish().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_new_gets_the_history_from_the_store() -> anyhow::Result<()> {
    let server = Server::start(TAKEN).await?;
    let app = TestApp::start().await?;
    let mut device = Device::connect(app.addrs.mqtt, "fridge-1").await?;
    for n in 0..30 {
        let payload = format!(r#"{{"ts":{},"v":{n}}}"#, 1_793_000_000_000_i64 + n * 60_000);
        device.publish("up/temperature", "fridge-1", &payload).await?;
    }
    drop(device);
    let app = app.restart_with(&influxdb(&server.url, "")).await?;
    // Each comes from the log, which still has it here, and from the store.
    until("it has everything from both", || async {
        Ok(server.repeated() == 30)
    })
    .await?;
    let mut values = server.values("fridge-1");
    values.sort_by(f64::total_cmp);
    assert_eq!(values, (0..30).map(f64::from).collect::<Vec<_>>());
    until("nothing is owed", || async {
        Ok(forward(&app).await?["owed_spans"] == 0)
    })
    .await?;
    // It is no longer new.
    let app = app.restart_with(&influxdb(&server.url, "")).await?;
    wait_for_state(&app, "starting").await?;
    assert_eq!(forward(&app).await?["owed_spans"], 0);
    // Nobody holds the log for a server that is gone.
    let app = app.restart_with("").await?;
    assert_eq!(forward(&app).await?, serde_json::Value::Null);
    app.finish().await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_number_meant_when_the_server_went_away_it_means_when_it_is_back() -> anyhow::Result<()> {
    let server = Server::start(TAKEN).await?;
    let app = TestApp::start_with(&influxdb(&server.url, "")).await?;
    let points = [("edge", "temperature"), ("edge", "humidity")];
    let points: Vec<_> = points
        .map(|(d, m)| integration_tests::point(d, m, "fridge_air"))
        .into();
    app.records.put_points(&points).await?;
    let mut edge = app
        .add_device_of("edge", "sparkplug-b", Some("spBv1.0/plant/e1"))
        .await?;
    edge.publish_to("spBv1.0/plant/NBIRTH/e1", &sparkplug(0, Some("temperature"), 1.0))
        .await?;
    until("the server has the first", || async {
        Ok(server.values("edge") == [1.0])
    })
    .await?;
    drop(edge);
    // Stopped in order, the cursor stands behind that certificate.
    server.answers(503);
    let app = app.restart_with(&influxdb(&server.url, "")).await?;
    let mut edge = Device::connect(app.addrs.mqtt, "edge").await?;
    edge.publish_to("spBv1.0/plant/NDATA/e1", &sparkplug(1, None, 2.0))
        .await?;
    // From now on the number stands for something else, and is said so more often than certificates were kept.
    for _birth in 0..40 {
        edge.publish_to("spBv1.0/plant/NBIRTH/e1", &sparkplug(0, Some("humidity"), 60.0))
            .await?;
    }
    until("all of it is stored", || async {
        Ok(app.latest("edge", "humidity").await? == Some(60.0))
    })
    .await?;
    drop(edge);
    // What is kept is looked through at each start.
    let app = app.restart_with(&influxdb(&server.url, "")).await?;
    server.answers(TAKEN);
    until("the server has the second", || async {
        Ok(server.values("edge").len() >= 2)
    })
    .await?;
    wait_for_state(&app, "flowing").await?;
    assert_eq!(server.values("edge"), [1.0, 2.0], "both are temperatures");
    assert_eq!(forward(&app).await?["letters"], 0);
    app.finish().await
}

/// A VictoriaMetrics that takes every write, and answers every window with one value that no device ever sent.
async fn victoria_metrics(asked: Arc<Mutex<Vec<String>>>) -> anyhow::Result<(String, JoinHandle<()>)> {
    let answer = |asked: Arc<Mutex<Vec<String>>>, body: String| async move {
        let parameters: BTreeMap<String, String> = serde_urlencoded(&body);
        let at: f64 = parameters["start"].parse().expect("a number");
        asked.lock().expect(HELD).push(parameters["query"].clone());
        let series = ["count", "sum", "min", "max", "last"].map(|function| {
            let value = if function == "count" { "2" } else { "-123.5" };
            format!(r#"{{"metric":{{"rollup":"{function}_over_time"}},"values":[[{at:.3},"{value}"]]}}"#)
        });
        format!(
            r#"{{"status":"success","data":{{"resultType":"matrix","result":[{}]}}}}"#,
            series.join(",")
        )
    };
    let router = Router::new()
        .route("/api/v2/write", post(|| async { StatusCode::NO_CONTENT }))
        .route(
            "/select/0/prometheus/api/v1/query_range",
            get(move |RawQuery(query): RawQuery| answer(asked.clone(), query.unwrap_or_default())),
        );
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}", listener.local_addr()?);
    let running = owned(async move {
        axum::serve(listener, router).await.expect("the server runs");
    });
    Ok((url, running))
}

/// The parameters of a form.
fn serde_urlencoded(body: &str) -> BTreeMap<String, String> {
    let url = reqwest::Url::parse(&format!("http://form.invalid/?{body}")).expect("a form");
    url.query_pairs()
        .map(|(k, v)| (k.into_owned(), v.into_owned()))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn charts_beyond_the_local_days_come_from_the_other_server_and_the_rest_from_here() -> anyhow::Result<()>
{
    let asked = Arc::new(Mutex::new(Vec::new()));
    let (url, running) = victoria_metrics(asked.clone()).await?;
    let app = TestApp::start_with(&format!(
        "[timeseries]\nbackend = \"victoriametrics\"\nurl = \"{url}\"\nread_url = \"{url}/select/0/prometheus\"\n\
         local_days = 1\n"
    ))
    .await?;
    let mut device = Device::connect(app.addrs.mqtt, "fridge-1").await?;
    device.publish("up/temperature", "fridge-1", "4.5").await?;
    until("the value is there", || async {
        Ok(app.latest("fridge-1", "temperature").await? == Some(4.5))
    })
    .await?;
    let window = format!("/api/v1/points/{FACILITY}/fridge-1/temperature/window");
    let day = app.json(&window).await?;
    assert_eq!(day["buckets"].as_array().map(Vec::len), Some(1));
    assert!(asked.lock().expect(HELD).is_empty(), "a day is answered here");

    let now = domain::Clock::system().now().0;
    let (from, to) = (now - 4 * 86_400_000, now + 3_600_000);
    // A whole number of seconds in each bucket.
    let to = from + (to - from) / 97_000 * 97_000 + 97_000;
    let days = app
        .json(&format!("{window}?from={from}&to={to}&buckets=97"))
        .await?;
    let last: Vec<f64> = days["buckets"]
        .as_array()
        .map(|buckets| buckets.iter().filter_map(|b| b["last"].as_f64()).collect())
        .unwrap_or_default();
    assert_eq!(last, [-123.5, 4.5], "from there, and from here: {days}");
    let query = asked.lock().expect(HELD).join("\n");
    assert!(query.contains(r#"device="fridge-1",facility="binhe""#), "{query}");

    running.abort();
    until("the other server is gone", || async {
        Ok(app
            .get(&format!("{window}?from={from}&to={to}&buckets=97"))
            .await?
            .0
            == 503)
    })
    .await?;
    let (_, problem) = app
        .get(&format!("{window}?from={from}&to={to}&buckets=97"))
        .await?;
    assert!(
        problem.contains("the time-series server cannot be reached"),
        "{problem}"
    );
    assert_eq!(app.get(&window).await?.0, 200, "a day is answered all the same");
    app.finish().await
}

/// Debian's VictoriaMetrics on a port of its own; `None`, said so, where it is not installed.
fn real_victoria_metrics(dir: &std::path::Path) -> anyhow::Result<Option<(String, Process)>> {
    let says = |script: &str| Command::new("sh").args(["-c", script]).status();
    if !says("command -v victoria-metrics >/dev/null")?.success() {
        anyhow::ensure!(
            !says("test \"$CI\" = true")?.success(),
            "install it: apt-get install victoria-metrics"
        );
        eprintln!("skipped: victoria-metrics is not installed here (.ci/run installs it)");
        return Ok(None);
    }
    let port = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
    let process = Command::new("victoria-metrics")
        .arg(format!("-storageDataPath={}", dir.display()))
        .arg(format!("-httpListenAddr=127.0.0.1:{port}"))
        .args(["-retentionPeriod=100y", "-dedup.minScrapeInterval=1ms"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()?;
    Ok(Some((format!("http://127.0.0.1:{port}"), Process(process))))
}

/// A process that ends with its owner.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        if self.0.kill().is_ok() {
            drop(self.0.wait());
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chart_of_last_week_is_drawn_by_a_real_victoria_metrics() -> anyhow::Result<()> {
    let dir = tempfile::tempdir()?;
    let Some((url, server)) = real_victoria_metrics(dir.path())? else {
        return Ok(());
    };
    let app = TestApp::start_with(&format!(
        "[timeseries]\nbackend = \"victoriametrics\"\nurl = \"{url}\"\nlocal_days = 1\n"
    ))
    .await?;
    let mut device = Device::connect(app.addrs.mqtt, "fridge-1").await?;
    let from = domain::Clock::system().now().0 / 1000 * 1000 - 7 * 86_400_000;
    for n in 0..60 {
        // One a minute, each twice, as after a lost acknowledgement.
        let payload = format!(r#"{{"ts":{},"v":{n}}}"#, from + n * 60_000);
        device.publish("up/temperature", "fridge-1", &payload).await?;
        device.publish("up/temperature", "fridge-1", &payload).await?;
    }
    let hour = format!(
        "/api/v1/points/{FACILITY}/fridge-1/temperature/window?from={from}&to={}&buckets=6",
        from + 3_600_000
    );
    until("six buckets of ten readings are there", || async {
        let answer = app.json(&hour).await?;
        let counts = answer["buckets"].as_array().map(|buckets| {
            let counts = buckets.iter().filter_map(|b| b["count"].as_u64());
            counts.collect::<Vec<_>>()
        });
        Ok(counts == Some(vec![10; 6]))
    })
    .await?;
    let answer = app.json(&hour).await?;
    let second = &answer["buckets"][1];
    assert_eq!(second["start_ms"], from + 600_000);
    let figures = ["min", "max", "avg", "last"].map(|f| second[f].as_f64());
    assert_eq!(figures, [10.0, 19.0, 14.5, 19.0].map(Some));
    let share = format!(
        "/api/v1/share?metric=temperature&above=29&by=series&from={from}&to={}",
        from + 3_600_000
    );
    let ranked = app.json(&share).await?;
    let worst = &ranked["groups"][0];
    assert_eq!(worst["device"], "fridge-1", "{ranked}");
    assert_eq!(
        (&worst["over_ms"], &worst["known_ms"]),
        (&1_800_000.into(), &3_600_000.into())
    );
    drop(server);
    until("the server is gone", || async {
        Ok(app.get(&hour).await?.0 == 503)
    })
    .await?;
    assert_eq!(
        app.get(&share).await?.0,
        503,
        "half an answer would look like a good share"
    );
    app.finish().await
}
