//! One camera from picture to finding, with real models.

use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use camera::Frame;
use domain::{
    Camera, CameraKey, CameraSource, Check, CheckSetting, DeviceId, FacilityId, PictureBox, Polygon, Room,
    Sighted, Spot, UtcMillis,
    camera::{Decoding, Retention, Zone},
    check::{Hours, Schedule, Vote},
    observation::ObservedState,
};
use image::RgbImage;
use models::Catalog;
use sunshine_vision::{
    judge::Judged,
    kit::Kit,
    motion::{Look, MotionOptions},
    pipeline::{Looked, Moment, Pipeline, taught_part},
    teach::{Lesson, TaughtHead, fit},
};

use crate::{libraries::runtimes, scenes};

const NOON: Moment = Moment {
    minute_of_day: 720,
    stove: None,
};

/// The fastest library's kit, for all tests of this file.
fn kit() -> MutexGuard<'static, Kit> {
    static KIT: OnceLock<Mutex<Kit>> = OnceLock::new();
    let open = || {
        let runtime = runtimes().pop().unwrap();
        Mutex::new(Kit::for_judging(&runtime, &Catalog::built_in(), None).unwrap())
    };
    KIT.get_or_init(open)
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
}

/// A setting that is quick to decide.
fn setting(check: Check) -> CheckSetting {
    CheckSetting {
        hours: Hours::Always,
        min_duration_s: 2,
        vote: Vote { needed: 2, of: 3 },
        ..CheckSetting::of(check)
    }
}

fn camera(checks: Vec<CheckSetting>) -> Camera {
    let spot = |x, y| Spot { x, y };
    let corner = vec![spot(0.7, 0.5), spot(1.0, 0.5), spot(1.0, 1.0), spot(0.7, 1.0)];
    Camera {
        key: CameraKey {
            facility: FacilityId::new("f1").unwrap(),
            camera: DeviceId::new("cam-1").unwrap(),
        },
        room: Room::Kitchen,
        place_zh: "热菜间".into(),
        place_en: "Hot kitchen".into(),
        source: CameraSource::Pushed,
        decoding: Decoding::KeyFrames,
        masks: Vec::new(),
        zones: vec![Zone {
            id: DeviceId::new("corner").unwrap(),
            name: "墙角".into(),
            area: Polygon::new(corner).unwrap(),
        }],
        line: None,
        capacity: None,
        checks,
        schedule: Schedule::default(),
        gb_id: None,
        live: true,
        retention: Retention::Days30,
        enabled: true,
    }
}

fn in_corner(check: Check) -> CheckSetting {
    CheckSetting {
        zone: Some(DeviceId::new("corner").unwrap()),
        ..setting(check)
    }
}

fn at(rgb: &RgbImage, ms: i64) -> Frame {
    Frame {
        at: UtcMillis(1_795_000_000_000 + ms),
        ..scenes::frame(rgb)
    }
}

/// Looks at pictures half a second apart.
fn watch(kit: &mut Kit, pipeline: &mut Pipeline, pictures: &[RgbImage]) -> Vec<Looked> {
    let frames = pictures.iter().zip(0..).map(|(rgb, n)| at(rgb, n * 500));
    frames
        .map(|frame| pipeline.look(kit, &frame, NOON).unwrap())
        .collect()
}

fn judged(looks: &[Looked]) -> impl Iterator<Item = &Judged> {
    looks.iter().filter_map(|look| look.judged.as_ref())
}

fn told(looks: &[Looked]) -> Vec<Sighted> {
    judged(looks)
        .flat_map(|judged| judged.observations.clone())
        .collect()
}

/// Somebody who walks through the room.
fn walk() -> Vec<RgbImage> {
    let portrait = scenes::scaled("astronaut.png", 400, 400);
    let places = (0..16).map(|n| 100 + n * 12);
    places
        .map(|left| scenes::furnished(&[(&portrait, left, 300)]))
        .collect()
}

fn lesson(kit: &Kit, check: Check) -> Lesson {
    let embedder = kit.embedder.as_ref().unwrap();
    Lesson {
        check,
        camera: None,
        embedder_sha256: embedder.stamp().sha256.clone(),
    }
}

/// Parts of pictures, with whether they show what the check looks for.
fn teach(kit: &mut Kit, check: Check, samples: &[(RgbImage, PictureBox, bool)]) -> TaughtHead {
    let lesson = lesson(kit, check);
    let embedder = kit.embedder.as_mut().unwrap();
    let samples: Vec<(Vec<f32>, bool)> = samples
        .iter()
        .map(|(rgb, part, yes)| (embedder.embed(&scenes::frame(rgb), part).unwrap(), *yes))
        .collect();
    fit(&lesson, &samples).unwrap()
}

#[test]
fn a_bare_face_that_stays_becomes_a_finding() {
    let mut kit = kit();
    let camera = camera(vec![setting(Check::NoMask)]);
    let mut pipeline = Pipeline::new(&camera, &[], &kit.judging, MotionOptions::default());
    let looks = watch(&mut kit, &mut pipeline, &walk());
    let told = told(&looks);
    assert_eq!(told.len(), 1, "{told:?}");
    let finding = &told[0];
    assert_eq!(
        (finding.check, finding.state),
        (Check::NoMask, ObservedState::Began)
    );
    assert!(finding.score.unwrap() > 0.9, "{finding:?}");
    assert!((finding.threshold.unwrap() - 0.8).abs() < 1e-6, "{finding:?}");
    let model = finding.model.as_ref().unwrap();
    assert_eq!(&model.sha256, &kit.mask.as_ref().unwrap().stamp().sha256);
    let last = judged(&looks).last().unwrap();
    assert!(last.boxes.iter().any(|seen| seen.label == "person"), "{last:?}");
}

#[test]
fn a_cat_that_walks_through_becomes_a_finding() {
    let mut kit = kit();
    let camera = camera(vec![setting(Check::AnimalInKitchen)]);
    let mut pipeline = Pipeline::new(&camera, &[], &kit.judging, MotionOptions::default());
    let cat = scenes::scaled("chelsea.png", 451, 300);
    let pictures: Vec<RgbImage> = (0..16)
        .map(|n| scenes::furnished(&[(&cat, 100 + n * 30, 350)]))
        .collect();
    let told = told(&watch(&mut kit, &mut pipeline, &pictures));
    let checks: Vec<Check> = told.iter().map(|told| told.check).collect();
    assert_eq!(checks, [Check::AnimalInKitchen], "{told:?}");
}

#[test]
fn a_picture_in_which_nothing_moves_costs_no_look() {
    let mut kit = kit();
    let camera = camera(vec![setting(Check::NoMask)]);
    let mut pipeline = Pipeline::new(&camera, &[], &kit.judging, MotionOptions::default());
    let still = vec![walk()[0].clone(); 8];
    let looks = watch(&mut kit, &mut pipeline, &still);
    let kinds: Vec<Look> = looks.iter().map(|look| look.motion.look).collect();
    let mut want = [Look::Skip; 8];
    (want[0], want[6]) = (Look::Forced, Look::Forced);
    assert_eq!(kinds, want);
    assert_eq!(judged(&looks).count(), 2);
    pipeline.reset();
    let again = pipeline.look(&mut kit, &at(&still[0], 4_500), NOON).unwrap();
    assert_eq!(again.motion.look, Look::Forced);
}

#[test]
fn a_taught_check_of_people_is_judged_by_what_was_taught() {
    let mut kit = kit();
    let portrait = scenes::scaled("astronaut.png", 400, 400);
    let cat = scenes::scaled("chelsea.png", 400, 400);
    let mut samples = Vec::new();
    for n in 0..6 {
        for (picture, bare) in [(&portrait, true), (&cat, false)] {
            let rgb = scenes::furnished(&[(picture, 100 + n * 20, 300)]);
            let left = (100 + n * 20) as f32 / 1280.0;
            let whole = PictureBox::new(left, 0.42, left + 0.22, 0.97).unwrap();
            let part = taught_part(Check::NoHeadCover, &scenes::frame(&rgb), &whole);
            samples.push((rgb, part, bare));
        }
    }
    let head = teach(&mut kit, Check::NoHeadCover, &samples);
    assert!(head.may_alert(), "{}", head.auc);
    let camera = camera(vec![setting(Check::NoHeadCover)]);
    let mut other = head.clone();
    other.embedder_sha256 = "00".repeat(32);
    for (head, findings) in [(head, 1), (other, 0)] {
        let mut pipeline = Pipeline::new(&camera, &[head], &kit.judging, MotionOptions::default());
        let told = told(&watch(&mut kit, &mut pipeline, &walk()));
        assert_eq!(told.len(), findings, "{told:?}");
        for finding in told {
            assert_eq!(finding.check, Check::NoHeadCover);
            assert_eq!(finding.model.unwrap().name, "taught-no_head_cover");
        }
    }
}

#[test]
fn a_taught_state_of_a_part_of_the_picture_is_judged_unless_somebody_hides_it() {
    let mut kit = kit();
    let cat = scenes::scaled("chelsea.png", 380, 350);
    let corner = PictureBox::new(0.7, 0.5, 1.0, 1.0).unwrap();
    let open = scenes::furnished(&[(&cat, 900, 365)]);
    let closed = scenes::furnished(&[]);
    let mut samples = Vec::new();
    for n in 0..6 {
        let shift = n as f32 * 0.01;
        let part = PictureBox::new(0.7 - shift, 0.5 - shift, 1.0, 1.0).unwrap();
        samples.push((open.clone(), part, true));
        let blank = PictureBox::new(0.1 + shift, 0.1, 0.4 + shift, 0.6).unwrap();
        samples.push((closed.clone(), blank, false));
    }
    samples.push((closed.clone(), corner, false));
    let head = teach(&mut kit, Check::BinOpen, &samples);
    let camera = camera(vec![in_corner(Check::BinOpen)]);
    let mut judging = kit.judging.clone();
    judging.region_every_ms = 1_000;
    let mut watched = |pictures: Vec<RgbImage>| {
        let heads = [head.clone()];
        let mut pipeline = Pipeline::new(&camera, &heads, &judging, MotionOptions::default());
        told(&watch(&mut kit, &mut pipeline, &pictures))
    };
    let told = watched(vec![open; 20]);
    let checks: Vec<Check> = told.iter().map(|told| told.check).collect();
    assert_eq!(checks, [Check::BinOpen], "{told:?}");
    assert_eq!(watched(vec![closed; 20]), []);
    let portrait = scenes::scaled("astronaut.png", 420, 420);
    let hidden = scenes::furnished(&[(&cat, 900, 365), (&portrait, 870, 300)]);
    assert_eq!(watched(vec![hidden; 20]), []);
}

#[test]
fn what_is_private_in_a_picture_is_known_before_it_is_shown() {
    let mut kit = kit();
    let rgb = &walk()[0];
    let parts = kit.private_parts(&scenes::frame(rgb)).unwrap();
    // The middle of the face, which lies at 44 % and 26 % of the portrait.
    let face = Spot {
        x: (100.0 + 0.44 * 400.0) / 1280.0,
        y: (300.0 + 0.26 * 400.0) / 720.0,
    };
    assert!(parts.iter().any(|part| part.contains(face)), "{parts:?}");
    kit.faces = None;
    let halves = kit.private_parts(&scenes::frame(rgb)).unwrap();
    assert!(halves.iter().any(|part| part.contains(face)), "{halves:?}");
    *kit = {
        let runtime = runtimes().pop().unwrap();
        Kit::for_judging(&runtime, &Catalog::built_in(), None).unwrap()
    };
}
