//! The status, as JSON and as a page for people.

use std::fmt::Write as _;

use serde_json::{Value, json};
use tailwater_engine::{FileStatus, RouteBooks, SinkState, SinkStatus, Status};

pub(super) fn to_json(status: &Status) -> Value {
    json!({
        "version": env!("CARGO_PKG_VERSION"),
        "unanswered_workers": status.unanswered_workers,
        "books": status.books.iter().map(book_json).collect::<Vec<_>>(),
        "sinks": status.sinks.iter().map(sink_json).collect::<Vec<_>>(),
        "files": status.files.iter().map(file_json).collect::<Vec<_>>(),
        "positions": {
            "files": status.checkpoint.files,
            "checkpoints": status.checkpoint.checkpoints,
            "failures": status.checkpoint.failures,
            "last_error": status.checkpoint.last_error,
        },
        "memory": { "used_bytes": status.memory_used_bytes, "max_bytes": status.memory_max_bytes },
    })
}

fn book_json(book: &RouteBooks) -> Value {
    json!({
        "source": &*book.source,
        "sink": &*book.sink,
        "read_records": book.read_records,
        "acked_records": book.acked_records,
        "dropped_records": book.dropped_records,
        "rejected_records": book.rejected_records,
        "spilled_records": book.spilled_records,
        "in_flight_records": book.in_flight_records,
        "read_bytes": book.read_bytes,
        "acked_bytes": book.acked_bytes,
        "lost_unread_bytes": book.lost_unread_bytes,
    })
}

fn sink_json(sink: &SinkStatus) -> Value {
    json!({
        "name": sink.name,
        "target": sink.target,
        "state": state_word(sink.state),
        "failure": sink.failure.as_ref().map(|(reason, detail, attempts)| json!({
            "reason": reason, "detail": detail, "attempts": attempts,
        })),
        "requests": sink.requests,
        "in_flight_batches": sink.in_flight_batches,
        "queued_batches": sink.queued_batches,
        "queue_used_bytes": sink.queue_used_bytes,
        "queue_max_bytes": sink.queue_max_bytes,
        "oldest_unacked_seconds": sink.oldest_unacked.map(|age| age.as_secs_f64()),
        "spill": {
            "bytes": sink.spill.bytes,
            "max_bytes": sink.spill.max_bytes,
            "segments": sink.spill.segments,
            "batches": sink.spill.frames,
            "lost_batches": sink.spill.lost_frames,
            "is_full": sink.spill.full > 0,
        },
        "dead_letters": {
            "records": sink.dead_letters.records,
            "bytes": sink.dead_letters.bytes,
        },
    })
}

fn file_json(file: &FileStatus) -> Value {
    let (fingerprint, fingerprint_bytes) = &file.fingerprint;
    json!({
        "source": file.source,
        "sink": file.sink,
        "path": file.path.to_string_lossy(),
        "current_path": file.current_path.as_ref().map(|path| path.to_string_lossy()),
        "identity": {
            "device": file.device,
            "inode": file.inode,
            "fingerprint": fingerprint,
            "fingerprint_bytes": fingerprint_bytes,
        },
        "read_offset": file.read_offset,
        "offset": file.acked_offset,
        "size_bytes": file.size_bytes,
        "lag_bytes": file.size_bytes.saturating_sub(file.acked_offset),
        "oldest_unsent_seconds": file.oldest_unacked.map(|age| age.as_secs_f64()),
        "is_rotated": file.is_rotated,
        "is_open": file.is_open,
    })
}

fn state_word(state: SinkState) -> &'static str {
    match state {
        SinkState::Delivering => "delivering",
        SinkState::Retrying => "retrying",
    }
}

/// Files listed on the page; all of them stand in the JSON.
const MAX_PAGE_FILES: usize = 200;

pub(super) fn to_text(status: &Status) -> String {
    let mut text = format!("tailwater {}\n\nSINKS\n", env!("CARGO_PKG_VERSION"));
    let mut line = |arguments: std::fmt::Arguments<'_>| {
        // Writing to a string cannot fail.
        text.write_fmt(arguments).ok();
        text.push('\n');
    };
    for sink in &status.sinks {
        let failure = sink
            .failure
            .as_ref()
            .map_or(String::new(), |(reason, detail, attempts)| {
                format!(", {reason} after {attempts} attempts: {detail}")
            });
        line(format_args!(
            "  {}  {}  {}{failure}",
            sink.name,
            sink.target,
            state_word(sink.state)
        ));
    }
    line(format_args!(
        "\nBOOKS (records)\n  source  sink  read = acked + dropped + rejected + spilled + in flight"
    ));
    for book in &status.books {
        line(format_args!(
            "  {}  {}  {} = {} + {} + {} + {} + {}",
            book.source,
            book.sink,
            book.read_records,
            book.acked_records,
            book.dropped_total(),
            book.rejected_total(),
            book.spilled_records,
            book.in_flight_records
        ));
    }
    line(format_args!(
        "\nFILES ({})\n  lag bytes  size bytes  path",
        status.files.len()
    ));
    for file in status.files.iter().take(MAX_PAGE_FILES) {
        let lag = file.size_bytes.saturating_sub(file.acked_offset);
        line(format_args!(
            "  {lag:>9}  {:>10}  {}",
            file.size_bytes,
            file.path.display().to_string().escape_debug()
        ));
    }
    if status.files.len() > MAX_PAGE_FILES {
        line(format_args!(
            "  … {} more in /api/v1/status",
            status.files.len() - MAX_PAGE_FILES
        ));
    }
    line(format_args!(
        "\nMetrics: /metrics   Everything as JSON: /api/v1/status"
    ));
    text
}
