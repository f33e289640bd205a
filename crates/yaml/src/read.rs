//! Reading YAML: the only file that knows the YAML crate's options and errors.

use serde_saphyr::{Error, NonFiniteFloatPolicy, Spanned};

use crate::diagnostic::Diagnostic;
use crate::tree::{Node, Parsed, Place};

/// Values, keys and containers that a configuration may hold, aliases resolved.
const MAX_NODES: usize = 20_000;

/// Aliases that a configuration may hold.
const MAX_ALIASES: usize = 1_000;

/// Bytes of values that a configuration may hold, aliases resolved.
const MAX_SCALAR_BYTES: usize = 4 << 20;

/// Levels of maps and lists.
const MAX_DEPTH: usize = 32;

/// Reads a text as YAML.
///
/// # Errors
/// What is wrong with the syntax, and where.
pub fn read(text: &str) -> Result<Node, Diagnostic> {
    let options = serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_nodes: MAX_NODES,
            max_aliases: MAX_ALIASES,
            max_total_scalar_bytes: MAX_SCALAR_BYTES,
            max_depth: MAX_DEPTH,
        },
        alias_limits: serde_saphyr::alias_limits! { max_total_replayed_events: MAX_NODES },
        non_finite_float_policy: NonFiniteFloatPolicy::PassThrough,
        strict_booleans: true,
        with_snippet: false,
    };
    serde_saphyr::from_str_with_options::<Spanned<Parsed>>(text, options)
        .map(|parsed| Parsed::into_node(parsed, text))
        .map_err(|error| explain(&error, text))
}

fn explain(error: &Error, text: &str) -> Diagnostic {
    let (message, note) = words_for(root_of(error));
    let place = error
        .location()
        .map(Place::of)
        .map(|place| on_a_line(place, text));
    let line = place.and_then(|place| text.lines().nth(place.line.saturating_sub(1)));
    let diagnostic = Diagnostic::new(message.as_str(), place);
    match note.or_else(|| line.map(|line| likely_cause(line, &message))) {
        Some(note) => diagnostic.note(note),
        None => diagnostic,
    }
}

fn root_of(error: &Error) -> &Error {
    let error = error.without_snippet();
    if let Error::AliasError { error, .. } = error {
        root_of(error)
    } else {
        error
    }
}

/// An error at the end of the text is shown at the end of its last line that says something.
fn on_a_line(place: Place, text: &str) -> Place {
    let shown = text.lines().nth(place.line.saturating_sub(1));
    if shown.is_some_and(|line| !line.trim().is_empty()) {
        return place;
    }
    let before = text.lines().take(place.line).enumerate();
    match before.filter(|(_, line)| !line.trim().is_empty()).last() {
        Some((index, line)) => Place {
            line: index + 1,
            column: line.trim_end().chars().count() + 1,
            width: 1,
            ..place
        },
        None => place,
    }
}

#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "the crate's error is non-exhaustive, and most of it cannot come from reading a tree"
)]
fn words_for(error: &Error) -> (String, Option<&'static str>) {
    const TOO_LARGE: &str = "the configuration says too much";
    let words = |message: &str, note| (message.to_owned(), Some(note));
    match error {
        Error::DuplicateMappingKey { key: Some(key), .. } => (
            format!("`{key}` stands here for the second time"),
            Some("each key may stand once in a map: merge the two, or rename one"),
        ),
        Error::DuplicateMappingKey { key: None, .. } => words(
            "a key stands here for the second time",
            "each key may stand once in a map",
        ),
        Error::MultipleDocuments { .. } => words(
            "a second document begins here",
            "one file holds one configuration: remove the `---`",
        ),
        Error::UnknownAnchor { .. } => words(
            "there is no anchor of this name",
            "a value that begins with `*` is an alias in YAML: put globs in quotes, `\"*.log\"`",
        ),
        Error::Budget { .. } => words(
            TOO_LARGE,
            "at most 20,000 values, 32 levels, 1,000 aliases and 4 MiB of text, aliases resolved",
        ),
        Error::AliasReplayLimitExceeded { .. }
        | Error::AliasExpansionLimitExceeded { .. }
        | Error::AliasReplayStackDepthExceeded { .. }
        | Error::AliasReplayCounterOverflow { .. } => words(
            TOO_LARGE,
            "aliases (`*name`) that multiply each other are refused: at most 20,000 values in all",
        ),
        Error::NullIntoString { .. } => words("a key is missing here", "write `key: value`"),
        other => {
            let text = other.to_string();
            let message = text.split(" at line ").next().unwrap_or(&text);
            (format!("this is not valid YAML: {message}"), None)
        }
    }
}

/// Guesses what most often lies behind a syntax error, from the line it is in.
fn likely_cause(line: &str, message: &str) -> &'static str {
    if leading(line).contains('\t') {
        return "YAML is indented with spaces; there is a tab in this line";
    }
    if line.contains("${") {
        return "inside `{…}` and `[…]` a variable needs quotes: `\"${NAME}\"`";
    }
    let value = line.split_once(": ").map_or(line, |(_, value)| value);
    let value = value.trim_start_matches(['-', ' ', '[']);
    let is_special = value.starts_with(['@', '`', '%', '&', '!', '|', '>', '*']);
    if !message.contains("bracket") && (is_special || value.contains(": ")) {
        return "put values with special characters in quotes: `\"…\"`";
    }
    "check the indentation, and that every bracket and quote is closed"
}

fn leading(line: &str) -> &str {
    let indented = line.len() - line.trim_start().len();
    line.get(..indented).unwrap_or_default()
}
