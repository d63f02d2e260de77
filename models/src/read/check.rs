//! Holds a card to what can be: each value by itself, and all of them together.

use std::{collections::BTreeMap, ops::RangeInclusive, path::PathBuf, sync::Arc};

use domain::Check;
use toml::Spanned;

use super::{Fault, RawCard, RawPicture, RawResize, RawThresholds, RawVector, bounded};
use crate::{
    card::{Input, ModelCard, Origin, PictureElement, PictureInput, Provenance, Resize, VectorInput},
    hash::FileHash,
    kind::{ModelKind, Role},
};

const MAX_NAME: usize = 64;
const MAX_PORT_NAME: usize = 128;
const MAX_LABELS: usize = 1024;
const MAX_LABEL: usize = 64;
const MAX_WORDS: usize = 4096;
/// Width and height of what a model is fed, in pixels.
const SIDES_PX: RangeInclusive<u32> = 16..=2048;
const MULTIPLES_PX: RangeInclusive<u32> = 1..=256;
const LENGTHS: RangeInclusive<usize> = 1..=65_536;
const MAX_MIN_SIDE_PX: u32 = 4096;
/// The stride of the coarsest cells of detectors whose cells are counted.
const COARSEST_STRIDE_PX: u32 = 32;
const JOINTS: usize = 17;
const BLAZEFACE_SIDE_PX: u32 = 128;

pub(super) fn card(raw: RawCard) -> Result<ModelCard, Fault> {
    let kind = raw.kind;
    let name = name(&raw.name)?;
    let file = file(&raw.file)?;
    let sha256 = FileHash::parse(raw.sha256.get_ref()).ok_or_else(|| {
        fault(
            &raw.sha256,
            "sha256",
            "it is no SHA-256; write the 64 digits that sha256sum prints",
        )
    })?;
    let provenance = Provenance {
        licence: words(&raw.licence, "licence")?,
        source: words(&raw.source, "source")?,
        conversion: raw
            .conversion
            .as_ref()
            .map_or(Ok(String::new()), |text| words(text, "conversion"))?,
    };
    let input = input(kind, raw.picture, raw.vector, raw.name.span().start)?;
    let outputs = outputs(kind, raw.outputs)?;
    let at = raw.name.span().start;
    let labels = labels(kind, raw.labels, at)?;
    fits_role(kind, &raw.role, &labels)?;
    let embedding_length = embedding_length(kind, raw.embedding_length, at)?;
    let is_head = matches!(kind, ModelKind::Classifier | ModelKind::Head);
    only_for(is_head, &raw.scores, "scores", "a classifier or head")?;
    only_for(kind == ModelKind::Ssd, &raw.box_order, "box_order", "an ssd")?;
    let limits = thresholds(kind, raw.thresholds, &labels, at)?;
    Ok(ModelCard {
        name,
        file,
        kind,
        role: raw.role.into_inner(),
        precision: raw.precision,
        input,
        outputs,
        findings: findings(raw.findings, &labels)?,
        labels,
        embedding_length,
        scores: raw.scores.map(Spanned::into_inner).unwrap_or_default(),
        box_order: raw.box_order.map(Spanned::into_inner).unwrap_or_default(),
        score: limits.score,
        label_scores: limits.labels,
        iou: limits.iou,
        min_side_px: min_side_px(raw.min_side_px)?,
        sha256,
        provenance,
        origin: Origin::Folder(PathBuf::new()),
        layer: 0,
    })
}

fn fault<T>(value: &Spanned<T>, key: &str, reason: impl Into<String>) -> Fault {
    Fault::new(value.span().start, key, reason)
}

fn name(name: &Spanned<String>) -> Result<String, Fault> {
    let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '_');
    let text = name.get_ref();
    if text.is_empty() || text.len() > MAX_NAME || !text.chars().all(fits) {
        let reason = format!("a name is 1 to {MAX_NAME} small letters, digits, - and _");
        return Err(fault(name, "name", reason));
    }
    Ok(text.clone())
}

fn file(file: &Spanned<String>) -> Result<String, Fault> {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let text = file.get_ref();
    let is_plain = text.len() <= MAX_PORT_NAME && !text.starts_with('.') && text.chars().all(fits);
    if !is_plain || !text.ends_with(".onnx") {
        let reason = "name an .onnx file beside the card, with letters, digits, - _ and . only";
        return Err(fault(file, "file", reason));
    }
    Ok(text.clone())
}

fn words(text: &Spanned<String>, key: &str) -> Result<String, Fault> {
    let trimmed = text.get_ref().trim();
    if trimmed.is_empty() || trimmed.len() > MAX_WORDS {
        let reason = format!("say it in 1 to {MAX_WORDS} bytes, or that it is not known");
        return Err(fault(text, key, reason));
    }
    Ok(trimmed.to_owned())
}

fn port_name(name: Spanned<String>, key: &str) -> Result<String, Fault> {
    let text = name.get_ref();
    if text.is_empty() || text.len() > MAX_PORT_NAME || text.chars().any(char::is_control) {
        let reason = format!("the name of an input or output has 1 to {MAX_PORT_NAME} bytes");
        return Err(fault(&name, key, reason));
    }
    Ok(name.into_inner())
}

fn input(
    kind: ModelKind,
    picture: Option<Spanned<RawPicture>>,
    vector: Option<Spanned<RawVector>>,
    at: usize,
) -> Result<Input, Fault> {
    match (kind, picture, vector) {
        (ModelKind::Head, None, Some(raw)) => vector_input(raw.into_inner()).map(Input::Vector),
        (ModelKind::Head, Some(raw), _) => Err(fault(
            &raw,
            "picture",
            "a head reads an embedding: write [vector]",
        )),
        (ModelKind::Head, None, None) => Err(Fault::new(
            at,
            "vector",
            "it is missing; a head reads an embedding",
        )),
        (_, _, Some(raw)) => Err(fault(
            &raw,
            "vector",
            "only a head reads an embedding: write [picture]",
        )),
        (_, Some(raw), None) => picture_input(kind, raw.into_inner()).map(Input::Picture),
        (_, None, None) => Err(Fault::new(
            at,
            "picture",
            "it is missing; it says what the model is fed",
        )),
    }
}

fn vector_input(raw: RawVector) -> Result<VectorInput, Fault> {
    Ok(VectorInput {
        name: port_name(raw.name, "vector.name")?,
        length: length(raw.length, "vector.length")?,
    })
}

fn picture_input(kind: ModelKind, raw: RawPicture) -> Result<PictureInput, Fault> {
    let multiple_of = raw.multiple_of.as_ref().map(|m| *m.get_ref());
    if let Some(multiple) = &raw.multiple_of
        && !MULTIPLES_PX.contains(multiple.get_ref())
    {
        return Err(fault(multiple, "picture.multiple_of", "it is 1 to 256 pixels"));
    }
    let step = match kind {
        ModelKind::NanoDet | ModelKind::YoloX => multiple_of.unwrap_or(1).max(COARSEST_STRIDE_PX),
        _ => multiple_of.unwrap_or(1),
    };
    for (side, key) in [(&raw.width, "picture.width"), (&raw.height, "picture.height")] {
        if !SIDES_PX.contains(side.get_ref()) || side.get_ref() % step != 0 {
            let (min, max) = (SIDES_PX.start(), SIDES_PX.end());
            let reason = format!("it is {min} to {max} pixels and, for this model, a multiple of {step}");
            return Err(fault(side, key, reason));
        }
        if kind == ModelKind::BlazeFace && *side.get_ref() != BLAZEFACE_SIDE_PX {
            return Err(fault(
                side,
                key,
                "the anchors of a blazeface are those of 128 pixels",
            ));
        }
    }
    if raw.element != PictureElement::F32
        && let Some(given) = raw.mean.as_ref().or(raw.std.as_ref())
    {
        let reason = "only an f32 input is normalised; leave mean and std out";
        return Err(fault(given, "picture.mean", reason));
    }
    Ok(PictureInput {
        resize: resize(&raw.resize, raw.pad.as_ref())?,
        mean: numbers(raw.mean, "picture.mean", 0.0, |x| x.is_finite())?,
        std: numbers(raw.std, "picture.std", 1.0, |x| x.is_finite() && x >= 1e-6)?,
        name: port_name(raw.name, "picture.name")?,
        layout: raw.layout,
        colour: raw.colour,
        element: raw.element,
        width: raw.width.into_inner(),
        height: raw.height.into_inner(),
        multiple_of,
    })
}

fn resize(resize: &Spanned<RawResize>, pad: Option<&Spanned<u8>>) -> Result<Resize, Fault> {
    match (resize.get_ref(), pad) {
        (RawResize::Letterbox, Some(pad)) => Ok(Resize::Letterbox(*pad.get_ref())),
        (RawResize::Letterbox, None) => Err(fault(
            resize,
            "picture.pad",
            "it is missing; a letterbox has a value, 0 to 255",
        )),
        (RawResize::Stretch, None) => Ok(Resize::Stretch),
        (RawResize::Stretch, Some(pad)) => {
            Err(fault(pad, "picture.pad", "only a letterbox has it; leave it out"))
        }
    }
}

fn numbers(
    given: Option<Spanned<[f32; 3]>>,
    key: &str,
    otherwise: f32,
    fits: impl Fn(f32) -> bool,
) -> Result<[f32; 3], Fault> {
    let Some(given) = given else {
        return Ok([otherwise; 3]);
    };
    if !given.get_ref().iter().all(|x| fits(*x)) {
        return Err(fault(&given, key, "each is a finite number, and std more than 0"));
    }
    Ok(given.into_inner())
}

fn outputs(kind: ModelKind, outputs: Spanned<Vec<String>>) -> Result<Vec<String>, Fault> {
    let (at, names) = (outputs.span(), outputs.into_inner());
    if names.len() != kind.outputs() {
        let reason = format!(
            "a {} has {}; docs/MODELS.md lists them",
            kind.code(),
            kind.outputs()
        );
        return Err(Fault::new(at.start, "outputs", reason));
    }
    names
        .into_iter()
        .map(|name| port_name(Spanned::new(at.clone(), name), "outputs"))
        .collect()
}

fn labels(kind: ModelKind, labels: Option<Spanned<Vec<String>>>, at: usize) -> Result<Vec<Arc<str>>, Fault> {
    let Some(labels) = labels else {
        return match kind {
            ModelKind::Embedding => Ok(Vec::new()),
            _ => Err(Fault::new(
                at,
                "labels",
                "it is missing; name the classes in their order",
            )),
        };
    };
    let allowed = match kind {
        ModelKind::Embedding => return Err(fault(&labels, "labels", "an embedding has none; leave it out")),
        ModelKind::BlazeFace => 1..=1,
        ModelKind::MoveNet => JOINTS..=JOINTS,
        _ => 1..=MAX_LABELS,
    };
    let count = labels.get_ref().len();
    if !allowed.contains(&count) {
        let max = allowed.end();
        let least = if allowed.start() == max { "" } else { "1 to " };
        let reason = format!("{count} are given; a {} has {least}{max}", kind.code());
        return Err(fault(&labels, "labels", reason));
    }
    let mut read: Vec<Arc<str>> = Vec::with_capacity(count);
    for label in labels.get_ref() {
        if label.len() > MAX_LABEL || label.chars().any(char::is_control) {
            return Err(fault(
                &labels,
                "labels",
                format!("a label has up to {MAX_LABEL} bytes: {}", bounded(label)),
            ));
        }
        if !label.is_empty() && read.iter().any(|l| **l == **label) {
            return Err(fault(
                &labels,
                "labels",
                format!("{} is there twice", bounded(label)),
            ));
        }
        read.push(Arc::from(label.as_str()));
    }
    Ok(read)
}

fn fits_role(kind: ModelKind, role: &Spanned<Role>, labels: &[Arc<str>]) -> Result<(), Fault> {
    let names = |wanted: &str| labels.iter().any(|l| &**l == wanted);
    let (fits, wanted) = match role.get_ref() {
        Role::PersonDetector => (
            kind.is_detector() && names("person"),
            "a detector with the label person",
        ),
        Role::FaceDetector => (
            kind.is_detector() && names("face"),
            "a detector with the label face",
        ),
        Role::Embedder => (kind == ModelKind::Embedding, "an embedding"),
        Role::MaskHead => (
            kind == ModelKind::Head && names("mask") && names("no_mask"),
            "a head with the labels mask and no_mask",
        ),
        Role::Pose => (kind == ModelKind::MoveNet, "a movenet"),
        Role::Extra => (
            kind.is_detector() || matches!(kind, ModelKind::Classifier | ModelKind::Head),
            "a detector, classifier or head",
        ),
    };
    if fits {
        return Ok(());
    }
    Err(fault(role, "role", format!("this role needs {wanted}")))
}

fn embedding_length(kind: ModelKind, given: Option<Spanned<usize>>, at: usize) -> Result<usize, Fault> {
    match (kind, given) {
        (ModelKind::Embedding, Some(given)) => length(given, "embedding_length"),
        (ModelKind::Embedding, None) => Err(Fault::new(
            at,
            "embedding_length",
            "it is missing; say how many numbers an embedding has",
        )),
        (_, Some(given)) => Err(fault(
            &given,
            "embedding_length",
            "only an embedding has it; leave it out",
        )),
        (_, None) => Ok(0),
    }
}

fn length(given: Spanned<usize>, key: &str) -> Result<usize, Fault> {
    if !LENGTHS.contains(given.get_ref()) {
        return Err(fault(
            &given,
            key,
            format!("it is 1 to {} numbers", LENGTHS.end()),
        ));
    }
    Ok(given.into_inner())
}

fn only_for<T>(applies: bool, given: &Option<Spanned<T>>, key: &str, whom: &str) -> Result<(), Fault> {
    match given {
        Some(given) if !applies => Err(fault(given, key, format!("only {whom} has it; leave it out"))),
        _ => Ok(()),
    }
}

fn min_side_px(given: Option<Spanned<u32>>) -> Result<u32, Fault> {
    let Some(given) = given else {
        return Ok(0);
    };
    if *given.get_ref() > MAX_MIN_SIDE_PX {
        return Err(fault(
            &given,
            "min_side_px",
            format!("it is 0 to {MAX_MIN_SIDE_PX} pixels"),
        ));
    }
    Ok(given.into_inner())
}

struct Thresholds {
    score: f32,
    iou: f32,
    labels: BTreeMap<Arc<str>, f32>,
}

fn thresholds(
    kind: ModelKind,
    raw: Option<Spanned<RawThresholds>>,
    labels: &[Arc<str>],
    at: usize,
) -> Result<Thresholds, Fault> {
    let mut read = Thresholds {
        score: 0.0,
        iou: 1.0,
        labels: BTreeMap::new(),
    };
    let Some(raw) = raw else {
        return match kind {
            ModelKind::Embedding => Ok(read),
            _ => Err(Fault::new(
                at,
                "thresholds",
                "it is missing; say from which score on something counts",
            )),
        };
    };
    if kind == ModelKind::Embedding {
        return Err(fault(&raw, "thresholds", "an embedding has none; leave it out"));
    }
    let (start, raw) = (raw.span().start, raw.into_inner());
    read.score = share(&raw.score, "thresholds.score")?;
    match raw.iou {
        Some(iou) if kind.suppresses() => read.iou = share(&iou, "thresholds.iou")?,
        Some(iou) => {
            return Err(fault(
                &iou,
                "thresholds.iou",
                "this kind needs none; leave it out",
            ));
        }
        None if kind.suppresses() => {
            return Err(Fault::new(
                start,
                "thresholds.iou",
                "it is missing; 0.5 to 0.7 is usual",
            ));
        }
        None => {}
    }
    for (label, score) in raw.labels.unwrap_or_default() {
        let known = known_label(&label, labels, "thresholds.labels")?;
        read.labels.insert(known, share(&score, "thresholds.labels")?);
    }
    Ok(read)
}

fn share(given: &Spanned<f32>, key: &str) -> Result<f32, Fault> {
    if !(0.0..=1.0).contains(given.get_ref()) {
        return Err(fault(given, key, "it is 0 to 1"));
    }
    Ok(*given.get_ref())
}

fn findings(
    raw: Option<BTreeMap<Spanned<String>, Spanned<String>>>,
    labels: &[Arc<str>],
) -> Result<BTreeMap<Arc<str>, Check>, Fault> {
    let mut read = BTreeMap::new();
    for (label, code) in raw.unwrap_or_default() {
        let known = known_label(&label, labels, "findings")?;
        let check = Check::parse(code.get_ref()).ok_or_else(|| {
            let codes: Vec<&str> = domain::check::CHECKS.iter().map(|row| row.code).collect();
            fault(
                &code,
                "findings",
                format!("there is no such check; there are: {}", codes.join(", ")),
            )
        })?;
        read.insert(known, check);
    }
    Ok(read)
}

fn known_label(label: &Spanned<String>, labels: &[Arc<str>], key: &str) -> Result<Arc<str>, Fault> {
    let text = label.get_ref();
    let known = labels.iter().find(|l| !l.is_empty() && ***l == **text);
    known
        .cloned()
        .ok_or_else(|| fault(label, key, format!("{} is not one of the labels", bounded(text))))
}
