//! One rule: checked once, then applied to each target.

use md5::{Digest as _, Md5};
use regex::{Captures, Regex, RegexBuilder};

use super::Labels;
use crate::model::RelabelConfig;

/// Bytes of a compiled expression.
const MAX_PROGRAM_BYTES: usize = 4 << 20;

/// What a rule does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Action {
    Replace,
    Keep,
    Drop,
    KeepEqual,
    DropEqual,
    HashMod,
    LabelMap,
    LabelDrop,
    LabelKeep,
    Lowercase,
    Uppercase,
}

const ACTIONS: &[(&str, Action)] = &[
    ("replace", Action::Replace),
    ("keep", Action::Keep),
    ("drop", Action::Drop),
    ("keepequal", Action::KeepEqual),
    ("dropequal", Action::DropEqual),
    ("hashmod", Action::HashMod),
    ("labelmap", Action::LabelMap),
    ("labeldrop", Action::LabelDrop),
    ("labelkeep", Action::LabelKeep),
    ("lowercase", Action::Lowercase),
    ("uppercase", Action::Uppercase),
];

/// A rule that was checked.
#[derive(Clone, Debug)]
pub(crate) struct Rule {
    action: Action,
    source_labels: Vec<String>,
    separator: String,
    regex: Regex,
    modulus: u64,
    target_label: String,
    replacement: String,
}

/// Why a rule cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct BadRule {
    /// The key of the rule that is wrong.
    pub(crate) key: &'static str,
    pub(crate) message: String,
    pub(crate) help: &'static str,
    /// The words that may stand there, if it is one of a few.
    pub(crate) valid: Vec<&'static str>,
}

impl BadRule {
    fn new(key: &'static str, message: impl Into<String>, help: &'static str) -> Self {
        Self {
            key,
            message: message.into(),
            help,
            valid: Vec::new(),
        }
    }
}

/// Checks a rule.
pub(crate) fn compile(raw: &RelabelConfig) -> Result<Rule, BadRule> {
    let action = action_of(raw)?;
    check_keys(raw, action)?;
    Ok(Rule {
        action,
        source_labels: raw.source_labels.clone(),
        separator: raw.separator.clone().unwrap_or_else(|| ";".to_owned()),
        regex: regex_of(raw.regex.as_deref().unwrap_or("(.*)"))?,
        modulus: raw.modulus.unwrap_or(0),
        target_label: raw.target_label.clone().unwrap_or_default(),
        replacement: raw.replacement.clone().unwrap_or_else(|| "$1".to_owned()),
    })
}

fn action_of(raw: &RelabelConfig) -> Result<Action, BadRule> {
    let written = raw.action.as_deref().unwrap_or("replace");
    let known = written.to_ascii_lowercase();
    let found = ACTIONS.iter().find(|(name, _)| *name == known);
    found.map(|(_, action)| *action).ok_or_else(|| {
        let bad = BadRule::new("action", "there is no such action of relabeling", "");
        BadRule {
            valid: ACTIONS.iter().map(|(name, _)| *name).collect(),
            ..bad
        }
    })
}

/// The whole value must match, and `.` takes newlines too.
fn regex_of(written: &str) -> Result<Regex, BadRule> {
    let expression = format!("^(?s:{})$", tailwater_stages::go_regex(written));
    let built = RegexBuilder::new(&expression)
        .size_limit(MAX_PROGRAM_BYTES)
        .build();
    built.map_err(|error| {
        let text = error.to_string();
        let last = text.lines().last().unwrap_or_default().trim();
        let reason = last.strip_prefix("error: ").unwrap_or(last);
        let message = format!("this is not a regular expression: {reason}");
        let help = "write it in RE2 syntax, which has neither look-around nor back-references";
        BadRule::new("regex", message, help)
    })
}

/// Which keys an action needs, and which it cannot have. Source: Prometheus, `relabel.Config.Validate`.
fn check_keys(raw: &RelabelConfig, action: Action) -> Result<(), BadRule> {
    if let Some(bad) = wrong_key(raw, action) {
        return Err(bad);
    }
    let target = raw.target_label.as_deref().unwrap_or_default();
    match action {
        Action::Replace => needs_template(target),
        Action::HashMod
        | Action::Lowercase
        | Action::Uppercase
        | Action::KeepEqual
        | Action::DropEqual => needs_name(target),
        Action::Keep | Action::Drop | Action::LabelMap | Action::LabelDrop | Action::LabelKeep => {
            Ok(())
        }
    }
}

/// Returns what is wrong with the keys beside `target_label`.
fn wrong_key(raw: &RelabelConfig, action: Action) -> Option<BadRule> {
    let is_other = |text: &Option<String>, default| text.as_deref().is_some_and(|it| it != default);
    let has_replacement = is_other(&raw.replacement, "$1");
    let modulus = raw.modulus.unwrap_or(0);
    let has_more = has_replacement || is_other(&raw.separator, ";") || modulus > 0;
    let (is_wrong, bad) = match action {
        Action::Keep | Action::Drop | Action::Replace => return None,
        Action::HashMod => (
            modulus == 0,
            BadRule::new(
                "modulus",
                "`hashmod` needs a `modulus` that is not 0",
                "say how many parts there are: `modulus: 4`",
            ),
        ),
        Action::Lowercase | Action::Uppercase => (
            has_replacement,
            BadRule::new(
                "replacement",
                "`lowercase` and `uppercase` take no `replacement`",
                "remove it",
            ),
        ),
        Action::KeepEqual | Action::DropEqual => (
            has_more || is_other(&raw.regex, "(.*)"),
            BadRule::new(
                "action",
                "`keepequal` and `dropequal` take only `source_labels` and `target_label`",
                "remove the other keys",
            ),
        ),
        Action::LabelMap => (
            !is_template(raw.replacement.as_deref().unwrap_or("$1")),
            BadRule::new(
                "replacement",
                "the `replacement` of `labelmap` makes no name of a label",
                "use letters, digits, `_` and groups like `${1}`",
            ),
        ),
        Action::LabelDrop | Action::LabelKeep => (
            has_more || !raw.source_labels.is_empty() || is_other(&raw.target_label, ""),
            BadRule::new(
                "action",
                "`labeldrop` and `labelkeep` take only `regex`, which is matched with names",
                "remove the other keys",
            ),
        ),
    };
    is_wrong.then_some(bad)
}

fn needs_target(target: &str) -> Result<(), BadRule> {
    if target.is_empty() {
        let help = "name the label that is set: `target_label: host`";
        return Err(BadRule::new(
            "target_label",
            "this action needs a `target_label`",
            help,
        ));
    }
    Ok(())
}

fn needs_template(target: &str) -> Result<(), BadRule> {
    needs_target(target)?;
    if is_template(target) {
        return Ok(());
    }
    let help = "use letters, digits, `_` and groups like `${1}`";
    Err(BadRule::new(
        "target_label",
        "this is not the name of a label",
        help,
    ))
}

fn needs_name(target: &str) -> Result<(), BadRule> {
    needs_target(target)?;
    if is_label_name(target) {
        return Ok(());
    }
    let help = "use letters, digits and `_`, not starting with a digit";
    Err(BadRule::new(
        "target_label",
        "this is not the name of a label",
        help,
    ))
}

/// Returns whether a text is the name of a label.
pub(crate) fn is_label_name(name: &str) -> bool {
    let is_letter = |byte: u8| byte.is_ascii_alphabetic() || byte == b'_';
    name.bytes().next().is_some_and(is_letter)
        && name
            .bytes()
            .all(|byte| is_letter(byte) || byte.is_ascii_digit())
}

/// Returns whether a text is the name of a label with groups in it, `${1}` or `$1`.
fn is_template(text: &str) -> bool {
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('$') {
        plain.push_str(before);
        let is_word = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
        let (name, after) = if let Some(braced) = after.strip_prefix('{') {
            let Some(parts) = braced.split_once('}') else {
                return false;
            };
            parts
        } else {
            let len = after.find(|letter| !is_word(letter)).unwrap_or(after.len());
            after.split_at_checked(len).unwrap_or((after, ""))
        };
        if name.is_empty() || !name.chars().all(is_word) {
            return false;
        }
        plain.push('_');
        rest = after;
    }
    plain.push_str(rest);
    is_label_name(&plain)
}

impl Rule {
    /// Applies the rule; returns whether the target stays.
    pub(super) fn apply(&self, labels: &mut Labels) -> bool {
        let values = self.source_labels.iter();
        let values: Vec<&str> = values
            .map(|name| labels.get(name).map_or("", String::as_str))
            .collect();
        let value = values.join(&self.separator);
        match self.action {
            Action::Drop => return !self.regex.is_match(&value),
            Action::Keep => return self.regex.is_match(&value),
            Action::DropEqual => return self.target_value(labels) != value,
            Action::KeepEqual => return self.target_value(labels) == value,
            Action::Replace => self.replace(&value, labels),
            Action::Lowercase => self.set(labels, value.to_lowercase()),
            Action::Uppercase => self.set(labels, value.to_uppercase()),
            Action::HashMod => {
                let part = hash(&value).checked_rem(self.modulus).unwrap_or(0);
                self.set(labels, part.to_string());
            }
            Action::LabelMap => self.map_names(labels),
            Action::LabelDrop => labels.retain(|name, _| !self.regex.is_match(name)),
            Action::LabelKeep => labels.retain(|name, _| self.regex.is_match(name)),
        }
        true
    }

    fn target_value<'l>(&self, labels: &'l Labels) -> &'l str {
        labels.get(&self.target_label).map_or("", String::as_str)
    }

    fn set(&self, labels: &mut Labels, value: String) {
        put(labels, self.target_label.clone(), value);
    }

    fn replace(&self, value: &str, labels: &mut Labels) {
        let Some(groups) = self.regex.captures(value) else {
            return;
        };
        let target = filled(&groups, &self.target_label);
        if is_label_name(&target) {
            put(labels, target, filled(&groups, &self.replacement));
        }
    }

    fn map_names(&self, labels: &mut Labels) {
        let mapped = labels.iter().filter_map(|(name, value)| {
            let groups = self.regex.captures(name)?;
            Some((filled(&groups, &self.replacement), value.clone()))
        });
        let mapped: Vec<(String, String)> = mapped.collect();
        for (name, value) in mapped {
            put(labels, name, value);
        }
    }
}

fn filled(groups: &Captures<'_>, template: &str) -> String {
    let mut out = String::new();
    groups.expand(template, &mut out);
    out
}

/// Sets a label; nothing as a value takes it away.
fn put(labels: &mut Labels, name: String, value: String) {
    if value.is_empty() {
        labels.remove(&name);
    } else {
        labels.insert(name, value);
    }
}

/// The last 8 bytes of the MD5 sum, big-endian. Source: Prometheus, `relabel.sum64`.
fn hash(value: &str) -> u64 {
    let sum: [u8; 16] = Md5::digest(value.as_bytes()).into();
    let bytes = sum.last_chunk::<8>().copied().unwrap_or_default();
    u64::from_be_bytes(bytes)
}
