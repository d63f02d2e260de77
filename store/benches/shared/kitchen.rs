//! Sensors of kitchens, and what a run costs: shared by the benches.

use domain::{DeviceId, FacilityId, Metric, Quality, Reading, SeriesId, SeriesKey, UtcMillis};
use rand::{Rng, SeedableRng, rngs::SmallRng};
use sunshine_store::SeriesStore;

pub(crate) const DAY_MS: i64 = 86_400_000;
pub(crate) const START: i64 = 20_000 * DAY_MS;

pub(crate) fn resolve(store: &SeriesStore, count: usize) -> Vec<SeriesId> {
    let key = |n: usize| SeriesKey {
        facility: FacilityId::new(&format!("facility-{}", n / 50)).expect("valid"),
        device: DeviceId::new(&format!("device-{n}")).expect("valid"),
        metric: Metric::new("temperature").expect("valid"),
    };
    (0..count)
        .map(|n| store.resolve(&key(n)).expect("below the limit"))
        .collect()
}

/// A sensor: a refrigerator's cycle, a slow drift or a switch, to a tenth, a little late or early.
pub(crate) struct Sensor {
    series: SeriesId,
    random: SmallRng,
    level: f64,
    period: f64,
}

impl Sensor {
    pub(crate) fn new(series: SeriesId) -> Sensor {
        let mut random = SmallRng::seed_from_u64(u64::from(series.0));
        let period = random.random_range(90.0..150.0);
        Sensor {
            series,
            random,
            level: 0.0,
            period,
        }
    }

    pub(crate) fn next(&mut self, tick: i64, interval_ms: i64) -> Reading {
        let noise: f64 = (0..6).map(|_| self.random.random::<f64>() - 0.5).sum();
        let value = match self.series.0 % 4 {
            0 => {
                let phase = (tick as f64 / self.period).fract();
                let cycle = if phase < 0.6 {
                    phase / 0.6
                } else {
                    (1.0 - phase) / 0.4
                };
                tenth(3.0 + 3.0 * cycle + 0.14 * noise)
            }
            1 => {
                self.level = (self.level + 0.07 * noise) * 0.999;
                tenth(60.0 + self.level + 0.2 * noise)
            }
            2 => tenth(22.0 + 3.0 * (tick as f64 * 0.0007).sin() + 0.14 * noise),
            _ => {
                if self.random.random_bool(0.005) {
                    self.level = 1.0 - self.level;
                }
                self.level
            }
        };
        let at = UtcMillis(START + tick * interval_ms + self.random.random_range(-20..=20) + 500);
        Reading {
            series: self.series,
            at,
            received: at,
            value,
            quality: Quality::Good,
        }
    }
}

pub(crate) fn tenth(value: f64) -> f64 {
    (value * 10.0).round() / 10.0
}

/// Ticks of all series, in the order in which they would arrive.
pub(crate) fn readings(series: &[SeriesId], ticks: i64, interval_ms: i64) -> Vec<Reading> {
    let mut sensors: Vec<Sensor> = series.iter().map(|id| Sensor::new(*id)).collect();
    (0..ticks)
        .flat_map(|tick| {
            sensors
                .iter_mut()
                .map(|s| s.next(tick, interval_ms))
                .collect::<Vec<_>>()
        })
        .collect()
}

/// Processor time of this thread, in seconds.
pub(crate) fn thread_seconds() -> f64 {
    schedule(0)
}

/// A figure of the scheduler about this thread, in seconds: 0 is its processor time, 1 for how long it was ready to run
/// while others had the processors.
pub(crate) fn schedule(field: usize) -> f64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    text.split(' ')
        .nth(field)
        .and_then(|ns| ns.parse::<f64>().ok())
        .map_or(f64::NAN, |ns| ns / 1e9)
}

/// A line of the process' status, in MiB.
pub(crate) fn memory(line: &str) -> u64 {
    let text = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let value = text
        .lines()
        .find_map(|l| l.strip_prefix(line)?.strip_prefix(':')?.split_whitespace().next());
    value.and_then(|kib| kib.parse::<u64>().ok()).unwrap_or_default() / 1024
}
