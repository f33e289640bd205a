//! Functions of text. Those of Promtail have the text first, those of Sprig last.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest as _, Sha256};
use sha3::Sha3_256;

use super::{Result, Values};
use crate::pattern::Pattern;
use crate::template::eval::Item;
use crate::template::{Failed, MAX_RESULT_BYTES, format};

/// Bytes that a repetition may give.
const MAX_REPEATED_BYTES: usize = 1 << 20;

/// So many texts.
fn texts<const N: usize>(values: Values<'_>) -> std::result::Result<[Cow<'_, [u8]>; N], Failed> {
    let texts: std::result::Result<Vec<_>, Failed> = values.into_iter().map(Item::text).collect();
    texts?.try_into().map_err(|_| Failed)
}

/// A function of one text and its characters; bytes that are none are replaced.
fn of_characters<'d>(values: Values<'_>, by: impl Fn(&str) -> String) -> Result<'d> {
    let [text] = texts(values)?;
    Ok(Item::owned(
        by(&String::from_utf8_lossy(&text)).into_bytes(),
    ))
}

pub(super) fn lower(values: Values<'_>) -> Result<'_> {
    of_characters(values, str::to_lowercase)
}

pub(super) fn upper(values: Values<'_>) -> Result<'_> {
    of_characters(values, str::to_uppercase)
}

pub(super) fn trim_space(values: Values<'_>) -> Result<'_> {
    of_characters(values, |text| text.trim().to_owned())
}

pub(super) fn without_space(values: Values<'_>) -> Result<'_> {
    of_characters(values, |text| text.split_whitespace().collect())
}

/// The first letter of each word in capitals.
pub(super) fn title(values: Values<'_>) -> Result<'_> {
    of_characters(values, |text| {
        let mut out = String::with_capacity(text.len());
        let mut starts_word = true;
        for character in text.chars() {
            if starts_word {
                out.extend(character.to_uppercase());
            } else {
                out.push(character);
            }
            starts_word = !(character.is_alphanumeric() || matches!(character, '_' | '\''));
        }
        out
    })
}

/// Bytes of a text, elements of a list.
pub(super) fn len(values: Values<'_>) -> Result<'_> {
    let count = if let [Item::List(elements)] = values.as_slice() {
        elements.len()
    } else {
        let [text] = texts(values)?;
        text.len()
    };
    Ok(Item::Int(i64::try_from(count).unwrap_or(i64::MAX)))
}

/// Spaces before each line.
pub(super) fn indent(values: Values<'_>) -> Result<'_> {
    let [Item::Int(width), Item::Text(text)] = values.as_slice() else {
        return Err(Failed);
    };
    let width = usize::try_from(*width).map_err(|_| Failed)?;
    let lines = memchr::memchr_iter(b'\n', text).count() + 1;
    let len = lines
        .checked_mul(width)
        .and_then(|len| len.checked_add(text.len()));
    if len.is_none_or(|len| len > MAX_RESULT_BYTES) {
        return Err(Failed);
    }
    let pad = b" ".repeat(width);
    let mut out = Vec::new();
    for line in text.split_inclusive(|byte| *byte == b'\n') {
        out.extend_from_slice(&pad);
        out.extend_from_slice(line);
    }
    // What follows the last end of a line is one too, and so is a text of nothing.
    if text.last().is_none_or(|byte| *byte == b'\n') {
        out.extend_from_slice(&pad);
    }
    Ok(Item::owned(out))
}

pub(super) fn indent_anew(values: Values<'_>) -> Result<'_> {
    let text = indent(values)?.text()?;
    Ok(Item::owned([b"\n", &*text].concat()))
}

/// A long text cut, with three points at its end, to so many bytes.
pub(super) fn abbreviate(values: Values<'_>) -> Result<'_> {
    let [Item::Int(width), Item::Text(text)] = values.as_slice() else {
        return Err(Failed);
    };
    let kept = usize::try_from(*width).ok().and_then(|width| {
        let is_cut = width >= 4 && text.len() > width;
        is_cut.then(|| text.get(..width - 3)).flatten()
    });
    Ok(Item::owned(match kept {
        Some(kept) => [kept, b"..."].concat(),
        None => text.to_vec(),
    }))
}

/// Trims a set of characters.
fn trim_set<'d>(
    values: Values<'_>,
    by: impl Fn(&str, &str) -> usize,
    from_end: bool,
) -> Result<'d> {
    let [text, set] = texts(values)?;
    let (text, set) = (
        String::from_utf8_lossy(&text),
        String::from_utf8_lossy(&set),
    );
    let cut = by(&text, &set);
    let kept = if from_end {
        text.get(..text.len() - cut)
    } else {
        text.get(cut..)
    };
    Ok(Item::owned(kept.unwrap_or_default().as_bytes().to_vec()))
}

pub(super) fn trim_left(values: Values<'_>) -> Result<'_> {
    let cut =
        |text: &str, set: &str| text.len() - text.trim_start_matches(|c| set.contains(c)).len();
    trim_set(values, cut, false)
}

pub(super) fn trim_right(values: Values<'_>) -> Result<'_> {
    let cut = |text: &str, set: &str| text.len() - text.trim_end_matches(|c| set.contains(c)).len();
    trim_set(values, cut, true)
}

pub(super) fn trim(values: Values<'_>) -> Result<'_> {
    let set = values.get(1).cloned().ok_or(Failed)?;
    let trimmed = trim_left(values)?;
    trim_right(vec![trimmed, set])
}

pub(super) fn trim_prefix(values: Values<'_>) -> Result<'_> {
    let [text, prefix] = texts(values)?;
    let kept = text.strip_prefix(&*prefix).unwrap_or(&text);
    Ok(Item::owned(kept.to_vec()))
}

pub(super) fn trim_suffix(values: Values<'_>) -> Result<'_> {
    let [text, suffix] = texts(values)?;
    let kept = text.strip_suffix(&*suffix).unwrap_or(&text);
    Ok(Item::owned(kept.to_vec()))
}

pub(super) fn contains(values: Values<'_>) -> Result<'_> {
    let [part, text] = texts(values)?;
    Ok(Item::Bool(memchr::memmem::find(&text, &part).is_some()))
}

pub(super) fn has_prefix(values: Values<'_>) -> Result<'_> {
    let [prefix, text] = texts(values)?;
    Ok(Item::Bool(text.starts_with(&prefix)))
}

pub(super) fn has_suffix(values: Values<'_>) -> Result<'_> {
    let [suffix, text] = texts(values)?;
    Ok(Item::Bool(text.ends_with(&suffix)))
}

/// `Replace text from to count`
pub(super) fn replace_some(mut values: Values<'_>) -> Result<'_> {
    let limit = integer(values.pop())?;
    let [text, from, to] = texts(values)?;
    replace(&text, &from, &to, limit)
}

/// `replace from to text`
pub(super) fn replace_all(values: Values<'_>) -> Result<'_> {
    let [from, to, text] = texts(values)?;
    replace(&text, &from, &to, -1)
}

/// Replaces the first `limit` places, or all where it is negative.
fn replace<'d>(text: &[u8], from: &[u8], to: &[u8], limit: i64) -> Result<'d> {
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    if from.is_empty() {
        return insert_everywhere(&String::from_utf8_lossy(text), to, limit);
    }
    let mut out = Vec::with_capacity(text.len());
    let mut written = 0;
    for at in memchr::memmem::find_iter(text, from).take(limit) {
        out.extend_from_slice(text.get(written..at).unwrap_or_default());
        out.extend_from_slice(to);
        written = at + from.len();
        if out.len() > MAX_RESULT_BYTES {
            return Err(Failed);
        }
    }
    out.extend_from_slice(text.get(written..).unwrap_or_default());
    Ok(Item::owned(out))
}

/// As Go does for a search of nothing: before every character, and at the end.
fn insert_everywhere<'d>(text: &str, to: &[u8], limit: usize) -> Result<'d> {
    let mut out = Vec::with_capacity(text.len());
    let characters = text.char_indices().map(|(at, _)| at).chain([text.len()]);
    let mut written = 0;
    for at in characters.take(limit) {
        out.extend_from_slice(text.as_bytes().get(written..at).unwrap_or_default());
        out.extend_from_slice(to);
        written = at;
        if out.len() > MAX_RESULT_BYTES {
            return Err(Failed);
        }
    }
    out.extend_from_slice(text.as_bytes().get(written..).unwrap_or_default());
    Ok(Item::owned(out))
}

fn integer(value: Option<Item<'_>>) -> std::result::Result<i64, Failed> {
    match value {
        Some(Item::Int(number)) => Ok(number),
        Some(Item::Missing | Item::Text(_) | Item::Float(_) | Item::Bool(_) | Item::List(_))
        | None => Err(Failed),
    }
}

/// An offset of Sprig within a text: those before its start are its start.
fn offset(number: i64, text: &[u8]) -> usize {
    usize::try_from(number).unwrap_or(0).min(text.len())
}

/// `trunc count text`; a negative count keeps the end.
pub(super) fn truncate(mut values: Values<'_>) -> Result<'_> {
    let text = values.pop().ok_or(Failed)?.text()?;
    let count = integer(values.pop())?;
    let kept = if count < 0 {
        let cut = offset(
            i64::try_from(text.len()).unwrap_or(0).saturating_add(count),
            &text,
        );
        text.get(cut..)
    } else {
        text.get(..offset(count, &text))
    };
    Ok(Item::owned(kept.unwrap_or_default().to_vec()))
}

/// `substr start end text`; a negative end is that of the text.
pub(super) fn substring(mut values: Values<'_>) -> Result<'_> {
    let text = values.pop().ok_or(Failed)?.text()?;
    let end = integer(values.pop())?;
    let start = offset(integer(values.pop())?, &text);
    let end = if end < 0 {
        text.len()
    } else {
        offset(end, &text)
    };
    Ok(Item::owned(
        text.get(start..end).unwrap_or_default().to_vec(),
    ))
}

/// `repeat count text`
pub(super) fn repeat(mut values: Values<'_>) -> Result<'_> {
    let text = values.pop().ok_or(Failed)?.text()?;
    let count = usize::try_from(integer(values.pop())?).unwrap_or(0);
    let bytes = count.checked_mul(text.len()).ok_or(Failed)?;
    if bytes > MAX_REPEATED_BYTES {
        return Err(Failed);
    }
    Ok(Item::owned(text.repeat(count)))
}

/// Joins values that are there with spaces, each as `write` writes it.
fn joined<'d>(values: &[Item<'_>], write: impl Fn(&[u8], &mut Vec<u8>)) -> Result<'d> {
    let mut out = Vec::new();
    let mut text = Vec::new();
    let there = values
        .iter()
        .filter(|value| !matches!(value, Item::Missing));
    for (index, value) in there.enumerate() {
        if index > 0 {
            out.push(b' ');
        }
        text.clear();
        value.print(&mut text);
        write(&text, &mut out);
    }
    Ok(Item::owned(out))
}

pub(super) fn quote(values: Values<'_>) -> Result<'_> {
    joined(&values, format::quote)
}

pub(super) fn quote_singly(values: Values<'_>) -> Result<'_> {
    joined(&values, |text, out| {
        out.push(b'\'');
        out.extend_from_slice(text);
        out.push(b'\'');
    })
}

pub(super) fn cat(values: Values<'_>) -> Result<'_> {
    joined(&values, |text, out| out.extend_from_slice(text))
}

pub(super) fn to_text(values: Values<'_>) -> Result<'_> {
    joined(&values, |text, out| out.extend_from_slice(text))
}

pub(super) fn to_base64(values: Values<'_>) -> Result<'_> {
    let [bytes] = texts(values)?;
    Ok(Item::owned(STANDARD.encode(&bytes).into_bytes()))
}

pub(super) fn from_base64(values: Values<'_>) -> Result<'_> {
    let [text] = texts(values)?;
    STANDARD.decode(&text).map(Item::owned).map_err(|_| Failed)
}

pub(super) fn sha256(values: Values<'_>) -> Result<'_> {
    let [bytes] = texts(values)?;
    Ok(Item::owned(hex(&Sha256::digest(&bytes))))
}

pub(super) fn sha2_of_both(values: Values<'_>) -> Result<'_> {
    let [one, other] = texts(values)?;
    let digest = Sha256::new().chain_update(&one).chain_update(&other);
    Ok(Item::owned(hex(&digest.finalize())))
}

pub(super) fn sha3_of_both(values: Values<'_>) -> Result<'_> {
    let [one, other] = texts(values)?;
    let digest = Sha3_256::new().chain_update(&one).chain_update(&other);
    Ok(Item::owned(hex(&digest.finalize())))
}

fn hex(digest: &[u8]) -> Vec<u8> {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |nibble: u8| DIGITS.get(usize::from(nibble)).copied().unwrap_or_default();
    digest
        .iter()
        .flat_map(|byte| [digit(byte >> 4), digit(byte & 15)])
        .collect()
}

pub(super) fn regex_match<'d>(pattern: &Pattern, values: Values<'d>) -> Result<'d> {
    let [text] = texts(values)?;
    Ok(Item::Bool(pattern.is_match(&text)))
}

pub(super) fn regex_find<'d>(pattern: &Pattern, values: Values<'d>) -> Result<'d> {
    let [text] = texts(values)?;
    let found = pattern.find(&text).unwrap_or_default();
    Ok(Item::owned(found.to_vec()))
}

pub(super) fn regex_replace<'d>(pattern: &Pattern, values: Values<'d>) -> Result<'d> {
    let [text, by] = texts(values)?;
    let replaced = pattern.replace_all(&text, &by, MAX_RESULT_BYTES);
    replaced.map(Item::owned).ok_or(Failed)
}

pub(super) fn regex_replace_literally<'d>(pattern: &Pattern, values: Values<'d>) -> Result<'d> {
    let [text, by] = texts(values)?;
    let replaced = pattern.replace_all_literally(&text, &by, MAX_RESULT_BYTES);
    replaced.map(Item::owned).ok_or(Failed)
}
