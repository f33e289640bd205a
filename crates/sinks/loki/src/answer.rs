//! What Loki's answers mean.
//!
//! A body may quote labels, and a proxy's may quote anything: what is reported is the kind and the
//! numbers, never the words.
//!
//! Source: Loki 3.6, `pkg/validation/validate.go`, `pkg/ingester/stream.go`.

use std::time::Duration;

use tailwater_sink::{DeliverError, Delivered, Ignored};

/// Phrases of Loki's refusals and what they are called in our metrics, the more telling first.
const REFUSALS: [(&str, &str); 13] = [
    ("timestamp too old", "too_old"),
    ("timestamp too new", "too_new"),
    ("too far behind", "too_far_behind"),
    ("max entry size", "line_too_long"),
    ("structured metadata", "metadata"),
    ("label name", "labels"),
    ("label value", "labels"),
    ("error parsing labels", "labels"),
    ("at least one label pair", "labels"),
    ("missing required labels", "labels"),
    ("out of order", "out_of_order"),
    ("entry too far behind", "too_far_behind"),
    ("total ignored", "ignored"),
];

/// Says what to do about an answer.
pub(crate) fn judge(
    status: u16,
    body: &[u8],
    retry_after: Option<Duration>,
) -> Result<Delivered, DeliverError> {
    let retry = |reason| {
        Err(DeliverError::Retryable {
            reason,
            detail: describe(status, body),
            retry_after,
        })
    };
    match status {
        // A blocked tenant is answered with this status: the lines were thrown away.
        260 => retry("blocked"),
        200..=299 => Ok(Delivered),
        400 => Err(DeliverError::Refused {
            reason: refusal(body),
            detail: describe(status, body),
            ignored: total_ignored(body),
        }),
        413 => Err(DeliverError::Refused {
            reason: "too_large",
            detail: describe(status, body),
            ignored: None,
        }),
        401 => retry("unauthorized"),
        403 => retry("forbidden"),
        404 => retry("not_found"),
        429 => retry("rate_limited"),
        300..=399 => retry("redirect"),
        500 => retry("http_500"),
        502 => retry("http_502"),
        503 => retry("http_503"),
        504 => retry("http_504"),
        501..=599 => retry("http_5xx"),
        _ => retry("http_4xx"),
    }
}

fn refusal(body: &[u8]) -> &'static str {
    let text = String::from_utf8_lossy(body);
    REFUSALS
        .iter()
        .find(|(phrase, _)| text.contains(phrase))
        .map_or("invalid", |(_, reason)| reason)
}

fn describe(status: u16, body: &[u8]) -> String {
    let kind = refusal(body);
    if status == 400 && kind != "invalid" {
        return format!("status 400, {kind}");
    }
    format!("status {status}, answer of {} bytes", body.len())
}

/// Adds up `total ignored: X out of Y` over the streams of an answer.
fn total_ignored(body: &[u8]) -> Option<Ignored> {
    let text = String::from_utf8_lossy(body);
    let mut sum: Option<Ignored> = None;
    for part in text.split("total ignored: ").skip(1) {
        let (ignored, rest) = part.split_once(" out of ")?;
        let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
        let (ignored, out_of) = (
            ignored.trim().parse::<u64>().ok()?,
            digits.parse::<u64>().ok()?,
        );
        let total = sum.get_or_insert(Ignored {
            ignored: 0,
            out_of: 0,
        });
        total.ignored = total.ignored.saturating_add(ignored);
        total.out_of = total.out_of.saturating_add(out_of);
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reason(status: u16, body: &str) -> &'static str {
        match judge(status, body.as_bytes(), None) {
            Ok(Delivered) => "delivered",
            Err(DeliverError::Retryable { reason, .. } | DeliverError::Refused { reason, .. }) => {
                reason
            }
        }
    }

    #[test]
    fn every_answer_says_what_to_do() {
        assert_eq!(reason(204, ""), "delivered");
        assert_eq!(reason(260, "ingestion blocked for user x"), "blocked");
        assert_eq!(reason(302, ""), "redirect");
        assert_eq!(
            reason(400, "entry for stream '{a=\"b\"}' has timestamp too old: x"),
            "too_old"
        );
        assert_eq!(
            reason(400, "max entry size '256' bytes exceeded for stream"),
            "line_too_long"
        );
        assert_eq!(reason(400, "what is this"), "invalid");
        assert_eq!(reason(401, "no org id"), "unauthorized");
        assert_eq!(reason(413, ""), "too_large");
        assert_eq!(reason(418, ""), "http_4xx");
        assert_eq!(reason(429, "ingestion rate limit exceeded"), "rate_limited");
        assert_eq!(reason(503, ""), "http_503");
        assert_eq!(reason(599, ""), "http_5xx");
    }

    #[test]
    fn ignored_entries_are_added_up_over_the_streams_of_an_answer() {
        let body = b"entry with timestamp 1 ignored, reason: 'entry too far behind, x',\n\
                     user 'a', total ignored: 2 out of 10 for stream: {a=\"b\"}\n\
                     user 'a', total ignored: 3 out of 5 for stream: {a=\"c\"}";
        assert_eq!(
            total_ignored(body),
            Some(Ignored {
                ignored: 5,
                out_of: 15
            })
        );
        assert_eq!(total_ignored(b"total ignored: many out of 3"), None);
        assert_eq!(total_ignored(b""), None);
    }

    #[test]
    fn the_words_of_an_answer_are_never_repeated() {
        let Err(error) = judge(400, b"bad line: hunter2", None) else {
            panic!("refused")
        };
        assert!(!error.to_string().contains("hunter2"));
    }
}
