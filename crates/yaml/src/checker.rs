//! Collecting what is wrong, with its place.

use crate::diagnostic::Diagnostic;
use crate::hidden::Hidden;
use crate::nearest::nearest;
use crate::shape::{Fault, ShapeError};
use crate::tree::{KeyPath, Node, NodeKind, Part, Place, Step};

/// What a configuration knows of its keys beside their types.
#[derive(Clone, Copy, Debug)]
pub struct Guide {
    /// Returns how the key at a path is written, if that is known.
    pub example: fn(&KeyPath) -> Option<&'static str>,
    /// Returns what is to be said about a key that is not known, where it is known from elsewhere.
    pub not_here: fn(&KeyPath) -> Option<&'static str>,
}

/// Collects errors, so that one run shows all of them.
#[derive(Debug)]
pub struct Checker<'a> {
    tree: &'a Node,
    hidden: &'a Hidden,
    guide: Guide,
    found: Vec<Diagnostic>,
}

impl<'a> Checker<'a> {
    /// Starts with nothing found; `hidden` is what no error may show.
    pub fn new(tree: &'a Node, hidden: &'a Hidden, guide: Guide) -> Self {
        Self {
            tree,
            hidden,
            guide,
            found: Vec::new(),
        }
    }

    /// Returns what was found, in no order.
    pub fn into_found(self) -> Vec<Diagnostic> {
        self.found
    }

    /// Adds an error about the value at `path`.
    pub fn fail(&mut self, path: &KeyPath, message: impl Into<String>, help: impl Into<String>) {
        let diagnostic = Diagnostic::new(message, self.tree.place_of(path, Part::Value));
        self.found
            .push(diagnostic.note(help).example((self.guide.example)(path)));
    }

    /// Adds an error about the key at `path`.
    pub fn fail_key(
        &mut self,
        path: &KeyPath,
        message: impl Into<String>,
        help: impl Into<String>,
    ) {
        let place = self.tree.place_of(path, Part::Key);
        self.found.push(Diagnostic::new(message, place).note(help));
    }

    /// Adds an error about the value at `path` that should be one of a few words.
    pub fn fail_word(&mut self, path: &KeyPath, message: impl Into<String>, valid: &[&str]) {
        let written = self.written(path).unwrap_or_default();
        let diagnostic = Diagnostic::new(message, self.tree.place_of(path, Part::Value));
        self.found
            .push(suggest(diagnostic, &written, valid).valid(valid));
    }

    /// Returns the value at `path` as the file has it, its variables not expanded.
    pub fn written(&self, path: &KeyPath) -> Option<String> {
        match &self.tree.at(path)?.kind {
            NodeKind::Scalar(scalar) => Some(scalar.written.clone()),
            NodeKind::Null | NodeKind::List(_) | NodeKind::Map(_) => None,
        }
    }

    /// Takes the values of variables out of a text that somebody else made.
    pub fn without_variables(&self, text: &str) -> String {
        self.hidden.hide(text)
    }

    /// Adds an error about the settings of a sink, in the sink's own words.
    pub fn fail_settings(&mut self, path: &KeyPath, reason: &str) {
        let reason = self.hidden.hide(reason);
        let message = format!("`{path}` cannot be used: {reason}");
        let diagnostic = Diagnostic::new(message, self.tree.place_of(path, Part::Value));
        self.found
            .push(diagnostic.example((self.guide.example)(path)));
    }

    /// Adds an error of the shape.
    pub fn fail_shape(&mut self, error: &ShapeError) {
        let path = error.path();
        let place = self.tree.place_of(&path, error.part);
        self.found.push(match &error.fault {
            Fault::UnknownKey { name, valid } => unknown_key(self.guide, &path, name, valid, place),
            Fault::UnknownWord { valid } => {
                let written = match (error.part, path.0.last()) {
                    (Part::Key, Some(Step::Key(name))) => name.clone(),
                    _ => self.written(&path).unwrap_or_default(),
                };
                let diagnostic =
                    Diagnostic::new(format!("`{path}` is not one of the words it may be"), place);
                suggest(diagnostic, &written, valid).valid(valid)
            }
            Fault::WrongKind { found, expected } => Diagnostic::new(
                format!("{} has the wrong kind of value", subject(&path)),
                place,
            )
            .label(format!("expected {expected}, found {found}"))
            .example((self.guide.example)(&path)),
            Fault::BadValue { expected } => {
                Diagnostic::new(format!("`{path}` has a value that is not possible"), place)
                    .label(format!("expected {expected}"))
                    .example((self.guide.example)(&path))
            }
            Fault::MissingKey { name } => {
                Diagnostic::new(format!("`{path}` needs a key `{name}`"), place)
                    .label(format!("`{name}` is missing here"))
                    .example((self.guide.example)(&path.key(name)))
            }
            Fault::Other(reason) => {
                let reason = self.hidden.hide(reason);
                Diagnostic::new(format!("`{path}`: {reason}"), place)
                    .example((self.guide.example)(&path))
            }
            Fault::BadVariable => {
                Diagnostic::new(format!("`{path}` cannot be what the variable holds"), place)
                    .label("what it holds is not shown")
                    .example((self.guide.example)(&path))
            }
        });
    }
}

fn subject(path: &KeyPath) -> String {
    if path.0.is_empty() {
        "the configuration".to_owned()
    } else {
        format!("`{path}`")
    }
}

fn unknown_key(
    guide: Guide,
    path: &KeyPath,
    name: &str,
    valid: &[&str],
    place: Option<Place>,
) -> Diagnostic {
    let mut parent = path.clone();
    parent.0.pop();
    let message = match parent.to_string().as_str() {
        "" => format!("unknown key `{name}`"),
        above => format!("unknown key `{name}` in `{above}`"),
    };
    let diagnostic = Diagnostic::new(message, place);
    if let Some(what) = (guide.not_here)(path) {
        return diagnostic.note(what).valid(valid);
    }
    let meant = nearest(name, valid);
    let example = meant.and_then(|meant| (guide.example)(&parent.key(meant)));
    suggest(diagnostic, name, valid)
        .valid(valid)
        .example(example.or_else(|| (guide.example)(&parent)))
}

fn suggest(diagnostic: Diagnostic, written: &str, valid: &[&str]) -> Diagnostic {
    match nearest(written, valid) {
        Some(nearest) => diagnostic.label(format!("did you mean `{nearest}`?")),
        None => diagnostic,
    }
}
