//! Functions of lists, all of them Sprig's but `index`.

use std::borrow::Cow;

use super::{Result, Values};
use crate::template::eval::Item;
use crate::template::{Failed, MAX_RESULT_BYTES};

/// Elements of a list: what would have more fails.
const MAX_ELEMENTS: usize = 10_000;

fn elements(value: Item<'_>) -> std::result::Result<Vec<Item<'_>>, Failed> {
    match value {
        Item::List(elements) => Ok(elements),
        Item::Missing | Item::Text(_) | Item::Int(_) | Item::Float(_) | Item::Bool(_) => {
            Err(Failed)
        }
    }
}

fn pair(values: Values<'_>) -> std::result::Result<[Item<'_>; 2], Failed> {
    values.try_into().map_err(|_| Failed)
}

fn only(values: Values<'_>) -> std::result::Result<Vec<Item<'_>>, Failed> {
    let [value] = <[Item<'_>; 1]>::try_from(values).map_err(|_| Failed)?;
    elements(value)
}

/// Values as a list; lists within one have no use for text, and could nest without end.
pub(super) fn list(values: Values<'_>) -> Result<'_> {
    let is_flat = !values.iter().any(|value| matches!(value, Item::List(_)));
    is_flat.then_some(Item::List(values)).ok_or(Failed)
}

/// The parts between separators; without a separator, the characters.
pub(super) fn split(values: Values<'_>) -> Result<'_> {
    let [separator, text] = pair(values)?;
    let (separator, text) = (separator.text()?, text.text()?);
    let (separator, text) = (
        String::from_utf8_lossy(&separator),
        String::from_utf8_lossy(&text),
    );
    let parts: Vec<Item<'_>> = if separator.is_empty() {
        let characters = text
            .chars()
            .map(|c| Item::owned(c.to_string().into_bytes()));
        characters.take(MAX_ELEMENTS + 1).collect()
    } else {
        let parts = text.split(&*separator);
        let parts = parts.map(|part| Item::owned(part.as_bytes().to_vec()));
        parts.take(MAX_ELEMENTS + 1).collect()
    };
    (parts.len() <= MAX_ELEMENTS)
        .then_some(Item::List(parts))
        .ok_or(Failed)
}

pub(super) fn join(values: Values<'_>) -> Result<'_> {
    let [separator, joined] = pair(values)?;
    let separator = separator.text()?;
    // Sprig takes any other value for a list of itself.
    let elements = if matches!(joined, Item::List(_)) {
        elements(joined)?
    } else {
        vec![joined]
    };
    let mut out = Vec::new();
    let given = elements.iter().filter(|value| **value != Item::Missing);
    for (index, element) in given.enumerate() {
        if index > 0 {
            out.extend_from_slice(&separator);
        }
        element.print(&mut out);
        if out.len() > MAX_RESULT_BYTES {
            return Err(Failed);
        }
    }
    Ok(Item::owned(out))
}

pub(super) fn first(values: Values<'_>) -> Result<'_> {
    Ok(only(values)?.into_iter().next().unwrap_or(Item::Missing))
}

pub(super) fn last(values: Values<'_>) -> Result<'_> {
    Ok(only(values)?.pop().unwrap_or(Item::Missing))
}

/// All elements but the first.
pub(super) fn rest(values: Values<'_>) -> Result<'_> {
    Ok(Item::List(only(values)?.into_iter().skip(1).collect()))
}

/// All elements but the last.
pub(super) fn initial(values: Values<'_>) -> Result<'_> {
    let mut elements = only(values)?;
    elements.pop();
    Ok(Item::List(elements))
}

pub(super) fn has(values: Values<'_>) -> Result<'_> {
    let [wanted, list] = pair(values)?;
    Ok(Item::Bool(elements(list)?.contains(&wanted)))
}

/// The element at a place, the first one being 0; there must be one.
pub(super) fn index(values: Values<'_>) -> Result<'_> {
    let [list, Item::Int(place)] = pair(values)? else {
        return Err(Failed);
    };
    let place = usize::try_from(place).map_err(|_| Failed)?;
    elements(list)?.into_iter().nth(place).ok_or(Failed)
}

/// The last part of a path, as Go's `path.Base`.
pub(super) fn base(values: Values<'_>) -> Result<'_> {
    of_path(values, |path| {
        let trimmed = path.trim_end_matches('/');
        match trimmed.rsplit('/').next() {
            _ if path.is_empty() => ".".to_owned(),
            Some(last) if !last.is_empty() => last.to_owned(),
            _ => "/".to_owned(),
        }
    })
}

/// What stands before the last part of a path, as Go's `path.Dir`.
pub(super) fn dir(values: Values<'_>) -> Result<'_> {
    of_path(values, |path| {
        let end = path.rfind('/').map_or(0, |at| at + 1);
        cleaned(path.get(..end).unwrap_or_default())
    })
}

/// The end of a path from its last point on, as Go's `path.Ext`.
pub(super) fn extension(values: Values<'_>) -> Result<'_> {
    of_path(values, |path| {
        let name = path.rsplit('/').next().unwrap_or_default();
        let at = name.rfind('.').unwrap_or(name.len());
        name.get(at..).unwrap_or_default().to_owned()
    })
}

/// The shortest path that means the same, as Go's `path.Clean`.
fn cleaned(path: &str) -> String {
    let is_rooted = path.starts_with('/');
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/').filter(|part| !matches!(*part, "" | ".")) {
        if part != ".." {
            parts.push(part);
        } else if parts.last().is_some_and(|last| *last != "..") {
            parts.pop();
        } else if !is_rooted {
            parts.push(part);
        }
    }
    let joined = parts.join("/");
    match (is_rooted, joined.is_empty()) {
        (true, _) => format!("/{joined}"),
        (false, true) => ".".to_owned(),
        (false, false) => joined,
    }
}

fn of_path<'d>(values: Values<'_>, by: impl Fn(&str) -> String) -> Result<'d> {
    let [path] = <[Item<'_>; 1]>::try_from(values).map_err(|_| Failed)?;
    let path: Cow<'_, [u8]> = path.text()?;
    Ok(Item::owned(
        by(&String::from_utf8_lossy(&path)).into_bytes(),
    ))
}
