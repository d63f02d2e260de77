//! Reads cards and manifests. Both are closed: a key that is not known is refused with its line.

mod check;

use std::{collections::BTreeMap, path::Path};

use serde::Deserialize;
use toml::{
    Spanned,
    de::{DeTable, DeValue, Deserializer, ValueDeserializer},
};

use crate::{
    card::{BoxOrder, Colour, Layout, ModelCard, PictureElement, Scores},
    catalog::Refused,
    error::ModelError,
    kind::{ModelKind, Precision, Role},
};

/// The key of a manifest under which its cards are.
const CARDS: &str = "model";

/// A card as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawCard {
    name: Spanned<String>,
    file: Spanned<String>,
    kind: ModelKind,
    role: Spanned<Role>,
    precision: Precision,
    sha256: Spanned<String>,
    licence: Spanned<String>,
    source: Spanned<String>,
    conversion: Option<Spanned<String>>,
    outputs: Spanned<Vec<String>>,
    labels: Option<Spanned<Vec<String>>>,
    embedding_length: Option<Spanned<usize>>,
    scores: Option<Spanned<Scores>>,
    box_order: Option<Spanned<BoxOrder>>,
    min_side_px: Option<Spanned<u32>>,
    picture: Option<Spanned<RawPicture>>,
    vector: Option<Spanned<RawVector>>,
    thresholds: Option<Spanned<RawThresholds>>,
    findings: Option<BTreeMap<Spanned<String>, Spanned<String>>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawPicture {
    name: Spanned<String>,
    layout: Layout,
    colour: Colour,
    #[serde(rename = "type")]
    element: PictureElement,
    width: Spanned<u32>,
    height: Spanned<u32>,
    multiple_of: Option<Spanned<u32>>,
    mean: Option<Spanned<[f32; 3]>>,
    std: Option<Spanned<[f32; 3]>>,
    resize: Spanned<RawResize>,
    pad: Option<Spanned<u8>>,
}

#[derive(Deserialize, Clone, Copy, PartialEq)]
#[serde(rename_all = "lowercase")]
enum RawResize {
    Letterbox,
    Stretch,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawVector {
    name: Spanned<String>,
    length: Spanned<usize>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawThresholds {
    score: Spanned<f32>,
    iou: Option<Spanned<f32>>,
    labels: Option<BTreeMap<Spanned<String>, Spanned<f32>>>,
}

/// What is wrong, and at which byte of the text.
struct Fault {
    at: usize,
    key: String,
    reason: String,
}

/// Reads a card by itself, which lies in a folder of its name: so two cards of one name cannot hide each other.
pub(crate) fn card(path: &Path, text: &str, folder: &str) -> Result<ModelCard, ModelError> {
    let raw = Deserializer::parse(text).and_then(RawCard::deserialize);
    let card = raw.map_err(|e| syntax_fault(text, &e, 0)).and_then(|raw| {
        let at = raw.name.span().start;
        let card = check::card(raw)?;
        if card.name != folder {
            let reason = format!(
                "the card says {}, its folder {}; give both one name",
                card.name,
                bounded(folder)
            );
            return Err(Fault::new(at, "name", reason));
        }
        Ok(card)
    });
    card.map_err(|fault| fault.into_error(path, text))
}

/// Reads the cards of a manifest, each by itself.
pub(crate) fn manifest(path: &Path, text: &str) -> Result<Vec<Result<ModelCard, Refused>>, ModelError> {
    let fault_of_file = |fault: Fault| fault.into_error(path, text);
    let table = DeTable::parse(text).map_err(|e| fault_of_file(syntax_fault(text, &e, 0)))?;
    let mut cards = Vec::new();
    for (key, value) in table.into_inner() {
        let at = key.span().start;
        let found = match value.into_inner() {
            DeValue::Array(found) if key.get_ref() == CARDS => found,
            _ => {
                let reason = format!("a manifest holds [[{CARDS}]] tables and nothing else");
                return Err(fault_of_file(Fault::new(at, bounded(key.get_ref()), reason)));
            }
        };
        for value in found {
            let (name, start) = (name_in(&value), value.span().start);
            let raw = RawCard::deserialize(ValueDeserializer::from(value));
            let card = raw
                .map_err(|e| syntax_fault(text, &e, start))
                .and_then(check::card);
            cards.push(card.map_err(|fault| Refused {
                name,
                error: fault_of_file(fault),
            }));
        }
    }
    Ok(cards)
}

/// The name that a card gives, for telling people which one is refused.
fn name_in(card: &Spanned<DeValue<'_>>) -> String {
    let name = match card.get_ref() {
        DeValue::Table(table) => table.get("name").and_then(|name| name.get_ref().as_str()),
        _ => None,
    };
    name.map_or_else(|| "without a name".to_owned(), bounded)
}

/// Some of a text that somebody else wrote.
fn bounded(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(80).collect()
}

/// What the parser says. Where it names no place, `fallback` is the place.
fn syntax_fault(text: &str, error: &toml::de::Error, fallback: usize) -> Fault {
    let at = error.span().map_or(fallback, |span| span.start);
    let begin = text
        .get(..at)
        .and_then(|before| before.rfind('\n'))
        .map_or(0, |end| end + 1);
    let line = text
        .get(begin..)
        .and_then(|rest| rest.lines().next())
        .unwrap_or_default();
    let key = line.split_once('=').map_or("", |(key, _)| key.trim());
    let reason: String = error
        .message()
        .chars()
        .filter(|c| !c.is_control())
        .take(300)
        .collect();
    Fault::new(
        at,
        bounded(key),
        format!("{reason}; docs/MODELS.md lists the keys of a card"),
    )
}

impl Fault {
    fn new(at: usize, key: impl Into<String>, reason: impl Into<String>) -> Fault {
        Fault {
            at,
            key: key.into(),
            reason: reason.into(),
        }
    }

    fn into_error(self, path: &Path, text: &str) -> ModelError {
        let before = text.as_bytes().iter().take(self.at);
        ModelError::Card {
            path: path.to_owned(),
            line: 1 + before.filter(|byte| **byte == b'\n').count(),
            key: self.key,
            reason: self.reason,
        }
    }
}
