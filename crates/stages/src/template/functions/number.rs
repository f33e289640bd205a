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
        Item::Missing => 0,
    }
}

pub(super) fn to_int(values: Values<'_>) -> Result<'_> {
    Ok(Item::Int(int(values.first().ok_or(Failed)?)))
}

pub(super) fn to_float(values: Values<'_>) -> Result<'_> {
    let number = match values.first().ok_or(Failed)? {
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
        Item::Missing => 0.0,
    };
    Ok(Item::Float(number))
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
