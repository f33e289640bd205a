//! Writes JSON as Go does.

use super::{Scanner, decode, float};

/// Writes a valid value without spaces, as Promtail writes containers: strings and numbers anew.
pub(super) fn write_compact(value: &[u8], out: &mut Vec<u8>) {
    let mut scanner = Scanner::new(value);
    let mut text = Vec::new();
    while let Some(byte) = scanner.peek() {
        let start = scanner.at;
        match byte {
            b'"' => {
                let Ok(token) = scanner.string() else { return };
                text.clear();
                decode(
                    value.get(token.start..token.end).unwrap_or_default(),
                    &mut text,
                );
                write_string(&text, out);
            }
            b'-' | b'0'..=b'9' => {
                if scanner.number().is_err() {
                    return;
                }
                if let Ok(number) = float(value.get(start..scanner.at)) {
                    write_number(number, out);
                }
            }
            b' ' | b'\t' | b'\n' | b'\r' => scanner.at += 1,
            _ => {
                out.push(byte);
                scanner.at += 1;
            }
        }
    }
}

/// Writes a number as Go's JSON does.
pub(crate) fn write_number(number: f64, out: &mut Vec<u8>) {
    let size = number.abs();
    let text = if size != 0.0 && !(1e-6..1e21).contains(&size) {
        let text = format!("{number:e}");
        match text.split_once('e') {
            Some((digits, exponent)) if !exponent.starts_with('-') => {
                format!("{digits}e+{exponent}")
            }
            _ => text,
        }
    } else {
        format!("{number}")
    };
    out.extend_from_slice(text.as_bytes());
}

/// Writes a string with its quotes, as Go's JSON does: HTML is escaped, bad UTF-8 replaced.
pub(crate) fn write_string(text: &[u8], out: &mut Vec<u8>) {
    out.push(b'"');
    for chunk in text.utf8_chunks() {
        for character in chunk.valid().chars() {
            write_character(character, out);
        }
        if !chunk.invalid().is_empty() {
            out.extend_from_slice(b"\\ufffd");
        }
    }
    out.push(b'"');
}

fn write_character(character: char, out: &mut Vec<u8>) {
    match character {
        '"' => out.extend_from_slice(b"\\\""),
        '\\' => out.extend_from_slice(b"\\\\"),
        '\n' => out.extend_from_slice(b"\\n"),
        '\r' => out.extend_from_slice(b"\\r"),
        '\t' => out.extend_from_slice(b"\\t"),
        '<' | '>' | '&' | '\u{2028}' | '\u{2029}' | '\0'..='\u{1f}' => {
            out.extend_from_slice(b"\\u");
            for shift in [12, 8, 4, 0] {
                let digit = char::from_digit(u32::from(character) >> shift & 0xf, 16);
                out.extend(digit.and_then(|digit| u8::try_from(digit).ok()));
            }
        }
        _ => out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes()),
    }
}
