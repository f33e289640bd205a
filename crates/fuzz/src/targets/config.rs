//! The native configuration: any text is taken, or refused with a place, and twice in the same way.

use std::collections::HashMap;

use tailwater::config;

/// Bytes that an error may have beside what it quotes.
const MAX_ERROR_BYTES: usize = 64 << 10;

const SECRET: &str = "s3cr3t-of-the-environment";

pub(crate) fn run(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    let variables = [
        ("A", "a"),
        ("PORT", "3100"),
        ("TOKEN", SECRET),
        ("EMPTY", ""),
    ];
    let owned = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
    let variables: HashMap<String, String> = variables.into_iter().map(owned).collect();
    let parse = || config::parse(text, "fuzz.yaml", None, &variables);
    match (parse(), parse()) {
        (Ok(one), Ok(other)) => assert_eq!(one.data_dir, other.data_dir),
        (Err(one), Err(other)) => {
            let words = one.to_string();
            assert_eq!(words, other.to_string());
            assert!(!words.is_empty() && words.len() <= MAX_ERROR_BYTES + 8 * text.len());
        }
        (one, other) => unreachable!("{:?} and {:?}", one.is_ok(), other.is_ok()),
    }
}
