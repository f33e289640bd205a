//! The used subset of Go's templates, with Promtail's functions and the common ones of Sprig.
//!
//! Understood are text, `{{ … }}` with trim markers, comments, fields (`.Value`, `.Entry`, and the
//! names of extracted values), variables, texts, numbers, `true`, `false`, `nil`, calls, pipes,
//! parentheses, `if`/`else if`/`else`/`end`, `with`, lists, and `index . "name"`. All else is refused by its
//! column when it is compiled: `range`, `define`, functions that are not in the list.

mod eval;
mod format;
mod functions;
mod lex;
mod parse;

use crate::draft::{Draft, Slot, Text};
use crate::error::Fault;
use crate::pattern::Pattern;
use crate::program::Names;
use functions::Function;

/// A compiled template.
#[derive(Clone, Debug)]
pub(crate) struct Template {
    nodes: Vec<Node>,
    /// The extracted values it speaks of.
    fields: Vec<Slot>,
    /// How many variables it declares.
    variables: usize,
}

/// A part of a template.
#[derive(Clone, Debug)]
enum Node {
    Text(Box<[u8]>),
    Print(Pipeline),
    If {
        condition: Pipeline,
        /// Whether `.` is the condition's value in `then`, as in a `with`.
        is_with: bool,
        then: Vec<Node>,
        otherwise: Vec<Node>,
    },
}

/// Calls, each with the result of the one before as its last argument.
#[derive(Clone, Debug)]
struct Pipeline {
    commands: Vec<Command>,
    /// The variable that keeps the result.
    variable: Option<usize>,
}

#[derive(Clone, Debug)]
enum Command {
    Operand(Operand),
    Call {
        function: &'static Function,
        arguments: Vec<Operand>,
        /// The expression of the functions that take one.
        pattern: Option<Box<Pattern>>,
    },
}

#[derive(Clone, Debug)]
enum Operand {
    /// `.Value`
    Value,
    /// `.Entry`
    Entry,
    /// An index of `Template::fields`.
    Field(usize),
    /// A variable, by its index.
    Variable(usize),
    /// `.` within a `with`.
    Point,
    /// `._3` of a list.
    Part(Box<Operand>, usize),
    Text(Box<str>),
    Int(i64),
    Float(f64),
    Bool(bool),
    Nil,
    Pipeline(Pipeline),
}

/// What a template is run on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Data<'d> {
    pub(crate) draft: &'d Draft<'d>,
    pub(crate) fields: &'d [Option<Text>],
    pub(crate) value: Option<&'d [u8]>,
    pub(crate) entry: Option<&'d [u8]>,
}

/// A template could not be run on its data; there is nothing more to say of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Failed;

impl Template {
    /// Compiles a template.
    pub(crate) fn new(text: &str, names: &mut Names) -> Result<Self, Fault> {
        parse::parse(text, names).map_err(|mistake| {
            Fault::new(
                format!(
                    "the template is not understood: {} at column {}",
                    mistake.what, mistake.column
                ),
                mistake.hint,
            )
        })
    }

    /// Returns the texts of the fields, in their order.
    pub(crate) fn read_fields(&self, draft: &mut Draft<'_>) -> Vec<Option<Text>> {
        self.fields.iter().map(|slot| draft.text(*slot)).collect()
    }

    /// Appends the result for some data.
    pub(crate) fn run(&self, data: &Data<'_>, out: &mut Vec<u8>) -> Result<(), Failed> {
        eval::run(
            &self.nodes,
            data,
            &mut eval::Frame::new(self.variables),
            out,
        )
    }
}

/// Bytes that a template, or a function of one, may make.
pub(crate) use eval::MAX_RESULT_BYTES;

#[cfg(test)]
mod tests;
