//! Servers that are not ours, started by a test on a free port with their data in a folder of its own, and stopped with it.

use std::{
    net::TcpListener,
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use tempfile::TempDir;

/// A running server.
pub(crate) struct Engine {
    pub(crate) port: u16,
    process: Child,
    _dir: TempDir,
}

impl Engine {
    /// Debian's VictoriaMetrics; `None` where it is not installed.
    pub(crate) async fn victoria_metrics() -> Option<Engine> {
        present("victoria-metrics").then_some(())?;
        Some(
            Engine::start(|dir, port| {
                let mut command = Command::new("victoria-metrics");
                command
                    .arg(format!("-storageDataPath={}", dir.join("data").display()))
                    .arg(format!("-httpListenAddr=127.0.0.1:{port}"))
                    .args(["-retentionPeriod=100y", "-dedup.minScrapeInterval=1ms"]);
                command
            })
            .await,
        )
    }

    /// Debian's InfluxDB 1.6; `None` where it is not installed.
    pub(crate) async fn influxdb_1() -> Option<Engine> {
        present("influxd").then_some(())?;
        let engine = Engine::start(|dir, port| {
            let config = format!(
                "reporting-disabled = true\nbind-address = \"127.0.0.1:0\"\n[meta]\ndir = {0:?}\n[data]\ndir = {1:?}\n\
                 wal-dir = {2:?}\n[http]\nbind-address = \"127.0.0.1:{port}\"\nlog-enabled = false\n",
                dir.join("meta"),
                dir.join("data"),
                dir.join("wal")
            );
            std::fs::write(dir.join("influxdb.conf"), config).unwrap();
            let mut command = Command::new("influxd");
            command.arg("-config").arg(dir.join("influxdb.conf"));
            command
        })
        .await;
        engine.post("/query?q=CREATE+DATABASE+sunshine", "").await;
        Some(engine)
    }

    async fn start(command: impl Fn(&Path, u16) -> Command) -> Engine {
        let dir = tempfile::tempdir().unwrap();
        // Somebody else may take the port in between; then the server ends, and another one is tried.
        for _ in 0..5 {
            let port = TcpListener::bind("127.0.0.1:0")
                .unwrap()
                .local_addr()
                .unwrap()
                .port();
            let process = command(dir.path(), port)
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .unwrap();
            let mut engine = Engine {
                port,
                process,
                _dir: tempfile::tempdir().unwrap(),
            };
            if engine.answers().await {
                engine._dir = dir;
                return engine;
            }
        }
        panic!("the server does not start");
    }

    async fn answers(&mut self) -> bool {
        let deadline = Instant::now() + Duration::from_secs(30);
        while Instant::now() < deadline {
            if self.process.try_wait().unwrap().is_some() {
                return false;
            }
            let asked = reqwest::get(format!("{}/ping", self.url())).await;
            if asked.is_ok_and(|answer| answer.status().is_success()) {
                return true;
            }
            tokio::task::yield_now().await;
        }
        false
    }

    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    pub(crate) async fn get(&self, path: &str) -> String {
        let answer = reqwest::get(format!("{}{path}", self.url())).await.unwrap();
        answer.text().await.unwrap()
    }

    pub(crate) async fn post(&self, path: &str, body: &str) -> u16 {
        let client = reqwest::Client::new();
        let sent = client
            .post(format!("{}{path}", self.url()))
            .body(body.to_owned())
            .send();
        sent.await.unwrap().status().as_u16()
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

/// Whether a server that a newcomer may lack is here. Says so when it is not, and fails where everything must be tested.
fn present(program: &str) -> bool {
    let says = |script: &str| {
        Command::new("sh")
            .args(["-c", script])
            .status()
            .unwrap()
            .success()
    };
    let present = says(&format!("command -v {program} >/dev/null"));
    if !present {
        let package = if program == "influxd" { "influxdb" } else { program };
        assert!(
            !says("test \"$CI\" = true"),
            "install it: apt-get install {package}"
        );
        eprintln!("skipped: {program} is not installed here (apt-get install {package}; .ci/run does)");
    }
    present
}
