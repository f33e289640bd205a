//! Functions of numbers, with the conversions of Sprig.

use super::{Result, Values};
use crate::template::Failed;
use crate::template::eval::Item;

/// A number of anything: 0 where it is none.
fn int(value: &Item<'_>) -> i64 {
    match value {
        Item::Int(number) => *number,
        Item::Bool(value) => i64::from(*value),
        Item::Text(text) => {
            let text = std::str::from_utf8(text).unwrap_or_default();
            text.parse().unwrap_or(0)
        }
        #[expect(
            clippy::cast_possible_truncation,
            reason = "what is too large becomes the bound"
        )]
        Item::Float(number) => *number as i64,
        Item::Missing | Item::List(_) => 0,
    }
}

pub(super) fn to_int(values: Values<'_>) -> Result<'_> {
    Ok(Item::Int(int(values.first().ok_or(Failed)?)))
}

/// A number of anything, with its fraction: 0 where it is none.
fn float(value: &Item<'_>) -> f64 {
    match value {
        Item::Float(number) => *number,
        Item::Text(text) => {
            let text = std::str::from_utf8(text).unwrap_or_default();
            text.parse().unwrap_or(0.0)
        }
        #[expect(
            clippy::cast_precision_loss,
            reason = "that is what the function is for"
        )]
        Item::Int(number) => *number as f64,
        Item::Bool(value) => f64::from(u8::from(*value)),
        Item::Missing | Item::List(_) => 0.0,
    }
}

pub(super) fn to_float(values: Values<'_>) -> Result<'_> {
    Ok(Item::Float(float(values.first().ok_or(Failed)?)))
}

pub(super) fn floor(values: Values<'_>) -> Result<'_> {
    Ok(Item::Float(float(values.first().ok_or(Failed)?).floor()))
}

pub(super) fn ceil(values: Values<'_>) -> Result<'_> {
    Ok(Item::Float(float(values.first().ok_or(Failed)?).ceil()))
}

/// So many digits behind the point.
pub(super) fn round(values: Values<'_>) -> Result<'_> {
    let [number, Item::Int(digits)] = values.as_slice() else {
        return Err(Failed);
    };
    let factor = 10_f64.powi(i32::try_from(*digits).map_err(|_| Failed)?);
    let scaled = factor * float(number);
    // As Sprig, which looks at the fraction with its sign.
    let whole = if scaled.fract() >= 0.5 {
        scaled.ceil()
    } else {
        scaled.floor()
    };
    Ok(Item::Float(whole / factor))
}

/// Of a text alone; 0 where it is no number.
pub(super) fn parse_int(values: Values<'_>) -> Result<'_> {
    match values.as_slice() {
        [text @ Item::Text(_)] => Ok(Item::Int(int(text))),
        _ => Err(Failed),
    }
}

pub(super) fn increment(values: Values<'_>) -> Result<'_> {
    let number = int(values.first().ok_or(Failed)?);
    Ok(Item::Int(number.wrapping_add(1)))
}

pub(super) fn largest(values: Values<'_>) -> Result<'_> {
    fold(&values, |one, other| Some(one.max(other)))
}

pub(super) fn smallest(values: Values<'_>) -> Result<'_> {
    fold(&values, |one, other| Some(one.min(other)))
}

fn fold<'d>(values: &[Item<'_>], by: fn(i64, i64) -> Option<i64>) -> Result<'d> {
    let (first, others) = values.split_first().ok_or(Failed)?;
    let result = others
        .iter()
        .try_fold(int(first), |result, value| by(result, int(value)));
    result.map(Item::Int).ok_or(Failed)
}

pub(super) fn add(values: Values<'_>) -> Result<'_> {
    fold(&values, |one, other| Some(one.wrapping_add(other)))
}

pub(super) fn subtract(values: Values<'_>) -> Result<'_> {
    fold(&values, |one, other| Some(one.wrapping_sub(other)))
}

pub(super) fn multiply(values: Values<'_>) -> Result<'_> {
    fold(&values, |one, other| Some(one.wrapping_mul(other)))
}

pub(super) fn divide(values: Values<'_>) -> Result<'_> {
    fold(&values, i64::checked_div)
}

pub(super) fn remainder(values: Values<'_>) -> Result<'_> {
    fold(&values, i64::checked_rem)
}
