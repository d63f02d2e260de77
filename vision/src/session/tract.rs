//! Models on tract, the library that is built in.
//!
//! It is used directly and not through the C interface that `ort` has for other libraries: a panic cannot leave a C
//! interface, so there it ends the whole process, and an operator's model may well cause one. And the graph can be
//! laid out for the one size of picture that it will see, which makes it faster.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use models::PictureElement;
use tract_onnx::prelude::{
    Datum, DatumType, Framework, InferenceFact, InferenceModelExt, IntoRunnable, TValue, TVec, TractResult,
    TypedRunnableModel, tvec,
};

use super::Form;
use crate::{
    infer::{BadOutput, Tensor, words},
    prepare::Numbers,
};

pub(super) struct TractPlan {
    plan: Arc<TypedRunnableModel>,
    outputs: Vec<String>,
}

pub(crate) struct Outputs<'s> {
    names: &'s [String],
    values: TVec<TValue>,
    shapes: Vec<Vec<i64>>,
}

impl TractPlan {
    pub(super) fn open(onnx: &[u8], form: Form<'_>) -> Result<TractPlan, String> {
        guarded(|| {
            let library = tract_onnx::onnx();
            let file = library.proto_model_for_read(&mut &*onnx)?;
            let outputs = file.graph.iter().flat_map(|graph| &graph.output);
            let outputs = outputs.map(|output| output.name.clone()).collect();
            let model = library.model_for_proto_model(&file)?;
            let fact = InferenceFact::dt_shape(datum(form.element), form.shape);
            let plan = model
                .with_input_fact(0, fact)?
                .into_optimized()?
                .into_runnable()?;
            Ok(TractPlan { plan, outputs })
        })
    }

    pub(super) fn run(&self, shape: &[usize], numbers: Numbers<'_>) -> Result<Outputs<'_>, String> {
        let values = guarded(|| {
            let input = match numbers {
                Numbers::F32(values) => tensor(shape, values)?,
                Numbers::U8(values) => tensor(shape, values)?,
                Numbers::I32(values) => tensor(shape, values)?,
            };
            self.plan.run(tvec!(input))
        })?;
        let shape = |value: &TValue| value.shape().iter().map(|side| *side as i64).collect();
        Ok(Outputs {
            names: &self.outputs,
            shapes: values.iter().map(shape).collect(),
            values,
        })
    }
}

impl Outputs<'_> {
    pub(super) fn named(&self, name: &str) -> Result<Tensor<'_>, BadOutput> {
        let (shape, value) = self.value(name)?;
        let values = value.to_plain_array_view::<f32>();
        let values = values.ok().and_then(|values| values.to_slice());
        let values = values.ok_or_else(|| BadOutput::Type(name.to_owned()))?;
        Ok(Tensor { shape, values })
    }

    pub(super) fn whole(&self, name: &str) -> Option<(Vec<i64>, Vec<i64>)> {
        let (shape, value) = self.value(name).ok()?;
        let values = value.to_plain_array_view::<i64>().ok()?;
        Some((shape.to_vec(), values.iter().copied().collect()))
    }

    fn value(&self, name: &str) -> Result<(&[i64], &TValue), BadOutput> {
        let place = self.names.iter().position(|output| output == name);
        let found =
            place.and_then(|place| Some((self.shapes.get(place)?.as_slice(), self.values.get(place)?)));
        found.ok_or_else(|| BadOutput::Missing(name.to_owned()))
    }
}

fn tensor<T: Datum + Copy>(shape: &[usize], values: &[T]) -> TractResult<TValue> {
    Ok(tract_onnx::prelude::Tensor::from_shape(shape, values)?.into())
}

fn datum(element: PictureElement) -> DatumType {
    match element {
        PictureElement::F32 => DatumType::F32,
        PictureElement::U8 => DatumType::U8,
        PictureElement::I32 => DatumType::I32,
    }
}

/// Calls the library, for which a panic is a failure like another: it meets graphs that it was never tried on.
fn guarded<T>(call: impl FnOnce() -> TractResult<T>) -> Result<T, String> {
    match catch_unwind(AssertUnwindSafe(call)) {
        // The alternate form tells the whole chain of causes.
        Ok(outcome) => outcome.map_err(|error| words(&format!("{error:#}"))),
        Err(_panic) => Err("tract does not get along with it; try ONNX Runtime".to_owned()),
    }
}
