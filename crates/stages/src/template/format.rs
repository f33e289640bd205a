//! `print` and `printf`: the verbs `%s %v %q %d %x %f %t %%`, with `-`, `0`, width and precision.

use super::Failed;
use super::eval::Item;

/// Width and precision above it are refused.
const MAX_WIDTH: usize = 1000;

/// A part of a format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Piece<'f> {
    Text(&'f str),
    Verb {
        verb: char,
        is_left: bool,
        is_zero_padded: bool,
        width: usize,
        precision: Option<usize>,
    },
}

/// Reads the next part.
fn next<'f>(rest: &mut &'f str) -> Option<Result<Piece<'f>, String>> {
    if rest.is_empty() {
        return None;
    }
    let len = rest.find('%').unwrap_or(rest.len());
    if len > 0 {
        let (text, after) = rest.split_at_checked(len)?;
        *rest = after;
        return Some(Ok(Piece::Text(text)));
    }
    let verb = rest.strip_prefix('%')?;
    if let Some(after) = verb.strip_prefix('%') {
        *rest = after;
        return Some(Ok(Piece::Text("%")));
    }
    Some(read_verb(verb, rest))
}

fn read_verb<'f>(text: &'f str, rest: &mut &'f str) -> Result<Piece<'f>, String> {
    let flags = text.trim_start_matches(['-', '0']);
    let given = text.get(..text.len() - flags.len()).unwrap_or_default();
    let number = |text: &'f str| {
        let end = text
            .find(|c: char| !c.is_ascii_digit())
            .unwrap_or(text.len());
        let (digits, after) = text.split_at_checked(end).unwrap_or((text, ""));
        (digits.parse::<usize>().unwrap_or(0), after)
    };
    let (width, mut after) = number(flags);
    let mut precision = None;
    if let Some(digits) = after.strip_prefix('.') {
        let (digits, behind) = number(digits);
        precision = Some(digits);
        after = behind;
    }
    let verb = after.chars().next().unwrap_or(' ');
    if !"svqdxft".contains(verb) || width > MAX_WIDTH || precision > Some(MAX_WIDTH) {
        return Err(format!(
            "the verb `%{}` is not understood",
            text.get(..1).unwrap_or_default()
        ));
    }
    *rest = after.get(verb.len_utf8()..).unwrap_or_default();
    Ok(Piece::Verb {
        verb,
        is_left: given.contains('-'),
        is_zero_padded: given.contains('0'),
        width,
        precision,
    })
}

/// Refuses a format with a verb that is not understood.
pub(super) fn check(format: &str) -> Result<(), String> {
    let mut rest = format;
    while let Some(piece) = next(&mut rest) {
        piece?;
    }
    Ok(())
}

/// `printf`: the first value is the format.
pub(super) fn format(values: &[Item<'_>], out: &mut Vec<u8>) -> Result<(), Failed> {
    let Some((Item::Text(format), values)) = values.split_first() else {
        return Err(Failed);
    };
    let format = std::str::from_utf8(format).map_err(|_| Failed)?;
    let mut rest = format;
    let mut values = values.iter();
    while let Some(piece) = next(&mut rest) {
        match piece.map_err(|_| Failed)? {
            Piece::Text(text) => out.extend_from_slice(text.as_bytes()),
            Piece::Verb {
                verb,
                is_left,
                is_zero_padded,
                width,
                precision,
            } => {
                let Some(value) = values.next() else {
                    out.extend_from_slice(format!("%!{verb}(MISSING)").as_bytes());
                    continue;
                };
                let text = verb_text(verb, value, precision);
                pad(&text, width, is_left, is_zero_padded && verb != 's', out);
            }
        }
    }
    // Go says so, too, where there are more values than verbs.
    if let Some(value) = values.next() {
        let mut text = Vec::new();
        value.print(&mut text);
        out.extend_from_slice(b"%!(EXTRA ");
        out.extend_from_slice(kind(value).as_bytes());
        out.push(b'=');
        out.extend_from_slice(&text);
        out.push(b')');
    }
    Ok(())
}

fn verb_text(verb: char, value: &Item<'_>, precision: Option<usize>) -> Vec<u8> {
    let mut text = Vec::new();
    match (verb, value) {
        ('s' | 'v', Item::Text(bytes)) => cut(bytes, precision, &mut text),
        ('v', Item::Missing) => text.extend_from_slice(b"<nil>"),
        ('v', value)
        | ('s', value @ Item::List(_))
        | ('d', value @ Item::Int(_))
        | ('t', value @ Item::Bool(_)) => {
            value.print(&mut text);
        }
        ('q', Item::Text(bytes)) => quote(bytes, &mut text),
        ('x', Item::Int(number)) => text.extend_from_slice(format!("{number:x}").as_bytes()),
        ('x', Item::Text(bytes)) => {
            for byte in bytes.iter() {
                text.extend_from_slice(format!("{byte:02x}").as_bytes());
            }
        }
        ('f', Item::Float(number)) => {
            let places = precision.unwrap_or(6);
            text.extend_from_slice(format!("{number:.places$}").as_bytes());
        }
        (verb, value) => {
            text.extend_from_slice(format!("%!{verb}(").as_bytes());
            if matches!(value, Item::Missing) {
                text.extend_from_slice(b"<nil>)");
            } else {
                text.extend_from_slice(kind(value).as_bytes());
                text.push(b'=');
                value.print(&mut text);
                text.push(b')');
            }
        }
    }
    text
}

/// Keeps so many characters.
fn cut(bytes: &[u8], precision: Option<usize>, out: &mut Vec<u8>) {
    match precision {
        None => out.extend_from_slice(bytes),
        Some(count) => {
            let text = String::from_utf8_lossy(bytes);
            out.extend(text.chars().take(count).collect::<String>().bytes());
        }
    }
}

fn pad(text: &[u8], width: usize, is_left: bool, with_zeros: bool, out: &mut Vec<u8>) {
    let len = String::from_utf8_lossy(text).chars().count();
    let missing = width.saturating_sub(len);
    let with_zeros = with_zeros && !is_left;
    let filler = std::iter::repeat_n(if with_zeros { b'0' } else { b' ' }, missing);
    match (is_left, with_zeros, text.strip_prefix(b"-")) {
        (true, ..) => {
            out.extend_from_slice(text);
            out.extend(filler);
        }
        (false, true, Some(digits)) => {
            out.push(b'-');
            out.extend(filler);
            out.extend_from_slice(digits);
        }
        (false, ..) => {
            out.extend(filler);
            out.extend_from_slice(text);
        }
    }
}

/// `print`: with spaces between values that are both no text.
pub(super) fn print(values: &[Item<'_>], out: &mut Vec<u8>) {
    let mut was_text = true;
    for (index, value) in values.iter().enumerate() {
        let is_text = matches!(value, Item::Text(_));
        if index > 0 && !is_text && !was_text {
            out.push(b' ');
        }
        match value {
            Item::Missing => out.extend_from_slice(b"<nil>"),
            Item::Text(_) | Item::Int(_) | Item::Float(_) | Item::Bool(_) | Item::List(_) => {
                value.print(out);
            }
        }
        was_text = is_text;
    }
}

fn kind(value: &Item<'_>) -> &'static str {
    match value {
        Item::Missing => "<nil>",
        Item::Text(_) => "string",
        Item::Int(_) => "int",
        Item::Float(_) => "float64",
        Item::Bool(_) => "bool",
        Item::List(_) => "[]string",
    }
}

/// Writes a text in Go's quotes.
pub(super) fn quote(text: &[u8], out: &mut Vec<u8>) {
    out.push(b'"');
    for chunk in text.utf8_chunks() {
        for character in chunk.valid().chars() {
            match character {
                '"' => out.extend_from_slice(b"\\\""),
                '\\' => out.extend_from_slice(b"\\\\"),
                '\n' => out.extend_from_slice(b"\\n"),
                '\r' => out.extend_from_slice(b"\\r"),
                '\t' => out.extend_from_slice(b"\\t"),
                control if control.is_control() => {
                    out.extend_from_slice(format!("\\x{:02x}", u32::from(control)).as_bytes());
                }
                other => out.extend_from_slice(other.encode_utf8(&mut [0; 4]).as_bytes()),
            }
        }
        for byte in chunk.invalid() {
            out.extend_from_slice(format!("\\x{byte:02x}").as_bytes());
        }
    }
    out.push(b'"');
}
