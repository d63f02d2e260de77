//! From a card to a model that is ready: verified, loaded, and run once.

use camera::Frame;
use domain::{PictureBox, observation::ModelStamp};
use models::{Catalog, ModelCard, PictureInput, Resize};

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

/// The most forms of input that a model keeps memory for: pictures come in a handful of shapes.
const MAX_FORMS: usize = 4;

/// A model that takes in a picture, with the memory that preparing one needs.
pub(crate) struct PictureModel {
    session: ModelSession,
    /// The square that the model looks at.
    square: PictureInput,
    preparer: Preparer,
    /// Those of other shapes of picture, the one used last at the end.
    others: Vec<Preparer>,
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
        let square = sized(card, input, side)?;
        let preparer = Preparer::new(square.clone());
        let form = Form {
            shape: &preparer.shape(),
            element: preparer.form().element,
        };
        let mut model = PictureModel {
            session: session(runtime, catalog, card, form)?,
            square,
            preparer,
            others: Vec::new(),
            outputs: card.outputs.clone(),
        };
        model.warm()?;
        Ok(model)
    }

    pub(crate) fn form(&self) -> &PictureInput {
        self.preparer.form()
    }

    /// Takes the shape of the input from `frame`, where the model leaves it open: a wide picture laid into a square
    /// would be half filling, which costs as much as picture.
    pub(crate) fn fit(&mut self, frame: &Frame) {
        if !self.session.takes_any_shape() {
            return;
        }
        let wanted = fitted(&self.square, (frame.width, frame.height));
        let is_wanted = |preparer: &Preparer| (preparer.form().width, preparer.form().height) == wanted;
        if is_wanted(&self.preparer) {
            return;
        }
        let known = self.others.iter().position(is_wanted);
        let next = match known {
            Some(index) => self.others.remove(index),
            None => Preparer::new(PictureInput {
                width: wanted.0,
                height: wanted.1,
                ..self.square.clone()
            }),
        };
        if self.others.len() + 1 >= MAX_FORMS {
            self.others.remove(0);
        }
        self.others.push(std::mem::replace(&mut self.preparer, next));
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

/// The smallest input with the square's longer side that holds a whole picture of this size.
fn fitted(square: &PictureInput, (width, height): (u32, u32)) -> (u32, u32) {
    let side = (square.width, square.height);
    let (Some(step), Resize::Letterbox(_), true) = (
        square.multiple_of,
        square.resize,
        side.0 == side.1 && width > 0 && height > 0,
    ) else {
        return side;
    };
    let longer = width.max(height);
    let span = |points: u32| {
        let least = u64::from(side.0) * u64::from(points);
        let steps = least.div_ceil(u64::from(longer) * u64::from(step.max(1)));
        u32::try_from(steps)
            .unwrap_or(u32::MAX)
            .saturating_mul(step.max(1))
            .min(side.0)
    };
    (span(width), span(height))
}

#[cfg(test)]
mod tests {
    use super::*;
    use models::{Catalog, Precision, Role};

    #[test]
    fn an_input_is_as_large_as_the_picture_needs_and_no_larger() {
        let catalog = Catalog::built_in();
        let card = catalog.find(Role::PersonDetector, Precision::F32).unwrap();
        let free = card.picture().unwrap();
        let fixed = PictureInput {
            multiple_of: None,
            ..free.clone()
        };
        let cases = [
            (free, (640, 360), (416, 256)),
            (free, (360, 640), (256, 416)),
            (free, (640, 480), (416, 320)),
            (free, (512, 512), (416, 416)),
            (free, (4_096, 1), (416, 32)),
            (free, (0, 0), (416, 416)),
            (&fixed, (640, 360), (416, 416)),
        ];
        for (input, picture, want) in cases {
            assert_eq!(fitted(input, picture), want, "{picture:?}");
        }
    }
}
