//! What the lines of well-known programs look like, as data.
//!
//! A preset is a YAML text of four keys:
//!
//! | key | is |
//! |---|---|
//! | `summary` | what writes such lines, in one line |
//! | `paths` | globs of where such a file usually stands; may be empty |
//! | `begins` | an expression in RE2 syntax that the first lines of its entries match, and those of others do not |
//! | `stages` | stages in the native form; the last key of the text |
//!
//! This crate holds the texts and reads none of them: who uses one knows stages. `samples/NAME` has lines of
//! each, and what becomes of them; a test compares.
//!
//! # Invariants
//! - A line that fits nothing stays as it is, with the time at which it was read. It belongs to the entry
//!   before it where entries have several lines.
//! - A time without a zone is one of the host's.

/// The lines of one program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Preset {
    /// What configurations call it: lower-case letters, digits and `_`.
    pub name: &'static str,
    /// What writes such lines, in one line.
    pub summary: &'static str,
    /// All of it, as YAML.
    pub text: &'static str,
}

macro_rules! presets {
    ($($name:literal,)*) => {
        &[$(preset($name, include_str!(concat!("../data/", $name, ".yaml"))),)*]
    };
}

/// The more specific one stands before those that could fit its lines as well.
const ALL: &[Preset] = presets![
    "docker",
    "cri",
    "nginx_access",
    "nginx_error",
    "mysql_error",
    "mysql_slow",
    "postgresql",
    "apache_combined",
    "apache_error",
    "wordpress_debug",
    "php_fpm_slow",
    "php_fpm",
    "odoo",
    "redis",
    "auth",
    "syslog",
    "json_zap",
    "json_logback",
    "json_bunyan",
    "json_pino",
    "json",
    "python",
    "ruby",
    "go",
    "java",
    "logfmt",
];

/// The key that a text begins with.
const SUMMARY: &str = "summary: ";

/// Cuts the summary out; a text that does not begin with one is not compiled.
const fn preset(name: &'static str, text: &'static str) -> Preset {
    let mut end = SUMMARY.len();
    let mut rest = text.as_bytes().split_at(end).1;
    while let [byte, behind @ ..] = rest
        && *byte != b'\n'
    {
        rest = behind;
        end += 1;
    }
    let (_, summary) = text.split_at(end).0.split_at(SUMMARY.len());
    Preset {
        name,
        summary,
        text,
    }
}

/// Returns all presets; the more specific one stands before those that could fit its lines as well.
pub const fn all() -> &'static [Preset] {
    ALL
}

/// Returns the preset of a name.
pub fn find(name: &str) -> Option<&'static Preset> {
    ALL.iter().find(|preset| preset.name == name)
}
