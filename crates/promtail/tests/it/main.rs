//! Promtail's command line and configuration: what is taken, what is refused, and what comes out.

#![expect(
    clippy::unwrap_used,
    reason = "functions of tests outside of `#[test]`"
)]

mod cases;
mod clients;
mod command_line;
mod conversion;
mod environment;
mod errors;
mod files_of_targets;
mod targets;

use std::collections::HashMap;
use std::path::Path;

use tailwater_promtail::{Flags, Host, Loaded, Native, convert, load_text};
use tailwater_yaml::ConfigError;

/// A client, for configurations that are about something else.
const CLIENT: &str = "clients: [{ url: \"http://loki:3100/loki/api/v1/push\" }]\n";

fn flags(arguments: &[&str]) -> Flags {
    Flags::parse(arguments.iter().copied()).unwrap()
}

fn host() -> Host {
    let variables = [
        ("BLOCK", "positions:\n  filename: /p.yaml"),
        ("HOSTNAME", "web-1"),
        ("LOKI_URL", "http://hunter2:3100"),
        ("JOB", "hunter2-job"),
    ];
    let variables = variables.map(|(name, value)| (name.to_owned(), value.to_owned()));
    Host {
        variables: HashMap::from(variables),
        name: "kernel-name".to_owned(),
        glob_check: None,
    }
}

fn read(text: &str, arguments: &[&str]) -> Result<Loaded, ConfigError> {
    load_text(
        text,
        Some(Path::new("promtail.yaml")),
        &flags(arguments),
        &host(),
    )
}

/// Reads a configuration that has a client already.
#[track_caller]
fn loaded(text: &str) -> Loaded {
    read(&format!("{CLIENT}{text}"), &[]).unwrap_or_else(|error| panic!("{error}"))
}

#[track_caller]
fn native(text: &str, arguments: &[&str]) -> Native {
    let loaded = read(text, arguments).unwrap_or_else(|error| panic!("{error}"));
    convert(&loaded, &loaded.targets())
}

/// Returns the errors of a configuration, and asserts that they hold no secret.
#[track_caller]
fn errors(text: &str, arguments: &[&str]) -> String {
    let error = read(text, arguments).unwrap_err();
    let text = format!("{error}\n{}", error.hint);
    assert!(!text.contains("hunter2"), "a secret is shown: {text}");
    text
}

/// Asserts that the errors hold every one of these parts.
#[track_caller]
fn refused(text: &str, parts: &[&str]) {
    let errors = errors(text, &[]);
    for part in parts {
        assert!(errors.contains(part), "`{part}` is not in\n{errors}");
    }
}
