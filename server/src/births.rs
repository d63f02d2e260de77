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
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc::{Receiver, Sender};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

/// The file's name in the data folder.
const FILE: &str = "births.jsonl";

/// Certificates kept of each topic. Between a checkpoint and a crash an edge node is born once or twice, not more often.
const KEPT_PER_TOPIC: usize = 16;

/// Versions kept of each profile: as many as somebody may save while another server's readings wait in the log.
const KEPT_PER_PROFILE: usize = 64;

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
    /// Opens the book in `dir`; answers with what is from before `position`, oldest first.
    pub(crate) fn open(dir: &Path, position: LogPosition) -> anyhow::Result<(BirthBook, Before)> {
        let (book, all) = BirthBook::rewritten(dir)?;
        Ok((book, Before::of(all, position)))
    }

    /// Writes the file anew with what is worth keeping, so that it never grows without bound.
    fn rewritten(dir: &Path) -> anyhow::Result<(BirthBook, Vec<Line>)> {
        let path = dir.join(FILE);
        let mut all = read(&path)?;
        all.sort_by_key(|line| line.position);
        let all = newest(all);
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

    /// Keeps certificates and profiles. On disk when it returns.
    pub(crate) fn keep(&mut self, births: &[Birth], profiles: &[ProfileChange]) -> anyhow::Result<()> {
        if births.is_empty() && profiles.is_empty() {
            return Ok(());
        }
        let births = births.iter().map(|birth| Line {
            position: birth.position.0,
            received: birth.received.0,
            topic: birth.topic.clone(),
            payload: hex::encode(&birth.payload),
            profile: false,
        });
        let profiles = profiles.iter().map(|change| Line {
            position: change.position.0,
            received: change.received.0,
            topic: change.id.clone(),
            payload: hex::encode(&change.text),
            profile: true,
        });
        let lines: Vec<u8> = births.chain(profiles).flat_map(|line| written(&line)).collect();
        self.file
            .write_all(&lines)
            .and_then(|()| self.file.sync_data())
            .with_context(|| format!("cannot write {FILE} in {}", self.dir.display()))?;
        self.bytes += lines.len() as u64;
        if self.bytes > self.rewrite_at {
            let dir = self.dir.clone();
            (*self, _) = BirthBook::rewritten(&dir)?;
        }
        Ok(())
    }
}

/// What in `dir` is from before `position`, oldest first: for another reader of the log.
pub(crate) fn before(dir: &Path, position: LogPosition) -> anyhow::Result<Before> {
    let mut all = read(&dir.join(FILE))?;
    all.sort_by_key(|line| line.position);
    Ok(Before::of(all, position))
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

/// The newest of each topic and of each profile, in the order in which they came.
fn newest(all: Vec<Line>) -> Vec<Line> {
    let mut by_topic: BTreeMap<(bool, String), Vec<Line>> = BTreeMap::new();
    for line in all {
        let most = if line.profile {
            KEPT_PER_PROFILE
        } else {
            KEPT_PER_TOPIC
        };
        let of_topic = by_topic.entry((line.profile, line.topic.clone())).or_default();
        // The log is read again after a crash, and says the same again.
        of_topic.retain(|kept| kept.position != line.position);
        of_topic.push(line);
        if of_topic.len() > most {
            of_topic.remove(0);
        }
    }
    let mut kept: Vec<Line> = by_topic.into_values().flatten().collect();
    kept.sort_by_key(|line| line.position);
    kept
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

    #[test]
    fn certificates_outlive_a_restart_and_a_torn_line() {
        let dir = tempfile::tempdir().unwrap();
        let (mut book, before) = BirthBook::open(dir.path(), LogPosition(0)).unwrap();
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
        book.keep(&all, &[profile(3), profile(41)]).unwrap();
        book.keep(&all[39..], &[]).unwrap();
        drop(book);
        let path = dir.path().join("births.jsonl");
        let mut torn = OpenOptions::new().append(true).open(&path).unwrap();
        torn.write_all(b"{\"position\":99,\"to").unwrap();
        let (_, before) = BirthBook::open(dir.path(), LogPosition(40)).unwrap();
        let positions: Vec<u64> = before.births.iter().map(|b| b.position.0).collect();
        assert_eq!(
            positions,
            (9..40).collect::<Vec<u64>>(),
            "16 of each, those before the position"
        );
        assert_eq!(before.births[0], birth(9, "odd"));
        assert_eq!(
            before.profiles,
            [profile(3)],
            "apart from certificates, and those before the position"
        );
    }

    #[test]
    fn the_file_does_not_grow_with_an_edge_node_that_is_born_again_and_again() {
        let dir = tempfile::tempdir().unwrap();
        let (mut book, _) = BirthBook::open(dir.path(), LogPosition(0)).unwrap();
        let large = |position| Birth {
            payload: vec![0; 256 * 1024],
            ..birth(position, "t")
        };
        for position in 1..=60 {
            book.keep(&[large(position)], &[]).unwrap();
        }
        let size = fs::metadata(dir.path().join(FILE)).unwrap().len();
        assert!(size <= REWRITE_BYTES + 600_000, "{size}");
        let (_, kept) = BirthBook::open(dir.path(), LogPosition(u64::MAX)).unwrap();
        let positions: Vec<u64> = kept.births.iter().map(|b| b.position.0).collect();
        assert_eq!(positions, (45..=60).collect::<Vec<u64>>());
    }
}
