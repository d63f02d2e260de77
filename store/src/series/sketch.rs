//! Quantiles of many hours from what each of them noted: DDSketch, whose bins add up.
//!
//! A bin is a span of values of about 2 % width, so that its middle lies within 1 % of everything in it. Minutes and hours
//! keep their bins by number ([`bin_of`]); a query adds those of all its hours to one sketch and asks for the rank.

use std::collections::BTreeMap;

use sketches_ddsketch::{Config, DDSketch};

use super::query::nearest_rank;

/// How far a quantile may be off, of its value.
const RELATIVE_ERROR: f64 = 0.01;

/// What is nearer to zero counts as zero.
const SMALLEST: f64 = 1e-9;

/// From the smallest to the largest finite value there are about 36,600 bins: with as many allowed, none is ever
/// merged with another, which would spoil the accuracy. Memory is taken only between the least and greatest in use.
const MOST_BINS: u32 = 40_000;

/// Moves the numbers of positive bins above zero, so that the sign is free for negative values.
const SHIFT: i32 = 10_000;

fn config() -> Config {
    Config::new(RELATIVE_ERROR, MOST_BINS, SMALLEST)
}

/// Counts values by their bins.
pub(super) struct Bins {
    config: Config,
    counts: BTreeMap<i32, u32>,
}

impl Bins {
    pub(super) fn new() -> Bins {
        Bins {
            config: config(),
            counts: BTreeMap::new(),
        }
    }

    pub(super) fn add(&mut self, value: f64) {
        *self.counts.entry(bin_of(&self.config, value)).or_default() += 1;
    }

    /// The number of the bin that a value falls into.
    pub(super) fn number_of(&self, value: f64) -> i32 {
        bin_of(&self.config, value)
    }

    /// The bins by number, which is by value, and empties this.
    pub(super) fn take(&mut self) -> Vec<(i32, u32)> {
        std::mem::take(&mut self.counts).into_iter().collect()
    }
}

/// The number of a value's bin: greater for greater values, 0 for zero.
fn bin_of(config: &Config, value: f64) -> i32 {
    let size = value.abs();
    if size > config.min_possible() {
        let number = config.key(size) + SHIFT;
        if value < 0.0 { -number } else { number }
    } else {
        0
    }
}

/// The bins of many hours, added up.
pub(super) struct Sketch {
    config: Config,
    sketch: DDSketch,
    count: u64,
}

impl Sketch {
    pub(super) fn new() -> Sketch {
        let config = config();
        Sketch {
            config,
            sketch: DDSketch::new(config),
            count: 0,
        }
    }

    /// Adds what one hour noted.
    pub(super) fn add_bins(&mut self, bins: &[(i32, u32)]) {
        for &(number, count) in bins {
            self.add_many(self.value_of(number), count);
        }
    }

    /// Adds one value.
    pub(super) fn add(&mut self, value: f64) {
        self.add_many(value, 1);
    }

    fn add_many(&mut self, value: f64, count: u32) {
        // The middle of the outermost bin may lie beyond the largest number there is.
        let value = value.clamp(-f64::MAX, f64::MAX);
        self.sketch.add_with_count(value, u64::from(count));
        self.count += u64::from(count);
    }

    fn value_of(&self, number: i32) -> f64 {
        let value = |number: i32| self.config.value(number - SHIFT);
        match number {
            0 => 0.0,
            1.. => value(number),
            _ => -value(-number),
        }
    }

    /// The value with the nearest rank, within 1 %; it lies between the extremes, which are known exactly.
    #[expect(
        clippy::cast_precision_loss,
        reason = "ranks are far below 2^52, and half a rank is kept clear of both neighbours"
    )]
    pub(super) fn quantile(&self, percent: u32, min: f64, max: f64) -> f64 {
        let rank = nearest_rank(percent, self.count);
        if rank + 1 >= self.count {
            return max;
        }
        // The crate asks for the rank `q * (n - 1)`, rounded down.
        let share = (rank as f64 + 0.5) / (self.count - 1) as f64;
        match self.sketch.quantile(share) {
            Ok(Some(value)) => value.clamp(min, max),
            // Neither happens: the share lies between 0 and 1, and something was counted.
            Ok(None) | Err(_) => max,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quantile_lies_within_one_percent_of_the_nearest_rank() {
        let spread = |n: i32| f64::from(n * 7_919 % 1_000);
        let cases: [Vec<f64>; 6] = [
            (0..1_000).map(spread).collect(),
            (0..500).map(|n| (spread(n) - 500.0) / 10.0).collect(),
            (0..300)
                .map(|n| 10_f64.powi(n - 150) * if n % 2 == 0 { 1.0 } else { -1.0 })
                .collect(),
            vec![0.0; 10],
            vec![f64::MAX, -f64::MAX, 0.0, 1.0, f64::MAX / 2.0],
            vec![-4.25],
        ];
        for mut values in cases {
            // By halves: what two hours noted adds up.
            let mut sketch = Sketch::new();
            for half in values.chunks(values.len().div_ceil(2)) {
                let mut bins = Bins::new();
                half.iter().for_each(|value| bins.add(*value));
                sketch.add_bins(&bins.take());
            }
            values.sort_by(f64::total_cmp);
            let (min, max) = (values[0], values[values.len() - 1]);
            for percent in [50, 95, 99] {
                let want = values[nearest_rank(percent, values.len() as u64) as usize];
                let got = sketch.quantile(percent, min, max);
                let allowed = want.abs() * RELATIVE_ERROR * 1.000_001 + SMALLEST;
                assert!(
                    (got - want).abs() <= allowed,
                    "p{percent} of {values:?}: {got}, not {want}"
                );
            }
        }
    }

    #[test]
    fn bins_are_in_the_order_of_their_values_and_survive_the_way_back() {
        let config = config();
        let mut last = i32::MIN;
        let sizes = (-9..308).map(|n| 1.7 * 10_f64.powi(n));
        let mut values: Vec<f64> = sizes.flat_map(|size| [size, -size]).chain([0.0]).collect();
        values.sort_by(f64::total_cmp);
        let sketch = Sketch::new();
        for value in values {
            let bin = bin_of(&config, value);
            assert!(bin > last, "{value}");
            assert_eq!(bin_of(&config, sketch.value_of(bin)), bin, "{value}");
            last = bin;
        }
    }
}
