//! Promtail's configuration: any text is taken or refused with a place, and what is taken converts to a
//! native configuration that is taken, but for a value that a sink or the machine refuses.
//!
//! The first byte says whether variables are expanded.

use std::collections::HashMap;

use tailwater_promtail::{Flags, Host, Loaded, Targets, convert, load_text};
use tailwater_tailer::Patterns;

use crate::input;

/// Bytes that an error may have beside what it quotes.
const MAX_ERROR_BYTES: usize = 64 << 10;

/// A file that names others: reading those belongs to `file_sd`.
fn targets(loaded: &Loaded) -> Targets {
    if loaded.watched().is_empty() {
        loaded.targets()
    } else {
        Targets::default()
    }
}

pub(crate) fn run(bytes: &[u8]) {
    let (is_expanded, text) = input::choice(bytes, 2);
    let Ok(text) = std::str::from_utf8(text) else {
        return;
    };
    let arguments = (is_expanded == 1).then_some("-config.expand-env");
    let flags = Flags::parse(arguments).expect("it is a flag");
    let load = || load_text(text, None, &flags, &host());
    match (load(), load()) {
        (Ok(one), Ok(other)) => {
            let found = targets(&one);
            assert_eq!(found, targets(&other));
            let native = convert(&one, &found).text;
            assert_eq!(native, convert(&other, &found).text);
            accepts(&native);
        }
        (Err(one), Err(other)) => {
            let words = one.to_string();
            assert_eq!(words, other.to_string());
            assert!(!words.is_empty() && words.len() <= MAX_ERROR_BYTES + 8 * text.len());
        }
        (one, other) => unreachable!("{:?} and {:?}", one.is_ok(), other.is_ok()),
    }
}

fn host() -> Host {
    let variables = [("A", "a"), ("PORT", "3100"), ("EMPTY", "")];
    let owned = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
    Host {
        variables: variables.into_iter().map(owned).collect(),
        name: "machine".to_owned(),
        glob_check: Some(check_glob),
    }
}

fn check_glob(glob: &str) -> Result<(), String> {
    let checked = Patterns::new(&[glob.to_owned()], &[]);
    checked.map(drop).map_err(|error| error.to_string())
}

/// What is written is in the native form, whatever the sinks say to its values.
fn accepts(native: &str) {
    let parsed = tailwater::config::parse(native, "converted.yaml", None, &HashMap::new());
    if let Err(error) = parsed {
        let words = error.to_string();
        assert!(
            words.contains("` cannot be used: "),
            "{words}\nin\n{native}"
        );
    }
}
