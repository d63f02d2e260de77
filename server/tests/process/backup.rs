//! `sunshine backup` beside a server that takes in messages, and `sunshine restore`.

use std::{
    collections::BTreeMap,
    fs,
    io::Read,
    path::{Path, PathBuf},
    process::{Output, Stdio},
    sync::{Arc, atomic::Ordering},
    thread::JoinHandle,
    time::{Duration, Instant},
};

use domain::{CameraKey, Check, Clock, camera::Retention, observation::Tally};
use sha2::{Digest, Sha256};
use store::{
    Archive, ArchiveOptions,
    evidence::{About, ItemRole, NewItem, verify},
};

use crate::{
    crash::check_stored,
    publisher::{Shared, publish},
    sunshine::{Sunshine, command, configuration},
};

const PUBLISHERS: usize = 4;
const PATIENCE: Duration = Duration::from_secs(60);

/// Chunks are written often, so that a backup meets commits in every file of the store.
const SMALL_CHUNKS: &str = "[series]\nflush_readings = 1024\nflush_age_s = 1";

/// Evidence as it lies there before the server begins.
fn keep_evidence(data_dir: &Path) {
    fs::create_dir_all(data_dir).unwrap();
    let clock = Clock::system();
    let archive = Archive::open(ArchiveOptions::new(data_dir.join("evidence")), clock.clone()).unwrap();
    for number in 0..3_u8 {
        let about = About {
            camera: CameraKey {
                facility: "crash".parse().unwrap(),
                camera: "camera-1".parse().unwrap(),
            },
            gb_id: None,
            check: Check::NoMask,
            zone: None,
            rule: None,
            since: clock.now() - 10_000 + i64::from(number),
            at: clock.now(),
            received: clock.now(),
            clock_offset_ms: None,
            model: None,
            score: None,
            threshold: None,
            tally: Tally {
                judged: 10,
                positive: 8,
                unjudged: 1,
            },
            detections: Vec::new(),
            readings: Vec::new(),
            retention: Retention::Days30,
        };
        let picture = NewItem {
            role: ItemRole::At,
            media_type: "image/jpeg".into(),
            blurred: true,
            bytes: vec![number; 40_000],
        };
        archive.put(&about, &[picture]).unwrap();
    }
}

/// Devices, each with its own count of acknowledgements.
struct Devices {
    shared: Vec<Arc<Shared>>,
    threads: Vec<JoinHandle<Vec<bool>>>,
}

impl Devices {
    fn start(port: u16, first_ts: i64) -> Devices {
        let shared: Vec<Arc<Shared>> = (0..PUBLISHERS).map(|_| Shared::new()).collect();
        let threads = shared.iter().enumerate().map(|(number, shared)| {
            shared.port.store(port, Ordering::Release);
            let shared = Arc::clone(shared);
            std::thread::spawn(move || publish(number, &shared, first_ts))
        });
        let threads = threads.collect();
        Devices { shared, threads }
    }

    /// How many of each device's messages are acknowledged: the first so many, because they are acknowledged in order.
    fn acknowledged(&self) -> Vec<u64> {
        let count = |shared: &Arc<Shared>| shared.acknowledged.load(Ordering::Acquire);
        self.shared.iter().map(count).collect()
    }

    fn until_each_has(&self, least: u64) {
        let deadline = Instant::now() + PATIENCE;
        while self.acknowledged().iter().any(|count| *count < least) {
            assert!(Instant::now() < deadline, "no acknowledgements come");
            std::thread::yield_now();
        }
    }

    fn stop(self) {
        for shared in &self.shared {
            shared.stop.store(true, Ordering::Release);
        }
        for thread in self.threads {
            thread.join().unwrap();
        }
    }
}

fn back_up(dir: &Path, to: &Path, more: &[&str]) -> Output {
    let mut command = command();
    command.arg("backup").arg(to).args(more);
    command.arg("--config").arg(dir.join("sunshine.toml"));
    command.output().unwrap()
}

fn restore(from: &Path, to: &Path) -> Output {
    let mut command = command();
    command.arg("restore").arg(from).arg("--to").arg(to);
    command.output().unwrap()
}

fn told(output: &Output) -> String {
    assert!(output.status.success(), "{output:?}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn refused(output: &Output) -> String {
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Every file in `dir` and below, by name.
fn contents(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut folders = vec![dir.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let name = path.strip_prefix(dir).unwrap().to_owned();
                found.insert(name, fs::read(path).unwrap());
            }
        }
    }
    found
}

#[test]
fn a_backup_taken_while_messages_come_in_holds_each_acknowledged_one_once() {
    let (dir, new) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let first_ts = Clock::system().now().0 - 3_600_000;
    configuration(dir.path(), SMALL_CHUNKS);
    configuration(new.path(), SMALL_CHUNKS);
    keep_evidence(&dir.path().join("data"));
    let mut running = Sunshine::start(dir.path());
    let devices = Devices::start(running.mqtt_port, first_ts);

    let restored_to = new.path().join("data");
    let mut held = Vec::new();
    for round in 1..=3 {
        let before_all: u64 = devices.acknowledged().iter().sum();
        devices.until_each_has(2_000 * round);
        held = devices.acknowledged();
        let backup = dir.path().join(format!("backup-{round}"));
        let said = told(&back_up(dir.path(), &backup, &["--with-keys"]));
        assert!(said.contains("The keys are in it"), "{said}");
        eprintln!("{said}");
        // It went on taking messages in.
        let after: u64 = devices.acknowledged().iter().sum();
        assert!(after > before_all);
        devices.until_each_has(held.iter().max().unwrap() + 1);
    }
    running.kill();
    devices.stop();

    let backup = dir.path().join("backup-3");
    let said = told(&restore(&backup, &restored_to));
    assert!(said.contains("4 series in"), "{said}");
    assert!(said.contains("3 packages of evidence with 3 files"), "{said}");
    let mut kept = contents(&dir.path().join("data/evidence"));
    assert!(kept.remove(Path::new("lock")).is_some());
    assert_eq!(kept, contents(&restored_to.join("evidence")), "bit for bit");

    let mut again = Sunshine::start(new.path());
    again.signal(rustix::process::Signal::TERM);
    assert!(again.wait(PATIENCE).success(), "{}", again.log());
    let acknowledged: Vec<Vec<bool>> = held
        .iter()
        .map(|count| vec![true; usize::try_from(*count).unwrap()])
        .collect();
    check_stored(new.path(), &acknowledged, first_ts);
    let evidence = verify(&restored_to.join("evidence"), None).unwrap();
    assert!(evidence.is_sound(), "{:?}", evidence.problems);
}

/// A backup of a server that has taken a few messages in, without the keys.
fn small_backup() -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    configuration(dir.path(), SMALL_CHUNKS);
    keep_evidence(&dir.path().join("data"));
    let mut running = Sunshine::start(dir.path());
    let devices = Devices::start(running.mqtt_port, Clock::system().now().0 - 3_600_000);
    devices.until_each_has(1_000);
    let backup = dir.path().join("backup");
    let said = told(&back_up(dir.path(), &backup, &[]));
    assert!(said.contains("keep vault.key"), "{said}");
    running.kill();
    devices.stop();
    (dir, backup)
}

#[test]
fn one_flipped_byte_anywhere_in_a_backup_is_refused_and_named() {
    let (dir, backup) = small_backup();
    let target = dir.path().join("restored");
    let files = contents(&backup);
    assert!(files.len() > 12, "{:?}", files.keys());
    for secret in ["vault.key", "evidence/signing.key"] {
        assert!(!files.contains_key(Path::new(secret)), "{secret}");
    }
    for (name, bytes) in &files {
        let path = backup.join(name);
        let mut flipped = bytes.clone();
        match bytes.len() {
            // An empty file has no byte to flip: one is added.
            0 => flipped.push(1),
            length => flipped[length / 2] ^= 0x10,
        }
        fs::write(&path, flipped).unwrap();
        let said = refused(&restore(&backup, &target));
        assert!(
            said.contains(&name.display().to_string()),
            "{}: {said}",
            name.display()
        );
        assert!(!target.exists(), "nothing was written");
        fs::write(&path, bytes).unwrap();
    }
    let said = told(&restore(&backup, &target));
    assert!(said.contains("Put evidence/signing.key back"), "{said}");
}

#[test]
fn what_is_no_whole_backup_of_a_known_format_is_refused() {
    let (dir, backup) = small_backup();
    let target = dir.path().join("restored");
    let said = refused(&back_up(dir.path(), &backup, &[]));
    assert!(said.contains("is not empty"), "{said}");
    let said = refused(&back_up(dir.path(), &dir.path().join("data/backup"), &[]));
    assert!(said.contains("lies in the data folder"), "{said}");

    let manifest = backup.join("manifest.json");
    let text = fs::read_to_string(&manifest).unwrap();
    fs::remove_file(&manifest).unwrap();
    let said = refused(&restore(&backup, &target));
    assert!(said.contains("interrupted"), "{said}");

    let write = |text: &str| write_manifest(&backup, text);
    let version = env!("CARGO_PKG_VERSION");
    for (format, age) in [(2, "newer"), (0, "older")] {
        write(&text.replacen("\"format\": 1", &format!("\"format\": {format}"), 1));
        let said = refused(&restore(&backup, &target));
        for part in [
            format!("format {format}, written by version {version}"),
            format!("{age} version wrote it; restore it with that version"),
        ] {
            assert!(said.contains(&part), "{said}");
        }
        assert!(!target.exists(), "nothing was written");
    }
    write(&text.replacen("\"records.db\"", "\"../records.db\"", 1));
    let said = refused(&restore(&backup, &target));
    assert!(said.contains("lies outside the backup"), "{said}");
    write(&text);

    let records = backup.join("records.db");
    fs::rename(&records, dir.path().join("aside")).unwrap();
    let said = refused(&restore(&backup, &target));
    assert!(said.contains("records.db is missing"), "{said}");
    assert!(!target.exists(), "nothing was written");
    fs::rename(dir.path().join("aside"), &records).unwrap();

    let said = refused(&restore(&backup, &dir.path().join("data")));
    assert!(said.contains("is not empty"), "{said}");
    told(&restore(&backup, &target));

    // What a restore leaves that is interrupted.
    fs::write(dir.path().join("data/restoring"), "").unwrap();
    let output = command()
        .args(["serve", "--config"])
        .arg(dir.path().join("sunshine.toml"))
        .output()
        .unwrap();
    let said = refused(&output);
    assert!(said.contains("was interrupted"), "{said}");
}

#[test]
fn a_backup_that_is_killed_is_whole_or_refused() {
    let (dir, whole) = small_backup();
    let files = contents(&whole).len();
    let mut unfinished = 0;
    for least in 0..files {
        let backup = dir.path().join(format!("killed-{least}"));
        let mut child = command()
            .arg("backup")
            .arg(&backup)
            .arg("--config")
            .arg(dir.path().join("sunshine.toml"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        // At the latest when it has ended by itself.
        while child.try_wait().unwrap().is_none() && (!backup.exists() || count_files(&backup) < least) {
            std::thread::yield_now();
        }
        child.kill().unwrap();
        child.wait().unwrap();
        let target = dir.path().join(format!("restored-{least}"));
        let output = restore(&backup, &target);
        if backup.join("manifest.json").exists() {
            assert!(told(&output).contains("each with the hash"));
        } else {
            let said = refused(&output);
            assert!(said.contains("is no finished backup"), "{said}");
            assert!(!target.exists(), "nothing was written");
            unfinished += 1;
        }
    }
    assert!(unfinished > 0, "every one was faster than the kill");
}

/// Writes the manifest of a backup, and its hash.
fn write_manifest(backup: &Path, text: &str) {
    let hash = hex::encode(Sha256::digest(text.as_bytes()));
    fs::write(backup.join("manifest.json"), text).unwrap();
    fs::write(backup.join("manifest.sha256"), format!("{hash}  manifest.json\n")).unwrap();
}

/// Databases as the first versions wrote them: records that stop at the third migration, and time series of format 1.
/// `scripts/make-older-backup.py` made them.
const OLDER: [(&str, &[u8]); 3] = [
    ("records.db", include_bytes!("older-backup/records.db.gz")),
    ("series/catalog.db", include_bytes!("older-backup/catalog.db.gz")),
    (
        "series/raw-2967.db",
        include_bytes!("older-backup/raw-2967.db.gz"),
    ),
];

/// A backup with such databases; `change` may spoil one before it is named in the manifest.
fn older_backup(backup: &Path, change: impl Fn(&str, &mut Vec<u8>)) {
    let mut files = Vec::new();
    for (name, packed) in OLDER {
        let mut bytes = Vec::new();
        flate2::read::GzDecoder::new(packed)
            .read_to_end(&mut bytes)
            .unwrap();
        change(name, &mut bytes);
        let path = backup.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, &bytes).unwrap();
        let sha256 = hex::encode(Sha256::digest(&bytes));
        files.push(format!(
            r#"{{"path": "{name}", "bytes": {}, "sha256": "{sha256}"}}"#,
            bytes.len()
        ));
    }
    let text = format!(
        r#"{{"format": 1, "product": "0.0.1", "taken_at": "2026-11-20T00:00:00Z", "journal_from": 0, "journal_to": 0,
            "checkpoint": 0, "judged": null, "keys": false, "files": [{}]}}"#,
        files.join(",\n")
    );
    write_manifest(backup, &text);
}

#[test]
fn a_backup_with_databases_of_older_formats_is_brought_up_to_date_and_served() {
    let dir = tempfile::tempdir().unwrap();
    let (backup, data) = (dir.path().join("backup"), dir.path().join("data"));
    older_backup(&backup, |_, _| {});
    let said = told(&restore(&backup, &data));
    assert!(said.contains("1 series in"), "{said}");
    configuration(dir.path(), "");
    let mut running = Sunshine::start(dir.path());
    running.signal(rustix::process::Signal::TERM);
    assert!(running.wait(PATIENCE).success(), "{}", running.log());
    let series = data.join("series");
    let store = |verb: &[&str]| {
        let mut command = command();
        command.arg("store").args(verb).arg("--dir").arg(&series);
        told(&command.output().unwrap())
    };
    assert!(store(&["check"]).contains("Everything reads back as it was written."));
    let csv = store(&["export"]);
    assert_eq!(csv.lines().count(), 1_001);
    assert_eq!(
        csv.lines().nth(50),
        Some("binhe,fridge-1,temperature,degC,2026-11-17T07:28:10Z,4.9")
    );
    // What is up to date by now can be backed up, and that can be restored.
    let again = dir.path().join("again");
    told(&back_up(dir.path(), &again, &[]));
    told(&restore(&again, &dir.path().join("restored")));
}

#[test]
fn a_backup_with_a_database_of_a_newer_format_is_refused_with_the_remedy() {
    let dir = tempfile::tempdir().unwrap();
    configuration(dir.path(), "");
    // SQLite keeps the number of the format in its header.
    let newer = |of: &'static str| {
        move |name: &str, bytes: &mut Vec<u8>| {
            if name == of {
                bytes[60..64].copy_from_slice(&99_u32.to_be_bytes());
            }
        }
    };
    let says_so = |said: &str, file: &str| {
        for part in [file, "has format 99", "run the version that wrote it"] {
            assert!(said.contains(part), "{said}");
        }
    };
    // A week is listed as what cannot be read of it; the rest is there.
    let backup = dir.path().join("week");
    older_backup(&backup, newer("series/raw-2967.db"));
    let output = restore(&backup, &dir.path().join("elsewhere"));
    assert!(refused(&output).contains("an older backup may be better"));
    says_so(&String::from_utf8_lossy(&output.stdout), "raw-2967.db");
    // Without the catalog nothing can be read: what was written is no data folder.
    let backup = dir.path().join("catalog");
    older_backup(&backup, newer("series/catalog.db"));
    says_so(
        &refused(&restore(&backup, &dir.path().join("data"))),
        "catalog.db",
    );
    let mut serve = command();
    serve
        .arg("serve")
        .arg("--config")
        .arg(dir.path().join("sunshine.toml"));
    let said = refused(&serve.output().unwrap());
    assert!(said.contains("was interrupted"), "{said}");
}

/// How many files are in `dir` and below; those that come or go meanwhile count or not.
fn count_files(dir: &Path) -> usize {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    entries
        .map(|entry| match entry.file_type() {
            Ok(kind) if kind.is_dir() => count_files(&entry.path()),
            _file_or_gone => 1,
        })
        .sum()
}
