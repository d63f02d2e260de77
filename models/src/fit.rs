//! Holds the outline of a file against its card.

use crate::{
    card::{Input, Layout, ModelCard, PictureElement, PictureInput},
    kind::ModelKind,
    outline::{Dim, Element, Outline, Port},
};

/// The strides of the cells of NanoDet and YOLOX, in pixels.
const STRIDES_PX: [u64; 3] = [8, 16, 32];
/// Four distances of eleven logits each.
const NANODET_BOX: u64 = 44;
const BLAZEFACE_ANCHORS: u64 = 896;
const JOINTS: u64 = 17;

/// What a dimension has to be.
#[derive(Clone, Copy)]
enum Want {
    /// The number of pictures: 1, or whatever is asked.
    Batch,
    /// Exactly this.
    Exactly(u64),
    /// Anything.
    Any,
    /// Nothing fixed, or exactly this.
    Side {
        /// The card's size.
        default: u64,
        /// Whether the card lets it be another.
        is_free: bool,
    },
}

/// Says what does not fit. What the file leaves free fits everything.
pub(crate) fn check(card: &ModelCard, outline: &Outline) -> Result<(), String> {
    let [input] = &outline.inputs[..] else {
        return Err(format!(
            "the file has {} inputs, this product feeds one",
            outline.inputs.len()
        ));
    };
    if input.name != card.input_name() {
        return Err(format!(
            "the file's input is called {}, the card's {}",
            told(&input.name),
            card.input_name()
        ));
    }
    check_input(card, input)?;
    for (n, name) in card.outputs.iter().enumerate() {
        let Some(output) = outline.outputs.iter().find(|port| port.name == *name) else {
            return Err(format!(
                "the file has no output called {name}; it has {}",
                names(&outline.outputs)
            ));
        };
        let (elements, wants) = wanted(card, n);
        check_element(output, elements)?;
        check_dims(output, &wants)?;
    }
    Ok(())
}

fn check_input(card: &ModelCard, input: &Port) -> Result<(), String> {
    match &card.input {
        Input::Vector(vector) => {
            check_element(input, &[Element::F32])?;
            check_dims(input, &[Want::Batch, Want::Exactly(vector.length as u64)])
        }
        Input::Picture(picture) => {
            let element = match picture.element {
                PictureElement::F32 => Element::F32,
                PictureElement::U8 => Element::U8,
                PictureElement::I32 => Element::I32,
            };
            check_element(input, &[element])?;
            let [height, width] = [picture.height, picture.width].map(|side| Want::Side {
                default: side.into(),
                is_free: picture.multiple_of.is_some(),
            });
            let channels = Want::Exactly(3);
            match picture.layout {
                Layout::Nchw => check_dims(input, &[Want::Batch, channels, height, width]),
                Layout::Nhwc => check_dims(input, &[Want::Batch, height, width, channels]),
            }
        }
    }
}

/// The types and dimensions that output `n` of the card may have.
fn wanted(card: &ModelCard, n: usize) -> (&'static [Element], Vec<Want>) {
    use Want::{Any, Batch, Exactly};
    const F32: &[Element] = &[Element::F32];
    let labels = card.labels.len() as u64;
    let cells = card.picture().map_or(Any, cells);
    match (card.kind, n) {
        (ModelKind::NanoDet, _) => (F32, vec![Batch, cells, Exactly(labels + NANODET_BOX)]),
        (ModelKind::YoloX, _) => (F32, vec![Batch, cells, Exactly(labels + 5)]),
        (ModelKind::YoloV5, _) => (F32, vec![Batch, Any, Exactly(labels + 5)]),
        (ModelKind::YoloV8, _) => (F32, vec![Batch, Exactly(labels + 4), Any]),
        (ModelKind::Detr, 0) => (F32, vec![Batch, Any, Exactly(labels + 1)]),
        (ModelKind::Detr, _) | (ModelKind::Ssd, 0) => (F32, vec![Batch, Any, Exactly(4)]),
        (ModelKind::Ssd, 1) => (&[Element::F32, Element::I64], vec![Batch, Any]),
        (ModelKind::Ssd, _) => (F32, vec![Batch, Any]),
        (ModelKind::Classifier | ModelKind::Head, _) => (F32, vec![Batch, Exactly(labels)]),
        (ModelKind::Embedding, _) => (F32, vec![Batch, Exactly(card.embedding_length as u64)]),
        (ModelKind::BlazeFace, 0) => (F32, vec![Batch, Exactly(BLAZEFACE_ANCHORS), Exactly(16)]),
        (ModelKind::BlazeFace, _) => (F32, vec![Batch, Exactly(BLAZEFACE_ANCHORS), Exactly(1)]),
        (ModelKind::MoveNet, _) => (F32, vec![Batch, Exactly(1), Exactly(JOINTS), Exactly(3)]),
    }
}

/// How many cells a picture of the card's size has, if that is the only size.
fn cells(picture: &PictureInput) -> Want {
    if picture.multiple_of.is_some() {
        return Want::Any;
    }
    let (width, height) = (u64::from(picture.width), u64::from(picture.height));
    Want::Exactly(
        STRIDES_PX
            .iter()
            .map(|stride| (width / stride) * (height / stride))
            .sum(),
    )
}

fn check_element(port: &Port, allowed: &[Element]) -> Result<(), String> {
    if allowed.contains(&port.element) {
        return Ok(());
    }
    let allowed: Vec<String> = allowed.iter().map(ToString::to_string).collect();
    Err(format!(
        "{} is {} in the file and has to be {}",
        told(&port.name),
        port.element,
        allowed.join(" or ")
    ))
}

fn check_dims(port: &Port, wants: &[Want]) -> Result<(), String> {
    // A file that does not even say how many dimensions there are is judged when it runs.
    let Some(dims) = &port.dims else {
        return Ok(());
    };
    let fits = dims.len() == wants.len() && dims.iter().zip(wants).all(|(dim, want)| want.allows(*dim));
    if fits {
        return Ok(());
    }
    let wanted: Vec<String> = wants.iter().map(|want| want.told()).collect();
    let found: Vec<String> = dims.iter().map(|dim| told_dim(*dim)).collect();
    Err(format!(
        "{} is [{}] in the file; by the card it has to be [{}]",
        told(&port.name),
        found.join(", "),
        wanted.join(", ")
    ))
}

impl Want {
    fn allows(self, dim: Dim) -> bool {
        match (self, dim) {
            (_, Dim::Free) | (Want::Any, _) => true,
            (Want::Batch, Dim::Fixed(size)) => size == 1,
            (Want::Exactly(wanted), Dim::Fixed(size)) => size == wanted,
            (Want::Side { default, is_free }, Dim::Fixed(size)) => !is_free && size == default,
        }
    }

    fn told(self) -> String {
        match self {
            Want::Batch => "1 or N".to_owned(),
            Want::Exactly(wanted) => wanted.to_string(),
            Want::Any => "any".to_owned(),
            Want::Side { is_free: true, .. } => "free".to_owned(),
            Want::Side { default, .. } => default.to_string(),
        }
    }
}

fn told_dim(dim: Dim) -> String {
    match dim {
        Dim::Fixed(size) => size.to_string(),
        Dim::Free => "free".to_owned(),
    }
}

/// The names of up to eight outputs.
fn names(ports: &[Port]) -> String {
    let names: Vec<String> = ports.iter().take(8).map(|port| told(&port.name)).collect();
    names.join(", ")
}

/// A name out of a file, cut short.
fn told(name: &str) -> String {
    name.chars().filter(|c| !c.is_control()).take(60).collect()
}
