//! Opening: what the files say of themselves, brought in order after a crash.
//!
//! A crash leaves little behind: a torn last line, a head that is a few lines old, files that no line refers
//! to. That is mended and, where it touches the chain, noted there. Whatever else is wrong was not a crash. The
//! archive goes on all the same, but it never tidies away what could tell: a line is added that says what was
//! found, numbering goes on from the signed head so that a gap stays a gap, and no file is removed for lack of
//! a line that refers to it.

use std::{
    collections::BTreeSet,
    fs::{self, OpenOptions},
    io,
    path::{Path, PathBuf},
};

use domain::{EvidenceId, UtcMillis};

use super::{
    chain::{Broken, Event, Head, Line, signed},
    error::EvidenceError,
    files::{BLOBS, Files, HEAD, MANIFESTS, manifest_path, names_below, read_bounded},
    keys::{Hash256, PublicKey, Signed, Signer},
    ledger::Ledger,
    log::{Days, Log, Raw, Tail, log_path, read_log},
    package::{FORMAT, MAX_MANIFEST_BYTES, Package, name_of},
    usage::Usage,
};

/// Longer heads are not ours.
const MAX_HEAD: usize = 4_096;

/// The archive as it stands.
#[derive(Debug)]
pub(super) struct State {
    pub(super) log: Log,
    pub(super) ledger: Ledger,
    pub(super) usage: Usage,
}

/// Reads the archive and brings it in order.
pub(super) fn open(files: &Files, signer: Signer, now: UtcMillis) -> Result<State, EvidenceError> {
    let key = signer.public();
    let head = read_head(files, &key)?;
    let mut history = read(files, head.as_ref(), &key)?;
    let names = evidence_names(files)?;
    let broken = what_is_broken(&mut history, head.as_ref(), !names.is_empty());
    let usage = read_manifests(files, &mut history);

    let mut events = Vec::new();
    if history.tail.seq == 0 {
        events.push(Event::Opened { format: FORMAT });
    }
    if history.cut_bytes > 0 {
        let bytes = history.cut_bytes;
        events.push(Event::Cut { bytes });
    }
    if let Some(what) = broken {
        tracing::error!(
            ?what,
            "the evidence chain was found broken; `verify` tells what is wrong"
        );
        events.push(Event::Mended { what });
    }
    let mut state = State {
        log: Log::new(signer, history.tail),
        ledger: history.ledger,
        usage,
    };
    for entry in state.log.append(files, now, events)? {
        apply(&mut state.ledger, &entry);
    }
    state.log.sign_head(files)?;
    if history.is_sound && state.ledger.mended() == 0 {
        remove_orphans(files, &state.usage, &names)?;
    }
    Ok(state)
}

/// Takes a line of our own into the ledger.
pub(super) fn apply(ledger: &mut Ledger, entry: &super::chain::Entry) {
    ledger
        .apply(entry)
        .expect("what is appended was checked against the ledger");
}

/// What the chain's files say.
struct History {
    ledger: Ledger,
    tail: Tail,
    /// Whether every line could be read and follows the one before.
    is_sound: bool,
    /// The hash of the line to which the signed head refers.
    at_head: Option<Hash256>,
    /// Bytes of an unfinished line that was cut off.
    cut_bytes: u64,
}

/// The signed head; `None` when it is missing or not what was written.
fn read_head(files: &Files, key: &PublicKey) -> Result<Option<Head>, EvidenceError> {
    let path = files.path(HEAD);
    match read_bounded(&path, MAX_HEAD) {
        Ok(text) => Ok(text.and_then(|text| signed(&text, Signed::Head, Some(key)))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(EvidenceError::io(&path)(error)),
    }
}

fn read(files: &Files, head: Option<&Head>, key: &PublicKey) -> Result<History, EvidenceError> {
    let root = files.path("");
    let days = Days::list(&root).map_err(EvidenceError::io(&root))?;
    let mut history = History {
        ledger: Ledger::default(),
        tail: Tail::BEGINNING,
        is_sound: true,
        at_head: None,
        cut_bytes: 0,
    };
    let newest = days.logs.last();
    for day in &days.logs {
        let path = files.path(log_path(*day));
        let mut torn = 0;
        let each = |raw| match raw {
            Raw::Line(bytes) => history.take(Line::decode(&bytes), head, key),
            Raw::OverLong => history.take(None, head, key),
            Raw::Torn(bytes) => torn = bytes,
        };
        read_log(&path, each).map_err(EvidenceError::io(&path))?;
        if newest == Some(day) {
            history.cut_bytes = torn;
            finish_newest(files, &log_path(*day), torn)?;
        } else if torn > 0 {
            history.is_sound = false;
        }
    }
    Ok(history)
}

impl History {
    /// Takes the next line; `None` is one that could not be read.
    fn take(&mut self, line: Option<Line>, head: Option<&Head>, key: &PublicKey) {
        let Some(line) = line else {
            self.is_sound = false;
            return;
        };
        // Lines up to the head are vouched for by it: each holds the hash of the one before.
        let is_new = head.is_none_or(|head| line.entry.seq > head.seq);
        let follows = line.entry.seq == self.tail.seq + 1 && line.entry.prev == self.tail.hash;
        if !follows || (is_new && !line.is_signed_by(key)) {
            self.is_sound = false;
        }
        if self.ledger.apply(&line.entry).is_err() {
            self.is_sound = false;
        }
        if head.is_some_and(|head| head.seq == line.entry.seq) {
            self.at_head = Some(line.hash);
        }
        if line.entry.seq > self.tail.seq {
            let day = line.entry.day;
            let first = self.tail.day.filter(|(its, _)| *its == day);
            self.tail = Tail {
                seq: line.entry.seq,
                hash: line.hash,
                day: Some(first.unwrap_or((day, line.entry.seq))),
            };
        }
    }
}

/// Cuts off an unfinished line. A file without a line was made by a crash too.
fn finish_newest(files: &Files, name: &Path, torn: u64) -> Result<(), EvidenceError> {
    let path = files.path(name);
    files.step(&path)?;
    let finish = || {
        let file = OpenOptions::new().write(true).open(&path)?;
        let length = file.metadata()?.len() - torn;
        if torn > 0 {
            file.set_len(length)?;
            file.sync_all()?;
        }
        Ok(length)
    };
    if finish().map_err(EvidenceError::io(&path))? == 0 {
        files.remove(name)?;
    }
    Ok(())
}

/// What a crash does not break, if anything. Where the chain is shorter than its head, it goes on from there.
fn what_is_broken(history: &mut History, head: Option<&Head>, has_evidence: bool) -> Option<Broken> {
    let tail = &mut history.tail;
    let Some(head) = head else {
        // A crash while the archive is made leaves no head and no evidence yet.
        return match (tail.seq, has_evidence) {
            (0, true) => Some(Broken::Chain),
            (0 | 1, false) => None,
            _chain_goes_on => Some(Broken::Head),
        };
    };
    if history.at_head == Some(head.hash) {
        return None;
    }
    if head.seq > tail.seq {
        let first = tail.day.filter(|(its, _)| *its >= head.day);
        *tail = Tail {
            seq: head.seq,
            hash: head.hash,
            day: Some(first.unwrap_or((head.day, head.seq + 1))),
        };
    }
    Some(Broken::Lines)
}

/// Files of evidence, as paths below the archive.
fn evidence_names(files: &Files) -> Result<Vec<PathBuf>, EvidenceError> {
    let root = files.path("");
    let below = |folder| names_below(&root, folder).map_err(EvidenceError::io(&root));
    let mut names = below(MANIFESTS)?;
    names.append(&mut below(BLOBS)?);
    Ok(names)
}

fn read_manifests(files: &Files, history: &mut History) -> Usage {
    let mut usage = Usage::default();
    for (id, _) in history.ledger.packages() {
        match read_package(files, id) {
            Ok((package, bytes)) => usage.add(*id, bytes, &package),
            Err(error) => {
                history.is_sound = false;
                tracing::error!(evidence.id = %id, %error, "a manifest cannot be read");
            }
        }
    }
    usage
}

/// A package and the size of its manifest.
pub(super) fn read_package(files: &Files, id: &EvidenceId) -> Result<(Package, u64), EvidenceError> {
    let path = files.path(manifest_path(id));
    let bytes = match read_bounded(&path, MAX_MANIFEST_BYTES) {
        Ok(Some(bytes)) if name_of(&bytes) == *id => bytes,
        Ok(_other) => return Err(EvidenceError::damaged(&path, "it is not what its name says")),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(EvidenceError::damaged(&path, "it is missing"));
        }
        Err(error) => return Err(EvidenceError::io(&path)(error)),
    };
    let package = Package::decode(&bytes);
    let package =
        package.ok_or_else(|| EvidenceError::damaged(&path, "it is no manifest of this version"))?;
    Ok((package, bytes.len() as u64))
}

/// Removes files that no line refers to: a crash left them, before the line or after it.
fn remove_orphans(files: &Files, usage: &Usage, names: &[PathBuf]) -> Result<(), EvidenceError> {
    let needed: BTreeSet<PathBuf> = usage.files().collect();
    for name in names {
        if needed.contains(name) || !fs::exists(files.path(name)).unwrap_or(true) {
            continue;
        }
        tracing::info!(path = %name.display(), "a file that no line refers to is removed");
        files.remove(name)?;
    }
    Ok(())
}
