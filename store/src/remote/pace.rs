//! How long is waited before something is tried again.

use std::time::Duration;

use rand::Rng;

/// Bounds of the waiting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    /// About how long after the first failure.
    pub first: Duration,
    /// The longest that we choose to wait. A server may ask for longer.
    pub longest: Duration,
}

impl Default for Pace {
    fn default() -> Pace {
        Pace {
            first: Duration::from_millis(500),
            longest: Duration::from_secs(60),
        }
    }
}

impl Pace {
    /// The pause after `failures` failures in a row: twice as long each time, and by chance between half of that and
    /// all of it, so that many installations do not come back at one moment. What the server asked for counts if it
    /// is longer.
    pub(super) fn pause(self, failures: u32, asked: Option<Duration>, chance: &mut impl Rng) -> Duration {
        let doubled = self.first.saturating_mul(1 << failures.saturating_sub(1).min(16));
        let most = doubled.min(self.longest);
        let ours = most.mul_f64(chance.random_range(0.5..=1.0));
        ours.max(asked.unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use rand::{SeedableRng, rngs::SmallRng};

    use super::*;

    #[test]
    fn pauses_grow_to_a_bound_vary_and_honour_what_was_asked() {
        let mut chance = SmallRng::seed_from_u64(1);
        let pace = Pace::default();
        let mut seen = std::collections::BTreeSet::new();
        for failures in 1..200_u32 {
            let most = Duration::from_millis(500 << (failures - 1).min(16)).min(pace.longest);
            let pause = pace.pause(failures, None, &mut chance);
            assert!(pause >= most / 2 && pause <= most, "{failures}: {pause:?}");
            seen.insert(pause);
        }
        assert!(seen.len() > 100, "they differ");
        let asked = Some(Duration::from_secs(300));
        assert_eq!(pace.pause(1, asked, &mut chance), Duration::from_secs(300));
        let short = Some(Duration::from_millis(1));
        assert!(pace.pause(1, short, &mut chance) >= Duration::from_millis(250));
    }
}
