//! `json`: values of a JSON object.

use std::fmt;
use std::sync::Arc;

use jmespath::{Expression, Variable};

use crate::JsonConfig;
use crate::draft::{Draft, Slot, Text, Value};
use crate::error::Fault;
use crate::json::{Finder, Found, plain_path, write_number};
use crate::program::{Flow, Names, ReasonId};

/// Characters of an expression that may nest it: its parser, and what finds its value, recurse along
/// them, on a stack that ends.
const MAX_OPERATORS: usize = 200;

/// An expression that is more than a path of keys.
#[derive(Clone)]
struct Query {
    slot: Slot,
    expression: Arc<Expression<'static>>,
}

impl fmt::Debug for Query {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.expression.as_str())
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Json {
    source: Option<Slot>,
    finder: Finder,
    /// Where the values of the finder go.
    slots: Vec<Slot>,
    queries: Vec<Query>,
    when_malformed: Option<ReasonId>,
}

impl Json {
    /// Compiles the expressions; a fault comes with the name of its expression.
    pub(crate) fn new(
        config: &JsonConfig,
        names: &mut Names,
        when_malformed: Option<ReasonId>,
    ) -> Result<Self, (String, Fault)> {
        let mut paths = Vec::new();
        let mut slots = Vec::new();
        let mut queries = Vec::new();
        for (name, expression) in &config.expressions {
            let expression = expression.as_deref().filter(|text| !text.is_empty());
            let expression = expression.unwrap_or(name);
            check_nesting(expression).map_err(|fault| (name.clone(), fault))?;
            let slot = names.slot(name);
            if let Some(path) = plain_path(expression) {
                paths.push(path);
                slots.push(slot);
            } else {
                let compiled = jmespath::compile(expression).map_err(|error| {
                    (
                        name.clone(),
                        not_jmespath(expression, &error.reason.to_string()),
                    )
                })?;
                let expression = Arc::new(compiled);
                queries.push(Query { slot, expression });
            }
        }
        Ok(Self {
            source: config.source.as_deref().map(|name| names.slot(name)),
            finder: Finder::new(&paths),
            slots,
            queries,
            when_malformed,
        })
    }

    #[inline(never)]
    pub(crate) fn apply(&mut self, draft: &mut Draft<'_>) -> Flow {
        let Some(text) = draft.source(self.source) else {
            return Flow::Next;
        };
        if self.finder.read(draft.bytes(text)).is_err() {
            return self.when_malformed.map_or(Flow::Next, Flow::Drop);
        }
        self.query(text, draft);
        let made = draft.keep(self.finder.made());
        for (slot, found) in self.slots.iter().zip(self.finder.found()) {
            let value = match *found {
                Found::Nil => Value::Nil,
                Found::Bool(value) => Value::Bool(value),
                Found::Number(value) => Value::Number(value),
                Found::InText(start, end) => Value::Text(text.part(start, end)),
                Found::Made(start, end) => Value::Text(made.part(start, end)),
            };
            draft.set(*slot, value);
        }
        Flow::Next
    }

    /// Evaluates what is more than a path, on the parsed text.
    fn query(&self, text: Text, draft: &mut Draft<'_>) {
        if self.queries.is_empty() {
            return;
        }
        let json = String::from_utf8_lossy(draft.bytes(text)).into_owned();
        // The finder has checked the text; what is too deep for this parser gives no values.
        let Ok(data) = Variable::from_json(&json) else {
            return;
        };
        let data = jmespath::Rcvar::new(data);
        for query in &self.queries {
            let Ok(result) = query.expression.search(&data) else {
                continue;
            };
            let value = match &*result {
                Variable::Null => Value::Nil,
                Variable::Bool(value) => Value::Bool(*value),
                Variable::Number(number) => number.as_f64().map_or(Value::Nil, Value::Number),
                Variable::String(text) => Value::Text(draft.keep(text.as_bytes())),
                Variable::Array(_) | Variable::Object(_) | Variable::Expref(_) => {
                    let mut out = Vec::new();
                    write_variable(&result, &mut out);
                    Value::Text(draft.keep(&out))
                }
            };
            draft.set(query.slot, value);
        }
    }
}

/// Writes a container; its depth is bounded by that of the parser.
fn write_variable(variable: &Variable, out: &mut Vec<u8>) {
    match variable {
        Variable::Null | Variable::Expref(_) => out.extend_from_slice(b"null"),
        Variable::Bool(value) => out.extend_from_slice(if *value { b"true" } else { b"false" }),
        Variable::Number(number) => write_number(number.as_f64().unwrap_or_default(), out),
        Variable::String(text) => crate::json::write_string(text.as_bytes(), out),
        Variable::Array(elements) => {
            out.push(b'[');
            for (index, element) in elements.iter().enumerate() {
                if index > 0 {
                    out.push(b',');
                }
                write_variable(element, out);
            }
            out.push(b']');
        }
        Variable::Object(pairs) => {
            out.push(b'{');
            for (index, (key, value)) in pairs.iter().enumerate() {
                if index > 0 {
                    out.push(b',');
                }
                crate::json::write_string(key.as_bytes(), out);
                out.push(b':');
                write_variable(value, out);
            }
            out.push(b'}');
        }
    }
}

fn check_nesting(expression: &str) -> Result<(), Fault> {
    let operators = expression.matches(|c| ".[({!&|*=<>".contains(c)).count();
    if operators <= MAX_OPERATORS {
        return Ok(());
    }
    Err(Fault::new(
        format!("an expression has {operators} operators, and {MAX_OPERATORS} are the limit"),
        "extract a part of it first, and the rest with another `json` stage from that `source`",
    ))
}

fn not_jmespath(expression: &str, reason: &str) -> Fault {
    Fault::new(
        format!(
            "`{expression}` is not a JMESPath expression: {}",
            reason.trim()
        ),
        "write a path such as `a.b`, and keys with other characters in double quotes",
    )
}
