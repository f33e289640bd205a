//! `tailwater spill send`: a directory emptied into a sink, in order, one batch after the other.
//!
//! A batch is settled, in the books where a data directory keeps some, before its frame is given up. What
//! the sink refuses is written again behind everything else, so that the space of what it took comes back.
//! A crash, or Ctrl-C, at any place repeats at most what one segment holds, with the same bytes.

mod deliver;

use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use bytes::Bytes;
use tailwater_durable::{DirLock, Disk, LockError, Storage};
use tailwater_engine::SinkConfig;
use tailwater_engine::envelope::{Envelope, EnvelopeError};
use tailwater_engine::offline::{LaneAccount, Taken};
use tailwater_spill_buffer::{Limits, Read, Seq, SpillBuffer, inspect, open};

use super::place::{Kind, Place};
use super::{SendArguments, account, counted, hinted, origins};
use crate::check::printable;
use crate::config::{self, Config};
use crate::exit::Failure;
use crate::run;
use deliver::Refused;

/// Refusals that are told one by one.
const MAX_TOLD_REFUSALS: usize = 20;

const NEWER: &str = "run the version that wrote it";

/// Sends what a directory holds to a sink of a configuration.
///
/// # Errors
/// [`Failure`] where not everything was taken, an agent uses the data directory, or the sink sends another
/// format than the directory holds.
pub(super) fn send(arguments: &SendArguments, out: &mut dyn Write) -> Result<(), Failure> {
    let config = config::load(&arguments.config, arguments.data_dir.as_deref())?;
    let sink = find_sink(&config, &arguments.sink)?;
    let directory = match &arguments.directory {
        Some(directory) => directory.clone(),
        None => Place::dead_letters(&config.data_dir, &sink.name),
    };
    let _lock = lock(&config.data_dir)?;
    if arguments.directory.is_none() && !directory.exists() {
        let told = writeln!(out, "there are no dead letters of {}", sink.name);
        return told.context("cannot print").map_err(Failure::Runtime);
    }
    let place = Place::of(&directory).map_err(Failure::Runtime)?;
    let _lock_of_place = match &place.data_dir {
        Some(data_dir) if !is_same(data_dir, &config.data_dir) => Some(lock(data_dir)?),
        Some(_) | None => None,
    };
    let account = match (&place.data_dir, place.kind) {
        (Some(data_dir), Kind::Spill) => {
            let max_files = config.engine.tailing.max_files;
            Some(account::open(data_dir, &place.name, max_files)?)
        }
        (Some(_), Kind::DeadLetters | Kind::Directory) | (None, _) => None,
    };
    let mut sending = Sending::open(&place, sink, account).map_err(Failure::Runtime)?;
    let sent = run::on_runtime(sending.run());
    let told = sending.sent.print(sink, out);
    told.context("cannot print").map_err(Failure::Runtime)?;
    sent?;
    sending.sent.into_result(&place).map_err(Failure::Runtime)
}

fn find_sink<'c>(config: &'c Config, name: &str) -> Result<&'c SinkConfig, Failure> {
    let sinks = &config.engine.sinks;
    let found = sinks.iter().find(|sink| *sink.name == *name);
    found.ok_or_else(|| {
        let names: Vec<&str> = sinks.iter().map(|sink| &*sink.name).collect();
        let name = name.escape_debug();
        Failure::Usage(format!(
            "there is no sink `{name}` in the configuration, only {}",
            names.join(", ")
        ))
    })
}

fn is_same(one: &Path, other: &Path) -> bool {
    let real = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_owned());
    real(one) == real(other)
}

fn lock(data_dir: &Path) -> Result<DirLock, Failure> {
    DirLock::acquire(data_dir).map_err(|error| {
        let hint = match &error {
            LockError::Held { .. } => "stop the agent first: what it has spilled it sends itself",
            LockError::Storage { .. } | _ => "run it as the agent's user",
        };
        Failure::Runtime(hinted(error, hint))
    })
}

/// What has become of the frames.
#[derive(Debug, Default)]
struct Sent {
    batches: u64,
    records: u64,
    /// Records that were refused; they stand behind everything else now.
    refused_records: u64,
    /// Whole frames that are no batch; they stand there too.
    malformed_frames: u64,
    lost_frames: u64,
    /// The first refusals, in words.
    refusals: Vec<String>,
}

/// A directory on its way into a sink.
struct Sending<'s> {
    sink: &'s SinkConfig,
    storage: Arc<dyn Storage>,
    buffer: SpillBuffer,
    account: Option<LaneAccount>,
    /// The first frame.
    first: Seq,
    /// Something was written behind what was there.
    has_kept: bool,
    sent: Sent,
}

impl<'s> Sending<'s> {
    fn open(
        place: &Place,
        sink: &'s SinkConfig,
        account: Option<LaneAccount>,
    ) -> anyhow::Result<Self> {
        let storage: Arc<dyn Storage> = Arc::new(Disk::open(&place.directory)?);
        let acked = account
            .as_ref()
            .map_or(Seq::FIRST, |account| Seq(account.acked()));
        // What is kept must not stand in a segment of what is given up.
        let limits = Limits {
            segment_bytes: 1,
            ..Limits::new(u64::MAX)
        };
        let (mut buffer, _) = open(Arc::clone(&storage), limits, acked)?;
        let first_segment = inspect(&*storage)?.next();
        let first = first_segment.map_or(buffer.status().next, |segment| segment.first());
        let first = first.max(acked);
        let mut account = account;
        if let Some(account) = &mut account {
            enter_all(account, &mut buffer, first)?;
            buffer.reserve(Seq(account.appended()))?;
        }
        Ok(Self {
            sink,
            storage,
            buffer,
            account,
            first,
            has_kept: false,
            sent: Sent::default(),
        })
    }

    /// Sends everything that was there at the start.
    async fn run(&mut self) -> anyhow::Result<()> {
        let end = self.buffer.status().next;
        let mut at = self.first;
        while at < end {
            match self.buffer.read(at)? {
                Read::Frame { seq, payload } => {
                    self.send_frame(seq, Bytes::from(payload)).await?;
                    at = seq.next();
                }
                Read::Lost { first, next } => {
                    let next = next.min(end);
                    self.sent.lost_frames += next.0.saturating_sub(first.0);
                    at = next;
                }
                Read::Newer { version, .. } => {
                    let error = anyhow::anyhow!("a segment has format version {version}");
                    return Err(hinted(error, NEWER));
                }
                Read::End => break,
            }
        }
        self.give_up(end, "", &Taken::new())
    }

    async fn send_frame(&mut self, seq: Seq, payload: Bytes) -> anyhow::Result<()> {
        let (envelope, body) = match Envelope::decode(&payload) {
            Ok((envelope, body)) => (envelope, payload.slice_ref(body)),
            Err(error @ EnvelopeError::NewerVersion { .. }) => return Err(hinted(error, NEWER)),
            Err(EnvelopeError::Malformed) => {
                self.sent.malformed_frames += 1;
                self.keep(&[&[&payload]])?;
                return self.give_up(seq.next(), "", &Taken::new());
            }
        };
        self.check_wire(&envelope)?;
        let refused = deliver::deliver(&envelope.batch(body), self.sink).await;
        self.sent.count(&envelope, &refused);
        let letters: Vec<(Vec<u8>, &Bytes)> = refused
            .iter()
            .map(|refused| (refused.envelope(&envelope), &refused.body))
            .collect();
        let parts: Vec<[&[u8]; 2]> = letters
            .iter()
            .map(|(head, body)| [head.as_slice(), body.as_ref()])
            .collect();
        let parts: Vec<&[&[u8]]> = parts.iter().map(<[&[u8]; 2]>::as_slice).collect();
        self.keep(&parts)?;
        let taken = taken_of(&envelope, &refused);
        self.give_up(seq.next(), &envelope.sink, &taken)
    }

    fn check_wire(&self, envelope: &Envelope) -> anyhow::Result<()> {
        let (found, sent) = (&*envelope.wire, self.sink.parts.deliver.wire());
        if found == sent {
            return Ok(());
        }
        let error = anyhow::anyhow!(
            "batch {} is `{}`, and the sink {} sends `{sent}`",
            envelope.batch.0,
            found.escape_debug(),
            self.sink.name
        );
        Err(hinted(
            error,
            "name a sink of the same kind, format and encoding",
        ))
    }

    /// Writes frames again behind all others, and makes them durable.
    fn keep(&mut self, frames: &[&[&[u8]]]) -> anyhow::Result<()> {
        for frame in frames {
            self.buffer
                .append(frame)
                .context("cannot keep what the sink has refused")?;
            self.buffer.sync()?;
            if !self.has_kept {
                // From here on segments of the usual length.
                let released = self.buffer.status().first;
                let storage = Arc::clone(&self.storage);
                (self.buffer, _) = open(storage, Limits::new(u64::MAX), released)?;
                self.has_kept = true;
            }
        }
        Ok(())
    }

    /// Enters what became of the frames below a number, and gives up their space.
    fn give_up(&mut self, below: Seq, sink: &str, taken: &Taken) -> anyhow::Result<()> {
        let appended = self.buffer.status().next;
        if let Some(account) = &mut self.account {
            account.settle(sink, taken, below.0, appended.0);
            account.commit()?;
        }
        self.buffer.release(below)?;
        Ok(())
    }
}

/// Enters the frames that an agent has made durable and, as it was killed, not entered.
fn enter_all(
    account: &mut LaneAccount,
    buffer: &mut SpillBuffer,
    first: Seq,
) -> anyhow::Result<()> {
    let mut at = first.max(Seq(account.appended()));
    loop {
        match buffer.read(at)? {
            Read::Frame { seq, payload } => {
                at = seq.next();
                if let Ok((envelope, _)) = Envelope::decode(&payload) {
                    account.enter(&envelope, at.0);
                }
            }
            Read::Lost { next, .. } | Read::Newer { next, .. } => at = next,
            Read::End => return Ok(account.commit()?),
        }
    }
}

/// Adds up what the sink has taken of a batch, by source.
fn taken_of(envelope: &Envelope, refused: &[Refused]) -> Taken {
    let mut taken = Taken::new();
    let mut first = 0_usize;
    for span in &envelope.spans {
        let of_span = first..first.saturating_add(span.records as usize);
        first = of_span.end;
        let refused_records: usize = refused
            .iter()
            .map(|refused| {
                let before = |end| refused.records.partition_point(|index| *index < end);
                before(of_span.end) - before(of_span.start)
            })
            .sum();
        let of_source = taken.entry(Arc::clone(&span.source)).or_default();
        of_source.records += (of_span.len().saturating_sub(refused_records)) as u64;
        if refused_records == 0 {
            of_source.line_bytes += span.line_bytes;
        }
    }
    taken
}

impl Sent {
    fn count(&mut self, envelope: &Envelope, refused: &[Refused]) {
        let origins = origins::of_records(envelope);
        let mut refused_records = 0;
        for refused in refused {
            refused_records += refused.records.len() as u64;
            let first = refused.records.first();
            let Some(origin) = first.and_then(|index| origins.get(*index)) else {
                continue;
            };
            if self.refusals.len() < MAX_TOLD_REFUSALS {
                self.refusals.push(format!(
                    "refused as {}: {} from offset {} of {}",
                    refused.reason,
                    counted(refused.records.len() as u64, "record"),
                    origin.span.start,
                    printable(&origin.of.path),
                ));
            }
        }
        self.refused_records += refused_records;
        self.records += envelope.records().saturating_sub(refused_records);
        self.batches += u64::from(refused_records < envelope.records().max(1));
    }

    fn print(&self, sink: &SinkConfig, out: &mut dyn Write) -> io::Result<()> {
        writeln!(
            out,
            "{} of {} sent to {}, {}",
            counted(self.records, "record"),
            counted(self.batches, "batch"),
            sink.name,
            sink.parts.deliver.target()
        )?;
        for refusal in &self.refusals {
            writeln!(out, "{refusal}")?;
        }
        Ok(())
    }

    fn into_result(self, place: &Place) -> anyhow::Result<()> {
        let left = [
            (self.refused_records, "record", "refused again"),
            (self.malformed_frames, "batch", "not understood"),
            (self.lost_frames, "batch", "damaged or missing"),
        ];
        let words: Vec<String> = left
            .into_iter()
            .filter(|(count, _, _)| *count > 0)
            .map(|(count, noun, what)| format!("{} {what}", counted(count, noun)))
            .collect();
        if words.is_empty() {
            return Ok(());
        }
        let error = anyhow::anyhow!("not everything was sent: {}", words.join(", "));
        let is_left = self.refused_records + self.malformed_frames > 0;
        if !is_left {
            return Err(error);
        }
        let directory = printable(&place.directory);
        Err(hinted(error, &format!("it stays in {directory}")))
    }
}
