//! Servers that are not ours, started by a test on a free port with their data in a folder of its own, and stopped with it.

use std::{
    net::TcpListener,
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use tempfile::TempDir;

use crate::tls::Leaf;

/// How it is started with a folder and a port.
type Start = dyn Fn(&Path, u16) -> Command + Send + Sync;

/// A running server.
pub(crate) struct Engine {
    pub(crate) port: u16,
    /// What its paths begin with.
    prefix: String,
    http: reqwest::Client,
    scheme: &'static str,
    command: Box<Start>,
    process: Child,
    dir: TempDir,
}

/// What `vmauth` lets through, and where.
pub(crate) struct Routes<'a> {
    pub(crate) token: &'a str,
    /// Beginnings of paths, and the server behind each.
    pub(crate) to: &'a [(&'a str, &'a Engine)],
}

impl Engine {
    /// Debian's VictoriaMetrics, whose paths begin with `prefix`; `None` where it is not installed.
    pub(crate) async fn victoria_metrics(prefix: &str) -> Option<Engine> {
        present("victoria-metrics").then_some(())?;
        let path_prefix = format!("-http.pathPrefix={prefix}");
        let command = move |dir: &Path, port: u16| {
            let mut command = Command::new("victoria-metrics");
            command
                .arg(format!("-storageDataPath={}", dir.join("data").display()))
                .arg(format!("-httpListenAddr=127.0.0.1:{port}"))
                .args([
                    "-retentionPeriod=100y",
                    "-dedup.minScrapeInterval=1ms",
                    &path_prefix,
                ]);
            command
        };
        Some(Engine::start(Box::new(command), prefix, None).await)
    }

    /// The agent of the same package, which hands on to `storage` what it has in a queue on disk.
    pub(crate) async fn vmagent(prefix: &str, storage: &Engine) -> Option<Engine> {
        present("vmagent").then_some(())?;
        let path_prefix = format!("-http.pathPrefix={prefix}");
        let to = format!("-remoteWrite.url={}/api/v1/write", storage.url());
        let command = move |dir: &Path, port: u16| {
            let mut command = Command::new("vmagent");
            command
                .arg(format!("-remoteWrite.tmpDataPath={}", dir.join("queue").display()))
                .arg(format!("-httpListenAddr=127.0.0.1:{port}"))
                // One queue keeps the order, by which a test knows that everything has passed.
                .args(["-remoteWrite.queues=1", "-remoteWrite.flushInterval=50ms"])
                .args([&to, &path_prefix]);
            command
        };
        Some(Engine::start(Box::new(command), prefix, None).await)
    }

    /// The doorkeeper of the same package, behind TLS.
    pub(crate) async fn vmauth(routes: Routes<'_>, ca: &str, leaf: &Leaf) -> Option<Engine> {
        present("vmauth").then_some(())?;
        let mut config = format!("users:\n- bearer_token: {}\n  url_map:\n", routes.token);
        for (prefix, engine) in routes.to {
            config += &format!(
                "  - src_paths: [\"{prefix}/.*\"]\n    url_prefix: \"http://127.0.0.1:{}\"\n",
                engine.port
            );
        }
        let files = [
            ("auth.yml", config),
            ("cert.pem", leaf.pem.clone()),
            ("key.pem", leaf.key.serialize_pem()),
        ];
        let command = move |dir: &Path, port: u16| {
            for (name, text) in &files {
                std::fs::write(dir.join(name), text).unwrap();
            }
            let mut command = Command::new("vmauth");
            command
                .arg(format!("-httpListenAddr=127.0.0.1:{port}"))
                .arg(format!("-auth.config={}", dir.join("auth.yml").display()))
                .arg(format!("-tlsCertFile={}", dir.join("cert.pem").display()))
                .arg(format!("-tlsKeyFile={}", dir.join("key.pem").display()))
                .arg("-tls");
            command
        };
        Some(Engine::start(Box::new(command), "", Some(ca)).await)
    }

    /// Debian's InfluxDB 1.6; `None` where it is not installed.
    pub(crate) async fn influxdb_1() -> Option<Engine> {
        present("influxd").then_some(())?;
        let command = |dir: &Path, port: u16| {
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
        };
        let engine = Engine::start(Box::new(command), "", None).await;
        engine.post("/query?q=CREATE+DATABASE+sunshine", "").await;
        Some(engine)
    }

    async fn start(command: Box<Start>, prefix: &str, ca: Option<&str>) -> Engine {
        let http = reqwest::Client::builder().no_proxy();
        let http = match ca {
            Some(pem) => http.tls_certs_only(reqwest::Certificate::from_pem_bundle(pem.as_bytes()).unwrap()),
            None => http,
        };
        let mut engine = Engine {
            port: 0,
            prefix: prefix.to_owned(),
            http: http.build().unwrap(),
            scheme: if ca.is_some() { "https" } else { "http" },
            command,
            // Nothing yet.
            process: Command::new("true").spawn().unwrap(),
            dir: tempfile::tempdir().unwrap(),
        };
        // Somebody else may take the port in between; then the server ends, and another one is tried.
        for _ in 0..5 {
            let port = TcpListener::bind("127.0.0.1:0").unwrap();
            engine.port = port.local_addr().unwrap().port();
            drop(port);
            if engine.go_on().await {
                return engine;
            }
        }
        panic!("the server does not start");
    }

    /// Starts it, with its data and at its port; false when it ends.
    pub(crate) async fn go_on(&mut self) -> bool {
        self.process.wait().unwrap();
        self.process = (self.command)(self.dir.path(), self.port)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        self.answers().await
    }

    /// Ends it in order, and waits until it has ended.
    pub(crate) fn stop(&mut self) {
        let script = format!("kill -TERM {}", self.process.id());
        assert!(
            Command::new("sh")
                .args(["-c", &script])
                .status()
                .unwrap()
                .success()
        );
        self.process.wait().unwrap();
    }

    async fn answers(&mut self) -> bool {
        let deadline = Instant::now() + Duration::from_secs(30);
        while Instant::now() < deadline {
            if self.process.try_wait().unwrap().is_some() {
                return false;
            }
            let asked = self.http.get(format!("{}/ping", self.url())).send().await;
            if asked.is_ok_and(|answer| answer.status().is_success()) {
                return true;
            }
            tokio::task::yield_now().await;
        }
        false
    }

    pub(crate) fn url(&self) -> String {
        format!("{}://127.0.0.1:{}{}", self.scheme, self.port, self.prefix)
    }

    pub(crate) async fn get(&self, path: &str) -> String {
        let asked = self.http.get(format!("{}{path}", self.url())).send();
        asked.await.unwrap().text().await.unwrap()
    }

    pub(crate) async fn post(&self, path: &str, body: &str) -> u16 {
        let sent = self
            .http
            .post(format!("{}{path}", self.url()))
            .body(body.to_owned())
            .send();
        sent.await.unwrap().status().as_u16()
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        // One that was stopped has ended already.
        drop(self.process.kill());
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
        let package = if program == "influxd" {
            "influxdb"
        } else {
            "victoria-metrics"
        };
        assert!(
            !says("test \"$CI\" = true"),
            "install it: apt-get install {package}"
        );
        eprintln!("skipped: {program} is not installed here (apt-get install {package}; .ci/run does)");
    }
    present
}
