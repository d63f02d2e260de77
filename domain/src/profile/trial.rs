//! A profile tried on one message before anybody's devices are read by it.

use std::sync::Arc;

use super::Profile;
use crate::{metric::Unit, time::UtcMillis};

/// The most bytes of a message that is tried.
pub const MAX_TRIED_BYTES: usize = 32 * 1024;

/// Reads one message, topic and payload, as a device of that profile would be read.
pub type TryProfile = Arc<dyn Fn(&Arc<Profile>, &str, &[u8]) -> Tried + Send + Sync>;

/// A value that the message would become.
#[derive(Debug, Clone, PartialEq)]
pub struct TriedReading {
    /// What stands behind the device, if the value is not its own.
    pub behind: Option<String>,
    /// What it is.
    pub metric: String,
    /// In which unit it would be kept.
    pub unit: Unit,
    /// How much.
    pub value: f64,
    /// When, as far as the message says; `None` when the moment of receipt would count.
    pub at: Option<UtcMillis>,
}

/// What one message would come to.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Tried {
    /// Its values.
    pub readings: Vec<TriedReading>,
    /// Who it says is there or not; `None` is the device itself.
    pub presence: Vec<(Option<String>, bool)>,
    /// Why some of it, or all of it, would not be taken: the reason's code and what is wrong.
    pub refused: Vec<(&'static str, String)>,
}
