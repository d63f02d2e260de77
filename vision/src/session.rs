//! One loaded model. A session is used by one thread at a time; every worker has its own.

use models::PictureElement;

use self::{onnx_runtime::OnnxSession, tract::TractPlan};
use crate::{
    infer::{BadOutput, InferError, Tensor},
    prepare::Numbers,
    runtime::Runtime,
};

mod onnx_runtime;
mod tract;

/// A loaded model and its name, which every error carries.
pub(crate) struct ModelSession {
    name: String,
    engine: Engine,
}

enum Engine {
    OnnxRuntime(OnnxSession),
    Tract(TractPlan),
}

/// What a model is always given.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Form<'a> {
    pub(crate) shape: &'a [usize],
    pub(crate) element: PictureElement,
}

/// What one run gave. Lives until the next run.
pub(crate) enum Outputs<'s> {
    OnnxRuntime(onnx_runtime::Outputs<'s>),
    Tract(tract::Outputs<'s>),
}

impl ModelSession {
    /// Loads a model that is to be run on inputs of one form. Blocks for the 0.1 to 5 s that the library needs to lay
    /// the graph out.
    pub(crate) fn open(
        runtime: &Runtime,
        name: &str,
        onnx: &[u8],
        form: Form<'_>,
    ) -> Result<ModelSession, InferError> {
        let engine = match runtime.environment() {
            Some(environment) => OnnxSession::open(environment, onnx).map(Engine::OnnxRuntime),
            None => TractPlan::open(onnx, form).map(Engine::Tract),
        };
        let refused = |why| InferError::Load {
            model: name.to_owned(),
            why,
        };
        Ok(ModelSession {
            name: name.to_owned(),
            engine: engine.map_err(refused)?,
        })
    }

    /// Whether the shape may differ from run to run, where the model itself leaves it open. The built-in engine plans
    /// for one shape when it loads.
    pub(crate) fn takes_any_shape(&self) -> bool {
        matches!(self.engine, Engine::OnnxRuntime(_))
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
        let ModelSession { name, engine } = self;
        let outputs = match engine {
            Engine::OnnxRuntime(session) => session.run(shape, numbers).map(Outputs::OnnxRuntime),
            Engine::Tract(plan) => plan.run(shape, numbers).map(Outputs::Tract),
        };
        let outputs = outputs.map_err(|why| InferError::Run {
            model: name.clone(),
            why,
        })?;
        read(&outputs).map_err(|what| InferError::BadOutput {
            model: name.clone(),
            what,
        })
    }
}

impl Outputs<'_> {
    /// The output of this name.
    pub(crate) fn named(&self, name: &str) -> Result<Tensor<'_>, BadOutput> {
        match self {
            Outputs::OnnxRuntime(outputs) => outputs.named(name),
            Outputs::Tract(outputs) => outputs.named(name),
        }
    }

    /// The output of this name, whose numbers may be whole: its shape and them.
    pub(crate) fn whole(&self, name: &str) -> Result<(Vec<i64>, Vec<f32>), BadOutput> {
        let whole = match self {
            Outputs::OnnxRuntime(outputs) => outputs.whole(name),
            Outputs::Tract(outputs) => outputs.whole(name),
        };
        if let Some((shape, values)) = whole {
            return Ok((shape, values.iter().map(|value| *value as f32).collect()));
        }
        let Tensor { shape, values } = self.named(name)?;
        Ok((shape.to_vec(), values.to_vec()))
    }

    /// Fails when a number of this output is not finite.
    pub(crate) fn check_finite(&self, name: &str) -> Result<(), BadOutput> {
        match self.named(name) {
            Ok(tensor) if tensor.values.iter().all(|value| value.is_finite()) => Ok(()),
            Ok(_) => Err(BadOutput::NotFinite),
            // Whole numbers are always finite.
            Err(BadOutput::Type(_)) => self.whole(name).map(|_| ()),
            Err(error) => Err(error),
        }
    }
}
