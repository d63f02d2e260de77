//! Walks an ONNX file. The numbers of fields are those of `onnx.proto`.

use std::collections::HashSet;

use super::{
    Dim, Element, Outline, OutlineError, Port,
    wire::{Field, Message, Value},
};

/// How deep graphs may lie within graphs: control flow of real models nests two or three deep.
const MAX_DEPTH: usize = 8;
/// Inputs and outputs, each. Old files list every weight as an input.
const MAX_PORTS: usize = 20_000;
const MAX_NODES: usize = 50_000;
const MAX_TENSORS: usize = 50_000;
const MAX_FUNCTIONS: usize = 1_000;
const MAX_OPSETS: usize = 64;
const MAX_DIMS: usize = 8;
const MAX_NAME: usize = 512;
/// How much of a tensor's name an error repeats, in characters.
const TOLD_NAME: usize = 60;

pub(super) fn model(bytes: &[u8]) -> Result<Outline, OutlineError> {
    let mut walk = Walk {
        numbers_left: (bytes.len() as u64).saturating_mul(2),
        ..Walk::default()
    };
    let (mut graphs, mut opset, mut opsets) = (0, None, 0);
    for field in (Message { bytes, at: 0 }).fields() {
        let field = field?;
        match field.tag {
            // A second graph is one with the first, says the format.
            7 => {
                graphs += 1;
                walk.graph(message(&field)?, 0)?;
            }
            8 => {
                count(&mut opsets, "opsets", MAX_OPSETS)?;
                opset = onnx_opset(message(&field)?)?.or(opset);
            }
            20 => walk.training(message(&field)?)?,
            25 => {
                count(&mut walk.functions, "functions", MAX_FUNCTIONS)?;
                walk.function(message(&field)?)?;
            }
            _ => {}
        }
    }
    if graphs == 0 {
        return Err(OutlineError::NoGraph);
    }
    let weights = std::mem::take(&mut walk.weights);
    walk.inputs.retain(|port| !weights.contains(port.name.as_bytes()));
    Ok(Outline {
        inputs: walk.inputs,
        outputs: walk.outputs,
        opset: opset.ok_or(OutlineError::NoOpset)?,
    })
}

/// What was found and counted so far.
#[derive(Default)]
struct Walk<'a> {
    inputs: Vec<Port>,
    outputs: Vec<Port>,
    /// The names of the outermost graph's weights.
    weights: HashSet<&'a [u8]>,
    nodes: usize,
    tensors: usize,
    functions: usize,
    /// How many numbers tensors may still say they have. The smallest take half a byte each.
    numbers_left: u64,
}

impl<'a> Walk<'a> {
    fn graph(&mut self, graph: Message<'a>, depth: usize) -> Result<(), OutlineError> {
        if depth > MAX_DEPTH {
            return Err(OutlineError::TooDeep(MAX_DEPTH));
        }
        for field in graph.fields() {
            let field = field?;
            match field.tag {
                1 => self.node(message(&field)?, depth)?,
                5 => {
                    let name = self.tensor(message(&field)?)?;
                    if depth == 0 {
                        self.weights.insert(name);
                    }
                }
                11 if depth == 0 => push(&mut self.inputs, &field, "inputs")?,
                12 if depth == 0 => push(&mut self.outputs, &field, "outputs")?,
                15 => {
                    let name = self.sparse_tensor(message(&field)?)?;
                    if depth == 0 {
                        self.weights.insert(name);
                    }
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn node(&mut self, node: Message<'a>, depth: usize) -> Result<(), OutlineError> {
        count(&mut self.nodes, "nodes", MAX_NODES)?;
        for field in node.fields() {
            let field = field?;
            if field.tag == 5 {
                self.attribute(message(&field)?, depth)?;
            }
        }
        Ok(())
    }

    fn attribute(&mut self, attribute: Message<'a>, depth: usize) -> Result<(), OutlineError> {
        for field in attribute.fields() {
            let field = field?;
            match field.tag {
                5 | 10 => {
                    self.tensor(message(&field)?)?;
                }
                6 | 11 => self.graph(message(&field)?, depth + 1)?,
                22 | 23 => {
                    self.sparse_tensor(message(&field)?)?;
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn function(&mut self, function: Message<'a>) -> Result<(), OutlineError> {
        for field in function.fields() {
            let field = field?;
            match field.tag {
                7 => self.node(message(&field)?, 1)?,
                // Default values of attributes.
                11 => self.attribute(message(&field)?, 1)?,
                _ => {}
            }
        }
        Ok(())
    }

    fn training(&mut self, training: Message<'a>) -> Result<(), OutlineError> {
        for field in training.fields() {
            let field = field?;
            if matches!(field.tag, 1 | 2) {
                self.graph(message(&field)?, 1)?;
            }
        }
        Ok(())
    }

    /// Its name is that of its values.
    fn sparse_tensor(&mut self, sparse: Message<'a>) -> Result<&'a [u8], OutlineError> {
        let mut name: &[u8] = &[];
        for field in sparse.fields() {
            let field = field?;
            match field.tag {
                1 => name = self.tensor(message(&field)?)?,
                2 => {
                    self.tensor(message(&field)?)?;
                }
                _ => {}
            }
        }
        Ok(name)
    }

    /// Checks that its numbers are in the file; gives its name.
    fn tensor(&mut self, tensor: Message<'a>) -> Result<&'a [u8], OutlineError> {
        count(&mut self.tensors, "tensors", MAX_TENSORS)?;
        let (mut name, mut numbers, mut is_external): (&[u8], u64, bool) = (&[], 1, false);
        let mut dims = 0;
        for field in tensor.fields() {
            let field = field?;
            match (field.tag, field.value) {
                (1, Value::Number(dim)) => {
                    count(&mut dims, "dimensions of a tensor", MAX_DIMS)?;
                    numbers = numbers.saturating_mul(dim);
                }
                (1, Value::Bytes(mut packed)) => {
                    while !packed.bytes.is_empty() {
                        count(&mut dims, "dimensions of a tensor", MAX_DIMS)?;
                        let dim = packed
                            .varint()
                            .ok_or_else(|| broken("a dimension is cut off", &field))?;
                        numbers = numbers.saturating_mul(dim);
                    }
                }
                (8, _) => name = message(&field)?.bytes,
                (13, _) => is_external = true,
                (14, _) => is_external |= number(&field)? != 0,
                _ => {}
            }
        }
        if is_external {
            return Err(OutlineError::ExternalData { tensor: told(name) });
        }
        match self.numbers_left.checked_sub(numbers) {
            Some(left) => self.numbers_left = left,
            None => return Err(OutlineError::Inflated { tensor: told(name) }),
        }
        Ok(name)
    }
}

fn push(ports: &mut Vec<Port>, field: &Field<'_>, what: &'static str) -> Result<(), OutlineError> {
    if ports.len() == MAX_PORTS {
        return Err(OutlineError::TooMany { what, max: MAX_PORTS });
    }
    ports.push(port(message(field)?)?);
    Ok(())
}

fn port(value: Message<'_>) -> Result<Port, OutlineError> {
    let mut port = Port {
        name: String::new(),
        element: Element::Other(0),
        dims: None,
    };
    for field in value.fields() {
        let field = field?;
        match field.tag {
            1 => {
                let bytes = message(&field)?.bytes;
                let name = std::str::from_utf8(bytes)
                    .ok()
                    .filter(|name| name.len() <= MAX_NAME);
                port.name = name
                    .ok_or_else(|| broken("a name is too long or no text", &field))?
                    .to_owned();
            }
            2 => value_type(message(&field)?, &mut port)?,
            _ => {}
        }
    }
    Ok(port)
}

/// The type of an input or output; what is no tensor leaves the port as it is.
fn value_type(value_type: Message<'_>, port: &mut Port) -> Result<(), OutlineError> {
    for field in value_type.fields() {
        let field = field?;
        if field.tag != 1 {
            continue;
        }
        for field in message(&field)?.fields() {
            let field = field?;
            match field.tag {
                1 => port.element = Element::of_code(number(&field)?),
                2 => shape(message(&field)?, port.dims.get_or_insert_default())?,
                _ => {}
            }
        }
    }
    Ok(())
}

fn shape(shape: Message<'_>, dims: &mut Vec<Dim>) -> Result<(), OutlineError> {
    for field in shape.fields() {
        let field = field?;
        if field.tag != 1 {
            continue;
        }
        if dims.len() == MAX_DIMS {
            let what = "dimensions of an input or output";
            return Err(OutlineError::TooMany { what, max: MAX_DIMS });
        }
        let mut dim = Dim::Free;
        for field in message(&field)?.fields() {
            let field = field?;
            dim = match field.tag {
                1 => dim_of_size(number(&field)?),
                2 => message(&field).map(|_name| Dim::Free)?,
                _ => dim,
            };
        }
        dims.push(dim);
    }
    Ok(())
}

/// Some exporters write -1 or 0 for what is not known.
fn dim_of_size(size: u64) -> Dim {
    if (1..=i64::MAX as u64).contains(&size) {
        return Dim::Fixed(size);
    }
    Dim::Free
}

/// The version of the operators of ONNX itself; `None` for those of somebody else.
fn onnx_opset(opset: Message<'_>) -> Result<Option<u64>, OutlineError> {
    let (mut domain, mut version): (&[u8], _) = (&[], None);
    for field in opset.fields() {
        let field = field?;
        match field.tag {
            1 => domain = message(&field)?.bytes,
            2 => version = Some(number(&field)?),
            _ => {}
        }
    }
    Ok(version.filter(|version| *version > 0 && (domain.is_empty() || domain == b"ai.onnx")))
}

fn message<'a>(field: &Field<'a>) -> Result<Message<'a>, OutlineError> {
    match field.value {
        Value::Bytes(message) => Ok(message),
        _ => Err(broken("a number where a text or message belongs", field)),
    }
}

fn number(field: &Field<'_>) -> Result<u64, OutlineError> {
    match field.value {
        Value::Number(number) => Ok(number),
        _ => Err(broken("a text or message where a number belongs", field)),
    }
}

fn count(so_far: &mut usize, what: &'static str, max: usize) -> Result<(), OutlineError> {
    if *so_far == max {
        return Err(OutlineError::TooMany { what, max });
    }
    *so_far += 1;
    Ok(())
}

fn broken(what: &'static str, field: &Field<'_>) -> OutlineError {
    OutlineError::Broken { what, at: field.at }
}

fn told(name: &[u8]) -> String {
    let name = String::from_utf8_lossy(&name[..name.len().min(4 * TOLD_NAME)]);
    name.chars().filter(|c| !c.is_control()).take(TOLD_NAME).collect()
}
