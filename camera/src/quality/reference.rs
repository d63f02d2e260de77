//! How a camera's picture usually looks.

use super::luma::{HEIGHT, Luma, WIDTH};

/// Tiles across and down, of ten by ten small pixels each.
const TILES: (usize, usize) = (16, 9);

/// Side of a tile in small pixels.
const TILE: usize = 10;

/// The mean of the edges that makes a tile worth comparing.
const TELLING: f32 = 6.0;

/// The fewest telling tiles with which a comparison means anything.
const LEAST_TILES: usize = 8;

/// The correlation below which a tile looks different.
const ALIKE: f32 = 0.3;

/// The share that a new picture has in the reference once enough were learned from.
const SLOWLY: f32 = 0.02;

/// Means over many pictures, the newest with a small share.
#[derive(Debug, Clone, Default)]
pub(super) struct Reference {
    pictures: u32,
    edges: Vec<f32>,
    edge_mean: f32,
    spread: f32,
    sharpness: f32,
}

impl Reference {
    /// Pictures learned from.
    pub(super) fn pictures(&self) -> u32 {
        self.pictures
    }

    pub(super) fn edge_mean(&self) -> f32 {
        self.edge_mean
    }

    pub(super) fn spread(&self) -> f32 {
        self.spread
    }

    pub(super) fn sharpness(&self) -> f32 {
        self.sharpness
    }

    pub(super) fn learn(&mut self, luma: &Luma) {
        self.pictures = self.pictures.saturating_add(1);
        let share = (1.0 / self.pictures as f32).max(SLOWLY);
        let learn = |known: &mut f32, new: f32| *known += (new - *known) * share;
        learn(&mut self.edge_mean, luma.edge_mean());
        learn(&mut self.spread, luma.spread());
        learn(&mut self.sharpness, luma.sharpness());
        self.edges.resize(luma.edges().len(), 0.0);
        for (known, new) in self.edges.iter_mut().zip(luma.edges()) {
            learn(known, *new);
        }
    }

    /// The share of the telling tiles whose edges lie elsewhere than they use to; 0 when there are too few.
    pub(super) fn different_tiles(&self, luma: &Luma) -> f32 {
        if self.edges.len() != WIDTH * HEIGHT || luma.edges().len() != WIDTH * HEIGHT {
            return 0.0;
        }
        let (mut telling, mut different) = (0, 0);
        for tile in 0..TILES.0 * TILES.1 {
            let origin = tile / TILES.0 * TILE * WIDTH + tile % TILES.0 * TILE;
            let (mean, correlation) = compare(&self.edges[origin..], &luma.edges()[origin..]);
            if mean >= TELLING {
                telling += 1;
                different += usize::from(correlation < ALIKE);
            }
        }
        if telling < LEAST_TILES {
            return 0.0;
        }
        different as f32 / telling as f32
    }
}

/// The mean of one tile's known edges, and how the new ones correlate with them.
fn compare(known: &[f32], new: &[f32]) -> (f32, f32) {
    let pixels = |edges: &'_ [f32]| -> Vec<f32> {
        edges
            .chunks(WIDTH)
            .take(TILE)
            .flat_map(|row| row[..TILE].to_vec())
            .collect()
    };
    let (known, new) = (pixels(known), pixels(new));
    let count = known.len() as f32;
    let mean = |edges: &[f32]| edges.iter().sum::<f32>() / count;
    let (known_mean, new_mean) = (mean(&known), mean(&new));
    let (mut both, mut known_squares, mut new_squares) = (0.0, 0.0, 0.0);
    for (known, new) in known.iter().zip(&new) {
        let (known, new) = (known - known_mean, new - new_mean);
        both += known * new;
        known_squares += known * known;
        new_squares += new * new;
    }
    let scale = (known_squares * new_squares).sqrt();
    (known_mean, if scale > 0.0 { both / scale } else { 0.0 })
}
