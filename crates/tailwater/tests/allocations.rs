//! A line costs no allocation: from the framer into the open batch, with the Loki encoder, through stages
//! or without.
#![expect(
    unsafe_code,
    reason = "an allocator that counts is an unsafe trait, and all it does is count"
)]
#![expect(
    clippy::unwrap_used,
    reason = "functions of tests outside of `#[test]`"
)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::time::{Duration, Instant};

use tailwater_batcher::{BatchLimits, Fill, OpenBatch};
use tailwater_engine::SEVERITY_METADATA;
use tailwater_record::{
    BatchId, CursorId, FileId, LabelSet, Level, Marker, RecordView, Severity, TimestampNs,
};
use tailwater_sink::SinkSettings as _;
use tailwater_stages::{Entry, Outcome, StageConfig, Stages, Worker};
use tailwater_tailer::frame::{ChunkEnd, ResolvedEncoding};
use tailwater_tailer::{Encoding, FrameConfig, FrameState, FrameStats, Framer, OverLimit};

struct Counting;

thread_local! {
    /// Of this thread alone: the other tests allocate on theirs.
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

fn count() {
    ALLOCATIONS.with(|allocations| allocations.set(allocations.get() + 1));
}

// SAFETY: every call is passed on to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: as above.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        count();
        // SAFETY: as above.
        unsafe { System.realloc(pointer, layout, new_size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// How the lines of a file become records.
struct Path {
    batch: OpenBatch,
    labels: LabelSet,
    /// None: each line is a record.
    worker: Option<Worker>,
    /// Whether such a record is sent with what it says of its severity.
    has_severity: bool,
    scratch: Vec<u8>,
    now: Instant,
}

impl Path {
    #[expect(clippy::disallowed_methods, reason = "any instant will do")]
    fn new(stages: Option<&str>) -> Self {
        let settings: tailwater_sink_loki::LokiSettings =
            serde_json::from_str(r#"{ "url": "http://127.0.0.1:9" }"#).unwrap();
        let limits = BatchLimits {
            max_bytes: usize::MAX,
            max_records: u32::MAX,
            max_wait: Duration::from_secs(1),
        };
        let encoder = settings.build().unwrap().encoder.make();
        let labels = [("job", "nginx"), ("filename", "/var/log/nginx/access.log")];
        let worker = |stages| {
            let configured: Vec<StageConfig> = serde_json::from_str(stages).unwrap();
            Stages::compile(&configured).unwrap().worker()
        };
        Self {
            batch: OpenBatch::new(encoder, limits, None, 1),
            labels: LabelSet::new(labels).unwrap(),
            worker: stages.map(worker),
            has_severity: false,
            scratch: Vec::new(),
            now: Instant::now(),
        }
    }

    /// Frames a chunk and appends what its lines become; returns how many lines that were.
    fn take(&mut self, chunk: &[u8]) -> u64 {
        let config = FrameConfig {
            max_line_bytes: 256 << 10,
            over_limit: OverLimit::Truncate,
            encoding: Encoding::Auto,
        };
        let (mut within, mut counts) = (FrameState::default(), FrameStats::default());
        let mut framer = Framer::new(
            &config,
            ResolvedEncoding::Utf8,
            &mut within,
            chunk,
            0,
            ChunkEnd::MoreMayFollow,
            &mut self.scratch,
            &mut counts,
        );
        let cursor = CursorId {
            file: FileId(1),
            sink: 0,
            reader: 0,
        };
        let batch = &mut self.batch;
        batch.start_span(cursor, 0, 0, self.now);
        let (mut read, mut done) = (0, 0);
        while let Some(framed) = framer.next() {
            read += 1;
            let record = RecordView {
                line: framed.line,
                span: framed.span,
                timestamp: TimestampNs(1_795_255_200_000_000_000 + read),
                labels: &self.labels,
                severity: None,
                metadata: &[],
            };
            let is_graded = self.has_severity && self.worker.is_none();
            let record = RecordView {
                severity: Some(framed.line)
                    .filter(|_| is_graded)
                    .and_then(severity_of),
                ..record
            };
            let Some(worker) = &mut self.worker else {
                assert_eq!(append(batch, &record), Fill::HasRoom);
                done += 1;
                continue;
            };
            batch.note_line(record.timestamp);
            let entry = Entry {
                file: cursor.file,
                seed: 1,
                span: record.span,
                line: record.line,
                timestamp: record.timestamp,
                labels: record.labels,
            };
            worker.process(&entry, &mut |outcome| {
                let Outcome::Record(record) = outcome else {
                    panic!("no stage drops a line here");
                };
                assert_eq!(batch.append_made(&record.view()), Fill::HasRoom);
                done += record.lines;
            });
        }
        let end = framer.offset();
        self.batch.end_span(end, Marker::default(), 0);
        done
    }
}

fn severity_of(line: &[u8]) -> Option<Severity> {
    Level::detect(line).map(Severity::from)
}

/// Appends a record with its severity as structured metadata, as the pipeline does.
fn append(batch: &mut OpenBatch, record: &RecordView<'_>) -> Fill {
    let Some(severity) = record.severity else {
        return batch.append(record);
    };
    let [text, number] = SEVERITY_METADATA;
    let metadata = &[(text, severity.as_str()), (number, severity.digits())];
    batch.append(&RecordView {
        metadata,
        ..*record
    })
}

const LINES: u64 = 20_000;

/// Goal: no allocation between the first and the last line of a batch, once the buffers have their
/// size. Method: the same chunk twice; the allocator counts during the second. Returns the lines that
/// became records, and the allocations.
fn second_pass(stages: Option<&str>, line: impl Fn(u64) -> String) -> (u64, u64) {
    second_pass_of(Path::new(stages), line)
}

fn second_pass_of(mut path: Path, line: impl Fn(u64) -> String) -> (u64, u64) {
    let chunk: String = (0..LINES).map(|number| line(number) + "\n").collect();
    path.take(chunk.as_bytes());
    path.batch.seal(BatchId(1)).unwrap();
    let before = ALLOCATIONS.with(Cell::get);
    let lines = path.take(chunk.as_bytes());
    (lines, ALLOCATIONS.with(Cell::get) - before)
}

fn check(stages: Option<&str>, line: impl Fn(u64) -> String) {
    let (lines, allocations) = second_pass(stages, line);
    assert_eq!(lines, LINES);
    // What is left is per batch: the labels of the streams, written once, and the list of spans.
    assert!(
        allocations <= 16,
        "{allocations} allocations for {lines} lines of {stages:?}"
    );
}

fn access(number: u64) -> String {
    let method = if number.is_multiple_of(2) {
        "GET"
    } else {
        "POST"
    };
    let status = 200 + number % 3;
    format!(
        r#"203.0.113.{} - - [21/Nov/2026:10:00:{:02} +0000] "{method} /shop/{number} HTTP/1.1" {status} {number} "-" "curl/8""#,
        number % 250,
        number % 60,
    )
}

#[test]
fn plain_lines_cost_no_allocation() {
    check(None, access);
}

#[test]
fn lines_with_a_severity_cost_no_allocation() {
    let path = Path {
        has_severity: true,
        ..Path::new(None)
    };
    let (lines, allocations) = second_pass_of(path, |number| {
        let level = one_of(&["INFO", "WARN", "ERROR", "nothing"], number);
        format!("2026-11-21 10:00:00 {level} line {number}")
    });
    assert_eq!(lines, LINES);
    assert!(allocations <= 16, "{allocations} for {lines} lines");
    let stages = r#"[
        {"regex": {"expression": "\" (?P<status>\\d{3}) "}},
        {"level": {"source": "status", "from": "http_status"}}
    ]"#;
    check(Some(stages), access);
}

#[test]
fn lines_of_json_cost_no_allocation() {
    let stages = r#"[
        {"json": {"expressions": {"level": "", "status": "http.status", "ts": "time"}}},
        {"labels": {"level": "", "status": ""}},
        {"timestamp": {"source": "ts", "format": "RFC3339"}}
    ]"#;
    check(Some(stages), |number| {
        let level = one_of(&["info", "warn", "error"], number);
        format!(
            r#"{{"time":"2026-11-21T10:00:{:02}Z","level":"{level}","http":{{"status":{}}},"msg":"a \"b\" {number}"}}"#,
            number % 60,
            200 + number % 5,
        )
    });
}

#[test]
fn lines_of_logfmt_cost_no_allocation() {
    let stages = r#"[
        {"logfmt": {"mapping": {"level": "", "ts": "time"}}},
        {"labels": {"level": ""}},
        {"timestamp": {"source": "ts", "format": "Unix"}}
    ]"#;
    check(Some(stages), |number| {
        let level = one_of(&["info", "warn"], number);
        let time = 1_795_255_200 + number % 60;
        format!(r#"level={level} time={time} msg="a \"b\" {number}""#)
    });
}

#[test]
fn lines_of_an_expression_cost_no_allocation() {
    let stages = r#"[
        {"regex": {"expression": "^(?P<ip>\\S+) \\S+ \\S+ \\[(?P<ts>[^\\]]+)\\] \"(?P<method>\\S+) [^\"]*\" (?P<status>\\d{3})"}},
        {"labels": {"method": "", "status": ""}},
        {"timestamp": {"source": "ts", "format": "02/Jan/2006:15:04:05 -0700"}}
    ]"#;
    check(Some(stages), access);
}

#[test]
fn lines_of_a_container_cost_no_allocation() {
    check(Some(r#"[{"cri": {}}]"#), |number| {
        let stream = one_of(&["stdout", "stderr"], number);
        format!("2026-11-21T10:00:00.{number:09}Z {stream} F GET /shop/{number} 200")
    });
}

/// A line that continues a group costs nothing; the group is a copy, which costs something once.
#[test]
fn lines_that_are_joined_cost_allocations_per_record_alone() {
    let stages = r#"[{"multiline": {"firstline": "^\\d"}}]"#;
    let allocations = |per_record| {
        let (_, allocations) = second_pass(Some(stages), move |number| {
            let start = if number % per_record == 0 {
                "2026"
            } else {
                "\tat"
            };
            format!("{start} line {number}")
        });
        allocations
    };
    let records = |per_record| LINES / per_record;
    assert!(allocations(10) <= 16 * records(10));
    assert!(allocations(100) <= 16 * records(100) + 16);
}

fn one_of<'a>(words: &[&'a str], number: u64) -> &'a str {
    let mut turns = words.iter().cycle();
    turns
        .nth(usize::try_from(number % words.len() as u64).unwrap())
        .unwrap()
}
