//! The functions of templates: Go's own, Promtail's, and the common ones of Sprig.

#![expect(
    clippy::needless_pass_by_value,
    clippy::unnecessary_wraps,
    reason = "all functions have the one type of the table"
)]

mod list;
mod number;
mod text;

use std::cmp::Ordering;

use super::eval::Item;
use super::{Failed, Operand, format};
use crate::pattern::Pattern;

/// A function.
#[derive(Debug)]
pub(super) struct Function {
    name: &'static str,
    min_arguments: usize,
    max_arguments: usize,
    pub(super) body: Body,
}

type Values<'d> = Vec<Item<'d>>;
type Result<'d> = std::result::Result<Item<'d>, Failed>;

/// What a function does.
#[derive(Clone, Copy, Debug)]
pub(super) enum Body {
    Plain(for<'d> fn(Values<'d>) -> Result<'d>),
    /// The first argument is a regular expression, which was compiled; the others are given.
    Pattern(for<'d> fn(&Pattern, Values<'d>) -> Result<'d>),
    /// The first argument that is so true, or the last one: `and`, `or`.
    Until(bool),
    /// As `Plain`, with a format that was checked.
    Printf,
}

const ANY: usize = usize::MAX;

const fn plain(
    name: &'static str,
    min_arguments: usize,
    max_arguments: usize,
    body: for<'d> fn(Values<'d>) -> Result<'d>,
) -> Function {
    Function {
        name,
        min_arguments,
        max_arguments,
        body: Body::Plain(body),
    }
}

const fn pattern(
    name: &'static str,
    arguments: usize,
    body: for<'d> fn(&Pattern, Values<'d>) -> Result<'d>,
) -> Function {
    Function {
        name,
        min_arguments: arguments,
        max_arguments: arguments,
        body: Body::Pattern(body),
    }
}

const fn special(name: &'static str, body: Body) -> Function {
    Function {
        name,
        min_arguments: 1,
        max_arguments: ANY,
        body,
    }
}

/// Promtail's own, then Go's, then those of Sprig.
static FUNCTIONS: &[Function] = &[
    plain("ToLower", 1, 1, text::lower),
    plain("ToUpper", 1, 1, text::upper),
    plain("Replace", 4, 4, text::replace_some),
    plain("Trim", 2, 2, text::trim),
    plain("TrimLeft", 2, 2, text::trim_left),
    plain("TrimRight", 2, 2, text::trim_right),
    plain("TrimPrefix", 2, 2, text::trim_prefix),
    plain("TrimSuffix", 2, 2, text::trim_suffix),
    plain("TrimSpace", 1, 1, text::trim_space),
    plain("Hash", 2, 2, text::sha3_of_both),
    plain("Sha2Hash", 2, 2, text::sha2_of_both),
    pattern("regexReplaceAll", 3, text::regex_replace),
    pattern("regexReplaceAllLiteral", 3, text::regex_replace_literally),
    plain("eq", 2, ANY, is_any_equal),
    plain("ne", 2, 2, is_not_equal),
    plain("lt", 2, 2, |values| ordered(&values, Ordering::is_lt)),
    plain("le", 2, 2, |values| ordered(&values, Ordering::is_le)),
    plain("gt", 2, 2, |values| ordered(&values, Ordering::is_gt)),
    plain("ge", 2, 2, |values| ordered(&values, Ordering::is_ge)),
    special("and", Body::Until(false)),
    special("or", Body::Until(true)),
    plain("not", 1, 1, is_false),
    plain("len", 1, 1, text::len),
    plain("print", 1, ANY, print),
    plain("println", 0, ANY, print_line),
    special("printf", Body::Printf),
    plain("lower", 1, 1, text::lower),
    plain("upper", 1, 1, text::upper),
    plain("title", 1, 1, text::title),
    plain("trim", 1, 1, text::trim_space),
    plain("trimAll", 2, 2, |values| text::trim(swapped(values))),
    plain("trimPrefix", 2, 2, |values| {
        text::trim_prefix(swapped(values))
    }),
    plain("trimSuffix", 2, 2, |values| {
        text::trim_suffix(swapped(values))
    }),
    plain("replace", 3, 3, text::replace_all),
    plain("contains", 2, 2, text::contains),
    plain("hasPrefix", 2, 2, text::has_prefix),
    plain("hasSuffix", 2, 2, text::has_suffix),
    plain("default", 2, 2, |values| {
        first_true(swapped(values), Rest::Last)
    }),
    plain("empty", 1, 1, is_false),
    plain("coalesce", 1, ANY, |values| {
        first_true(values, Rest::Missing)
    }),
    plain("ternary", 3, 3, ternary),
    plain("quote", 1, ANY, text::quote),
    plain("squote", 1, ANY, text::quote_singly),
    plain("cat", 1, ANY, text::cat),
    plain("nospace", 1, 1, text::without_space),
    plain("trunc", 2, 2, text::truncate),
    plain("substr", 3, 3, text::substring),
    plain("repeat", 2, 2, text::repeat),
    plain("toString", 1, 1, text::to_text),
    plain("b64enc", 1, 1, text::to_base64),
    plain("b64dec", 1, 1, text::from_base64),
    plain("sha256sum", 1, 1, text::sha256),
    pattern("regexMatch", 2, text::regex_match),
    pattern("regexFind", 2, text::regex_find),
    plain("int", 1, 1, number::to_int),
    plain("int64", 1, 1, number::to_int),
    plain("float64", 1, 1, number::to_float),
    plain("add", 1, ANY, number::add),
    plain("sub", 2, 2, number::subtract),
    plain("mul", 2, ANY, number::multiply),
    plain("div", 2, 2, number::divide),
    plain("add1", 1, 1, number::increment),
    plain("max", 1, ANY, number::largest),
    plain("min", 1, ANY, number::smallest),
    plain("floor", 1, 1, number::floor),
    plain("ceil", 1, 1, number::ceil),
    plain("round", 2, 2, number::round),
    plain("atoi", 1, 1, number::parse_int),
    plain("indent", 2, 2, text::indent),
    plain("nindent", 2, 2, text::indent_anew),
    plain("abbrev", 2, 2, text::abbreviate),
    plain("base", 1, 1, list::base),
    plain("dir", 1, 1, list::dir),
    plain("ext", 1, 1, list::extension),
    plain("list", 0, ANY, list::list),
    plain("splitList", 2, 2, list::split),
    plain("split", 2, 2, list::split),
    plain("join", 2, 2, list::join),
    plain("first", 1, 1, list::first),
    plain("last", 1, 1, list::last),
    plain("rest", 1, 1, list::rest),
    plain("initial", 1, 1, list::initial),
    plain("has", 2, 2, list::has),
    plain("index", 2, 2, list::index),
    pattern("mustRegexMatch", 2, text::regex_match),
    pattern("mustRegexFind", 2, text::regex_find),
    pattern("mustRegexReplaceAll", 3, text::regex_replace),
    pattern(
        "mustRegexReplaceAllLiteral",
        3,
        text::regex_replace_literally,
    ),
    plain("mod", 2, 2, number::remainder),
];

impl Function {
    pub(super) fn named(name: &str) -> Option<&'static Self> {
        FUNCTIONS.iter().find(|function| function.name == name)
    }

    pub(super) fn takes(&self, count: usize) -> bool {
        (self.min_arguments..=self.max_arguments).contains(&count)
    }

    pub(super) fn takes_pattern(&self) -> bool {
        matches!(self.body, Body::Pattern(_))
    }

    /// Checks what can be told of arguments before there are any values.
    pub(super) fn check(&self, arguments: &[Operand]) -> std::result::Result<(), String> {
        match (self.body, arguments.first()) {
            (Body::Printf, Some(Operand::Text(text))) => format::check(text),
            (Body::Printf, _) => Err("the format must be a text in quotes".into()),
            (Body::Plain(_) | Body::Pattern(_) | Body::Until(_), _) => Ok(()),
        }
    }

    pub(super) fn call<'d>(&self, mut values: Values<'d>, pattern: Option<&Pattern>) -> Result<'d> {
        match (self.body, pattern) {
            (Body::Plain(body), _) => body(values),
            (Body::Pattern(body), Some(pattern)) => {
                values.remove(0);
                body(pattern, values)
            }
            (Body::Printf, _) => {
                let mut out = Vec::new();
                format::format(&values, &mut out)?;
                Ok(Item::owned(out))
            }
            (Body::Pattern(_), None) | (Body::Until(_), _) => Err(Failed),
        }
    }
}

/// Sprig takes the text last, where Go takes it first.
fn swapped(mut values: Values<'_>) -> Values<'_> {
    values.reverse();
    values
}

/// Whether two values are equal; values of different kinds cannot be compared, but with nothing.
fn equal(one: &Item<'_>, other: &Item<'_>) -> std::result::Result<bool, Failed> {
    match (one, other) {
        (Item::Missing, _) | (_, Item::Missing) => Ok(one == other),
        (Item::List(_), _) => Err(Failed),
        _ if std::mem::discriminant(one) == std::mem::discriminant(other) => Ok(one == other),
        _ => Err(Failed),
    }
}

fn is_any_equal(values: Values<'_>) -> Result<'_> {
    let (first, others) = values.split_first().ok_or(Failed)?;
    let mut is_equal = false;
    for other in others {
        is_equal |= equal(first, other)?;
    }
    Ok(Item::Bool(is_equal))
}

fn is_not_equal(values: Values<'_>) -> Result<'_> {
    match is_any_equal(values)? {
        Item::Bool(is_equal) => Ok(Item::Bool(!is_equal)),
        Item::Missing | Item::Text(_) | Item::Int(_) | Item::Float(_) | Item::List(_) => {
            Err(Failed)
        }
    }
}

fn ordered<'d>(values: &[Item<'_>], test: fn(Ordering) -> bool) -> Result<'d> {
    let order = match values {
        [Item::Text(one), Item::Text(other)] => one.cmp(other),
        [Item::Int(one), Item::Int(other)] => one.cmp(other),
        [Item::Float(one), Item::Float(other)] => one.partial_cmp(other).ok_or(Failed)?,
        _ => return Err(Failed),
    };
    Ok(Item::Bool(test(order)))
}

fn is_false(values: Values<'_>) -> Result<'_> {
    let value = values.first().ok_or(Failed)?;
    Ok(Item::Bool(!value.is_true()))
}

/// What is taken where no value is true.
#[derive(Clone, Copy)]
enum Rest {
    Last,
    Missing,
}

fn first_true(values: Values<'_>, rest: Rest) -> Result<'_> {
    let mut last = Item::Missing;
    for value in values {
        if value.is_true() {
            return Ok(value);
        }
        last = value;
    }
    Ok(match rest {
        Rest::Last => last,
        Rest::Missing => Item::Missing,
    })
}

fn ternary(values: Values<'_>) -> Result<'_> {
    let [if_true, if_false, Item::Bool(condition)] =
        <[Item<'_>; 3]>::try_from(values).map_err(|_| Failed)?
    else {
        return Err(Failed);
    };
    Ok(if condition { if_true } else { if_false })
}

fn print_line(values: Values<'_>) -> Result<'_> {
    let mut out = Vec::new();
    for (index, value) in values.iter().enumerate() {
        if index > 0 {
            out.push(b' ');
        }
        format::print(std::slice::from_ref(value), &mut out);
    }
    out.push(b'\n');
    Ok(Item::owned(out))
}

fn print(values: Values<'_>) -> Result<'_> {
    let mut out = Vec::new();
    format::print(&values, &mut out);
    Ok(Item::owned(out))
}
