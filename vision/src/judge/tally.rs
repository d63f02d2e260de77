//! What was judged lately and what could not be: the shares that are shown beside every finding.

use std::collections::VecDeque;

use domain::{Check, UtcMillis};

use crate::seen::{PersonVerdict, RegionVerdict, Verdict};

/// How far back shares look, in milliseconds.
const LATELY_MS: i64 = 60_000;

/// The most verdicts that are kept; older ones go first.
const MAX_VERDICTS: usize = 2_048;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Positive,
    Negative,
    Unjudged,
}

/// The verdicts of the last minute.
#[derive(Debug, Clone, Default)]
pub(super) struct Recent {
    verdicts: VecDeque<(UtcMillis, Check, Kind)>,
}

impl Recent {
    pub(super) fn observe(&mut self, at: UtcMillis, people: &[PersonVerdict], regions: &[RegionVerdict]) {
        let of_people = people.iter().map(|v| (v.check, v.verdict));
        let of_regions = regions.iter().map(|v| (v.check, v.verdict));
        for (check, verdict) in of_people.chain(of_regions) {
            let kind = match verdict {
                Verdict::Positive(_) => Kind::Positive,
                Verdict::Negative(_) => Kind::Negative,
                Verdict::Unjudged(_) => Kind::Unjudged,
            };
            if self.verdicts.len() == MAX_VERDICTS {
                self.verdicts.pop_front();
            }
            self.verdicts.push_back((at, check, kind));
        }
        while self
            .verdicts
            .front()
            .is_some_and(|(then, ..)| at.ms_since(*then) > LATELY_MS)
        {
            self.verdicts.pop_front();
        }
    }

    /// How many verdicts of this check could not be given.
    pub(super) fn unjudged(&self, check: Check) -> u32 {
        let count = self
            .of(Some(check))
            .filter(|kind| *kind == Kind::Unjudged)
            .count();
        u32::try_from(count).unwrap_or(u32::MAX)
    }

    /// The share that could not be judged, 0 to 1; nothing when nothing was asked.
    pub(super) fn unjudged_share(&self) -> f64 {
        let unjudged = self.of(None).filter(|kind| *kind == Kind::Unjudged).count();
        if unjudged == 0 {
            return 0.0;
        }
        unjudged as f64 / self.verdicts.len() as f64
    }

    /// The share of judged verdicts that found nothing wrong, 0 to 1; of one check or of all. `None` when nothing was
    /// judged.
    pub(super) fn compliance_share(&self, check: Option<Check>) -> Option<f64> {
        let judged = self.of(check).filter(|kind| *kind != Kind::Unjudged).count();
        let good = self.of(check).filter(|kind| *kind == Kind::Negative).count();
        (judged > 0).then(|| good as f64 / judged as f64)
    }

    fn of(&self, check: Option<Check>) -> impl Iterator<Item = Kind> + '_ {
        self.verdicts
            .iter()
            .filter(move |(_, of, _)| check.is_none_or(|check| check == *of))
            .map(|(_, _, kind)| *kind)
    }
}
