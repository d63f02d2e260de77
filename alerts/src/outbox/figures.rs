//! What the messenger counts: how many messages went and failed over each kind of channel, and how many channels rest.

use std::sync::atomic::{AtomicU64, Ordering};

use domain::message::ChannelKind;

const KINDS: usize = ChannelKind::ALL.len();

/// Figures of one kind of channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChannelFigures {
    /// Which.
    pub kind: ChannelKind,
    /// Notices that were taken since start.
    pub sent: u64,
    /// Attempts that failed since start.
    pub failed: u64,
    /// Channels of this kind that rest now, because they do not take messages.
    pub resting: u64,
}

/// The same while they are counted.
#[derive(Debug, Default)]
pub(super) struct Counters {
    sent: [AtomicU64; KINDS],
    failed: [AtomicU64; KINDS],
    resting: [AtomicU64; KINDS],
}

impl Counters {
    pub(super) fn sent(&self, kind: ChannelKind, notices: usize) {
        let notices = u64::try_from(notices).unwrap_or(u64::MAX);
        self.sent[place(kind)].fetch_add(notices, Ordering::Relaxed);
    }

    pub(super) fn failed(&self, kind: ChannelKind) {
        self.failed[place(kind)].fetch_add(1, Ordering::Relaxed);
    }

    /// How many of each kind rest now.
    pub(super) fn rest(&self, resting: impl Iterator<Item = ChannelKind>) {
        let mut counts = [0; KINDS];
        resting.for_each(|kind| counts[place(kind)] += 1);
        for (kept, count) in self.resting.iter().zip(counts) {
            kept.store(count, Ordering::Relaxed);
        }
    }

    pub(super) fn read(&self) -> Vec<ChannelFigures> {
        let read = |kind: ChannelKind| ChannelFigures {
            kind,
            sent: self.sent[place(kind)].load(Ordering::Relaxed),
            failed: self.failed[place(kind)].load(Ordering::Relaxed),
            resting: self.resting[place(kind)].load(Ordering::Relaxed),
        };
        ChannelKind::ALL.into_iter().map(read).collect()
    }
}

/// Where a kind stands in [`ChannelKind::ALL`].
fn place(kind: ChannelKind) -> usize {
    let found = ChannelKind::ALL.into_iter().position(|known| known == kind);
    found.expect("every kind is in the list of all")
}
