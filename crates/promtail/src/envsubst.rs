//! `-config.expand-env`: variables in the raw text, by the rules of `drone/envsubst`.
//!
//! Unlike the native form this works before parsing, so a value may hold structure. Beside the
//! expanded text stands one of the same shape in which what variables hold is stars: only that is
//! ever shown, and places are the same in both.

mod pattern;

use std::collections::HashMap;
use std::ops::Range;

use pattern::Trim;

/// Bytes that a text may have once it is expanded.
const MAX_BYTES: usize = 4 << 20;

/// Levels of variables in the defaults of variables.
const MAX_DEPTH: usize = 16;

/// An expanded text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Expanded {
    /// What is parsed.
    pub(crate) text: String,
    /// What may be shown: as long, in characters and lines, as `text`.
    pub(crate) shown: String,
    /// What variables held, and how they are written.
    pub(crate) hidden: Vec<(String, String)>,
}

/// Why a text cannot be expanded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct BadVariable {
    /// The first byte of the `${` in the raw text.
    pub(crate) at: usize,
    /// What is wrong with it.
    pub(crate) reason: &'static str,
}

impl Expanded {
    /// Takes a text as it stands.
    pub(crate) fn plain(text: &str) -> Self {
        Self {
            text: text.to_owned(),
            shown: text.to_owned(),
            hidden: Vec::new(),
        }
    }

    fn push(&mut self, text: &str) {
        self.text.push_str(text);
        self.shown.push_str(text);
    }

    fn push_secret(&mut self, value: &str, written: &str) {
        self.text.push_str(value);
        let star = |letter: char| if letter == '\n' { '\n' } else { '*' };
        self.shown.extend(value.chars().map(star));
        self.hidden.push((value.to_owned(), written.to_owned()));
    }

    fn append(&mut self, other: Self) {
        self.text.push_str(&other.text);
        self.shown.push_str(&other.shown);
        self.hidden.extend(other.hidden);
    }
}

/// Expands every variable of a text. One that is not set is empty.
pub(crate) fn expand(
    text: &str,
    variables: &HashMap<String, String>,
) -> Result<Expanded, BadVariable> {
    let reader = Reader { text, variables };
    reader.expand(0..text.len(), 0)
}

struct Reader<'a> {
    text: &'a str,
    variables: &'a HashMap<String, String>,
}

impl<'a> Reader<'a> {
    fn get(&self, range: Range<usize>) -> &'a str {
        self.text.get(range).unwrap_or_default()
    }

    /// Expands a part of the text.
    fn expand(&self, range: Range<usize>, depth: usize) -> Result<Expanded, BadVariable> {
        let mut out = Expanded::default();
        let mut at = range.start;
        while at < range.end {
            let rest = self.get(at..range.end);
            let Some(found) = rest.find(['$', '\\']) else {
                out.push(rest);
                break;
            };
            out.push(rest.get(..found).unwrap_or_default());
            at += found;
            at = self.special(at, range.end, depth, &mut out)?;
            if out.text.len() > MAX_BYTES {
                let reason = "the text is more than 4 MiB up to here";
                return Err(BadVariable { at, reason });
            }
        }
        Ok(out)
    }

    /// Expands what begins with a dollar sign or a backslash; returns where it ends.
    fn special(
        &self,
        at: usize,
        end: usize,
        depth: usize,
        out: &mut Expanded,
    ) -> Result<usize, BadVariable> {
        let rest = self.get(at..end);
        for (written, meant) in [("$$", "$"), ("\\\\", "\\"), ("\\/", "/")] {
            if rest.starts_with(written) {
                out.push(meant);
                return Ok(at + written.len());
            }
        }
        if !rest.starts_with("${") {
            out.push(rest.get(..1).unwrap_or_default());
            return Ok(at + 1);
        }
        let Some(close) = self.close_of(at, end) else {
            let reason = "the `}` of this variable is missing";
            return Err(BadVariable { at, reason });
        };
        if depth >= MAX_DEPTH {
            let reason = "variables stand in the defaults of variables more than 16 levels deep";
            return Err(BadVariable { at, reason });
        }
        self.variable(at, close, depth, out)?;
        Ok(close + 1)
    }

    /// Finds the brace that closes the variable at `at`.
    fn close_of(&self, at: usize, end: usize) -> Option<usize> {
        let mut depth = 0_usize;
        let mut is_after_dollar = false;
        for (offset, letter) in self.get(at..end).char_indices() {
            match letter {
                '{' if is_after_dollar => depth += 1,
                '}' if depth == 1 => return Some(at + offset),
                '}' => depth = depth.saturating_sub(1),
                '\n' => return None,
                _ => {}
            }
            is_after_dollar = letter == '$';
        }
        None
    }

    /// Expands `${…}`, whose closing brace is at `close`.
    fn variable(
        &self,
        at: usize,
        close: usize,
        depth: usize,
        out: &mut Expanded,
    ) -> Result<(), BadVariable> {
        let inside = self.get(at + 2..close);
        let written = self.get(at..close + 1);
        if let Some(name) = inside.strip_prefix('#') {
            out.push(&self.value(name).chars().count().to_string());
            return Ok(());
        }
        let is_name = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
        let name_len = inside
            .find(|letter: char| !is_name(letter))
            .unwrap_or(inside.len());
        let (name, operator) = inside.split_at_checked(name_len).unwrap_or((inside, ""));
        if name.is_empty() {
            let reason = "a name must stand in it, as in `${NAME}`; `$${` stands for `${`";
            return Err(BadVariable { at, reason });
        }
        let value = self.value(name);
        let argument_at = |len: usize| at + 2 + name_len + len..close;
        for sign in [":-", ":=", "=", "-"] {
            if operator.starts_with(sign) {
                return match value {
                    "" => {
                        out.append(self.expand(argument_at(sign.len()), depth + 1)?);
                        Ok(())
                    }
                    value => {
                        out.push_secret(value, written);
                        Ok(())
                    }
                };
            }
        }
        let argument = |len: usize| self.expand(argument_at(len), depth + 1);
        let Some(changed) = change(value, operator, &argument)? else {
            let reason = "what follows the name is nothing that can be done with a variable";
            return Err(BadVariable { at, reason });
        };
        if !changed.is_empty() {
            out.push_secret(&changed, written);
        }
        Ok(())
    }

    /// Returns what a variable holds; nothing where it is not set.
    fn value(&self, name: &str) -> &'a str {
        self.variables.get(name).map_or("", String::as_str)
    }
}

type Argument<'f> = &'f dyn Fn(usize) -> Result<Expanded, BadVariable>;

/// Does what the operator says; `None` where there is no such operator.
fn change(
    value: &str,
    operator: &str,
    argument: Argument<'_>,
) -> Result<Option<String>, BadVariable> {
    let text = |len| argument(len).map(|expanded| expanded.text);
    Ok(Some(match operator {
        "" => value.to_owned(),
        "^^" => value.to_uppercase(),
        ",," => value.to_lowercase(),
        "^" => with_first(value, |first| first.to_uppercase().collect()),
        "," => with_first(value, |first| first.to_lowercase().collect()),
        _ if operator.starts_with("##") => Trim::LONGEST_START.of(value, &text(2)?),
        _ if operator.starts_with('#') => Trim::SHORTEST_START.of(value, &text(1)?),
        _ if operator.starts_with("%%") => Trim::LONGEST_END.of(value, &text(2)?),
        _ if operator.starts_with('%') => Trim::SHORTEST_END.of(value, &text(1)?),
        _ if operator.starts_with(':') => substring(value, &text(1)?),
        _ if operator.starts_with('/') => replace(value, &text(1)?),
        _ => return Ok(None),
    }))
}

fn with_first(value: &str, change: impl Fn(char) -> String) -> String {
    let mut letters = value.chars();
    let first = letters.next().map(change).unwrap_or_default();
    first + letters.as_str()
}

/// `offset` or `offset:len`, in characters; an offset below 0 counts from the end.
fn substring(value: &str, argument: &str) -> String {
    let (offset, len) = match argument.split_once(':') {
        Some((offset, len)) => (offset, Some(len)),
        None => (argument, None),
    };
    let Ok(offset) = offset.trim().parse::<i64>() else {
        return value.to_owned();
    };
    let count = value.chars().count();
    let from_start = usize::try_from(offset.unsigned_abs()).unwrap_or(usize::MAX);
    let skipped = if offset < 0 {
        count.saturating_sub(from_start)
    } else {
        from_start
    };
    let len = len.map(str::trim).map(str::parse::<usize>);
    let len = match len {
        Some(Ok(len)) => len,
        Some(Err(_)) | None => usize::MAX,
    };
    value.chars().skip(skipped).take(len).collect()
}

/// `from/to` for the first, `/from/to` for all, `#from/to` at the start, `%from/to` at the end.
fn replace(value: &str, argument: &str) -> String {
    let (sign, rest) = match argument.chars().next() {
        Some(sign @ ('/' | '#' | '%')) => (sign, argument.get(1..).unwrap_or_default()),
        Some(_) | None => (' ', argument),
    };
    let (from, to) = rest.split_once('/').unwrap_or((rest, ""));
    if from.is_empty() {
        return value.to_owned();
    }
    match sign {
        '/' => value.replace(from, to),
        '#' => value
            .strip_prefix(from)
            .map_or_else(|| value.to_owned(), |rest| format!("{to}{rest}")),
        '%' => value
            .strip_suffix(from)
            .map_or_else(|| value.to_owned(), |rest| format!("{rest}{to}")),
        _ => value.replacen(from, to, 1),
    }
}

#[cfg(test)]
mod tests;
