//! Taking a sealed body apart.
//!
//! A record is a line of the body, whatever the layout: what stands before the last newline is not
//! looked at where lines are only chosen.

use std::borrow::Cow;

use bytes::Bytes;
use serde::Deserialize;
use tailwater_record::TimestampNs;
use tailwater_sink::{DecodedRecord, JsonPairs, SplitError, put_selector};

use crate::encode::Layout;
use crate::json;

/// Cuts a body after its first records, without a copy.
///
/// # Errors
/// Where it has no more lines than that, or its last one has no end.
pub(crate) fn split(body: &Bytes, first_records: u32) -> Result<(Bytes, Bytes), SplitError> {
    let fail = refusal(body);
    if first_records == 0 {
        return Err(fail("no records were asked for"));
    }
    let (mut first_bytes, mut rest_bytes) = (0_usize, 0_usize);
    walk(body, |index, line| {
        let half = if index < first_records {
            &mut first_bytes
        } else {
            &mut rest_bytes
        };
        *half += line.len() + 1;
        Ok(())
    })
    .map_err(fail)?;
    if rest_bytes == 0 {
        return Err(fail("fewer records than the split asks for"));
    }
    let mut first = body.clone();
    let rest = first.split_off(first_bytes);
    Ok((first, rest))
}

/// Makes a body of the records that `keep` chooses; `None` where it chooses none.
///
/// # Errors
/// Where the last line has no end.
pub(crate) fn retain(
    body: &Bytes,
    keep: &mut dyn FnMut(u32) -> bool,
) -> Result<Option<Bytes>, SplitError> {
    let mut kept = Vec::new();
    walk(body, |index, line| {
        if keep(index) {
            kept.extend_from_slice(line);
            kept.push(b'\n');
        }
        Ok(())
    })
    .map_err(refusal(body))?;
    Ok(match kept.len() {
        0 => None,
        len if len == body.len() => Some(body.clone()),
        // A copy of exactly the right size, for the reason that a seal makes one.
        _ => Some(Bytes::copy_from_slice(&kept)),
    })
}

/// Reads the records of a body.
///
/// # Errors
/// Where the last line has no end, or one is not what the layout makes of a record.
pub(crate) fn decode(
    layout: Layout,
    body: &Bytes,
    each: &mut dyn FnMut(DecodedRecord<'_>),
) -> Result<(), SplitError> {
    let mut labels = String::new();
    walk(body, |index, line| match layout {
        Layout::Ndjson => {
            decode_object(index, line, &mut labels, each).ok_or("a line is no record as JSON")
        }
        Layout::Text | Layout::EscapedText => {
            each(DecodedRecord {
                index,
                timestamp: TimestampNs(0),
                labels: "",
                metadata: &[],
                line,
            });
            Ok(())
        }
    })
    .map_err(refusal(body))
}

/// A record as [`Layout::Ndjson`] has it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Object<'a> {
    #[serde(borrow)]
    timestamp: Cow<'a, str>,
    #[serde(borrow)]
    labels: JsonPairs<'a>,
    #[serde(rename = "offset")]
    _offset: u64,
    #[serde(borrow, default)]
    metadata: JsonPairs<'a>,
    #[serde(borrow)]
    line: Cow<'a, str>,
}

/// Reads one object; `labels` is room for its selector.
fn decode_object(
    index: u32,
    line: &[u8],
    labels: &mut String,
    each: &mut dyn FnMut(DecodedRecord<'_>),
) -> Option<()> {
    let object: Object<'_> = serde_json::from_slice(line).ok()?;
    labels.clear();
    if object.labels.iter().next().is_some() {
        put_selector(labels, object.labels.iter());
    }
    let metadata: Vec<(&str, &str)> = object.metadata.iter().collect();
    each(DecodedRecord {
        index,
        timestamp: json::parse_time(&object.timestamp)?,
        labels,
        metadata: &metadata,
        line: object.line.as_bytes(),
    });
    Some(())
}

/// Gives every line to `each`, in order, without its newline.
fn walk<'a>(
    body: &'a [u8],
    mut each: impl FnMut(u32, &'a [u8]) -> Result<(), &'static str>,
) -> Result<(), &'static str> {
    let (mut index, mut rest) = (0_u32, body);
    while !rest.is_empty() {
        let newline_at = memchr::memchr(b'\n', rest).ok_or("its last line has no end")?;
        let (line, after) = rest.split_at_checked(newline_at).unwrap_or((rest, &[]));
        rest = after.get(1..).unwrap_or_default();
        each(index, line)?;
        index = index
            .checked_add(1)
            .ok_or("more lines than any batch has")?;
    }
    Ok(())
}

/// Returns what makes the error of a body that cannot be taken apart.
fn refusal(body: &[u8]) -> impl Fn(&'static str) -> SplitError + Copy {
    let body_bytes = body.len();
    move |reason| SplitError { body_bytes, reason }
}

#[cfg(test)]
mod tests;
