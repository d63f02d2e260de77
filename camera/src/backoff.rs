//! How long to wait before a camera is connected again.

use std::{
    hash::{BuildHasher, RandomState},
    time::Duration,
};

use domain::sight::CameraFault;
use rand::{Rng, SeedableRng, rngs::SmallRng};

/// Between which bounds the waits lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BackoffLimits {
    /// The bound of the first wait; it doubles with each failure.
    pub first: Duration,
    /// The bound that it never passes.
    pub most: Duration,
    /// The wait after a wrong password: cameras lock an account after a handful of wrong tries.
    pub after_refusal: Duration,
}

impl Default for BackoffLimits {
    /// 250 ms, 3 s, and a minute after a wrong password. With a key frame every second or two that brings a judged
    /// picture within 5 s of the moment at which the camera is there again.
    fn default() -> BackoffLimits {
        BackoffLimits {
            first: Duration::from_millis(250),
            most: Duration::from_secs(3),
            after_refusal: Duration::from_secs(60),
        }
    }
}

/// Waits that grow with each failure, drawn at random between nothing and the bound: cameras behind a switch that
/// came back are not all connected in the same moment.
#[derive(Debug)]
pub struct Backoff {
    limits: BackoffLimits,
    failures: u32,
    dice: SmallRng,
}

impl Backoff {
    /// Begins at the first wait.
    #[must_use]
    pub fn new(limits: BackoffLimits) -> Backoff {
        // The seed of a hash table differs from table to table, which is all that jitter needs.
        let seed = RandomState::new().hash_one(0);
        Backoff {
            limits,
            failures: 0,
            dice: SmallRng::seed_from_u64(seed),
        }
    }

    /// The connection proved good: the next failure is a first one.
    pub fn reset(&mut self) {
        self.failures = 0;
    }

    /// How long to wait after another failure.
    pub fn next(&mut self, fault: CameraFault) -> Duration {
        let bound = self.bound(fault);
        self.failures = self.failures.saturating_add(1);
        if fault == CameraFault::Auth {
            return bound;
        }
        self.dice.random_range(Duration::ZERO..=bound)
    }

    fn bound(&self, fault: CameraFault) -> Duration {
        if fault == CameraFault::Auth {
            return self.limits.after_refusal;
        }
        let factor = 2_u32.saturating_pow(self.failures.min(31));
        self.limits.first.saturating_mul(factor).min(self.limits.most)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_the_cap_and_begin_anew() {
        let mut backoff = Backoff::new(BackoffLimits::default());
        let mut bounds = Vec::new();
        for _ in 0..7 {
            let bound = backoff.bound(CameraFault::Unreachable);
            assert!(backoff.next(CameraFault::Unreachable) <= bound);
            bounds.push(bound.as_millis());
        }
        assert_eq!(bounds, [250, 500, 1000, 2000, 3000, 3000, 3000]);
        backoff.reset();
        assert_eq!(backoff.bound(CameraFault::Timeout).as_millis(), 250);
    }

    #[test]
    fn no_number_of_failures_passes_the_cap() {
        let mut backoff = Backoff::new(BackoffLimits::default());
        backoff.failures = u32::MAX;
        assert!(backoff.next(CameraFault::Protocol) <= Duration::from_secs(3));
        assert_eq!(backoff.failures, u32::MAX);
    }

    #[test]
    fn waits_differ_from_camera_to_camera() {
        let draw = || {
            let mut backoff = Backoff::new(BackoffLimits::default());
            (0..8)
                .map(|_| backoff.next(CameraFault::Unreachable))
                .collect::<Vec<_>>()
        };
        assert_ne!(draw(), draw());
    }

    #[test]
    fn a_wrong_password_is_not_tried_again_at_once() {
        let mut backoff = Backoff::new(BackoffLimits::default());
        assert_eq!(backoff.next(CameraFault::Auth), Duration::from_secs(60));
    }
}
