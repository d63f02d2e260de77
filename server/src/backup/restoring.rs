//! Restoring a backup into a new data folder, and looking once at what came of it.

use std::{
    fs::{self, File},
    io,
    path::Path,
};

use anyhow::{Context, bail};
use domain::{Clock, Scope};
use store::{
    evidence::{ProblemKind, Verification, verify},
    series::inspect::{CheckReport, check},
};

use super::{Entry, Manifest, copy_hashed, hash_file, make_empty, sync_below, sync_folder, write_private};
use crate::app::{DataLock, open_records, series_dir};

/// Lies in a data folder while it is being filled, so that no server starts on half of it.
const UNFINISHED: &str = "restoring";

/// Folders that an archive has, however little is in it.
const EVIDENCE_FOLDERS: [&str; 3] = ["evidence/chain", "evidence/manifests", "evidence/blobs"];

/// What is in a restored folder.
pub(crate) struct Restored {
    pub(crate) manifest: Manifest,
    pub(crate) series: CheckReport,
    /// Cases that are not closed.
    pub(crate) open_cases: u64,
    pub(crate) identities: u64,
    /// `None` where there is no archive.
    pub(crate) evidence: Option<Verification>,
}

impl Restored {
    /// What was not sound when the backup was taken, in words.
    pub(crate) fn problems(&self) -> Vec<String> {
        let series = self.series.problems.iter();
        let mut problems: Vec<String> = series
            .map(|problem| format!("{}: {}", problem.file.display(), problem.what))
            .collect();
        let evidence = self.evidence.iter().flat_map(|found| &found.problems);
        // What a power cut leaves too, and what opening the archive mends.
        let serious = evidence.filter(|one| !matches!(one.kind, ProblemKind::Inserted | ProblemKind::Torn));
        problems.extend(serious.map(|problem| format!("evidence: {problem}")));
        problems
    }
}

/// Refuses a data folder in which a restore was interrupted.
///
/// # Errors
/// In words, with the remedy.
pub(crate) fn refuse_unfinished(data_dir: &Path) -> anyhow::Result<()> {
    if data_dir.join(UNFINISHED).exists() {
        bail!(
            "restoring a backup into {} was interrupted, and part of it is missing; empty the folder and restore again",
            data_dir.display()
        );
    }
    Ok(())
}

/// Restores the backup in `dir` into `data_dir`, which is empty or not there. Every file is read and held against its
/// hash before anything is written, and again where it was written. `progress` is told bytes done and bytes to do.
///
/// # Errors
/// When the backup is unfinished, damaged or of a newer format, when `data_dir` holds something, and when something
/// cannot be read or written: what is in `data_dir` then is refused by the server.
pub(crate) async fn restore(
    (dir, data_dir): (&Path, &Path),
    clock: &Clock,
    progress: &mut dyn FnMut(u64, u64),
) -> anyhow::Result<Restored> {
    let manifest = Manifest::read(dir)?;
    let total = manifest.bytes().saturating_mul(3);
    let mut done = 0;
    let mut progress = |bytes: u64| {
        done += bytes;
        progress(done, total);
    };
    for entry in &manifest.files {
        prove(dir, entry, &mut progress)?;
    }
    make_empty(data_dir)?;
    write_private(&data_dir.join(UNFINISHED), b"")?;
    sync_folder(data_dir)?;
    let lock = DataLock::take(data_dir)?;
    for entry in &manifest.files {
        copy(dir, data_dir, entry, &mut progress)?;
    }
    let has_evidence = data_dir.join("evidence").is_dir();
    if has_evidence {
        for folder in EVIDENCE_FOLDERS.map(|folder| data_dir.join(folder)) {
            fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
        }
    }
    sync_below(data_dir)?;
    let restored = look(manifest, (data_dir, has_evidence), clock).await?;
    let marker = data_dir.join(UNFINISHED);
    fs::remove_file(&marker).with_context(|| format!("cannot remove {}", marker.display()))?;
    sync_folder(data_dir)?;
    drop(lock);
    Ok(restored)
}

/// Holds a file of the folder `dir` against what the manifest says.
fn prove(dir: &Path, entry: &Entry, progress: &mut dyn FnMut(u64)) -> anyhow::Result<()> {
    let found = match hash_file(dir, Path::new(&entry.path), progress) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            bail!(
                "{} is missing in {}; use another copy of the backup",
                entry.path,
                dir.display()
            )
        }
        found => found.with_context(|| format!("cannot read {} in {}", entry.path, dir.display()))?,
    };
    if found != *entry {
        bail!(
            "{} in {} is not what was backed up: its hash is {}, and the manifest says {}; use another copy of the \
             backup",
            entry.path,
            dir.display(),
            found.sha256,
            entry.sha256
        );
    }
    Ok(())
}

fn copy(dir: &Path, data_dir: &Path, entry: &Entry, progress: &mut dyn FnMut(u64)) -> anyhow::Result<()> {
    let name = Path::new(&entry.path);
    let from = File::open(dir.join(name))
        .with_context(|| format!("cannot read {} in {}", entry.path, dir.display()))?;
    copy_hashed(from, u64::MAX, (data_dir, name), progress)?;
    prove(data_dir, entry, progress)
}

/// Opens every store once, which brings what an older version wrote up to date.
async fn look(
    manifest: Manifest,
    (data_dir, has_evidence): (&Path, bool),
    clock: &Clock,
) -> anyhow::Result<Restored> {
    let series = check(&series_dir(data_dir), &mut |_, _| {})
        .context("the restored time-series store cannot be opened")?;
    let records = open_records(data_dir, clock).await?;
    let cases = records.case_counts(&Scope::everything(), None).await?;
    let identities = records.identities().await?.len() as u64;
    records.close().await;
    let evidence = has_evidence.then(|| verify(&data_dir.join("evidence"), None));
    Ok(Restored {
        manifest,
        series,
        open_cases: cases.open + cases.acknowledged,
        identities,
        evidence: evidence
            .transpose()
            .context("the restored evidence cannot be read")?,
    })
}
