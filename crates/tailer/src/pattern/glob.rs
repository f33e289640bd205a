//! One glob without alternatives: parsing it, and matching paths component by component.

use std::ffi::{OsStr, OsString};
use std::path::{self, Path, PathBuf};

use globset::{GlobBuilder, GlobMatcher};

use super::Root;

/// How many globs the alternatives of one written glob may stand for.
const MAX_ALTERNATIVES: usize = 1024;

/// A glob whose alternatives are multiplied out.
///
/// # Invariants
/// `AnyDepth` is never followed by `AnyDepth`.
#[derive(Clone, Debug)]
pub(super) struct Glob {
    components: Vec<Component>,
}

/// What one directory level, or with `AnyDepth` any number of them, has to be.
#[derive(Clone, Debug)]
enum Component {
    /// This name.
    Literal(OsString),
    /// A name that fits.
    Pattern(GlobMatcher),
    /// Any name: `*`.
    AnyName,
    /// Any number of names, none included: `**`.
    AnyDepth,
}

/// Parses a glob to the globs that its alternatives stand for.
///
/// # Errors
/// What is wrong with the glob, for its author.
pub(super) fn compile(glob: &str) -> Result<Vec<Glob>, String> {
    let tokens = tokenize(glob)?;
    multiply_out(tokens)?
        .into_iter()
        .map(|tokens| Glob::parse(&tokens))
        .collect()
}

impl Glob {
    fn parse(tokens: &[Token<'_>]) -> Result<Self, String> {
        if !matches!(tokens.first(), Some(Token::Separator)) {
            return Err(
                "it is relative: begin it with `/`, or with `/**/` for any directory".into(),
            );
        }
        if matches!(tokens.last(), Some(Token::Separator)) {
            return Err("it names a directory: add the files, as in `/var/log/*.log`".into());
        }
        let mut components = Vec::new();
        let names = tokens.split(|token| matches!(token, Token::Separator));
        for name in names.filter(|name| !name.is_empty()) {
            let component = Component::parse(name)?;
            if component.is_name(".") {
                continue;
            }
            if component.is_name("..") && !components.iter().all(Component::is_literal) {
                return Err("`..` cannot follow a wildcard".into());
            }
            let is_repeat = matches!(
                (components.last(), &component),
                (Some(Component::AnyDepth), Component::AnyDepth)
            );
            if !is_repeat {
                components.push(component);
            }
        }
        if matches!(components.last(), Some(Component::AnyDepth)) {
            // `dir/**` is what lies below `dir`, never `dir` itself.
            components.push(Component::AnyName);
        }
        if components.is_empty() {
            return Err("it names no file".into());
        }
        Ok(Self { components })
    }

    /// Returns where matching files can be.
    pub(super) fn root(&self) -> Root {
        let spelled_out = self
            .components
            .iter()
            .take_while(|c| c.is_literal())
            .count();
        let dir_levels = spelled_out.min(self.components.len().saturating_sub(1));
        let mut dir = PathBuf::from("/");
        for component in self.components.iter().take(dir_levels) {
            if let Component::Literal(name) = component {
                dir.push(name);
            }
        }
        let is_any_depth = self
            .components
            .iter()
            .any(|c| matches!(c, Component::AnyDepth));
        let levels = self.components.len().saturating_sub(dir_levels);
        Root {
            dir,
            max_depth: (!is_any_depth).then_some(levels),
        }
    }

    /// Returns the glob of a directory and everything below it, where this one stands for all files
    /// below that directory.
    pub(super) fn whole_tree(&self) -> Option<Self> {
        let (last, tree) = self.components.split_last()?;
        let is_whole = matches!(
            (tree.last()?, last),
            (Component::AnyDepth, Component::AnyName)
        );
        is_whole.then(|| Self {
            components: tree.to_vec(),
        })
    }

    /// Returns whether the absolute path is matched whole.
    ///
    /// The last `**` takes as few names as it can and one more after each mismatch; an earlier one
    /// never needs to be tried again, so this takes `names × components` steps at most.
    pub(super) fn is_match(&self, path: &Path) -> bool {
        let mut names = path.components();
        let mut wanted = self.components.as_slice();
        skip_root(&mut names);
        let mut retry = None;
        loop {
            match wanted.split_first() {
                Some((Component::AnyDepth, after)) => {
                    wanted = after;
                    retry = Some((after, names.clone()));
                    continue;
                }
                Some((component, after)) => match names.next() {
                    Some(name) if component.fits(name.as_os_str()) => {
                        wanted = after;
                        continue;
                    }
                    Some(_) => {}
                    None => return false,
                },
                None if names.clone().next().is_none() => return true,
                None => {}
            }
            let Some((after, from)) = &mut retry else {
                return false;
            };
            if from.next().is_none() {
                return false;
            }
            wanted = after;
            names = from.clone();
        }
    }

    /// Returns whether a path below the absolute directory can match.
    pub(super) fn can_match_below(&self, dir: &Path) -> bool {
        let mut names = dir.components();
        skip_root(&mut names);
        for component in &self.components {
            if matches!(component, Component::AnyDepth) {
                return true;
            }
            match names.next() {
                Some(name) if component.fits(name.as_os_str()) => {}
                Some(_) => return false,
                None => return true,
            }
        }
        false
    }
}

fn skip_root(names: &mut path::Components<'_>) {
    if names.as_path().has_root() {
        names.next();
    }
}

impl Component {
    fn parse(tokens: &[Token<'_>]) -> Result<Self, String> {
        let source: String = tokens.iter().map(Token::source).collect();
        let stars = tokens.iter().filter(|token| token.is_star()).count();
        if stars == tokens.len() && stars <= 2 {
            return Ok(if stars == 1 {
                Self::AnyName
            } else {
                Self::AnyDepth
            });
        }
        let has_double_star = tokens
            .iter()
            .zip(tokens.iter().skip(1))
            .any(|(a, b)| a.is_star() && b.is_star());
        if has_double_star {
            return Err(format!(
                "`**` stands alone between slashes: write `*` or `/**/` in `{source}`"
            ));
        }
        let literal: Option<String> = tokens.iter().map(Token::literal).collect();
        if let Some(name) = literal {
            return Ok(Self::Literal(name.into()));
        }
        let glob = GlobBuilder::new(&source)
            .literal_separator(true)
            .backslash_escape(true)
            .build();
        match glob {
            Ok(glob) => Ok(Self::Pattern(glob.compile_matcher())),
            Err(error) => Err(error.kind().to_string()),
        }
    }

    fn is_literal(&self) -> bool {
        matches!(self, Self::Literal(_))
    }

    fn is_name(&self, wanted: &str) -> bool {
        matches!(self, Self::Literal(name) if name == wanted)
    }

    fn fits(&self, name: &OsStr) -> bool {
        match self {
            Self::Literal(wanted) => wanted == name,
            Self::Pattern(pattern) => pattern.is_match(name),
            Self::AnyName | Self::AnyDepth => true,
        }
    }
}

/// A piece of a written glob.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Token<'g> {
    /// `/`
    Separator,
    /// `{`
    Open,
    /// `,`: between alternatives, or itself outside of them.
    Comma,
    /// `}`
    Close,
    /// `*`, `?` or a class, as written.
    Wildcard(&'g str),
    /// A character that stands for itself, and how it was written.
    Literal(char, &'g str),
}

impl<'g> Token<'g> {
    fn source(&self) -> &'g str {
        match self {
            Self::Separator => "/",
            Self::Open => "{",
            Self::Comma => ",",
            Self::Close => "}",
            Self::Wildcard(source) | Self::Literal(_, source) => source,
        }
    }

    fn literal(&self) -> Option<char> {
        match self {
            Self::Literal(character, _) => Some(*character),
            Self::Comma => Some(','),
            Self::Separator | Self::Open | Self::Close | Self::Wildcard(_) => None,
        }
    }

    fn is_star(&self) -> bool {
        matches!(self, Self::Wildcard("*"))
    }
}

fn tokenize(glob: &str) -> Result<Vec<Token<'_>>, String> {
    let mut tokens = Vec::new();
    let mut rest = glob;
    while let Some(first) = rest.chars().next() {
        let len = match first {
            '[' => class_len(rest)?,
            '\\' => match rest.chars().nth(1) {
                Some(escaped) => first.len_utf8() + escaped.len_utf8(),
                None => return Err("nothing follows the last `\\`".into()),
            },
            _ => first.len_utf8(),
        };
        let Some((source, after)) = rest.split_at_checked(len) else {
            break;
        };
        tokens.push(match first {
            '/' => Token::Separator,
            '{' => Token::Open,
            ',' => Token::Comma,
            '}' => Token::Close,
            '*' | '?' | '[' => Token::Wildcard(source),
            _ => Token::Literal(source.chars().next_back().unwrap_or(first), source),
        });
        rest = after;
    }
    Ok(tokens)
}

/// Returns the length of the class that `rest` begins with.
fn class_len(rest: &str) -> Result<usize, String> {
    let after_bracket = rest.strip_prefix('[').unwrap_or(rest);
    let body = after_bracket
        .strip_prefix(['!', '^'])
        .unwrap_or(after_bracket);
    // A `]` that comes first is a member, as in every shell.
    let close = body.char_indices().skip(1).find(|(_, c)| *c == ']');
    let Some((body_len, _)) = close else {
        return Err("`[` is not closed: write `\\[` for the character itself".into());
    };
    for (_, member) in body.char_indices().take_while(|(at, _)| *at < body_len) {
        if member == '/' {
            return Err("a class cannot hold `/`".into());
        }
        if !member.is_ascii() {
            return Err(format!(
                "a class matches one byte: write `{{…}}` for `{member}`"
            ));
        }
    }
    Ok(rest.len() - body.len() + body_len + 1)
}

/// Replaces each `{a,b}` by its alternatives, nested ones too.
fn multiply_out(tokens: Vec<Token<'_>>) -> Result<Vec<Vec<Token<'_>>>, String> {
    let mut pending = vec![tokens];
    let mut plain = Vec::new();
    while let Some(tokens) = pending.pop() {
        let Some(group) = Group::first_in(&tokens)? else {
            plain.push(tokens);
            continue;
        };
        for alternative in group.alternatives.iter().rev() {
            pending.push([group.before, alternative, group.after].concat());
        }
        if pending.len().saturating_add(plain.len()) > MAX_ALTERNATIVES {
            return Err(format!(
                "it stands for more than {MAX_ALTERNATIVES} alternatives"
            ));
        }
    }
    Ok(plain)
}

/// The first outermost `{…}` of a glob.
struct Group<'t, 'g> {
    before: &'t [Token<'g>],
    alternatives: Vec<&'t [Token<'g>]>,
    after: &'t [Token<'g>],
}

impl<'t, 'g> Group<'t, 'g> {
    fn first_in(tokens: &'t [Token<'g>]) -> Result<Option<Self>, String> {
        let brace = |token: &Token<'_>| matches!(token, Token::Open | Token::Close);
        let Some(open) = tokens.iter().position(brace) else {
            return Ok(None);
        };
        let (before, rest) = tokens.split_at(open);
        let Some((Token::Open, mut rest)) = rest.split_first() else {
            return Err("`}` closes nothing: write `\\}` for the character itself".into());
        };
        let mut alternatives = Vec::new();
        loop {
            let len = alternative_len(rest).unwrap_or(rest.len());
            let (alternative, from_end) = rest.split_at(len);
            alternatives.push(alternative);
            match from_end.split_first() {
                Some((Token::Comma, next)) => rest = next,
                Some((_, after)) => {
                    return Ok(Some(Self {
                        before,
                        alternatives,
                        after,
                    }));
                }
                None => {
                    return Err("`{` is not closed: write `\\{` for the character itself".into());
                }
            }
        }
    }
}

/// Returns how many tokens stand before the `,` or `}` that ends the alternative.
fn alternative_len(tokens: &[Token<'_>]) -> Option<usize> {
    let mut open_groups = 0_usize;
    tokens.iter().position(|token| match token {
        Token::Open => {
            open_groups += 1;
            false
        }
        Token::Close if open_groups > 0 => {
            open_groups -= 1;
            false
        }
        Token::Close => true,
        Token::Comma => open_groups == 0,
        Token::Separator | Token::Wildcard(_) | Token::Literal(..) => false,
    })
}
