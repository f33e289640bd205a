//! A line costs no allocation: from the framer into the open batch, with the Loki encoder.
#![expect(
    unsafe_code,
    reason = "an allocator that counts is an unsafe trait, and all it does is count"
)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tailwater_batcher::{BatchLimits, OpenBatch};
use tailwater_record::{BatchId, CursorId, FileId, LabelSet, Marker, RecordView, TimestampNs};
use tailwater_sink::SinkSettings as _;
use tailwater_tailer::frame::{ChunkEnd, ResolvedEncoding};
use tailwater_tailer::{Encoding, FrameConfig, FrameState, FrameStats, Framer, OverLimit};

struct Counting;

static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);

// SAFETY: every call is passed on to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: as above.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: as above.
        unsafe { System.realloc(pointer, layout, new_size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Frames a chunk and appends its lines; returns how many.
fn take_chunk(
    batch: &mut OpenBatch,
    chunk: &[u8],
    labels: &LabelSet,
    scratch: &mut Vec<u8>,
    now: Instant,
) -> u64 {
    let config = FrameConfig {
        max_line_bytes: 256 << 10,
        over_limit: OverLimit::Truncate,
        encoding: Encoding::Auto,
    };
    let (mut within, mut counts) = (FrameState::default(), FrameStats::default());
    let encoding = ResolvedEncoding::Utf8;
    let mut framer = Framer::new(
        &config,
        encoding,
        &mut within,
        chunk,
        0,
        ChunkEnd::MoreMayFollow,
        scratch,
        &mut counts,
    );
    batch.start_span(
        CursorId {
            file: FileId(1),
            sink: 0,
            reader: 0,
        },
        0,
        0,
        now,
    );
    let mut lines = 0;
    while let Some(framed) = framer.next() {
        lines += 1;
        let timestamp = TimestampNs(1_700_000_000_000_000_000 + lines);
        let record = RecordView {
            line: framed.line,
            span: framed.span,
            timestamp,
            labels,
            metadata: &[],
        };
        assert_eq!(batch.append(&record), tailwater_batcher::Fill::HasRoom);
    }
    let end = framer.offset();
    batch.end_span(end, Marker::default(), 0);
    lines
}

/// Goal: no allocation between the first and the last line of a batch, once the buffers have their
/// size. Method: the same chunk twice; the allocator counts during the second.
#[test]
#[expect(
    clippy::disallowed_methods,
    reason = "any instant will do, and the rate is for people"
)]
fn a_hundred_thousand_lines_cost_no_allocation() {
    let line = "203.0.113.7 - - [21/Nov/2026:10:00:00 +0000] \"GET /shop/cart HTTP/1.1\" 200 5316 \"-\" \"curl/8\"\n";
    let chunk = line.repeat(100_000);
    let settings: tailwater_sink_loki::LokiSettings =
        serde_json::from_str(r#"{ "url": "http://127.0.0.1:9" }"#).unwrap();
    let encoder = settings.build().unwrap().encoder.make();
    let limits = BatchLimits {
        max_bytes: usize::MAX,
        max_records: u32::MAX,
        max_wait: Duration::from_secs(1),
    };
    let mut batch = OpenBatch::new(encoder, limits, None, 1);
    let labels =
        LabelSet::new([("job", "nginx"), ("filename", "/var/log/nginx/access.log")]).unwrap();
    let mut scratch = Vec::new();
    let now = Instant::now();
    take_chunk(&mut batch, chunk.as_bytes(), &labels, &mut scratch, now);
    batch.seal(BatchId(1)).unwrap();

    let before = ALLOCATIONS.load(Ordering::Relaxed);
    let started = Instant::now();
    let lines = take_chunk(&mut batch, chunk.as_bytes(), &labels, &mut scratch, now);
    let elapsed = started.elapsed();
    let allocations = ALLOCATIONS.load(Ordering::Relaxed) - before;

    assert_eq!(lines, 100_000);
    // What is left is per batch: the labels of the stream, written once, and the list of spans.
    assert!(
        allocations <= 16,
        "{allocations} allocations for {lines} lines"
    );
    println!(
        "{lines} lines, {allocations} allocations, {:.0} lines/s",
        100_000.0 / elapsed.as_secs_f64()
    );
}
