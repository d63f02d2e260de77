//! Chance that repeats: numbers that depend on a key alone.
//!
//! A library's generator may change its stream with a version. The scripted day must not, so the few
//! lines are here.

/// Scatters the bits of `z` (the finalizer of SplitMix64).
pub(crate) const fn mix(z: u64) -> u64 {
    let z = z.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// A key made of two: different for every pair.
pub(crate) const fn key(a: u64, b: u64) -> u64 {
    mix(mix(a) ^ b.wrapping_mul(0xD6E8_FEB8_6659_FD93))
}

/// The top 53 bits as a number in 0..1.
#[expect(clippy::cast_precision_loss, reason = "53 bits fit a double exactly")]
pub(crate) fn unit(z: u64) -> f64 {
    (z >> 11) as f64 / (1u64 << 53) as f64
}

/// About normal with mean 0 and deviation 1, within ±3.5: the sum of four even 16-bit numbers.
pub(crate) fn bell(z: u64) -> f64 {
    let part = |shift: u32| f64::from(u16::try_from((z >> shift) & 0xFFFF).unwrap_or(0)) / 65_536.0;
    (part(0) + part(16) + part(32) + part(48) - 2.0) * 1.732_05
}

/// Smooth wandering in 0..1 over `position`, with a new direction about every whole step.
#[expect(
    clippy::cast_possible_truncation,
    reason = "positions are minutes since 1970: far below 2^53"
)]
pub(crate) fn wander(seed: u64, position: f64) -> f64 {
    let step = position.floor();
    let at = |n: i64| unit(key(seed, n.cast_unsigned()));
    let (left, part) = (step as i64, position - step);
    let ease = part * part * (3.0 - 2.0 * part);
    at(left) + (at(left + 1) - at(left)) * ease
}

/// A short stream of numbers from one key.
#[derive(Debug, Clone)]
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) const fn new(key: u64) -> Dice {
        Dice(mix(key))
    }

    pub(crate) fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        mix(self.0)
    }

    /// An even number in `low..high`.
    pub(crate) fn between(&mut self, low: f64, high: f64) -> f64 {
        low + unit(self.roll()) * (high - low)
    }

    /// An even whole number in `low..=high`.
    pub(crate) fn whole(&mut self, low: u32, high: u32) -> u32 {
        let span = u64::from(high.saturating_sub(low)) + 1;
        low + u32::try_from(self.roll() % span).unwrap_or(0)
    }

    pub(crate) fn chance(&mut self, share: f64) -> bool {
        unit(self.roll()) < share
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stream_never_changes() {
        let mut dice = Dice::new(7);
        let first = [dice.roll(), dice.roll()];
        let mut again = Dice::new(7);
        assert_eq!(first, [again.roll(), again.roll()]);
        assert_ne!(first[0], Dice::new(8).roll());
        // Pinned: a change here changes every recorded day.
        assert_eq!(mix(0), 0xE220_A839_7B1D_CDAF);
    }

    #[test]
    fn noise_is_centred_and_bounded() {
        let values: Vec<f64> = (0..20_000).map(|n| bell(mix(n))).collect();
        let mean = values.iter().sum::<f64>() / 20_000.0;
        let deviation = (values.iter().map(|v| v * v).sum::<f64>() / 20_000.0).sqrt();
        assert!(mean.abs() < 0.03, "{mean}");
        assert!((deviation - 1.0).abs() < 0.03, "{deviation}");
        assert!(values.iter().all(|v| v.abs() < 3.5));
        for n in 0..1000 {
            let position = f64::from(n) * 0.37 - 100.0;
            assert!((0.0..=1.0).contains(&wander(3, position)));
            assert!(
                (wander(3, position) - wander(3, position + 0.001)).abs() < 0.01,
                "jumps at {position}"
            );
        }
    }
}
