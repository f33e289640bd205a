//! Splits a template into text and tokens.

use crate::go::quoted;

/// A mistake, and where it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Mistake {
    pub(super) what: String,
    pub(super) hint: &'static str,
    /// Bytes from the start, the first one being 1.
    pub(super) column: usize,
}

const SYNTAX_HINT: &str =
    "the subset is: fields, variables, texts, numbers, calls, pipes, parentheses, `if` and `with`";

impl Mistake {
    pub(super) fn syntax(what: impl Into<String>, column: usize) -> Self {
        Self {
            what: what.into(),
            hint: SYNTAX_HINT,
            column,
        }
    }
}

/// Text, or the tokens between two braces.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Piece {
    Text(String),
    Action {
        tokens: Vec<(Token, usize)>,
        column: usize,
    },
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Token {
    /// A name without a point before it.
    Word(String),
    /// `.name`
    Field(String),
    /// `.`
    Point,
    /// `$name`; `$` alone has an empty name.
    Variable(String),
    /// `:=`
    Declare,
    /// `=`
    Assign,
    Text(String),
    Int(i64),
    Float(f64),
    Open,
    Close,
    Pipe,
}

/// Splits a template into its pieces.
pub(super) fn split(template: &str) -> Result<Vec<Piece>, Mistake> {
    let mut pieces = Vec::new();
    let mut rest = template;
    let mut trims_next = false;
    let column_of = |rest: &str| template.len() - rest.len() + 1;
    loop {
        let (text, action) = rest
            .split_once("{{")
            .map_or((rest, None), |(a, b)| (a, Some(b)));
        let trims_text_end = action.is_some_and(starts_with_trim);
        let mut text = if trims_next { text.trim_start() } else { text };
        if trims_text_end {
            text = text.trim_end();
        }
        if !text.is_empty() {
            pieces.push(Piece::Text(text.to_owned()));
        }
        let Some(action) = action else {
            return Ok(pieces);
        };
        let column = column_of(action);
        let action = if trims_text_end {
            action.get(1..).unwrap_or_default()
        } else {
            action
        };
        let (tokens, after, trims) = tokens(action, template)?;
        // A comment has none.
        if let Some(tokens) = tokens {
            pieces.push(Piece::Action { tokens, column });
        }
        (rest, trims_next) = (after, trims);
    }
}

fn starts_with_trim(action: &str) -> bool {
    let mut chars = action.chars();
    chars.next() == Some('-') && chars.next().is_some_and(char::is_whitespace)
}

type Tokens<'t> = (Option<Vec<(Token, usize)>>, &'t str, bool);

/// Reads up to the closing braces: tokens, what follows, and whether space is trimmed there.
fn tokens<'t>(action: &'t str, template: &str) -> Result<Tokens<'t>, Mistake> {
    let column_of = |rest: &str| template.len() - rest.len() + 1;
    if let Some(comment) = action.trim_start().strip_prefix("/*") {
        let Some((_, after)) = comment.split_once("*/") else {
            return Err(Mistake::syntax(
                "a comment without its end",
                column_of(action),
            ));
        };
        return match closing(after) {
            Some((after, trims)) => Ok((None, after, trims)),
            None => Err(Mistake::syntax(
                "`}}` is missing after a comment",
                column_of(after),
            )),
        };
    }
    let mut tokens = Vec::new();
    let mut rest = action;
    loop {
        if let Some((after, trims)) = closing(rest) {
            return Ok((Some(tokens), after, trims));
        }
        rest = rest.trim_start();
        let column = column_of(rest);
        if rest.is_empty() {
            return Err(Mistake::syntax("`}}` is missing", column));
        }
        let (token, after) = token(rest)
            .ok_or_else(|| Mistake::syntax(format!("`{}`", first_word(rest)), column))?;
        tokens.push((token, column));
        rest = after;
    }
}

/// The closing braces at the start, if they stand there.
fn closing(rest: &str) -> Option<(&str, bool)> {
    let trimmed = rest.trim_start();
    if let Some(after) = trimmed.strip_prefix("}}") {
        return Some((after, false));
    }
    let has_space = trimmed.len() < rest.len();
    let after = trimmed.strip_prefix("-}}")?;
    has_space.then_some((after, true))
}

fn first_word(rest: &str) -> &str {
    let end = rest.find(char::is_whitespace).unwrap_or(rest.len());
    rest.get(..end.min(20)).unwrap_or(rest)
}

/// Reads the token at the start.
fn token(rest: &str) -> Option<(Token, &str)> {
    let first = rest.chars().next()?;
    let after = rest.get(first.len_utf8()..)?;
    match first {
        '(' => Some((Token::Open, after)),
        ')' => Some((Token::Close, after)),
        '|' => Some((Token::Pipe, after)),
        '=' => Some((Token::Assign, after)),
        ':' => Some((Token::Declare, after.strip_prefix('=')?)),
        '$' => {
            let (name, after) = name(after);
            Some((Token::Variable(name), after))
        }
        '"' | '`' => {
            let (text, after) = quoted::read(rest)?;
            Some((Token::Text(text), after))
        }
        '.' if !starts_name(after) => Some((Token::Point, after)),
        '.' => {
            let (name, after) = name(after);
            Some((Token::Field(name), after))
        }
        '0'..='9' | '+' | '-' => number(rest),
        _ if starts_name(rest) => {
            let (name, after) = name(rest);
            Some((Token::Word(name), after))
        }
        _ => None,
    }
}

fn starts_name(text: &str) -> bool {
    text.chars()
        .next()
        .is_some_and(|c| c == '_' || c.is_alphabetic())
}

fn name(text: &str) -> (String, &str) {
    let end = text
        .find(|c: char| c != '_' && !c.is_alphanumeric())
        .unwrap_or(text.len());
    let (name, after) = text.split_at_checked(end).unwrap_or((text, ""));
    (name.to_owned(), after)
}

fn number(text: &str) -> Option<(Token, &str)> {
    let end = text
        .find(|c: char| !c.is_ascii_alphanumeric() && !matches!(c, '+' | '-' | '.'))
        .unwrap_or(text.len());
    let (digits, after) = text.split_at_checked(end)?;
    let number = digits.parse().map(Token::Int);
    let number = number.or_else(|_| digits.parse().map(Token::Float)).ok()?;
    Some((number, after))
}
