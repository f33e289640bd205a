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
        }
    }

    /// The text, for functions that take nothing else.
    pub(super) fn text(self) -> Result<Cow<'d, [u8]>, Failed> {
        match self {
            Item::Text(text) => Ok(text),
            Item::Missing | Item::Int(_) | Item::Float(_) | Item::Bool(_) => Err(Failed),
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
        }
    }
}

/// Appends the result of nodes.
pub(super) fn run(nodes: &[Node], data: &Data<'_>, out: &mut Vec<u8>) -> Result<(), Failed> {
    for node in nodes {
        match node {
            Node::Text(text) => out.extend_from_slice(text),
            Node::Print(pipeline) => evaluate(pipeline, data)?.print(out),
            Node::If {
                condition,
                then,
                otherwise,
            } => {
                let is_true = evaluate(condition, data)?.is_true();
                run(if is_true { then } else { otherwise }, data, out)?;
            }
        }
        if out.len() > MAX_RESULT_BYTES {
            return Err(Failed);
        }
    }
    Ok(())
}

fn evaluate<'d>(pipeline: &'d Pipeline, data: &Data<'d>) -> Result<Item<'d>, Failed> {
    let mut last = None;
    for command in &pipeline.0 {
        last = Some(match command {
            Command::Operand(operand) => operand_value(operand, data)?,
            Command::Call {
                function,
                arguments,
                pattern,
            } => call(function, arguments, pattern.as_deref(), last, data)?,
        });
    }
    last.ok_or(Failed)
}

fn call<'d>(
    function: &Function,
    arguments: &'d [Operand],
    pattern: Option<&Pattern>,
    last: Option<Item<'d>>,
    data: &Data<'d>,
) -> Result<Item<'d>, Failed> {
    // The rest is not evaluated once the result is known.
    if let Body::Until(stops_at) = function.body {
        let mut result = Item::Missing;
        for argument in arguments {
            result = operand_value(argument, data)?;
            if result.is_true() == stops_at {
                return Ok(result);
            }
        }
        return Ok(last.unwrap_or(result));
    }
    let mut values = Vec::with_capacity(arguments.len() + 1);
    for argument in arguments {
        values.push(operand_value(argument, data)?);
    }
    values.extend(last);
    let result = function.call(values, pattern)?;
    let is_too_large = matches!(&result, Item::Text(text) if text.len() > MAX_RESULT_BYTES);
    if is_too_large {
        Err(Failed)
    } else {
        Ok(result)
    }
}

fn operand_value<'d>(operand: &'d Operand, data: &Data<'d>) -> Result<Item<'d>, Failed> {
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
        Operand::Text(text) => Item::Text(Cow::Borrowed(text.as_bytes())),
        Operand::Int(number) => Item::Int(*number),
        Operand::Float(number) => Item::Float(*number),
        Operand::Bool(value) => Item::Bool(*value),
        Operand::Nil => Item::Missing,
        Operand::Pipeline(pipeline) => evaluate(pipeline, data)?,
    })
}
