//! What models say of one picture: the words in which inference and judgement meet.

use std::sync::Arc;

use domain::{Check, DeviceId, PictureBox};

/// Something that a detector found.
#[derive(Debug, Clone, PartialEq)]
pub struct Detection {
    /// What, in the model card's words: `person`, `cat`, `cell phone`.
    pub label: Arc<str>,
    /// How sure, 0 to 1.
    pub score: f32,
    /// Where.
    pub area: PictureBox,
}

/// Why a check could not be made. Never a violation, always counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Unjudged {
    /// The part that matters has too few pixels.
    TooSmall,
    /// It is out of focus or in motion.
    Blurred,
    /// Something hides it.
    Occluded,
    /// It is turned away: no face is seen.
    TurnedAway,
    /// No model or no taught head can answer.
    NoModel,
}

/// What one look says of one check.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Verdict {
    /// What was looked for is there (a violation), with this probability, 0 to 1.
    Positive(f32),
    /// It is not, with this probability of being there.
    Negative(f32),
    /// It cannot be said.
    Unjudged(Unjudged),
}

/// A verdict on one tracked person.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PersonVerdict {
    /// The track.
    pub track: u64,
    /// The check.
    pub check: Check,
    /// What was seen.
    pub verdict: Verdict,
}

/// A verdict on one fixed part of the picture.
#[derive(Debug, Clone, PartialEq)]
pub struct RegionVerdict {
    /// The zone.
    pub zone: DeviceId,
    /// The check.
    pub check: Check,
    /// What was seen.
    pub verdict: Verdict,
}
