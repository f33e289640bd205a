//! Regular expressions with the syntax and the meaning of Go's `regexp`, on any bytes.
//!
//! Go reads `\d`, `\w`, `\s` and `\b` as ASCII, takes a `{` that starts no count as itself, and
//! matches one character with `.`, or one byte where the text is not UTF-8. So an expression is
//! rewritten, and compiled twice where both are possible: over bytes, for texts that are ASCII or no
//! UTF-8 (the fast one), and over characters.

use std::ops::Range;

use regex::bytes::{CaptureLocations, Captures, Regex, RegexBuilder};

use crate::error::Fault;

/// Bytes of a compiled expression.
const MAX_PROGRAM_BYTES: usize = 4 << 20;

/// A compiled expression; a clone has caches of its own, for another thread.
#[derive(Clone, Debug)]
pub(crate) struct Pattern {
    bytes: Option<Regex>,
    characters: Regex,
}

impl Pattern {
    /// Compiles an expression.
    pub(crate) fn new(expression: &str) -> Result<Self, Fault> {
        let rewritten = rewrite(expression);
        let characters = build(&rewritten, true).map_err(|error| {
            Fault::new(
                format!(
                    "`{expression}` is not a regular expression: {}",
                    first_line(&error)
                ),
                "write it in RE2 syntax, which has neither look-around nor back-references",
            )
        })?;
        let bytes = build(
            &rewritten
                .replace("(?-u:\\b)", "\\b")
                .replace("(?-u:\\B)", "\\B"),
            false,
        );
        Ok(Self {
            bytes: bytes.ok(),
            characters,
        })
    }

    /// Returns how a text is to be read: found out once where it is searched again and again.
    pub(crate) fn reading(&self, text: &[u8]) -> Reading {
        let is_other_than_text = || text.is_ascii() || std::str::from_utf8(text).is_err();
        if self.bytes.is_some() && is_other_than_text() {
            Reading::Bytes
        } else {
            Reading::Characters
        }
    }

    fn read(&self, reading: Reading) -> &Regex {
        match (&self.bytes, reading) {
            (Some(bytes), Reading::Bytes) => bytes,
            _ => &self.characters,
        }
    }

    /// The expression for a text.
    fn of(&self, text: &[u8]) -> &Regex {
        self.read(self.reading(text))
    }

    /// Returns whether the expression matches anywhere in the text.
    pub(crate) fn is_match(&self, text: &[u8]) -> bool {
        self.of(text).is_match(text)
    }

    /// Returns a place for [`Pattern::captures`].
    pub(crate) fn locations(&self) -> Locations {
        Locations {
            bytes: self.bytes.as_ref().map(Regex::capture_locations),
            characters: self.characters.capture_locations(),
            reading: Reading::Characters,
        }
    }

    /// Finds the first match from `start` on and its groups.
    pub(crate) fn captures(
        &self,
        locations: &mut Locations,
        text: &[u8],
        reading: Reading,
        mut start: usize,
    ) -> bool {
        let regex = self.read(reading);
        locations.reading = reading;
        while start <= text.len() {
            let found = regex.captures_read_at(locations.last_mut(), text, start);
            match found.map(|found| found.range()) {
                None => return false,
                Some(found) if is_torn(text, reading, &found) => start = found.end + 1,
                Some(_) => return true,
            }
        }
        false
    }

    /// Returns the names of the groups, the whole match first; none for those without a name.
    pub(crate) fn group_names(&self) -> impl Iterator<Item = Option<&str>> {
        self.characters.capture_names()
    }

    /// Replaces all matches; `$1` and `${name}` stand for groups. Nothing where the result has more
    /// than `max_bytes`.
    pub(crate) fn replace_all(&self, text: &[u8], by: &[u8], max_bytes: usize) -> Option<Vec<u8>> {
        self.replace(text, max_bytes, |groups, out| groups.expand(by, out))
    }

    /// As [`Pattern::replace_all`], by a text as it stands.
    pub(crate) fn replace_all_literally(
        &self,
        text: &[u8],
        by: &[u8],
        max_bytes: usize,
    ) -> Option<Vec<u8>> {
        self.replace(text, max_bytes, |_, out| out.extend_from_slice(by))
    }

    fn replace(
        &self,
        text: &[u8],
        max_bytes: usize,
        write: impl Fn(&Captures<'_>, &mut Vec<u8>),
    ) -> Option<Vec<u8>> {
        let mut out = Vec::with_capacity(text.len());
        let mut written = 0;
        let reading = self.reading(text);
        for groups in self.read(reading).captures_iter(text) {
            let found = groups.get(0)?;
            if is_torn(text, reading, &found.range()) {
                continue;
            }
            out.extend_from_slice(text.get(written..found.start())?);
            write(&groups, &mut out);
            written = found.end();
            if out.len() > max_bytes {
                return None;
            }
        }
        out.extend_from_slice(text.get(written..)?);
        Some(out)
    }

    /// Finds the first match.
    pub(crate) fn find<'t>(&self, text: &'t [u8]) -> Option<&'t [u8]> {
        self.of(text).find(text).map(|found| found.as_bytes())
    }
}

/// How a text is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reading {
    Bytes,
    Characters,
}

/// Whether a match is an empty one between the bytes of a character, where Go finds none.
fn is_torn(text: &[u8], reading: Reading, found: &Range<usize>) -> bool {
    let is_inner = || {
        text.get(found.start)
            .is_some_and(|byte| byte & 0xc0 == 0x80)
    };
    reading == Reading::Characters && found.is_empty() && is_inner()
}

/// Where the groups of the last match are.
#[derive(Clone, Debug)]
pub(crate) struct Locations {
    bytes: Option<CaptureLocations>,
    characters: CaptureLocations,
    /// Which of both the last match was of.
    reading: Reading,
}

impl Locations {
    fn last_mut(&mut self) -> &mut CaptureLocations {
        match &mut self.bytes {
            Some(bytes) if self.reading == Reading::Bytes => bytes,
            _ => &mut self.characters,
        }
    }

    /// Returns start and end of a group that took part.
    pub(crate) fn get(&self, group: usize) -> Option<(usize, usize)> {
        match &self.bytes {
            Some(bytes) if self.reading == Reading::Bytes => bytes.get(group),
            _ => self.characters.get(group),
        }
    }

    /// Returns how many groups there are, the whole match among them.
    pub(crate) fn len(&self) -> usize {
        self.characters.len()
    }
}

fn build(expression: &str, is_unicode: bool) -> Result<Regex, regex::Error> {
    RegexBuilder::new(expression)
        .unicode(is_unicode)
        .size_limit(MAX_PROGRAM_BYTES)
        .build()
}

/// The last line of the error, which says what is wrong; those above draw the expression.
fn first_line(error: &regex::Error) -> String {
    let text = error.to_string();
    let last = text.lines().last().unwrap_or_default().trim();
    last.strip_prefix("error: ").unwrap_or(last).to_owned()
}

/// Rewrites an expression of Go's syntax to one that means the same in Rust.
///
/// What Go refuses may come out as anything; no error is lost, for the result is still to be compiled.
pub fn rewrite(expression: &str) -> String {
    let mut rewriter = Rewriter {
        rest: expression,
        out: String::with_capacity(expression.len()),
        class_start: None,
    };
    while rewriter.step() {}
    rewriter.out
}

struct Rewriter<'e> {
    rest: &'e str,
    out: String,
    /// The length of `out` after the `[` or `[^` of the open class.
    class_start: Option<usize>,
}

impl<'e> Rewriter<'e> {
    /// Rewrites one element; returns whether there was one.
    fn step(&mut self) -> bool {
        let mut chars = self.rest.chars();
        let Some(first) = chars.next() else {
            return false;
        };
        let after = chars.as_str();
        match (first, self.class_start) {
            ('\\', _) => self.escape(after),
            ('[', None) => self.open_class(after),
            ('[', Some(_)) => self.class_bracket(after),
            (']', Some(start)) => {
                // The first one of a class is itself.
                if self.out.len() == start {
                    self.out.push_str("\\]");
                } else {
                    self.out.push(']');
                    self.class_start = None;
                }
                self.rest = after;
            }
            ('&' | '~', Some(_)) => self.push_escaped(first),
            ('{', None) if !starts_count(after) => self.push_escaped(first),
            _ => {
                self.out.push(first);
                self.rest = after;
            }
        }
        true
    }

    fn push_escaped(&mut self, character: char) {
        self.out.push('\\');
        self.out.push(character);
        self.rest = self.rest.get(character.len_utf8()..).unwrap_or_default();
    }

    fn open_class(&mut self, after: &'e str) {
        let is_negated = after.starts_with('^');
        self.out.push_str(if is_negated { "[^" } else { "[" });
        self.skip(if is_negated { 2 } else { 1 });
        self.class_start = Some(self.out.len());
    }

    /// A `[` within a class: a named class, or itself.
    fn class_bracket(&mut self, after: &'e str) {
        let named = after.starts_with(':').then(|| after.find(":]")).flatten();
        match named {
            Some(end) => {
                let len = end + 3;
                self.out.push_str(self.rest.get(..len).unwrap_or_default());
                self.skip(len);
            }
            None => self.push_escaped('['),
        }
    }

    fn escape(&mut self, after: &'e str) {
        let Some(escaped) = after.chars().next() else {
            self.out.push('\\');
            self.rest = after;
            return;
        };
        let in_class = self.class_start.is_some();
        let by = match (escaped, in_class) {
            ('d', false) => "[0-9]",
            ('d', true) => "0-9",
            ('D', _) => "[^0-9]",
            ('w', false) => "[0-9A-Za-z_]",
            ('w', true) => "0-9A-Za-z_",
            ('W', _) => "[^0-9A-Za-z_]",
            ('s', false) => "[\\t\\n\\f\\r ]",
            ('s', true) => "\\t\\n\\f\\r ",
            ('S', _) => "[^\\t\\n\\f\\r ]",
            ('b', false) => "(?-u:\\b)",
            ('B', false) => "(?-u:\\B)",
            ('<', _) => "<",
            ('>', _) => ">",
            ('0'..='7', _) if let Some((octal, len)) = octal(after) => {
                for part in ["\\x{", &format!("{octal:x}"), "}"] {
                    self.out.push_str(part);
                }
                self.skip(1 + len);
                return;
            }
            ('Q', false) => return self.quote(after),
            ('x' | 'p' | 'P', _) if after.get(1..).is_some_and(|rest| rest.starts_with('{')) => {
                // The brace belongs to the escape: `\x{202f}`, `\p{Greek}`.
                let len = 1 + after.find('}').map_or(after.len(), |end| end + 1);
                self.out.push_str(self.rest.get(..len).unwrap_or_default());
                self.skip(len);
                return;
            }
            _ => {
                self.out.push('\\');
                self.out.push(escaped);
                self.skip(1 + escaped.len_utf8());
                return;
            }
        };
        self.out.push_str(by);
        self.skip(2);
        // `[\w-.]`: no range begins with a class, so the `-` is itself.
        if in_class && is_class(escaped) && self.rest.starts_with('-') {
            self.push_escaped('-');
        }
    }

    /// `\Q…\E`: a text as it stands.
    fn quote(&mut self, after: &'e str) {
        let quoted = after.get(1..).unwrap_or_default();
        let (text, rest) = quoted.split_once("\\E").unwrap_or((quoted, ""));
        self.out.push_str(&regex::escape(text));
        self.rest = self
            .rest
            .get(self.rest.len() - rest.len()..)
            .unwrap_or_default();
    }

    fn skip(&mut self, len: usize) {
        self.rest = self.rest.get(len..).unwrap_or_default();
    }
}

fn is_class(escaped: char) -> bool {
    matches!(escaped, 'd' | 'D' | 'w' | 'W' | 's' | 'S')
}

/// The character that `0` and up to two more digits stand for, or two or three others, and how many they
/// are: `\033`. One digit alone is a back-reference, which there is not.
fn octal(after: &str) -> Option<(u32, usize)> {
    let digits = after.bytes().take(3);
    let digits: Vec<u8> = digits
        .take_while(|byte| matches!(byte, b'0'..=b'7'))
        .collect();
    let is_one = digits.len() > 1 || digits.first() == Some(&b'0');
    let value = digits
        .iter()
        .fold(0, |value, digit| value * 8 + u32::from(digit - b'0'));
    is_one.then_some((value, digits.len()))
}

/// Whether `3}`, `3,}` or `3,5}` follows a `{`.
fn starts_count(after: &str) -> bool {
    let Some((count, _)) = after.split_once('}') else {
        return false;
    };
    let (min, max) = count.split_once(',').unwrap_or((count, ""));
    let is_number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    !min.is_empty() && is_number(min) && is_number(max)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(expression: &str, text: &str) -> bool {
        Pattern::new(expression).unwrap().is_match(text.as_bytes())
    }

    #[test]
    fn classes_are_ascii_as_in_go() {
        assert!(matches(r"^\d+$", "123"));
        assert!(!matches(r"^\d+$", "١٢٣"));
        assert!(!matches(r"^\w+$", "é"));
        assert!(matches(r"^[\w-]+$", "a-b"));
        assert!(!matches(r"^\s$", "\u{b}"));
        assert!(matches(r"\bfoo\b", "éfoo é"));
    }

    #[test]
    fn what_go_takes_as_itself_is_itself() {
        assert!(matches(r#"{"level":"(\w+)"}"#, r#"{"level":"info"}"#));
        assert!(matches(r"^\<\d+\>$", "<13>"));
        assert!(matches(r"^[[]x[]]$", "[x]"));
        assert!(matches(r"^[a&&b]+$", "a&b"));
        assert!(matches(r"^\Qa.b\E$", "a.b"));
        assert!(!matches(r"^\Qa.b\E$", "axb"));
        assert!(matches(r"^x{2}[[:digit:]]$", "xx7"));
        assert!(matches(
            r"^\x{e9}\p{Greek}[\x{202f}]\x{61}{2}$",
            "éα\u{202f}aa"
        ));
    }

    #[test]
    fn characters_may_be_written_in_octal() {
        assert!(matches(r"^\033\[0m$", "\u{1b}[0m"));
        assert!(matches(r"^\101\0[\061-\063]\0\x41$", "A\x002\x00A"));
        assert!(matches(r"^\1011$", "A1"));
        assert!(Pattern::new(r"(a)\7").is_err());
        assert!(Pattern::new(r"\8").is_err());
    }

    #[test]
    fn a_dash_behind_a_class_is_itself() {
        assert!(matches(r"^[\w-.]+$", "a-b.c"));
        assert!(matches(r"^[\s-a]+$", "- a"));
        assert!(!matches(r"[\s-a]", "!"));
        assert!(matches(r"^[\d-z]+$", "1-z"));
        assert!(!matches(r"[\d-z]", "a"));
        assert!(matches(r"^[^\w-]+$", "+"));
    }

    #[test]
    fn a_point_is_a_character_of_utf8_and_a_byte_of_other_text() {
        assert!(matches("^.$", "é"));
        let pattern = Pattern::new("^(.*) end$").unwrap();
        let mut locations = pattern.locations();
        assert!(pattern.captures(&mut locations, b"a\xff\xfeb end", Reading::Bytes, 0));
        assert_eq!(locations.get(1), Some((0, 4)));
        assert_eq!(pattern.reading(b"a\xff\xfeb end"), Reading::Bytes);
        assert!(Pattern::new("ü[é]").unwrap().is_match("üé".as_bytes()));
    }

    #[test]
    fn an_empty_match_tears_no_character() {
        let replace = |expression: &str, text: &str| {
            let pattern = Pattern::new(expression).unwrap();
            let replaced = pattern.replace_all_literally(text.as_bytes(), b"-", 100);
            String::from_utf8(replaced.unwrap()).unwrap()
        };
        assert_eq!(replace("x*", "éxé"), "-é-é-");
        assert_eq!(replace(r"\B", "日a"), "-日a");
        let pattern = Pattern::new("(x*)").unwrap();
        let mut locations = pattern.locations();
        assert!(pattern.captures(&mut locations, "é".as_bytes(), Reading::Characters, 1));
        assert_eq!(locations.get(1), Some((2, 2)));
    }

    #[test]
    fn what_cannot_work_is_refused_with_a_reason() {
        for bad in [
            "(",
            "a(?=b)",
            r"(a)\1",
            "[]",
            "(?P<n>a)(?P<n>b)",
            r"a{1000}{1000}{1000}",
        ] {
            let fault = Pattern::new(bad).unwrap_err();
            assert!(
                fault.problem.contains("not a regular expression"),
                "{fault:?}"
            );
        }
    }
}
