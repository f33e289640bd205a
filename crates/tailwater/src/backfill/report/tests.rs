use std::path::PathBuf;

use tailwater_tailer::Damage;

use super::super::choose::{SkipReason, Skipped};
use super::*;

fn file(
    path: &str,
    state: FileState,
    lines_read: u64,
    resumed_at: u64,
    decoded: u64,
) -> FileReport {
    FileReport {
        path: PathBuf::from(path),
        source: 0,
        state,
        lines_read,
        resumed_at,
        decoded_bytes: decoded,
        raw_bytes: 0,
        raw_len: 0,
    }
}

fn books(
    read: u64,
    acked: u64,
    rejected: &[(&'static str, u64)],
    dropped: &[(&'static str, u64)],
) -> RouteBooks {
    let counts = |counts: &[(&'static str, u64)]| {
        counts
            .iter()
            .map(|(reason, count)| (Reason::from(*reason), *count))
            .collect::<BTreeMap<_, _>>()
    };
    let mut books = RouteBooks {
        source: "s".into(),
        sink: "loki".into(),
        read_records: read,
        read_lines: read,
        acked_records: acked,
        rejected_records: counts(rejected),
        dropped_records: counts(dropped),
        ..RouteBooks::default()
    };
    books.in_flight_records = read - acked - books.rejected_total() - books.dropped_total();
    books
}

struct Run {
    ended: Ended,
    files: Vec<FileReport>,
    chosen: Chosen,
    before: Vec<RouteBooks>,
    books: Vec<RouteBooks>,
    left: Left,
    refused_before: u64,
}

impl Run {
    fn new(files: Vec<FileReport>, books: RouteBooks) -> Self {
        Self {
            ended: Ended::Finished,
            files,
            chosen: Chosen::default(),
            before: Vec::new(),
            books: vec![books],
            left: Left {
                unread_lines: Some(0),
                ..Left::default()
            },
            refused_before: 0,
        }
    }

    fn report(&self) -> Report {
        Report::of(&Figures {
            ended: self.ended,
            files: &self.files,
            chosen: &self.chosen,
            books_before: &self.before,
            books: &self.books,
            stage_reasons: &BTreeSet::from(["noise".to_owned()]),
            left: &self.left,
            refused_before: self.refused_before,
            elapsed: Duration::from_secs(2),
        })
    }

    fn table(&self) -> String {
        let mut out = Vec::new();
        self.report().print(&mut out).unwrap();
        String::from_utf8(out).unwrap()
    }
}

fn whole() -> Run {
    let files = vec![file("/l/a.log", FileState::Whole, 1000, 0, 2 << 20)];
    Run::new(files, books(1000, 1000, &[], &[]))
}

#[test]
fn a_run_that_delivers_everything_is_complete_and_says_so() {
    let run = whole();
    assert!(run.report().is_complete);
    assert_eq!(
        run.table(),
        "files              1: 1 whole\n\
         read               1,000 lines, 2 MiB\n\
         delivered          1,000\n\
         rejected           0\n\
         undelivered        0\n\
         duplicates avoided not counted, 0 B\n\
         elapsed            2s, 1 MiB/s, 500 lines/s\n\
         result             every line is delivered\n"
            .replace("elapsed            2s", "elapsed            2.0s")
    );
}

#[test]
fn lines_that_the_configuration_or_the_range_leaves_out_are_counted_and_no_failure() {
    let mut run = whole();
    run.books = vec![books(
        1000,
        700,
        &[],
        &[("noise", 200), (OUTSIDE_TIME_RANGE, 100)],
    )];
    let report = run.report();
    assert!(report.is_complete);
    assert_eq!(report.sinks[0].outside_time_range, 100);
    assert_eq!(report.sinks[0].dropped_by_stages["noise"], 200);
    assert!(report.sinks[0].dropped.is_empty());
}

#[test]
fn whatever_else_becomes_of_a_line_is_a_failure() {
    for (rejected, dropped) in [
        (&[("too_old", 1)][..], &[][..]),
        (&[], &[("queue_full", 1)][..]),
        (&[], &[("ingester_error", 1)][..]),
    ] {
        let mut run = whole();
        run.books = vec![books(1000, 999, rejected, dropped)];
        assert!(!run.report().is_complete, "{rejected:?} {dropped:?}");
    }
    let mut run = whole();
    run.books = vec![books(1000, 999, &[("too_old", 1)], &[])];
    assert!(run.table().contains("1: 1 too_old"), "{}", run.table());
    assert!(run.table().contains("reject_old_samples_max_age"));
}

#[test]
fn files_that_are_not_whole_are_named_and_a_failure() {
    for (state, word) in [
        (FileState::Damaged(Damage::Corrupt), "damaged"),
        (FileState::Unreadable("no way".to_owned()), "unreadable"),
    ] {
        let mut run = whole();
        run.files.push(file("/l/b.log.gz", state, 10, 0, 100));
        assert!(!run.report().is_complete);
        assert!(
            run.table().contains(&format!("1 {word}")),
            "{}",
            run.table()
        );
        assert!(run.table().contains("/l/b.log.gz"));
    }
    let mut run = whole();
    run.chosen.skipped.push(Skipped {
        path: PathBuf::from("/l/live.log"),
        reason: SkipReason::Followed,
    });
    assert!(run.report().is_complete);
    assert!(run.table().contains("1 skipped"));
}

#[test]
fn only_what_this_run_has_done_counts() {
    let mut run = whole();
    run.before = vec![books(5000, 4000, &[("too_old", 1000)], &[])];
    run.books = vec![books(6000, 5000, &[("too_old", 1000)], &[])];
    let report = run.report();
    assert!(report.is_complete);
    assert_eq!(report.sinks[0].delivered, 1000);
    assert!(report.sinks[0].rejected.is_empty());
}

#[test]
fn undelivered_is_what_was_not_acknowledged_what_is_held_and_what_was_not_read() {
    let mut run = whole();
    run.ended = Ended::GaveUp;
    run.files[0].state = FileState::Reading;
    run.files[0].lines_read = 1003;
    run.books = vec![books(1000, 600, &[], &[])];
    run.left.unread_lines = Some(5000);
    let report = run.report();
    assert_eq!(report.held_lines, 3);
    assert_eq!(report.undelivered(), Some(400 + 3 + 5000));
    assert!(!report.is_complete);
    assert!(
        report.result().contains("5,403 lines"),
        "{}",
        report.result()
    );
}
