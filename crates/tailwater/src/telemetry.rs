//! The metrics: the engine's figures under Prometheus names.
//!
//! Figures are kept by the engine, per batch and per chunk; they meet the metrics only when somebody
//! asks. All of a route's figures are of one moment, so the books balance in every answer.

mod exposition;
mod own;
mod process;
mod promtail;

use std::borrow::Cow;
use std::collections::BTreeMap;

use metrics::{counter, describe_counter, describe_gauge, gauge};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle, PrometheusRecorder};
use tailwater_engine::{RouteBooks, SinkState, SinkStatus, Status};

use self::exposition::Exposition;
pub(crate) use self::promtail::Process;

/// What the stages count, added up over the sources.
#[derive(Clone, Debug, Default)]
pub(crate) struct StageFigures {
    /// The metrics that stages make of lines, each name once.
    pub(crate) samples: Vec<tailwater_stages::Sample>,
    /// Lines that stages dropped, by reason.
    pub(crate) dropped_lines: BTreeMap<Cow<'static, str>, u64>,
    /// Lines that `limit` dropped: name and value of the label, and how many.
    pub(crate) dropped_by_label: Vec<(String, String, u64)>,
}

/// Gathers what the stages count.
fn stage_figures(status: &Status) -> StageFigures {
    // Each sink of a source has its lines go through the stages: they count once.
    let mut by_source: BTreeMap<(&str, &Cow<'static, str>), u64> = BTreeMap::new();
    for books in &status.books {
        for (reason, records) in &books.dropped_by_stages {
            let most = by_source.entry((&*books.source, reason)).or_default();
            *most = (*records).max(*most);
        }
    }
    let mut dropped_lines = BTreeMap::new();
    for ((_, reason), records) in by_source {
        *dropped_lines.entry(reason.clone()).or_default() += records;
    }
    let by_label = status.stage_drops_by_label.iter();
    StageFigures {
        samples: status.stages.clone(),
        dropped_lines,
        dropped_by_label: by_label
            .map(|((name, value), lines)| (name.clone(), value.clone(), *lines))
            .collect(),
    }
}

/// Names and help texts of the counters.
const COUNTERS: [(&str, &str); 42] = [
    (
        "tailwater_read_lines_total",
        "Lines read from files, per source and sink.",
    ),
    (
        "tailwater_joined_lines_total",
        "Lines that stages joined to a record which another line began.",
    ),
    (
        "tailwater_read_records_total",
        "Records read from files, per source and sink.",
    ),
    (
        "tailwater_read_bytes_total",
        "Bytes of those lines, without delimiters.",
    ),
    (
        "tailwater_acked_records_total",
        "Records the sink has taken responsibility for.",
    ),
    (
        "tailwater_acked_bytes_total",
        "Bytes of those lines, without delimiters.",
    ),
    (
        "tailwater_rejected_records_total",
        "Records the sink refused for good, by reason.",
    ),
    (
        "tailwater_dropped_records_total",
        "Records that a policy has dropped, by reason.",
    ),
    (
        "tailwater_spill_batches_total",
        "Batches that went to disk because the sink was slow.",
    ),
    (
        "tailwater_spill_lost_batches_total",
        "Batches on disk that could not be read back.",
    ),
    (
        "tailwater_spill_failures_total",
        "Writes to and reads from the spill that failed.",
    ),
    (
        "tailwater_dead_letter_records_total",
        "Records refused for good that were kept.",
    ),
    (
        "tailwater_dead_letter_evictions_total",
        "Kept batches of refused records that made room for later ones.",
    ),
    (
        "tailwater_dead_letter_failures_total",
        "Times that refused records could not be kept.",
    ),
    (
        "tailwater_intent_failures_total",
        "Batches sent without a note of what they are made of.",
    ),
    (
        "tailwater_lost_unread_bytes_total",
        "Bytes that were seen in a file and could not be read any more.",
    ),
    (
        "tailwater_truncated_lines_total",
        "Lines over the limit that were cut.",
    ),
    (
        "tailwater_split_lines_total",
        "Lines over the limit that became several records.",
    ),
    (
        "tailwater_skipped_bytes_total",
        "Bytes of lines over the limit that were skipped.",
    ),
    (
        "tailwater_hole_bytes_total",
        "NUL bytes skipped at the start of files truncated under their writer.",
    ),
    (
        "tailwater_replaced_lines_total",
        "Lines in which something that is not text was replaced.",
    ),
    (
        "tailwater_sink_requests_total",
        "Requests made to the sink.",
    ),
    (
        "tailwater_sink_failures_total",
        "Requests that failed and were not refused, by reason.",
    ),
    (
        "tailwater_sink_delivered_batches_total",
        "Batches resolved.",
    ),
    (
        "tailwater_sink_delivered_bytes_total",
        "Bytes of the bodies of those batches.",
    ),
    (
        "tailwater_sink_splits_total",
        "Refused batches that were halved to find the record.",
    ),
    ("tailwater_files_found_total", "Files found."),
    (
        "tailwater_files_rotated_total",
        "Files whose path went to another file.",
    ),
    (
        "tailwater_files_truncated_total",
        "Files whose content was replaced.",
    ),
    (
        "tailwater_files_missing_total",
        "Files of earlier runs that were not found again.",
    ),
    (
        "tailwater_files_refused_total",
        "Times that a matching file could not be opened.",
    ),
    (
        "tailwater_files_over_limit_total",
        "Files left because tailing.max_files is reached.",
    ),
    (
        "tailwater_descriptors_evicted_total",
        "Descriptors closed to stay within tailing.max_open_files.",
    ),
    (
        "tailwater_archives_damaged_total",
        "Archives that are damaged, or end early.",
    ),
    (
        "tailwater_read_errors_total",
        "Reads that failed and are tried again.",
    ),
    (
        "tailwater_watch_overflows_total",
        "Times that file events were lost and everything was looked at.",
    ),
    (
        "tailwater_watch_limit_hits_total",
        "Directories polled because the system has no watch left.",
    ),
    (
        "tailwater_scan_errors_total",
        "Directories that could not be listed.",
    ),
    (
        "tailwater_checkpoints_total",
        "Groups of positions made durable.",
    ),
    (
        "tailwater_checkpoint_failures_total",
        "Groups of positions that could not be written.",
    ),
    (
        "tailwater_checkpoint_compactions_total",
        "Generations of the position journal written.",
    ),
    (
        "tailwater_room_refusals_total",
        "Times that reading waited because a queue or the memory limit was full.",
    ),
];

/// Names and help texts of the gauges.
const GAUGES: [(&str, &str); 23] = [
    (
        "tailwater_in_flight_records",
        "Records read and not yet acked or rejected.",
    ),
    (
        "tailwater_spilled_records",
        "Records that are on disk and not yet delivered.",
    ),
    ("tailwater_spill_bytes", "Bytes on disk."),
    ("tailwater_spill_max_bytes", "The limit of those bytes."),
    ("tailwater_spill_segments", "Files on disk."),
    (
        "tailwater_spill_batches",
        "Batches on disk that are not settled.",
    ),
    (
        "tailwater_spill_full",
        "Spills that take nothing more: full, or not usable.",
    ),
    (
        "tailwater_dead_letter_bytes",
        "Bytes of refused records on disk.",
    ),
    (
        "tailwater_sink_up",
        "1 while deliveries succeed, 0 while they are being retried.",
    ),
    ("tailwater_sink_in_flight_batches", "Batches unanswered."),
    ("tailwater_sink_queued_batches", "Batches waiting."),
    (
        "tailwater_sink_queue_used_bytes",
        "Bytes waiting or unanswered.",
    ),
    (
        "tailwater_sink_queue_max_bytes",
        "The limit of those bytes.",
    ),
    (
        "tailwater_sink_oldest_unacked_seconds",
        "Age of the oldest batch that is not acked.",
    ),
    ("tailwater_files", "Files followed."),
    (
        "tailwater_files_open",
        "Descriptors of followed files that are open.",
    ),
    (
        "tailwater_decoders_open",
        "Decoders of archives that are open; more than a few files wait for one.",
    ),
    (
        "tailwater_directories_watched",
        "Directories whose changes are notified.",
    ),
    (
        "tailwater_directories_polled",
        "Directories that are polled.",
    ),
    ("tailwater_position_files", "Files with a stored position."),
    (
        "tailwater_memory_used_bytes",
        "Bytes of sealed batches in memory.",
    ),
    ("tailwater_memory_max_bytes", "The limit of those bytes."),
    ("tailwater_build_info", "1, with the version as a label."),
];

/// Renders the metrics.
pub struct Telemetry {
    recorder: PrometheusRecorder,
    handle: PrometheusHandle,
}

impl std::fmt::Debug for Telemetry {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Telemetry").finish_non_exhaustive()
    }
}

impl Default for Telemetry {
    fn default() -> Self {
        let recorder = PrometheusBuilder::new().build_recorder();
        let handle = recorder.handle();
        metrics::with_local_recorder(&recorder, || {
            for (name, help) in COUNTERS {
                describe_counter!(name, help);
            }
            for (name, help) in GAUGES {
                describe_gauge!(name, help);
            }
        });
        Self { recorder, handle }
    }
}

impl Telemetry {
    /// Returns the metrics in the Prometheus text format; with `promtail`, under Promtail's names too.
    pub(crate) fn render(&self, status: &Status, promtail: Option<Process>) -> String {
        metrics::with_local_recorder(&self.recorder, || {
            gauge!("tailwater_build_info", "version" => env!("CARGO_PKG_VERSION")).set(1.0);
            status.books.iter().for_each(set_route);
            status.sinks.iter().for_each(set_sink);
            set_process(status);
        });
        self.handle.run_upkeep();
        let stages = stage_figures(status);
        let mut out = Exposition::default();
        own::put_sinks(&mut out, &status.sinks);
        process::put(&mut out);
        if let Some(process) = promtail {
            promtail::put(&mut out, status, &stages, process);
        }
        own::put_stages(&mut out, &stages.samples);
        self.handle.render() + &out.into_text()
    }
}

/// Counts far below 2^52 are exact in a gauge.
#[expect(
    clippy::cast_precision_loss,
    reason = "a gauge is a float; these figures are far below 2^52"
)]
fn float(value: u64) -> f64 {
    value as f64
}

fn set_route(route: &RouteBooks) {
    let labels = [
        ("source", route.source.to_string()),
        ("sink", route.sink.to_string()),
    ];
    let count = |name: &'static str, value: u64| counter!(name, &labels).absolute(value);
    count("tailwater_read_records_total", route.read_records);
    count("tailwater_read_bytes_total", route.read_bytes);
    count("tailwater_read_lines_total", route.read_lines);
    count("tailwater_joined_lines_total", route.joined_lines);
    count("tailwater_acked_records_total", route.acked_records);
    count("tailwater_acked_bytes_total", route.acked_bytes);
    count("tailwater_lost_unread_bytes_total", route.lost_unread_bytes);
    count("tailwater_truncated_lines_total", route.truncated_lines);
    count("tailwater_split_lines_total", route.split_lines);
    count("tailwater_skipped_bytes_total", route.skipped_bytes);
    count("tailwater_hole_bytes_total", route.hole_bytes);
    count("tailwater_replaced_lines_total", route.replaced_lines);
    for (reason, records) in &route.rejected_records {
        let [source, sink] = labels.clone();
        let labels = [source, sink, ("reason", reason.to_string())];
        counter!("tailwater_rejected_records_total", &labels).absolute(*records);
    }
    for (reason, records) in &route.dropped_records {
        let [source, sink] = labels.clone();
        let labels = [source, sink, ("reason", reason.to_string())];
        counter!("tailwater_dropped_records_total", &labels).absolute(*records);
    }
    gauge!("tailwater_in_flight_records", &labels).set(float(route.in_flight_records));
    gauge!("tailwater_spilled_records", &labels).set(float(route.spilled_records));
}

fn set_sink(sink: &SinkStatus) {
    let labels = [("sink", sink.name.clone())];
    counter!("tailwater_sink_requests_total", &labels).absolute(sink.requests);
    counter!("tailwater_sink_delivered_batches_total", &labels).absolute(sink.delivered_batches);
    counter!("tailwater_sink_delivered_bytes_total", &labels).absolute(sink.delivered_bytes);
    counter!("tailwater_sink_splits_total", &labels).absolute(sink.splits);
    for (reason, failures) in &sink.failures {
        let [name] = labels.clone();
        counter!(
            "tailwater_sink_failures_total",
            &[name, ("reason", (*reason).to_owned())]
        )
        .absolute(*failures);
    }
    let is_up = sink.state == SinkState::Delivering;
    gauge!("tailwater_sink_up", &labels).set(if is_up { 1.0 } else { 0.0 });
    gauge!("tailwater_sink_in_flight_batches", &labels).set(float(sink.in_flight_batches));
    gauge!("tailwater_sink_queued_batches", &labels).set(float(sink.queued_batches as u64));
    gauge!("tailwater_sink_queue_used_bytes", &labels).set(float(sink.queue_used_bytes));
    gauge!("tailwater_sink_queue_max_bytes", &labels).set(float(sink.queue_max_bytes));
    let oldest = sink.oldest_unacked.map_or(0.0, |age| age.as_secs_f64());
    gauge!("tailwater_sink_oldest_unacked_seconds", &labels).set(oldest);
    let spill = &sink.spill;
    counter!("tailwater_spill_batches_total", &labels).absolute(spill.spilled_batches);
    counter!("tailwater_spill_lost_batches_total", &labels).absolute(spill.lost_frames);
    counter!("tailwater_spill_failures_total", &labels).absolute(spill.failures);
    gauge!("tailwater_spill_bytes", &labels).set(float(spill.bytes));
    gauge!("tailwater_spill_max_bytes", &labels).set(float(spill.max_bytes));
    gauge!("tailwater_spill_segments", &labels).set(float(spill.segments));
    gauge!("tailwater_spill_batches", &labels).set(float(spill.frames));
    gauge!("tailwater_spill_full", &labels).set(float(spill.full));
    let letters = &sink.dead_letters;
    counter!("tailwater_dead_letter_records_total", &labels).absolute(letters.records);
    counter!("tailwater_dead_letter_evictions_total", &labels).absolute(letters.evicted);
    counter!("tailwater_dead_letter_failures_total", &labels).absolute(letters.failures);
    gauge!("tailwater_dead_letter_bytes", &labels).set(float(letters.bytes));
}

fn set_process(status: &Status) {
    let tailing = &status.tailing;
    for (name, value) in [
        ("tailwater_files_found_total", tailing.files_found),
        ("tailwater_files_rotated_total", tailing.rotations),
        ("tailwater_files_truncated_total", tailing.truncations),
        ("tailwater_files_missing_total", tailing.missing_files),
        ("tailwater_files_refused_total", tailing.refusals),
        ("tailwater_files_over_limit_total", tailing.files_over_limit),
        (
            "tailwater_descriptors_evicted_total",
            tailing.descriptors_evicted,
        ),
        ("tailwater_archives_damaged_total", tailing.damaged_archives),
        ("tailwater_read_errors_total", tailing.read_errors),
        ("tailwater_watch_overflows_total", tailing.watch_overflows),
        ("tailwater_watch_limit_hits_total", tailing.watch_limit_hits),
        ("tailwater_scan_errors_total", tailing.scan_errors),
        ("tailwater_checkpoints_total", status.checkpoint.checkpoints),
        (
            "tailwater_checkpoint_failures_total",
            status.checkpoint.failures,
        ),
        (
            "tailwater_checkpoint_compactions_total",
            status.checkpoint.compactions,
        ),
        ("tailwater_room_refusals_total", status.room_refusals),
        ("tailwater_intent_failures_total", status.intent_failures),
    ] {
        counter!(name).absolute(value);
    }
    for (name, value) in [
        ("tailwater_files", tailing.files),
        ("tailwater_files_open", tailing.open_files),
        ("tailwater_decoders_open", tailing.open_decoders),
        ("tailwater_directories_watched", tailing.watched_directories),
        ("tailwater_directories_polled", tailing.polled_directories),
        ("tailwater_position_files", status.checkpoint.files as u64),
        ("tailwater_memory_used_bytes", status.memory_used_bytes),
        ("tailwater_memory_max_bytes", status.memory_max_bytes),
    ] {
        gauge!(name).set(float(value));
    }
}
