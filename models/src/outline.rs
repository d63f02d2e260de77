//! What of an ONNX file can be known without running it: its inputs, outputs and opset, and that it is whole.
//!
//! The file is walked as it lies in memory. Nothing of it is copied but the names and dimensions of inputs and
//! outputs, and everything is counted, so that no file of a bounded size can take unbounded memory, time or stack.

mod walk;
mod wire;

use std::fmt;

/// The outline of an ONNX model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outline {
    /// What it is fed, without the weights that old files list as inputs.
    pub inputs: Vec<Port>,
    /// What it gives.
    pub outputs: Vec<Port>,
    /// The version of the operators it is written in.
    pub opset: u64,
}

/// An input or output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Port {
    /// Its name.
    pub name: String,
    /// The type of its numbers.
    pub element: Element,
    /// Its dimensions, outermost first; `None` when the file does not say how many there are.
    pub dims: Option<Vec<Dim>>,
}

/// A dimension.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dim {
    /// Always this many.
    Fixed(u64),
    /// Known only when it runs.
    Free,
}

/// The type of a tensor's numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Element {
    /// 32-bit floating point.
    F32,
    /// 8-bit unsigned integer.
    U8,
    /// 32-bit signed integer.
    I32,
    /// 64-bit signed integer.
    I64,
    /// Another one, by its number in the ONNX format; 0 for what is no tensor.
    Other(u32),
}

/// Why a file is no ONNX model that may be run.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OutlineError {
    /// It is not made as the format wants.
    #[error("the file is no ONNX model or is damaged ({what}, at byte {at}); fetch or export it again")]
    Broken {
        /// What was wrong there.
        what: &'static str,
        /// The offset in the file.
        at: usize,
    },
    /// There is no graph in it.
    #[error("the file holds no graph; it is no ONNX model")]
    NoGraph,
    /// It does not say which operators it means.
    #[error("the file names no opset of ONNX; export it again")]
    NoOpset,
    /// Numbers are kept in other files.
    #[error("the tensor {tensor} keeps its numbers outside the file; export the model as one file")]
    ExternalData {
        /// The tensor's name, cut short.
        tensor: String,
    },
    /// Graphs within graphs, too deep.
    #[error("graphs lie within graphs more than {0} deep; export it without nested control flow")]
    TooDeep(usize),
    /// Too much of something.
    #[error("the file has more than {max} {what}; use a smaller model")]
    TooMany {
        /// Of what.
        what: &'static str,
        /// How many are allowed.
        max: usize,
    },
    /// A tensor is said to be larger than what is there.
    #[error("the tensor {tensor} says it has more numbers than the file holds; fetch or export it again")]
    Inflated {
        /// The tensor's name, cut short.
        tensor: String,
    },
}

impl Outline {
    /// Reads the outline of an ONNX file.
    ///
    /// # Errors
    /// [`OutlineError`] for whatever is no model, is damaged, refers to other files, or goes beyond a bound.
    pub fn read(bytes: &[u8]) -> Result<Outline, OutlineError> {
        walk::model(bytes)
    }
}

impl Element {
    /// The format keeps 32 bits of it.
    fn of_code(code: u64) -> Element {
        match code as u32 {
            1 => Element::F32,
            2 => Element::U8,
            6 => Element::I32,
            7 => Element::I64,
            other => Element::Other(other),
        }
    }
}

impl fmt::Display for Element {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Element::F32 => f.write_str("f32"),
            Element::U8 => f.write_str("u8"),
            Element::I32 => f.write_str("i32"),
            Element::I64 => f.write_str("i64"),
            Element::Other(0) => f.write_str("no tensor"),
            Element::Other(code) => write!(f, "type {code} of ONNX"),
        }
    }
}
