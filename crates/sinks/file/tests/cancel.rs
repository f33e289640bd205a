//! What a delivery leaves behind whose future was dropped.

use std::fs;
use std::future::poll_fn;
use std::task::Poll;

use bytes::Bytes;
use tailwater_record::{BatchId, EncodedBatch};
use tailwater_sink::SinkSettings;
use tailwater_sink_file::FileSettings;

fn batch(id: u64, lines: usize) -> EncodedBatch {
    EncodedBatch {
        id: BatchId(id),
        body: Bytes::from("a line of 20 bytes.\n".repeat(lines)),
        tenant: None,
        spans: Vec::new(),
        record_ends: vec![0; lines],
    }
}

#[tokio::test]
async fn a_batch_whose_future_was_dropped_is_not_mixed_with_the_next_one() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("out.log");
    let settings = serde_json::json!({ "path": path, "format": "text" });
    let settings: FileSettings = serde_json::from_value(settings).unwrap();
    let parts = settings.build().unwrap();

    let abandoned = batch(1, 50);
    let mut delivery = parts.deliver.deliver(&abandoned);
    poll_fn(|context| {
        // The other thread may be that fast; what the file holds is the same question then.
        drop(delivery.as_mut().poll(context));
        Poll::Ready(())
    })
    .await;
    drop(delivery);

    parts.deliver.deliver(&batch(2, 50)).await.unwrap();
    let content = fs::read_to_string(&path).unwrap();
    assert!(content.lines().all(|line| line == "a line of 20 bytes."));
    let lines = content.lines().count();
    assert!(lines == 50 || lines == 100, "{lines}");
}
