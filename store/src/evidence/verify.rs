//! Checking an archive from its files alone: whole, untouched, and signed by whom it should be.

use std::{
    collections::BTreeSet,
    fmt,
    fs::{self, File},
    io::{self, Read as _},
    path::{Path, PathBuf},
};

use domain::EvidenceId;
use serde::{Serialize, de::DeserializeOwned};
use sha2::{Digest as _, Sha256};

use super::{
    chain::{DayHead, Event, GENESIS, Head, Line, signed},
    day::Day,
    error::EvidenceError,
    files::{BLOBS, CHAIN, HEAD, MANIFESTS, PUBLIC_KEY, blob_path, manifest_path, names_below, read_bounded},
    keys::{Hash256, PublicKey, Signed},
    ledger::Ledger,
    log::{Days, Raw, day_head_path, log_path, read_log},
    package::{Item, MAX_MANIFEST_BYTES, Package, name_of},
};

/// The most problems that are listed; more are counted.
pub const MAX_PROBLEMS: usize = 1_000;

/// Longer heads and public keys are not ours.
const MAX_STATEMENT: usize = 4_096;

/// What is wrong with an archive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ProblemKind {
    /// Something is not what was written.
    Edited,
    /// Something is missing.
    Missing,
    /// Something is there that was not written.
    Inserted,
    /// Lines do not stand in the order in which they were written.
    Reordered,
    /// The end of the chain, or of a day, is missing.
    Truncated,
    /// The last line is unfinished, as a crash leaves it: opening the archive once cuts it off.
    Torn,
    /// A signature, or the key for it, is not the right one.
    Signature,
    /// The archive itself found at an opening that it had been changed by other means.
    Mended,
    /// A file cannot be read.
    Unreadable,
}

impl ProblemKind {
    /// The name in reports.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            ProblemKind::Edited => "edited",
            ProblemKind::Missing => "missing",
            ProblemKind::Inserted => "inserted",
            ProblemKind::Reordered => "reordered",
            ProblemKind::Truncated => "truncated",
            ProblemKind::Torn => "torn",
            ProblemKind::Signature => "signature",
            ProblemKind::Mended => "mended",
            ProblemKind::Unreadable => "unreadable",
        }
    }
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// What kind of thing.
    pub kind: ProblemKind,
    /// In which file, below the archive.
    pub place: String,
    /// At which line of the chain, where it is one.
    pub seq: Option<u64>,
    /// In words.
    pub detail: &'static str,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}: {}", self.kind.code(), self.place, self.detail)?;
        match self.seq {
            Some(seq) => write!(f, " (line {seq})"),
            None => Ok(()),
        }
    }
}

/// What a check found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Verification {
    /// Lines of the chain that were read.
    pub lines: u64,
    /// Packages that are kept.
    pub packages: u64,
    /// Files of theirs that were read.
    pub blobs: u64,
    /// Packages that were removed, with a line that says why.
    pub removed: u64,
    /// The key that signatures were held against: the one that was given, or else the archive's own, which
    /// proves only that whoever wrote the archive had it.
    pub public_key: Option<PublicKey>,
    /// What is wrong; at most [`MAX_PROBLEMS`].
    pub problems: Vec<Problem>,
    /// How many more problems there are.
    pub more: u64,
}

impl Verification {
    /// Whether nothing is wrong.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        self.problems.is_empty()
    }

    fn report(&mut self, kind: ProblemKind, place: &Path, seq: Option<u64>, detail: &'static str) {
        if self.problems.len() >= MAX_PROBLEMS {
            self.more += 1;
            return;
        }
        self.problems.push(Problem {
            kind,
            place: place.display().to_string(),
            seq,
            detail,
        });
    }
}

/// Checks the archive in `dir`: every line of the chain, every signature, every manifest and every file. Reads
/// only, and needs no archive to be open; while one is, what it is just writing may be reported. Give
/// `public_key` as it was had by another way than the archive.
///
/// # Errors
/// [`EvidenceError::Io`] when the folder cannot be read at all. Whatever is wrong within is in the answer.
pub fn verify(dir: &Path, public_key: Option<&PublicKey>) -> Result<Verification, EvidenceError> {
    fs::read_dir(dir).map_err(EvidenceError::io(dir))?;
    let mut found = Verification::default();
    found.public_key = key_of(dir, public_key, &mut found);
    let mut check = Check {
        dir,
        head: None,
        ledger: Ledger::default(),
        before: Some((0, GENESIS)),
        at_head: None,
        found,
    };
    check.head = check.statement(Path::new(HEAD), Signed::Head);
    check.chain();
    check.evidence();
    check.found.packages = check.ledger.len() as u64;
    check.found.removed = check.ledger.removed();
    Ok(check.found)
}

/// The key to hold signatures against.
fn key_of(dir: &Path, given: Option<&PublicKey>, found: &mut Verification) -> Option<PublicKey> {
    let place = Path::new(PUBLIC_KEY);
    let text = read_bounded(&dir.join(place), MAX_STATEMENT).ok().flatten();
    let text = text.and_then(|text| String::from_utf8(text).ok());
    // Exactly as it was written: a key that reads the same but is written otherwise was edited.
    let own = text.and_then(|text| PublicKey::parse(&text).filter(|key| key.to_pem() == text));
    match (given, &own) {
        (_, None) => found.report(
            ProblemKind::Signature,
            place,
            None,
            "the archive's public key is missing or not what was written",
        ),
        (Some(given), Some(own)) if given != own => found.report(
            ProblemKind::Signature,
            place,
            None,
            "the archive's public key is not the one that was given",
        ),
        _the_same => {}
    }
    given.cloned().or(own)
}

struct Check<'d> {
    dir: &'d Path,
    head: Option<Head>,
    ledger: Ledger,
    /// The line before; `None` after one that could not be read: whatever comes then is taken as it is.
    before: Option<(u64, Hash256)>,
    /// The hash of the line to which the head refers.
    at_head: Option<Hash256>,
    found: Verification,
}

/// What was seen of a day's file.
struct DaySeen {
    day: Day,
    place: PathBuf,
    head: Option<DayHead>,
    first_seq: Option<u64>,
    last: Option<(u64, Hash256)>,
    /// The hash of the line to which the day's head refers.
    at_head: Option<Hash256>,
}

impl Check<'_> {
    fn report(&mut self, kind: ProblemKind, place: &Path, seq: Option<u64>, detail: &'static str) {
        self.found.report(kind, place, seq, detail);
    }

    /// A signed statement; what is wrong with it is reported.
    fn statement<T: Serialize + DeserializeOwned>(&mut self, place: &Path, what: Signed) -> Option<T> {
        let text = match read_bounded(&self.dir.join(place), MAX_STATEMENT) {
            Ok(text) => text.unwrap_or_default(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.report(ProblemKind::Missing, place, None, "this signed head is missing");
                return None;
            }
            Err(_unreadable) => {
                self.report(ProblemKind::Unreadable, place, None, "this file cannot be read");
                return None;
            }
        };
        let states = signed(&text, what, self.found.public_key.as_ref());
        if states.is_none() {
            let detail = "this signed head is not what was written, or another key signed it";
            self.report(ProblemKind::Signature, place, None, detail);
        }
        states
    }

    fn chain(&mut self) {
        let place = Path::new(CHAIN);
        let Ok(days) = Days::list(self.dir) else {
            self.report(ProblemKind::Missing, place, None, "there is no chain");
            return;
        };
        for stray in &days.strays {
            self.report(
                ProblemKind::Inserted,
                stray,
                None,
                "this file does not belong to the chain",
            );
        }
        for day in days
            .heads
            .iter()
            .filter(|day| days.logs.binary_search(day).is_err())
        {
            let detail = "the lines of this day are missing";
            self.report(ProblemKind::Missing, &log_path(*day), None, detail);
        }
        let newest = days.logs.last();
        for day in &days.logs {
            let has_head = days.heads.binary_search(day).is_ok();
            self.day(*day, Some(day) == newest, has_head);
        }
        if newest.is_none() {
            self.report(ProblemKind::Missing, place, None, "the chain has no line");
        }
        self.end(newest.copied());
    }

    /// Holds the end of the chain against its signed head.
    fn end(&mut self, newest: Option<Day>) {
        let Some(head) = self.head else { return };
        let place = newest.map_or_else(|| PathBuf::from(CHAIN), log_path);
        match self.at_head {
            None => {
                let detail = "the line to which the signed head refers is missing";
                self.report(ProblemKind::Truncated, &place, Some(head.seq), detail);
            }
            Some(hash) if hash != head.hash => {
                let detail = "this line is not the one to which the signed head refers";
                self.report(ProblemKind::Edited, &place, Some(head.seq), detail);
            }
            Some(_the_same) => {}
        }
    }

    fn day(&mut self, day: Day, is_newest: bool, has_head: bool) {
        let mut seen = DaySeen {
            day,
            place: log_path(day),
            head: None,
            first_seq: None,
            last: None,
            at_head: None,
        };
        if has_head || !is_newest {
            seen.head = self.statement(&day_head_path(day), Signed::Day);
        }
        let path = self.dir.join(&seen.place);
        let read = read_log(&path, |raw| match raw {
            Raw::Line(bytes) => match Line::decode(&bytes) {
                Some(line) => self.line(&line, &mut seen),
                None => self.unreadable_line(&seen.place, "this line is not what was written"),
            },
            Raw::OverLong => {
                self.unreadable_line(&seen.place, "this line is longer than any that was written");
            }
            Raw::Torn(_) if is_newest => {
                self.report(
                    ProblemKind::Torn,
                    &seen.place,
                    None,
                    "the last line is unfinished",
                );
            }
            Raw::Torn(_) => self.unreadable_line(&seen.place, "the last line of this day is cut off"),
        });
        if read.is_err() {
            self.report(
                ProblemKind::Unreadable,
                &seen.place,
                None,
                "this file cannot be read",
            );
        }
        if seen.last.is_none() && !is_newest {
            self.report(ProblemKind::Missing, &seen.place, None, "this day has no line");
        }
        self.day_head(is_newest, &seen);
    }

    fn unreadable_line(&mut self, place: &Path, detail: &'static str) {
        let seq = self.before.map(|(seq, _)| seq + 1);
        self.report(ProblemKind::Edited, place, seq, detail);
        self.before = None;
    }

    fn line(&mut self, line: &Line, seen: &mut DaySeen) {
        let place = &seen.place;
        let seq = line.entry.seq;
        let at = Some(seq);
        self.found.lines += 1;
        if let Some((before, hash)) = self.before {
            let wrong = if seq > before + 1 {
                Some((ProblemKind::Missing, "the lines before this one are missing"))
            } else if seq <= before {
                Some((
                    ProblemKind::Reordered,
                    "this line stands after a later one, or twice",
                ))
            } else {
                let follows = line.entry.prev == hash;
                (!follows).then_some((ProblemKind::Edited, "this line does not follow the one before it"))
            };
            if let Some((kind, detail)) = wrong {
                self.report(kind, place, at, detail);
            }
        }
        if self
            .found
            .public_key
            .as_ref()
            .is_some_and(|key| !line.is_signed_by(key))
        {
            self.report(
                ProblemKind::Signature,
                place,
                at,
                "the key did not sign this line",
            );
        }
        if line.entry.day != seen.day {
            self.report(
                ProblemKind::Reordered,
                place,
                at,
                "this line belongs to another day",
            );
        }
        if let Err(detail) = self.ledger.apply(&line.entry) {
            self.report(ProblemKind::Edited, place, at, detail);
        }
        if let Event::Mended { .. } = line.entry.event {
            let detail = "when the archive was opened, its chain had been changed by other means";
            self.report(ProblemKind::Mended, place, at, detail);
        }
        self.before = Some((seq, line.hash));
        if self.head.is_some_and(|head| head.seq == seq) {
            self.at_head = Some(line.hash);
        }
        if seen.head.is_some_and(|head| head.last_seq == seq) {
            seen.at_head = Some(line.hash);
        }
        seen.first_seq = seen.first_seq.or(at);
        seen.last = Some((seq, line.hash));
    }

    /// Holds a day against its signed head. The newest day may have gone on since: the clock was put back.
    fn day_head(&mut self, is_newest: bool, seen: &DaySeen) {
        let Some(head) = seen.head else { return };
        let place = day_head_path(seen.day);
        if head.day != seen.day || seen.first_seq != Some(head.first_seq) {
            let detail = "the day does not begin as its signed head says";
            self.report(ProblemKind::Edited, &place, Some(head.first_seq), detail);
        }
        let is_whole = match is_newest {
            true => seen.at_head == Some(head.last_hash),
            false => seen.last == Some((head.last_seq, head.last_hash)),
        };
        if !is_whole {
            let detail = "the day does not end as its signed head says";
            self.report(ProblemKind::Truncated, &place, Some(head.last_seq), detail);
        }
    }

    /// Reads every manifest and every file that the chain refers to, and looks for others.
    fn evidence(&mut self) {
        let ids: Vec<(EvidenceId, u64)> = self.ledger.packages().map(|(id, kept)| (*id, kept.seq)).collect();
        let mut needed = BTreeSet::new();
        for (id, seq) in ids {
            let place = manifest_path(&id);
            let bytes = read_bounded(&self.dir.join(&place), MAX_MANIFEST_BYTES);
            needed.insert(place.clone());
            let package = match bytes {
                Ok(Some(bytes)) if name_of(&bytes) == id => Package::decode(&bytes),
                Ok(_otherwise) => {
                    self.report(
                        ProblemKind::Edited,
                        &place,
                        Some(seq),
                        "this manifest is not what was written",
                    );
                    continue;
                }
                Err(error) => {
                    self.absent(&error, &place, seq, "this manifest is missing");
                    continue;
                }
            };
            let Some(package) = package else {
                let detail = "this manifest is of another version";
                self.report(ProblemKind::Unreadable, &place, Some(seq), detail);
                continue;
            };
            for item in &package.items {
                let place = blob_path(&item.sha256);
                if needed.insert(place.clone()) {
                    self.blob(item, &place, seq);
                }
            }
        }
        self.strays(&needed);
    }

    fn blob(&mut self, item: &Item, place: &Path, seq: u64) {
        match hash_file(&self.dir.join(place)) {
            Ok((hash, size)) if hash == item.sha256 && size == item.size => self.found.blobs += 1,
            Ok(_other) => {
                self.report(
                    ProblemKind::Edited,
                    place,
                    Some(seq),
                    "this file is not what was written",
                );
            }
            Err(error) => self.absent(&error, place, seq, "this file is missing"),
        }
    }

    fn absent(&mut self, error: &io::Error, place: &Path, seq: u64, detail: &'static str) {
        match error.kind() {
            io::ErrorKind::NotFound => self.report(ProblemKind::Missing, place, Some(seq), detail),
            _other => self.report(
                ProblemKind::Unreadable,
                place,
                Some(seq),
                "this file cannot be read",
            ),
        }
    }

    fn strays(&mut self, needed: &BTreeSet<PathBuf>) {
        for folder in [MANIFESTS, BLOBS] {
            let Ok(names) = names_below(self.dir, folder) else {
                self.report(
                    ProblemKind::Missing,
                    Path::new(folder),
                    None,
                    "this folder is missing",
                );
                continue;
            };
            for name in names.iter().filter(|name| !needed.contains(*name)) {
                let detail =
                    "no line refers to this file; if a crash left it, opening the archive removes it";
                self.report(ProblemKind::Inserted, name, None, detail);
            }
        }
    }
}

/// A file's hash and size, read piece by piece.
fn hash_file(path: &Path) -> io::Result<(Hash256, u64)> {
    let mut file = File::open(path)?;
    let mut hash = Sha256::new();
    let mut piece = vec![0; 256 * 1024];
    let mut size = 0;
    loop {
        let taken = file.read(&mut piece)?;
        if taken == 0 {
            return Ok((Hash256(hash.finalize().into()), size));
        }
        hash.update(&piece[..taken]);
        size += taken as u64;
    }
}
