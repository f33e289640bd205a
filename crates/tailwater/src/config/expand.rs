//! Variables: `${NAME}` and `${NAME:-default}` in values, `$$` for `$`.
//!
//! They are expanded in the tree, after parsing: whatever a variable holds stays one value. The value
//! is kept apart from what the file says, and only the latter is ever shown.

use std::collections::HashMap;

use tailwater_yaml::{Diagnostic, Hidden, Node, Place, Scalar};

/// Bytes that all variables together may expand to.
const MAX_EXPANDED_BYTES: usize = 4 << 20;

/// Expands the variables of every value.
///
/// # Errors
/// One diagnostic for each variable that is not set or not written as it should be.
pub(crate) fn expand(
    tree: &mut Node,
    text: &str,
    variables: &HashMap<String, String>,
) -> Result<Hidden, Vec<Diagnostic>> {
    let mut problems = Vec::new();
    let mut hidden = Hidden::default();
    let mut expanded_bytes = 0_usize;
    tree.for_each_scalar(&mut |scalar, place| {
        if !scalar.written.contains('$') {
            return;
        }
        match expand_one(&scalar.written, variables) {
            Ok(value) => {
                expanded_bytes = expanded_bytes.saturating_add(value.len());
                if expanded_bytes <= MAX_EXPANDED_BYTES {
                    scalar.value = value;
                    hide(&mut hidden, scalar, variables);
                } else if problems.is_empty() {
                    let message = "the variables hold more than 4 MiB up to here";
                    problems.push(Diagnostic::new(message, Some(place)));
                }
            }
            Err(problem) => problems.push(explain(&problem, scalar, place, text)),
        }
    });
    if problems.is_empty() {
        Ok(hidden)
    } else {
        Err(problems)
    }
}

/// Hides the value, and what each of its variables holds.
fn hide(hidden: &mut Hidden, scalar: &Scalar, variables: &HashMap<String, String>) {
    hidden.add(scalar.value.clone(), scalar.written.clone());
    for (reference, _) in scalar.written.match_indices("${") {
        let after = scalar.written.get(reference + 2..).unwrap_or_default();
        let name = after.split(['}', ':']).next().unwrap_or_default();
        if let Some(value) = variables.get(name) {
            hidden.add(value.clone(), format!("${{{name}}}"));
        }
    }
}

/// Why a value was not expanded; both hold what the file says.
#[derive(Debug, PartialEq, Eq)]
enum Problem<'a> {
    Unset { name: &'a str },
    Malformed { rest: &'a str },
}

fn expand_one<'a>(
    written: &'a str,
    variables: &HashMap<String, String>,
) -> Result<String, Problem<'a>> {
    let mut value = String::with_capacity(written.len());
    let mut rest = written;
    while let Some((before, after)) = rest.split_once('$') {
        value.push_str(before);
        if let Some(after) = after.strip_prefix('$') {
            value.push('$');
            rest = after;
        } else if let Some(after) = after.strip_prefix('{') {
            let malformed = Problem::Malformed { rest: after };
            let Some((reference, after)) = after.split_once('}') else {
                return Err(malformed);
            };
            let (name, default) = match reference.split_once(":-") {
                Some((name, default)) => (name, Some(default)),
                None => (reference, None),
            };
            if !is_name(name) {
                return Err(malformed);
            }
            value.push_str(value_of(name, default, variables)?);
            rest = after;
        } else {
            value.push('$');
            rest = after;
        }
    }
    value.push_str(rest);
    Ok(value)
}

fn value_of<'v, 'a: 'v>(
    name: &'a str,
    default: Option<&'a str>,
    variables: &'v HashMap<String, String>,
) -> Result<&'v str, Problem<'a>> {
    let set = variables.get(name).map(String::as_str);
    match default {
        Some(default) => Ok(set.filter(|value| !value.is_empty()).unwrap_or(default)),
        None => set.ok_or(Problem::Unset { name }),
    }
}

fn is_name(name: &str) -> bool {
    let is_first = |byte: u8| byte.is_ascii_alphabetic() || byte == b'_';
    name.bytes().next().is_some_and(is_first)
        && name
            .bytes()
            .all(|byte| is_first(byte) || byte.is_ascii_digit())
}

fn explain(problem: &Problem<'_>, scalar: &Scalar, place: Place, text: &str) -> Diagnostic {
    match problem {
        Problem::Unset { name } => {
            let place = narrow(place, text, &format!("${{{name}"));
            Diagnostic::new(format!("the variable `{name}` is not set"), Some(place)).note(format!(
                "set it in the agent's environment, or give it a default: `${{{name}:-default}}`"
            ))
        }
        Problem::Malformed { rest } => {
            let reference = scalar.written.len() - rest.len();
            let start = scalar
                .written
                .get(reference.saturating_sub(2)..)
                .unwrap_or_default();
            let place = narrow(place, text, start);
            Diagnostic::new("this is not a variable", Some(place))
                .note("write `${NAME}` or `${NAME:-default}`; `$$` stands for a dollar sign")
        }
    }
}

/// Moves a place to where `wanted` begins in it, if that can be seen in the text.
fn narrow(place: Place, text: &str, wanted: &str) -> Place {
    let inside = text.get(place.start..place.end).unwrap_or_default();
    let Some((before, _)) = inside.split_once(wanted) else {
        return place;
    };
    let (lines, last) = (
        before.matches('\n').count(),
        before.rsplit('\n').next().unwrap_or(before),
    );
    let from = if lines == 0 { place.column } else { 1 };
    let from_wanted = inside.get(before.len()..).unwrap_or_default();
    let width = from_wanted.find('}').map_or(wanted.len(), |end| end + 1);
    Place {
        line: place.line + lines,
        column: from + last.chars().count(),
        width,
        ..place
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(written: &str) -> Result<String, Problem<'_>> {
        let variables = [("A", "1"), ("EMPTY", ""), ("NESTED", "${A}: [x]\ny")];
        let variables = variables.map(|(name, value)| (name.to_owned(), value.to_owned()));
        expand_one(written, &HashMap::from(variables))
    }

    #[test]
    fn variables_defaults_and_dollars_are_told_apart() {
        let expanded = |written| check(written).unwrap();
        assert_eq!(expanded("x${A}y${A}"), "x1y1");
        assert_eq!(expanded("${EMPTY}"), "");
        assert_eq!(expanded("${EMPTY:-d}${NONE:-}${NONE:-a:-b}"), "da:-b");
        assert_eq!(expanded("$$ $${A} $A 5$ ^a$"), "$ ${A} $A 5$ ^a$");
    }

    #[test]
    fn what_a_variable_holds_is_not_expanded_again() {
        assert_eq!(check("${NESTED}").unwrap(), "${A}: [x]\ny");
    }

    #[test]
    fn unset_and_malformed_variables_are_refused() {
        assert_eq!(check("a${NONE}"), Err(Problem::Unset { name: "NONE" }));
        for malformed in ["${", "${}", "${A", "${1}", "${A-x}", "${ A }"] {
            assert!(
                matches!(check(malformed), Err(Problem::Malformed { .. })),
                "{malformed}"
            );
        }
    }
}
