//! Promtail's positions file: read strictly, and written in the same form.
//!
//! One map, `positions:`, from the path of a file to the bytes that were read of it, as a quoted decimal
//! number. Source: docs/formats/promtail-positions.md. Nothing here looks at the files that it names.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::de::{Deserializer, Error as _, MapAccess, Visitor};
use serde_saphyr::Spanned;
use xxhash_rust::xxh3::xxh3_64;

#[cfg(test)]
mod tests;

/// Bytes of a positions file that are read at most.
pub const MAX_BYTES: u64 = 64 << 20;

/// Entries of a positions file that are read at most.
pub const MAX_ENTRIES: usize = 1_000_000;

/// Keys that stand for no file: of the journal, of containers, of a cloud.
const CURSOR_PREFIXES: [&str; 2] = ["cursor-", "journal-"];

/// The tag of a key that is not UTF-8.
const BINARY_TAG: &str = "!!binary";

/// What a positions file holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PromtailPositions {
    /// Bytes that were read of each file.
    pub offsets: BTreeMap<PathBuf, u64>,
    /// Files whose value is no number of bytes, sorted: where they were read to is not known.
    pub refused: Vec<PathBuf>,
    /// Keys `cursor-…` and `journal-…`, which stand for no file.
    pub cursors: u64,
}

/// A positions file as it was read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PromtailFile {
    /// What it holds.
    pub positions: PromtailPositions,
    /// XXH3-64 of its bytes.
    pub hash: u64,
    /// When it was last written, in nanoseconds since the epoch; `None` where there is no file.
    pub saved_ns: Option<u64>,
}

/// Why a text is no positions file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ParseError {
    /// It is not UTF-8.
    #[error("byte {at} is not UTF-8")]
    NotUtf8 {
        /// The offset of the first byte that is not.
        at: usize,
    },
    /// It is not YAML of this shape.
    #[error("line {line}, column {column}: {reason}")]
    Yaml {
        /// The line, from 1; 0 where it is not known.
        line: u64,
        /// The column, from 1; 0 where it is not known.
        column: u64,
        /// What is wrong.
        reason: String,
    },
}

/// Why a positions file was not read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// It is a directory, or something else that holds no text.
    #[error("{} is not a regular file", path.display())]
    NotRegular {
        /// The path.
        path: PathBuf,
    },
    /// The system refused.
    #[error("cannot read {}", path.display())]
    Io {
        /// The path.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It is longer than is read.
    #[error("{} holds more than {max_bytes} bytes", path.display())]
    TooLong {
        /// The path.
        path: PathBuf,
        /// The limit.
        max_bytes: u64,
    },
    /// It holds something else.
    #[error("{} is not a positions file of Promtail", path.display())]
    Invalid {
        /// The path.
        path: PathBuf,
        /// What is wrong.
        source: ParseError,
    },
}

/// What is done with a positions file whose text is no positions file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnInvalid {
    /// It is an error.
    Refuse,
    /// It counts as empty: Promtail's `ignore_invalid_yaml`.
    TakeAsEmpty,
}

/// Reads a positions file. One that is not there is empty, as for Promtail.
///
/// # Errors
/// [`ReadError`]; never [`ReadError::Invalid`] with [`OnInvalid::TakeAsEmpty`].
pub fn read(path: &Path, on_invalid: OnInvalid) -> Result<PromtailFile, ReadError> {
    let fail = |source| ReadError::Io {
        path: path.to_owned(),
        source,
    };
    // Asked before it is opened: opening a FIFO would wait for a writer.
    let metadata = match std::fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Ok(PromtailFile::default());
        }
        metadata => metadata.map_err(fail)?,
    };
    if !metadata.is_file() {
        return Err(ReadError::NotRegular {
            path: path.to_owned(),
        });
    }
    let modified = metadata.modified().map_err(fail)?;
    let since_epoch = modified.duration_since(UNIX_EPOCH).unwrap_or_default();
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|file| file.take(MAX_BYTES + 1).read_to_end(&mut bytes))
        .map_err(fail)?;
    if u64::try_from(bytes.len()).is_ok_and(|len| len > MAX_BYTES) {
        return Err(ReadError::TooLong {
            path: path.to_owned(),
            max_bytes: MAX_BYTES,
        });
    }
    let positions = match (parse(&bytes), on_invalid) {
        (Ok(positions), _) => positions,
        (Err(_), OnInvalid::TakeAsEmpty) => PromtailPositions::default(),
        (Err(source), OnInvalid::Refuse) => {
            return Err(ReadError::Invalid {
                path: path.to_owned(),
                source,
            });
        }
    };
    Ok(PromtailFile {
        positions,
        hash: xxh3_64(&bytes),
        saved_ns: Some(u64::try_from(since_epoch.as_nanos()).unwrap_or(u64::MAX)),
    })
}

/// Reads the text of a positions file. An empty text is an empty map.
///
/// # Errors
/// [`ParseError`]: not UTF-8, not YAML, another key than `positions`, a key that stands twice, a value that
/// is a map or a list, or more than [`MAX_ENTRIES`].
pub fn parse(bytes: &[u8]) -> Result<PromtailPositions, ParseError> {
    let text = std::str::from_utf8(bytes).map_err(|error| ParseError::NotUtf8 {
        at: error.valid_up_to(),
    })?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let is_blank = |line: &str| line.is_empty() || line.starts_with('#') || line == "---";
    if text.lines().all(|line| is_blank(line.trim())) {
        return Ok(PromtailPositions::default());
    }
    let options = serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_nodes: MAX_ENTRIES.saturating_mul(3),
            max_events: MAX_ENTRIES.saturating_mul(3),
            max_reader_input_bytes: None,
            max_total_scalar_bytes: usize::try_from(MAX_BYTES).unwrap_or(usize::MAX),
            // One map in another, and nothing below it.
            max_depth: 4,
            max_aliases: 0,
            max_anchors: 0,
        },
        // What tells a path that is not UTF-8 is looked at here.
        ignore_binary_tag_for_string: true,
        strict_booleans: true,
        with_snippet: false,
    };
    let document = serde_saphyr::from_str_with_options::<Option<Document>>(text, options)
        .map_err(|error| explain(&error))?;
    let entries = document.and_then(|document| document.positions);
    Ok(sort_out(entries.unwrap_or_default().0, text))
}

fn explain(error: &serde_saphyr::Error) -> ParseError {
    let reason = error.without_snippet().to_string();
    let place = error.location();
    ParseError::Yaml {
        line: place.map_or(0, |place| place.line()),
        column: place.map_or(0, |place| place.column()),
        reason: reason
            .split(" at line ")
            .next()
            .unwrap_or_default()
            .to_owned(),
    }
}

fn sort_out(entries: Vec<(Spanned<String>, Option<String>)>, text: &str) -> PromtailPositions {
    let mut positions = PromtailPositions::default();
    for (key, value) in entries {
        let mut prefixes = CURSOR_PREFIXES.iter();
        if prefixes.any(|prefix| key.value.starts_with(prefix)) {
            positions.cursors += 1;
            continue;
        }
        let path = path_of(&key, text);
        match value.and_then(|value| value.parse().ok()) {
            Some(offset) => {
                positions.offsets.insert(path, offset);
            }
            None => positions.refused.push(path),
        }
    }
    positions.refused.sort_unstable();
    positions
}

/// Returns the path that a key says. Where it is not UTF-8, Promtail writes it in base64 with a tag.
fn path_of(key: &Spanned<String>, text: &str) -> PathBuf {
    let start = key.defined.span().byte_offset();
    let start = start.and_then(|start| usize::try_from(start).ok());
    let (before, rest) = start
        .and_then(|start| text.split_at_checked(start))
        .unwrap_or_default();
    // Between the tag and the text stands a quote, or the head of a block.
    let before = before.trim_end_matches(|between: char| {
        between.is_whitespace() || matches!(between, '|' | '>' | '-' | '+')
    });
    let is_tagged = rest.starts_with(BINARY_TAG) || before.ends_with(BINARY_TAG);
    let encoded: Vec<u8> = key.value.bytes().filter(u8::is_ascii_graphic).collect();
    match STANDARD.decode(encoded) {
        Ok(bytes) if is_tagged => PathBuf::from(std::ffi::OsString::from_vec(bytes)),
        Ok(_) | Err(_) => PathBuf::from(&key.value),
    }
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    #[serde(default)]
    positions: Option<Entries>,
}

/// The entries in the order of the file. The reader has refused keys that stand twice.
#[derive(Default)]
struct Entries(Vec<(Spanned<String>, Option<String>)>);

impl<'de> serde::Deserialize<'de> for Entries {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(EntriesVisitor)
    }
}

struct EntriesVisitor;

impl<'de> Visitor<'de> for EntriesVisitor {
    type Value = Entries;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a map from paths to offsets")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Entries, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = map.next_entry()? {
            if entries.len() == MAX_ENTRIES {
                let reason = format!("more than {MAX_ENTRIES} entries");
                return Err(A::Error::custom(reason));
            }
            entries.push(entry);
        }
        Ok(Entries(entries))
    }
}

/// Writes offsets as Promtail writes them: sorted by path, in quotes.
pub fn render(offsets: &BTreeMap<PathBuf, u64>) -> String {
    if offsets.is_empty() {
        return "positions: {}\n".to_owned();
    }
    let mut text = String::from("positions:\n");
    for (path, offset) in offsets {
        text.push_str("  ");
        push_key(&mut text, path);
        text.push_str(": \"");
        text.push_str(&offset.to_string());
        text.push_str("\"\n");
    }
    text
}

fn push_key(out: &mut String, path: &Path) {
    let Some(path) = path.to_str() else {
        out.push_str(BINARY_TAG);
        out.push_str(" \"");
        STANDARD.encode_string(path.as_os_str().as_bytes(), out);
        out.push('"');
        return;
    };
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/._-+@=,~".contains(&byte);
    if path.starts_with('/') && path.bytes().all(is_plain) {
        out.push_str(path);
        return;
    }
    out.push('"');
    for character in path.chars() {
        match character {
            '"' | '\\' => {
                out.push('\\');
                out.push(character);
            }
            // What YAML takes for the end of a line, or does not print.
            _ if character.is_control()
                || matches!(character, '\u{2028}' | '\u{2029}' | '\u{feff}') =>
            {
                let code = format!("\\U{:08x}", u32::from(character));
                out.push_str(&code);
            }
            _ => out.push(character),
        }
    }
    out.push('"');
}
