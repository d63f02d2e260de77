//! What came in the last ten seconds.

use domain::UtcMillis;

/// Whole seconds that are looked back.
const SECONDS: i64 = 10;

/// Bytes of a packet, about: the network's limit less headers. Loss is told in packets, frames in bytes.
const PACKET_BYTES: usize = 1_400;

/// Counts by whole seconds, the last [`SECONDS`] of them and the current one.
#[derive(Debug, Clone, Default)]
pub(super) struct Rate {
    counts: [Count; SECONDS as usize + 1],
    /// The second of the first frame since the last long silence.
    first: Option<i64>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Count {
    second: i64,
    frames: u32,
    bytes: u64,
    packets: u64,
    lost: u64,
}

/// What came per second.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(super) struct Rates {
    pub(super) fps: f32,
    pub(super) kbps: f32,
    pub(super) loss_percent: f32,
}

fn second_of(at: UtcMillis) -> i64 {
    at.0.div_euclid(1_000)
}

impl Rate {
    pub(super) fn add(&mut self, at: UtcMillis, bytes: usize, lost: u32) {
        let second = second_of(at);
        let silent = |count: &Count| count.frames == 0 || !in_view(count.second, second + 1);
        if self.first.is_none_or(|first| first > second) || self.counts.iter().all(silent) {
            self.first = Some(second);
        }
        let count = &mut self.counts[second.rem_euclid(SECONDS + 1) as usize];
        if count.second != second {
            *count = Count {
                second,
                ..Count::default()
            };
        }
        count.frames = count.frames.saturating_add(1);
        count.bytes += bytes as u64;
        count.packets += bytes.div_ceil(PACKET_BYTES).max(1) as u64;
        count.lost += u64::from(lost);
    }

    /// Over the whole seconds before the current one, as many as there have been since frames came, at most ten.
    pub(super) fn at(&self, now: UtcMillis) -> Rates {
        let now = second_of(now);
        let Some(first) = self.first else {
            return Rates::default();
        };
        let seconds = (now - first).clamp(1, SECONDS) as f32;
        let seen = self.counts.iter().filter(|count| in_view(count.second, now));
        let (mut frames, mut bytes, mut packets, mut lost) = (0u64, 0u64, 0u64, 0u64);
        for count in seen {
            frames += u64::from(count.frames);
            bytes += count.bytes;
            packets += count.packets;
            lost += count.lost;
        }
        Rates {
            fps: frames as f32 / seconds,
            kbps: bytes as f32 * 8.0 / 1_000.0 / seconds,
            loss_percent: lost as f32 * 100.0 / (lost + packets).max(1) as f32,
        }
    }
}

/// Whether a second is one of the ten before `now`.
fn in_view(second: i64, now: i64) -> bool {
    (now - SECONDS..now).contains(&second)
}
