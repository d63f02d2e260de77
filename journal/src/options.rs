//! How a journal is set up.

use std::{path::PathBuf, sync::Arc, time::Duration};

use crate::JournalError;

const KIB: u64 = 1024;
const MIB: u64 = 1024 * KIB;
const GIB: u64 = 1024 * MIB;

/// No segment is larger.
pub(crate) const SEGMENT_MAX_BYTES: u64 = GIB;

/// Where the journal lies and how much it may take. [`Options::new`] gives the defaults.
#[derive(Debug, Clone)]
pub struct Options {
    /// The journal's own directory; created when absent.
    pub dir: PathBuf,
    /// Bytes per segment file (4 KiB to 1 GiB, default 64 MiB). A change holds for new segments.
    pub segment_bytes: u64,
    /// The most bytes that all segments may occupy (at least two segments, default 8 GiB).
    pub capacity_bytes: u64,
    /// The shortest time from one commit's start to the next one's while records keep coming (0 to 100 ms,
    /// default 2 ms). The first record after a pause of this length is committed at once.
    pub commit_interval: Duration,
    /// This many waiting bytes are committed without waiting out the interval (default 64 KiB).
    pub commit_bytes: usize,
    /// The most bytes that may wait for a commit before appends are refused with
    /// [`crate::AppendError::Busy`] (4 KiB to 1 GiB, default 8 MiB).
    pub queue_bytes: usize,
}

/// Milliseconds since 1970: handed in, so that the journal reads no clock of its own.
pub type TimeSource = Arc<dyn Fn() -> i64 + Send + Sync>;

impl Options {
    /// The defaults, for a journal in `dir`.
    #[must_use]
    pub fn new(dir: impl Into<PathBuf>) -> Options {
        Options {
            dir: dir.into(),
            segment_bytes: 64 * MIB,
            capacity_bytes: 8 * GIB,
            commit_interval: Duration::from_millis(2),
            commit_bytes: 64 * 1024,
            queue_bytes: 8 * 1024 * 1024,
        }
    }

    pub(crate) fn check(&self) -> Result<(), JournalError> {
        let rule = |holds: bool, option, range| {
            if holds {
                Ok(())
            } else {
                Err(JournalError::InvalidOption { option, range })
            }
        };
        rule(
            (4 * KIB..=SEGMENT_MAX_BYTES).contains(&self.segment_bytes),
            "segment_bytes",
            "4 KiB to 1 GiB",
        )?;
        rule(
            self.capacity_bytes / 2 >= self.segment_bytes,
            "capacity_bytes",
            "at least twice segment_bytes",
        )?;
        rule(
            self.commit_interval <= Duration::from_millis(100),
            "commit_interval",
            "0 to 100 ms",
        )?;
        let queue = self.queue_bytes as u64;
        rule((4 * KIB..=GIB).contains(&queue), "queue_bytes", "4 KiB to 1 GiB")
    }
}
