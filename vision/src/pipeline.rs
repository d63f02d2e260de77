//! One camera's look at one picture, from the detector to observations.
//!
//! Whether a picture is looked at at all is the motion gate's word ([`crate::motion`]); a look runs on a worker, with
//! that worker's models. The models' answers are the same wherever the picture comes from: a live camera, a folder, a
//! labelled clip.

use std::{collections::BTreeMap, sync::Arc};

use camera::Frame;
use domain::{
    Camera, Check, DeviceId, PictureBox, Sighted, UtcMillis,
    check::CheckKind,
    observation::{LabelledBox, ModelStamp},
};
use models::Catalog;

use crate::{
    infer::InferError,
    judge::{Ask, CameraJudge, JudgeOptions, Judged, PERSON},
    kit::{Extra, Kit},
    motion::Look,
    seen::{Detection, PersonVerdict, RegionVerdict, Unjudged, Verdict},
    teach::TaughtHead,
};

/// A taught head and the place it was taught for.
#[derive(Debug, Clone, PartialEq)]
pub struct Taught {
    /// The zone; `None` for people anywhere.
    pub zone: Option<DeviceId>,
    /// The head.
    pub head: TaughtHead,
}

/// A crop that a taught check looks at.
#[derive(Debug, Clone, PartialEq)]
pub struct TaughtCrop {
    /// Where it is.
    pub area: PictureBox,
    /// What the embedder says of it.
    pub embedding: Vec<f32>,
    /// The embedder.
    pub embedder_sha256: String,
}

/// What a head says that may not raise anything yet.
#[derive(Debug, Clone, PartialEq)]
pub struct Shown {
    /// The check.
    pub check: Check,
    /// Where.
    pub area: PictureBox,
    /// What the head says.
    pub verdict: Verdict,
}

/// What came of one look.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Looked {
    /// What is to be said.
    pub judged: Judged,
    /// What heads say that are not good enough to raise anything.
    pub shown: Vec<Shown>,
    /// Verdicts that were asked for.
    pub verdicts: u64,
    /// Of these, the ones that could not be given.
    pub unjudged: u64,
}

/// When a look is taken, and what is known of the kitchen meanwhile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment {
    /// When the picture came in.
    pub at: UtcMillis,
    /// The minute of the local day, 0 to 1,439.
    pub minute: u16,
    /// Why it is looked at.
    pub look: Look,
    /// Whether the stove burns, as a sensor says; `None` when none does.
    pub stove: Option<bool>,
}

/// The checks for which labels of detectors stand, over all models of a catalogue.
#[must_use]
pub fn findings_of(catalog: &Catalog) -> BTreeMap<Arc<str>, Check> {
    let cards = catalog.models().iter();
    cards
        .flat_map(|card| {
            card.findings
                .iter()
                .map(|(label, check)| (Arc::clone(label), *check))
        })
        .collect()
}

/// The part of the picture that a taught check looks at, of a person: the head for what covers it, else all of them.
#[must_use]
pub fn part_of_person(check: Check, person: &PictureBox) -> PictureBox {
    match check {
        // The head of somebody who stands is a fifth of them; of somebody behind a worktop, more.
        Check::NoHeadCover => PictureBox {
            bottom: person.top + person.height() * 0.35,
            ..*person
        },
        _ => *person,
    }
}

/// One camera's way of looking.
pub struct Pipeline {
    judge: CameraJudge,
    camera: Camera,
    findings: BTreeMap<Arc<str>, Check>,
    taught: Vec<Taught>,
}

impl Pipeline {
    /// A camera that has seen nothing. `findings` are the labels that stand for checks ([`findings_of`]).
    #[must_use]
    pub fn new(camera: &Camera, taught: Vec<Taught>, findings: BTreeMap<Arc<str>, Check>) -> Pipeline {
        let options = JudgeOptions {
            findings: findings.clone(),
            ..JudgeOptions::default()
        };
        Pipeline {
            judge: CameraJudge::new(camera, options),
            camera: camera.clone(),
            findings,
            taught,
        }
    }

    /// Takes other heads from now on: somebody has taught.
    pub fn teach(&mut self, taught: Vec<Taught>) {
        self.taught = taught;
    }

    /// Looks at a picture and judges it.
    ///
    /// # Errors
    /// [`InferError`] when a model fails or gives nonsense: nothing was judged then.
    pub fn look(&mut self, kit: &mut Kit, frame: &Frame, moment: Moment) -> Result<Looked, InferError> {
        let ended = match moment.look {
            Look::Anew => self.judge.reset(moment.at),
            Look::Skip | Look::Moved | Look::Due => Vec::new(),
        };
        let found = everything(kit, frame)?;
        let asks = self.judge.track(moment.at, moment.minute, &found);
        let mut looked = Looked::default();
        let people = self.ask_people(kit, frame, (&asks, &found), &mut looked.shown)?;
        let regions = self.ask_regions(kit, frame, moment.minute, &mut looked.shown)?;
        let given = people
            .iter()
            .map(|v| v.verdict)
            .chain(regions.iter().map(|v| v.verdict));
        for verdict in given {
            looked.verdicts += 1;
            looked.unjudged += u64::from(matches!(verdict, Verdict::Unjudged(_)));
        }
        let stove = moment.stove;
        let mut judged = self
            .judge
            .judge((moment.at, moment.minute), &people, &regions, stove);
        judged.observations.splice(0..0, ended);
        for observation in &mut judged.observations {
            self.vouch(kit, observation);
        }
        looked.judged = judged;
        Ok(looked)
    }

    /// Everything that must be made unrecognisable in a picture before anybody sees it: faces, and heads where a
    /// face may be.
    ///
    /// # Errors
    /// As [`Pipeline::look`]. Without a model that finds faces, the heads of all people.
    pub fn faces(kit: &mut Kit, frame: &Frame, boxes: &[LabelledBox]) -> Result<Vec<PictureBox>, InferError> {
        let people: Vec<PictureBox> = boxes
            .iter()
            .filter(|b| b.track.is_some())
            .map(|b| b.area)
            .collect();
        match &mut kit.faces {
            Some(faces) => faces.faces_in(frame, &people),
            None => Ok(people
                .iter()
                .map(|p| part_of_person(Check::NoHeadCover, p))
                .collect()),
        }
    }

    /// The crops of this picture that a taught check would look at, with what the embedder says of them.
    ///
    /// # Errors
    /// As [`Pipeline::look`]; [`InferError::NoModel`] without an embedder.
    pub fn crops(
        &self,
        kit: &mut Kit,
        frame: &Frame,
        check: Check,
        zone: Option<&DeviceId>,
    ) -> Result<Vec<TaughtCrop>, InferError> {
        let area = zone
            .and_then(|zone| self.camera.zone(zone))
            .map(|zone| &zone.area);
        let parts: Vec<PictureBox> = match (check.info().kind, area) {
            (CheckKind::Region, Some(area)) => vec![area.bounds()],
            (CheckKind::Person, area) => {
                let people = kit.detector.detect(frame)?;
                let there = |d: &&Detection| {
                    &*d.label == PERSON && area.is_none_or(|area| area.contains(d.area.foot()))
                };
                people
                    .iter()
                    .filter(there)
                    .map(|d| part_of_person(check, &d.area))
                    .collect()
            }
            _ => Vec::new(),
        };
        let embedder = kit
            .embedder
            .as_mut()
            .ok_or(InferError::NoModel("describing crops"))?;
        let embedder_sha256 = embedder.stamp().sha256.clone();
        let crop = |area: PictureBox| {
            Ok(TaughtCrop {
                area,
                embedding: embedder.embed(frame, &area)?,
                embedder_sha256: embedder_sha256.clone(),
            })
        };
        parts.into_iter().map(crop).collect()
    }

    fn ask_people(
        &self,
        kit: &mut Kit,
        frame: &Frame,
        (asks, found): (&[Ask], &[Detection]),
        shown: &mut Vec<Shown>,
    ) -> Result<Vec<PersonVerdict>, InferError> {
        let mut verdicts = Vec::new();
        for ask in asks {
            let others: Vec<PictureBox> = found
                .iter()
                .filter(|d| &*d.label == PERSON && d.area != ask.area)
                .map(|d| d.area)
                .collect();
            for &check in &ask.checks {
                let verdict = match self.own_label(check, ask, found) {
                    Some(score) => Verdict::Positive(score),
                    None => match self.taught(check, None) {
                        Some(head) => {
                            self.by_head(kit, frame, (head, part_of_person(check, &ask.area)), shown)?
                        }
                        None if check == Check::NoMask => kit.without_mask(frame, &ask.area, &others)?,
                        None => Verdict::Unjudged(Unjudged::NoModel),
                    },
                };
                verdicts.push(PersonVerdict {
                    track: ask.track,
                    check,
                    verdict: self.sure_enough(check, verdict),
                });
            }
        }
        Ok(verdicts)
    }

    fn ask_regions(
        &self,
        kit: &mut Kit,
        frame: &Frame,
        minute: u16,
        shown: &mut Vec<Shown>,
    ) -> Result<Vec<RegionVerdict>, InferError> {
        let mut verdicts = Vec::new();
        for (check, zone, area) in self.judge.regions(minute) {
            let verdict = match self.taught(check, Some(zone)) {
                Some(head) => self.by_head(kit, frame, (head, area.bounds()), shown)?,
                None => Verdict::Unjudged(Unjudged::NoModel),
            };
            verdicts.push(RegionVerdict {
                zone: zone.clone(),
                check,
                verdict: self.sure_enough(check, verdict),
            });
        }
        Ok(verdicts)
    }

    /// A head's word. That of one which is not good enough is shown and weighs nothing.
    fn by_head(
        &self,
        kit: &mut Kit,
        frame: &Frame,
        (head, area): (&TaughtHead, PictureBox),
        shown: &mut Vec<Shown>,
    ) -> Result<Verdict, InferError> {
        let nothing = Verdict::Unjudged(Unjudged::NoModel);
        let Some(embedder) = &mut kit.embedder else {
            return Ok(nothing);
        };
        // A head means nothing to another embedder than its own.
        if embedder.stamp().sha256 != head.embedder_sha256 {
            return Ok(nothing);
        }
        let verdict = head.verdict(&embedder.embed(frame, &area)?);
        if head.may_alert() {
            return Ok(verdict);
        }
        shown.push(Shown {
            check: head.check,
            area,
            verdict,
        });
        Ok(nothing)
    }

    /// How sure an operator's detector is that this person breaks the check, if it says so.
    fn own_label(&self, check: Check, ask: &Ask, found: &[Detection]) -> Option<f32> {
        let says = |d: &&Detection| {
            self.findings.get(&d.label) == Some(&check) && ask.area.contains(d.area.centre())
        };
        found.iter().filter(says).map(|d| d.score).max_by(f32::total_cmp)
    }

    fn taught(&self, check: Check, zone: Option<&DeviceId>) -> Option<&TaughtHead> {
        let of_check = |t: &&Taught| t.head.check == check && (zone.is_none() || t.zone.as_ref() == zone);
        self.taught.iter().find(of_check).map(|taught| &taught.head)
    }

    /// A positive verdict that is less sure than the camera asks for is none.
    fn sure_enough(&self, check: Check, verdict: Verdict) -> Verdict {
        let settings = self.camera.checks.iter().filter(|s| s.check == check);
        let least = settings.filter_map(|s| s.sensitivity).min_by(f32::total_cmp);
        match (verdict, least) {
            (Verdict::Positive(score), Some(least)) if score < least => Verdict::Negative(score),
            (verdict, _) => verdict,
        }
    }

    /// Says which model an observation rests on.
    fn vouch(&self, kit: &Kit, observation: &mut Sighted) {
        let taught = self.taught(observation.check, observation.zone.as_ref());
        observation.model = Some(match (taught, observation.check, &kit.mask) {
            (Some(head), ..) => ModelStamp {
                name: format!(
                    "taught {} ({} crops)",
                    head.check.code(),
                    head.positives + head.negatives
                ),
                sha256: head.embedder_sha256.clone(),
            },
            (None, Check::NoMask, Some(mask)) => mask.stamp().clone(),
            _ => kit.detector.stamp().clone(),
        });
        if let (Some(head), None) = (taught, observation.threshold) {
            observation.threshold = Some(head.threshold);
        }
    }
}

/// What the detector and the operator's own models find.
fn everything(kit: &mut Kit, frame: &Frame) -> Result<Vec<Detection>, InferError> {
    let mut found = kit.detector.detect(frame)?;
    for extra in &mut kit.extras {
        match extra {
            Extra::Detector(detector) => found.extend(detector.detect(frame)?),
            Extra::Classifier(classifier) => {
                let labels = classifier.labels().to_vec();
                let scores = classifier.judge(frame, &PictureBox::WHOLE)?;
                let told = labels
                    .into_iter()
                    .zip(scores)
                    .filter(|(label, score)| *score >= 0.5 && !label.is_empty());
                found.extend(told.map(|(label, score)| Detection {
                    label,
                    score,
                    area: PictureBox::WHOLE,
                }));
            }
        }
    }
    Ok(found)
}
