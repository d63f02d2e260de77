//! From a card to a model that is ready: verified, loaded, and run once.

use camera::Frame;
use domain::{PictureBox, observation::ModelStamp};
use models::{Catalog, ModelCard, PictureInput};

use crate::{
    infer::{BadOutput, InferError, words},
    prepare::{Placement, Preparer},
    runtime::Runtime,
    session::{Form, ModelSession, Outputs},
};

/// Loads the model of `card` after the catalogue has vouched for it.
pub(crate) fn session(
    runtime: &Runtime,
    catalog: &Catalog,
    card: &ModelCard,
    form: Form<'_>,
) -> Result<ModelSession, InferError> {
    let file = catalog.load(card).map_err(|error| refused(card, words(&error)))?;
    ModelSession::open(runtime, &card.name, &file.bytes, form)
}

/// The name and hash under which a model's findings go out.
pub(crate) fn stamp(card: &ModelCard) -> ModelStamp {
    ModelStamp {
        name: card.name.clone(),
        sha256: card.sha256.to_string(),
    }
}

pub(crate) fn refused(card: &ModelCard, why: String) -> InferError {
    InferError::Refused {
        model: card.name.clone(),
        why,
    }
}

/// A model that takes in a picture, with the memory that preparing one needs.
pub(crate) struct PictureModel {
    session: ModelSession,
    preparer: Preparer,
    outputs: Vec<String>,
}

impl PictureModel {
    /// Loads a model and runs it once, so that the first picture of a camera waits for nothing and a model that gives
    /// nonsense is known at once. `side` is the side of the square that the model is to look at, when it has a choice.
    pub(crate) fn open(
        (runtime, catalog): (&Runtime, &Catalog),
        card: &ModelCard,
        side: Option<u32>,
    ) -> Result<PictureModel, InferError> {
        let input = card.picture();
        let input = input.ok_or_else(|| refused(card, "it takes in no picture".to_owned()))?;
        let preparer = Preparer::new(sized(card, input, side)?);
        let form = Form {
            shape: &preparer.shape(),
            element: preparer.form().element,
        };
        let mut model = PictureModel {
            session: session(runtime, catalog, card, form)?,
            preparer,
            outputs: card.outputs.clone(),
        };
        model.warm()?;
        Ok(model)
    }

    pub(crate) fn form(&self) -> &PictureInput {
        self.preparer.form()
    }

    /// Runs the model on a part of `frame` and reads its outputs, which it is handed with their names.
    pub(crate) fn run<T>(
        &mut self,
        frame: &Frame,
        part: &PictureBox,
        read: impl FnOnce(&Outputs<'_>, &[String]) -> Result<T, BadOutput>,
    ) -> Result<(T, Placement), InferError> {
        let placement = self.preparer.prepare(frame, part)?;
        let shape = self.preparer.shape();
        let names = &self.outputs;
        let numbers = self.preparer.numbers();
        let answer = self
            .session
            .run(&shape, numbers, |outputs| read(outputs, names))?;
        Ok((answer, placement))
    }

    fn warm(&mut self) -> Result<(), InferError> {
        let shape = self.preparer.shape();
        let names = &self.outputs;
        self.session.run(&shape, self.preparer.numbers(), |outputs| {
            names.iter().try_for_each(|name| outputs.check_finite(name))
        })
    }
}

/// The form of the input, with the side that is wished.
fn sized(card: &ModelCard, input: &PictureInput, side: Option<u32>) -> Result<PictureInput, InferError> {
    let Some(side) = side else {
        return Ok(input.clone());
    };
    let as_is = (input.width, input.height) == (side, side);
    let of_choice = |step: u32| side > 0 && side.is_multiple_of(step);
    if as_is || input.multiple_of.is_some_and(of_choice) {
        return Ok(PictureInput {
            width: side,
            height: side,
            ..input.clone()
        });
    }
    let why = match input.multiple_of {
        Some(step) => format!("its input cannot be {side} points wide, only a multiple of {step}"),
        None => format!("its input cannot be {side} points wide, only {}", input.width),
    };
    Err(refused(card, why))
}
