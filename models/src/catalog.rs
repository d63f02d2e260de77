//! The models there are.

use std::{
    borrow::Cow,
    fs::{self, File},
    io::{self, Read},
    path::{Path, PathBuf},
};

use crate::{
    built_in,
    card::{ModelCard, Origin},
    error::ModelError,
    fit,
    hash::FileHash,
    kind::{Precision, Role},
    outline::Outline,
    read,
};

/// The largest model file that is loaded unless told otherwise, in bytes.
pub const DEFAULT_MAX_BYTES: u64 = 64 << 20;

/// The most models of a catalogue; one more is refused.
pub const MAX_CARDS: usize = 64;

/// The most refused cards that are kept. More are not used either, but not told.
const MAX_REFUSED: usize = 256;

/// The largest manifest or card, in bytes.
const MAX_CARD_BYTES: u64 = 256 << 10;

/// The most entries of a folder that are looked at; the rest is ignored.
const MAX_ENTRIES: usize = 4 * MAX_CARDS;

const MANIFEST: &str = "manifest.toml";
const CARD: &str = "card.toml";

/// The models there are (模型目录): those in the program, and those in folders of the operator.
///
/// A bad card is refused alone and kept in [`Catalog::refused`], so that one mistake does not blind every camera.
#[derive(Debug)]
pub struct Catalog {
    models: Vec<ModelCard>,
    refused: Vec<Refused>,
    max_bytes: u64,
    /// How many folders were added: the models of the last one go before the others.
    layers: usize,
}

/// A card that is not used.
#[derive(Debug)]
pub struct Refused {
    /// The model's name, or the name of its folder where the card gives none.
    pub name: String,
    /// Why.
    pub error: ModelError,
}

/// A model file that fits its card.
#[derive(Debug, Clone)]
pub struct ModelFile {
    /// The ONNX file. Not copied when it is part of the program.
    pub bytes: Cow<'static, [u8]>,
    /// Its SHA-256.
    pub sha256: FileHash,
    /// Its inputs and outputs.
    pub outline: Outline,
}

impl Catalog {
    /// The models in the program itself. Pose is not among them: no check needs it.
    ///
    /// # Panics
    /// Never in a tested build: a test reads every card and loads every file.
    #[must_use]
    pub fn built_in() -> Catalog {
        let mut catalog = Catalog::empty();
        let cards =
            read::manifest(Path::new(MANIFEST), built_in::MANIFEST).expect("the built-in manifest is tested");
        for card in cards {
            let mut card = card.expect("the built-in cards are tested");
            if let Some(bytes) = built_in::file(&card.file) {
                card.origin = Origin::BuiltIn(bytes);
                catalog.add(card);
            }
        }
        catalog
    }

    /// The models of one folder alone; see [`Catalog::with_folder`].
    ///
    /// # Errors
    /// As [`Catalog::with_folder`].
    pub fn open(folder: &Path) -> Result<Catalog, ModelError> {
        Catalog::empty().with_folder(folder)
    }

    /// Adds the models of a folder: those of its `manifest.toml`, if there is one, and of each `<name>/card.toml`
    /// below it. A role that a folder fills is no longer filled by what was there before. A card that is there
    /// already, word for word, is not added again.
    ///
    /// # Errors
    /// [`ModelError`] when the folder cannot be listed, or its manifest cannot be read or is no TOML. A single bad
    /// card is no error: see [`Catalog::refused`].
    pub fn with_folder(mut self, folder: &Path) -> Result<Catalog, ModelError> {
        let folders = folders_in(folder)?;
        self.layers += 1;
        let before = self.models.len();
        let manifest = folder.join(MANIFEST);
        if manifest.exists() {
            for card in read::manifest(&manifest, &text_of(&manifest)?)? {
                self.add_or_refuse(card, folder);
            }
        }
        for folder in folders {
            if let Some(card) = card_in(&folder) {
                self.add_or_refuse(card, &folder);
            }
        }
        // What is added last is found first.
        let added = self.models.len() - before;
        self.models.rotate_right(added);
        Ok(self)
    }

    /// Refuses files larger than `max_bytes`, instead of [`DEFAULT_MAX_BYTES`].
    #[must_use]
    pub fn with_max_bytes(mut self, max_bytes: u64) -> Catalog {
        self.max_bytes = max_bytes;
        self
    }

    /// The models, those added last first; at most [`MAX_CARDS`].
    #[must_use]
    pub fn models(&self) -> &[ModelCard] {
        &self.models
    }

    /// The cards that are not used, and why; the first 256.
    #[must_use]
    pub fn refused(&self) -> &[Refused] {
        &self.refused
    }

    /// The model that fills `role`: the one of this precision, or else of the other. An operator's model goes
    /// before one of the program, whatever its precision.
    #[must_use]
    pub fn find(&self, role: Role, precision: Precision) -> Option<&ModelCard> {
        let of_role = || self.models.iter().filter(|card| card.role == role);
        let first = of_role().next()?;
        of_role()
            .filter(|card| card.layer == first.layer)
            .find(|card| card.precision == precision)
            .or(Some(first))
    }

    /// The models with [`Role::Extra`].
    pub fn extras(&self) -> impl Iterator<Item = &ModelCard> {
        self.models.iter().filter(|card| card.role == Role::Extra)
    }

    /// The model of this name.
    #[must_use]
    pub fn by_name(&self, name: &str) -> Option<&ModelCard> {
        self.models.iter().find(|card| card.name == name)
    }

    /// Reads the file of `card` and holds it against the card: size, SHA-256, no data outside the file, and the
    /// names, types and shapes of inputs and outputs. What the file leaves free is not known until it runs.
    ///
    /// # Errors
    /// [`ModelError`] says what does not fit and what helps.
    pub fn load(&self, card: &ModelCard) -> Result<ModelFile, ModelError> {
        let bytes = match &card.origin {
            Origin::BuiltIn(bytes) => Cow::Borrowed(*bytes),
            Origin::Folder(folder) => Cow::Owned(bytes_of(&folder.join(&card.file), self.max_bytes)?),
        };
        let found = FileHash::of(&bytes);
        if found != card.sha256 {
            return Err(ModelError::Hash {
                name: card.name.clone(),
                expected: card.sha256,
                found,
            });
        }
        let outline = Outline::read(&bytes).map_err(|source| ModelError::Outline {
            name: card.name.clone(),
            source,
        })?;
        fit::check(card, &outline).map_err(|reason| ModelError::Mismatch {
            name: card.name.clone(),
            reason,
        })?;
        Ok(ModelFile {
            bytes,
            sha256: found,
            outline,
        })
    }

    fn empty() -> Catalog {
        Catalog {
            models: Vec::new(),
            refused: Vec::new(),
            max_bytes: DEFAULT_MAX_BYTES,
            layers: 0,
        }
    }

    fn add_or_refuse(&mut self, card: Result<ModelCard, Refused>, folder: &Path) {
        match card {
            Ok(mut card) => {
                card.origin = Origin::Folder(folder.to_owned());
                self.add(card);
            }
            Err(refused) => self.refuse(refused),
        }
    }

    fn add(&mut self, mut card: ModelCard) {
        card.layer = self.layers;
        let error = match self.by_name(&card.name) {
            Some(there) if there.says_the_same_as(&card) => return,
            Some(_) => ModelError::NameTaken {
                name: card.name.clone(),
            },
            None if self.models.len() == MAX_CARDS => ModelError::Full,
            None => return self.models.push(card),
        };
        self.refuse(Refused {
            name: card.name,
            error,
        });
    }

    fn refuse(&mut self, refused: Refused) {
        if self.refused.len() < MAX_REFUSED {
            self.refused.push(refused);
        }
    }
}

/// The card of a folder; `None` for a folder that has to do with no model.
fn card_in(folder: &Path) -> Option<Result<ModelCard, Refused>> {
    let name = folder
        .file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned();
    let path = folder.join(CARD);
    if path.exists() {
        let card = text_of(&path).and_then(|text| read::card(&path, &text, &name));
        return Some(card.map_err(|error| Refused { name, error }));
    }
    let holds_a_model =
        list(folder).is_ok_and(|paths| paths.iter().any(|p| p.extension().is_some_and(|e| e == "onnx")));
    holds_a_model.then(|| {
        Err(Refused {
            name,
            error: ModelError::NoCard {
                path: folder.to_owned(),
            },
        })
    })
}

fn folders_in(folder: &Path) -> Result<Vec<PathBuf>, ModelError> {
    let mut folders = list(folder).map_err(|source| unreadable(folder, source))?;
    folders.retain(|path| path.is_dir());
    Ok(folders)
}

/// What a folder holds, in the order of names.
fn list(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut paths = Vec::new();
    for entry in fs::read_dir(folder)?.take(MAX_ENTRIES) {
        paths.push(entry?.path());
    }
    paths.sort();
    Ok(paths)
}

fn text_of(path: &Path) -> Result<String, ModelError> {
    let bytes = bytes_of(path, MAX_CARD_BYTES)?;
    String::from_utf8(bytes)
        .map_err(|e| unreadable(path, io::Error::new(io::ErrorKind::InvalidData, e.utf8_error())))
}

fn bytes_of(path: &Path, max_bytes: u64) -> Result<Vec<u8>, ModelError> {
    let read = || -> io::Result<Vec<u8>> {
        // Opening a pipe would wait for somebody who writes.
        if !fs::metadata(path)?.is_file() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is no file"));
        }
        let mut bytes = Vec::new();
        File::open(path)?
            .take(max_bytes.saturating_add(1))
            .read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    let bytes = read().map_err(|source| unreadable(path, source))?;
    if bytes.len() as u64 > max_bytes {
        return Err(ModelError::TooLarge {
            path: path.to_owned(),
            max_bytes,
        });
    }
    Ok(bytes)
}

fn unreadable(path: &Path, source: io::Error) -> ModelError {
    ModelError::Read {
        path: path.to_owned(),
        source,
    }
}
