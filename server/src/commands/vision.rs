//! Pictures judged apart from the running server.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use anyhow::{Context, bail};
use camera::{decode::PictureLimits, source::read_picture};
use domain::{
    Camera, CameraKey, CameraSource, Check, CheckSetting, DeviceId, FacilityId, Room, Schedule, UtcMillis,
    camera::{Decoding, Retention},
    check::{CHECKS, Hours},
    observation::{ObservedState, Tally},
};
use vision::{
    evaluate::{Clip, Event, Labels, Report, Score, evaluate as compare},
    kit::Kit,
    motion::MotionOptions,
    pipeline::{Moment, Pipeline},
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
    let mut kit = Kit::for_judging(&runtime, &catalog, None).context("cannot start the models")?;
    let mut clips = Vec::new();
    for dir in clips_of(&args.dir)? {
        let text = std::fs::read_to_string(dir.join("labels.toml"))?;
        let labels =
            Labels::parse(&text).with_context(|| format!("cannot read the labels of {}", dir.display()))?;
        let mut pipeline = Pipeline::new(&camera_of(&labels)?, &[], &kit.judging, MotionOptions::default());
        let clip = judge(&mut kit, &mut pipeline, (&dir, labels), args.interval_ms)?;
        say(&format!(
            "{}: {} events told in {:.0} s",
            dir.display(),
            clip.found.len(),
            clip.length_s
        ))?;
        clips.push(clip);
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

/// A camera that looks for what the labels name, everywhere and at any hour; for everything that needs no zone where
/// they name nothing.
fn camera_of(labels: &Labels) -> anyhow::Result<Camera> {
    let all = || CHECKS.iter().map(|info| info.check).collect();
    let wanted: Vec<Check> = if labels.checks.is_empty() {
        all()
    } else {
        labels.checks.clone()
    };
    let setting = |check| CheckSetting {
        hours: Hours::Always,
        ..CheckSetting::of(check)
    };
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
        zones: Vec::new(),
        line: None,
        capacity: None,
        checks: wanted.into_iter().map(setting).collect(),
        schedule: Schedule::default(),
        gb_id: None,
        live: false,
        retention: Retention::default(),
        enabled: true,
    })
}

fn judge(
    kit: &mut Kit,
    pipeline: &mut Pipeline,
    (dir, labels): (&Path, Labels),
    interval_ms: u32,
) -> anyhow::Result<Clip> {
    let mut clip = Clip {
        length_s: 0.0,
        labels,
        found: Vec::new(),
        looks: BTreeMap::new(),
    };
    let mut running: BTreeMap<Check, f64> = BTreeMap::new();
    let moment = Moment {
        minute_of_day: NOON_MIN,
        stove: None,
    };
    for (file, n) in pictures_of(dir)?.iter().zip(0i64..) {
        let at = UtcMillis(n * i64::from(interval_ms));
        let frame = read_picture(file, at, &PictureLimits::default(), WIDTH)
            .with_context(|| format!("cannot read {}", file.display()))?;
        clip.length_s = (n + 1) as f64 * f64::from(interval_ms) / 1_000.0;
        let Some(judged) = pipeline.look(kit, &frame, moment)?.judged else {
            continue;
        };
        for said in judged.observations {
            let seconds = said.at.0 as f64 / 1_000.0;
            match said.state {
                ObservedState::Began => drop(running.insert(said.check, seconds)),
                ObservedState::Ended => {
                    add(&mut clip.looks, said.check, said.tally);
                    let from_s = running.remove(&said.check).unwrap_or(0.0);
                    clip.found.push(event(said.check, from_s, seconds));
                }
            }
        }
    }
    let end_s = clip.length_s;
    clip.found.extend(
        running
            .into_iter()
            .map(|(check, from_s)| event(check, from_s, end_s)),
    );
    Ok(clip)
}

fn event(check: Check, from_s: f64, to_s: f64) -> Event {
    Event { check, from_s, to_s }
}

fn add(looks: &mut BTreeMap<Check, Tally>, check: Check, tally: Tally) {
    let sum = looks.entry(check).or_default();
    sum.judged += tally.judged;
    sum.positive += tally.positive;
    sum.unjudged += tally.unjudged;
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
    say(
        "check\tevents\tfound\tfalse alarms\tprecision\trecall\tfalse alarms a camera-day\tmedian delay\tunjudged",
    )?;
    for (check, score) in &report.checks {
        row(check.code(), score)?;
    }
    row("all", &report.total)
}

fn row(name: &str, score: &Score) -> anyhow::Result<()> {
    let percent =
        |share: Option<f64>| share.map_or_else(|| "–".to_owned(), |s| format!("{:.1} %", s * 100.0));
    let per_day = score
        .false_alarms_per_camera_day()
        .map_or_else(|| "–".to_owned(), |n| format!("{n:.1}"));
    let delay = score
        .delay_median_s()
        .map_or_else(|| "–".to_owned(), |s| format!("{s:.1} s"));
    say(&format!(
        "{name}\t{}\t{}\t{}\t{}\t{}\t{per_day}\t{delay}\t{}",
        score.events,
        score.events_found,
        score.false_alarms,
        percent(score.precision()),
        percent(score.recall()),
        percent(score.unjudged_share()),
    ))
}
