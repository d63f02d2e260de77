//! Observations: what a camera, or a box beside it, says that it saw. They travel through the log like readings,
//! so that a replay sees what the live run saw.
//!
//! The serialised form is the documented JSON of the topic `sk/v1/<facility>/<camera>/vision` (docs/INTEGRATOR.md):
//! our own judgement of pictures and other makers' boxes speak it alike.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{camera::CameraKey, check::Check, geometry::PictureBox, id::DeviceId, time::UtcMillis};

/// The most boxes of one observation.
pub const MAX_BOXES: usize = 64;

/// The most characters of a name that a model or a box gives.
pub const MAX_NAME: usize = 80;

/// The SHA-256 of an evidence manifest (证据编号): names evidence by its content.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct EvidenceId(pub [u8; 32]);

impl EvidenceId {
    /// Reads 64 hexadecimal digits.
    #[must_use]
    pub fn parse(text: &str) -> Option<EvidenceId> {
        let mut bytes = [0; 32];
        hex::decode_to_slice(text, &mut bytes).ok()?;
        Some(EvidenceId(bytes))
    }
}

impl fmt::Display for EvidenceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for EvidenceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl TryFrom<String> for EvidenceId {
    type Error = &'static str;
    fn try_from(text: String) -> Result<Self, Self::Error> {
        EvidenceId::parse(&text).ok_or("an evidence id has 64 hexadecimal digits")
    }
}

impl From<EvidenceId> for String {
    fn from(id: EvidenceId) -> String {
        id.to_string()
    }
}

/// Whether what was looked for begins or ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ObservedState {
    /// It holds, and has held for its minimum duration.
    Began,
    /// It no longer holds.
    Ended,
}

/// Something seen, and where.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LabelledBox {
    /// What: `person`, `face`, `cat`; at most [`MAX_NAME`] characters.
    pub label: String,
    /// How sure, 0 to 1.
    pub score: f32,
    /// Where.
    #[serde(rename = "box")]
    pub area: PictureBox,
    /// The track it belongs to, local to its camera and never kept longer than the finding.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub track: Option<u64>,
}

/// Which model saw it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelStamp {
    /// The model's name in the catalogue, or the other box's word for it.
    pub name: String,
    /// The SHA-256 of its file, in hexadecimal; empty when it is not ours.
    #[serde(default)]
    pub sha256: String,
}

/// Where an observation comes from.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// Our own judgement of pictures.
    Own,
    /// Frigate.
    Frigate,
    /// Another maker's box.
    #[default]
    External,
}

/// How many pictures stand behind an observation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tally {
    /// Pictures that were judged.
    pub judged: u32,
    /// Of these, the ones that show it.
    pub positive: u32,
    /// Pictures that could not be judged: too small, blurred, hidden, turned away.
    pub unjudged: u32,
}

/// Something that was looked for began or ended in a camera's picture.
#[derive(Debug, Clone, PartialEq)]
pub struct Observation {
    /// Which camera.
    pub camera: CameraKey,
    /// What it says.
    pub said: Sighted,
    /// When the log took it in.
    pub received: UtcMillis,
}

/// The body of an observation: what the topic does not say.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sighted {
    /// What was looked for.
    pub check: Check,
    /// Whether it begins or ends.
    pub state: ObservedState,
    /// When that was, by the clock that stamped the picture, in milliseconds since 1970.
    #[serde(rename = "ts")]
    pub at: UtcMillis,
    /// Since when it held, in milliseconds since 1970; `ts` when it is not said.
    #[serde(default)]
    pub since: Option<UtcMillis>,
    /// The zone.
    #[serde(default)]
    pub zone: Option<DeviceId>,
    /// How sure, 0 to 1.
    #[serde(default)]
    pub score: Option<f32>,
    /// The threshold it was held against.
    #[serde(default)]
    pub threshold: Option<f32>,
    /// How many pictures stand behind it.
    #[serde(default)]
    pub tally: Tally,
    /// Which model.
    #[serde(default)]
    pub model: Option<ModelStamp>,
    /// What was seen where; at most [`MAX_BOXES`].
    #[serde(default)]
    pub boxes: Vec<LabelledBox>,
    /// The evidence kept for it.
    #[serde(default)]
    pub evidence: Option<EvidenceId>,
    /// Where it comes from.
    #[serde(default)]
    pub origin: Origin,
    /// More about it, for people: `covered`, `turned`; at most [`MAX_NAME`] characters.
    #[serde(default)]
    pub detail: String,
}

impl Sighted {
    /// Since when it held.
    #[must_use]
    pub fn since(&self) -> UtcMillis {
        self.since.unwrap_or(self.at)
    }

    /// Why its numbers or texts make no sense, if they do not.
    ///
    /// # Errors
    /// In words, for whoever sent it.
    pub fn check_bounds(&self) -> Result<(), &'static str> {
        let share = |number: f32| (0.0..=1.0).contains(&number);
        if self.boxes.len() > MAX_BOXES {
            return Err("`boxes` holds more than 64");
        }
        let scores = self.boxes.iter().map(|b| b.score);
        if !scores.chain(self.score).chain(self.threshold).all(share) {
            return Err("`score` and `threshold` are 0 to 1");
        }
        let sound = |b: &LabelledBox| {
            let PictureBox {
                left,
                top,
                right,
                bottom,
            } = b.area;
            [left, top, right, bottom].into_iter().all(share) && left < right && top < bottom
        };
        if !self.boxes.iter().all(sound) {
            return Err("a `box` has `left` < `right` and `top` < `bottom`, all 0 to 1");
        }
        let short = |text: &str| text.chars().count() <= MAX_NAME;
        let names = self.boxes.iter().map(|b| b.label.as_str());
        let model = self
            .model
            .iter()
            .flat_map(|m| [m.name.as_str(), m.sha256.as_str()]);
        if !names.chain(model).chain([self.detail.as_str()]).all(short) {
            return Err("a `label`, `name` or `detail` is longer than 80 characters");
        }
        if self.since() > self.at {
            return Err("`since` lies after `ts`");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sighted() -> Sighted {
        Sighted {
            check: Check::NoMask,
            state: ObservedState::Began,
            at: UtcMillis(1_795_000_010_000),
            since: Some(UtcMillis(1_795_000_000_000)),
            zone: None,
            score: Some(0.9),
            threshold: Some(0.2),
            tally: Tally::default(),
            model: None,
            boxes: vec![LabelledBox {
                label: "face".into(),
                score: 0.9,
                area: PictureBox::WHOLE,
                track: None,
            }],
            evidence: None,
            origin: Origin::External,
            detail: String::new(),
        }
    }

    #[test]
    fn numbers_and_texts_are_bounded() {
        assert_eq!(sighted().check_bounds(), Ok(()));
        let refused: [fn(&mut Sighted); 6] = [
            |s| s.score = Some(f32::NAN),
            |s| s.boxes[0].score = 1.5,
            |s| s.boxes[0].area.right = 0.0,
            |s| s.boxes = vec![s.boxes[0].clone(); 65],
            |s| s.detail = "长".repeat(81),
            |s| s.since = Some(UtcMillis(s.at.0 + 1)),
        ];
        for (row, spoil) in refused.into_iter().enumerate() {
            let mut bad = sighted();
            spoil(&mut bad);
            assert!(bad.check_bounds().is_err(), "row {row}");
        }
    }

    #[test]
    fn an_evidence_id_is_its_hexadecimal_text() {
        let id = EvidenceId([0xab; 32]);
        assert_eq!(EvidenceId::parse(&id.to_string()), Some(id));
        assert_eq!(EvidenceId::parse("ab"), None);
    }
}
