//! `tailwater spill inspect`: what is there, and never a line of it.

use std::collections::BTreeMap;
use std::io::{self, Write};

use anyhow::Context as _;
use serde::Serialize;
use tailwater_engine::envelope::{Envelope, EnvelopeError};

use super::look::{self, Condition};
use super::place::{Kind, Place};
use super::{counted, hinted};
use crate::check::bytes_in_words;

/// Groups of records that are told apart in one directory; what comes after them is counted together.
const MAX_GROUPS: usize = 10_000;

/// What a directory holds.
#[derive(Debug, Serialize)]
struct Report {
    kind: Kind,
    name: String,
    directory: String,
    /// Why it could not be looked at; what follows is then empty.
    error: Option<String>,
    #[serde(flatten)]
    condition: Condition,
    #[serde(flatten)]
    contents: Contents,
}

/// What the frames that wait in a directory hold.
#[derive(Debug, Default, Serialize)]
struct Contents {
    records: u64,
    oldest_batch: Option<u64>,
    newest_batch: Option<u64>,
    /// Batches that a newer version wrote.
    newer_batches: u64,
    /// Frames that are whole, and no batch.
    malformed_batches: u64,
    /// Batches by the format of their bodies.
    wires: BTreeMap<String, u64>,
    #[serde(serialize_with = "rows")]
    groups: BTreeMap<Group, u64>,
    /// Records that belong to none of those.
    other_records: u64,
}

/// Records that are counted together.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
struct Group {
    sink: String,
    tenant: Option<String>,
    source: Option<String>,
    reason: Option<String>,
}

fn rows<S: serde::Serializer>(
    groups: &BTreeMap<Group, u64>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    #[derive(Serialize)]
    struct Row<'g> {
        #[serde(flatten)]
        group: &'g Group,
        records: u64,
    }
    serializer.collect_seq(groups.iter().map(|(group, records)| Row {
        group,
        records: *records,
    }))
}

/// Says what directories hold, as text or as one JSON object.
///
/// # Errors
/// A directory cannot be looked at; the others are told all the same. Nothing can be printed.
pub(super) fn inspect(places: &[Place], as_json: bool, out: &mut dyn Write) -> anyhow::Result<()> {
    let mut failed = 0_u64;
    let mut reports = Vec::new();
    for place in places {
        let report = report(place);
        failed += u64::from(report.error.is_some());
        if as_json {
            reports.push(report);
        } else {
            print(place, &report, out).context("cannot print")?;
        }
    }
    if as_json {
        let all = serde_json::to_string_pretty(&serde_json::json!({ "directories": reports }));
        writeln!(out, "{}", all.context("cannot write JSON")?).context("cannot print")?;
    } else if places.is_empty() {
        writeln!(out, "nothing was spilled, and nothing refused").context("cannot print")?;
    }
    if failed > 0 {
        let failed = format!("{failed} of the directories cannot be looked at");
        let hint = "run it as the agent's user: nobody else may read what it keeps";
        return Err(hinted(anyhow::Error::msg(failed), hint));
    }
    Ok(())
}

fn report(place: &Place) -> Report {
    let mut contents = Contents::default();
    let looked = look::open(place).and_then(|storage| {
        look::frames(place, &storage, |payload| {
            contents.count(payload);
            Ok(())
        })
    });
    let (condition, error) = match looked {
        Ok(condition) => (condition, None),
        Err(error) => (Condition::default(), Some(format!("{error:#}"))),
    };
    Report {
        kind: place.kind,
        name: place.name.clone(),
        directory: place.directory.display().to_string(),
        error,
        condition,
        contents,
    }
}

impl Contents {
    fn count(&mut self, payload: &[u8]) {
        let envelope = match Envelope::decode(payload) {
            Ok((envelope, _)) => envelope,
            Err(EnvelopeError::NewerVersion { .. }) => {
                self.newer_batches += 1;
                return;
            }
            Err(EnvelopeError::Malformed) => {
                self.malformed_batches += 1;
                return;
            }
        };
        let batch = envelope.batch.0;
        self.oldest_batch = Some(self.oldest_batch.map_or(batch, |oldest| oldest.min(batch)));
        self.newest_batch = self.newest_batch.max(Some(batch));
        if self.wires.len() < MAX_GROUPS || self.wires.contains_key(&envelope.wire) {
            *self.wires.entry(envelope.wire.clone()).or_default() += 1;
        }
        let mut left = envelope.records();
        self.records += left;
        for span in &envelope.spans {
            let records = u64::from(span.records).min(left);
            left -= records;
            self.count_group(&envelope, Some(&span.source), records);
        }
        self.count_group(&envelope, None, left);
    }

    fn count_group(&mut self, envelope: &Envelope, source: Option<&str>, records: u64) {
        if records == 0 {
            return;
        }
        let group = Group {
            sink: envelope.sink.to_string(),
            tenant: envelope.tenant.as_deref().map(str::to_owned),
            source: source.map(str::to_owned),
            reason: Some(envelope.reason.clone()).filter(|reason| !reason.is_empty()),
        };
        if self.groups.len() < MAX_GROUPS || self.groups.contains_key(&group) {
            *self.groups.entry(group).or_default() += records;
        } else {
            self.other_records += records;
        }
    }
}

fn print(place: &Place, report: &Report, out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "{}", place.title())?;
    if let Some(error) = &report.error {
        return writeln!(out, "  {}", error.escape_debug());
    }
    let (condition, contents) = (&report.condition, &report.contents);
    writeln!(
        out,
        "  {} with {}, in {} of {}",
        counted(condition.frames, "batch"),
        counted(contents.records, "record"),
        counted(condition.segments, "segment"),
        bytes_in_words(condition.bytes),
    )?;
    if let (Some(oldest), Some(newest)) = (contents.oldest_batch, contents.newest_batch) {
        writeln!(out, "  numbers of the batches: {oldest} to {newest}")?;
    }
    for (group, records) in &contents.groups {
        writeln!(out, "  {}: {}", group.words(), counted(*records, "record"))?;
    }
    if contents.other_records > 0 {
        let others = counted(contents.other_records, "record");
        writeln!(out, "  of others: {others}")?;
    }
    print_condition(condition, contents, out)
}

fn print_condition(
    condition: &Condition,
    contents: &Contents,
    out: &mut dyn Write,
) -> io::Result<()> {
    let bytes = |count, bytes| format!("{count}, {}", bytes_in_words(bytes));
    let stretches = counted(condition.damaged_stretches, "stretch");
    let lines = [
        (
            condition.delivered_frames,
            "delivered already",
            counted(condition.delivered_frames, "batch"),
        ),
        (
            condition.lost_frames,
            "damaged or missing",
            counted(condition.lost_frames, "batch"),
        ),
        (
            condition.damaged_stretches,
            "damaged",
            bytes(stretches, condition.damaged_bytes),
        ),
        (
            condition.torn_tail_bytes,
            "unfinished at the end",
            bytes_in_words(condition.torn_tail_bytes),
        ),
        (
            condition.void_frames,
            "written again in a later segment",
            counted(condition.void_frames, "batch"),
        ),
        (
            condition.newer_segments,
            "of a newer version",
            counted(condition.newer_segments, "segment"),
        ),
        (
            contents.newer_batches,
            "of a newer version",
            counted(contents.newer_batches, "batch"),
        ),
        (
            contents.malformed_batches,
            "whole and no batch",
            counted(contents.malformed_batches, "frame"),
        ),
        (
            condition.unknown_frames,
            "of an unknown kind",
            counted(condition.unknown_frames, "frame"),
        ),
        (
            condition.unreadable_segments,
            "not readable",
            counted(condition.unreadable_segments, "segment"),
        ),
    ];
    for (_, what, words) in lines.iter().filter(|(count, _, _)| *count > 0) {
        writeln!(out, "  {what}: {words}")?;
    }
    Ok(())
}

impl Group {
    fn words(&self) -> String {
        let mut words = match &self.source {
            Some(source) => format!("from {source} for {}", self.sink),
            None => format!("for {}", self.sink),
        };
        if let Some(tenant) = &self.tenant {
            words.push_str(", tenant ");
            words.push_str(tenant);
        }
        if let Some(reason) = &self.reason {
            words.push_str(", refused as ");
            words.push_str(reason);
        }
        words.escape_debug().to_string()
    }
}
