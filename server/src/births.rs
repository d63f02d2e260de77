//! What ingest must know from before the place at which it reads the log again, and what it wants said to devices.
//!
//! A Sparkplug edge node names its metrics once, in a birth certificate, and calls them by numbers from then on. When
//! the log is read again from a checkpoint, the certificate may lie before it: so each is kept here, on disk before
//! the readings that rest on it are stored. So is each profile of an operator, which holds from its place in the log on.

use std::{
    collections::BTreeMap,
    fs::{self, File, OpenOptions},
    io::{BufRead, BufReader, Write},
    path::{Path, PathBuf},
};

use anyhow::Context;
use broker::BrokerHandle;
use domain::{
    Clock, LogPosition, UtcMillis,
    batch::{Birth, ProfileChange, Wish},
};
use journal::Journal;
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc::{Receiver, Sender};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

/// The file's name in the data folder.
const FILE: &str = "births.jsonl";

/// Certificates kept of each topic, and versions of each profile, from before the lowest place that anybody may read the
/// log from again. The newest of them is what a reader needs there; the others are for a cursor that is behind what the book was told.
const KEPT_BEFORE: usize = 16;

/// Behind that place a reader may stop anywhere, so all are kept, up to so many of each topic: an edge node is asked for
/// its certificates twice a minute at most, which makes 8 hours. See [`worth_keeping`] for what happens then.
const KEPT_BEHIND: usize = 1_024;

/// All certificates together take no more than this, in bytes, unless [`KEPT_BEFORE`] of each topic take more.
const MOST_BYTES: usize = 32 * 1024 * 1024;

/// The file is written anew when it has grown beyond this, in bytes, and to twice what was kept the last time.
const REWRITE_BYTES: u64 = 16 * 1024 * 1024;

/// Wishes that may wait. One that finds no room is made again half a minute later.
pub(crate) const WISHES_WAITING: usize = 64;

/// A wish older than this is not heeded: the log is being read again.
const STALE_MS: i64 = 60_000;

/// A certificate, or a profile: then `topic` is its name.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Line {
    position: u64,
    received: i64,
    topic: String,
    payload: String,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    profile: bool,
}

impl From<&Birth> for Line {
    fn from(birth: &Birth) -> Line {
        Line {
            position: birth.position.0,
            received: birth.received.0,
            topic: birth.topic.clone(),
            payload: hex::encode(&birth.payload),
            profile: false,
        }
    }
}

impl From<&ProfileChange> for Line {
    fn from(change: &ProfileChange) -> Line {
        Line {
            position: change.position.0,
            received: change.received.0,
            topic: change.id.clone(),
            payload: hex::encode(&change.text),
            profile: true,
        }
    }
}

/// What a reader of the log must know from before the place at which it begins, each oldest first.
#[derive(Debug, Default)]
pub(crate) struct Before {
    pub(crate) births: Vec<Birth>,
    pub(crate) profiles: Vec<ProfileChange>,
}

impl Before {
    fn of(lines: impl IntoIterator<Item = Line>, position: LogPosition) -> Before {
        let mut before = Before::default();
        for line in lines {
            if line.position >= position.0 {
                continue;
            }
            let (position, received) = (LogPosition(line.position), UtcMillis(line.received));
            // The reader has seen to it that this is hexadecimal.
            let Ok(payload) = hex::decode(line.payload) else {
                continue;
            };
            if line.profile {
                before.profiles.push(ProfileChange {
                    position,
                    received,
                    id: line.topic,
                    text: String::from_utf8_lossy(&payload).into_owned(),
                });
            } else {
                before.births.push(Birth {
                    position,
                    received,
                    topic: line.topic,
                    payload,
                });
            }
        }
        before
    }
}

/// The certificates on disk: one line of JSON each.
pub(crate) struct BirthBook {
    dir: PathBuf,
    file: File,
    bytes: u64,
    rewrite_at: u64,
}

impl BirthBook {
    /// Opens the book in `dir`; answers with what is from before `position`, oldest first. `needed` is the lowest place
    /// that anybody may read the log from.
    pub(crate) fn open(
        dir: &Path,
        position: LogPosition,
        needed: LogPosition,
    ) -> anyhow::Result<(BirthBook, Before)> {
        let (book, all) = BirthBook::rewritten(dir, needed)?;
        Ok((book, Before::of(all, position)))
    }

    /// Writes the file anew with what is worth keeping, so that it never grows without bound.
    fn rewritten(dir: &Path, needed: LogPosition) -> anyhow::Result<(BirthBook, Vec<Line>)> {
        let path = dir.join(FILE);
        let all = worth_keeping(read(&path)?, needed);
        let next = dir.join("births.jsonl.new");
        let mut file = File::create(&next).with_context(|| format!("cannot write {}", next.display()))?;
        let mut bytes = 0;
        for line in &all {
            let line = written(line);
            bytes += line.len() as u64;
            file.write_all(&line).context("cannot keep birth certificates")?;
        }
        file.sync_all().context("cannot keep birth certificates")?;
        fs::rename(&next, &path).with_context(|| format!("cannot write {}", path.display()))?;
        // Else a power cut could bring the old file back, and with it lose what is added to the new one.
        let synced = File::open(dir).and_then(|dir| dir.sync_all());
        synced.with_context(|| format!("cannot write {}", dir.display()))?;
        let file = OpenOptions::new().append(true).open(&path);
        let file = file.with_context(|| format!("cannot write {}", path.display()))?;
        let book = BirthBook {
            dir: dir.to_owned(),
            file,
            bytes,
            rewrite_at: REWRITE_BYTES.max(bytes.saturating_mul(2)),
        };
        Ok((book, all))
    }

    /// Keeps certificates and profiles. On disk when it returns. `needed` is the lowest place that anybody may read the log
    /// from.
    pub(crate) fn keep(
        &mut self,
        births: &[Birth],
        profiles: &[ProfileChange],
        needed: LogPosition,
    ) -> anyhow::Result<()> {
        if births.is_empty() && profiles.is_empty() {
            return Ok(());
        }
        let births = births.iter().map(Line::from);
        let profiles = profiles.iter().map(Line::from);
        let lines: Vec<u8> = births.chain(profiles).flat_map(|line| written(&line)).collect();
        self.file
            .write_all(&lines)
            .and_then(|()| self.file.sync_data())
            .with_context(|| format!("cannot write {FILE} in {}", self.dir.display()))?;
        self.bytes += lines.len() as u64;
        if self.bytes > self.rewrite_at {
            let dir = self.dir.clone();
            (*self, _) = BirthBook::rewritten(&dir, needed)?;
        }
        Ok(())
    }
}

/// The lowest place that anybody may read the log from again: where the cursor stands that is farthest behind, be it
/// ingest's or that of another time-series server that is away.
pub(crate) fn needed_from(journal: &Journal) -> LogPosition {
    let lowest = journal.cursors().into_iter().map(|(_, at)| at.0).min();
    LogPosition(lowest.unwrap_or(0))
}

/// What in `dir` is from before `position`, oldest first: for another reader of the log.
pub(crate) fn before(dir: &Path, position: LogPosition) -> anyhow::Result<Before> {
    let mut all = read(&dir.join(FILE))?;
    all.sort_by_key(|line| line.position);
    Ok(Before::of(all, position))
}

/// Since when, by the log's time, a reader that takes up `births` knows not what numbers stand for: there was a
/// certificate, and it was given up. `None` when it knows everything.
pub(crate) fn unnamed_since(births: &[Birth]) -> Option<UtcMillis> {
    let newest: BTreeMap<&str, &Birth> = births.iter().map(|b| (b.topic.as_str(), b)).collect();
    let unnamed = newest.values().filter(|birth| birth.payload.is_empty());
    unnamed.map(|birth| birth.received).min()
}

fn written(line: &Line) -> Vec<u8> {
    let mut text = serde_json::to_vec(line).expect("texts and numbers are JSON");
    text.push(b'\n');
    text
}

fn read(path: &Path) -> anyhow::Result<Vec<Line>> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(e).with_context(|| format!("cannot read {}", path.display())),
    };
    let mut lines = Vec::new();
    for text in BufReader::new(file).split(b'\n') {
        let text = text.with_context(|| format!("cannot read {}", path.display()))?;
        let line = serde_json::from_slice::<Line>(&text).ok();
        // A crash tears the last line only, and the log still holds what it was about.
        lines.extend(line.filter(|line| hex::decode(&line.payload).is_ok()));
    }
    Ok(lines)
}

/// What a reader of the log may need that begins at `needed` or behind it, in order: of each topic the newest from before
/// that place, and all from behind it.
///
/// Where these are too many, the oldest from behind it are given up, down to [`KEPT_BEFORE`] of each topic. In their
/// place one remains whose payload is empty: it says that the numbers were given anew there, and not for what. So a
/// reader that begins there refuses values that come by number, until the next certificate; it never takes one
/// for something else. Profiles are never given up: each is
/// a record of the log behind that place, so the log's own cap bounds them.
fn worth_keeping(all: Vec<Line>, needed: LogPosition) -> Vec<Line> {
    // The log is read again after a crash, and says the same again.
    let mut by_place: BTreeMap<(bool, String, u64), Line> = BTreeMap::new();
    for line in all {
        by_place.insert((line.profile, line.topic.clone(), line.position), line);
    }
    let mut topics: BTreeMap<(bool, String), Vec<Line>> = BTreeMap::new();
    for ((profile, topic, _), line) in by_place {
        topics.entry((profile, topic)).or_default().push(line);
    }
    let mut most = KEPT_BEHIND;
    let mut given_up = 0;
    loop {
        given_up += topics
            .iter_mut()
            .map(|((profile, _), lines)| thin(lines, needed.0, if *profile { usize::MAX } else { most }))
            .sum::<usize>();
        let digits: usize = topics.values().flatten().map(|line| line.payload.len()).sum();
        if digits / 2 <= MOST_BYTES || most <= KEPT_BEFORE {
            break;
        }
        most /= 2;
    }
    if given_up > 0 {
        warn!(
            given_up,
            "Too many birth certificates are kept for a time-series server that is away; the oldest are given up. \
             Should the server restart there, what they name is sent from the embedded store."
        );
    }
    let mut kept: Vec<Line> = topics.into_values().flatten().collect();
    kept.sort_by_key(|line| line.position);
    kept
}

/// Leaves [`KEPT_BEFORE`] lines of one topic from before `needed` and `most` from behind it. Answers how many of
/// those that may be needed are given up.
fn thin(lines: &mut Vec<Line>, needed: u64, most: usize) -> usize {
    let before = lines.partition_point(|line| line.position < needed);
    lines.drain(..before.saturating_sub(KEPT_BEFORE));
    let before = before.min(KEPT_BEFORE);
    let too_many = (lines.len() - before).saturating_sub(most);
    let Some(last) = too_many.checked_sub(1) else {
        return 0;
    };
    let said_something = lines[before..=before + last]
        .iter()
        .filter(|line| !line.payload.is_empty())
        .count();
    lines[before + last].payload = String::new();
    lines.drain(before..before + last);
    said_something
}

/// Hands wishes on without waiting.
pub(crate) fn wish(waiting: &Sender<Wish>, wishes: &mut Vec<Wish>) {
    for wish in wishes.drain(..) {
        if waiting.try_send(wish).is_err() {
            warn!(
                "Too many edge nodes are to be asked for birth certificates at the same time; they are asked again."
            );
            return;
        }
    }
}

/// Publishes what ingest wants said to devices, until told to stop.
pub(crate) async fn grant(
    mut wishes: Receiver<Wish>,
    broker: BrokerHandle,
    clock: Clock,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    loop {
        let wish = tokio::select! {
            () = stop.cancelled() => return Ok(()),
            wish = wishes.recv() => match wish {
                Some(wish) => wish,
                None => return Ok(()),
            },
        };
        if clock.now().ms_since(wish.at) > STALE_MS {
            continue;
        }
        match broker.publish(&wish.topic, &wish.payload, false).await {
            Ok(()) => info!(
                topic = wish.topic,
                "An edge node is asked for its birth certificates."
            ),
            Err(e) => warn!(
                topic = wish.topic,
                "An edge node cannot be asked for its birth certificates: {e}"
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn birth(position: u64, topic: &str) -> Birth {
        Birth {
            position: LogPosition(position),
            received: UtcMillis(1),
            topic: topic.to_owned(),
            payload: vec![1, 2, u8::try_from(position % 256).unwrap()],
        }
    }

    const NOBODY: LogPosition = LogPosition(u64::MAX);

    fn positions(births: &[Birth]) -> Vec<u64> {
        births.iter().map(|birth| birth.position.0).collect()
    }

    #[test]
    fn certificates_outlive_a_restart_and_a_torn_line() {
        let dir = tempfile::tempdir().unwrap();
        let (mut book, before) = BirthBook::open(dir.path(), LogPosition(0), NOBODY).unwrap();
        assert!(before.births.is_empty() && before.profiles.is_empty());
        let all: Vec<Birth> = (1..=40)
            .map(|n| birth(n, if n % 2 == 0 { "even" } else { "odd" }))
            .collect();
        let profile = |position| ProfileChange {
            position: LogPosition(position),
            received: UtcMillis(1),
            id: "even".to_owned(),
            text: format!("# 冷柜 {position}"),
        };
        book.keep(&all, &[profile(3), profile(41)], NOBODY).unwrap();
        book.keep(&all[39..], &[], NOBODY).unwrap();
        drop(book);
        let path = dir.path().join("births.jsonl");
        let mut torn = OpenOptions::new().append(true).open(&path).unwrap();
        torn.write_all(b"{\"position\":99,\"to").unwrap();
        let (_, before) = BirthBook::open(dir.path(), LogPosition(40), NOBODY).unwrap();
        assert_eq!(
            positions(&before.births),
            (9..40).collect::<Vec<u64>>(),
            "16 of each, those before the position"
        );
        assert_eq!(before.births[0], birth(9, "odd"));
        assert_eq!(unnamed_since(&before.births), None);
        assert_eq!(
            before.profiles,
            [profile(3)],
            "apart from certificates, and those before the position"
        );
    }

    #[test]
    fn the_file_does_not_grow_with_an_edge_node_that_is_born_again_and_again() {
        let dir = tempfile::tempdir().unwrap();
        let (mut book, _) = BirthBook::open(dir.path(), LogPosition(0), NOBODY).unwrap();
        let large = |position| Birth {
            payload: vec![0; 256 * 1024],
            ..birth(position, "t")
        };
        for position in 1..=60 {
            book.keep(&[large(position)], &[], NOBODY).unwrap();
        }
        let size = fs::metadata(dir.path().join(FILE)).unwrap().len();
        assert!(size <= REWRITE_BYTES + 600_000, "{size}");
        let (_, kept) = BirthBook::open(dir.path(), NOBODY, NOBODY).unwrap();
        assert_eq!(positions(&kept.births), (45..=60).collect::<Vec<u64>>());
    }

    #[test]
    fn wherever_a_reader_stands_it_has_the_certificate_from_before_that_place() {
        let dir = tempfile::tempdir().unwrap();
        // A server went away at 100; the edge nodes are born again and again until it is back.
        let away = LogPosition(100);
        let (mut book, _) = BirthBook::open(dir.path(), LogPosition(0), away).unwrap();
        let topic = |n: u64| if n.is_multiple_of(3) { "seldom" } else { "often" };
        let all: Vec<Birth> = (1..=900).map(|n| birth(n, topic(n))).collect();
        for some in all.chunks(50) {
            book.keep(some, &[], away).unwrap();
        }
        drop(book);
        for needed in [100, 101, 500, 899] {
            drop(BirthBook::open(dir.path(), LogPosition(900), LogPosition(needed)).unwrap());
            for place in (needed..=901).step_by(19) {
                let before = before(dir.path(), LogPosition(place)).unwrap().births;
                for name in ["seldom", "often"] {
                    let want = (1..place).rev().find(|n| topic(*n) == name).unwrap();
                    let got = before.iter().rev().find(|birth| birth.topic == name).unwrap();
                    assert_eq!(*got, birth(want, name), "at {place}");
                }
                assert_eq!(unnamed_since(&before), None);
            }
        }
        let (_, kept) = BirthBook::open(dir.path(), NOBODY, NOBODY).unwrap();
        assert_eq!(kept.births.len(), 32, "nobody is behind any more");
    }

    #[test]
    fn what_is_given_up_at_the_bound_is_said_and_never_taken_for_something_else() {
        let dir = tempfile::tempdir().unwrap();
        let away = LogPosition(100);
        let (mut book, _) = BirthBook::open(dir.path(), LogPosition(0), away).unwrap();
        let all: Vec<Birth> = (1..=3_000).map(|n| birth(n, "t")).collect();
        book.keep(&all, &[], away).unwrap();
        drop(book);
        for _again in 0..2 {
            drop(BirthBook::open(dir.path(), NOBODY, away).unwrap());
            let at = |place| before(dir.path(), LogPosition(place)).unwrap().births;
            let first_kept = 3_001 - KEPT_BEHIND as u64;
            assert_eq!(at(100).last(), Some(&birth(99, "t")), "where it stands");
            assert_eq!(unnamed_since(&at(100)), None);
            assert_eq!(at(first_kept + 1).last(), Some(&birth(first_kept, "t")));
            assert_eq!(unnamed_since(&at(first_kept + 1)), None);
            let in_between = at(first_kept);
            let last = in_between.last().unwrap();
            assert_eq!((last.position.0, last.payload.len()), (first_kept - 1, 0));
            assert_eq!(unnamed_since(&in_between), Some(UtcMillis(1)));
            assert_eq!(at(5_000).len(), KEPT_BEFORE + 1 + KEPT_BEHIND);
        }
        // Large ones are fewer.
        let large = |n| Birth {
            payload: vec![7; 256 * 1024],
            ..birth(n, "t")
        };
        let all = (1..=400).map(|n| Line::from(&large(n))).collect();
        let kept = Before::of(worth_keeping(all, away), NOBODY).births;
        let bytes: usize = kept.iter().map(|birth| birth.payload.len()).sum();
        assert!(bytes <= MOST_BYTES && kept.iter().filter(|b| b.payload.is_empty()).count() == 1);
        assert_eq!(kept.last(), Some(&large(400)));
        assert!(kept.contains(&large(99)), "what is needed where it stands");
    }
}
