//! The binary as a child process that never outlives its test.

use std::{
    io::{BufRead, BufReader, Read},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::{Arc, Mutex},
    thread::JoinHandle,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};

/// The binary, free of the test's own environment.
pub(crate) fn command() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sunshine"));
    command.env_remove("RUST_LOG").stdin(Stdio::null());
    command
}

/// Writes a configuration for free ports and a `tool` service into `dir`.
pub(crate) fn configuration(dir: &Path, extra: &str) -> PathBuf {
    let file = dir.join("sunshine.toml");
    let data = dir.join("data");
    let text = format!(
        "data_dir = {data:?}\n[http]\nlisten = \"127.0.0.1:0\"\n[mqtt]\nlisten = \"127.0.0.1:0\"\n\
         anonymous_as = \"tool\"\n[[mqtt.service]]\nname = \"tool\"\npublish = [\"sk/v1/#\"]\n\
         subscribe = [\"sk/v1/#\"]\n[journal]\nsegment_mib = 1\ncapacity_mib = 64\n{extra}\n"
    );
    std::fs::write(&file, text).unwrap();
    file
}

/// A running product.
pub(crate) struct Sunshine {
    child: Child,
    /// The port devices connect to.
    pub(crate) mqtt_port: u16,
    /// The port of pages and API.
    pub(crate) http_port: u16,
    log: Arc<Mutex<String>>,
    reader: Option<JoinHandle<()>>,
}

impl Sunshine {
    /// Starts it on `dir` and waits until it has said where it listens.
    pub(crate) fn start(dir: &Path) -> Sunshine {
        let file = dir.join("sunshine.toml");
        if !file.exists() {
            configuration(dir, "");
        }
        let mut child = command()
            .args(["serve", "--config"])
            .arg(&file)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let log = Arc::new(Mutex::new(String::new()));
        let (errors, kept) = (child.stderr.take().unwrap(), Arc::clone(&log));
        let reader = std::thread::spawn(move || {
            for line in BufReader::new(errors).lines().map_while(Result::ok) {
                let mut log = kept.lock().unwrap();
                log.push_str(&line);
                log.push('\n');
            }
        });
        let mut said = String::new();
        let mut output = BufReader::new(child.stdout.take().unwrap());
        let (mut mqtt_port, mut http_port) = (None, None);
        while !said.contains("Stop ") {
            let mut line = String::new();
            if output.read_line(&mut line).unwrap() == 0 {
                let status = child.wait().unwrap();
                panic!(
                    "it ended with {status} after saying:\n{said}\n{}",
                    log.lock().unwrap()
                );
            }
            let port = || line.trim().rsplit(':').next().and_then(|p| p.parse().ok());
            if line.trim().starts_with("MQTT 3.1.1, 5") {
                mqtt_port = port();
            }
            if line.trim().starts_with("Pages and API") {
                http_port = port();
            }
            said.push_str(&line);
        }
        // Whatever it prints later must not fill the pipe.
        std::thread::spawn(move || output.read_to_string(&mut String::new()));
        let mqtt_port = mqtt_port.expect("it says where devices connect");
        let http_port = http_port.expect("it says where its pages are");
        Sunshine {
            child,
            mqtt_port,
            http_port,
            log,
            reader: Some(reader),
        }
    }

    /// Waits until it has logged `text`.
    pub(crate) fn until_logged(&self, text: &str) {
        let deadline = Instant::now() + Duration::from_secs(20);
        while !self.log.lock().unwrap().contains(text) {
            assert!(
                Instant::now() < deadline,
                "it never logged {text:?}:\n{}",
                self.log.lock().unwrap()
            );
            std::thread::park_timeout(Duration::from_millis(2));
        }
    }

    /// Sends a signal.
    pub(crate) fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(i32::try_from(self.child.id()).unwrap()).unwrap();
        kill_process(pid, signal).unwrap();
    }

    /// Ends it with SIGKILL, at once.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Waits until it has ended by itself.
    pub(crate) fn wait(&mut self, patience: Duration) -> ExitStatus {
        let deadline = Instant::now() + patience;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(
                Instant::now() < deadline,
                "it did not end; it said:\n{}",
                self.log.lock().unwrap()
            );
            std::thread::park_timeout(Duration::from_millis(5));
        }
    }

    /// What it logged, once it has ended.
    pub(crate) fn log(&mut self) -> String {
        if let Some(reader) = self.reader.take() {
            reader.join().unwrap();
        }
        self.log.lock().unwrap().clone()
    }
}

impl Drop for Sunshine {
    fn drop(&mut self) {
        // It may have ended by itself; that is no error here.
        if self.child.try_wait().ok().flatten().is_none() && self.child.kill().is_ok() {
            self.child.wait().expect("a killed child can be waited for");
        }
    }
}
