//! The real binary, as a process: its command line, its signals, and what a `kill -9` leaves behind.

#![expect(
    clippy::unwrap_used,
    reason = "a test of a process ends at its first surprise, wherever it stands"
)]

#[path = "process/backup.rs"]
mod backup;
#[path = "process/crash.rs"]
mod crash;
#[path = "process/messages.rs"]
mod messages;
#[path = "process/publisher.rs"]
mod publisher;
#[path = "process/store_command.rs"]
mod store_command;
#[path = "process/sunshine.rs"]
mod sunshine;

use std::{io::Write, net::TcpStream, time::Duration};

use sunshine::{Sunshine, command, configuration};

#[test]
fn help_is_for_strangers() {
    let output = command().arg("--help").output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success());
    for word in [
        "demo",
        "serve",
        "check-config",
        "device",
        "journal",
        "MQTT",
        "kitchens",
    ] {
        assert!(text.contains(word), "{word} is not in:\n{text}");
    }
}

#[test]
fn a_refused_configuration_names_file_line_and_key() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("bad.toml");
    std::fs::write(&file, "[http]\nlisten = \"127.0.0.1:0\"\nport = 8080\n").unwrap();
    for verb in ["serve", "check-config"] {
        let output = command().args([verb, "--config"]).arg(&file).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(64), "{said}");
        for part in ["bad.toml", "line 3", "port"] {
            assert!(said.contains(part), "{said}");
        }
    }
    let open = dir.path().join("open.toml");
    std::fs::write(&open, "[http]\nlisten = \"0.0.0.0:0\"\n").unwrap();
    let output = command().args(["serve", "--config"]).arg(&open).output().unwrap();
    assert_eq!(output.status.code(), Some(64));
    assert!(String::from_utf8_lossy(&output.stderr).contains("no sign-in yet"));
}

#[test]
fn rules_are_listed_and_tried_from_the_command_line() {
    let dir = tempfile::tempdir().unwrap();
    let config = configuration(dir.path(), "");
    let run = |arguments: &[&str]| {
        let output = command()
            .args(arguments)
            .arg("--config")
            .arg(&config)
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        (
            output.status.success(),
            text + &String::from_utf8_lossy(&output.stderr),
        )
    };
    let (fine, said) = run(&["rules", "list"]);
    assert!(fine && said.contains("CN-DZ-01\tP1\tdose\tlimit 120"), "{said}");
    assert!(said.contains("90 rules of the packs"), "{said}");
    let test = ["rules", "test", "--rule", "CN-TMP-01", "--days", "3"];
    let (fine, said) = run(&[&test[..], &["--limit", "6"]].concat());
    assert!(!fine && said.contains("no history"), "{said}");
    let inventory = dir.path().join("site.toml");
    std::fs::write(
        &inventory,
        "[[facility]]\nid = \"binhe\"\nname_zh = \"滨河\"\nname_en = \"Binhe\"\nkind = \"care_home\"\npeople_served = 9\n",
    )
    .unwrap();
    let (fine, said) = run(&["import", inventory.to_str().unwrap()]);
    assert!(fine, "{said}");
    let (fine, said) = run(&[&test[..], &["--limit", "6", "--hold", "60"]].concat());
    assert!(
        fine && said.contains("all\t0\t0") && said.lines().count() >= 5,
        "{said}"
    );
    for (more, why) in [
        (&["--limit", "warm"][..], "invalid value"),
        (&[][..], "nothing is changed"),
        (&["--limit", "6", "--days", "101"][..], "101"),
    ] {
        let (fine, said) = run(&[&test[..4], more].concat());
        assert!(!fine && said.contains(why), "{more:?}: {said}");
    }
    let (fine, said) = run(&["rules", "test", "--rule", "CN-XX-99", "--limit", "6"]);
    assert!(!fine && said.contains("sunshine rules list"), "{said}");
}

#[test]
fn devices_are_added_listed_and_barred_from_the_command_line() {
    let dir = tempfile::tempdir().unwrap();
    let config = configuration(dir.path(), "");
    let inventory = dir.path().join("site.toml");
    std::fs::write(
        &inventory,
        "[[facility]]\nid = \"binhe\"\nname_zh = \"滨河\"\nname_en = \"Binhe\"\nkind = \"care_home\"\npeople_served = 9\n",
    )
    .unwrap();
    let run = |arguments: &[&str]| {
        let output = command()
            .args(arguments)
            .arg("--config")
            .arg(&config)
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        (
            output.status.success(),
            text + &String::from_utf8_lossy(&output.stderr),
        )
    };
    let device = ["--facility", "binhe", "--device", "fridge-1"];
    let (added, said) = run(&[&["device", "add"], &device[..]].concat());
    assert!(!added && said.contains("sunshine import"), "{said}");

    let (imported, said) = run(&["import", inventory.to_str().unwrap()]);
    assert!(imported && said.contains("1 facilities"), "{said}");
    let (added, said) = run(&[&["device", "add"], &device[..]].concat());
    assert!(added && said.contains("binhe/fridge-1"), "{said}");
    let secret = said
        .lines()
        .find_map(|l| l.strip_prefix("secret    "))
        .unwrap()
        .to_owned();
    assert_eq!(secret.len(), 64);

    let (_, listed) = run(&["device", "list"]);
    assert!(listed.contains("binhe/fridge-1\tmay sign in"), "{listed}");
    assert!(!listed.contains(&secret), "a secret is shown once");
    let (barred, _) = run(&[&["device", "revoke"], &device[..]].concat());
    assert!(barred);
    let (_, listed) = run(&["device", "list"]);
    assert!(listed.contains("binhe/fridge-1\trevoked"), "{listed}");
}

/// An installation with the facility `f`, and a way to run commands on it: success, output and error output.
fn installation() -> (tempfile::TempDir, impl Fn(&[&str]) -> (bool, String, String)) {
    let dir = tempfile::tempdir().unwrap();
    let config = configuration(dir.path(), "");
    let run = move |arguments: &[&str]| {
        let mut command = command();
        let output = command
            .args(arguments)
            .arg("--config")
            .arg(&config)
            .output()
            .unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (
            output.status.success(),
            text(&output.stdout),
            text(&output.stderr),
        )
    };
    let inventory = "[[facility]]\nid = \"f\"\nname_zh = \"滨河\"\nname_en = \"F\"\nkind = \"care_home\"\npeople_served = 9\n";
    let site = dir.path().join("site.toml");
    std::fs::write(&site, inventory).unwrap();
    assert!(run(&["import", site.to_str().unwrap()]).0);
    (dir, run)
}

#[test]
fn many_devices_come_from_a_file_and_each_wrong_row_is_named() {
    let (dir, run) = installation();
    let csv = "facility,device,profile,root,points\nf,hub,zigbee2mqtt,,\nf,hub.door,,,door_open=cold_room\n\
               f,edge,sparkplug-b,,\nf,a,nosuch,,\n";
    let file = dir.path().join("devices.csv");
    std::fs::write(&file, csv).unwrap();
    let file = file.to_str().unwrap();
    let (good, _, said) = run(&["device", "import", file, "--check"]);
    assert!(!good && said.contains("0 devices were added"), "{said}");
    let (good, secrets, said) = run(&["device", "import", file]);
    assert!(!good && said.contains("2 devices were added"), "{said}");
    for part in ["line 4, root:", "line 5, profile:"] {
        assert!(said.contains(part), "{said}");
    }
    assert_eq!(secrets.lines().count(), 3);
    assert!(
        secrets.contains("2,f/hub,") && secrets.contains("3,f/hub.door,\n"),
        "{secrets}"
    );
    let (_, _, again) = run(&["device", "import", file]);
    assert!(
        again.contains("line 2, device:") && again.contains("already"),
        "{again}"
    );
}

#[test]
fn a_device_of_another_make_is_added_claimed_and_calibrated_from_the_command_line() {
    let (_dir, run) = installation();
    assert!(
        run(&[
            "device",
            "add",
            "--facility",
            "f",
            "--device",
            "hub",
            "--profile",
            "zigbee2mqtt"
        ])
        .0
    );
    let device = ["--facility", "f", "--device"];
    let (added, said, _) = run(&[
        &["device", "add"],
        &device[..],
        &["edge", "--profile", "sparkplug-b", "--root", "spBv1.0/g/e"],
    ]
    .concat());
    assert!(added && said.contains("spBv1.0/g/e"), "{said}");
    let (added, _, said) = run(&[
        &["device", "add"],
        &device[..],
        &["x", "--profile", "sparkplug-b"],
    ]
    .concat());
    assert!(!added && said.contains("--root"), "{said}");
    let (claimed, said, _) = run(&[&["device", "claim"], &device[..], &["hub"]].concat());
    assert!(claimed && said.contains("/claim/"), "{said}");
    let (listed, said, _) = run(&["device", "profiles"]);
    assert!(listed && said.contains("zigbee2mqtt\tzigbee2mqtt\t"), "{said}");
    let calibrate = [
        &["device", "calibrate"],
        &device[..],
        &["hub.door", "--metric", "temperature", "--offset", "-0.5"],
    ]
    .concat();
    let (done, said, _) = run(&calibrate);
    assert!(done && said.contains("value × 1 + -0.5"), "{said}");
}

#[test]
fn a_signal_ends_it_in_order_and_the_journal_can_be_inspected() {
    let dir = tempfile::tempdir().unwrap();
    let mut running = Sunshine::start(dir.path());
    running.signal(rustix::process::Signal::TERM);
    assert!(running.wait(Duration::from_secs(30)).success());
    let said = running.log();
    let position = |text: &str| {
        said.find(text)
            .unwrap_or_else(|| panic!("no {text:?} in:\n{said}"))
    };
    assert!(position("Stopping.") < position("Stopped."), "{said}");

    let output = command()
        .args(["journal", "inspect", "--config"])
        .arg(dir.path().join("sunshine.toml"))
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        output.status.success() && text.contains("ingest"),
        "segments and cursors: {text}"
    );
}

/// A request whose body never comes: an orderly stop waits for it.
fn unfinished_request(port: u16) -> TcpStream {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    let head = format!(
        "POST /cases/1/acknowledge HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\norigin: http://127.0.0.1:{port}\r\n\
         content-type: application/x-www-form-urlencoded\r\ncontent-length: 100\r\n\r\nby=x"
    );
    stream.write_all(head.as_bytes()).unwrap();
    stream
}

#[test]
fn a_second_signal_ends_it_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let mut running = Sunshine::start(dir.path());
    let _held = unfinished_request(running.http_port);
    running.signal(rustix::process::Signal::TERM);
    running.until_logged("Stopping.");
    running.signal(rustix::process::Signal::TERM);
    let status = running.wait(Duration::from_secs(10));
    assert_eq!(status.code(), Some(130), "{}", running.log());
}

#[test]
fn a_stop_that_takes_too_long_ends_at_its_deadline_and_names_the_laggard() {
    let dir = tempfile::tempdir().unwrap();
    configuration(dir.path(), "[shutdown]\ndeadline_s = 1");
    let mut running = Sunshine::start(dir.path());
    let _held = unfinished_request(running.http_port);
    running.signal(rustix::process::Signal::TERM);
    assert!(running.wait(Duration::from_secs(15)).success());
    let said = running.log();
    assert!(
        said.contains("Still busy at the deadline") && said.contains("Pages"),
        "{said}"
    );
}

#[test]
fn a_data_folder_belongs_to_one_process() {
    let dir = tempfile::tempdir().unwrap();
    let mut running = Sunshine::start(dir.path());
    let output = command()
        .args(["serve", "--config"])
        .arg(dir.path().join("sunshine.toml"))
        .output()
        .unwrap();
    assert!(!output.status.success());
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("another sunshine process"), "{said}");
    running.kill();
}

#[test]
fn a_camera_is_looked_at_from_the_command_line_only_where_cameras_may_be() {
    let looked = |arguments: &[&str]| {
        let output = command()
            .args(["camera", "probe"])
            .args(arguments)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        (output.status.code(), said)
    };
    let (status, said) = looked(&["http://127.0.0.1:9/picture.jpg"]);
    assert_eq!(status, Some(1), "{said}");
    for part in ["address_not_allowed", "allowed_networks", "网段"] {
        assert!(said.contains(part), "{said}");
    }
    let dir = tempfile::tempdir().unwrap();
    let config = configuration(dir.path(), "[cameras]\nallowed_networks = [\"127.0.0.0/8\"]");
    // Nothing listens on the discard port of this machine.
    let (status, said) = looked(&["rtsp://127.0.0.1:9/x", "--config", config.to_str().unwrap()]);
    assert_eq!(status, Some(1), "{said}");
    assert!(said.contains("unreachable"), "{said}");
    let (status, said) = looked(&["rtsp://admin:secret@127.0.0.1/x"]);
    assert_eq!(status, Some(2), "{said}");
    assert!(said.contains("user name or password"), "{said}");
}

#[test]
fn what_is_no_evidence_is_not_called_sound() {
    let dir = tempfile::tempdir().unwrap();
    let output = command()
        .args(["evidence", "verify"])
        .arg(dir.path())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_ne!(output.status.code(), Some(0), "{said}");
    assert!(!said.contains("Nothing was changed"), "{said}");
}
