//! A package of evidence: what a finding rests on. Its manifest says everything, and names every file by its
//! hash; the hash of the manifest is the package's name.

use domain::{
    CameraKey, Check, DeviceId, EvidenceId, RuleId, SeriesKey, UtcMillis,
    camera::{GbId, Retention},
    observation::{LabelledBox, MAX_BOXES, MAX_NAME, ModelStamp, Tally},
};
use serde::{Deserialize, Serialize};

use super::{error::EvidenceError, keys::Hash256};
use crate::records::{Problem, problem_of_line};

/// The format of manifests that this version writes and reads.
pub(super) const FORMAT: u32 = 1;

/// The most items of a package.
pub const MAX_ITEMS: usize = 16;

/// The most bytes of one item.
pub const MAX_ITEM_BYTES: usize = 32 * 1024 * 1024;

/// The most bytes of a manifest.
pub const MAX_MANIFEST_BYTES: usize = 256 * 1024;

/// The most sensor readings of a package.
pub const MAX_READINGS: usize = 256;

/// The most characters of a rule pack's version.
const MAX_VERSION: usize = 32;

/// Which rule a finding breaks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RuleStamp {
    /// The rule.
    pub id: RuleId,
    /// The rule pack's version at that time; at most 32 characters.
    pub pack_version: String,
}

/// What a sensor measured in the window of the finding.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SensorReading {
    /// Where.
    pub point: SeriesKey,
    /// When.
    pub at: UtcMillis,
    /// The value in the metric's canonical unit; finite.
    pub value: f64,
}

/// What a package is about: everything that its caller knows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct About {
    /// The camera.
    pub camera: CameraKey,
    /// Its GB/T 28181 identifier.
    pub gb_id: Option<GbId>,
    /// The check.
    pub check: Check,
    /// The zone; `None` for the whole picture.
    pub zone: Option<DeviceId>,
    /// The rule, when one was broken.
    pub rule: Option<RuleStamp>,
    /// Since when it held.
    pub since: UtcMillis,
    /// When it had held for its minimum duration.
    pub at: UtcMillis,
    /// When the picture came in, by our clock.
    pub received: UtcMillis,
    /// The camera's clock less ours, in milliseconds; `None` when it tells no time.
    pub clock_offset_ms: Option<i64>,
    /// The model.
    pub model: Option<ModelStamp>,
    /// How sure it was, 0 to 1.
    pub score: Option<f32>,
    /// The threshold it was held against, 0 to 1.
    pub threshold: Option<f32>,
    /// How many pictures stand behind it.
    pub tally: Tally,
    /// What was seen where; at most [`MAX_BOXES`].
    pub detections: Vec<LabelledBox>,
    /// What sensors measured in the same window; at most [`MAX_READINGS`].
    pub readings: Vec<SensorReading>,
    /// How long it is kept.
    pub retention: Retention,
}

/// What an item shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ItemRole {
    /// A still from before it began.
    Before,
    /// A still of the moment.
    At,
    /// A still from after.
    After,
    /// The moving picture around it, as the camera encoded it: faces are not blurred.
    Clip,
    /// The still of the moment as the camera took it: faces are not blurred.
    Original,
}

impl ItemRole {
    /// The name in the manifest and the API.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            ItemRole::Before => "before",
            ItemRole::At => "at",
            ItemRole::After => "after",
            ItemRole::Clip => "clip",
            ItemRole::Original => "original",
        }
    }
}

/// A file about to be kept.
#[derive(Clone, PartialEq, Eq)]
pub struct NewItem {
    /// What it shows.
    pub role: ItemRole,
    /// Its media type, such as `image/jpeg`; at most 80 characters.
    pub media_type: String,
    /// Whether faces in it are unrecognisable.
    pub blurred: bool,
    /// The file: 1 to [`MAX_ITEM_BYTES`] bytes.
    pub bytes: Vec<u8>,
}

impl std::fmt::Debug for NewItem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "NewItem({}, {} bytes)", self.role.code(), self.bytes.len())
    }
}

/// A file that is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Item {
    /// What it shows.
    pub role: ItemRole,
    /// Its media type.
    pub media_type: String,
    /// Whether faces in it are unrecognisable: if not, whoever sees it needs the right to and a purpose.
    pub blurred: bool,
    /// Its size in bytes.
    pub size: u64,
    /// The hash of its bytes, which is its name.
    pub sha256: Hash256,
}

/// A package as it is kept. Its manifest is this in JSON, fields in this order, without blanks.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Package {
    /// The format of the manifest.
    pub format: u32,
    /// The package that this one adds to.
    pub amends: Option<EvidenceId>,
    /// When it was put into the archive.
    pub created_at: UtcMillis,
    /// What it is about.
    pub about: About,
    /// Its files.
    pub items: Vec<Item>,
}

impl Package {
    /// The package's name and its manifest.
    pub(super) fn encode(&self) -> Result<(EvidenceId, Vec<u8>), EvidenceError> {
        let bytes = serde_json::to_vec(self).expect("a package is JSON");
        if bytes.len() > MAX_MANIFEST_BYTES {
            let max = MAX_MANIFEST_BYTES;
            return Err(invalid("manifest", Problem::TooLarge { max }));
        }
        Ok((name_of(&bytes), bytes))
    }

    /// Reads a manifest; `None` when it is none that this version wrote.
    pub(super) fn decode(bytes: &[u8]) -> Option<Package> {
        serde_json::from_slice(bytes)
            .ok()
            .filter(|package: &Package| package.format == FORMAT)
    }

    /// The bytes of its files.
    pub(super) fn item_bytes(&self) -> u64 {
        self.items.iter().map(|item| item.size).sum()
    }
}

/// The name of a manifest.
pub(super) fn name_of(manifest: &[u8]) -> EvidenceId {
    EvidenceId(Hash256::of(manifest).0)
}

/// Refuses what a manifest must not hold.
pub(super) fn check(about: &About, items: &[NewItem]) -> Result<(), EvidenceError> {
    at_most("detections", about.detections.len(), MAX_BOXES)?;
    at_most("readings", about.readings.len(), MAX_READINGS)?;
    let values = about.readings.iter().map(|reading| reading.value);
    if !values.into_iter().all(f64::is_finite) {
        return Err(invalid("readings", Problem::NotFinite));
    }
    check_shares(about)?;
    for detection in &about.detections {
        line("label", &detection.label, MAX_NAME)?;
    }
    if let Some(model) = &about.model {
        line("model", &model.name, MAX_NAME)?;
        if !model.sha256.is_empty() {
            line("model", &model.sha256, MAX_NAME)?;
        }
    }
    if let Some(rule) = &about.rule {
        line("pack_version", &rule.pack_version, MAX_VERSION)?;
    }
    if items.is_empty() {
        return Err(invalid("items", Problem::Empty));
    }
    at_most("items", items.len(), MAX_ITEMS)?;
    items.iter().try_for_each(check_item)
}

/// JSON has no word for a number that is not finite: it would not be read back.
fn check_shares(about: &About) -> Result<(), EvidenceError> {
    let edges = |b: &LabelledBox| [b.score, b.area.left, b.area.top, b.area.right, b.area.bottom];
    let boxes = about.detections.iter().flat_map(edges);
    let numbers = boxes.chain(about.score).chain(about.threshold);
    if numbers.into_iter().all(|share| (0.0..=1.0).contains(&share)) {
        return Ok(());
    }
    Err(invalid("detections", Problem::OutOfRange { min: 0, max: 1 }))
}

fn check_item(item: &NewItem) -> Result<(), EvidenceError> {
    line("media_type", &item.media_type, MAX_NAME)?;
    if item.bytes.is_empty() {
        return Err(invalid("item", Problem::Empty));
    }
    if item.bytes.len() > MAX_ITEM_BYTES {
        let max = MAX_ITEM_BYTES;
        return Err(invalid("item", Problem::TooLarge { max }));
    }
    Ok(())
}

fn at_most(field: &'static str, count: usize, max: usize) -> Result<(), EvidenceError> {
    if count <= max {
        return Ok(());
    }
    Err(invalid(field, Problem::TooMany { max }))
}

/// Refuses a text that is blank, over-long or more than one line.
pub(super) fn line(field: &'static str, text: &str, max: usize) -> Result<(), EvidenceError> {
    match problem_of_line(text, max) {
        None => Ok(()),
        Some(problem) => Err(invalid(field, problem)),
    }
}

fn invalid(field: &'static str, problem: Problem) -> EvidenceError {
    EvidenceError::Invalid { field, problem }
}
