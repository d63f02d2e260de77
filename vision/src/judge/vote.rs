//! Votes: one bad picture raises nothing.

use domain::{UtcMillis, check::Vote};

/// The last judged looks of one check at one person or place.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ballot {
    vote: Vote,
    /// The newest look is the lowest bit; 1 is positive.
    looks: u32,
    judged: u8,
    /// The first positive look since the last time that none, or clearly fewer than half of the needed ones, agreed.
    since: Option<UtcMillis>,
    pub(super) last_judged: Option<UtcMillis>,
    /// The latest probability, for show.
    pub(super) score: f32,
}

impl Ballot {
    pub(super) fn new(vote: Vote) -> Ballot {
        Ballot {
            vote,
            looks: 0,
            judged: 0,
            since: None,
            last_judged: None,
            score: 0.0,
        }
    }

    /// Counts a judged look.
    pub(super) fn cast(&mut self, at: UtcMillis, positive: bool, score: f32) {
        let window = u32::MAX >> (32 - u32::from(self.vote.of));
        self.looks = ((self.looks << 1) | u32::from(positive)) & window;
        self.judged = self.judged.saturating_add(1).min(self.vote.of);
        self.last_judged = Some(at);
        self.score = score;
        let positives = self.positives();
        if positives == 0 || positives * 2 + 1 < u32::from(self.vote.needed) {
            self.since = None;
        }
        if positive && self.since.is_none() {
            self.since = Some(at);
        }
    }

    /// Since when it holds, when enough looks agree and they span at least `least_ms` milliseconds. What was seen
    /// counts, not what passed unseen: a person who was bare-headed once does not become so by waiting.
    pub(super) fn holds(&self, least_ms: i64) -> Option<UtcMillis> {
        let since = self.since?;
        let until = self.last_judged?;
        let enough = self.positives() >= u32::from(self.vote.needed);
        (enough && until.ms_since(since) >= least_ms).then_some(since)
    }

    pub(super) fn positives(&self) -> u32 {
        self.looks.count_ones()
    }

    pub(super) fn judged(&self) -> u32 {
        u32::from(self.judged)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn enough_looks_over_enough_time_hold() {
        let mut ballot = Ballot::new(Vote { needed: 3, of: 5 });
        let looks = [true, false, true, true, false, false, false, true];
        let held: Vec<Option<i64>> = looks
            .into_iter()
            .zip(0..)
            .map(|(positive, second)| {
                ballot.cast(UtcMillis(second * 1_000), positive, 0.5);
                ballot.holds(2_000).map(|since| since.0)
            })
            .collect();
        let held_at: Vec<usize> = (0..held.len()).filter(|i| held[*i].is_some()).collect();
        assert_eq!(held_at, [3, 4], "{held:?}");
        assert_eq!(held[3], Some(0));
    }

    #[test]
    fn agreement_that_is_too_young_does_not_hold() {
        let mut ballot = Ballot::new(Vote { needed: 2, of: 3 });
        ballot.cast(UtcMillis(0), true, 0.9);
        ballot.cast(UtcMillis(500), true, 0.9);
        assert_eq!(ballot.holds(1_000), None);
        ballot.cast(UtcMillis(1_000), true, 0.9);
        assert_eq!(ballot.holds(1_000), Some(UtcMillis(0)));
    }
}
