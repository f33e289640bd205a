//! Runs a template.

use std::borrow::Cow;
use std::io::Write as _;

use super::functions::{Body, Function};
use super::{Command, Data, Failed, Node, Operand, Pipeline};
use crate::pattern::Pattern;

/// Bytes that a template may make: what is more fails.
pub(crate) const MAX_RESULT_BYTES: usize = 32 << 20;

/// A value while a template is run.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Item<'d> {
    /// A field that is not there, or `nil`.
    Missing,
    Text(Cow<'d, [u8]>),
    Int(i64),
    Float(f64),
    Bool(bool),
    List(Vec<Item<'d>>),
}

impl<'d> Item<'d> {
    /// Whether an `if` takes it for true.
    pub(super) fn is_true(&self) -> bool {
        match self {
            Item::Missing => false,
            Item::Text(text) => !text.is_empty(),
            Item::Int(number) => *number != 0,
            Item::Float(number) => *number != 0.0,
            Item::Bool(value) => *value,
            Item::List(elements) => !elements.is_empty(),
        }
    }

    /// Bytes of the text, and of all elements of a list with their texts.
    fn size(&self) -> usize {
        match self {
            Item::Missing | Item::Int(_) | Item::Float(_) | Item::Bool(_) => 0,
            Item::Text(text) => text.len(),
            Item::List(elements) => elements
                .iter()
                .map(|element| size_of::<Self>() + element.size())
                .sum(),
        }
    }

    /// The text, for functions that take nothing else.
    pub(super) fn text(self) -> Result<Cow<'d, [u8]>, Failed> {
        match self {
            Item::Text(text) => Ok(text),
            Item::Missing | Item::Int(_) | Item::Float(_) | Item::Bool(_) | Item::List(_) => {
                Err(Failed)
            }
        }
    }

    /// Makes a text of bytes.
    pub(super) fn owned(bytes: Vec<u8>) -> Self {
        Self::Text(Cow::Owned(bytes))
    }

    /// Appends it as it is printed.
    pub(super) fn print(&self, out: &mut Vec<u8>) {
        match self {
            Item::Missing => out.extend_from_slice(b"<no value>"),
            Item::Text(text) => out.extend_from_slice(text),
            Item::Int(number) => write!(out, "{number}").expect("memory takes every write"),
            Item::Float(number) => crate::json::write_number(*number, out),
            Item::Bool(value) => write!(out, "{value}").expect("memory takes every write"),
            Item::List(elements) => {
                out.push(b'[');
                for (index, element) in elements.iter().enumerate() {
                    if index > 0 {
                        out.push(b' ');
                    }
                    element.print(out);
                }
                out.push(b']');
            }
        }
    }
}

/// What changes while a template is run.
#[derive(Debug)]
pub(super) struct Frame<'d> {
    variables: Vec<Item<'d>>,
    /// What `.` is within a `with`.
    point: Item<'d>,
}

impl Frame<'_> {
    pub(super) fn new(variables: usize) -> Self {
        Self {
            variables: vec![Item::Missing; variables],
            point: Item::Missing,
        }
    }
}

/// Appends the result of nodes.
pub(super) fn run<'d>(
    nodes: &'d [Node],
    data: &Data<'d>,
    frame: &mut Frame<'d>,
    out: &mut Vec<u8>,
) -> Result<(), Failed> {
    for node in nodes {
        match node {
            Node::Text(text) => out.extend_from_slice(text),
            Node::Print(pipeline) => {
                let value = evaluate(pipeline, data, frame)?;
                if pipeline.variable.is_none() {
                    value.print(out);
                }
            }
            Node::If {
                condition,
                is_with,
                then,
                otherwise,
            } => {
                let value = evaluate(condition, data, frame)?;
                match (value.is_true(), is_with) {
                    (true, true) => {
                        let outer = std::mem::replace(&mut frame.point, value);
                        run(then, data, frame, out)?;
                        frame.point = outer;
                    }
                    (true, false) => run(then, data, frame, out)?,
                    (false, _) => run(otherwise, data, frame, out)?,
                }
            }
        }
        if out.len() > MAX_RESULT_BYTES {
            return Err(Failed);
        }
    }
    Ok(())
}

fn evaluate<'d>(
    pipeline: &'d Pipeline,
    data: &Data<'d>,
    frame: &mut Frame<'d>,
) -> Result<Item<'d>, Failed> {
    let mut last = None;
    for command in &pipeline.commands {
        last = Some(match command {
            Command::Operand(operand) => operand_value(operand, data, frame)?,
            Command::Call {
                function,
                arguments,
                pattern,
            } => {
                let call = Call {
                    function,
                    arguments,
                    pattern: pattern.as_deref(),
                };
                call.evaluate(last, data, frame)?
            }
        });
    }
    let value = last.ok_or(Failed)?;
    let variable = pipeline.variable;
    if let Some(kept) = variable.and_then(|index| frame.variables.get_mut(index)) {
        kept.clone_from(&value);
    }
    Ok(value)
}

/// A function and what it is called with.
struct Call<'d> {
    function: &'static Function,
    arguments: &'d [Operand],
    pattern: Option<&'d Pattern>,
}

impl<'d> Call<'d> {
    fn evaluate(
        &self,
        last: Option<Item<'d>>,
        data: &Data<'d>,
        frame: &mut Frame<'d>,
    ) -> Result<Item<'d>, Failed> {
        // The rest is not evaluated once the result is known.
        if let Body::Until(stops_at) = self.function.body {
            let mut result = Item::Missing;
            for argument in self.arguments {
                result = operand_value(argument, data, frame)?;
                if result.is_true() == stops_at {
                    return Ok(result);
                }
            }
            return Ok(last.unwrap_or(result));
        }
        let mut values = Vec::with_capacity(self.arguments.len() + 1);
        for argument in self.arguments {
            values.push(operand_value(argument, data, frame)?);
        }
        values.extend(last);
        let result = self.function.call(values, self.pattern)?;
        (result.size() <= MAX_RESULT_BYTES)
            .then_some(result)
            .ok_or(Failed)
    }
}

fn operand_value<'d>(
    operand: &'d Operand,
    data: &Data<'d>,
    frame: &mut Frame<'d>,
) -> Result<Item<'d>, Failed> {
    let bytes = |bytes: Option<&'d [u8]>| {
        bytes.map_or(Item::Missing, |bytes| Item::Text(Cow::Borrowed(bytes)))
    };
    Ok(match operand {
        Operand::Value => bytes(data.value),
        Operand::Entry => bytes(data.entry),
        Operand::Field(index) => {
            let text = data.fields.get(*index).copied().flatten();
            bytes(text.map(|text| data.draft.bytes(text)))
        }
        Operand::Variable(index) => frame.variables.get(*index).cloned().ok_or(Failed)?,
        Operand::Point => frame.point.clone(),
        Operand::Part(list, place) => match operand_value(list, data, frame)? {
            Item::List(parts) => parts.into_iter().nth(*place).unwrap_or(Item::Missing),
            Item::Missing | Item::Text(_) | Item::Int(_) | Item::Float(_) | Item::Bool(_) => {
                return Err(Failed);
            }
        },
        Operand::Text(text) => Item::Text(Cow::Borrowed(text.as_bytes())),
        Operand::Int(number) => Item::Int(*number),
        Operand::Float(number) => Item::Float(*number),
        Operand::Bool(value) => Item::Bool(*value),
        Operand::Nil => Item::Missing,
        Operand::Pipeline(pipeline) => evaluate(pipeline, data, frame)?,
    })
}
