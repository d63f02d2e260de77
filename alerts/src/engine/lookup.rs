//! From the log's series numbers to judged points.

use domain::{Judge, Scope, SeriesId, judge::PointIndex};
use store::SeriesStore;

/// A cache by series number. As long as the store's list of series, which is bounded.
pub(super) struct Lookup {
    series: SeriesStore,
    known: Vec<Known>,
}

#[derive(Debug, Clone, Copy)]
enum Known {
    NotAsked,
    NotAPoint,
    Point(PointIndex),
}

impl std::fmt::Debug for Lookup {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Lookup")
            .field("known", &self.known.len())
            .finish_non_exhaustive()
    }
}

impl Lookup {
    pub(super) fn new(series: SeriesStore) -> Lookup {
        Lookup {
            series,
            known: Vec::new(),
        }
    }

    /// The judged point of a series; `None` when it is none.
    #[inline]
    pub(super) fn point(&mut self, judge: &Judge, series: SeriesId) -> Option<PointIndex> {
        match self.known.get(series.0 as usize) {
            Some(Known::Point(point)) => Some(*point),
            Some(Known::NotAPoint) => None,
            Some(Known::NotAsked) | None => self.ask(judge, series),
        }
    }

    /// Forgets everything: points were numbered anew.
    pub(super) fn forget(&mut self) {
        self.known.clear();
    }

    fn ask(&mut self, judge: &Judge, series: SeriesId) -> Option<PointIndex> {
        // A series that the store does not know is not remembered: its number may get a meaning.
        let key = self.series.key(&Scope::everything(), series)?;
        let point = judge.point(&key);
        let slot = series.0 as usize;
        if self.known.len() <= slot {
            self.known.resize(slot + 1, Known::NotAsked);
        }
        self.known[slot] = point.map_or(Known::NotAPoint, Known::Point);
        point
    }
}
