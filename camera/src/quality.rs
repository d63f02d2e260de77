//! What is wrong with a picture itself: black, white, frozen, covered, moved or blurred.
//!
//! Black and white are known at once, the others by comparison with a reference that is learned slowly while
//! nothing is wrong. A state is told only after it has lasted, and taken back only after it has been over for a
//! while. People who pass do not matter: they hide parts of the picture for moments.

mod luma;
mod reference;

use domain::{UtcMillis, sight::PictureState};

use crate::stream::Frame;
use luma::Luma;
use reference::Reference;

/// When something counts as wrong. The defaults were set on drawn pictures.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct QualityOptions {
    /// Milliseconds that something must be wrong before it is told. Default 30,000.
    pub begin_ms: i64,
    /// Milliseconds that it must be over before it is taken back. Default 10,000.
    pub clear_ms: i64,
    /// Mean brightness, 0 to 255, below which a picture without contrast is black. Default 20.
    pub black_below: f32,
    /// Mean brightness above which a picture without contrast is white. Default 235.
    pub white_above: f32,
    /// Pictures that are learned from before anything is compared. Default 10.
    pub learn_pictures: u32,
}

impl Default for QualityOptions {
    fn default() -> Self {
        QualityOptions {
            begin_ms: 30_000,
            clear_ms: 10_000,
            black_below: 20.0,
            white_above: 235.0,
            learn_pictures: 10,
        }
    }
}

/// A spread of brightness (standard deviation) below which a picture has no contrast.
const FLAT: f32 = 12.0;

/// The shares of the reference below which edges have gone: behind something, or out of focus.
const COVERED_EDGES: f32 = 0.35;
const BLURRED_SHARPNESS: f32 = 0.2;

/// The share of tiles that look different before the camera is taken to have moved.
const MOVED_TILES: f32 = 0.6;

/// Watches one camera's pictures.
#[derive(Debug, Clone)]
pub struct PictureWatch {
    options: QualityOptions,
    reference: Reference,
    luma: Luma,
    last_hash: Option<u64>,
    /// What the last picture is like, and since when pictures have been like that.
    seen: Option<(PictureState, UtcMillis)>,
    told: PictureState,
    /// Since when pictures have looked wrong in one way or another.
    wrong_since: Option<UtcMillis>,
}

impl PictureWatch {
    /// Begins to watch, with nothing learned.
    #[must_use]
    pub fn new(options: QualityOptions) -> PictureWatch {
        PictureWatch {
            options,
            reference: Reference::default(),
            luma: Luma::default(),
            last_hash: None,
            seen: None,
            told: PictureState::Good,
            wrong_since: None,
        }
    }

    /// Looks at a decoded picture; what the camera's picture is like by now. To be called with every decoded
    /// frame, at least one every few seconds. Costs about a millisecond at 640 by 360 pixels.
    pub fn observe(&mut self, frame: &Frame) -> PictureState {
        self.luma.take(frame);
        let looks = self.looks_like();
        if looks == PictureState::Good {
            self.reference.learn(&self.luma);
        }
        self.settle(looks, frame.at);
        self.told
    }

    /// What the picture is like.
    #[must_use]
    pub fn state(&self) -> PictureState {
        self.told
    }

    /// Forgets how the picture should look: the camera was moved or turned on purpose.
    pub fn relearn(&mut self) {
        self.reference = Reference::default();
        self.seen = None;
        self.told = PictureState::Good;
        self.wrong_since = None;
    }

    fn looks_like(&mut self) -> PictureState {
        let luma = &self.luma;
        let hash = luma.hash();
        let same = self.last_hash.replace(hash) == Some(hash);
        let flat = luma.spread() < FLAT;
        if flat && luma.mean() < self.options.black_below {
            return PictureState::Black;
        }
        if flat && luma.mean() > self.options.white_above {
            return PictureState::White;
        }
        if same {
            return PictureState::Frozen;
        }
        if self.reference.pictures() < self.options.learn_pictures {
            return PictureState::Good;
        }
        let edges = luma.edge_mean() / self.reference.edge_mean().max(f32::EPSILON);
        if edges < COVERED_EDGES && luma.spread() < (self.reference.spread() * 0.5).max(FLAT) {
            return PictureState::Covered;
        }
        if luma.sharpness() < BLURRED_SHARPNESS * self.reference.sharpness() {
            return PictureState::Blurred;
        }
        if self.reference.different_tiles(luma) > MOVED_TILES {
            return PictureState::Moved;
        }
        PictureState::Good
    }

    fn settle(&mut self, looks: PictureState, now: UtcMillis) {
        // A clock set back must not hold a state for as long as it was set back.
        let still = |since: Option<UtcMillis>| since.filter(|since| *since <= now).unwrap_or(now);
        let same = self.seen.filter(|(seen, _)| *seen == looks);
        let since = still(same.map(|(_, since)| since));
        self.seen = Some((looks, since));
        if looks == PictureState::Good {
            self.wrong_since = None;
            if now.ms_since(since) >= self.options.clear_ms {
                self.told = PictureState::Good;
            }
            return;
        }
        let wrong_since = still(self.wrong_since);
        self.wrong_since = Some(wrong_since);
        // A picture may look wrong in turn in two ways before anything is told; what was told stays until the
        // other way has lasted.
        let began = if self.told == PictureState::Good {
            wrong_since
        } else {
            since
        };
        if now.ms_since(began) >= self.options.begin_ms {
            self.told = looks;
        }
    }
}

#[cfg(test)]
mod tests;
