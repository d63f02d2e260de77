//! What all chunks of a finished day say about themselves, column by column in one row: a question about every series
//! of a province reads a few of these instead of a row for every series and day.

use domain::UtcMillis;
use pco::{
    ChunkConfig,
    standalone::{simple_compress, simple_decompress},
};

use super::{chunk::Summary, week::Row};

/// The chunks of a day by series, then by first moment. `rows[i]` is a chunk of `series[i]`.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Digest {
    pub(super) series: Vec<u32>,
    /// Without sums, which nobody asks of a digest: they are 0.
    pub(super) rows: Vec<Row>,
}

/// Stands for a gap that a chunk does not tell.
const NO_GAP: i64 = -1;

impl Digest {
    /// Puts the columns one after the other, each with its length before it.
    pub(super) fn pack(&self) -> Vec<u8> {
        let mut packed = Vec::new();
        let of = |what: fn(&Row) -> i64| self.rows.iter().map(what).collect::<Vec<_>>();
        let value = |what: fn(&Row) -> f64| self.rows.iter().map(what).collect::<Vec<_>>();
        put(&mut packed, &self.series);
        put(&mut packed, &of(|row| row.id));
        put(&mut packed, &of(|row| row.seq));
        put(&mut packed, &of(|row| row.summary.from.0));
        put(&mut packed, &of(|row| row.summary.to.0));
        put(&mut packed, &of(|row| i64::from(row.summary.count)));
        put(&mut packed, &of(|row| row.summary.gap_ms.unwrap_or(NO_GAP)));
        put(&mut packed, &value(|row| row.summary.min));
        put(&mut packed, &value(|row| row.summary.max));
        put(&mut packed, &value(|row| row.summary.last));
        packed
    }

    /// Reads what [`Digest::pack`] wrote; `None` when it is something else.
    pub(super) fn unpack(mut packed: &[u8]) -> Option<Digest> {
        let series: Vec<u32> = take(&mut packed)?;
        let (ids, seqs): (Vec<i64>, Vec<i64>) = (take(&mut packed)?, take(&mut packed)?);
        let (from, to): (Vec<i64>, Vec<i64>) = (take(&mut packed)?, take(&mut packed)?);
        let (counts, gaps): (Vec<i64>, Vec<i64>) = (take(&mut packed)?, take(&mut packed)?);
        let (min, max): (Vec<f64>, Vec<f64>) = (take(&mut packed)?, take(&mut packed)?);
        let last: Vec<f64> = take(&mut packed)?;
        let whole = [&ids, &seqs, &from, &to, &counts, &gaps]
            .iter()
            .all(|c| c.len() == series.len())
            && [&min, &max, &last].iter().all(|c| c.len() == series.len());
        if !whole || !packed.is_empty() {
            return None;
        }
        let row = |i: usize| {
            Some(Row {
                id: ids[i],
                seq: seqs[i],
                summary: Summary {
                    from: UtcMillis(from[i]),
                    to: UtcMillis(to[i]),
                    count: u32::try_from(counts[i]).ok()?,
                    min: min[i],
                    max: max[i],
                    sum: 0.0,
                    last: last[i],
                    gap_ms: (gaps[i] != NO_GAP).then_some(gaps[i]),
                },
            })
        };
        let rows = (0..series.len()).map(row).collect::<Option<_>>()?;
        Some(Digest { series, rows })
    }
}

fn put<T: pco::data_types::Number>(packed: &mut Vec<u8>, column: &[T]) {
    // Quick to read before all: there are few of these.
    let config = ChunkConfig::default().with_compression_level(6);
    let bytes = simple_compress(column, &config).expect("the level is one that pco knows");
    let length = u32::try_from(bytes.len()).expect("a column of a day is far smaller than 4 GiB");
    packed.extend_from_slice(&length.to_le_bytes());
    packed.extend_from_slice(&bytes);
}

fn take<T: pco::data_types::Number>(packed: &mut &[u8]) -> Option<Vec<T>> {
    let (length, rest) = packed.split_first_chunk::<4>()?;
    let length = usize::try_from(u32::from_le_bytes(*length)).ok()?;
    let (column, rest) = rest.split_at_checked(length)?;
    *packed = rest;
    simple_decompress(column).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_reads_back() {
        let row = |n: i64| Row {
            id: n * 3,
            seq: n / 2,
            summary: Summary {
                from: UtcMillis(n),
                to: UtcMillis(n + 86_000_000),
                count: 8_640,
                min: -1.5,
                max: n as f64,
                sum: 0.0,
                last: 0.1,
                gap_ms: (n % 3 != 0).then_some(n),
            },
        };
        for count in [0, 1, 500] {
            let digest = Digest {
                series: (0..count).map(|n| u32::try_from(n * 2).unwrap()).collect(),
                rows: (0..count).map(row).collect(),
            };
            let packed = digest.pack();
            assert_eq!(Digest::unpack(&packed), Some(digest));
            assert_eq!(Digest::unpack(&packed[..packed.len() - 1]), None);
            assert_eq!(Digest::unpack(&[&packed[..], &[0]].concat()), None);
        }
        assert_eq!(Digest::unpack(&[]), None);
    }
}
