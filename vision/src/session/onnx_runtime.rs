//! Models on ONNX Runtime.

use ort::{
    environment::Environment,
    session::{
        Session, SessionInputValue, SessionOutputs,
        builder::{GraphOptimizationLevel, SessionBuilder},
    },
    value::{DynValue, TensorRef},
};

use crate::{
    infer::{BadOutput, Tensor, words},
    prepare::Numbers,
};

pub(super) struct OnnxSession(Session);

pub(crate) struct Outputs<'s>(SessionOutputs<'s>);

impl OnnxSession {
    pub(super) fn open(environment: &Environment, onnx: &[u8]) -> Result<OnnxSession, String> {
        let session = builder(environment)?.commit_from_memory(onnx);
        let session = session.map_err(|error| words(&error))?;
        match session.inputs().len() {
            1 => Ok(OnnxSession(session)),
            inputs => Err(format!("it has {inputs} inputs where one is due")),
        }
    }

    pub(super) fn run(&mut self, shape: &[usize], numbers: Numbers<'_>) -> Result<Outputs<'_>, String> {
        let input: Result<SessionInputValue<'_>, ort::Error> = match numbers {
            Numbers::F32(values) => TensorRef::from_array_view((shape, values)).map(Into::into),
            Numbers::U8(values) => TensorRef::from_array_view((shape, values)).map(Into::into),
            Numbers::I32(values) => TensorRef::from_array_view((shape, values)).map(Into::into),
        };
        let input = input.map_err(|error| words(&error))?;
        let outputs = self.0.run([input]).map_err(|error| words(&error))?;
        Ok(Outputs(outputs))
    }
}

impl Outputs<'_> {
    pub(super) fn named(&self, name: &str) -> Result<Tensor<'_>, BadOutput> {
        let extracted = self.value(name)?.try_extract_tensor::<f32>();
        let (shape, values) = extracted.map_err(|_not_f32| BadOutput::Type(name.to_owned()))?;
        Ok(Tensor { shape, values })
    }

    pub(super) fn whole(&self, name: &str) -> Option<(Vec<i64>, Vec<i64>)> {
        let (shape, values) = self.value(name).ok()?.try_extract_tensor::<i64>().ok()?;
        Some((shape.to_vec(), values.to_vec()))
    }

    fn value(&self, name: &str) -> Result<&DynValue, BadOutput> {
        // The binding panics on an empty name.
        let found = (!name.is_empty()).then(|| self.0.get(name)).flatten();
        found.ok_or_else(|| BadOutput::Missing(name.to_owned()))
    }
}

/// One thread and no spinning: a worker is one core's worth of work, and an idle one costs nothing.
fn builder(environment: &Environment) -> Result<SessionBuilder, String> {
    let builder = Session::builder(environment).map_err(|error| words(&error))?;
    let builder = builder.with_intra_threads(1).map_err(|error| words(&error))?;
    let builder = builder.with_inter_threads(1).map_err(|error| words(&error))?;
    let builder = builder
        .with_intra_op_spinning(false)
        .map_err(|error| words(&error))?;
    let builder = builder.with_optimization_level(GraphOptimizationLevel::All);
    builder.map_err(|error| words(&error))
}
