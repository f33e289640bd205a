//! What the engine says of itself.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tailwater_sink::RequestDurations;
use tailwater_stages::Sample;

use crate::books::RouteBooks;
use crate::config::WhenFull;
use crate::outlet::{Outlet, SpillCounts};
use crate::tally::TenantCounts;

/// The whole, as of one moment.
#[derive(Clone, Debug, Default)]
pub struct Status {
    /// The books, per source and sink.
    pub books: Vec<RouteBooks>,
    /// The sinks.
    pub sinks: Vec<SinkStatus>,
    /// Followed files; empty where it was not asked for.
    pub files: Vec<FileStatus>,
    /// Pipeline threads that did not answer in time: a file system they read hangs.
    pub unanswered_workers: usize,
    /// What the tailers count.
    pub tailing: TailingStatus,
    /// The positions.
    pub checkpoint: CheckpointStatus,
    /// Bytes of sealed batches in memory.
    pub memory_used_bytes: u64,
    /// Their limit.
    pub memory_max_bytes: u64,
    /// Times that a pipeline thread found no room.
    pub room_refusals: u64,
    /// Batches that were sent without an intent.
    pub intent_failures: u64,
    /// Metrics that stages make of lines, of all sources together.
    pub stages: Vec<Sample>,
    /// Lines that a `limit` stage has dropped, by the name and the value of its label.
    pub stage_drops_by_label: BTreeMap<(String, String), u64>,
    /// Lines that `truncate` stages have cut, and the bytes they have cut off.
    pub stage_truncated: (u64, u64),
}

/// How a sink is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SinkState {
    /// The last request was answered well, or none was made yet.
    Delivering,
    /// The last attempt failed; it is tried again for as long as it takes.
    Retrying,
}

/// One sink.
#[derive(Clone, Debug)]
pub struct SinkStatus {
    /// Its key in the configuration.
    pub name: String,
    /// Where it delivers.
    pub target: String,
    /// Its name in Promtail's metrics: the host of its URL.
    pub host: String,
    /// How it is doing.
    pub state: SinkState,
    /// The last failure that it has not recovered from: reason, detail, attempts.
    pub failure: Option<(String, String, u32)>,
    /// Requests made.
    pub requests: u64,
    /// How long they took, by the status of the answer.
    pub request_durations: Vec<RequestDurations>,
    /// What was sent and lost, by tenant; the empty name for none.
    pub tenants: BTreeMap<String, TenantCounts>,
    /// Failed requests by reason.
    pub failures: Vec<(&'static str, u64)>,
    /// Batches resolved.
    pub delivered_batches: u64,
    /// Bytes of their bodies.
    pub delivered_bytes: u64,
    /// Refused batches that were halved.
    pub splits: u64,
    /// Batches unanswered now.
    pub in_flight_batches: u64,
    /// Batches waiting.
    pub queued_batches: usize,
    /// Bytes waiting or unanswered.
    pub queue_used_bytes: u64,
    /// Their limit.
    pub queue_max_bytes: u64,
    /// Age of the oldest sealed batch that is not settled, on disk or in memory.
    pub oldest_unacked: Option<Duration>,
    /// What is on disk for it.
    pub spill: SpillStatus,
    /// What it has refused.
    pub dead_letters: DeadLetterStatus,
}

/// The spills of one sink's lanes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SpillStatus {
    /// Bytes on disk.
    pub bytes: u64,
    /// Their limit; 0 where nothing is spilled.
    pub max_bytes: u64,
    /// Files.
    pub segments: u64,
    /// Batches that are not settled.
    pub frames: u64,
    /// Batches spilled since the start.
    pub spilled_batches: u64,
    /// Batches that could not be read back.
    pub lost_frames: u64,
    /// Writes and reads that failed.
    pub failures: u64,
    /// Lanes whose spill takes nothing more now: full, or not usable.
    pub full: u64,
}

/// The records that one sink has refused for good.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DeadLetterStatus {
    /// Records written since the start.
    pub records: u64,
    /// Batches that made room for later ones since the start.
    pub evicted: u64,
    /// Writes that failed since the start.
    pub failures: u64,
    /// Bytes on disk, as of the last write.
    pub bytes: u64,
}

fn oldest_in_memory(since: Option<Instant>) -> Option<Duration> {
    let now = crate::pipeline::now().instant;
    since.map(|since| now.saturating_duration_since(since))
}

fn oldest_on_disk(counts: &SpillCounts) -> Option<Duration> {
    let oldest_ns = counts.oldest_ns.load(Ordering::Relaxed);
    let age_ns = crate::pipeline::unix_ns().saturating_sub(oldest_ns);
    (oldest_ns > 0).then(|| Duration::from_nanos(age_ns))
}

/// Returns the counts of a lane by tenant; its own is there before anything was sent for it.
fn tenants_of(outlet: &Outlet) -> BTreeMap<String, TenantCounts> {
    let default = outlet.deliver.tenant().unwrap_or_default();
    let mut tenants = outlet.tally.snapshot(default);
    let own = outlet.key.tenant.as_deref().unwrap_or(default);
    tenants.entry(own.to_owned()).or_default();
    tenants
}

impl SinkStatus {
    /// What one lane does, as if it were all of the sink; `oldest` is when its oldest unresolved span
    /// was sealed. Its requests are not there: lanes share what makes them.
    pub(crate) fn of_lane(outlet: &Outlet, oldest: Option<Instant>) -> Self {
        let counts = &outlet.counts;
        let failure = outlet.failure();
        let failures = counts
            .failures
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let spill_max_bytes = match outlet.key.policy.when_full {
            WhenFull::Spill { max_bytes, .. } => max_bytes,
            WhenFull::Block | WhenFull::DropNewest | WhenFull::DropOldest => 0,
        };
        let letters = &outlet.dead_letters.counts;
        Self {
            name: outlet.name.to_string(),
            target: outlet.deliver.target(),
            host: outlet.deliver.host(),
            state: match failure {
                Some(_) => SinkState::Retrying,
                None => SinkState::Delivering,
            },
            failure: failure
                .map(|failure| (failure.reason.to_owned(), failure.detail, failure.attempts)),
            requests: load(&counts.requests),
            request_durations: Vec::new(),
            tenants: tenants_of(outlet),
            failures: failures
                .iter()
                .map(|(reason, count)| (*reason, *count))
                .collect(),
            delivered_batches: load(&counts.delivered_batches),
            delivered_bytes: load(&counts.delivered_bytes),
            splits: load(&counts.splits),
            in_flight_batches: load(&counts.in_flight_batches),
            queued_batches: outlet.queue.len(),
            queue_used_bytes: outlet.queue.used_bytes(),
            queue_max_bytes: outlet.queue.max_bytes(),
            oldest_unacked: oldest_in_memory(oldest).max(oldest_on_disk(&counts.spill)),
            spill: SpillStatus {
                bytes: load(&counts.spill.bytes),
                max_bytes: spill_max_bytes,
                segments: load(&counts.spill.segments),
                frames: load(&counts.spill.frames),
                spilled_batches: load(&counts.spill.spilled_batches),
                lost_frames: load(&counts.spill.lost_frames),
                failures: load(&counts.spill.failures),
                full: load(&counts.spill.is_full),
            },
            dead_letters: DeadLetterStatus {
                records: load(&letters.records),
                evicted: load(&letters.evicted),
                failures: load(&letters.failures),
                bytes: load(&letters.bytes),
            },
        }
    }

    /// Adds another lane of the same sink. Its dead letters are the sink's already.
    pub(crate) fn add(&mut self, lane: Self) {
        if self.failure.is_none() {
            (self.state, self.failure) = (lane.state, lane.failure);
        }
        self.requests += lane.requests;
        for (reason, count) in lane.failures {
            match self.failures.iter_mut().find(|(known, _)| *known == reason) {
                Some((_, known)) => *known += count,
                None => self.failures.push((reason, count)),
            }
        }
        for durations in lane.request_durations {
            let known = self
                .request_durations
                .iter_mut()
                .find(|known| known.status == durations.status);
            match known {
                Some(known) => known.add(&durations),
                None => self.request_durations.push(durations),
            }
        }
        for (tenant, counts) in lane.tenants {
            self.tenants.entry(tenant).or_default().add(&counts);
        }
        self.delivered_batches += lane.delivered_batches;
        self.delivered_bytes += lane.delivered_bytes;
        self.splits += lane.splits;
        self.in_flight_batches += lane.in_flight_batches;
        self.queued_batches += lane.queued_batches;
        self.queue_used_bytes += lane.queue_used_bytes;
        self.queue_max_bytes += lane.queue_max_bytes;
        self.oldest_unacked = self.oldest_unacked.max(lane.oldest_unacked);
        self.spill.bytes += lane.spill.bytes;
        self.spill.max_bytes = self.spill.max_bytes.saturating_add(lane.spill.max_bytes);
        self.spill.segments += lane.spill.segments;
        self.spill.frames += lane.spill.frames;
        self.spill.spilled_batches += lane.spill.spilled_batches;
        self.spill.lost_frames += lane.spill.lost_frames;
        self.spill.failures += lane.spill.failures;
        self.spill.full += lane.spill.full;
    }
}

/// One file and one sink.
#[derive(Clone, Debug)]
pub struct FileStatus {
    /// The source it belongs to.
    pub source: String,
    /// The sink.
    pub sink: String,
    /// The path it was found under.
    pub path: PathBuf,
    /// The path it has now, where it has one.
    pub current_path: Option<PathBuf>,
    /// Device number.
    pub device: u64,
    /// Inode number.
    pub inode: u64,
    /// Fingerprint of the head, in hexadecimal, and how many bytes it covers.
    pub fingerprint: (String, u16),
    /// Offset read up to.
    pub read_offset: u64,
    /// Lines read since the agent found it.
    pub read_lines: u64,
    /// Offset acked up to: the position.
    pub acked_offset: u64,
    /// Size now.
    pub size_bytes: u64,
    /// Whether another file has its path, or none.
    pub is_rotated: bool,
    /// Whether its descriptor is open.
    pub is_open: bool,
    /// Age of the oldest sealed and unacked span.
    pub oldest_unacked: Option<Duration>,
}

/// What the tailers of all threads count.
#[derive(Clone, Copy, Debug, Default)]
pub struct TailingStatus {
    /// Files followed now.
    pub files: u64,
    /// Descriptors open now.
    pub open_files: u64,
    /// Directories watched now.
    pub watched_directories: u64,
    /// Directories polled now.
    pub polled_directories: u64,
    /// Files found since the start.
    pub files_found: u64,
    /// Files whose path went to another.
    pub rotations: u64,
    /// Files whose content was replaced.
    pub truncations: u64,
    /// Times that events were lost.
    pub watch_overflows: u64,
    /// Directories polled for want of a watch.
    pub watch_limit_hits: u64,
    /// Files left because the limit is reached.
    pub files_over_limit: u64,
    /// Descriptors closed to stay within the limit.
    pub descriptors_evicted: u64,
    /// Directories that could not be listed.
    pub scan_errors: u64,
    /// Files that match and could not be opened.
    pub refusals: u64,
    /// Reads that failed.
    pub read_errors: u64,
    /// Archives that are damaged, or end early.
    pub damaged_archives: u64,
    /// Decoders of archives open now.
    pub open_decoders: u64,
    /// Files of earlier runs that were not found again.
    pub missing_files: u64,
    /// Threads that have looked at their files at least once.
    pub scanned_workers: usize,
}

/// The positions on disk.
#[derive(Clone, Debug, Default)]
pub struct CheckpointStatus {
    /// Files with a position.
    pub files: usize,
    /// Groups made durable.
    pub checkpoints: u64,
    /// Generations written.
    pub compactions: u64,
    /// Failed writes.
    pub failures: u64,
    /// The last failure, until a write succeeds.
    pub last_error: Option<String>,
}

impl TailingStatus {
    /// Adds what another thread counts.
    pub(crate) fn add(&mut self, other: &Self) {
        self.files += other.files;
        self.open_files += other.open_files;
        self.watched_directories += other.watched_directories;
        self.polled_directories += other.polled_directories;
        self.files_found += other.files_found;
        self.rotations += other.rotations;
        self.truncations += other.truncations;
        self.damaged_archives += other.damaged_archives;
        self.open_decoders += other.open_decoders;
        self.watch_overflows += other.watch_overflows;
        self.watch_limit_hits += other.watch_limit_hits;
        self.files_over_limit += other.files_over_limit;
        self.descriptors_evicted += other.descriptors_evicted;
        self.scan_errors += other.scan_errors;
        self.refusals += other.refusals;
        self.read_errors += other.read_errors;
        self.missing_files += other.missing_files;
        self.scanned_workers += other.scanned_workers;
    }
}
