//! What was turned away: a counter per reason and the latest few, for the person who connects a device.

use std::{
    collections::VecDeque,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use domain::{
    Clock, IdentityName,
    status::{Refusal, RefusalReason},
};

/// The most refusals kept; an older one makes room.
const KEPT: usize = 256;
/// The most bytes of a topic, filter or name that a refusal repeats.
const DETAIL_BYTES: usize = 160;

#[derive(Debug)]
pub(crate) struct Refusals {
    clock: Clock,
    counts: [AtomicU64; RefusalReason::ALL.len()],
    latest: Mutex<VecDeque<Refusal>>,
}

impl Refusals {
    pub(crate) fn new(clock: Clock) -> Refusals {
        Refusals {
            clock,
            counts: Default::default(),
            latest: Mutex::default(),
        }
    }

    pub(crate) fn record(&self, identity: Option<&IdentityName>, reason: RefusalReason, detail: &str) {
        if let Some(i) = RefusalReason::ALL.iter().position(|r| *r == reason) {
            self.counts[i].fetch_add(1, Ordering::Relaxed);
        }
        let refusal = Refusal {
            identity: identity.cloned(),
            at: self.clock.now(),
            reason,
            detail: bounded(detail),
        };
        let mut latest = self.latest.lock().unwrap_or_else(PoisonError::into_inner);
        if latest.len() == KEPT {
            latest.pop_front();
        }
        latest.push_back(refusal);
    }

    pub(crate) fn counts(&self) -> Vec<(&'static str, u64)> {
        let pairs = RefusalReason::ALL.iter().zip(&self.counts);
        pairs
            .map(|(reason, n)| (reason.code(), n.load(Ordering::Relaxed)))
            .collect()
    }

    pub(crate) fn latest(&self) -> Vec<Refusal> {
        self.latest
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .iter()
            .cloned()
            .collect()
    }
}

/// `text` cut at a character boundary, with control characters replaced.
pub(crate) fn bounded(text: &str) -> String {
    let mut end = text.len().min(DETAIL_BYTES);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    let mut out: String = text[..end]
        .chars()
        .map(|c| {
            if c.is_control() {
                char::REPLACEMENT_CHARACTER
            } else {
                c
            }
        })
        .collect();
    if end < text.len() {
        out.push('…');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_latest_are_kept_and_all_are_counted() {
        let refusals = Refusals::new(Clock::simulated(domain::UtcMillis(7)));
        for i in 0..KEPT + 10 {
            refusals.record(None, RefusalReason::PublishDenied, &format!("t/{i}"));
        }
        let latest = refusals.latest();
        assert_eq!((latest.len(), latest[0].detail.as_str()), (KEPT, "t/10"));
        assert!(refusals.counts().contains(&("publish_denied", KEPT as u64 + 10)));
        assert!(refusals.counts().contains(&("expired", 0)));
    }

    #[test]
    fn a_detail_is_bounded_and_printable() {
        assert_eq!(bounded("a\nb"), "a\u{fffd}b");
        assert!(bounded(&"厨".repeat(500)).len() <= DETAIL_BYTES + 3);
    }
}
