//! The end of the chain: where lines are appended.
//!
//! A line is on disk before its event is acknowledged; the signed head follows. A crash in between leaves a
//! head that is older than the chain, never a chain that is shorter than its head.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, BufRead as _, BufReader, Read as _},
    os::unix::fs::FileExt as _,
    path::{Path, PathBuf},
};

use domain::UtcMillis;

use super::{
    chain::{DayHead, Entry, Event, GENESIS, Head, Line, MAX_LINE, sign},
    day::Day,
    error::EvidenceError,
    files::{CHAIN, Files, HEAD},
    keys::{Hash256, Signed, Signer},
};

/// The file of a day's lines, below the archive.
pub(super) fn log_path(day: Day) -> PathBuf {
    Path::new(CHAIN).join(format!("{day}.log"))
}

/// The file of a day's signed head, below the archive.
pub(super) fn day_head_path(day: Day) -> PathBuf {
    Path::new(CHAIN).join(format!("{day}.head"))
}

/// Where the chain stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Tail {
    /// The newest line's number; 0 before the first.
    pub(super) seq: u64,
    /// Its hash.
    pub(super) hash: Hash256,
    /// The newest day with a line, and its first line's number; `None` before the first.
    pub(super) day: Option<(Day, u64)>,
}

impl Tail {
    pub(super) const BEGINNING: Tail = Tail {
        seq: 0,
        hash: GENESIS,
        day: None,
    };
}

/// The chain, open for appending.
#[derive(Debug)]
pub(super) struct Log {
    signer: Signer,
    tail: Tail,
    /// The newest day's file and its length.
    file: Option<(File, u64)>,
    /// Whether the signed head is older than the chain: the disk had no room for it.
    head_is_due: bool,
    /// After a failed write that could not be undone nothing is appended any more.
    stopped: bool,
    head_at: UtcMillis,
}

impl Log {
    /// Goes on from `tail`, with a head that is written anew.
    pub(super) fn new(signer: Signer, tail: Tail) -> Log {
        Log {
            signer,
            tail,
            file: None,
            head_is_due: true,
            stopped: false,
            head_at: UtcMillis(0),
        }
    }

    pub(super) fn tail(&self) -> Tail {
        self.tail
    }

    pub(super) fn is_stopped(&self) -> bool {
        self.stopped
    }

    /// Appends a line for each of `events`, all or none of them; they are on disk when it returns.
    pub(super) fn append(
        &mut self,
        files: &Files,
        now: UtcMillis,
        events: Vec<Event>,
    ) -> Result<Vec<Entry>, EvidenceError> {
        if self.stopped {
            return Err(EvidenceError::Stopped);
        }
        let day = self.begin_day(files, Day::of(now))?;
        let mut tail = self.tail;
        let mut text = Vec::new();
        let mut entries = Vec::with_capacity(events.len());
        for event in events {
            let entry = Entry {
                seq: tail.seq + 1,
                day,
                at: now,
                prev: tail.hash,
                event,
            };
            let line = Line::new(entry, &self.signer);
            text.extend_from_slice(&line.encode());
            text.push(b'\n');
            let first = tail.day.filter(|(its, _)| *its == day);
            tail = Tail {
                seq: line.entry.seq,
                hash: line.hash,
                day: Some(first.unwrap_or((day, line.entry.seq))),
            };
            entries.push(line.entry);
        }
        self.write(files, day, &text)?;
        self.tail = tail;
        self.head_at = now;
        self.head_is_due = true;
        if let Err(error) = self.sign_head(files) {
            // The lines are kept and signed one by one; only their loss would go unnoticed for a while.
            tracing::error!(%error, "the signed head of the evidence chain waits to be written");
        }
        Ok(entries)
    }

    /// Writes the signed head, if it is older than the chain.
    pub(super) fn sign_head(&mut self, files: &Files) -> Result<(), EvidenceError> {
        let Some((day, _)) = self.tail.day.filter(|_| self.head_is_due) else {
            return Ok(());
        };
        let head = Head {
            seq: self.tail.seq,
            hash: self.tail.hash,
            day,
            at: self.head_at,
        };
        files.replace(Path::new(HEAD), &sign(head, Signed::Head, &self.signer))?;
        self.head_is_due = false;
        Ok(())
    }

    /// The day whose file the next line goes to. The head of the day before is on disk before its successor
    /// has a line. A clock that goes back stays in the newest day.
    fn begin_day(&mut self, files: &Files, today: Day) -> Result<Day, EvidenceError> {
        let Some((newest, first_seq)) = self.tail.day else {
            return Ok(today);
        };
        if today <= newest {
            return Ok(newest);
        }
        let head = DayHead {
            day: newest,
            first_seq,
            last_seq: self.tail.seq,
            last_hash: self.tail.hash,
        };
        files.replace(&day_head_path(newest), &sign(head, Signed::Day, &self.signer))?;
        self.file = None;
        Ok(today)
    }

    fn write(&mut self, files: &Files, day: Day, text: &[u8]) -> Result<(), EvidenceError> {
        let name = log_path(day);
        let path = files.path(&name);
        let (file, length) = match self.file.take() {
            Some(open) => open,
            None => open_log(files, &name)?,
        };
        let written = files.step(&path).and_then(|()| {
            let write = || {
                file.write_all_at(text, length)?;
                file.sync_data()
            };
            write().map_err(EvidenceError::io(&path))
        });
        match written {
            Ok(()) => {
                self.file = Some((file, length + text.len() as u64));
                Ok(())
            }
            Err(error) => {
                // Whatever part of it is there goes, so that the next line does not follow a torn one.
                let undo = file.set_len(length).and_then(|()| file.sync_all());
                self.stopped = undo.is_err();
                Err(error)
            }
        }
    }
}

/// Opens a day's file at its end; makes it, with its name on disk, when it is not there.
fn open_log(files: &Files, name: &Path) -> Result<(File, u64), EvidenceError> {
    let path = files.path(name);
    files.step(&path)?;
    let fresh = !path.exists();
    let open = || -> io::Result<(File, u64)> {
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)?;
        let length = file.metadata()?.len();
        Ok((file, length))
    };
    let (file, length) = open().map_err(EvidenceError::io(&path))?;
    if fresh {
        files.sync_folder(Path::new(CHAIN))?;
    }
    Ok((file, length))
}

/// What lies in the folder of the chain.
#[derive(Debug, Default)]
pub(super) struct Days {
    /// Days with a file of lines, oldest first.
    pub(super) logs: Vec<Day>,
    /// Days with a signed head, oldest first.
    pub(super) heads: Vec<Day>,
    /// Whatever else is there, as paths below the archive.
    pub(super) strays: Vec<PathBuf>,
}

impl Days {
    pub(super) fn list(root: &Path) -> io::Result<Days> {
        let mut days = Days::default();
        for entry in fs::read_dir(root.join(CHAIN))? {
            let name = entry?.file_name();
            let text = name.to_string_lossy();
            match text.rsplit_once('.').map(|(day, kind)| (Day::parse(day), kind)) {
                Some((Some(day), "log")) => days.logs.push(day),
                Some((Some(day), "head")) => days.heads.push(day),
                _other => days.strays.push(Path::new(CHAIN).join(&name)),
            }
        }
        days.logs.sort_unstable();
        days.heads.sort_unstable();
        days.strays.sort();
        Ok(days)
    }
}

/// A piece of a day's file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Raw {
    /// A line, without its end.
    Line(Vec<u8>),
    /// What stands after the last line's end, and has none: so many bytes.
    Torn(u64),
    /// A line longer than any of ours.
    OverLong,
}

/// Calls `each` with the pieces of a day's file, in order. No more than one of them is in memory.
pub(super) fn read_log(path: &Path, mut each: impl FnMut(Raw)) -> io::Result<()> {
    let mut reader = BufReader::new(File::open(path)?);
    let mut piece = Vec::new();
    loop {
        piece.clear();
        let taken = reader
            .by_ref()
            .take(MAX_LINE as u64)
            .read_until(b'\n', &mut piece)?;
        if taken == 0 {
            return Ok(());
        }
        if piece.pop_if(|last| *last == b'\n').is_some() {
            each(Raw::Line(std::mem::take(&mut piece)));
        } else if taken < MAX_LINE {
            each(Raw::Torn(taken as u64));
        } else {
            reader.skip_until(b'\n')?;
            each(Raw::OverLong);
        }
    }
}
