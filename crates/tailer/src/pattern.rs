//! Include and exclude globs of one source.
//!
//! A glob is an absolute path whose components may hold `*` (any run of bytes), `?` (one byte),
//! `[a-z]`, `[!a-z]` (one byte of a class), `{a,b}` (alternatives, which may hold `/`) and `\` (the
//! next character as it is). `**` as a whole component stands for any number of directories. No
//! wildcard ever matches a `/`, and names that begin with a dot are matched like any other. File
//! names are bytes: they need not be UTF-8. A glob without wildcards is the path of one file.
//!
//! Matching goes component by component, so that "does this path match" and "can anything below
//! this directory match" are answered from the same list and cannot disagree.

mod glob;
mod walk;

#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use glob::Glob;
pub use walk::{Found, MAX_WALK_DEPTH, WalkError, walk};

/// Compiled globs of one source; cheap to clone.
#[derive(Clone, Debug)]
pub struct Patterns(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    /// As they were written.
    includes: Vec<String>,
    include: Vec<Glob>,
    exclude: Vec<Glob>,
    /// Excludes of everything below some directory, which therefore need not be entered.
    excluded_trees: Vec<Glob>,
    roots: Vec<Root>,
}

/// Where the files of an include can be.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Root {
    /// The longest directory that is spelled out without wildcards.
    pub dir: PathBuf,
    /// How many levels below `dir` files can match: 1 is in `dir` itself; `None` is any.
    pub max_depth: Option<usize>,
}

/// Why a glob was refused.
#[derive(Debug, thiserror::Error)]
#[error("invalid glob `{glob}`: {reason}")]
pub struct PatternError {
    /// The glob as it was written.
    pub glob: String,
    /// What is wrong with it.
    pub reason: String,
}

impl Patterns {
    /// Compiles the globs of a source.
    ///
    /// # Errors
    /// [`PatternError`] for the first glob that is relative, ends in `/`, holds `**` beside other
    /// characters of a component or `..` after a wildcard, is not closed, or stands for more than
    /// 1024 alternatives.
    pub fn new(include: &[String], exclude: &[String]) -> Result<Self, PatternError> {
        let included = compile(include)?;
        let excluded = compile(exclude)?;
        let excluded_trees = excluded.iter().filter_map(Glob::whole_tree).collect();
        Ok(Self(Arc::new(Inner {
            includes: include.to_vec(),
            roots: merge_roots(&included),
            include: included,
            exclude: excluded,
            excluded_trees,
        })))
    }

    /// Returns whether a file with this absolute path belongs to the source: it matches an include
    /// and no exclude.
    pub fn matches(&self, path: &Path) -> bool {
        path.is_absolute()
            && is_any_match(&self.0.include, path)
            && !is_any_match(&self.0.exclude, path)
    }

    /// Returns the directories the includes start from, sorted, each once.
    ///
    /// One may lie below another.
    pub fn roots(&self) -> &[Root] {
        &self.0.roots
    }

    /// Returns whether some path below this absolute directory, at any depth, can match.
    ///
    /// It bounds walks and watches. It holds for the directories above a root as well, and it may
    /// hold for a directory of which only an exclude tells that every file is unwanted.
    pub fn may_descend(&self, dir: &Path) -> bool {
        dir.is_absolute()
            && self.0.include.iter().any(|glob| glob.can_match_below(dir))
            && !is_any_match(&self.0.excluded_trees, dir)
    }

    /// Returns the includes as they were written.
    pub fn includes(&self) -> &[String] {
        &self.0.includes
    }
}

fn compile(globs: &[String]) -> Result<Vec<Glob>, PatternError> {
    let mut compiled = Vec::new();
    for glob in globs {
        let alternatives = glob::compile(glob).map_err(|reason| PatternError {
            glob: glob.clone(),
            reason,
        })?;
        compiled.extend(alternatives);
    }
    Ok(compiled)
}

fn is_any_match(globs: &[Glob], path: &Path) -> bool {
    globs.iter().any(|glob| glob.is_match(path))
}

fn merge_roots(globs: &[Glob]) -> Vec<Root> {
    let mut roots: Vec<Root> = globs.iter().map(Glob::root).collect();
    roots.sort();
    roots.dedup_by(|next, kept| {
        let is_same = next.dir == kept.dir;
        if is_same {
            kept.max_depth = match (kept.max_depth, next.max_depth) {
                (Some(kept), Some(next)) => Some(kept.max(next)),
                (None, _) | (_, None) => None,
            };
        }
        is_same
    });
    roots
}
