//! Which level answers a query: the finest that fits.

use domain::UtcMillis;

use super::{catalog::Floors, chunk::day_of, query::Level};

const DAY_MS: i128 = super::chunk::DAY_MS as i128;

/// The longest range that is answered from readings while something coarser would do: a month of readings every 10 s
/// is decoded in a few milliseconds.
const RAW_WITHIN_MS: i128 = 32 * DAY_MS;

/// The same for minutes: 144,000 of them.
pub(super) const MINUTES_WITHIN_MS: i128 = 100 * DAY_MS;

/// The level for buckets with these ends. A level fits if it is kept as far back as the range reaches, its cells are
/// no longer than the buckets, and the range has not too many of its cells. If none does, the last condition goes first,
/// then the one on the length of cells. Without `minutes` they are passed over: they lack something.
pub(super) fn choose(edges: &[UtcMillis], minutes: bool, floors: Floors) -> Level {
    let (Some(from), Some(to)) = (edges.first(), edges.last()) else {
        return Level::Raw;
    };
    let apart = |from: UtcMillis, to: UtcMillis| i128::from(to.0) - i128::from(from.0);
    // The first and the last bucket may be cut short.
    let step = edges.windows(2).map(|ends| apart(ends[0], ends[1])).max();
    let levels = || {
        [Level::Raw, Level::Minute, Level::Hour]
            .into_iter()
            .filter(|level| {
                let kept = day_of(*from) >= floors.of(*level);
                kept && (*level != Level::Minute || minutes)
            })
    };
    let within = |level: &Level| match level {
        Level::Raw => apart(*from, *to) <= RAW_WITHIN_MS,
        Level::Minute => apart(*from, *to) <= MINUTES_WITHIN_MS,
        Level::Hour => true,
    };
    let fine = |level: &Level| level.cell_ms().is_none_or(|cell| Some(i128::from(cell)) <= step);
    levels()
        .find(|level| fine(level) && within(level))
        .or_else(|| levels().find(fine))
        .or_else(|| levels().next())
        .unwrap_or(Level::Hour)
}

#[cfg(test)]
mod tests {
    use domain::TimeRange;

    use super::*;
    use crate::series::query::{Step, edges};

    #[test]
    fn the_finest_level_that_fits_answers() {
        const DAY: i64 = super::super::chunk::DAY_MS;
        let mut floors = Floors::default();
        floors.raise(Level::Raw, 910);
        floors.raise(Level::Minute, 640);
        let level = |from: i64, to: i64, parts: u32, minutes: bool| {
            let range = TimeRange {
                from: UtcMillis(from * DAY),
                to: UtcMillis(to * DAY),
            };
            choose(&edges(range, &Step::Parts(parts)).unwrap(), minutes, floors)
        };
        let plain = true;
        assert_eq!(level(970, 1_000, 1_000, plain), Level::Raw);
        assert_eq!(
            level(920, 1_000, 1_000, plain),
            Level::Minute,
            "too many readings"
        );
        assert_eq!(level(900, 930, 1_000, plain), Level::Minute, "readings are gone");
        assert_eq!(level(640, 1_000, 1_000, plain), Level::Hour, "too many minutes");
        assert_eq!(level(0, 1_000, 1_000, plain), Level::Hour);
        assert_eq!(
            level(960, 1_000, 1_000, false),
            Level::Raw,
            "shorter than an hour"
        );
        assert_eq!(level(920, 1_000, 1_000, false), Level::Hour);
        assert_eq!(
            level(900, 901, 1_000, false),
            Level::Hour,
            "minutes lack something"
        );
        assert_eq!(level(639, 640, 100, plain), Level::Hour, "minutes are gone");
        floors.raise(Level::Hour, 300);
        assert_eq!(
            choose(&[UtcMillis(0), UtcMillis(DAY)], plain, floors),
            Level::Hour
        );
        assert_eq!(choose(&[], plain, floors), Level::Raw);
    }
}
