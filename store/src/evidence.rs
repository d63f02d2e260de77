//! The evidence archive: what findings rest on, kept so that whoever doubts it can check it.
//!
//! - Files are named by their hash. A package is a manifest that names its files by theirs, and says
//!   everything else; the hash of the manifest is the package's name.
//! - A chain of signed lines, one for each package, removal, hold, release and view, each with the hash of the
//!   line before. What was removed keeps its line, and one that says why.
//! - The newest line is signed aside, so that lines cut off the end are missed, and every finished day too.
//!
//! [`verify`] finds any edit, insertion, deletion, reordering or truncation, offline. What it cannot find:
//! whoever copied the archive, chain and head together, can put the old copy back whole; and whoever has the
//! signing key can write another history. Against both, note [`Archive::head`] somewhere else from time to
//! time, and hand out [`Archive::public_key`] by another way than the archive.
//!
//! Nothing is referred to before it is on disk, so a crash leaves at most files that nothing refers to.

mod chain;
mod day;
mod error;
mod files;
mod history;
mod keys;
mod ledger;
mod log;
mod package;
#[cfg(test)]
mod tests;
mod usage;
mod verify;

use std::{
    fs::{File, TryLockError},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard},
};

use domain::{CameraKey, Check, Clock, EvidenceId, FacilityId, Scope, UtcMillis, camera::Retention};

pub use error::EvidenceError;
pub use keys::{Hash256, PublicKey};
pub use package::{
    About, Item, ItemRole, MAX_ITEM_BYTES, MAX_ITEMS, MAX_MANIFEST_BYTES, MAX_READINGS, NewItem, Package,
    RuleStamp, SensorReading,
};
pub use verify::{MAX_PROBLEMS, Problem, ProblemKind, Verification, verify};

use chain::{Event, Why};
use files::{Files, PUBLIC_KEY, SIGNING_KEY, blob_path, manifest_path, read_bounded};
use history::{State, apply, read_package};
use keys::Signer;
use ledger::Kept;
use log::Days;
use package::{FORMAT, line};

use crate::{key_file, records};

/// The most packages that amend one family's first.
pub const MAX_AMENDMENTS: usize = 16;

/// The most packages that [`Archive::list`] answers with.
pub const MAX_LISTED: usize = 1_000;

/// The most characters of a person's name, and of a reason or purpose.
const MAX_ACTOR: usize = 64;
const MAX_REASON: usize = 500;

/// Packages removed with one write: bounds what a crash leaves to be tidied.
const REMOVED_AT_ONCE: usize = 64;

/// How the archive is set up. [`ArchiveOptions::new`] has the defaults.
#[derive(Debug, Clone)]
pub struct ArchiveOptions {
    /// Where the files are. Made if it is not there, for its owner alone; used by one archive at a time.
    pub dir: PathBuf,
    /// The most bytes of evidence. When more would be kept, the oldest goes that is not on hold. Default 20 GiB.
    pub max_bytes: u64,
    /// The most packages; as above. Default 100,000, about 500 bytes of memory each.
    pub max_packages: usize,
}

impl ArchiveOptions {
    /// The defaults, for an archive in `dir`.
    #[must_use]
    pub fn new(dir: impl Into<PathBuf>) -> ArchiveOptions {
        ArchiveOptions {
            dir: dir.into(),
            max_bytes: 20 << 30,
            max_packages: 100_000,
        }
    }
}

/// The newest line of the chain. Noted elsewhere, it proves later that the chain up to there is still the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChainHead {
    /// The line's number.
    pub seq: u64,
    /// Its hash.
    pub hash: Hash256,
}

/// A package in a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// Its name.
    pub id: EvidenceId,
    /// The number of its line in the chain: newer packages have higher ones.
    pub seq: u64,
    /// The package it adds to.
    pub amends: Option<EvidenceId>,
    /// The camera.
    pub camera: CameraKey,
    /// The check.
    pub check: Check,
    /// When the finding had held for its minimum duration.
    pub at: UtcMillis,
    /// When the package was put in.
    pub created_at: UtcMillis,
    /// How long it is kept.
    pub retention: Retention,
    /// Bytes of its manifest and files.
    pub bytes: u64,
    /// Whether it is on hold.
    pub held: bool,
}

/// Which packages to list.
#[derive(Debug, Clone, Default)]
pub struct EvidenceFilter {
    /// Of this facility only.
    pub facility: Option<FacilityId>,
    /// Of this camera only.
    pub camera: Option<CameraKey>,
    /// Of this check only.
    pub check: Option<Check>,
    /// On hold only.
    pub held_only: bool,
    /// Older than this only: [`Listed::seq`] of the last one of the page before.
    pub before: Option<u64>,
    /// At most this many, and never more than [`MAX_LISTED`].
    pub limit: usize,
}

/// What a sweep did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Swept {
    /// Packages removed because their time was over.
    pub expired: u64,
    /// Packages removed because the archive was full.
    pub dropped: u64,
    /// Bytes freed.
    pub bytes_freed: u64,
    /// Packages whose time is over and that are on hold.
    pub on_hold: u64,
}

/// Figures of a running archive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ArchiveStats {
    /// Packages kept.
    pub packages: u64,
    /// Of these, the ones on hold.
    pub held: u64,
    /// Packages removed since the archive was made.
    pub removed: u64,
    /// Bytes of evidence.
    pub bytes: u64,
    /// The most bytes.
    pub max_bytes: u64,
    /// Lines of the chain.
    pub lines: u64,
}

/// The archive. Cheap to clone; all clones are the same. All calls are synchronous, safe from any thread, and
/// touch the disk: asynchronous callers use a blocking thread.
#[derive(Debug, Clone)]
pub struct Archive(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    options: ArchiveOptions,
    clock: Clock,
    files: Files,
    public: PublicKey,
    state: Mutex<State>,
    /// Held for as long as the archive is open: two in one folder would not know of each other.
    _lock: File,
}

impl Archive {
    /// Opens the archive in `options.dir`, or makes a new one there, and mends what a crash left.
    ///
    /// # Errors
    /// [`EvidenceError::InUse`] when another archive has the folder, [`EvidenceError::KeyMissing`] when the
    /// signing key of an archive with contents is gone, [`EvidenceError::Key`] when others may read it, and
    /// what the file system says.
    pub fn open(options: ArchiveOptions, clock: Clock) -> Result<Archive, EvidenceError> {
        let files = Files::open(&options.dir)?;
        Archive::open_in(files, options, clock)
    }

    fn open_in(files: Files, options: ArchiveOptions, clock: Clock) -> Result<Archive, EvidenceError> {
        let lock = lock(&files)?;
        files.prepare()?;
        let signer = signer_of(&files)?;
        let public = signer.public();
        files.write_named(Path::new(PUBLIC_KEY), public.to_pem().as_bytes())?;
        let state = history::open(&files, signer, clock.now())?;
        Ok(Archive(Arc::new(Inner {
            options,
            clock,
            files,
            public,
            state: Mutex::new(state),
            _lock: lock,
        })))
    }

    /// Keeps a package of evidence and answers with its name. Everything is on disk when it returns. When the
    /// archive is full, the oldest packages that are not on hold make room.
    ///
    /// # Errors
    /// [`EvidenceError::Invalid`] for something out of bounds, [`EvidenceError::CapReached`] when holds leave no
    /// room, [`EvidenceError::Full`] when the disk does; nothing of the package is kept then.
    pub fn put(&self, about: &About, items: &[NewItem]) -> Result<EvidenceId, EvidenceError> {
        self.keep(None, about, items)
    }

    /// Keeps a package that adds to `base`: a clip whose end came later, say. The two are one family: on hold
    /// together, shown together.
    ///
    /// # Errors
    /// As [`Archive::put`]; [`EvidenceError::NotFound`] when `base` is not kept (any more), and
    /// [`EvidenceError::Invalid`] when it is another camera's or was amended [`MAX_AMENDMENTS`] times.
    pub fn amend(
        &self,
        base: &EvidenceId,
        about: &About,
        items: &[NewItem],
    ) -> Result<EvidenceId, EvidenceError> {
        self.keep(Some(base), about, items)
    }

    /// A package, or `None` when it is not kept (any more) or lies outside `scope`.
    ///
    /// # Errors
    /// [`EvidenceError::Damaged`] when its manifest is not what was written.
    pub fn get(&self, scope: &Scope, id: &EvidenceId) -> Result<Option<Package>, EvidenceError> {
        if visible(&self.state(), scope, id).is_none() {
            return Ok(None);
        }
        read_package(&self.0.files, id).map(|(package, _)| Some(package))
    }

    /// The item of a package at `index`, with its file, checked against its hash. `None` when there is none, or
    /// the package lies outside `scope`.
    ///
    /// # Errors
    /// [`EvidenceError::Damaged`] when the manifest or the file is not what was written.
    pub fn item(
        &self,
        scope: &Scope,
        id: &EvidenceId,
        index: usize,
    ) -> Result<Option<(Item, Vec<u8>)>, EvidenceError> {
        let Some(package) = self.get(scope, id)? else {
            return Ok(None);
        };
        let Some(item) = package.items.into_iter().nth(index) else {
            return Ok(None);
        };
        let path = self.0.files.path(blob_path(&item.sha256));
        let bytes = read_bounded(&path, MAX_ITEM_BYTES).map_err(EvidenceError::io(&path))?;
        match bytes.filter(|bytes| Hash256::of(bytes) == item.sha256) {
            Some(bytes) => Ok(Some((item, bytes))),
            None => Err(EvidenceError::damaged(&path, "it is not what its name says")),
        }
    }

    /// The packages in `scope` that `filter` lets through, newest first. From memory.
    #[must_use]
    pub fn list(&self, scope: &Scope, filter: &EvidenceFilter) -> Vec<Listed> {
        let state = self.state();
        let lets_through = |kept: &Kept| {
            scope.allows(&kept.camera.facility)
                && filter
                    .facility
                    .as_ref()
                    .is_none_or(|one| kept.camera.facility == *one)
                && filter.camera.as_ref().is_none_or(|one| kept.camera == *one)
                && filter.check.is_none_or(|one| kept.check == one)
                && filter.before.is_none_or(|seq| kept.seq < seq)
                && (!filter.held_only || state.ledger.is_held(kept))
        };
        let newest = state.ledger.packages().rev();
        newest
            .filter(|(_, kept)| lets_through(kept))
            .take(filter.limit.min(MAX_LISTED))
            .map(|(id, kept)| listed(&state, id, kept))
            .collect()
    }

    /// The family of a package: the first one and what amends it, oldest first. Empty when it is not kept (any
    /// more) or lies outside `scope`.
    #[must_use]
    pub fn family(&self, scope: &Scope, id: &EvidenceId) -> Vec<Listed> {
        let state = self.state();
        let Some(root) = visible(&state, scope, id).map(|kept| kept.root) else {
            return Vec::new();
        };
        let family = state.ledger.family(root);
        family.map(|(id, kept)| listed(&state, id, kept)).collect()
    }

    /// Puts a package and its family on hold (封存): nothing removes it until it is released. `by` is the
    /// person's name.
    ///
    /// # Errors
    /// [`EvidenceError::NotFound`] when it is not kept or lies outside `scope`, [`EvidenceError::Invalid`] for an
    /// empty or over-long name (64 characters) or reason (500 characters).
    pub fn hold(&self, scope: &Scope, id: &EvidenceId, by: &str, reason: &str) -> Result<(), EvidenceError> {
        self.note(scope, id, [by, reason], |_, [by, reason]| {
            let id = *id;
            Ok(Event::Held { id, by, reason })
        })
    }

    /// Releases a hold. What is past its time goes with the next sweep.
    ///
    /// # Errors
    /// As [`Archive::hold`]; [`EvidenceError::NotHeld`] when it is not on hold.
    pub fn release(
        &self,
        scope: &Scope,
        id: &EvidenceId,
        by: &str,
        reason: &str,
    ) -> Result<(), EvidenceError> {
        self.note(scope, id, [by, reason], |is_held, [by, reason]| {
            let id = *id;
            match is_held {
                true => Ok(Event::Released { id, by, reason }),
                false => Err(EvidenceError::NotHeld),
            }
        })
    }

    /// Notes that somebody looks at an original or a clip, and what for. Call it before it is shown: what
    /// could not be noted must not be shown.
    ///
    /// # Errors
    /// As [`Archive::hold`].
    pub fn note_view(
        &self,
        scope: &Scope,
        id: &EvidenceId,
        by: &str,
        purpose: &str,
    ) -> Result<(), EvidenceError> {
        self.note(scope, id, [by, purpose], |_, [by, purpose]| {
            let id = *id;
            Ok(Event::Viewed { id, by, purpose })
        })
    }

    /// Removes what is past its time and not on hold, and, when the archive is over its bounds, the oldest that
    /// is not on hold. Every removal leaves a line. Call it every hour or so.
    ///
    /// # Errors
    /// When a line cannot be written; what was removed before stays removed, and the next sweep goes on.
    pub fn sweep(&self) -> Result<Swept, EvidenceError> {
        let now = self.0.clock.now();
        let mut swept = Swept::default();
        loop {
            // The lock is let go between two rounds, so that evidence need not wait for a long sweep.
            let mut state = self.state();
            let before = state.usage.bytes();
            let expired = |(_, kept): &(&EvidenceId, &Kept)| kept.is_expired(now);
            let due: Vec<EvidenceId> = droppable(&state)
                .filter(expired)
                .take(REMOVED_AT_ONCE)
                .map(|(id, _)| *id)
                .collect();
            if due.is_empty() {
                let over = state.ledger.packages().filter(expired).count();
                swept.on_hold = over as u64;
                break;
            }
            swept.expired += due.len() as u64;
            self.remove(&mut state, due, Why::Expired)?;
            swept.bytes_freed += before - state.usage.bytes();
        }
        let mut state = self.state();
        let before = state.usage.bytes();
        match self.make_room(&mut state, 0, 0, None) {
            Ok(dropped) => swept.dropped = dropped,
            // Holds alone are more than the bounds: nothing to be done here, `put` says so.
            Err(EvidenceError::CapReached { .. }) => {}
            Err(error) => return Err(error),
        }
        swept.bytes_freed += before - state.usage.bytes();
        state.log.sign_head(&self.0.files)?;
        Ok(swept)
    }

    /// The newest line of the chain.
    #[must_use]
    pub fn head(&self) -> ChainHead {
        let tail = self.state().log.tail();
        ChainHead {
            seq: tail.seq,
            hash: tail.hash,
        }
    }

    /// The key that checks the chain's signatures.
    #[must_use]
    pub fn public_key(&self) -> &PublicKey {
        &self.0.public
    }

    /// Figures.
    #[must_use]
    pub fn stats(&self) -> ArchiveStats {
        let state = self.state();
        ArchiveStats {
            packages: state.ledger.len() as u64,
            held: state.ledger.held() as u64,
            removed: state.ledger.removed(),
            bytes: state.usage.bytes(),
            max_bytes: self.0.options.max_bytes,
            lines: state.ledger.lines(),
        }
    }

    /// Sees to it that the signed head is as new as the chain: it may not be after the disk was full. Call it
    /// at the end.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn close(&self) -> Result<(), EvidenceError> {
        self.state().log.sign_head(&self.0.files)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0
            .state
            .lock()
            .expect("nothing panics while it holds the archive")
    }

    fn keep(
        &self,
        base: Option<&EvidenceId>,
        about: &About,
        items: &[NewItem],
    ) -> Result<EvidenceId, EvidenceError> {
        package::check(about, items)?;
        let mut state = self.state();
        if state.log.is_stopped() {
            return Err(EvidenceError::Stopped);
        }
        let root = base.map(|base| check_base(&state, base, about)).transpose()?;
        let now = self.0.clock.now();
        let package = Package {
            format: FORMAT,
            amends: base.copied(),
            created_at: now,
            about: about.clone(),
            items: items.iter().map(item_of).collect(),
        };
        let (id, manifest) = package.encode()?;
        if state.ledger.get(&id).is_some() {
            return Ok(id);
        }
        let bytes = package.item_bytes() + manifest.len() as u64;
        self.make_room(&mut state, bytes, 1, root)?;
        let event = Event::Put {
            id,
            amends: package.amends,
            camera: about.camera.clone(),
            check: about.check,
            seen_at: about.at,
            retention: about.retention,
            bytes,
        };
        let mut written = Vec::new();
        let done = self
            .write(&package, (&id, &manifest), items, &mut written)
            .and_then(|()| state.log.append(&self.0.files, now, vec![event]));
        match done {
            Ok(entries) => entries.iter().for_each(|entry| apply(&mut state.ledger, entry)),
            Err(error) => {
                // After a write that could not be undone, the line may be there and refer to the files.
                if !state.log.is_stopped() {
                    self.discard(&written);
                }
                return Err(error);
            }
        }
        state.usage.add(id, manifest.len() as u64, &package);
        Ok(id)
    }

    /// Writes a package's files, and its manifest after them; `written` tells which are new.
    fn write(
        &self,
        package: &Package,
        (id, manifest): (&EvidenceId, &[u8]),
        items: &[NewItem],
        written: &mut Vec<PathBuf>,
    ) -> Result<(), EvidenceError> {
        let blobs = package.items.iter().map(|item| blob_path(&item.sha256));
        let blobs = blobs.zip(items.iter().map(|item| item.bytes.as_slice()));
        for (name, bytes) in blobs.chain([(manifest_path(id), manifest)]) {
            // Before it is written: a write that fails may leave the file behind.
            if !self.0.files.path(&name).exists() {
                written.push(name.clone());
            }
            self.0.files.write_named(&name, bytes)?;
        }
        Ok(())
    }

    /// Removes files that nothing refers to. One that cannot be removed goes at the next opening.
    fn discard(&self, names: &[PathBuf]) {
        for name in names {
            if let Err(error) = self.0.files.remove(name) {
                tracing::warn!(path = %name.display(), %error, "a file that nothing refers to is left behind");
            }
        }
    }

    /// Drops the oldest that is not on hold, nor of the family of `but`, until so many bytes and packages more
    /// fit. Answers with how many went.
    fn make_room(
        &self,
        state: &mut State,
        bytes: u64,
        packages: usize,
        but: Option<EvidenceId>,
    ) -> Result<u64, EvidenceError> {
        let ArchiveOptions {
            max_bytes,
            max_packages,
            ..
        } = self.0.options;
        let mut dropped = 0;
        loop {
            let too_many = (state.ledger.len() + packages).saturating_sub(max_packages);
            let mut too_large = (state.usage.bytes() + bytes).saturating_sub(max_bytes);
            if too_many == 0 && too_large == 0 {
                return Ok(dropped);
            }
            let mut due = Vec::new();
            for (id, kept) in droppable(state).filter(|(_, kept)| Some(kept.root) != but) {
                if due.len() == REMOVED_AT_ONCE || (due.len() >= too_many && too_large == 0) {
                    break;
                }
                // Shared files may free less; then there is another round.
                too_large = too_large.saturating_sub(kept.bytes);
                due.push(*id);
            }
            if due.is_empty() {
                return Err(EvidenceError::CapReached {
                    max_bytes,
                    max_packages,
                });
            }
            tracing::warn!(
                packages = due.len(),
                "the archive is full: the oldest evidence is dropped"
            );
            dropped += due.len() as u64;
            self.remove(state, due, Why::Cap)?;
        }
    }

    /// Removes packages: first a line for each, then what nobody needs any more.
    fn remove(&self, state: &mut State, ids: Vec<EvidenceId>, why: Why) -> Result<(), EvidenceError> {
        let events = ids.into_iter().map(|id| Event::Removed { id, why }).collect();
        for entry in state.log.append(&self.0.files, self.0.clock.now(), events)? {
            apply(&mut state.ledger, &entry);
            if let Event::Removed { id, .. } = &entry.event {
                self.discard(&state.usage.release(id));
            }
        }
        Ok(())
    }

    /// Appends a line about a kept package that a person asked for. `event` is told whether it is on hold.
    fn note(
        &self,
        scope: &Scope,
        id: &EvidenceId,
        [by, reason]: [&str; 2],
        event: impl FnOnce(bool, [String; 2]) -> Result<Event, EvidenceError>,
    ) -> Result<(), EvidenceError> {
        line("by", by, MAX_ACTOR)?;
        line("reason", reason, MAX_REASON)?;
        let mut state = self.state();
        let kept = visible(&state, scope, id).ok_or(EvidenceError::NotFound)?;
        let event = event(
            state.ledger.is_held(kept),
            [by.trim(), reason.trim()].map(str::to_owned),
        )?;
        let entries = state.log.append(&self.0.files, self.0.clock.now(), vec![event])?;
        entries.iter().for_each(|entry| apply(&mut state.ledger, entry));
        Ok(())
    }
}

/// The packages that may be removed, oldest first.
fn droppable(state: &State) -> impl Iterator<Item = (&EvidenceId, &Kept)> {
    let packages = state.ledger.packages();
    packages.filter(|(_, kept)| !state.ledger.is_held(kept))
}

fn visible<'s>(state: &'s State, scope: &Scope, id: &EvidenceId) -> Option<&'s Kept> {
    let kept = state.ledger.get(id)?;
    scope.allows(&kept.camera.facility).then_some(kept)
}

fn listed(state: &State, id: &EvidenceId, kept: &Kept) -> Listed {
    Listed {
        id: *id,
        seq: kept.seq,
        amends: kept.amends,
        camera: kept.camera.clone(),
        check: kept.check,
        at: kept.seen_at,
        created_at: kept.created_at,
        retention: kept.retention,
        bytes: kept.bytes,
        held: state.ledger.is_held(kept),
    }
}

fn item_of(new: &NewItem) -> Item {
    Item {
        role: new.role,
        media_type: new.media_type.clone(),
        blurred: new.blurred,
        size: new.bytes.len() as u64,
        sha256: Hash256::of(&new.bytes),
    }
}

/// The family of a package about to be amended.
fn check_base(state: &State, base: &EvidenceId, about: &About) -> Result<EvidenceId, EvidenceError> {
    let invalid = |field, problem| EvidenceError::Invalid { field, problem };
    let kept = state.ledger.get(base).ok_or(EvidenceError::NotFound)?;
    if kept.camera != about.camera {
        return Err(invalid("camera", records::Problem::Another));
    }
    if state.ledger.family(kept.root).count() > MAX_AMENDMENTS {
        let max = MAX_AMENDMENTS;
        return Err(invalid("amendments", records::Problem::TooMany { max }));
    }
    Ok(kept.root)
}

fn lock(files: &Files) -> Result<File, EvidenceError> {
    let path = files.path("lock");
    let file = File::create(&path).map_err(EvidenceError::io(&path))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(EvidenceError::InUse { dir: files.path("") }),
        Err(TryLockError::Error(error)) => Err(EvidenceError::io(&path)(error)),
    }
}

/// The signing key. A new one is made for a new archive only: with another key, an old one would not be
/// believed.
fn signer_of(files: &Files) -> Result<Signer, EvidenceError> {
    let path = files.path(SIGNING_KEY);
    if let Some(secret) = key_file::read(&path)? {
        return Ok(Signer::new(&secret));
    }
    let root = files.path("");
    let days = Days::list(&root).map_err(EvidenceError::io(&root))?;
    if !days.logs.is_empty() || !days.heads.is_empty() || files.path(files::HEAD).exists() {
        return Err(EvidenceError::KeyMissing { path });
    }
    files.step(&path)?;
    Ok(Signer::new(&key_file::read_or_make(&path)?))
}
