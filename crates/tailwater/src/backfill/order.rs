//! Which files are generations of one log, and which of them is the oldest.
//!
//! Only names and times of modification are looked at. A compression's ending (`.gz`, `.bz2`, `.zst`, `.xz`) does
//! not count. What is left of a name says what log it belongs to, and where in it:
//!
//! | name | log | place |
//! |---|---|---|
//! | `app.log` | `app.log` | the live file, the newest |
//! | `app.log.1`, `app.log.12` | `app.log` | 12 is older than 1 |
//! | `app.log-20261120`, `app.log.2026-11-20` | `app.log` | by the date |
//! | `app.log-2026112013`, `app.log-20261120-1795176000` | `app.log` | by the date, then by the numbers behind it |
//! | `app.log.2026-11-20-1`, `app.log.2026-11-20.1` | `app.log` | as above: 1 is older than 2 |
//! | `app-2026-11-20.log`, `app.2026-11-20.log`, `app-2026-11-20.1.log` | `app.log` | as above |
//! | `app-2026-11-20T18-30-00.000.log` | `app.log` | as above |
//! | `0.log.20260101-120000` | `0.log` | as above |
//! | `app.1.log`, where there is an `app.log` | `app.log` | 2 is older than 1 |
//! | `app.log.old`, `app.log.bak` | `app.log` | by the time of modification |
//! | anything else | itself | the live file |
//!
//! Where the rotated files of one log bear marks of several kinds, all are ordered by the time of modification.
//! Equal places go by that time, and then by name.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use regex::bytes::Regex;
use tailwater_tailer::pattern::Found;

/// Endings of compressed files.
const COMPRESSED: [&[u8]; 4] = [b".gz", b".bz2", b".zst", b".xz"];

/// Marks of rotated files that say nothing about their age.
const AGELESS: [&[u8]; 3] = [b".old", b".bak", b"~"];

/// A date of this century or of the end of the last one, and the numbers behind it.
const DATE: &str = r"(?<year>(?:19[7-9]|20\d)\d)[-_.]?(?<month>0[1-9]|1[0-2])[-_.]?(?<day>0[1-9]|[12]\d|3[01])(?<rest>(?:\d{2}){0,3}(?:[-_.:T,]\d{1,19}){0,6}Z?)";

static DATE_BEHIND: LazyLock<Option<Regex>> =
    LazyLock::new(|| compile(&format!(r"^(?<live>.+?)[-_.]{DATE}$")));

/// A date before the ending of the name.
static DATE_WITHIN: LazyLock<Option<Regex>> = LazyLock::new(|| {
    compile(&format!(
        r"^(?:(?<live>.+?)[-_.])?{DATE}(?<ending>\.[A-Za-z][A-Za-z0-9_]*)$"
    ))
});

static NUMBER_BEHIND: LazyLock<Option<Regex>> =
    LazyLock::new(|| compile(r"^(?<live>.+)\.(?<number>\d{1,6})$"));

static NUMBER_WITHIN: LazyLock<Option<Regex>> = LazyLock::new(|| {
    compile(r"^(?<live>.+)\.(?<number>\d{1,6})(?<ending>\.[A-Za-z][A-Za-z0-9_]*)$")
});

fn compile(expression: &str) -> Option<Regex> {
    // A test matches each of them.
    Regex::new(&format!("(?s-u){expression}")).ok()
}

/// Where in its log a file stands, as far as its name says so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// It is what is written to.
    Live,
    /// The rotation that it has been through; higher is older.
    Rotation(u64),
    /// A date and the numbers behind it; higher is newer.
    Date(Vec<u64>),
    /// Rotated, and nobody knows when.
    Rotated,
}

/// What a name says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Name {
    /// The name of the live file of its log.
    pub(crate) live: Vec<u8>,
    pub(crate) place: Place,
    /// Whether it ends as compressed files do.
    pub(crate) is_compressed: bool,
}

impl Name {
    /// Reads the name of a file, without those around it.
    pub(crate) fn of(name: &OsStr) -> Self {
        let name = name.as_bytes();
        let bare = COMPRESSED
            .iter()
            .find_map(|ending| name.strip_suffix(*ending))
            .filter(|bare| !bare.is_empty());
        let is_compressed = bare.is_some();
        let bare = bare.unwrap_or(name);
        let (live, place) = dated(bare)
            .or_else(|| numbered(NUMBER_BEHIND.as_ref(), bare))
            .or_else(|| ageless(bare))
            .unwrap_or_else(|| (bare.to_vec(), Place::Live));
        Self {
            live,
            place,
            is_compressed,
        }
    }

    /// Reads the name as one whose rotation stands before its ending: `app.1.log`.
    pub(super) fn with_number_within(&self) -> Option<(Vec<u8>, Place)> {
        (self.place == Place::Live)
            .then(|| numbered(NUMBER_WITHIN.as_ref(), &self.live))
            .flatten()
    }
}

fn dated(name: &[u8]) -> Option<(Vec<u8>, Place)> {
    let found = [DATE_BEHIND.as_ref(), DATE_WITHIN.as_ref()]
        .into_iter()
        .flatten()
        .find_map(|expression| expression.captures(name))?;
    let part = |name| found.name(name).map_or(&b""[..], |part| part.as_bytes());
    let live = [part("live"), part("ending")].concat();
    let day = ["year", "month", "day"].map(part).concat();
    let rest = part("rest");
    let joined = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (joined, others) = rest.split_at_checked(joined).unwrap_or((rest, b""));
    let others = others.split(|byte| !byte.is_ascii_digit());
    let numbers = std::iter::once(&*day)
        .chain(joined.chunks(2))
        .chain(others.filter(|digits| !digits.is_empty()))
        .filter_map(number);
    Some((live, Place::Date(numbers.collect())))
}

fn numbered(expression: Option<&Regex>, name: &[u8]) -> Option<(Vec<u8>, Place)> {
    let found = expression?.captures(name)?;
    let part = |name| found.name(name).map_or(&b""[..], |part| part.as_bytes());
    let place = Place::Rotation(number(part("number"))?);
    Some(([part("live"), part("ending")].concat(), place))
}

fn ageless(name: &[u8]) -> Option<(Vec<u8>, Place)> {
    let live = AGELESS
        .iter()
        .find_map(|mark| name.strip_suffix(*mark))
        .filter(|live| !live.is_empty())?;
    Some((live.to_vec(), Place::Rotated))
}

fn number(digits: &[u8]) -> Option<u64> {
    std::str::from_utf8(digits).ok()?.parse().ok()
}

/// The files of one log, the oldest first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Log {
    /// The path of the live file, which need not be there.
    pub(crate) live: PathBuf,
    pub(crate) files: Vec<Found>,
}

/// Sorts files into the logs that they are generations of: the oldest of each first, the logs in natural order.
pub(crate) fn logs(files: Vec<Found>) -> Vec<Log> {
    let named: Vec<(Name, Found)> = files
        .into_iter()
        .map(|file| (name_of(&file.path), file))
        .collect();
    let known: BTreeSet<PathBuf> = named
        .iter()
        .map(|(name, file)| live_path(&file.path, &name.live))
        .collect();
    let mut logs: BTreeMap<PathBuf, Vec<(Place, Found)>> = BTreeMap::new();
    for (name, file) in named {
        let within = name.with_number_within();
        let within = within.map(|(live, place)| (live_path(&file.path, &live), place));
        let (live, place) = within
            .filter(|(live, _)| known.contains(live))
            .unwrap_or_else(|| (live_path(&file.path, &name.live), name.place));
        logs.entry(live).or_default().push((place, file));
    }
    let mut logs: Vec<Log> = logs
        .into_iter()
        .map(|(live, files)| Log {
            live,
            files: oldest_first(files),
        })
        .collect();
    logs.sort_by(|one, other| natural(bytes(&one.live), bytes(&other.live)));
    logs
}

/// Reads the name of the file at a path.
pub(crate) fn name_of(path: &Path) -> Name {
    Name::of(path.file_name().unwrap_or_default())
}

pub(super) fn live_path(path: &Path, live: &[u8]) -> PathBuf {
    path.with_file_name(OsStr::from_bytes(live))
}

fn bytes(path: &Path) -> &[u8] {
    path.as_os_str().as_bytes()
}

fn oldest_first(mut files: Vec<(Place, Found)>) -> Vec<Found> {
    let mut rotated = files.iter().filter(|(place, _)| *place != Place::Live);
    let is_one_kind = rotated
        .clone()
        .all(|(place, _)| matches!(place, Place::Rotation(_)))
        || rotated.all(|(place, _)| matches!(place, Place::Date(_)));
    files.sort_by(|(one, a), (other, b)| {
        let by_place = match (one, other) {
            (Place::Live, Place::Live) => Ordering::Equal,
            (Place::Live, _) => Ordering::Greater,
            (_, Place::Live) => Ordering::Less,
            (Place::Rotation(one), Place::Rotation(other)) if is_one_kind => other.cmp(one),
            (Place::Date(one), Place::Date(other)) if is_one_kind => one.cmp(other),
            (Place::Rotation(_) | Place::Date(_) | Place::Rotated, _) => Ordering::Equal,
        };
        by_place
            .then_with(|| a.modified.cmp(&b.modified))
            .then_with(|| natural(bytes(&a.path), bytes(&b.path)))
    });
    files.into_iter().map(|(_, file)| file).collect()
}

/// Compares as people do: numbers by their value, everything else byte by byte.
pub(crate) fn natural(one: &[u8], other: &[u8]) -> Ordering {
    let (mut left, mut right) = (one, other);
    loop {
        let (Some(a), Some(b)) = (left.first(), right.first()) else {
            // Equal but for zeros before numbers: then those decide.
            return left.len().cmp(&right.len()).then_with(|| one.cmp(other));
        };
        let step = if a.is_ascii_digit() && b.is_ascii_digit() {
            let (a, after_a) = leading_number(left);
            let (b, after_b) = leading_number(right);
            (left, right) = (after_a, after_b);
            a.len().cmp(&b.len()).then_with(|| a.cmp(b))
        } else {
            left = left.get(1..).unwrap_or_default();
            right = right.get(1..).unwrap_or_default();
            a.cmp(b)
        };
        if step != Ordering::Equal {
            return step;
        }
    }
}

/// Takes the digits off the front; returns them without zeros before them, and what follows.
fn leading_number(text: &[u8]) -> (&[u8], &[u8]) {
    let end = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (digits, rest) = text.split_at_checked(end).unwrap_or((text, b""));
    let zeros = digits.iter().take_while(|digit| **digit == b'0').count();
    (digits.get(zeros..).unwrap_or_default(), rest)
}

#[cfg(test)]
mod tests;
