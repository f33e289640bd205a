//! What Loki's answers mean.
//!
//! A body may quote labels, and a proxy's may quote anything: what is reported is the kind and the
//! figures, never the words.
//!
//! Source: Loki 3.6, `pkg/validation/validate.go`, `pkg/ingester/stream.go`,
//! `pkg/loghttp/push/push.go`.

use std::fmt::Write as _;
use std::time::Duration;

use bytes::Bytes;
use tailwater_record::EncodedBatch;
use tailwater_sink::{DecodedRecord, DeliverError, Delivered, Ignored};

use crate::settings::Encoding;

/// Bytes of an answer that are read: more is never needed, and a backend may send anything.
pub const MAX_ANSWER_BYTES: usize = 64 * 1024;

/// One answer, as far as it was read.
#[derive(Debug)]
pub struct Answer {
    /// That of HTTP.
    pub status: u16,
    /// When the backend asked to be called again.
    pub retry_after: Option<Duration>,
    /// The first bytes of the body, at most [`MAX_ANSWER_BYTES`].
    pub body: Vec<u8>,
}

/// A complaint of Loki's.
struct Complaint {
    /// What its text always holds.
    phrase: &'static str,
    /// What it is called in our metrics.
    reason: &'static str,
    /// Names of figures, and the words that stand before each.
    figures: &'static [(&'static str, &'static str)],
}

const fn complaint(phrase: &'static str, reason: &'static str) -> Complaint {
    Complaint {
        phrase,
        reason,
        figures: &[],
    }
}

/// What Loki says of a request it will never take: the more telling first.
const REFUSALS: &[Complaint] = &[
    complaint("has timestamp too old", "too_old"),
    complaint("has timestamp too new", "too_new"),
    complaint("entry too far behind", "too_far_behind"),
    complaint("entry out of order", "out_of_order"),
    Complaint {
        phrase: "max entry size",
        reason: "line_too_long",
        figures: &[
            ("limit_bytes", "max entry size '"),
            ("line_bytes", "adding an entry with length '"),
        ],
    },
    Complaint {
        phrase: "structured metadata too large",
        reason: "metadata",
        figures: &[
            ("metadata_bytes", "structured metadata too large: '"),
            ("limit_bytes", "limit: '"),
        ],
    },
    Complaint {
        phrase: "too many structured metadata labels",
        reason: "metadata",
        figures: &[
            ("metadata_count", "too many structured metadata labels: '"),
            ("limit", "limit: '"),
        ],
    },
    complaint("includes structured metadata", "metadata"),
    Complaint {
        phrase: "label names; limit",
        reason: "labels",
        figures: &[("limit", "label names; limit ")],
    },
    complaint("label name too long", "labels"),
    complaint("label value too long", "labels"),
    complaint("duplicate label name", "labels"),
    complaint("at least one label pair is required", "labels"),
    complaint("error parsing labels", "labels"),
    complaint("missing required labels", "labels"),
    complaint("couldn't parse push request", "decode"),
    complaint("snappy: ", "decode"),
    complaint("proto: ", "decode"),
    complaint("unexpected EOF", "decode"),
];

/// What Loki says of a request it may take later.
const LIMITS: &[Complaint] = &[
    Complaint {
        phrase: "ingestion rate limit exceeded",
        reason: "rate_limited",
        figures: &[
            ("limit_bytes_per_second", "(limit: "),
            ("request_bytes", "lines totaling '"),
        ],
    },
    complaint("er stream rate limit exceeded", "stream_rate_limited"),
    complaint("maximum active stream limit", "stream_limit"),
];

const TOO_LARGE: Complaint = Complaint {
    phrase: "request body too large",
    reason: "too_large",
    figures: &[
        ("request_bytes", "request body too large: "),
        ("limit_bytes", "limit: "),
    ],
};

/// Says what to do about the answer to a batch, whose body is of an encoding, and which records of it are
/// refused for their time.
///
/// # Errors
/// [`DeliverError`] for every answer that does not say that all of it is stored.
pub fn judge_batch(
    answer: &Answer,
    batch: &EncodedBatch,
    encoding: Encoding,
) -> Result<Delivered, DeliverError> {
    let mut judged = judge(answer, batch.records());
    if let Err(DeliverError::Refused {
        reason, records, ..
    }) = &mut judged
    {
        let text = String::from_utf8_lossy(&answer.body);
        let is_whole = answer.body.len() < MAX_ANSWER_BYTES;
        let expired = crate::expired::read(reason, &text, is_whole);
        let decode = |body: &Bytes, each: &mut dyn FnMut(DecodedRecord<'_>)| {
            crate::decode::decode_records(encoding, body, each)
        };
        let found = expired.map(|expired| expired.find(&batch.body, decode));
        // A body that cannot be read cannot be split either: that is said where it is tried.
        *records = found.and_then(Result::ok).unwrap_or_default();
    }
    judged
}

/// Says what to do about the answer to a batch of `records` records.
///
/// # Errors
/// [`DeliverError`] for every answer that does not say that all of it is stored.
pub(crate) fn judge(answer: &Answer, records: u32) -> Result<Delivered, DeliverError> {
    let text = String::from_utf8_lossy(&answer.body);
    match answer.status {
        // A blocked tenant is answered like this by default: the lines were thrown away.
        260 => Err(retryable(answer, "blocked", &[], &text)),
        200..=299 => Ok(Delivered),
        400 => {
            let complaint = find(REFUSALS, &text);
            Err(DeliverError::Refused {
                reason: complaint.map_or("invalid", |complaint| complaint.reason),
                detail: detail(answer, complaint.map_or(&[], |found| found.figures), &text),
                ignored: ignored(&text).filter(|ignored| ignored.out_of == u64::from(records)),
                records: Vec::new(),
            })
        }
        413 => Err(DeliverError::Refused {
            reason: TOO_LARGE.reason,
            detail: detail(answer, TOO_LARGE.figures, &text),
            ignored: None,
            records: Vec::new(),
        }),
        429 => {
            let limit = find(LIMITS, &text);
            let reason = limit.map_or("rate_limited", |limit| limit.reason);
            let figures = limit.map_or(&[][..], |limit| limit.figures);
            Err(retryable(answer, reason, figures, &text))
        }
        status => Err(retryable(answer, status_reason(status), &[], &text)),
    }
}

fn retryable(
    answer: &Answer,
    reason: &'static str,
    figures: &[(&str, &str)],
    text: &str,
) -> DeliverError {
    DeliverError::Retryable {
        reason,
        detail: detail(answer, figures, text),
        status: Some(answer.status),
        retry_after: answer.retry_after,
    }
}

fn find<'a>(complaints: &'a [Complaint], text: &str) -> Option<&'a Complaint> {
    complaints
        .iter()
        .find(|complaint| text.contains(complaint.phrase))
}

/// Names the status, the size of the body, and the figures that are found in it.
fn detail(answer: &Answer, figures: &[(&str, &str)], text: &str) -> String {
    let mut detail = format!(
        "status {}, {} bytes of answer",
        answer.status,
        answer.body.len()
    );
    for (name, words) in figures {
        let figure = text.split_once(words).and_then(|(_, after)| number(after));
        if let Some(figure) = figure {
            write!(detail, ", {name} {figure}").expect("writing to a string cannot fail");
        }
    }
    detail
}

/// Reads the number that a text begins with.
fn number(text: &str) -> Option<u64> {
    let end = text
        .find(|char: char| !char.is_ascii_digit())
        .unwrap_or(text.len());
    text.get(..end)?.parse().ok()
}

/// Adds up `user '…', total ignored: X out of Y` over the lines of an answer.
///
/// The figure decides how many records count as stored, so it is taken only from where Loki writes it:
/// the beginning of a line, before the labels, which quote a line break and so cannot forge one. An
/// ingester's answer speaks of the last stream of a request alone (`instance.Push`): whether the sum
/// accounts for a whole batch is for the caller to check.
fn ignored(text: &str) -> Option<Ignored> {
    let mut sum: Option<Ignored> = None;
    for line in text.lines() {
        let Some((_, figures)) = line
            .strip_prefix("user '")
            .and_then(|line| line.split_once("', total ignored: "))
        else {
            continue;
        };
        let (_, total) = figures.split_once(" out of ")?;
        let (ignored, out_of) = (number(figures)?, number(total)?);
        if ignored > out_of {
            return None;
        }
        let so_far = sum.unwrap_or(Ignored {
            ignored: 0,
            out_of: 0,
        });
        sum = Some(Ignored {
            ignored: so_far.ignored.checked_add(ignored)?,
            out_of: so_far.out_of.checked_add(out_of)?,
        });
    }
    sum
}

/// Statuses that are met and told apart.
const STATUS_REASONS: [(u16, &str); 21] = [
    (301, "http_301"),
    (302, "http_302"),
    (303, "http_303"),
    (307, "http_307"),
    (308, "http_308"),
    (401, "unauthorized"),
    (403, "forbidden"),
    (404, "http_404"),
    (405, "http_405"),
    (407, "http_407"),
    (408, "http_408"),
    (411, "http_411"),
    (415, "http_415"),
    (422, "http_422"),
    (431, "http_431"),
    (500, "http_500"),
    (501, "http_501"),
    (502, "http_502"),
    (503, "http_503"),
    (504, "http_504"),
    (507, "http_507"),
];

/// Names a status in our metrics, with few enough names for a label.
fn status_reason(status: u16) -> &'static str {
    let known = STATUS_REASONS.iter().find(|(known, _)| *known == status);
    if let Some((_, reason)) = known {
        return reason;
    }
    match status {
        300..=399 => "http_3xx",
        400..=499 => "http_4xx",
        500..=599 => "http_5xx",
        _ => "http_other",
    }
}

#[cfg(test)]
mod tests;
