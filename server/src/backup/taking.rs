//! Taking a backup, beside a running server or without one.

use std::{
    collections::BTreeMap,
    ffi::OsStr,
    fs::{self, File},
    io::{self, ErrorKind},
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use anyhow::{Context, bail};
use domain::Clock;
use journal::inspect;
use rustix::process::{Resource, getrlimit, setrlimit};
use store::backup::Moment;

use super::{Entry, FORMAT, KEYS, Manifest, copy_hashed, files_below, hash_file, make_empty, sync_below};
use crate::app::INGEST_CURSOR;

const JOURNAL: &str = "journal";
const EVIDENCE: &str = "evidence";
const EVIDENCE_HEAD: &str = "evidence/head";

/// How often evidence is looked through again because something came or went meanwhile.
const ROUNDS: usize = 100;

/// A backup that was taken.
pub(crate) struct Taken {
    pub(crate) manifest: Manifest,
    /// The longest that a commit of the server had to wait.
    pub(crate) held: Duration,
}

/// What was opened at the moment. An open file stays as it is when its name goes.
struct Opened {
    segments: Vec<(PathBuf, File, u64)>,
    /// Name and content.
    cursors: Vec<(PathBuf, Vec<u8>)>,
    others: Vec<(PathBuf, File, u64)>,
}

/// Takes a backup of `data_dir` into `dir`, which is empty or not there. `progress` is told the bytes written so far
/// and about how many there will be.
///
/// # Errors
/// When something cannot be read or written, or the server never pauses; what is in `dir` then is no backup.
pub(crate) fn take(
    (data_dir, dir): (&Path, &Path),
    with_keys: bool,
    clock: &Clock,
    progress: &mut dyn FnMut(u64, u64),
) -> anyhow::Result<Taken> {
    if !data_dir.join("records.db").exists() || !data_dir.join("series/catalog.db").exists() {
        bail!(
            "there is nothing to back up in {}; name another data_dir",
            data_dir.display()
        );
    }
    make_empty(dir)?;
    refuse_inside(data_dir, dir)?;
    allow_many_files();
    let (moment, opened) = Moment::take(data_dir, || open_all(data_dir))?;
    let opened = opened.context("cannot read the data folder")?;
    let taken_at = jiff::Timestamp::from_millisecond(clock.now().0).context("the clock is far off")?;

    let log: u64 = opened.segments.iter().map(|(_, _, bytes)| bytes).sum();
    let total = moment.bytes()?.saturating_mul(2) + log;
    let mut done = 0;
    let mut progress = |bytes: u64| {
        done += bytes;
        progress(done, total.max(done));
    };
    let (checkpoint, judged, held) = (moment.checkpoint.0, moment.judged, moment.held);
    let replay_from = moment.replay_from().0;
    let mut files = copy_databases(moment, dir, &mut progress)?;
    files.extend(copy_opened(opened, dir, &mut progress)?);
    let (journal_from, journal_to) = log_in(dir, replay_from)?;
    files.extend(copy_evidence(data_dir, dir, &mut progress)?);
    if with_keys {
        files.extend(copy_keys(data_dir, dir, &mut progress)?);
    }
    files.sort_by(|a, b| a.path.cmp(&b.path));
    let manifest = Manifest {
        format: FORMAT,
        product: env!("CARGO_PKG_VERSION").to_owned(),
        taken_at: taken_at.to_string(),
        journal_from,
        journal_to,
        checkpoint,
        judged: judged.map(|position| position.0),
        keys: with_keys,
        files,
    };
    sync_below(dir)?;
    manifest.write(dir)?;
    Ok(Taken { manifest, held })
}

/// A backup inside the data folder would be lost with it.
fn refuse_inside(data_dir: &Path, dir: &Path) -> anyhow::Result<()> {
    let real = |path: &Path| {
        fs::canonicalize(path).with_context(|| format!("cannot find the folder {}", path.display()))
    };
    if real(dir)?.starts_with(real(data_dir)?) {
        bail!(
            "{} lies in the data folder and would be lost with it; name another folder",
            dir.display()
        );
    }
    Ok(())
}

/// Every segment and every database is open at once. Where the limit cannot be raised, opening says so.
fn allow_many_files() {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    if let Err(error) = setrlimit(Resource::Nofile, limit) {
        tracing::debug!(%error, "the limit of open files stays as it is");
    }
}

/// Opens what is read later. Segments before cursors: what is freed in between lies below the cursors then. Cursors
/// before the broker's state: a cursor that is behind costs a second reading, one that is ahead a message.
fn open_all(data_dir: &Path) -> io::Result<Opened> {
    let mut opened = Opened {
        segments: Vec::new(),
        cursors: Vec::new(),
        others: Vec::new(),
    };
    let ends_in = |name: &Path, ending: &str| name.extension() == Some(OsStr::new(ending));
    let journal = names_in(data_dir, Path::new(JOURNAL))?;
    for name in journal.iter().filter(|name| ends_in(name, "seg")) {
        opened.segments.extend(open_if_there(data_dir, name)?);
    }
    for name in journal.into_iter().filter(|name| ends_in(name, "cursor")) {
        let bytes = fs::read(data_dir.join(&name))?;
        opened.cursors.push((name, bytes));
    }
    let mut others = names_in(data_dir, Path::new("broker"))?;
    others.retain(|name| !ends_in(name, "new"));
    others.push(PathBuf::from("births.jsonl"));
    for name in others {
        opened.others.extend(open_if_there(data_dir, &name)?);
    }
    Ok(opened)
}

/// The files in the folder `dir`, by their names below `root`, in order; none when there is no such folder.
fn names_in(root: &Path, dir: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = match fs::read_dir(root.join(dir)) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut names = Vec::new();
    for entry in entries {
        let entry = entry?;
        if entry.file_type()?.is_file() {
            names.push(dir.join(entry.file_name()));
        }
    }
    names.sort();
    Ok(names)
}

fn open_if_there(root: &Path, name: &Path) -> io::Result<Option<(PathBuf, File, u64)>> {
    let file = match File::open(root.join(name)) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        file => file?,
    };
    let bytes = file.metadata()?.len();
    Ok(Some((name.to_owned(), file, bytes)))
}

fn copy_databases(moment: Moment, dir: &Path, progress: &mut dyn FnMut(u64)) -> anyhow::Result<Vec<Entry>> {
    let series = dir.join("series");
    fs::create_dir(&series).with_context(|| format!("cannot make {}", series.display()))?;
    let names = moment.copy(dir, progress)?;
    let mut files = Vec::with_capacity(names.len());
    for name in names {
        let path = dir.join(&name);
        #[cfg(unix)]
        fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o600))
            .with_context(|| format!("cannot write {}", path.display()))?;
        files.push(
            hash_file(dir, &name, progress).with_context(|| format!("cannot read {}", path.display()))?,
        );
    }
    Ok(files)
}

fn copy_opened(opened: Opened, dir: &Path, progress: &mut dyn FnMut(u64)) -> anyhow::Result<Vec<Entry>> {
    let mut files = Vec::new();
    for (name, file, bytes) in opened.segments.into_iter().rev().chain(opened.others) {
        files.push(copy_hashed(file, bytes, (dir, &name), progress)?);
    }
    for (name, content) in opened.cursors {
        files.push(copy_hashed(
            content.as_slice(),
            content.len() as u64,
            (dir, &name),
            progress,
        )?);
    }
    Ok(files)
}

/// From where to where the copied log goes, which must be from `replay_from` on.
fn log_in(dir: &Path, replay_from: u64) -> anyhow::Result<(u64, u64)> {
    let journal = dir.join(JOURNAL);
    let segments = inspect::segments(&journal).context("cannot read the copied journal")?;
    let Some(first) = segments.first() else {
        return Ok((replay_from, replay_from));
    };
    let cursors = inspect::cursors(&journal).context("cannot read the copied cursors")?;
    let ingest = cursors
        .iter()
        .find(|(name, _)| name == INGEST_CURSOR)
        .map_or(0, |(_, at)| at.0);
    // Where nothing was measured for long, the stores say nothing of a time that the cursor has passed.
    let needed = replay_from.max(ingest);
    if first.base.0 > needed {
        bail!(
            "the journal begins at {}, but the stores need it from {needed} on: the data folder is damaged; \
             `sunshine journal inspect` and `sunshine store check` say more",
            first.base.0
        );
    }
    let last = segments.iter().rev().find(|segment| segment.records > 0);
    let to = last.map_or(first.base.0, |segment| segment.end.0);
    Ok((first.base.0, to))
}

/// Copies evidence until a round finds that nothing came, went or was appended meanwhile.
fn copy_evidence(data_dir: &Path, dir: &Path, progress: &mut dyn FnMut(u64)) -> anyhow::Result<Vec<Entry>> {
    if !data_dir.join(EVIDENCE).exists() {
        return Ok(Vec::new());
    }
    let mut copied: BTreeMap<PathBuf, (Stamp, Entry)> = BTreeMap::new();
    for _round in 0..ROUNDS {
        let head = fs::read(data_dir.join(EVIDENCE_HEAD)).ok();
        let names = evidence_names(data_dir)?;
        let mut is_still = true;
        for name in &names {
            is_still &= copy_once((data_dir, dir), name, &mut copied, progress)?;
        }
        let gone: Vec<PathBuf> = copied
            .keys()
            .filter(|name| names.binary_search(*name).is_err())
            .cloned()
            .collect();
        for name in gone {
            remove_copy(dir, &name)?;
            copied.remove(&name);
        }
        let head_after = fs::read(data_dir.join(EVIDENCE_HEAD)).ok();
        if is_still && head == head_after && names == evidence_names(data_dir)? {
            return Ok(copied.into_values().map(|(_, entry)| entry).collect());
        }
    }
    bail!("evidence changes faster than it can be copied; try again at a quieter time")
}

/// Tells one state of a file from another.
type Stamp = (u64, Option<SystemTime>);

/// Copies the file `name` unless that was done and it is as it was. False when it is gone.
fn copy_once(
    (data_dir, dir): (&Path, &Path),
    name: &Path,
    copied: &mut BTreeMap<PathBuf, (Stamp, Entry)>,
    progress: &mut dyn FnMut(u64),
) -> anyhow::Result<bool> {
    let failed = || format!("cannot read {}", data_dir.join(name).display());
    let Some((_, file, bytes)) = open_if_there(data_dir, name).with_context(failed)? else {
        return Ok(false);
    };
    let modified = file.metadata().with_context(failed)?.modified().ok();
    let stamp = (bytes, modified);
    if let Some((before, _)) = copied.get(name) {
        if *before == stamp {
            return Ok(true);
        }
        remove_copy(dir, name)?;
    }
    let entry = copy_hashed(file, bytes, (dir, name), progress)?;
    copied.insert(name.to_owned(), (stamp, entry));
    Ok(true)
}

fn remove_copy(dir: &Path, name: &Path) -> anyhow::Result<()> {
    let path = dir.join(name);
    fs::remove_file(&path).with_context(|| format!("cannot remove {}", path.display()))
}

/// The files of the archive, in order, without the key, the lock and what is just being written.
fn evidence_names(data_dir: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let mut names = Vec::new();
    files_below(data_dir, Path::new(EVIDENCE), &mut names).context("cannot list the evidence")?;
    names.retain(|name| {
        !KEYS.iter().any(|key| name == Path::new(key))
            && !name.starts_with("evidence/tmp")
            && name != Path::new("evidence/lock")
    });
    names.sort();
    Ok(names)
}

fn copy_keys(data_dir: &Path, dir: &Path, progress: &mut dyn FnMut(u64)) -> anyhow::Result<Vec<Entry>> {
    let mut files = Vec::new();
    for name in KEYS.map(Path::new) {
        let opened = open_if_there(data_dir, name)
            .with_context(|| format!("cannot read {}", data_dir.join(name).display()))?;
        if let Some((name, file, bytes)) = opened {
            files.push(copy_hashed(file, bytes, (dir, &name), progress)?);
        }
    }
    Ok(files)
}

#[cfg(test)]
mod tests {
    use domain::{CameraKey, Check, UtcMillis, camera::Retention, observation::Tally};
    use store::{
        Archive, ArchiveOptions,
        evidence::{About, ItemRole, NewItem, ProblemKind, verify},
    };

    use super::*;

    /// Fewer changes than there are rounds: copying ends whatever the order.
    const PACKAGES: u8 = 30;

    const AT: UtcMillis = UtcMillis(1_795_000_000_000);

    fn put(archive: &Archive, number: u8) {
        let about = About {
            camera: CameraKey {
                facility: "binhe".parse().unwrap(),
                camera: "camera-1".parse().unwrap(),
            },
            gb_id: None,
            check: Check::NoMask,
            zone: None,
            rule: None,
            since: AT,
            at: AT + i64::from(number),
            received: AT,
            clock_offset_ms: None,
            model: None,
            score: None,
            threshold: None,
            tally: Tally::default(),
            detections: Vec::new(),
            readings: Vec::new(),
            retention: Retention::Days30,
        };
        let picture = NewItem {
            role: ItemRole::At,
            media_type: "image/jpeg".into(),
            blurred: true,
            bytes: vec![number; 10_000],
        };
        archive.put(&about, &[picture]).unwrap();
    }

    #[test]
    fn evidence_is_copied_whole_while_more_of_it_comes_and_some_goes() {
        let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let mut options = ArchiveOptions::new(from.path().join(EVIDENCE));
        // The oldest goes as soon as there are more.
        options.max_packages = 12;
        let archive = Archive::open(options, Clock::simulated(AT)).unwrap();
        put(&archive, 0);
        let files = std::thread::scope(|scope| {
            scope.spawn(|| (1..PACKAGES).for_each(|number| put(&archive, number)));
            copy_evidence(from.path(), to.path(), &mut |_| {}).unwrap()
        });
        let found = verify(&to.path().join(EVIDENCE), None).unwrap();
        let wrong = found
            .problems
            .iter()
            .filter(|problem| problem.kind != ProblemKind::Inserted);
        assert_eq!(wrong.count(), 0, "{:?}", found.problems);
        assert!(found.packages >= 1 && found.blobs == found.packages);
        for entry in &files {
            let there = hash_file(to.path(), Path::new(&entry.path), &mut |_| {}).unwrap();
            assert_eq!(there, *entry);
        }
        assert_eq!(evidence_names(to.path()).unwrap().len(), files.len());
    }

    #[test]
    fn a_log_that_lacks_what_the_stores_need_is_no_backup() {
        let dir = tempfile::tempdir().unwrap();
        let journal = dir.path().join(JOURNAL);
        fs::create_dir(&journal).unwrap();
        assert_eq!(log_in(dir.path(), 7).unwrap(), (7, 7), "an empty one");
        fs::write(journal.join(format!("{:020}.seg", 65_536)), [0; 65_536]).unwrap();
        assert_eq!(log_in(dir.path(), 65_536).unwrap().0, 65_536);
        let lacking = log_in(dir.path(), 65_535).unwrap_err().to_string();
        assert!(
            lacking.contains("65535") && lacking.contains("journal inspect"),
            "{lacking}"
        );
    }
}
