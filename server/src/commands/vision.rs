//! Pictures judged apart from the running server.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use camera::{decode::PictureLimits, source::read_picture};
use domain::{
    Camera, CameraKey, CameraSource, DeviceId, FacilityId, Room, Schedule, UtcMillis,
    camera::{Decoding, Retention},
    observation::ObservedState,
};
use vision::{
    detector::DetectorOptions,
    evaluate::{Labels, Report, Told, evaluate as compare},
    kit::Kit,
    motion::{Look, MotionGate},
    pipeline::{Moment, Pipeline, findings_of},
};

use crate::{
    cli::VisionEvaluateArgs,
    commands::{load, say},
    sight::open_models,
};

/// How far from its labelled span an event may be told, in seconds.
const TOLERANCE_S: f64 = 2.0;

/// The most pictures of one clip.
const MAX_PICTURES: usize = 100_000;

/// The widest picture that is judged, in pixels: as a live camera's.
const WIDTH: u32 = 640;

/// Noon: checks of working hours are made.
const NOON_MIN: u16 = 720;

pub(crate) fn evaluate(args: &VisionEvaluateArgs) -> anyhow::Result<()> {
    let config = load(&args.config)?;
    let (runtime, catalog) = open_models(&config.vision)?;
    let mut kit =
        Kit::open(&runtime, &catalog, &DetectorOptions::default()).context("cannot start the models")?;
    let findings = findings_of(&catalog);
    let mut clips = Vec::new();
    for dir in clips_of(&args.dir)? {
        let text = std::fs::read_to_string(dir.join("labels.toml"))?;
        let labels =
            Labels::parse(&text).with_context(|| format!("cannot read the labels of {}", dir.display()))?;
        let mut pipeline = Pipeline::new(&camera_of(&labels)?, Vec::new(), findings.clone());
        let told = judge(&mut kit, &mut pipeline, &dir, &labels)?;
        say(&format!(
            "{}: {} events told in {:.0} s",
            dir.display(),
            told.began.len(),
            told.length_s
        ))?;
        clips.push((labels, told));
    }
    say(&format!("judged by {}", runtime.backend()))?;
    tell(&compare(&clips, TOLERANCE_S))
}

/// The folders below `dir` that have labels; `dir` itself, if it has.
fn clips_of(dir: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let mut clips: Vec<PathBuf> = std::fs::read_dir(dir)
        .with_context(|| format!("cannot read {}", dir.display()))?
        .filter_map(|entry| entry.ok().map(|entry| entry.path()))
        .chain([dir.to_owned()])
        .filter(|path| path.join("labels.toml").is_file())
        .collect();
    clips.sort();
    if clips.is_empty() {
        bail!(
            "{} holds no clip: a folder of pictures with a labels.toml",
            dir.display()
        );
    }
    Ok(clips)
}

fn camera_of(labels: &Labels) -> anyhow::Result<Camera> {
    Ok(Camera {
        key: CameraKey {
            facility: FacilityId::new("evaluation")?,
            camera: DeviceId::new("clip")?,
        },
        room: Room::Kitchen,
        place_zh: String::new(),
        place_en: String::new(),
        source: CameraSource::Pushed,
        decoding: Decoding::default(),
        masks: Vec::new(),
        zones: labels.zones.clone(),
        line: None,
        capacity: None,
        checks: labels.checks.clone(),
        schedule: Schedule::default(),
        gb_id: None,
        live: false,
        retention: Retention::default(),
        enabled: true,
    })
}

fn judge(kit: &mut Kit, pipeline: &mut Pipeline, dir: &Path, labels: &Labels) -> anyhow::Result<Told> {
    let mut told = Told::default();
    let mut gate = MotionGate::new(3_000);
    let step_ms = i64::from(labels.interval_ms);
    for (file, n) in pictures_of(dir)?.iter().zip(0i64..) {
        let at = UtcMillis(n * step_ms);
        let frame = read_picture(file, at, &PictureLimits::default(), WIDTH)
            .with_context(|| format!("cannot read {}", file.display()))?;
        told.length_s = (n + 1) as f64 * step_ms as f64 / 1_000.0;
        let look = gate.observe(&frame).look;
        if look == Look::Skip {
            continue;
        }
        let moment = Moment {
            at,
            minute: NOON_MIN,
            look,
            stove: None,
        };
        let looked = pipeline.look(kit, &frame, moment)?;
        told.verdicts += looked.verdicts;
        told.unjudged += looked.unjudged;
        let began = looked
            .judged
            .observations
            .iter()
            .filter(|o| o.state == ObservedState::Began);
        told.began.extend(began.map(|o| (o.check, at.0 as f64 / 1_000.0)));
    }
    Ok(told)
}

fn pictures_of(dir: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let is_picture = |path: &PathBuf| {
        let extension = path
            .extension()
            .and_then(|e| e.to_str())
            .unwrap_or_default()
            .to_ascii_lowercase();
        ["jpg", "jpeg", "png"].contains(&extension.as_str())
    };
    let mut pictures: Vec<PathBuf> = std::fs::read_dir(dir)?
        .filter_map(|entry| entry.ok().map(|entry| entry.path()))
        .filter(is_picture)
        .take(MAX_PICTURES)
        .collect();
    pictures.sort();
    Ok(pictures)
}

fn tell(report: &Report) -> anyhow::Result<()> {
    let percent =
        |share: Option<f64>| share.map_or_else(|| "–".to_owned(), |s| format!("{:.1} %", s * 100.0));
    say("check\tfound\tmissed\tfalse\tprecision\trecall\tfalse alarms a camera-day\tmedian delay")?;
    for (check, score) in &report.checks {
        let per_day = report
            .false_alarms_per_day(*check)
            .map_or_else(|| "–".to_owned(), |n| format!("{n:.1}"));
        let delay = score
            .median_delay_s()
            .map_or_else(|| "–".to_owned(), |s| format!("{s:.1} s"));
        say(&format!(
            "{}\t{}\t{}\t{}\t{}\t{}\t{per_day}\t{delay}",
            check.code(),
            score.found,
            score.missed,
            score.false_alarms,
            percent(score.precision()),
            percent(score.recall()),
        ))?;
    }
    say(&format!(
        "{:.4} camera-days; {} of verdicts could not be given",
        report.camera_days,
        percent(report.unjudged_share)
    ))
}
