//! Timers in order of their due time. Deletion is lazy: a void timer is dropped when its time comes.

use std::{cmp::Reverse, collections::BinaryHeap};

/// What a timer is for. Of two timers due at the same moment, the lesser goes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Target {
    /// A condition.
    Condition(u32),
    /// The silence of a point.
    Watch(u32),
    /// The next moment at which something is set aside, or is not any more.
    Mutes,
}

/// A timer in listening time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Timer {
    pub(super) due: i64,
    pub(super) target: Target,
}

#[derive(Debug, Default)]
pub(super) struct Timers(BinaryHeap<Reverse<Timer>>);

impl Timers {
    /// Sets a timer unless `live`, its owner's live timer, comes first: that one will find the later
    /// deadline when it fires.
    #[inline]
    pub(super) fn set(&mut self, live: &mut Option<i64>, due: i64, target: Target) {
        if live.is_none_or(|live| due < live) {
            *live = Some(due);
            self.push(due, target);
        }
    }

    pub(super) fn push(&mut self, due: i64, target: Target) {
        self.0.push(Reverse(Timer { due, target }));
    }

    #[inline]
    pub(super) fn pop_due(&mut self, now: i64) -> Option<Timer> {
        let due = self.0.peek()?.0.due <= now;
        due.then(|| self.0.pop().expect("it was peeked at").0)
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn held_bytes(&self) -> usize {
        self.0.capacity() * size_of::<Timer>()
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }
}
