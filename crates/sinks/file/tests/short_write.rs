//! What a write that stops half way leaves behind.
//!
//! The limit on file sizes makes the kernel take the first part of a write and refuse the rest. It
//! holds for the whole process, so this test has a process of its own.

#![expect(
    clippy::unwrap_used,
    reason = "a test stops at the first surprise, also outside of #[test] functions"
)]

use std::fs;
use std::path::Path;

use bytes::Bytes;
use rustix::process::{Resource, getrlimit, setrlimit};
use tailwater_record::{BatchId, EncodedBatch};
use tailwater_sink::{DeliverError, SinkParts, SinkSettings};
use tailwater_sink_file::FileSettings;
use tokio::signal::unix::{SignalKind, signal};

/// The number of SIGXFSZ on Linux.
const FILE_SIZE_SIGNAL: i32 = 25;

fn sink(path: &Path) -> SinkParts {
    let settings = serde_json::json!({ "path": path, "format": "text" });
    let settings: FileSettings = serde_json::from_value(settings).unwrap();
    settings.build().unwrap()
}

fn batch(id: u64, lines: usize) -> EncodedBatch {
    EncodedBatch {
        id: BatchId(id),
        body: Bytes::from("a line of 20 bytes.\n".repeat(lines)),
        tenant: None,
        spans: Vec::new(),
        record_ends: vec![0; lines],
    }
}

fn limit_file_bytes(max_bytes: Option<u64>) {
    let mut limit = getrlimit(Resource::Fsize);
    limit.current = max_bytes;
    setrlimit(Resource::Fsize, limit).unwrap();
}

#[tokio::test]
async fn a_batch_that_was_written_in_part_leaves_no_torn_line_and_goes_out_whole_later() {
    // With a handler, the refused write fails instead of ending the process.
    let _handler = signal(SignalKind::from_raw(FILE_SIZE_SIGNAL)).unwrap();
    let unlimited = getrlimit(Resource::Fsize).current;
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("out.log");
    let parts = sink(&path);
    parts.deliver.deliver(&batch(1, 100)).await.unwrap();
    let before = fs::read(&path).unwrap();

    limit_file_bytes(Some(3_010));
    let error = parts.deliver.deliver(&batch(2, 100)).await.unwrap_err();
    let after_failure = fs::read(&path).unwrap();
    limit_file_bytes(unlimited);

    assert!(
        matches!(
            error,
            DeliverError::Retryable {
                reason: "disk_full",
                ..
            }
        ),
        "{error}"
    );
    assert!(after_failure == before, "{} bytes", after_failure.len());
    parts.deliver.deliver(&batch(2, 100)).await.unwrap();
    let whole = "a line of 20 bytes.\n".repeat(200);
    assert_eq!(fs::read_to_string(&path).unwrap(), whole);
}
