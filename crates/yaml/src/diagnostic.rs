//! Errors of the configuration, as an operator reads them.

use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};

use crate::mask::{self, Shown};
use crate::tree::Place;

/// Errors that are shown at once; the rest is counted.
const MAX_SHOWN: usize = 20;

/// What is wrong with a configuration, and where: one text for all errors, without colour, with the
/// lines they are about. Holds no secret and no value of a variable.
#[derive(Debug, thiserror::Error)]
#[error("{text}")]
pub struct ConfigError {
    text: String,
    /// What to do.
    pub hint: String,
}

impl ConfigError {
    /// An error of the whole file, and what to do.
    pub fn new(name: &str, what: &str, hint: &str) -> Self {
        Self {
            text: format!("{name}: {what}"),
            hint: hint.to_owned(),
        }
    }

    /// The errors of a text, of which there is at least one; `hint` says what to do then.
    pub fn of(name: &str, source: &str, mut diagnostics: Vec<Diagnostic>, hint: &str) -> Self {
        diagnostics
            .sort_by_key(|diagnostic| diagnostic.place.map(|place| (place.line, place.column)));
        let count = diagnostics.len();
        let mut shown: Vec<String> = diagnostics
            .iter()
            .take(MAX_SHOWN)
            .map(|diagnostic| diagnostic.render(name, source))
            .collect();
        if count > MAX_SHOWN {
            shown.push(format!("… and {} more", count - MAX_SHOWN));
        }
        let what = match count {
            1 => "invalid configuration".to_owned(),
            _ => format!("invalid configuration, {count} errors"),
        };
        Self {
            text: format!("{what}\n\n{}", shown.join("\n\n")),
            hint: hint.to_owned(),
        }
    }
}

/// One error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    message: String,
    place: Option<Place>,
    label: Option<String>,
    /// Name and text.
    notes: Vec<(&'static str, String)>,
}

impl Diagnostic {
    /// An error at a place; `None` for the whole text.
    pub fn new(message: impl Into<String>, place: Option<Place>) -> Self {
        Self {
            message: message.into(),
            place: place.filter(|place| place.line > 0),
            label: None,
            notes: Vec::new(),
        }
    }

    /// Adds what stands beside the marked place.
    #[must_use]
    pub fn label(mut self, label: impl Into<String>) -> Self {
        self.label = Some(label.into());
        self
    }

    /// Adds what to do.
    #[must_use]
    pub fn note(mut self, note: impl Into<String>) -> Self {
        self.notes.push(("help", note.into()));
        self
    }

    /// Adds the keys or words that are valid at the place.
    #[must_use]
    pub fn valid(mut self, valid: &[&str]) -> Self {
        if !valid.is_empty() {
            self.notes.push(("valid here", valid.join(", ")));
        }
        self
    }

    /// Adds how it is written, if that is known.
    #[must_use]
    pub fn example(mut self, example: Option<&str>) -> Self {
        self.notes
            .extend(example.map(|example| ("example", example.to_owned())));
        self
    }

    fn render(&self, name: &str, source: &str) -> String {
        let title = match self.place {
            Some(place) => format!("{name}:{}:{}: {}", place.line, place.column, self.message),
            None => format!("{name}: {}", self.message),
        };
        let shown = self
            .place
            .and_then(|place| Some((place, mask::show(source, place.line.saturating_sub(1))?)));
        let mut group = Group::with_title(Level::ERROR.no_name().primary_title(title));
        if let Some((place, shown)) = &shown {
            group = group.element(self.excerpt(*place, shown, source));
        }
        if let (None, Some(label)) = (&shown, &self.label) {
            group = group.element(Level::NOTE.with_name("help").message(label));
        }
        let notes = self
            .notes
            .iter()
            .map(|(name, text)| Level::NOTE.with_name(*name).message(text));
        group = group.elements(notes);
        let text = Renderer::plain().render(&[group]);
        let lines: Vec<&str> = text.lines().map(str::trim_end).collect();
        lines.join("\n")
    }

    fn excerpt<'a>(
        &'a self,
        place: Place,
        shown: &'a Shown,
        source: &str,
    ) -> Snippet<'a, annotate_snippets::Annotation<'a>> {
        let original = source
            .lines()
            .nth(place.line.saturating_sub(1))
            .unwrap_or_default();
        let byte_of = |column: usize| {
            original
                .char_indices()
                .nth(column)
                .map_or(original.len(), |(byte, _)| byte)
        };
        let first = place.column.saturating_sub(1);
        let start = shown.position_of(byte_of(first));
        let end = shown
            .position_of(byte_of(first.saturating_add(place.width.max(1))))
            .max(start);
        let mark = AnnotationKind::Primary
            .span(start..end)
            .label(self.label.as_deref());
        Snippet::source(shown.line.as_str())
            .line_start(place.line)
            .annotation(mark)
    }
}
