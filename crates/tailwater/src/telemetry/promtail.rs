//! The metrics under the names that Promtail gives them, so that dashboards and alerts made for it go
//! on working.
//!
//! What a name stands for is what Promtail's own code counts under it. Where it cannot be the same,
//! docs/promtail-metrics.md says how it differs.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use tailwater_engine::{FileStatus, SinkStatus, Status, TenantCounts};
use tailwater_sink::RequestDurations;

use super::StageFigures;
use super::exposition::{Exposition, Kind, status_word};

const REQUEST_DURATION: &str = "promtail_request_duration_seconds";

/// Every reason that Promtail has; each stands at 0 before it is met.
const REASONS: [&str; 4] = [
    "ingester_error",
    "rate_limited",
    "stream_limited",
    LINE_TOO_LONG,
];

const LINE_TOO_LONG: &str = "line_too_long";

/// Figures that the engine does not keep.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Process {
    /// Sources that are configured.
    pub(crate) sources: u64,
    /// Reloads that went well.
    pub(crate) reloads: u64,
    /// Reloads that were refused.
    pub(crate) failed_reloads: u64,
}

/// Writes all of them.
pub(super) fn put(out: &mut Exposition, status: &Status, stages: &StageFigures, process: Process) {
    put_hosts(out, &status.sinks);
    put_tenants(out, status, stages);
    put_files(out, &status.files);
    put_stages(out, stages);
    put_process(out, status, process);
}

/// What is counted per host; several sinks may have one.
fn put_hosts(out: &mut Exposition, sinks: &[SinkStatus]) {
    type Figure = fn(&TenantCounts) -> u64;
    let families: [(&str, &str, Figure); 3] = [
        (
            "promtail_encoded_bytes_total",
            "Number of bytes encoded and ready to send.",
            |counts| counts.encoded_bytes,
        ),
        (
            "promtail_sent_bytes_total",
            "Number of bytes sent.",
            |counts| counts.sent_bytes,
        ),
        (
            "promtail_sent_entries_total",
            "Number of log entries sent to the ingester.",
            |counts| counts.sent_records,
        ),
    ];
    for (name, help, figure) in families {
        let mut by_host: BTreeMap<&str, u64> = BTreeMap::new();
        for sink in sinks {
            let sum: u64 = sink.tenants.values().map(figure).sum();
            *by_host.entry(&sink.host).or_default() += sum;
        }
        out.family(name, Kind::Counter, help);
        for (host, value) in by_host {
            out.count(name, &[("host", host)], value);
        }
    }
    let mut durations: BTreeMap<(&str, Option<u16>), RequestDurations> = BTreeMap::new();
    for sink in sinks {
        for of_status in &sink.request_durations {
            durations
                .entry((&sink.host, of_status.status))
                .and_modify(|known| known.add(of_status))
                .or_insert_with(|| of_status.clone());
        }
    }
    let help = "Duration of send requests.";
    out.family(REQUEST_DURATION, Kind::Histogram, help);
    for ((host, status), durations) in &durations {
        let status = status_word(*status);
        let labels = [("status_code", status.as_str()), ("host", host)];
        out.durations(REQUEST_DURATION, &labels, durations);
    }
}

/// What is counted per host, tenant and reason.
#[derive(Default)]
struct TenantLosses {
    retries: u64,
    /// Entries and bytes.
    dropped: BTreeMap<&'static str, (u64, u64)>,
    mutated_entries: u64,
    mutated_bytes: u64,
}

fn losses<'s>(
    status: &'s Status,
    stages: &StageFigures,
) -> BTreeMap<(&'s str, &'s str), TenantLosses> {
    let too_long = stages.dropped_lines.get(LINE_TOO_LONG).copied();
    let mut losses: BTreeMap<(&str, &str), TenantLosses> = BTreeMap::new();
    for sink in &status.sinks {
        for (index, (tenant, counts)) in sink.tenants.iter().enumerate() {
            let of_tenant = losses.entry((&sink.host, tenant)).or_default();
            of_tenant.retries += counts.retries;
            for (reason, lost) in &counts.lost {
                let (entries, bytes) = of_tenant.dropped.entry(reason).or_default();
                *entries += lost.records;
                *bytes += lost.bytes;
            }
            // Lines are cut and dropped before they have a tenant: they count for the first one.
            if index > 0 {
                continue;
            }
            let books = status
                .books
                .iter()
                .filter(|books| *books.sink == *sink.name);
            of_tenant.mutated_entries += books.map(|books| books.truncated_lines).sum::<u64>();
            let (cut_lines, cut_bytes) = status.stage_truncated;
            of_tenant.mutated_entries += cut_lines;
            of_tenant.mutated_bytes += cut_bytes;
            let (entries, _) = of_tenant.dropped.entry(LINE_TOO_LONG).or_default();
            *entries += too_long.unwrap_or(0);
        }
    }
    losses
}

/// Takes one figure out of the losses for a reason.
type LossFigure<'f> = &'f dyn Fn(&TenantLosses, &str) -> u64;

fn put_tenants(out: &mut Exposition, status: &Status, stages: &StageFigures) {
    let losses = losses(status, stages);
    let dropped = |losses: &TenantLosses, reason: &str| {
        let found = losses.dropped.get(reason);
        found.copied().unwrap_or_default()
    };
    let mutated = |losses: &TenantLosses, reason: &str| {
        if reason == LINE_TOO_LONG {
            (losses.mutated_entries, losses.mutated_bytes)
        } else {
            (0, 0)
        }
    };
    let families: [(&str, &str, LossFigure<'_>); 4] = [
        (
            "promtail_dropped_bytes_total",
            "Number of bytes dropped because failed to be sent to the ingester after all retries.",
            &|losses, reason| dropped(losses, reason).1,
        ),
        (
            "promtail_dropped_entries_total",
            "Number of log entries dropped because failed to be sent to the ingester after all retries.",
            &|losses, reason| dropped(losses, reason).0,
        ),
        (
            "promtail_mutated_entries_total",
            "The total number of log entries that have been mutated.",
            &|losses, reason| mutated(losses, reason).0,
        ),
        (
            "promtail_mutated_bytes_total",
            "The total number of bytes that have been mutated.",
            &|losses, reason| mutated(losses, reason).1,
        ),
    ];
    for (name, help, figure) in families {
        out.family(name, Kind::Counter, help);
        for ((host, tenant), losses) in &losses {
            for reason in REASONS {
                let labels = [("host", *host), ("tenant", tenant), ("reason", reason)];
                out.count(name, &labels, figure(losses, reason));
            }
        }
    }
    let name = "promtail_batch_retries_total";
    let help = "Number of times batches has had to be retried.";
    out.family(name, Kind::Counter, help);
    for ((host, tenant), losses) in &losses {
        let labels = [("host", *host), ("tenant", *tenant)];
        out.count(name, &labels, losses.retries);
    }
}

/// What one path has; a file that was rotated away does not speak for it.
#[derive(Clone, Copy, Default)]
struct OfPath {
    read_bytes: u64,
    size_bytes: u64,
    read_lines: u64,
}

/// Gathers the files by path. Several sinks read a file each for themselves: the one that is furthest
/// counts.
fn by_path(files: &[FileStatus]) -> BTreeMap<Cow<'_, str>, OfPath> {
    fn current(file: &FileStatus) -> Option<&Path> {
        file.current_path.as_deref().or_else(|| {
            let is_in_place = !file.is_rotated;
            is_in_place.then_some(file.path.as_path())
        })
    }
    let mut paths: BTreeMap<Cow<'_, str>, OfPath> = BTreeMap::new();
    for file in files {
        let Some(path) = current(file) else { continue };
        let of_path = paths.entry(path.to_string_lossy()).or_default();
        of_path.read_bytes = of_path.read_bytes.max(file.read_offset);
        of_path.size_bytes = of_path.size_bytes.max(file.size_bytes);
        of_path.read_lines = of_path.read_lines.max(file.read_lines);
    }
    paths
}

fn put_files(out: &mut Exposition, files: &[FileStatus]) {
    type Figure = fn(&OfPath) -> u64;
    let paths = by_path(files);
    let families: [(&str, Kind, &str, Figure); 3] = [
        (
            "promtail_read_bytes_total",
            Kind::Gauge,
            "Number of bytes read.",
            |file| file.read_bytes,
        ),
        (
            "promtail_file_bytes_total",
            Kind::Gauge,
            "Number of bytes total.",
            |file| file.size_bytes,
        ),
        (
            "promtail_read_lines_total",
            Kind::Counter,
            "Number of lines read.",
            |file| file.read_lines,
        ),
    ];
    for (name, kind, help, figure) in families {
        out.family(name, kind, help);
        for (path, file) in &paths {
            out.count(name, &[("path", path)], figure(file));
        }
    }
}

fn put_stages(out: &mut Exposition, stages: &StageFigures) {
    let name = "logentry_dropped_lines_total";
    let help = "A count of all log lines dropped as a result of a pipeline stage";
    out.family(name, Kind::Counter, help);
    for (reason, lines) in &stages.dropped_lines {
        out.count(name, &[("reason", reason)], *lines);
    }
    let name = "logentry_dropped_lines_by_label_total";
    let help = "A count of all log lines dropped as a result of a pipeline stage, by label";
    out.family(name, Kind::Counter, help);
    for (label, value, lines) in &stages.dropped_by_label {
        let labels = [("label_name", label.as_str()), ("label_value", value)];
        out.count(name, &labels, *lines);
    }
}

fn put_process(out: &mut Exposition, status: &Status, process: Process) {
    let files: BTreeSet<_> = status
        .files
        .iter()
        .map(|file| (file.device, file.inode))
        .collect();
    let single = [
        (
            "promtail_files_active_total",
            Kind::Gauge,
            "Number of active files.",
            files.len() as u64,
        ),
        (
            "promtail_targets_active_total",
            Kind::Gauge,
            "Number of active total.",
            process.sources,
        ),
        (
            "promtail_config_reload_success_total",
            Kind::Counter,
            "Number of reload success times.",
            process.reloads,
        ),
        (
            "promtail_config_reload_fail_total",
            Kind::Counter,
            "Number of reload fail times.",
            process.failed_reloads,
        ),
    ];
    for (name, kind, help, value) in single {
        out.family(name, kind, help);
        out.count(name, &[], value);
    }
    let name = "promtail_targets_failed_total";
    out.family(name, Kind::Counter, "Number of failed targets.");
    for (reason, value) in [
        ("open", status.tailing.refusals),
        ("too_many_files", status.tailing.files_over_limit),
    ] {
        out.count(name, &[("reason", reason)], value);
    }
    let name = "promtail_build_info";
    let help =
        "A metric with a constant '1' value labeled by version, revision, branch, and others.";
    out.family(name, Kind::Gauge, help);
    let labels = [
        ("version", env!("CARGO_PKG_VERSION")),
        ("revision", ""),
        ("branch", ""),
        ("goversion", ""),
        ("goos", std::env::consts::OS),
        ("goarch", std::env::consts::ARCH),
        ("tags", "tailwater"),
    ];
    out.count(name, &labels, 1);
    let name = "log_messages_total";
    out.family(name, Kind::Counter, "Total number of log messages.");
    for (level, lines) in crate::log_count::counts() {
        out.count(name, &[("level", level)], lines);
    }
}

#[cfg(test)]
mod tests;
