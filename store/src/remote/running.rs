//! Shares of time, added up while samples come in: however long a range is, one piece of it is in memory.

use domain::Sample;

use crate::series::{
    query::{Share, ShareQuery},
    reference,
};

/// What one series' samples come to so far.
#[derive(Debug, Default)]
pub(super) struct Running {
    /// Samples that are not counted yet, in order of time: at the end the latest one, because how long it holds shows with
    /// the one that follows it.
    samples: Vec<Sample>,
    share: Share,
}

impl Running {
    /// Where samples go that follow, in order of time, one a moment; the latest one so far is the last in it.
    pub(super) fn samples(&mut self) -> &mut Vec<Sample> {
        &mut self.samples
    }

    /// Counts what is there, except for the latest sample.
    pub(super) fn settle(&mut self, query: &ShareQuery) {
        let Some(latest) = self.samples.last().copied() else {
            return;
        };
        // A share is a sum over samples: what the latest adds by itself is taken off again.
        let all = reference::share(&self.samples, query);
        let alone = reference::share(&[latest], query);
        self.share.add(Share {
            over_ms: all.over_ms - alone.over_ms,
            known_ms: all.known_ms - alone.known_ms,
        });
        self.samples.clear();
        self.samples.push(latest);
    }

    /// The share of everything.
    pub(super) fn finish(mut self, query: &ShareQuery) -> Share {
        self.share.add(reference::share(&self.samples, query));
        self.share
    }
}

#[cfg(test)]
mod tests {
    use domain::{TimeRange, UtcMillis, rule::Comparison};
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn pieces_come_to_what_the_whole_comes_to(
            moments in prop::collection::btree_map(-200..1200_i64, -20..20_i32, 0..60),
            cuts in prop::collection::vec(0..60_usize, 0..8),
            max_hold_ms in -5..300_i64,
        ) {
            let samples: Vec<Sample> = moments
                .into_iter()
                .map(|(at, value)| Sample { at: UtcMillis(at), value: f64::from(value) })
                .collect();
            let query = ShareQuery {
                range: TimeRange { from: UtcMillis(0), to: UtcMillis(1000) },
                op: Comparison::Above,
                limit: 0.5,
                max_hold_ms,
            };
            let mut running = Running::default();
            for (index, sample) in samples.iter().enumerate() {
                running.samples().push(*sample);
                for _ in cuts.iter().filter(|cut| **cut == index) {
                    running.settle(&query);
                }
            }
            prop_assert_eq!(running.finish(&query), reference::share(&samples, &query));
        }
    }
}
