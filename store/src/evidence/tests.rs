//! Crashes at every step, full disks, and what opening makes of an archive that was changed by other means.

use std::{
    fs,
    path::{Path, PathBuf},
};

use domain::{
    CameraKey, Check, Clock, DeviceId, EvidenceId, FacilityId, Scope, UtcMillis, camera::Retention,
    observation::Tally,
};

use super::{
    About, Archive, ArchiveOptions, EvidenceError, Files, ItemRole, NewItem, ProblemKind,
    files::{BLOBS, CHAIN, HEAD, MANIFESTS, blob_path, manifest_path, names_below},
    history::read_package,
    verify,
};

const NOW: UtcMillis = UtcMillis(1_795_000_000_000);
const DAY_MS: i64 = 86_400_000;

/// What a package of a camera of `a` is about.
pub(super) fn about(camera: &str) -> About {
    About {
        camera: CameraKey {
            facility: FacilityId::new("a").unwrap(),
            camera: DeviceId::new(camera).unwrap(),
        },
        gb_id: None,
        check: Check::NoMask,
        zone: None,
        rule: None,
        since: NOW - 10_000,
        at: NOW,
        received: NOW,
        clock_offset_ms: Some(-120),
        model: None,
        score: Some(0.9),
        threshold: Some(0.2),
        tally: Tally::default(),
        detections: Vec::new(),
        readings: Vec::new(),
        retention: Retention::Days30,
    }
}

fn items(contents: &[&str]) -> Vec<NewItem> {
    let item = |text: &&str| NewItem {
        role: ItemRole::At,
        media_type: "image/jpeg".into(),
        blurred: true,
        bytes: text.as_bytes().to_vec(),
    };
    contents.iter().map(item).collect()
}

fn open_failing(dir: &Path, clock: &Clock, fail: (u32, u32)) -> Result<Archive, EvidenceError> {
    let files = Files::open(dir)?;
    *files.fail.lock().unwrap() = fail;
    Archive::open_in(files, ArchiveOptions::new(dir), clock.clone())
}

fn open(dir: &Path, clock: &Clock) -> Archive {
    open_failing(dir, clock, (0, 0)).unwrap()
}

fn check_sound(dir: &Path, when: &str) {
    let found = verify(dir, None).unwrap();
    assert!(found.is_sound(), "{when}: {:?}", found.problems);
}

/// What a run got as far as to be told was done.
#[derive(Debug, Default)]
struct Told {
    put: Vec<(EvidenceId, Vec<NewItem>)>,
    held: Option<EvidenceId>,
    /// From here on packages may be gone that were told to be kept.
    sweeps: bool,
}

/// A life of an archive over 40 days: packages, a shared file, an amendment, a hold, a sweep.
fn live(archive: &Archive, clock: &Clock, told: &mut Told) -> Result<(), EvidenceError> {
    let scope = Scope::everything();
    let mut put = |base: Option<EvidenceId>, contents: &[&str]| {
        let new = items(contents);
        let id = match base {
            None => archive.put(&about("cam-1"), &new)?,
            Some(base) => archive.amend(&base, &about("cam-1"), &new)?,
        };
        told.put.push((id, new));
        Ok::<_, EvidenceError>(id)
    };
    let first = put(None, &["one", "shared"])?;
    put(Some(first), &["clip"])?;
    clock.set(NOW + DAY_MS);
    put(None, &["two", "shared"])?;
    archive.hold(&scope, &first, "王芳", "case 7")?;
    told.held = Some(first);
    archive.note_view(&scope, &first, "王芳", "case 7")?;
    clock.set(NOW + 40 * DAY_MS);
    told.sweeps = true;
    archive.sweep()?;
    let mut put = |contents: &[&str]| {
        let new = items(contents);
        told.put.push((archive.put(&about("cam-2"), &new)?, new));
        Ok::<_, EvidenceError>(())
    };
    put(&["three"])?;
    archive.close()
}

#[test]
fn a_crash_at_any_step_loses_nothing_that_was_told_to_be_kept() {
    // Nearly all of the time goes to waiting for the disk: side by side they wait together.
    const SIDE_BY_SIDE: usize = 16;
    let steps: Vec<u32> = std::thread::scope(|scope| {
        let run = |first: usize| {
            let mut crashes = (first..).step_by(SIDE_BY_SIDE).map(|n| u32::try_from(n).unwrap());
            crashes.find(|fail_at| check_crash(*fail_at)).unwrap()
        };
        let threads: Vec<_> = (0..SIDE_BY_SIDE)
            .map(|first| scope.spawn(move || run(first)))
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let steps = steps.into_iter().min().unwrap();
    assert!(steps > 60, "every write has a step: {steps}");
}

/// Lives with a crash at one step, and opens the archive again. True when the life was over before that step.
fn check_crash(fail_at: u32) -> bool {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("evidence");
    let clock = Clock::simulated(NOW);
    let mut told = Told::default();
    let outcome = open_failing(&root, &clock, (fail_at, u32::MAX))
        .and_then(|archive| live(&archive, &clock, &mut told));
    let when = format!("after a crash at step {fail_at}");

    let archive = open(&root, &clock);
    check_sound(&root, &when);
    for (id, new) in &told.put {
        let Some(package) = archive.get(&Scope::everything(), id).unwrap() else {
            let family = told.put.first().map(|(first, _)| first);
            let may_be_gone = told.sweeps && package_family(id, &told) != family;
            assert!(may_be_gone, "{when}: {id} is gone");
            continue;
        };
        for (index, item) in new.iter().enumerate() {
            let (_, bytes) = archive.item(&Scope::everything(), id, index).unwrap().unwrap();
            assert_eq!(bytes, item.bytes, "{when}");
        }
        assert_eq!(package.items.len(), new.len());
    }
    if let Some(held) = &told.held {
        let family = archive.family(&Scope::everything(), held);
        assert!(
            family.len() == 2 && family.iter().all(|l| l.held),
            "{when}: {family:?}"
        );
    }
    let more = archive.put(&about("cam-9"), &items(&["more", "shared"])).unwrap();
    assert!(archive.get(&Scope::everything(), &more).unwrap().is_some());
    drop(archive);
    check_sound(&root, &when);
    outcome.is_ok()
}

/// The first package of the family of one of the packages of [`live`]: the second amends the first.
fn package_family<'t>(id: &EvidenceId, told: &'t Told) -> Option<&'t EvidenceId> {
    let place = told.put.iter().position(|(its, _)| its == id)?;
    told.put.get(if place == 1 { 0 } else { place }).map(|(id, _)| id)
}

#[test]
fn one_failed_write_leaves_nothing_half_written_behind() {
    for fail_at in 0.. {
        let dir = tempfile::tempdir().unwrap();
        let clock = Clock::simulated(NOW);
        let archive = open(dir.path(), &clock);
        let kept = archive.put(&about("cam-1"), &items(&["one", "shared"])).unwrap();
        // The day changes, so that every kind of file is written.
        clock.set(NOW + DAY_MS);
        *archive.0.files.fail.lock().unwrap() = (fail_at, 1);
        let outcome = archive.put(&about("cam-1"), &items(&["two", "shared"]));
        let reached = *archive.0.files.fail.lock().unwrap() == (0, 0);
        *archive.0.files.fail.lock().unwrap() = (0, 0);
        let when = format!("after a full disk at step {fail_at}");
        if let Err(error) = &outcome {
            assert!(matches!(error, EvidenceError::Full { .. }), "{when}: {error:?}");
        }
        let packages = archive.stats().packages;
        assert_eq!(packages, 1 + u64::from(outcome.is_ok()), "{when}");
        check_sound(dir.path(), &when);
        assert!(archive.item(&Scope::everything(), &kept, 1).unwrap().is_some());
        let again = archive.put(&about("cam-1"), &items(&["two", "shared"])).unwrap();
        assert_eq!(
            outcome.map_or(again, |id| id),
            again,
            "the same package is kept once"
        );
        archive.close().unwrap();
        check_sound(dir.path(), &when);
        if !reached {
            assert!(fail_at > 15, "every write has a step: {fail_at}");
            return;
        }
    }
}

/// The newest day's file.
fn newest_log(dir: &Path) -> PathBuf {
    let logs = fs::read_dir(dir.join(CHAIN)).unwrap();
    let logs = logs.map(|entry| entry.unwrap().path());
    logs.filter(|path| path.extension().is_some_and(|e| e == "log"))
        .max()
        .unwrap()
}

fn files_of_evidence(dir: &Path) -> usize {
    names_below(dir, MANIFESTS).unwrap().len() + names_below(dir, BLOBS).unwrap().len()
}

#[test]
fn a_line_torn_at_any_byte_is_cut_off_and_noted() {
    let dir = tempfile::tempdir().unwrap();
    let clock = Clock::simulated(NOW);
    let archive = open(dir.path(), &clock);
    let kept = archive.put(&about("cam-1"), &items(&["one"])).unwrap();
    let head = fs::read(dir.path().join(HEAD)).unwrap();
    let log = newest_log(dir.path());
    let before = fs::read(&log).unwrap();
    archive.put(&about("cam-1"), &items(&["two"])).unwrap();
    drop(archive);
    let after = fs::read(&log).unwrap();
    for length in before.len() + 1..after.len() {
        fs::write(dir.path().join(HEAD), &head).unwrap();
        fs::write(&log, &after[..length]).unwrap();
        let torn = verify(dir.path(), None).unwrap();
        let kinds: Vec<_> = torn.problems.iter().map(|p| p.kind).collect();
        assert_eq!(kinds[0], ProblemKind::Torn, "{length}");
        let archive = open(dir.path(), &clock);
        assert_eq!(archive.stats().lines, 3, "made, put, cut");
        assert_eq!(archive.stats().packages, 1);
        assert!(archive.get(&Scope::everything(), &kept).unwrap().is_some());
        drop(archive);
        check_sound(dir.path(), &format!("cut to {length} bytes"));
    }
    assert_eq!(
        files_of_evidence(dir.path()),
        2,
        "what the torn line was about is tidied away"
    );
}

#[test]
fn an_empty_day_that_a_crash_left_is_removed() {
    let dir = tempfile::tempdir().unwrap();
    let clock = Clock::simulated(NOW);
    drop(open(dir.path(), &clock));
    let empty = dir.path().join(CHAIN).join("2026-11-20.log");
    fs::write(&empty, "").unwrap();
    clock.set(NOW + 5 * DAY_MS);
    open(dir.path(), &clock)
        .put(&about("cam-1"), &items(&["one"]))
        .unwrap();
    assert!(!empty.exists());
    check_sound(dir.path(), "after reopening");
}

#[test]
fn what_no_crash_breaks_is_noted_and_no_evidence_is_tidied_away() {
    type Tamper = fn(&Path);
    let chop_last_line = |dir: &Path| {
        let log = newest_log(dir);
        let text = fs::read(&log).unwrap();
        let end = text[..text.len() - 1].iter().rposition(|b| *b == b'\n').unwrap() + 1;
        fs::write(&log, &text[..end]).unwrap();
    };
    let rewrite_first_line = |dir: &Path| {
        let log = newest_log(dir);
        let text = fs::read_to_string(&log).unwrap();
        fs::write(&log, text.replacen("\"seq\":2", "\"seq\":8", 1)).unwrap();
    };
    let cases: [(&str, Tamper); 7] = [
        ("the head is gone", |dir| fs::remove_file(dir.join(HEAD)).unwrap()),
        ("the head is nonsense", |dir| {
            fs::write(dir.join(HEAD), "{}\n").unwrap()
        }),
        ("the last line is gone", chop_last_line),
        ("the newest day is gone", |dir| {
            fs::remove_file(newest_log(dir)).unwrap()
        }),
        ("a line is other words", rewrite_first_line),
        ("the chain is gone", |dir| {
            fs::remove_dir_all(dir.join(CHAIN)).unwrap()
        }),
        ("chain and head are gone", |dir| {
            fs::remove_dir_all(dir.join(CHAIN)).unwrap();
            fs::remove_file(dir.join(HEAD)).unwrap();
        }),
    ];
    for (what, tamper) in cases {
        let dir = tempfile::tempdir().unwrap();
        let clock = Clock::simulated(NOW);
        let archive = open(dir.path(), &clock);
        archive.put(&about("cam-1"), &items(&["one"])).unwrap();
        let seq = archive.head().seq;
        drop(archive);
        tamper(dir.path());
        assert!(!verify(dir.path(), None).unwrap().is_sound(), "{what}");
        for round in 0..3 {
            clock.set(NOW + round * DAY_MS);
            let archive = open(dir.path(), &clock);
            archive.put(&about("cam-2"), &items(&["two"])).unwrap();
            assert!(archive.head().seq > seq, "{what}: numbers go on");
            drop(archive);
            assert!(
                !verify(dir.path(), None).unwrap().is_sound(),
                "{what}, opened {round} times"
            );
        }
        let one = blob_path(&super::Hash256::of(b"one"));
        assert!(
            dir.path().join(one).exists(),
            "{what}: the evidence is still there"
        );
    }
}

#[test]
fn a_damaged_manifest_takes_no_file_with_it() {
    let dir = tempfile::tempdir().unwrap();
    let clock = Clock::simulated(NOW);
    let archive = open(dir.path(), &clock);
    let id = archive.put(&about("cam-1"), &items(&["one"])).unwrap();
    drop(archive);
    fs::write(dir.path().join(manifest_path(&id)), "{}").unwrap();
    let archive = open(dir.path(), &clock);
    assert_eq!(files_of_evidence(dir.path()), 2);
    let error = archive.get(&Scope::everything(), &id).unwrap_err();
    assert!(matches!(error, EvidenceError::Damaged { .. }), "{error:?}");
    assert!(read_package(&archive.0.files, &id).is_err());
    let found = verify(dir.path(), None).unwrap();
    let kinds: Vec<_> = found.problems.iter().map(|p| p.kind).collect();
    assert_eq!(
        kinds,
        [ProblemKind::Edited, ProblemKind::Inserted],
        "{:?}",
        found.problems
    );
}
