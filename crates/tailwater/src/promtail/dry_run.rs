//! Where a dry run sends lines: to the standard output, as Promtail prints them.

use std::io::{IsTerminal as _, stdout};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use bytes::Bytes;
use jiff::Timestamp;
use tailwater_promtail::Loaded;
use tailwater_record::{EncodedBatch, RecordView, TimestampNs};
use tailwater_sink::{
    DecodedRecord, Deliver, DeliverError, DeliverFuture, Encode, EncodeStats, Encoded,
    EncoderFactory, SinkParts, SinkSettings as _, SplitError, put_selector,
};
use tailwater_sink_file::{FileSettings, Format};
use tokio::sync::Notify;

use crate::config::Config;

/// How long a line waits for others before it is printed.
const MAX_WAIT: Duration = Duration::from_millis(100);

const BLUE: &str = "\x1b[34m";
const YELLOW: &str = "\x1b[33m";
const PLAIN: &str = "\x1b[0m";

/// Returns what Promtail prints before the first line: the clients, their secrets hidden.
pub(super) fn clients(loaded: &Loaded) -> String {
    let mut text = if stdout().is_terminal() {
        format!("{YELLOW}Clients configured:{PLAIN}\n")
    } else {
        "Clients configured:\n".to_owned()
    };
    for client in tailwater_promtail::effective_clients(loaded) {
        text.push_str("----------------------\n");
        text.push_str(&client);
        text.push('\n');
    }
    text
}

/// Lets every source go to the standard output, under the name of the first sink, whose positions count.
/// `closed` is notified once nobody reads there any more.
pub(super) fn redirect(config: &mut Config, closed: &Arc<Notify>) -> anyhow::Result<()> {
    let engine = &mut config.engine;
    engine.sinks.truncate(1);
    let sink = engine.sinks.first_mut().context("there is no sink")?;
    sink.labels.clear();
    sink.parts = parts(closed)?;
    sink.batch.max_wait = MAX_WAIT;
    sink.max_in_flight = 1;
    for source in &mut engine.sources {
        source.sinks = vec![0];
    }
    Ok(())
}

fn parts(closed: &Arc<Notify>) -> anyhow::Result<SinkParts> {
    let settings = FileSettings {
        path: "-".into(),
        format: Format::Text,
        sync: false,
        max_bytes: None,
    };
    let parts = settings.build().context("cannot use the standard output")?;
    Ok(SinkParts {
        encoder: Arc::new(Printed {
            is_terminal: stdout().is_terminal(),
        }),
        deliver: Arc::new(Printer {
            inner: parts.deliver,
            closed: Arc::clone(closed),
        }),
    })
}

/// Makes encoders of printed lines.
#[derive(Debug)]
struct Printed {
    is_terminal: bool,
}

impl EncoderFactory for Printed {
    fn make(&self) -> Box<dyn Encode> {
        Box::new(PrintedLines {
            is_terminal: self.is_terminal,
            text: Vec::new(),
        })
    }
}

/// `<time>\t<labels>\t<line>`, with colors on a terminal and only there.
struct PrintedLines {
    is_terminal: bool,
    text: Vec<u8>,
}

impl PrintedLines {
    fn push_field(&mut self, color: &str, field: &str) {
        let (on, off) = if self.is_terminal {
            (color, PLAIN)
        } else {
            ("", "")
        };
        for part in [on, field, off, "\t"] {
            self.text.extend_from_slice(part.as_bytes());
        }
    }
}

impl Encode for PrintedLines {
    fn append(&mut self, record: &RecordView<'_>) {
        let mut labels = String::new();
        put_selector(&mut labels, record.labels.iter());
        self.push_field(BLUE, &time(record.timestamp));
        self.push_field(YELLOW, &labels);
        if self.is_terminal {
            // A log line must not be able to drive the terminal of the person who reads it.
            let line = String::from_utf8_lossy(record.line);
            self.text
                .extend_from_slice(super::harmless(&line).as_bytes());
        } else {
            self.text.extend_from_slice(record.line);
        }
        self.text.push(b'\n');
    }

    fn len(&self) -> usize {
        self.text.len()
    }

    fn seal(&mut self) -> Encoded {
        let body = Bytes::copy_from_slice(&self.text);
        self.text.clear();
        Encoded {
            body,
            stats: EncodeStats::default(),
        }
    }
}

/// Writes a time as Go's layout `2006-01-02T15:04:05.999999999-0700` does, in UTC.
fn time(time: TimestampNs) -> String {
    let time = Timestamp::from_nanosecond(i128::from(time.0)).unwrap_or_default();
    time.strftime("%Y-%m-%dT%H:%M:%S%.f+0000").to_string()
}

/// The standard output, which tells when nobody reads it any more.
#[derive(Debug)]
struct Printer {
    inner: Arc<dyn Deliver>,
    closed: Arc<Notify>,
}

impl Deliver for Printer {
    fn deliver<'a>(&'a self, batch: &'a EncodedBatch) -> DeliverFuture<'a> {
        Box::pin(async move {
            let delivered = self.inner.deliver(batch).await;
            if let Err(DeliverError::Retryable {
                reason: "closed", ..
            }) = &delivered
            {
                self.closed.notify_one();
            }
            delivered
        })
    }

    fn split(&self, body: &Bytes, first_records: u32) -> Result<(Bytes, Bytes), SplitError> {
        self.inner.split(body, first_records)
    }

    fn retain(
        &self,
        body: &Bytes,
        keep: &mut dyn FnMut(u32) -> bool,
    ) -> Result<Option<Bytes>, SplitError> {
        self.inner.retain(body, keep)
    }

    fn decode(
        &self,
        body: &Bytes,
        each: &mut dyn FnMut(DecodedRecord<'_>),
    ) -> Result<(), SplitError> {
        self.inner.decode(body, each)
    }

    fn wire(&self) -> &'static str {
        self.inner.wire()
    }

    fn target(&self) -> String {
        self.inner.target()
    }
}

#[cfg(test)]
mod tests {
    use tailwater_record::{LabelSet, Span};

    use super::*;

    fn printed(is_terminal: bool, line: &[u8]) -> String {
        let labels = LabelSet::new([("job", "a\"b"), ("host", "x")]).unwrap();
        let mut encoder = Printed { is_terminal }.make();
        encoder.append(&RecordView {
            line,
            span: Span { start: 0, end: 1 },
            timestamp: TimestampNs(1_772_323_199_500_000_000),
            labels: &labels,
            severity: None,
            metadata: &[],
        });
        String::from_utf8(encoder.seal().body.to_vec()).unwrap()
    }

    #[test]
    fn a_line_is_printed_as_promtail_prints_it() {
        let expected = "2026-02-28T23:59:59.5+0000\t{host=\"x\", job=\"a\\\"b\"}\tGET /\t\x1b[1m\n";
        assert_eq!(printed(false, b"GET /\t\x1b[1m"), expected);
    }

    #[test]
    fn a_terminal_gets_colors_and_no_commands_of_lines() {
        let text = printed(true, b"\x1b[2Jtext");
        assert!(text.starts_with("\x1b[34m2026-02-28T23:59:59.5+0000\x1b[0m\t\x1b[33m{"));
        assert!(text.ends_with("\t\\u{1b}[2Jtext\n"), "{text:?}");
    }

    #[test]
    fn whole_seconds_have_no_fraction() {
        assert_eq!(time(TimestampNs(1_000_000_000)), "1970-01-01T00:00:01+0000");
    }
}
