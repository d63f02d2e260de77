//! Whatever is done to an archive's files, a check from outside finds it; an archive that nobody touched has no
//! problem.
#![expect(clippy::unwrap_used, reason = "a fixture that fails is a test that fails")]

use std::{
    cell::RefCell,
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    sync::LazyLock,
};

use domain::{
    CameraKey, Check, Clock, DeviceId, FacilityId, Scope, UtcMillis, camera::Retention, observation::Tally,
};
use proptest::prelude::{any, proptest};
use sunshine_store::{
    Archive, ArchiveOptions,
    evidence::{About, ItemRole, NewItem, ProblemKind, PublicKey, verify},
};

const NOW: UtcMillis = UtcMillis(1_795_000_000_000);
const DAY_MS: i64 = 86_400_000;

/// An archive's files by their names below it, and its key.
struct Original {
    files: BTreeMap<PathBuf, Vec<u8>>,
    key: PublicKey,
}

/// One life of five days with everything that can stand in a chain, as its files are at the end.
static ORIGINAL: LazyLock<Original> = LazyLock::new(|| {
    let dir = tempfile::tempdir().unwrap();
    let clock = Clock::simulated(NOW);
    let archive = Archive::open(ArchiveOptions::new(dir.path()), clock.clone()).unwrap();
    let scope = Scope::everything();
    for day in 0..4 {
        for n in 0..4_u8 {
            clock.set(NOW + day * DAY_MS + i64::from(n) * 1_000);
            let about = about(if n == 3 {
                Retention::Days7
            } else {
                Retention::Days30
            });
            let id = archive
                .put(&about, &[item(&[day as u8, n]), item(b"shared")])
                .unwrap();
            match n {
                0 => archive.hold(&scope, &id, "王芳", "case 7").unwrap(),
                1 => drop(archive.amend(&id, &about, &[item(&[day as u8, n, 9])]).unwrap()),
                _ => archive.note_view(&scope, &id, "王芳", "case 7").unwrap(),
            }
        }
    }
    clock.set(NOW + 8 * DAY_MS);
    assert!(archive.sweep().unwrap().expired > 0);
    archive.put(&about(Retention::Days30), &[item(b"last")]).unwrap();
    let key = archive.public_key().clone();
    drop(archive);
    let mut files = BTreeMap::new();
    read_all(dir.path(), Path::new(""), &mut files);
    for not_evidence in ["lock", "signing.key"] {
        files.remove(Path::new(not_evidence)).unwrap();
    }
    Original { files, key }
});

fn about(retention: Retention) -> About {
    About {
        camera: CameraKey {
            facility: FacilityId::new("a").unwrap(),
            camera: DeviceId::new("cam-1").unwrap(),
        },
        gb_id: None,
        check: Check::NoMask,
        zone: None,
        rule: None,
        since: NOW,
        at: NOW,
        received: NOW,
        clock_offset_ms: None,
        model: None,
        score: None,
        threshold: None,
        tally: Tally::default(),
        detections: Vec::new(),
        readings: Vec::new(),
        retention,
    }
}

fn item(bytes: &[u8]) -> NewItem {
    NewItem {
        role: ItemRole::At,
        media_type: "image/jpeg".into(),
        blurred: true,
        bytes: bytes.to_vec(),
    }
}

fn read_all(root: &Path, below: &Path, files: &mut BTreeMap<PathBuf, Vec<u8>>) {
    for entry in fs::read_dir(root.join(below)).unwrap() {
        let entry = entry.unwrap();
        let name = below.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            read_all(root, &name, files);
        } else {
            files.insert(name, fs::read(entry.path()).unwrap());
        }
    }
}

/// A folder and what lies in it. Only what differs from one case to the next is written: disks are slow.
struct Bench {
    dir: tempfile::TempDir,
    files: BTreeMap<PathBuf, Vec<u8>>,
}

thread_local! {
    static BENCH: RefCell<Bench> = RefCell::new(Bench {
        dir: tempfile::tempdir().unwrap(),
        files: BTreeMap::new(),
    });
}

impl Bench {
    fn lay_out(&mut self, files: &BTreeMap<PathBuf, Vec<u8>>) {
        for name in self.files.keys().filter(|name| !files.contains_key(*name)) {
            fs::remove_file(self.dir.path().join(name)).unwrap();
        }
        for (name, bytes) in files
            .iter()
            .filter(|(name, bytes)| self.files.get(*name) != Some(bytes))
        {
            let path = self.dir.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, bytes).unwrap();
        }
        self.files.clone_from(files);
    }
}

/// Whether a check finds something wrong with an archive of these files; with its key, and without.
fn found(files: &BTreeMap<PathBuf, Vec<u8>>) -> [bool; 2] {
    BENCH.with_borrow_mut(|bench| {
        bench.lay_out(files);
        [Some(&ORIGINAL.key), None].map(|key| !verify(bench.dir.path(), key).unwrap().is_sound())
    })
}

/// Fails when what `tamper` does changes the archive and is not found.
fn check_found(what: &str, tamper: impl FnOnce(&mut BTreeMap<PathBuf, Vec<u8>>)) {
    let mut files = ORIGINAL.files.clone();
    tamper(&mut files);
    if files != ORIGINAL.files {
        assert_eq!(found(&files), [true, true], "{what}");
    }
}

/// One of the files, chosen by `n`.
fn any_file(n: usize) -> PathBuf {
    let names: Vec<_> = ORIGINAL.files.keys().collect();
    names[n % names.len()].clone()
}

/// One of the days' files of lines, chosen by `n`, and its lines with their ends.
fn any_log(n: usize) -> (PathBuf, Vec<Vec<u8>>) {
    let is_log = |name: &&PathBuf| name.extension().is_some_and(|e| e == "log");
    let logs: Vec<_> = ORIGINAL.files.keys().filter(is_log).collect();
    let name = logs[n % logs.len()].clone();
    let lines = ORIGINAL.files[&name].split_inclusive(|b| *b == b'\n');
    (name, lines.map(<[u8]>::to_vec).collect())
}

#[test]
fn an_archive_that_nobody_touched_has_no_problem() {
    assert_eq!(found(&ORIGINAL.files), [false, false]);
    let days = (0..).map_while(|n| (n == 0 || any_log(n).0 != any_log(0).0).then_some(n));
    assert_eq!(days.count(), 5);
    assert!(ORIGINAL.files.len() > 30, "{}", ORIGINAL.files.len());
}

#[test]
fn every_file_that_is_missing_emptied_or_copied_is_found() {
    for name in ORIGINAL.files.keys() {
        let what = name.display();
        check_found(&format!("{what} is gone"), |files| drop(files.remove(name)));
        check_found(&format!("{what} is empty"), |files| {
            drop(files.insert(name.clone(), Vec::new()))
        });
        if name.parent() != Some(Path::new("")) {
            check_found(&format!("{what} is there twice"), |files| {
                let mut other = name.clone();
                other.set_file_name(format!("x{}", name.file_name().unwrap().display()));
                files.insert(other, files[name].clone());
            });
        }
    }
}

#[test]
fn the_end_of_the_chain_is_missed_however_much_of_it_is_cut_off() {
    let mut logs: Vec<(PathBuf, Vec<Vec<u8>>)> = (0..5).map(any_log).collect();
    let mut cuts = 0;
    while logs.len() > 1 || logs[0].1.len() > 1 {
        let (name, lines) = logs.last_mut().unwrap();
        lines.pop();
        let gone = lines.is_empty();
        let (name, rest) = (name.clone(), lines.concat());
        if gone {
            logs.pop();
        }
        cuts += 1;
        check_found(&format!("{cuts} lines are cut off"), |files| {
            files.retain(|other, _| !(other.starts_with("chain") && *other >= name));
            if !gone {
                files.insert(name, rest);
            }
        });
    }
    assert!(cuts > 30, "{cuts}");
}

/// Views refer to no file, so that their lines go without any other trace.
#[test]
fn views_cut_off_the_end_of_the_chain_are_missed() {
    let dir = tempfile::tempdir().unwrap();
    let archive = Archive::open(ArchiveOptions::new(dir.path()), Clock::simulated(NOW)).unwrap();
    let id = archive.put(&about(Retention::Days30), &[item(b"one")]).unwrap();
    for n in 0..5 {
        let purpose = format!("case {n}");
        archive
            .note_view(&Scope::everything(), &id, "王芳", &purpose)
            .unwrap();
    }
    let key = archive.public_key().clone();
    drop(archive);
    assert!(verify(dir.path(), Some(&key)).unwrap().is_sound());
    let log = dir.path().join("chain/2026-11-18.log");
    let text = fs::read_to_string(&log).unwrap();
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    for left in 2..lines.len() {
        fs::write(&log, lines[..left].concat()).unwrap();
        let found = verify(dir.path(), Some(&key)).unwrap();
        let kinds: Vec<_> = found.problems.iter().map(|p| (p.kind, p.seq)).collect();
        assert_eq!(
            kinds,
            [(ProblemKind::Truncated, Some(7))],
            "{left} lines are left"
        );
    }
}

#[test]
fn a_forger_without_the_key_is_found() {
    // Lines are moved from one archive to another, whole: chain, head and key are all in themselves sound.
    let dir = tempfile::tempdir().unwrap();
    let clock = Clock::simulated(NOW);
    let archive = Archive::open(ArchiveOptions::new(dir.path()), clock).unwrap();
    archive
        .put(&about(Retention::Days30), &[item(b"forged")])
        .unwrap();
    drop(archive);
    let forged = verify(dir.path(), None).unwrap();
    assert!(forged.is_sound(), "it is sound in itself");
    assert!(!verify(dir.path(), Some(&ORIGINAL.key)).unwrap().is_sound());
    let mut own = BTreeMap::new();
    read_all(dir.path(), Path::new(""), &mut own);
    for name in ["head", "public.key", "chain/2026-11-18.log"] {
        check_found(&format!("{name} of another archive"), |files| {
            files.insert(name.into(), own[Path::new(name)].clone());
        });
    }
}

proptest! {
    #[test]
    fn a_changed_byte_anywhere_is_found(file in any::<usize>(), at in any::<usize>(), other in 1_u8..=255) {
        let name = any_file(file);
        check_found(&format!("{} at {at}", name.display()), |files| {
            let bytes = files.get_mut(&name).unwrap();
            let at = at % bytes.len();
            bytes[at] ^= other;
        });
    }

    #[test]
    fn bytes_cut_off_or_put_in_anywhere_are_found(
        file in any::<usize>(),
        at in any::<usize>(),
        new in any::<Vec<u8>>(),
        cut in any::<bool>(),
    ) {
        let name = any_file(file);
        check_found(&format!("{} at {at}, cut {cut}, new {new:?}", name.display()), |files| {
            let bytes = files.get_mut(&name).unwrap();
            let at = at % bytes.len();
            if cut {
                bytes.truncate(at);
            } else {
                bytes.splice(at..at, new);
            }
        });
    }

    #[test]
    fn lines_removed_doubled_or_moved_are_found(
        log in any::<usize>(),
        from in any::<usize>(),
        to in any::<usize>(),
        to_log in any::<usize>(),
        deed in 0..3_u8,
    ) {
        let (name, mut lines) = any_log(log);
        let (from, (to_name, mut to_lines)) = (from % lines.len(), any_log(to_log));
        check_found(&format!("deed {deed} on line {from} of {}", name.display()), |files| {
            match deed {
                0 => drop(lines.remove(from)),
                1 => {
                    let to = to % (lines.len() + 1);
                    lines.insert(to, lines[from].clone());
                }
                _ if name == to_name => {
                    let line = lines.remove(from);
                    let to = to % (lines.len() + 1);
                    lines.insert(to, line);
                }
                _ => {
                    let to = to % (to_lines.len() + 1);
                    to_lines.insert(to, lines.remove(from));
                    files.insert(to_name, to_lines.concat());
                }
            }
            files.insert(name, lines.concat());
        });
    }

    #[test]
    fn files_that_change_places_are_found(one in any::<usize>(), other in any::<usize>()) {
        let (one, other) = (any_file(one), any_file(other));
        check_found(&format!("{} and {}", one.display(), other.display()), |files| {
            let (a, b) = (files[&one].clone(), files[&other].clone());
            files.insert(one, b);
            files.insert(other, a);
        });
    }
}
