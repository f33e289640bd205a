//! In steady state a line costs no allocation in the stages that most lines pass.
#![expect(
    unsafe_code,
    reason = "an allocator that counts is an unsafe trait, and all it does is count"
)]
#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot go on says so by panicking"
)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use tailwater_record::{FileId, LabelSet, Span, TimestampNs};
use tailwater_stages::{Entry, Outcome, StageConfig, Stages, Worker};

struct Counting;

thread_local! {
    /// Of this thread alone: the test harness allocates on others.
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

const NOW: u64 = 1_795_255_200_000_000_000;

/// Sends all lines once; returns how many came out or were dropped.
fn pass(worker: &mut Worker, labels: &LabelSet, lines: &[Vec<u8>]) -> u64 {
    let mut seen = 0;
    let mut offset = 0;
    for line in lines {
        let end = offset + line.len() as u64 + 1;
        let entry = Entry {
            file: FileId(1),
            seed: 1,
            span: Span { start: offset, end },
            line,
            timestamp: TimestampNs(NOW + offset),
            labels,
        };
        worker.process(&entry, &mut |outcome| {
            seen += match outcome {
                Outcome::Record(record) => record.lines,
                Outcome::Dropped(dropped) => dropped.lines,
            };
        });
        offset = end;
    }
    seen
}

/// Goal: nothing is allocated for a line. Method: the same lines three times; the allocator counts
/// during the last.
fn check(yaml: &str, line: impl Fn(usize) -> String) {
    let configured: Vec<StageConfig> = serde_saphyr::from_str(yaml).unwrap();
    let mut worker = Stages::compile(&configured).unwrap().worker();
    let labels = LabelSet::new([("job", "nginx"), ("filename", "/var/log/access.log")]).unwrap();
    let lines: Vec<Vec<u8>> = (0..2_000).map(|number| line(number).into_bytes()).collect();
    pass(&mut worker, &labels, &lines);
    pass(&mut worker, &labels, &lines);
    let before = ALLOCATIONS.with(Cell::get);
    let seen = pass(&mut worker, &labels, &lines);
    let allocations = ALLOCATIONS.with(Cell::get) - before;
    assert_eq!(seen, 2_000);
    assert_eq!(allocations, 0, "{yaml}");
}

fn level(number: usize) -> &'static str {
    match number % 3 {
        0 => "info",
        1 => "warn",
        _ => "error",
    }
}

#[test]
fn cri_lines_cost_no_allocation() {
    check("- cri: {}", |number| {
        let stream = ["stdout", "stderr"][number % 2];
        format!("2026-11-21T10:00:00.{number:09}Z {stream} F GET /shop/{number} 200")
    });
}

#[test]
fn docker_lines_cost_no_allocation() {
    check("- docker: {}", |number| {
        format!(r#"{{"log":"line {number}\n","stream":"stdout","time":"2026-11-21T10:00:00Z"}}"#)
    });
}

#[test]
fn json_lines_cost_no_allocation() {
    let yaml = "
- json: { expressions: { level: , msg: , ts: time, status: http.status, ok: } }
- labels: { level: , status: , ok: }
- timestamp: { source: ts, format: RFC3339 }
- output: { source: msg }
";
    check(yaml, |number| {
        format!(
            r#"{{"time":"2026-11-21T10:00:00.5Z","level":"{}","http":{{"status":{},"x":[1,2]}},"ok":true,"msg":"a \"b\" {number}"}}"#,
            level(number),
            200 + number % 5,
        )
    });
}

#[test]
fn logfmt_lines_cost_no_allocation() {
    let yaml = "- logfmt: { mapping: { level: , ts: time, msg: } }\n- labels: { level: }\n- timestamp: { source: ts, format: Unix, action_on_failure: skip }\n- output: { source: msg }";
    check(yaml, |number| {
        format!(
            "level={} time=17952552{:02} msg=\"a \\\"b\\\" {number}\"",
            level(number),
            number % 60
        )
    });
}

#[test]
fn lines_of_an_access_log_cost_no_allocation() {
    let yaml = r#"
- regex: { expression: '^(?P<ip>\S+) \S+ (?P<user>\S+) \[(?P<ts>[^\]]+)\] "(?P<method>\S+) (?P<path>\S+) [^"]*" (?P<status>\d{3}) (?P<size>\d+)' }
- labels: { method: , status: }
- timestamp: { source: ts, format: '02/Jan/2006:15:04:05 -0700', location: Europe/Berlin }
- drop: { source: path, expression: '^/health' }
- drop: { source: [ method, status ], value: 'GET;204' }
- drop: { older_than: 1h, longer_than: 10kb, expression: 'bot' }
- match: { selector: '{status=~"5.."} |= "GET"', stages: [ { static_labels: { severity: error } } ] }
- match: { selector: '{method="POST"} != "login"', action: drop }
"#;
    check(yaml, |number| {
        let method = ["GET", "POST"][number % 2];
        let path = ["/", "/health", "/ü", "/login"][number % 4];
        let status = [200, 204, 500][number % 3];
        format!(
            r#"203.0.113.{} - - [21/Nov/2026:10:00:{:02} +0000] "{method} {path} HTTP/1.1" {status} {number} "-" "curl/8""#,
            number % 250,
            number % 60,
        )
    });
}

#[test]
fn lines_that_do_not_fit_cost_no_allocation() {
    let yaml = "- cri: {}\n- json: { expressions: { a: } }\n- logfmt: { mapping: { b: } }\n- timestamp: { source: a, format: RFC3339 }";
    check(yaml, |number| format!("plain text {number} \u{e9}"));
}

#[test]
fn lines_of_one_set_of_labels_are_counted_without_an_allocation() {
    let yaml = "- regex: { expression: '(?P<v>\\d+)' }\n- metrics: { v: { type: histogram, config: { buckets: [ 1, 10 ] } } }\n- static_labels: { a: b }\n- sampling: { rate: 0.5 }\n- labeldrop: [ job ]";
    check(yaml, |number| format!("value {number}"));
}

#[test]
fn levels_and_what_is_kept_by_them_cost_no_allocation() {
    let yaml = "
- json: { expressions: { level: } }
- level: { map: { loud: ERROR }, default: INFO }
- sampling: { rate: 0.1, keep: { level: warn } }
";
    check(yaml, |number| match number % 4 {
        0 => format!("[notice] {number}"),
        1 => format!(r#"{{"level":{},"msg":"{number}"}}"#, number % 60),
        _ => format!(r#"{{"level":"{}","msg":"{number}"}}"#, level(number)),
    });
}
