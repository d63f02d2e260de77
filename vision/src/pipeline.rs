//! One camera's way from a picture to what is told: motion, detector, tracker, closer looks, judgement.
//!
//! A pipeline is one camera's state and belongs to one job at a time (see [`crate::worker`]); the models are the
//! worker's. When a job hung or panicked, its pipeline is dropped with it and made anew: what was followed is
//! forgotten, as after a reconnection.

use std::collections::BTreeMap;

use camera::Frame;
use domain::{Camera, Check, DeviceId, PictureBox, observation::ModelStamp};
use sha2::{Digest, Sha256};

use crate::{
    face::head,
    infer::InferError,
    judge::{Ask, CameraJudge, JudgeOptions, Judged, RegionAsk, Verdicts},
    kit::{Kit, LEAST_SHARPNESS},
    motion::{Look, Motion, MotionGate, MotionOptions},
    seen::{PersonVerdict, RegionVerdict, Unjudged, Verdict},
    teach::TaughtHead,
};

/// A part of a person with a shorter side of fewer points of the camera's picture is not judged by a taught head.
const LEAST_SIDE_PX: f32 = 40.0;

/// A part of the picture is hidden when a person covers more of it than this share.
const MOST_COVERED: f32 = 0.5;

/// What is known beside the picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment {
    /// Minutes after midnight where the camera hangs, 0 to 1,439.
    pub minute_of_day: u16,
    /// Whether the stove burns, as a sensor says; `None` when there is none. Without one a taught head may say.
    pub stove: Option<bool>,
}

/// What a look at one picture gave.
#[derive(Debug, Clone, PartialEq)]
pub struct Looked {
    /// What the motion gate said.
    pub motion: Motion,
    /// What is to be told; `None` when the picture was not worth a look.
    pub judged: Option<Judged>,
}

/// One camera's state.
pub struct Pipeline {
    gate: MotionGate,
    judge: CameraJudge,
    heads: BTreeMap<Check, TaughtHead>,
    /// The part of the picture in which the stove is, when a head was taught how it looks when it burns.
    stove: Option<PictureBox>,
}

impl Pipeline {
    /// A pipeline that has seen nothing. `heads` are those that were taught for this camera, and for all; of two of the
    /// same check the camera's own counts. `judging` is what does not depend on the camera: [`Kit::judging`].
    #[must_use]
    pub fn new(
        camera: &Camera,
        heads: &[TaughtHead],
        judging: &JudgeOptions,
        motion: MotionOptions,
    ) -> Pipeline {
        let mut chosen: BTreeMap<Check, TaughtHead> = BTreeMap::new();
        for head in heads {
            let own = head.camera.as_ref() == Some(&camera.key);
            if own || (head.camera.is_none() && !chosen.contains_key(&head.check)) {
                chosen.insert(head.check, head.clone());
            }
        }
        let mut judging = judging.clone();
        for (check, head) in &chosen {
            judging.models.insert(*check, taught_stamp(head));
            judging.thresholds.insert(*check, head.threshold);
            if !head.may_alert() {
                judging.display_only.insert(*check);
            }
        }
        // Whether the stove is unattended is told by the people who are not there: a head that is shown only must not
        // say so either.
        let stove = chosen
            .get(&Check::StoveUnattended)
            .filter(|head| head.may_alert());
        let stove = stove.and_then(|_| zone_of(camera, Check::StoveUnattended));
        Pipeline {
            gate: MotionGate::new(motion, &camera.masks),
            judge: CameraJudge::new(camera, &judging),
            heads: chosen,
            stove,
        }
    }

    /// Looks at a picture, when it is worth it, and says what is to be told.
    ///
    /// # Errors
    /// [`InferError::Frame`], [`InferError::Run`] or [`InferError::BadOutput`]. What was followed stays as it was
    /// before.
    pub fn look(&mut self, kit: &mut Kit, frame: &Frame, moment: Moment) -> Result<Looked, InferError> {
        let motion = self.gate.wants_look(frame);
        if !motion.wants_look() {
            return Ok(Looked { motion, judged: None });
        }
        let found = kit.detect(frame)?;
        if motion.look == Look::NewLight {
            self.judge.reset();
        }
        let (at, minute) = (frame.at, moment.minute_of_day);
        let asks = self.judge.track(at, minute, &found);
        let persons = self.ask_persons(kit, frame, &asks)?;
        let regions = self.ask_regions(kit, frame, minute)?;
        let stove = match moment.stove {
            Some(burns) => Some(burns),
            None => self.taught_stove(kit, frame)?,
        };
        let said = Verdicts {
            persons: &persons,
            regions: &regions,
            stove,
        };
        let judged = Some(self.judge.judge(at, minute, &said));
        Ok(Looked { motion, judged })
    }

    /// The judgement's own state: who is followed, what was folded or passed over.
    #[must_use]
    pub fn judge(&self) -> &CameraJudge {
        &self.judge
    }

    /// The camera was connected anew: what was seen is forgotten.
    pub fn reset(&mut self) {
        self.gate.reset();
        self.judge.reset();
    }

    fn ask_persons(
        &self,
        kit: &mut Kit,
        frame: &Frame,
        asks: &[Ask],
    ) -> Result<Vec<PersonVerdict>, InferError> {
        let around: Vec<PictureBox> = self.seen_areas().collect();
        // Several checks look at the same part of a person: it is embedded once.
        let mut crops = Crops::default();
        let mut verdicts = Vec::with_capacity(asks.len());
        for ask in asks {
            let verdict = match self.heads.get(&ask.check) {
                Some(head) => crops.judge(kit, frame, (head, taught_part(ask.check, frame, &ask.area)))?,
                None if ask.check == Check::NoMask => kit.without_mask(frame, &ask.area, &around)?,
                None => Verdict::Unjudged(Unjudged::NoModel),
            };
            verdicts.push(PersonVerdict {
                track: ask.track,
                check: ask.check,
                verdict,
            });
        }
        Ok(verdicts)
    }

    fn ask_regions(
        &mut self,
        kit: &mut Kit,
        frame: &Frame,
        minute_of_day: u16,
    ) -> Result<Vec<RegionVerdict>, InferError> {
        let asks = self.judge.regions(frame.at, minute_of_day);
        let mut crops = Crops::default();
        let mut verdicts = Vec::with_capacity(asks.len());
        for RegionAsk { zone, check, area } in asks {
            let verdict = match self.heads.get(&check) {
                None => Verdict::Unjudged(Unjudged::NoModel),
                Some(_) if self.is_covered(&area) => Verdict::Unjudged(Unjudged::Occluded),
                Some(head) => crops.embed(kit, frame, (head, area))?,
            };
            verdicts.push(RegionVerdict { zone, check, verdict });
        }
        Ok(verdicts)
    }

    /// Whether the stove burns, as a taught head says; `None` when it cannot say.
    fn taught_stove(&self, kit: &mut Kit, frame: &Frame) -> Result<Option<bool>, InferError> {
        let Some((head, area)) = self.heads.get(&Check::StoveUnattended).zip(self.stove) else {
            return Ok(None);
        };
        if self.is_covered(&area) {
            return Ok(None);
        }
        Ok(match Crops::default().embed(kit, frame, (head, area))? {
            Verdict::Positive(_) => Some(true),
            Verdict::Negative(_) => Some(false),
            Verdict::Unjudged(_) => None,
        })
    }

    fn seen_areas(&self) -> impl Iterator<Item = PictureBox> + '_ {
        let seen = self.judge.tracks().iter().filter(|track| track.is_seen());
        seen.map(|track| track.area)
    }

    fn is_covered(&self, area: &PictureBox) -> bool {
        let most = area.area() * MOST_COVERED;
        self.seen_areas().any(|person| person.overlap(area) > most)
    }
}

/// The part of a person at which a taught check looks: the head for what is worn on it, else all of them. Pictures that
/// are marked to teach the check show the same part.
#[must_use]
pub fn taught_part(check: Check, frame: &Frame, person: &PictureBox) -> PictureBox {
    match check {
        Check::NoHeadCover | Check::NoMask => head(frame, person),
        _ => *person,
    }
}

/// What was embedded of one picture.
#[derive(Default)]
struct Crops(Vec<(PictureBox, Vec<f32>)>);

impl Crops {
    /// What a head says of a part of a person, when it is large and sharp enough.
    fn judge(
        &mut self,
        kit: &mut Kit,
        frame: &Frame,
        (head, part): (&TaughtHead, PictureBox),
    ) -> Result<Verdict, InferError> {
        let (width, height) = (frame.width as f32, frame.height as f32);
        if (part.width() * width).min(part.height() * height) < LEAST_SIDE_PX {
            return Ok(Verdict::Unjudged(Unjudged::TooSmall));
        }
        if kit.sharpness(frame, &part)? < LEAST_SHARPNESS {
            return Ok(Verdict::Unjudged(Unjudged::Blurred));
        }
        self.embed(kit, frame, (head, part))
    }

    /// What a head says of a part of the picture.
    fn embed(
        &mut self,
        kit: &mut Kit,
        frame: &Frame,
        (head, part): (&TaughtHead, PictureBox),
    ) -> Result<Verdict, InferError> {
        let embedder = kit.embedder.as_mut();
        let Some(embedder) = embedder.filter(|embedder| embedder.stamp().sha256 == head.embedder_sha256)
        else {
            return Ok(Verdict::Unjudged(Unjudged::NoModel));
        };
        if let Some((_, embedding)) = self.0.iter().find(|(known, _)| *known == part) {
            return Ok(head.verdict(embedding));
        }
        let embedding = embedder.embed(frame, &part)?;
        let verdict = head.verdict(&embedding);
        self.0.push((part, embedding));
        Ok(verdict)
    }
}

/// The rectangle around the zone of this check's setting.
fn zone_of(camera: &Camera, check: Check) -> Option<PictureBox> {
    let setting = camera.checks.iter().find(|setting| setting.check == check)?;
    let zone: &DeviceId = setting.zone.as_ref()?;
    Some(camera.zone(zone)?.area.bounds())
}

/// The name and hash under which a taught head's findings go out.
fn taught_stamp(head: &TaughtHead) -> ModelStamp {
    let mut hash = Sha256::new();
    hash.update(head.embedder_sha256.as_bytes());
    for number in head.weights.iter().chain([&head.bias, &head.threshold]) {
        hash.update(number.to_le_bytes());
    }
    ModelStamp {
        name: format!("taught-{}", head.check.code()),
        sha256: hex::encode(hash.finalize()),
    }
}
