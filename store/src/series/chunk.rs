//! Chunks: a run of samples of one series within one UTC day, compressed column by column.

use domain::{Sample, UtcMillis};
use pco::{
    ChunkConfig, DeltaSpec, ModeSpec,
    standalone::{simple_compress, simple_decompress},
};

/// The length of a UTC day in milliseconds.
pub(super) const DAY_MS: i64 = 86_400_000;

/// The most samples in one chunk: bounds what a reader decodes at once (2 MiB).
pub(super) const MAX_CHUNK: usize = 131_072;

/// How hard to compress.
#[derive(Debug, Clone, Copy)]
pub(super) enum Effort {
    /// While flushing: the chunk will be rewritten when its day closes.
    Quick,
    /// For a closed day: written once, kept for months.
    Thorough,
}

/// The UTC day of a moment, counted from 1970-01-01.
pub(super) fn day_of(at: UtcMillis) -> i64 {
    at.0.div_euclid(DAY_MS)
}

/// What a chunk says about its samples without being decoded.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Summary {
    pub(super) from: UtcMillis,
    /// The last sample's time, inside.
    pub(super) to: UtcMillis,
    pub(super) count: u32,
    pub(super) min: f64,
    pub(super) max: f64,
    pub(super) sum: f64,
    pub(super) last: f64,
    /// The longest time from one sample to the next, in milliseconds; 0 for a single one. Chunks of an older
    /// version do not say.
    pub(super) gap_ms: Option<i64>,
}

/// One encoded chunk, ready to be written.
#[derive(Debug)]
pub(super) struct Chunk {
    pub(super) series: u32,
    pub(super) day: i64,
    pub(super) summary: Summary,
    pub(super) times: Vec<u8>,
    pub(super) values: Vec<u8>,
}

impl Chunk {
    /// Guards both columns: neither the database nor the compression notices a flipped bit.
    pub(super) fn checksum(&self) -> u32 {
        checksum(&self.times, &self.values)
    }
}

fn checksum(times: &[u8], values: &[u8]) -> u32 {
    let mut crc = crc32fast::Hasher::new();
    crc.update(times);
    crc.update(values);
    crc.finalize()
}

/// Puts samples given in order of arrival into order of time. Of several at one moment the one that
/// arrived last stays.
pub(super) fn settle(samples: &mut Vec<Sample>) {
    if samples.windows(2).all(|pair| pair[0].at < pair[1].at) {
        return;
    }
    samples.sort_by_key(|s| s.at);
    // `dedup_by` keeps the first of equals, so the later one is copied over it before it goes.
    samples.dedup_by(|later, kept| {
        let same = later.at == kept.at;
        if same {
            *kept = *later;
        }
        same
    });
}

/// Encodes settled samples of one series, one chunk per day (more only beyond [`MAX_CHUNK`]).
pub(super) fn encode(series: u32, samples: &[Sample], effort: Effort, into: &mut Vec<Chunk>) {
    for of_day in samples.chunk_by(|a, b| day_of(a.at) == day_of(b.at)) {
        for run in of_day.chunks(MAX_CHUNK) {
            into.push(encode_run(series, run, effort));
        }
    }
}

fn encode_run(series: u32, run: &[Sample], effort: Effort) -> Chunk {
    let level = match effort {
        Effort::Quick => 4,
        Effort::Thorough => 8,
    };
    let config = ChunkConfig::default().with_compression_level(level);
    let of_times = match effort {
        // What finding out would find for nearly every clock; for short chunks finding out is half of the work.
        Effort::Quick => config
            .clone()
            .with_mode_spec(ModeSpec::Classic)
            .with_delta_spec(DeltaSpec::TryConsecutive(1)),
        Effort::Thorough => config.clone(),
    };
    let times: Vec<i64> = run.iter().map(|s| s.at.0).collect();
    let values: Vec<f64> = run.iter().map(|s| s.value).collect();
    let (first, last) = (run[0], run[run.len() - 1]);
    Chunk {
        series,
        day: day_of(first.at),
        summary: Summary {
            from: first.at,
            to: last.at,
            count: u32::try_from(run.len()).expect("a chunk holds at most MAX_CHUNK samples"),
            min: values.iter().copied().fold(f64::INFINITY, f64::min),
            max: values.iter().copied().fold(f64::NEG_INFINITY, f64::max),
            sum: values.iter().sum(),
            last: last.value,
            gap_ms: Some(longest_gap(run)),
        },
        times: simple_compress(&times, &of_times).expect("the level is one that pco knows"),
        values: simple_compress(&values, &config).expect("the level is one that pco knows"),
    }
}

fn longest_gap(run: &[Sample]) -> i64 {
    let gaps = run.windows(2).map(|pair| pair[1].at.ms_since(pair[0].at));
    gaps.max().unwrap_or_default()
}

/// Decodes a chunk and checks it against its checksum and summary. The error says what is wrong.
pub(super) fn decode(
    times: &[u8],
    values: &[u8],
    crc: u32,
    summary: &Summary,
) -> Result<Vec<Sample>, &'static str> {
    if checksum(times, values) != crc {
        return Err("a chunk's checksum does not match");
    }
    let (Ok(times), Ok(values)) = (simple_decompress::<i64>(times), simple_decompress::<f64>(values)) else {
        return Err("a chunk cannot be decompressed");
    };
    let count = usize::try_from(summary.count).expect("u32 fits usize");
    let spans = times.first() == Some(&summary.from.0) && times.last() == Some(&summary.to.0);
    if times.len() != count || values.len() != count || !spans {
        return Err("a chunk does not hold the samples its row announces");
    }
    Ok(times
        .into_iter()
        .zip(values)
        .map(|(at, value)| Sample {
            at: UtcMillis(at),
            value,
        })
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn samples(pairs: &[(i64, f64)]) -> Vec<Sample> {
        pairs
            .iter()
            .map(|&(at, value)| Sample {
                at: UtcMillis(at),
                value,
            })
            .collect()
    }

    #[test]
    fn settling_orders_by_time_and_keeps_the_latest_arrival() {
        type Pairs = [(i64, f64)];
        let cases: [(&Pairs, &Pairs); 4] = [
            (&[], &[]),
            (&[(1, 1.0), (2, 2.0)], &[(1, 1.0), (2, 2.0)]),
            (&[(2, 2.0), (1, 1.0)], &[(1, 1.0), (2, 2.0)]),
            (&[(1, 1.0), (2, 2.0), (1, 3.0), (1, 4.0)], &[(1, 4.0), (2, 2.0)]),
        ];
        for (given, want) in cases {
            let mut got = samples(given);
            settle(&mut got);
            assert_eq!(got, samples(want));
        }
    }

    #[test]
    fn a_chunk_reads_back_and_days_are_kept_apart() {
        let given = samples(&[(-1, 0.5), (0, 4.1), (7, -3.0), (DAY_MS - 1, 4.1), (DAY_MS, 9.0)]);
        let mut chunks = Vec::new();
        encode(7, &given, Effort::Quick, &mut chunks);
        assert_eq!(chunks.iter().map(|c| c.day).collect::<Vec<_>>(), [-1, 0, 1]);
        let middle = &chunks[1].summary;
        assert_eq!(
            (middle.count, middle.min, middle.max, middle.last),
            (3, -3.0, 4.1, 4.1)
        );
        assert_eq!(middle.gap_ms, Some(DAY_MS - 8));
        let back: Vec<Sample> = chunks
            .iter()
            .flat_map(|c| decode(&c.times, &c.values, c.checksum(), &c.summary).unwrap())
            .collect();
        assert_eq!(back, given);
    }

    #[test]
    fn a_flipped_bit_is_noticed() {
        let given = samples(&[(1, 1.5), (2, 2.5), (3, 1.25)]);
        let mut chunks = Vec::new();
        encode(1, &given, Effort::Thorough, &mut chunks);
        let chunk = &chunks[0];
        let crc = chunk.checksum();
        for bit in 0..chunk.values.len() * 8 {
            let mut broken = chunk.values.clone();
            broken[bit / 8] ^= 1 << (bit % 8);
            assert!(
                decode(&chunk.times, &broken, crc, &chunk.summary).is_err(),
                "bit {bit}"
            );
        }
    }
}
