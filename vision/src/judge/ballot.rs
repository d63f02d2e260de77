//! The vote on one check of one subject: a person, an object, or a part of the picture.

use std::collections::VecDeque;

use domain::{CheckSetting, UtcMillis, check::Vote, observation::Tally};

/// After so long without a look that could be judged, in milliseconds, what was known is known no more.
const LOOK_GAP_MS: i64 = 30_000;

/// The most looks that a vote may ask for.
const MAX_LOOKS: u8 = 32;

/// What it takes to be sure.
#[derive(Debug, Clone, Copy)]
pub(super) struct Terms {
    needed: usize,
    of: usize,
    pub(super) min_ms: i64,
}

impl Terms {
    /// The terms of a setting; a vote that makes no sense is brought to the next one that does.
    pub(super) fn of(setting: &CheckSetting) -> Terms {
        let Vote { needed, of } = setting.vote;
        let needed = needed.clamp(1, MAX_LOOKS);
        Terms {
            needed: usize::from(needed),
            of: usize::from(of.clamp(needed, MAX_LOOKS)),
            min_ms: i64::from(setting.min_duration_s) * 1_000,
        }
    }
}

/// The last looks at one subject, and what they come to. At most 32 are kept.
///
/// It *leans* to a finding while the share of positive looks is at least the share that the vote asks for. A finding is
/// *sure* once it has leaned for the minimum duration and as many looks as needed are positive; it stays sure until
/// that share has halved, so that one that hovers at the limit is one finding.
#[derive(Debug, Clone, Default)]
pub(super) struct Ballot {
    /// Whether each was positive, and how sure the model was of that.
    looks: VecDeque<(bool, f32)>,
    judged_at: Option<UtcMillis>,
    /// Since when it leans to a finding.
    leaning: Option<UtcMillis>,
    sure: bool,
    tally: Tally,
}

impl Ballot {
    /// A look that could be judged.
    pub(super) fn judged(&mut self, at: UtcMillis, (positive, probability): (bool, f32), terms: Terms) {
        self.forget_if_stale(at);
        self.judged_at = Some(at);
        self.looks.push_back((positive, probability));
        while self.looks.len() > terms.of {
            self.looks.pop_front();
        }
        let positives = self.looks.iter().filter(|(positive, _)| *positive).count();
        let share_of =
            |times: usize| positives > 0 && times * positives * terms.of >= terms.needed * self.looks.len();
        if self.sure {
            self.sure = share_of(2);
        }
        if !(self.sure || share_of(1)) {
            self.leaning = None;
            self.tally = Tally::default();
            return;
        }
        let since = *self.leaning.get_or_insert(at);
        self.tally.judged = self.tally.judged.saturating_add(1);
        self.tally.positive = self.tally.positive.saturating_add(u32::from(positive));
        let long_enough = at.ms_since(since) >= terms.min_ms;
        // What begins by a look that shows it not would be told with a picture that shows nothing.
        self.sure |= positive && positives >= terms.needed && long_enough && share_of(1);
    }

    /// A look that could not be judged. It says nothing for or against.
    pub(super) fn unjudged(&mut self, at: UtcMillis) {
        self.forget_if_stale(at);
        if self.leaning.is_some() {
            self.tally.unjudged = self.tally.unjudged.saturating_add(1);
        }
    }

    /// Forgets everything when the last look that could be judged is long ago.
    pub(super) fn forget_if_stale(&mut self, at: UtcMillis) {
        if self.judged_at.is_some_and(|last| at.ms_since(last) > LOOK_GAP_MS) {
            *self = Ballot::default();
        }
    }

    /// Since when it holds, once that is sure.
    pub(super) fn sure_since(&self) -> Option<UtcMillis> {
        self.leaning.filter(|_| self.sure)
    }

    /// Whether it leans to a finding, sure or not.
    pub(super) fn leans(&self) -> bool {
        self.leaning.is_some()
    }

    pub(super) fn is_sure(&self) -> bool {
        self.sure
    }

    /// When it was last judged.
    pub(super) fn judged_at(&self) -> Option<UtcMillis> {
        self.judged_at
    }

    /// The looks since it leans.
    pub(super) fn tally(&self) -> Tally {
        self.tally
    }

    /// The mean probability of the positive looks, 0 to 1.
    pub(super) fn score(&self) -> f32 {
        let positives = self.looks.iter().filter(|(positive, _)| *positive);
        let (count, sum) = positives.fold((0_u8, 0.0), |(n, sum), (_, p)| (n + 1, sum + p));
        if count == 0 {
            0.0
        } else {
            (sum / f32::from(count)).clamp(0.0, 1.0)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn terms(needed: usize, of: usize, min_s: i64) -> Terms {
        Terms {
            needed,
            of,
            min_ms: min_s * 1_000,
        }
    }

    /// Looks a second apart: `+` positive, `-` negative, `?` unjudged, ` ` none. Returns when it was sure, as text.
    fn check(terms: Terms, looks: &str, want: &str) {
        let mut ballot = Ballot::default();
        let mut sure = String::new();
        for (second, look) in looks.chars().enumerate() {
            let at = UtcMillis(second as i64 * 1_000);
            match look {
                '+' => ballot.judged(at, (true, 0.9), terms),
                '-' => ballot.judged(at, (false, 0.1), terms),
                '?' => ballot.unjudged(at),
                _ => ballot.forget_if_stale(at),
            }
            sure.push(if ballot.sure_since().is_some() { 'S' } else { '.' });
        }
        assert_eq!(sure, want, "{looks}");
    }

    #[test]
    fn a_finding_needs_votes_and_time_and_ends_later_than_it_begins() {
        check(terms(3, 3, 0), "+++---", "..SS..");
        check(terms(3, 3, 5), "++++++++", ".....SSS");
        check(terms(3, 3, 5), "+++-+++", ".......");
        check(terms(6, 10, 5), "++++++-+-+-+---", ".....SSSSSSSSSS");
        check(terms(6, 10, 0), "++++++---------", ".....SSSSSSSS..");
        check(terms(2, 3, 0), "+-+++", "..SSS");
        check(terms(1, 1, 2), "+++-", "..S.");
        check(terms(2, 3, 2), "-+++-+", ".....S");
    }

    #[test]
    fn what_could_not_be_judged_says_nothing() {
        check(terms(1, 1, 0), "?????", ".....");
        check(terms(3, 3, 0), "+?+?+", "....S");
        check(terms(1, 1, 0), "+???", "SSSS");
        let mut ballot = Ballot::default();
        for (second, judged) in [(0, true), (1, false), (2, true)] {
            let at = UtcMillis(second * 1_000);
            if judged {
                ballot.judged(at, (true, 0.8), terms(2, 2, 0));
            } else {
                ballot.unjudged(at);
            }
        }
        let tally = Tally {
            judged: 2,
            positive: 2,
            unjudged: 1,
        };
        assert_eq!((ballot.tally(), ballot.score()), (tally, 0.8));
        assert_eq!(ballot.sure_since(), Some(UtcMillis(0)));
    }

    #[test]
    fn old_looks_are_forgotten() {
        let looks = format!("++{}+", " ".repeat(31));
        let want = format!("..{}.", ".".repeat(31));
        check(terms(3, 3, 0), &looks, &want);
        let looks = format!("+{}", " ".repeat(32));
        let want = format!("{}..", "S".repeat(31));
        check(terms(1, 1, 0), &looks, &want);
    }
}
