//! The configuration: what is accepted, and what is said about what is not.

#![expect(
    clippy::unwrap_used,
    reason = "functions of tests outside of `#[test]`"
)]

mod accepted;
mod examples;
mod files;
mod keys;
mod presets;
mod sinks;
mod syntax;
mod values;
mod variables;

use std::collections::HashMap;

use tailwater::config::{self, Config, ConfigError};

/// Variables that are set in every test.
const VARIABLES: [(&str, &str); 8] = [
    ("TOKEN", "hunter2-token"),
    ("HOST_NAME", "web-7"),
    ("BAD_SIZE", "12parsecs"),
    ("LIST", "[a, b]"),
    ("EMPTY", ""),
    ("LEVEL", "loud"),
    ("URL", "ftp://hunter2.example"),
    ("WORKERS", "2"),
];

fn parse(yaml: &str) -> Result<Config, ConfigError> {
    let variables = VARIABLES.map(|(name, value)| (name.to_owned(), value.to_owned()));
    config::parse(yaml, "tailwater.yaml", None, &HashMap::from(variables))
}

/// Asserts the whole text of the errors, after the line that counts them.
#[track_caller]
fn check(yaml: &str, expected: &str) {
    let text = parse(yaml).unwrap_err().to_string();
    let (_, errors) = text.split_once("\n\n").unwrap();
    assert_eq!(errors, expected.trim_matches('\n'), "\n{errors}\n");
    assert!(!errors.contains("hunter2"), "a secret is shown");
}
