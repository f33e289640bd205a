//! Reads a JSON object in one pass: checks all of it, and finds the values at some paths.
//!
//! No recursion follows the depth of the text, and nothing is allocated once the buffers have their
//! size.

mod plain;
mod write;

use self::plain::plain_len;
use crate::draft::reuse;
use write::write_compact;
pub(crate) use write::{write_number, write_string};

/// Containers within each other; Promtail's parser has the same bound.
const MAX_DEPTH: usize = 10_000;

/// The text is no JSON object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Malformed;

/// A value that was found.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Found {
    /// Nothing, or null.
    Nil,
    Bool(bool),
    Number(f64),
    /// A string without escapes: a range of the text.
    InText(usize, usize),
    /// A string with escapes, or a container written anew: a range of [`Finder::made`].
    Made(usize, usize),
}

/// Keys of an object that a path goes through.
#[derive(Clone, Debug, Default)]
struct Node {
    children: Vec<(Box<[u8]>, usize)>,
    /// The paths that end here.
    ends: Vec<usize>,
}

/// Finds the values at some paths.
#[derive(Clone, Debug)]
pub(crate) struct Finder {
    /// The first one is the root.
    nodes: Vec<Node>,
    found: Vec<Found>,
    made: Vec<u8>,
    open: Vec<u8>,
    key: Vec<u8>,
}

/// Splits an expression that is a path of keys, such as `a.b."c-d"`; nothing for all others.
pub(crate) fn plain_path(expression: &str) -> Option<Vec<Box<[u8]>>> {
    let mut keys = Vec::new();
    let mut rest = expression.trim();
    loop {
        let after = if rest.starts_with('"') {
            let mut scanner = Scanner::new(rest.as_bytes());
            let token = scanner.string().ok()?;
            let mut key = Vec::new();
            decode(rest.as_bytes().get(token.start..token.end)?, &mut key);
            keys.push(key.into());
            rest.get(scanner.at..)?
        } else {
            let len = rest
                .find(|c: char| !c.is_ascii_alphanumeric() && c != '_')
                .unwrap_or(rest.len());
            let (key, after) = rest.split_at_checked(len)?;
            if !crate::interner::is_label_name(key) {
                return None;
            }
            keys.push(key.as_bytes().into());
            after
        };
        if after.is_empty() {
            return Some(keys);
        }
        rest = after.strip_prefix('.')?;
    }
}

impl Finder {
    /// Prepares to find so many paths.
    pub(crate) fn new(paths: &[Vec<Box<[u8]>>]) -> Self {
        let mut nodes = vec![Node::default()];
        for (index, path) in paths.iter().enumerate() {
            let mut at = 0;
            for key in path {
                let known = nodes
                    .get(at)
                    .and_then(|node| node.children.iter().find(|(name, _)| name == key));
                let next = known.map_or(nodes.len(), |(_, next)| *next);
                if next == nodes.len() {
                    nodes.push(Node::default());
                    if let Some(node) = nodes.get_mut(at) {
                        node.children.push((key.clone(), next));
                    }
                }
                at = next;
            }
            if let Some(node) = nodes.get_mut(at) {
                node.ends.push(index);
            }
        }
        Self {
            nodes,
            found: vec![Found::Nil; paths.len()],
            made: Vec::new(),
            open: Vec::new(),
            key: Vec::new(),
        }
    }

    /// Reads a text; the values are in [`Finder::found`], in the order of the paths.
    ///
    /// # Errors
    /// [`Malformed`] where the text is not one JSON object, or null.
    pub(crate) fn read(&mut self, text: &[u8]) -> Result<(), Malformed> {
        reuse(&mut self.made);
        self.found.fill(Found::Nil);
        let mut scanner = Scanner::new(text);
        scanner.skip_space();
        if scanner.take(b'{') {
            self.object(&mut scanner, 0)?;
        } else {
            scanner.word(b"null")?;
        }
        scanner.skip_space();
        if scanner.at == text.len() {
            Ok(())
        } else {
            Err(Malformed)
        }
    }

    pub(crate) fn found(&self) -> &[Found] {
        &self.found
    }

    /// Returns the text that was made for [`Found::Made`].
    pub(crate) fn made(&self) -> &[u8] {
        &self.made
    }

    /// Reads an object, whose brace was taken. Recurses along the paths, not along the text.
    fn object(&mut self, scanner: &mut Scanner<'_>, node: usize) -> Result<(), Malformed> {
        scanner.skip_space();
        if scanner.take(b'}') {
            return Ok(());
        }
        loop {
            let key = scanner.key()?;
            let child = self.child(node, scanner, key);
            scanner.skip_space();
            match (child, scanner.peek()) {
                (Some(child), _) => self.value(scanner, child)?,
                (None, Some(b'"')) => scanner.string().map(drop)?,
                (None, _) => scanner.skip_value(&mut self.open)?,
            }
            scanner.skip_space();
            if scanner.take(b'}') {
                return Ok(());
            }
            scanner.expect(b',')?;
        }
    }

    fn child(&mut self, node: usize, scanner: &Scanner<'_>, key: StringToken) -> Option<usize> {
        let mut name = scanner.text.get(key.start..key.end)?;
        if key.has_escapes {
            reuse(&mut self.key);
            decode(name, &mut self.key);
            name = &self.key;
        }
        let children = &self.nodes.get(node)?.children;
        children
            .iter()
            .find(|(known, _)| **known == *name)
            .map(|(_, child)| *child)
    }

    /// Reads the value of a key that a path names. The last one of equal keys counts.
    fn value(&mut self, scanner: &mut Scanner<'_>, node: usize) -> Result<(), Malformed> {
        self.reset(node);
        let start = scanner.at;
        let first = scanner.peek().ok_or(Malformed)?;
        let is_inner = self
            .nodes
            .get(node)
            .is_some_and(|node| !node.children.is_empty());
        let found = match first {
            b'"' => {
                let token = scanner.string()?;
                if token.has_escapes {
                    let from = self.made.len();
                    decode(
                        scanner.text.get(token.start..token.end).unwrap_or_default(),
                        &mut self.made,
                    );
                    Found::Made(from, self.made.len())
                } else {
                    Found::InText(token.start, token.end)
                }
            }
            b'{' | b'[' => {
                if first == b'{' && is_inner {
                    scanner.take(b'{');
                    self.object(scanner, node)?;
                } else {
                    scanner.skip_value(&mut self.open)?;
                }
                if self.nodes.get(node).is_none_or(|node| node.ends.is_empty()) {
                    return Ok(());
                }
                let from = self.made.len();
                write_compact(
                    scanner.text.get(start..scanner.at).unwrap_or_default(),
                    &mut self.made,
                );
                Found::Made(from, self.made.len())
            }
            b't' => scanner.word(b"true").map(|()| Found::Bool(true))?,
            b'f' => scanner.word(b"false").map(|()| Found::Bool(false))?,
            b'n' => scanner.word(b"null").map(|()| Found::Nil)?,
            _ => {
                scanner.number()?;
                Found::Number(float(scanner.text.get(start..scanner.at))?)
            }
        };
        for end in self.nodes.get(node).map_or(&[][..], |node| &node.ends) {
            if let Some(place) = self.found.get_mut(*end) {
                *place = found;
            }
        }
        Ok(())
    }

    /// Takes back what an earlier key of the same name gave. Recurses along the paths.
    fn reset(&mut self, node: usize) {
        let Some(Node { children, ends }) = self.nodes.get(node) else {
            return;
        };
        for end in ends {
            if let Some(place) = self.found.get_mut(*end) {
                *place = Found::Nil;
            }
        }
        for index in 0..children.len() {
            let child = self
                .nodes
                .get(node)
                .and_then(|node| node.children.get(index));
            if let Some((_, child)) = child {
                self.reset(*child);
            }
        }
    }
}

fn float(digits: Option<&[u8]>) -> Result<f64, Malformed> {
    let digits = digits.unwrap_or_default();
    if let Some(number) = short_integer(digits) {
        return Ok(number);
    }
    let digits = std::str::from_utf8(digits).map_err(|_| Malformed)?;
    let number: f64 = digits.parse().map_err(|_| Malformed)?;
    if number.is_finite() {
        Ok(number)
    } else {
        Err(Malformed)
    }
}

/// Reads up to nine digits, which most numbers of a log are; nothing for all others.
fn short_integer(digits: &[u8]) -> Option<f64> {
    let is_short = matches!(digits.len(), 1..=9) && digits.iter().all(u8::is_ascii_digit);
    let fold = |value: u32, digit: &u8| value * 10 + u32::from(digit - b'0');
    is_short.then(|| digits.iter().fold(0, fold).into())
}

/// The inside of a string.
#[derive(Clone, Copy, Debug)]
struct StringToken {
    start: usize,
    end: usize,
    has_escapes: bool,
}

#[derive(Debug)]
struct Scanner<'t> {
    text: &'t [u8],
    at: usize,
}

impl<'t> Scanner<'t> {
    fn new(text: &'t [u8]) -> Self {
        Self { text, at: 0 }
    }

    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    fn take(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        self.at += usize::from(found);
        found
    }

    fn expect(&mut self, byte: u8) -> Result<(), Malformed> {
        if self.take(byte) {
            Ok(())
        } else {
            Err(Malformed)
        }
    }

    fn skip_space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    fn word(&mut self, word: &[u8]) -> Result<(), Malformed> {
        let rest = self.text.get(self.at..).unwrap_or_default();
        if !rest.starts_with(word) {
            return Err(Malformed);
        }
        self.at += word.len();
        Ok(())
    }

    /// Reads a key and its colon.
    fn key(&mut self) -> Result<StringToken, Malformed> {
        self.skip_space();
        let key = self.string()?;
        self.skip_space();
        self.expect(b':')?;
        Ok(key)
    }

    #[inline]
    fn string(&mut self) -> Result<StringToken, Malformed> {
        self.expect(b'"')?;
        let start = self.at;
        let mut has_escapes = false;
        loop {
            let rest = self.text.get(self.at..).ok_or(Malformed)?;
            self.at += plain_len(rest);
            let end = self.at;
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(StringToken {
                        start,
                        end,
                        has_escapes,
                    });
                }
                Some(b'\\') => {
                    has_escapes = true;
                    self.escape()?;
                }
                _ => return Err(Malformed),
            }
        }
    }

    fn escape(&mut self) -> Result<(), Malformed> {
        match self.text.get(self.at + 1).ok_or(Malformed)? {
            b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => self.at += 2,
            b'u' => {
                let digits = self.text.get(self.at + 2..self.at + 6).ok_or(Malformed)?;
                if !digits.iter().all(u8::is_ascii_hexdigit) {
                    return Err(Malformed);
                }
                self.at += 6;
            }
            _ => return Err(Malformed),
        }
        Ok(())
    }

    fn digits(&mut self) -> usize {
        let start = self.at;
        while self.peek().is_some_and(|byte| byte.is_ascii_digit()) {
            self.at += 1;
        }
        self.at - start
    }

    fn number(&mut self) -> Result<(), Malformed> {
        self.take(b'-');
        if !self.take(b'0') && self.digits() == 0 {
            return Err(Malformed);
        }
        if self.take(b'.') && self.digits() == 0 {
            return Err(Malformed);
        }
        if self.take(b'e') || self.take(b'E') {
            if !self.take(b'+') {
                self.take(b'-');
            }
            if self.digits() == 0 {
                return Err(Malformed);
            }
        }
        Ok(())
    }

    /// Skips a value of any depth up to the bound; `open` is a stack of what is open.
    fn skip_value(&mut self, open: &mut Vec<u8>) -> Result<(), Malformed> {
        open.clear();
        if self.peek() == Some(b'"') {
            return self.string().map(drop);
        }
        loop {
            self.skip_space();
            if self.opens_container(open)? {
                continue;
            }
            if self.closes_containers(open)? {
                return Ok(());
            }
        }
    }

    /// Takes a scalar, an empty container, or the start of one with content: then returns true.
    fn opens_container(&mut self, open: &mut Vec<u8>) -> Result<bool, Malformed> {
        let first = self.peek().ok_or(Malformed)?;
        match first {
            b'{' | b'[' => {
                self.at += 1;
                self.skip_space();
                if self.take(if first == b'{' { b'}' } else { b']' }) {
                    return Ok(false);
                }
                if open.len() >= MAX_DEPTH {
                    return Err(Malformed);
                }
                open.push(first);
                if first == b'{' {
                    self.key()?;
                }
                return Ok(true);
            }
            b'"' => self.string().map(drop)?,
            b't' => self.word(b"true")?,
            b'f' => self.word(b"false")?,
            b'n' => self.word(b"null")?,
            _ => self.number()?,
        }
        Ok(false)
    }

    /// After a value: takes what closes containers; returns true when none is open.
    fn closes_containers(&mut self, open: &mut Vec<u8>) -> Result<bool, Malformed> {
        while let Some(container) = open.last().copied() {
            self.skip_space();
            if self.take(b',') {
                if container == b'{' {
                    self.key()?;
                }
                return Ok(false);
            }
            self.expect(if container == b'{' { b'}' } else { b']' })?;
            open.pop();
        }
        Ok(true)
    }
}

/// Writes what a valid string stands for.
fn decode(inside: &[u8], out: &mut Vec<u8>) {
    let mut rest = inside;
    while let Some(at) = memchr::memchr(b'\\', rest) {
        out.extend_from_slice(rest.get(..at).unwrap_or_default());
        let escape = rest.get(at + 1..).unwrap_or_default();
        let Some((kind, after)) = escape.split_first() else {
            return;
        };
        rest = after;
        match kind {
            b'b' => out.push(8),
            b'f' => out.push(12),
            b'n' => out.push(b'\n'),
            b'r' => out.push(b'\r'),
            b't' => out.push(b'\t'),
            b'u' => rest = decode_unicode(after, out),
            other => out.push(*other),
        }
    }
    out.extend_from_slice(rest);
}

/// Decodes four hexadecimal digits, and a second escape where they are half of a pair.
pub(crate) fn decode_unicode<'t>(digits: &'t [u8], out: &mut Vec<u8>) -> &'t [u8] {
    let unit = |digits: &[u8]| {
        let digit = |byte: &u8| char::from(*byte).to_digit(16);
        let digits = digits.get(..4)?.iter().map(digit);
        digits
            .into_iter()
            .try_fold(0, |code, digit| Some(code << 4 | digit?))
    };
    let mut rest = digits.get(4..).unwrap_or_default();
    let mut code = unit(digits).unwrap_or(0xfffd);
    if (0xd800..0xdc00).contains(&code)
        && let Some(low) = rest.strip_prefix(b"\\u").and_then(unit)
        && (0xdc00..0xe000).contains(&low)
    {
        code = 0x1_0000 + ((code - 0xd800) << 10) + (low - 0xdc00);
        rest = rest.get(6..).unwrap_or_default();
    }
    let character = char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER);
    out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
    rest
}

#[cfg(test)]
mod tests;
