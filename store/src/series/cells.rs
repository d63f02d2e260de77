//! Cells: what is kept of a minute or an hour when its readings are gone, and how a day of them is packed.

use domain::{Sample, UtcMillis};
use pco::{
    ChunkConfig,
    standalone::{simple_compress, simple_decompress},
};

use super::{
    chunk::DAY_MS,
    query::{HOUR_MS, Level, MINUTE_MS},
    sketch::Bins,
};

/// One minute or hour of one series.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Cell {
    pub(super) start: UtcMillis,
    /// Samples in it; at least 1.
    pub(super) count: u32,
    pub(super) sum: f64,
    pub(super) min: f64,
    pub(super) max: f64,
    /// The value of its latest sample.
    pub(super) last: f64,
    /// Counts by bin (see [`super::sketch`]), the least value's first and the greatest's last. Empty where they were not
    /// asked for, and in minutes of several bins that were written before minutes had them.
    pub(super) bins: Vec<(i32, u32)>,
}

/// The cells of settled samples.
pub(super) fn cells_of(samples: &[Sample], level: Level) -> Vec<Cell> {
    let mut cells = Vec::new();
    let mut bins = Bins::new();
    for of_cell in samples.chunk_by(|a, b| level.moment(a.at) == level.moment(b.at)) {
        let values = of_cell.iter().map(|sample| sample.value);
        values.clone().for_each(|value| bins.add(value));
        cells.push(Cell {
            start: level.moment(of_cell[0].at),
            count: u32::try_from(of_cell.len()).expect("a day of a series has fewer than 2^32 moments"),
            sum: values.clone().sum(),
            min: values.clone().fold(f64::INFINITY, f64::min),
            max: values.fold(f64::NEG_INFINITY, f64::max),
            last: of_cell[of_cell.len() - 1].value,
            bins: bins.take(),
        });
    }
    cells
}

/// The most cells that a row of a level holds: those of a day.
fn most(level: Level) -> usize {
    let cell_ms = level.cell_ms().unwrap_or(1);
    usize::try_from(DAY_MS / cell_ms).expect("a day has a few cells")
}

/// Packs the cells of one series and day.
pub(super) fn pack(level: Level, cells: &[Cell]) -> Vec<u8> {
    let mut packed = pack_figures(level, cells);
    match level {
        Level::Raw => {}
        Level::Minute => pack_inner_bins(&mut packed, cells),
        Level::Hour => pack_bins(&mut packed, cells),
    }
    packed.0
}

/// All but the bins.
fn pack_figures(level: Level, cells: &[Cell]) -> Packed {
    let cell_ms = level.cell_ms().unwrap_or(1);
    let mut packed = Packed(Vec::new());
    let place = |cell: &Cell| {
        u32::try_from(cell.start.0.rem_euclid(DAY_MS) / cell_ms).expect("a day has a few cells")
    };
    packed.put(cells.iter().map(place).collect());
    packed.put(cells.iter().map(|cell| cell.count).collect());
    packed.put(cells.iter().map(|cell| cell.last).collect());
    // A sensor that reports once a minute has one value per cell: it is written once.
    if cells.iter().any(|cell| cell.count > 1) {
        packed.put(cells.iter().map(|cell| cell.sum).collect());
        packed.put(cells.iter().map(|cell| cell.min).collect());
        packed.put(cells.iter().map(|cell| cell.max).collect());
    }
    packed
}

fn pack_bins(packed: &mut Packed, cells: &[Cell]) {
    let bins = || cells.iter().map(|cell| cell.bins.iter());
    packed.put(cells.iter().map(|cell| bins_in(&cell.bins)).collect());
    packed.put(bins().flat_map(steps).collect());
    packed.put(bins().flatten().map(|(_, count)| *count).collect());
}

/// Only what the other figures do not tell: the first bin is that of the least value and the last that of the greatest,
/// and all that is counted adds up to the count. A minute of one bin takes no room at all.
fn pack_inner_bins(packed: &mut Packed, cells: &[Cell]) {
    let of_several = || {
        cells
            .iter()
            .map(|cell| cell.bins.as_slice())
            .filter(|bins| bins.len() > 1)
    };
    if of_several().next().is_none() {
        return;
    }
    let but_last = |bins: &[(i32, u32)]| bins[..bins.len() - 1].to_vec();
    packed.put(of_several().map(|bins| bins_in(bins) - 2).collect());
    packed.put(
        of_several()
            .flat_map(|bins| {
                but_last(bins)
                    .windows(2)
                    .map(|pair| pair[1].0 - pair[0].0)
                    .collect::<Vec<_>>()
            })
            .collect(),
    );
    packed.put(of_several().flat_map(but_last).map(|(_, count)| count).collect());
}

fn bins_in(bins: &[(i32, u32)]) -> u32 {
    u32::try_from(bins.len()).expect("there are fewer than 2^17 bins")
}

/// The first bin's number, then how much greater each one is than the one before.
fn steps<'a>(bins: impl Iterator<Item = &'a (i32, u32)>) -> impl Iterator<Item = i32> {
    bins.scan(0, |before, (number, _)| {
        let step = number - *before;
        *before = *number;
        Some(step)
    })
}

/// Columns one after the other, each with its length before it.
struct Packed(Vec<u8>);

impl Packed {
    #[expect(clippy::needless_pass_by_value, reason = "every column is gathered for this")]
    fn put<T: pco::data_types::Number>(&mut self, column: Vec<T>) {
        let config = ChunkConfig::default().with_compression_level(8);
        let bytes = simple_compress(&column, &config).expect("the level is one that pco knows");
        let length = u32::try_from(bytes.len()).expect("a column is far smaller than 4 GiB");
        self.0.extend_from_slice(&length.to_le_bytes());
        self.0.extend_from_slice(&bytes);
    }
}

/// What remains of a packed row.
struct Unpacking<'a>(&'a [u8]);

impl Unpacking<'_> {
    fn take<T: pco::data_types::Number>(&mut self, count: usize) -> Option<Vec<T>> {
        let (length, rest) = self.0.split_first_chunk::<4>()?;
        let length = usize::try_from(u32::from_le_bytes(*length)).ok()?;
        let (column, rest) = rest.split_at_checked(length)?;
        self.0 = rest;
        simple_decompress(column)
            .ok()
            .filter(|column| column.len() == count)
    }
}

/// Reads what [`pack`] wrote, the bins where they are wanted. The error says what is wrong.
pub(super) fn unpack(
    day: i64,
    level: Level,
    (packed, count): (&[u8], u32),
    bins: bool,
) -> Result<Vec<Cell>, &'static str> {
    const BROKEN: &str = "a row of rollups cannot be unpacked";
    let count = usize::try_from(count).expect("u32 fits usize");
    if count > most(level) {
        return Err(BROKEN);
    }
    let mut packed = Unpacking(packed);
    let mut read = || {
        let mut cells = unpack_figures(day, level, &mut packed, count)?;
        if !bins {
            return Some(cells);
        }
        match level {
            Level::Raw => {}
            Level::Minute => unpack_inner_bins(&mut packed, &mut cells)?,
            Level::Hour => unpack_bins(&mut packed, &mut cells)?,
        }
        packed.0.is_empty().then_some(cells)
    };
    read().ok_or(BROKEN)
}

fn unpack_figures(day: i64, level: Level, packed: &mut Unpacking<'_>, count: usize) -> Option<Vec<Cell>> {
    let cell_ms = level.cell_ms().unwrap_or(1);
    let places: Vec<u32> = packed.take(count)?;
    let counts: Vec<u32> = packed.take(count)?;
    let lasts: Vec<f64> = packed.take(count)?;
    let (sums, mins, maxs): (Vec<f64>, Vec<f64>, Vec<f64>) = if counts.iter().any(|count| *count > 1) {
        (packed.take(count)?, packed.take(count)?, packed.take(count)?)
    } else {
        (lasts.clone(), lasts.clone(), lasts.clone())
    };
    let cells = (0..count)
        .map(|i| Cell {
            start: start_of(day, i64::from(places[i]) * cell_ms),
            count: counts[i],
            sum: sums[i],
            min: mins[i],
            max: maxs[i],
            last: lasts[i],
            bins: Vec::new(),
        })
        .collect();
    Some(cells)
}

fn unpack_bins(packed: &mut Unpacking<'_>, cells: &mut [Cell]) -> Option<()> {
    let lengths: Vec<u32> = packed.take(cells.len())?;
    let total = lengths.iter().map(|length| *length as usize).sum();
    let steps: Vec<i32> = packed.take(total)?;
    let tallies: Vec<u32> = packed.take(total)?;
    let mut bins = steps.into_iter().zip(tallies);
    for (cell, length) in cells.iter_mut().zip(lengths) {
        let mut number = 0_i32;
        for (step, tally) in bins.by_ref().take(length as usize) {
            number = number.checked_add(step)?;
            cell.bins.push((number, tally));
        }
    }
    Some(())
}

fn unpack_inner_bins(packed: &mut Unpacking<'_>, cells: &mut [Cell]) -> Option<()> {
    let bins = Bins::new();
    let mut of_several = Vec::new();
    for cell in cells {
        let (first, last) = (bins.number_of(cell.min), bins.number_of(cell.max));
        if first == last {
            cell.bins.push((first, cell.count));
        } else {
            of_several.push((cell, first, last));
        }
    }
    // Written before minutes had bins: these cells have none.
    if of_several.is_empty() || packed.0.is_empty() {
        return Some(());
    }
    let inner: Vec<u32> = packed.take(of_several.len())?;
    let total: usize = inner.iter().map(|length| *length as usize).sum();
    let mut steps = packed.take::<i32>(total)?.into_iter();
    let mut tallies = packed.take::<u32>(total + of_several.len())?.into_iter();
    for ((cell, first, last), length) in of_several.into_iter().zip(inner) {
        let (mut number, mut left) = (first, cell.count);
        let mut push = |number: i32, tally: u32| {
            left = left.checked_sub(tally)?;
            cell.bins.push((number, tally));
            Some(left)
        };
        let mut rest = push(number, tallies.next()?)?;
        for step in steps.by_ref().take(length as usize) {
            number = number.checked_add(step)?;
            rest = push(number, tallies.next()?)?;
        }
        cell.bins.push((last, rest));
    }
    Some(())
}

/// A moment of a day, held at the ends of time.
fn start_of(day: i64, offset_ms: i64) -> UtcMillis {
    UtcMillis(day.saturating_mul(DAY_MS).saturating_add(offset_ms))
}

const _: () = assert!(
    DAY_MS % MINUTE_MS == 0 && DAY_MS % HOUR_MS == 0,
    "cells never cross days"
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_of_cells_reads_back() {
        let sample = |n: i64, value| Sample {
            at: UtcMillis(-DAY_MS + n),
            value,
        };
        let dense: Vec<Sample> = (0..8_640)
            .map(|n| sample(n * 10_000, f64::from(i32::try_from(n % 37).unwrap()) / 4.0 - 3.0))
            .collect();
        let sparse = vec![sample(0, 1e300), sample(59_999, -1e300), sample(DAY_MS - 1, 0.0)];
        let single = vec![sample(70_000, 4.5)];
        for samples in [dense, sparse, single] {
            for level in [Level::Minute, Level::Hour] {
                let cells = cells_of(&samples, level);
                let counted: u32 = cells.iter().map(|cell| cell.count).sum();
                assert_eq!(counted as usize, samples.len());
                let binned: u32 = cells.iter().flat_map(|cell| &cell.bins).map(|bin| bin.1).sum();
                assert_eq!(binned, counted);
                let packed = pack(level, &cells);
                let count = u32::try_from(cells.len()).unwrap();
                let read = |packed: &[u8], count, bins| unpack(-1, level, (packed, count), bins);
                assert_eq!(read(&packed, count, true).unwrap(), cells);
                assert!(read(&packed[1..], count, true).is_err());
                assert!(read(&packed, count + 1, true).is_err());
                assert!(read(&[], u32::MAX, true).is_err());
                let bare: Vec<Cell> = cells
                    .iter()
                    .map(|cell| Cell {
                        bins: Vec::new(),
                        ..cell.clone()
                    })
                    .collect();
                assert_eq!(read(&packed, count, false).unwrap(), bare);
                if level == Level::Minute {
                    // As it was written before minutes had bins: those of one bin are known all the same.
                    let old = read(&pack_figures(level, &cells).0, count, true).unwrap();
                    for (old, cell) in old.iter().zip(&cells) {
                        let known = cell.bins.len() == 1;
                        assert_eq!(old.bins, if known { cell.bins.clone() } else { Vec::new() });
                    }
                }
            }
        }
    }

    #[test]
    fn cells_hold_what_their_samples_say() {
        let samples: Vec<Sample> = [(0, 4.0), (59_999, -1.0), (60_000, 7.5)]
            .map(|(at, value)| Sample {
                at: UtcMillis(at),
                value,
            })
            .to_vec();
        let cells = cells_of(&samples, Level::Minute);
        let first = &cells[0];
        assert_eq!((first.count, first.sum, first.min), (2, 3.0, -1.0));
        assert_eq!(
            (first.max, first.last, cells[1].start),
            (4.0, -1.0, UtcMillis(60_000))
        );
        assert_eq!(cells_of(&samples, Level::Hour).len(), 1);
    }
}
