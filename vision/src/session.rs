//! One loaded model. A session is used by one thread at a time; every worker has its own.

use ort::{
    session::{
        Session, SessionInputValue, SessionOutputs,
        builder::{GraphOptimizationLevel, SessionBuilder},
    },
    value::{DynValue, TensorRef},
};

use crate::{
    infer::{BadOutput, InferError, Tensor, words},
    prepare::Numbers,
    runtime::{Backend, Runtime},
};

/// A loaded model and its name, which every error carries.
pub(crate) struct ModelSession {
    name: String,
    session: Session,
}

/// What one run gave. Lives until the next run.
pub(crate) struct Outputs<'s>(SessionOutputs<'s>);

impl ModelSession {
    /// Loads a model. Blocks for the 0.1 to 5 s that the library needs to lay the graph out.
    pub(crate) fn open(runtime: &Runtime, name: &str, onnx: &[u8]) -> Result<ModelSession, InferError> {
        let refused = |why: String| InferError::Load {
            model: name.to_owned(),
            why,
        };
        let mut builder = builder(runtime).map_err(refused)?;
        let session = builder
            .commit_from_memory(onnx)
            .map_err(|error| refused(words(&error)))?;
        if session.inputs().len() != 1 {
            let inputs = session.inputs().len();
            return Err(refused(format!("it has {inputs} inputs where one is due")));
        }
        Ok(ModelSession {
            name: name.to_owned(),
            session,
        })
    }

    /// The card's name.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Runs the model on one input and reads what it gave. `read` sees the model's own memory: nothing is copied.
    pub(crate) fn run<T>(
        &mut self,
        shape: &[usize],
        numbers: Numbers<'_>,
        read: impl FnOnce(&Outputs<'_>) -> Result<T, BadOutput>,
    ) -> Result<T, InferError> {
        let ModelSession { name, session } = self;
        let failed = |error: ort::Error| InferError::Run {
            model: name.clone(),
            why: words(&error),
        };
        let input: SessionInputValue<'_> = match numbers {
            Numbers::F32(values) => TensorRef::from_array_view((shape, values))
                .map_err(failed)?
                .into(),
            Numbers::U8(values) => TensorRef::from_array_view((shape, values))
                .map_err(failed)?
                .into(),
            Numbers::I32(values) => TensorRef::from_array_view((shape, values))
                .map_err(failed)?
                .into(),
        };
        let outputs = session.run([input]).map_err(failed)?;
        read(&Outputs(outputs)).map_err(|what| InferError::BadOutput {
            model: name.clone(),
            what,
        })
    }
}

impl Outputs<'_> {
    /// The output of this name.
    pub(crate) fn named(&self, name: &str) -> Result<Tensor<'_>, BadOutput> {
        let extracted = self.value(name)?.try_extract_tensor::<f32>();
        let (shape, values) = extracted.map_err(|_not_f32| BadOutput::Type(name.to_owned()))?;
        Ok(Tensor { shape, values })
    }

    /// The output of this name, whose numbers may be whole: its shape and them.
    pub(crate) fn whole(&self, name: &str) -> Result<(Vec<i64>, Vec<f32>), BadOutput> {
        let value = self.value(name)?;
        if let Ok((shape, values)) = value.try_extract_tensor::<i64>() {
            return Ok((shape.to_vec(), values.iter().map(|value| *value as f32).collect()));
        }
        let Tensor { shape, values } = self.named(name)?;
        Ok((shape.to_vec(), values.to_vec()))
    }

    /// Fails when a floating point number of this output is not finite.
    pub(crate) fn check_finite(&self, name: &str) -> Result<(), BadOutput> {
        match self.value(name)?.try_extract_tensor::<f32>() {
            Ok((_, values)) if !values.iter().all(|value| value.is_finite()) => Err(BadOutput::NotFinite),
            Ok(_) => Ok(()),
            // Whole numbers are always finite.
            Err(_not_f32) => Ok(()),
        }
    }

    fn value(&self, name: &str) -> Result<&DynValue, BadOutput> {
        // The binding panics on an empty name.
        let found = (!name.is_empty()).then(|| self.0.get(name)).flatten();
        found.ok_or_else(|| BadOutput::Missing(name.to_owned()))
    }
}

/// One thread and no spinning: a worker is one core's worth of work, and an idle one costs nothing.
fn builder(runtime: &Runtime) -> Result<SessionBuilder, String> {
    let builder = Session::builder(runtime.environment()).map_err(|error| words(&error))?;
    let builder = match runtime.backend() {
        Backend::OnnxRuntime { .. } => {
            let one = builder.with_intra_threads(1).map_err(|error| words(&error))?;
            let one = one.with_inter_threads(1).map_err(|error| words(&error))?;
            one.with_intra_op_spinning(false).map_err(|error| words(&error))?
        }
        // tract has one thread and knows none of these options.
        Backend::Tract => builder,
    };
    let optimised = builder.with_optimization_level(GraphOptimizationLevel::All);
    optimised.map_err(|error| words(&error))
}
