//! Observations of cameras: our own documented JSON, and what Frigate says.
//!
//! Both become the same [`Sighted`]. Of Frigate, the objects whose label is one of ours count (a cat in the kitchen
//! does, a person as such does not); everything else is heard and passed over.

use std::borrow::Cow;

use domain::{
    Check, DeviceId, Sighted, UtcMillis,
    observation::{MAX_NAME, ModelStamp, ObservedState, Origin, Tally},
};
use serde::{Deserialize, de::IgnoredAny};

use crate::error::{DecodeError, echo};

/// The most bytes of an observation that are read. 64 boxes with long labels are a quarter of it.
const MAX_BYTES: usize = 64 * 1024;

/// Which of Frigate's topics a message came by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FrigateTopic {
    /// `events`: one tracked object.
    Events,
    /// `reviews`: everything that happened in front of one camera at a time.
    Reviews,
}

/// What a message says of a camera behind the device that sent it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct OfCamera {
    /// The camera's name as the box gives it.
    pub(crate) camera: String,
    pub(crate) said: Sighted,
}

/// Reads our own form.
///
/// # Errors
/// [`DecodeError::Observation`] says which member is wrong.
pub(crate) fn own(payload: &[u8]) -> Result<Sighted, DecodeError> {
    let said: Sighted = json(payload)?;
    said.check_bounds().map_err(|why| DecodeError::Observation {
        why: Cow::Borrowed(why),
    })?;
    Ok(said)
}

/// Reads a message of Frigate: one observation for every label of ours in it.
///
/// # Errors
/// [`DecodeError::Observation`] says which member is wrong.
pub(crate) fn frigate(payload: &[u8], topic: FrigateTopic) -> Result<Vec<OfCamera>, DecodeError> {
    let message: FrigateMessage = json(payload)?;
    let after = message.after;
    if after.false_positive {
        return Ok(Vec::new());
    }
    let (state, at) = match message.kind {
        FrigateKind::New => (ObservedState::Began, after.start_time),
        FrigateKind::End => (ObservedState::Ended, after.end_time.unwrap_or(after.start_time)),
        FrigateKind::Update => return Ok(Vec::new()),
    };
    let (at, since) = (moment(at)?, moment(after.start_time)?);
    let mut checks: Vec<Check> = after.labels(topic).filter_map(check_of).collect();
    checks.sort_unstable();
    checks.dedup();
    let zone = after.zone(topic).and_then(|name| DeviceId::new(name).ok());
    let observation = |check| OfCamera {
        camera: after.camera.clone(),
        said: Sighted {
            check,
            state,
            at: at.max(since),
            since: Some(since),
            zone: zone.clone(),
            score: after.top_score.filter(|score| (0.0..=1.0).contains(score)),
            threshold: None,
            tally: Tally::default(),
            model: Some(ModelStamp {
                name: "frigate".to_owned(),
                sha256: String::new(),
            }),
            // Its boxes are in pixels of a picture whose size the message does not tell.
            boxes: Vec::new(),
            evidence: None,
            origin: Origin::Frigate,
            detail: after.id.chars().take(MAX_NAME).collect(),
        },
    };
    Ok(checks.into_iter().map(observation).collect())
}

/// The check that a label of another maker's box stands for.
fn check_of(label: &str) -> Option<Check> {
    match label {
        "cat" | "dog" | "bird" => Some(Check::AnimalInKitchen),
        "rat" | "mouse" | "rodent" => Some(Check::Rodent),
        "cell phone" | "cell_phone" | "phone" => Some(Check::PhoneUse),
        "fire" | "smoke" | "flame" => Some(Check::VisualFire),
        "cigarette" => Some(Check::Smoking),
        "fall" | "fallen" => Some(Check::PersonDown),
        other => Check::parse(other),
    }
}

#[derive(Deserialize)]
struct FrigateMessage {
    #[serde(rename = "type")]
    kind: FrigateKind,
    after: FrigateState,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum FrigateKind {
    New,
    Update,
    End,
}

/// An object, or a review of several: the members that matter of either.
#[derive(Deserialize)]
struct FrigateState {
    #[serde(default)]
    id: String,
    camera: String,
    start_time: f64,
    #[serde(default)]
    end_time: Option<f64>,
    #[serde(default)]
    label: String,
    #[serde(default)]
    sub_label: Option<SubLabel>,
    #[serde(default)]
    top_score: Option<f32>,
    #[serde(default)]
    false_positive: bool,
    #[serde(default)]
    current_zones: Vec<String>,
    #[serde(default)]
    entered_zones: Vec<String>,
    #[serde(default)]
    data: FrigateReview,
}

/// A name, or a name with its score.
#[derive(Deserialize)]
#[serde(untagged)]
enum SubLabel {
    Name(String),
    Scored((String, IgnoredAny)),
}

#[derive(Deserialize, Default)]
struct FrigateReview {
    #[serde(default)]
    objects: Vec<String>,
    #[serde(default)]
    sub_labels: Vec<String>,
    #[serde(default)]
    zones: Vec<String>,
}

impl FrigateState {
    fn labels(&self, topic: FrigateTopic) -> Box<dyn Iterator<Item = &str> + '_> {
        match topic {
            FrigateTopic::Events => {
                let sub_label = self.sub_label.iter().map(|sub_label| match sub_label {
                    SubLabel::Name(name) | SubLabel::Scored((name, _)) => name.as_str(),
                });
                Box::new(sub_label.chain([self.label.as_str()]))
            }
            FrigateTopic::Reviews => Box::new(
                self.data
                    .objects
                    .iter()
                    .chain(&self.data.sub_labels)
                    .map(String::as_str),
            ),
        }
    }

    fn zone(&self, topic: FrigateTopic) -> Option<&str> {
        let zones = match topic {
            FrigateTopic::Events => self.current_zones.first().or(self.entered_zones.first()),
            FrigateTopic::Reviews => self.data.zones.first(),
        };
        zones.map(String::as_str)
    }
}

/// Seconds since 1970, with a fraction, as Frigate writes them.
fn moment(seconds: f64) -> Result<UtcMillis, DecodeError> {
    crate::moment::from_millis(seconds * 1_000.0).ok_or(DecodeError::Time)
}

fn json<'p, T: Deserialize<'p>>(payload: &'p [u8]) -> Result<T, DecodeError> {
    if payload.len() > MAX_BYTES {
        return Err(DecodeError::TooLarge {
            bytes: payload.len(),
            max: MAX_BYTES,
        });
    }
    serde_json::from_slice(payload).map_err(|error| {
        let said = error.to_string();
        // The parser may quote the input: keep a little of it, and nothing that a terminal would obey.
        let why: String = said.chars().filter(|c| !c.is_control()).take(160).collect();
        DecodeError::Observation { why: Cow::Owned(why) }
    })
}

/// The identifier of a camera or device behind another: the other's own, a point, and its name. So a box speaks for
/// its own cameras, a gateway for its own sensors, and neither for anybody else's.
///
/// # Errors
/// [`DecodeError::BehindName`] when the two together are no identifier.
pub(crate) fn behind(device: &DeviceId, camera: &str) -> Result<DeviceId, DecodeError> {
    DeviceId::new(&format!("{device}.{camera}")).map_err(|why| DecodeError::BehindName {
        name: echo(camera),
        why,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const NEW: &str = r#"{"type":"new","before":{},"after":{"id":"1795000000.5-abc","camera":"kitchen",
        "frame_time":1795000001.0,"label":"cat","sub_label":null,"top_score":0.87,"false_positive":false,
        "start_time":1795000000.5,"end_time":null,"box":[1,2,3,4],"current_zones":["floor"],
        "entered_zones":["floor"],"attributes":{}}}"#;

    #[test]
    fn an_object_of_frigate_begins_and_ends() {
        let began = frigate(NEW.as_bytes(), FrigateTopic::Events).unwrap();
        assert_eq!(began.len(), 1);
        let OfCamera { camera, said } = &began[0];
        assert_eq!((camera.as_str(), said.check), ("kitchen", Check::AnimalInKitchen));
        assert_eq!(
            (said.state, said.at),
            (ObservedState::Began, UtcMillis(1_795_000_000_500))
        );
        assert_eq!(said.zone.as_ref().map(DeviceId::as_str), Some("floor"));
        assert_eq!((said.score, said.check_bounds()), (Some(0.87), Ok(())));
        let end = NEW
            .replace("\"new\"", "\"end\"")
            .replace("\"end_time\":null", "\"end_time\":1795000009.5");
        let ended = &frigate(end.as_bytes(), FrigateTopic::Events).unwrap()[0].said;
        assert_eq!(
            (ended.state, ended.at),
            (ObservedState::Ended, UtcMillis(1_795_000_009_500))
        );
        assert_eq!(ended.since(), UtcMillis(1_795_000_000_500));
    }

    #[test]
    fn what_is_no_finding_of_ours_is_passed_over() {
        for (old, new) in [
            ("\"cat\"", "\"person\""),
            ("\"new\"", "\"update\""),
            ("\"false_positive\":false", "\"false_positive\":true"),
        ] {
            let other = NEW.replace(old, new);
            assert_eq!(
                frigate(other.as_bytes(), FrigateTopic::Events).unwrap(),
                [],
                "{new}"
            );
        }
        let named = NEW
            .replace("\"cat\"", "\"person\"")
            .replace("\"sub_label\":null", "\"sub_label\":[\"no_mask\",0.9]");
        let said = &frigate(named.as_bytes(), FrigateTopic::Events).unwrap()[0].said;
        assert_eq!(said.check, Check::NoMask);
    }

    #[test]
    fn a_review_tells_each_check_once() {
        let review = r#"{"type":"new","before":{},"after":{"id":"r","camera":"hall","start_time":1795000000.0,
            "end_time":null,"severity":"alert","thumb_path":"x","data":{"detections":["a"],
            "objects":["cat","dog","person"],"sub_labels":["no_mask"],"zones":["serving"],"audio":[]}}}"#;
        let said = frigate(review.as_bytes(), FrigateTopic::Reviews).unwrap();
        let checks: Vec<Check> = said.iter().map(|s| s.said.check).collect();
        assert_eq!(checks, [Check::NoMask, Check::AnimalInKitchen]);
        assert_eq!(said[0].said.zone.as_ref().map(DeviceId::as_str), Some("serving"));
    }

    #[test]
    fn our_own_form_is_closed_and_bounded() {
        let good = r#"{"check":"bin_open","state":"began","ts":1795000000000,"score":0.8}"#;
        assert_eq!(own(good.as_bytes()).unwrap().check, Check::BinOpen);
        let cases = [
            (good.replace("bin_open", "bin"), "unknown variant"),
            (good.replace("\"score\"", "\"skore\""), "unknown field"),
            (good.replace("0.8", "1.8"), "0 to 1"),
            (good.replace(",\"ts\":1795000000000", ""), "missing field `ts`"),
            ("x".to_owned(), "expected value"),
            (format!("{good}\u{1b}[31m"), "trailing characters"),
        ];
        for (bad, word) in cases {
            let why = own(bad.as_bytes()).unwrap_err().to_string();
            assert!(why.contains(word), "{bad}: {why}");
            assert!(why.len() < 400 && !why.contains('\u{1b}'), "{why}");
        }
        let large = vec![b' '; MAX_BYTES + 1];
        assert!(matches!(own(&large), Err(DecodeError::TooLarge { .. })));
    }

    #[test]
    fn a_box_speaks_for_its_own_cameras_only() {
        let device = DeviceId::new("frigate-1").unwrap();
        assert_eq!(behind(&device, "kitchen").unwrap().as_str(), "frigate-1.kitchen");
        assert!(behind(&device, "../other").is_err());
        assert!(behind(&device, &"x".repeat(64)).is_err());
    }
}
