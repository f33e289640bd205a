//! Errors of the configuration, as an operator reads them.

use std::fmt::Write as _;

/// Keys whose values are never shown.
const SECRET_WORDS: [&str; 6] = [
    "password",
    "token",
    "secret",
    "key",
    "authorization",
    "proxy_url",
];

/// What is wrong with a configuration, and where.
#[derive(Debug, thiserror::Error)]
#[error("{text}")]
pub struct ConfigError {
    text: String,
    /// What to do.
    pub hint: String,
}

impl ConfigError {
    /// An error of the whole file.
    pub(crate) fn new(name: &str, what: &str, hint: &str) -> Self {
        Self {
            text: format!("{name}: {what}"),
            hint: hint.to_owned(),
        }
    }

    /// An error at a place: its line is shown, and the column marked.
    pub(crate) fn at(
        name: &str,
        source: &str,
        place: serde_saphyr::Location,
        what: &str,
        hint: &str,
    ) -> Self {
        let (line, column) = (place.line(), place.column());
        if line == 0 {
            return Self::new(name, what, hint);
        }
        let mut text = format!("{name}:{line}:{column}: {what}");
        let index = usize::try_from(line)
            .unwrap_or(usize::MAX)
            .saturating_sub(1);
        if let Some(shown) = source.lines().nth(index) {
            let gutter = line.to_string();
            let blank = " ".repeat(gutter.len());
            let before = " ".repeat(usize::try_from(column).unwrap_or(1).saturating_sub(1));
            // Writing to a string cannot fail.
            write!(
                text,
                "\n{blank} |\n{gutter} | {}\n{blank} | {before}^",
                mask(shown)
            )
            .ok();
        }
        Self {
            text,
            hint: hint.to_owned(),
        }
    }

    /// Joins several errors into one.
    pub(crate) fn join(errors: Vec<Self>) -> Option<Self> {
        let mut errors = errors.into_iter();
        let first = errors.next()?;
        Some(errors.fold(first, |all, error| Self {
            text: format!("{}\nhint: {}\n\n{}", all.text, all.hint, error.text),
            hint: error.hint,
        }))
    }
}

/// Hides the value of a line whose key may hold a secret.
fn mask(line: &str) -> String {
    let lower = line.to_lowercase();
    let is_secret = SECRET_WORDS.iter().any(|word| lower.contains(word));
    match line.split_once(':') {
        Some((key, value)) if is_secret && !value.trim().is_empty() => format!("{key}: ********"),
        _ => line.to_owned(),
    }
}

/// Puts an error of the YAML reader into our words, with the nearest valid key.
pub(crate) fn of_yaml(name: &str, source: &str, error: &serde_saphyr::Error) -> ConfigError {
    let plain = error.without_snippet();
    let message = plain.to_string();
    let what = message.lines().next().unwrap_or_default();
    let what = what
        .split(" at line ")
        .next()
        .unwrap_or(what)
        .trim_start_matches("error: ");
    let mut quoted: Vec<&str> = what.split('`').skip(1).step_by(2).collect();
    if let Some((_, valid)) = what.split_once("expected one of ") {
        quoted.truncate(1);
        quoted.extend(valid.split(", ").map(|key| key.trim().trim_matches('`')));
    }
    let what = what.split(", expected one of ").next().unwrap_or(what);
    let hint = match quoted.split_first() {
        Some((unknown, valid))
            if message.contains("unknown field") || message.contains("unknown variant") =>
        {
            hint_for(unknown, valid)
        }
        _ if message.contains("missing field") => {
            format!(
                "add `{}`; every key is in the README and in `examples/`",
                quoted.first().unwrap_or(&"")
            )
        }
        _ => "see `examples/` for how it is written; `${NAME:-default}` stands for a variable"
            .to_owned(),
    };
    match error.location() {
        Some(place) => ConfigError::at(name, source, place, what, &hint),
        None => ConfigError::new(name, what, &hint),
    }
}

fn hint_for(unknown: &str, valid: &[&str]) -> String {
    let nearest = valid.iter().min_by_key(|valid| distance(unknown, valid));
    let mut hint = String::new();
    if let Some(nearest) =
        nearest.filter(|nearest| distance(unknown, nearest) <= 1 + nearest.len() / 3)
    {
        write!(hint, "did you mean `{nearest}`? ").ok();
        if let Some((_, example)) = EXAMPLES.iter().find(|(key, _)| **key == **nearest) {
            write!(hint, "It is written like `{example}`. ").ok();
        }
    }
    if !valid.is_empty() {
        write!(hint, "Valid here: {}", valid.join(", ")).ok();
    }
    hint
}

/// How keys are written, for those that are mistaken most.
const EXAMPLES: [(&str, &str); 16] = [
    (
        "sources",
        "sources: { nginx: { include: [\"/var/log/nginx/*.log\"] } }",
    ),
    (
        "sinks",
        "sinks: { central: { loki: { url: \"http://loki:3100\" } } }",
    ),
    ("include", "include: [\"/var/log/nginx/*.log\"]"),
    ("exclude", "exclude: [\"/var/log/nginx/debug*.log\"]"),
    ("labels", "labels: { job: nginx }"),
    ("loki", "loki: { url: \"http://loki:3100\" }"),
    ("file", "file: { path: /var/lib/tailwater/lines.ndjson }"),
    ("batch", "batch: { max_bytes: 1MiB, max_wait: 1s }"),
    ("max_wait", "max_wait: 1s"),
    ("max_bytes", "max_bytes: 1MiB"),
    ("server", "server: { listen: \"127.0.0.1:9080\" }"),
    ("data_dir", "data_dir: /var/lib/tailwater"),
    ("read_from", "read_from: end"),
    ("when_full", "when_full: block"),
    ("tenant", "tenant: shop"),
    ("url", "url: \"http://loki:3100/loki/api/v1/push\""),
];

/// Returns how many letters must change to make one word of the other.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, a) in a.chars().enumerate() {
        let mut diagonal = i;
        let mut left = i + 1;
        if let Some(first) = row.first_mut() {
            *first = left;
        }
        for (b, cell) in b.iter().zip(row.iter_mut().skip(1)) {
            let cost = diagonal + usize::from(a != *b);
            diagonal = *cell;
            left = cost.min(left + 1).min(diagonal + 1);
            *cell = left;
        }
    }
    row.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_distance_of_words_counts_letters() {
        assert_eq!(distance("lables", "labels"), 2);
        assert_eq!(distance("", "abc"), 3);
        assert_eq!(distance("same", "same"), 0);
    }

    #[test]
    fn values_of_secret_keys_are_masked() {
        assert_eq!(mask("  password: hunter2"), "  password: ********");
        assert_eq!(mask("  url: http://x"), "  url: http://x");
    }
}
