//! Lines of the configuration as they may be shown: without secrets.
//!
//! It works on the text and not on the tree, because lines are also shown where the text is no valid
//! YAML. It hides too much rather than too little.

use std::ops::Range;

use crate::nearest::{MAX_WORD_BYTES, distance};

/// What stands for a secret; it does not tell its length.
const MASK: &str = "********";

/// Parts of the names of keys whose values are secrets.
const SECRET_WORDS: [&str; 9] = [
    "password",
    "passwd",
    "passphrase",
    "token",
    "secret",
    "credential",
    "authorization",
    "key",
    "proxy_url",
];

/// Keys of maps in which every value may be a secret.
const SECRET_MAPS: [&str; 3] = ["headers", "http_headers", "proxy_connect_header"];

/// A line that may be shown.
pub(crate) struct Shown {
    pub(crate) line: String,
    /// Byte ranges of the original that are hidden, in order, apart from each other.
    hidden: Vec<Range<usize>>,
}

impl Shown {
    /// Returns where a byte of the original stands in the shown line.
    pub(crate) fn position_of(&self, original: usize) -> usize {
        let mut shift_back = 0_usize;
        let mut shift_on = 0_usize;
        for range in &self.hidden {
            if original < range.end {
                let inside = original.saturating_sub(range.start).min(MASK.len());
                return range.start.min(original) + inside + shift_on - shift_back;
            }
            shift_on += MASK.len();
            shift_back += range.len();
        }
        original + shift_on - shift_back
    }
}

/// Returns line `index` of a text, counted from 0, with every secret masked.
pub(crate) fn show(text: &str, index: usize) -> Option<Shown> {
    let line = text.lines().nth(index)?;
    let hidden: Vec<Range<usize>> = if is_inside_secret(text, index) {
        let start = line.len() - line.trim_start().len();
        std::iter::once(start..line.len()).collect()
    } else {
        hidden_ranges(line)
    };
    let mut shown = String::with_capacity(line.len());
    let mut at = 0;
    for range in &hidden {
        shown.push_str(line.get(at..range.start).unwrap_or_default());
        shown.push_str(MASK);
        at = range.end;
    }
    shown.push_str(line.get(at..).unwrap_or_default());
    Some(Shown {
        line: shown,
        hidden,
    })
}

/// Returns whether a key of this name may have a secret as its value.
///
/// A misspelt one counts, for that is what is most often shown. The path of a file that holds a
/// secret is none.
pub fn is_secret_name(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    if name.ends_with("_file") {
        return false;
    }
    let is_near = |part: &str| {
        if part.len() > MAX_WORD_BYTES {
            return false;
        }
        let near = |word: &&str| word.len() >= 5 && distance(part, word) <= 1 + word.len() / 8;
        SECRET_WORDS.iter().any(near)
    };
    SECRET_WORDS.iter().any(|word| name.contains(word)) || name.split(['_', '-']).any(is_near)
}

fn hides_values(name: &str) -> bool {
    is_secret_name(name) || SECRET_MAPS.contains(&name)
}

/// Returns whether a line goes on with the value of a secret key above it.
fn is_inside_secret(text: &str, index: usize) -> bool {
    let indent_of = |line: &str| line.len() - line.trim_start().len();
    let lines: Vec<&str> = text.lines().take(index + 1).collect();
    let Some((line, above)) = lines.split_last() else {
        return false;
    };
    let mut indent = indent_of(line);
    for line in above.iter().rev().filter(|line| !line.trim().is_empty()) {
        if indent == 0 {
            break;
        }
        if indent_of(line) >= indent {
            continue;
        }
        indent = indent_of(line);
        if last_key(line).is_some_and(hides_values) {
            return true;
        }
    }
    false
}

fn last_key(line: &str) -> Option<&str> {
    keys_of(line).last().map(|(name, _)| name)
}

/// Returns the keys of a line, each with the byte after its colon.
fn keys_of(line: &str) -> impl Iterator<Item = (&str, usize)> {
    let is_end =
        |after: &str| after.is_empty() || after.starts_with([' ', '\t', '"', '\'', '[', '{']);
    line.match_indices(':').filter_map(move |(colon, _)| {
        let after = line.get(colon + 1..).filter(|after| is_end(after))?;
        let before = line.get(..colon)?.trim_end();
        let name = before.trim_end_matches(['"', '\'']);
        let start = name
            .rfind(|letter: char| !(letter.is_alphanumeric() || "_-.".contains(letter)))
            .map_or(0, |at| {
                at + name
                    .get(at..)
                    .and_then(|rest| rest.chars().next())
                    .map_or(1, char::len_utf8)
            });
        let name = name.get(start..).filter(|name| !name.is_empty())?;
        Some((name, line.len() - after.len()))
    })
}

fn hidden_ranges(line: &str) -> Vec<Range<usize>> {
    let mut hidden: Vec<Range<usize>> = Vec::new();
    let secret_values = keys_of(line).filter(|(name, _)| hides_values(name));
    let ranges = secret_values
        .filter_map(|(_, after)| value_range(line, after))
        .chain(user_infos(line));
    let mut ranges: Vec<Range<usize>> = ranges.collect();
    ranges.sort_by_key(|range| range.start);
    for range in ranges {
        match hidden.last_mut() {
            Some(last) if range.start <= last.end => last.end = last.end.max(range.end),
            _ => hidden.push(range),
        }
    }
    hidden
}

/// Returns the value that begins after `after`; `None` where there is nothing to hide.
fn value_range(line: &str, after: usize) -> Option<Range<usize>> {
    let rest = line.get(after..)?;
    let value = rest.trim_start();
    let start = line.len() - value.len();
    let is_in_braces = line.get(..after)?.contains('{');
    let len = match value.chars().next()? {
        quote @ ('"' | '\'') if is_in_braces => value
            .get(1..)?
            .find(quote)
            .map_or(value.len(), |end| end + 2),
        '{' | '[' => value.len(),
        // A plain value between braces ends at the next comma or brace; a variable holds braces.
        _ if is_in_braces && !value.contains("${") => value.find([',', '}']).unwrap_or(value.len()),
        _ => value.trim_end().len(),
    };
    let shown = value.get(..len)?;
    (!is_variable_only(shown)).then_some(start..start + len)
}

/// A variable may be shown: its name is no secret, and its value is not in the file.
fn is_variable_only(value: &str) -> bool {
    let mut rest = value;
    while let Some((before, after)) = rest.split_once("${") {
        let Some((name, after)) = after.split_once('}') else {
            return false;
        };
        let is_plain_name = name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        if !is_plain_name || !is_punctuation(before) {
            return false;
        }
        rest = after;
    }
    is_punctuation(rest)
}

fn is_punctuation(text: &str) -> bool {
    text.chars().all(|letter| " \t\"'{}[],|>".contains(letter))
}

/// Returns the ranges of `user:password` in URLs.
fn user_infos(line: &str) -> impl Iterator<Item = Range<usize>> {
    line.match_indices("://").filter_map(move |(at, found)| {
        let start = at + found.len();
        let rest = line.get(start..)?;
        let authority = rest
            .find(['/', ' ', '"', '\'', '?', '#'])
            .unwrap_or(rest.len());
        let end = rest.get(..authority)?.rfind('@')?;
        Some(start..start + end)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, index: usize) -> String {
        show(text, index).unwrap().line
    }

    #[test]
    fn values_of_secret_keys_are_masked() {
        assert_eq!(check("  password: hunter2", 0), "  password: ********");
        assert_eq!(check("pasword: hunter2", 0), "pasword: ********");
        assert_eq!(
            check("\"api-key\" : 'hunter2'  # x", 0),
            "\"api-key\" : ********"
        );
        assert_eq!(
            check("a: {token: hunter2, b: c}", 0),
            "a: {token: ********, b: c}"
        );
        assert_eq!(
            check("a: {\"token\": \"hun}ter2\", b: c}", 0),
            "a: {\"token\": ********, b: c}"
        );
        assert_eq!(check("authorization: {x: y}", 0), "authorization: ********");
        assert_eq!(check("headers: { X-Any: hunter2 }", 0), "headers: ********");
        assert_eq!(check("proxy_url: http://a:b@c", 0), "proxy_url: ********");
    }

    #[test]
    fn what_is_no_secret_is_shown() {
        for line in [
            "url: http://loki:3100",
            "password_file: /etc/x",
            "password:",
            "labels: { a: b }",
        ] {
            assert_eq!(check(line, 0), line);
        }
        for line in ["password: ${PASSWORD}", "a: { token: \"${TOKEN}\" }"] {
            assert_eq!(check(line, 0), line);
        }
        assert_eq!(check("password: ${P:-hunter2}", 0), "password: ********");
        assert_eq!(check("password: x${P}", 0), "password: ********");
    }

    #[test]
    fn lines_that_go_on_with_a_secret_are_masked() {
        let text = "a:\n  password: |\n    hunter2\n\n    more\n  b: c\nheaders:\n  X: y\n";
        assert_eq!(check(text, 2), "    ********");
        assert_eq!(check(text, 4), "    ********");
        assert_eq!(check(text, 5), "  b: c");
        assert_eq!(check(text, 7), "  ********");
    }

    #[test]
    fn users_and_passwords_in_urls_are_masked() {
        let line = "url: \"http://user:hunter2@loki:3100/a@b\"";
        assert_eq!(check(line, 0), "url: \"http://********@loki:3100/a@b\"");
    }

    #[test]
    fn places_move_with_the_mask() {
        let line = "a: {token: x, b: {token: long-secret-value}, c: d}";
        let shown = show(line, 0).unwrap();
        assert_eq!(
            shown.line,
            "a: {token: ********, b: {token: ********}, c: d}"
        );
        let check = |letter| {
            let original = line.find(letter).unwrap();
            assert!(
                shown
                    .line
                    .get(shown.position_of(original)..)
                    .unwrap()
                    .starts_with(letter),
                "{letter}"
            );
        };
        check("a:");
        check("b:");
        check("c:");
        check("d}");
    }
}
