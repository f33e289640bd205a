//! `tailwater spill export`: the records, one JSON object on each line.

use std::borrow::Cow;
use std::io::{self, BufWriter, Write};
use std::sync::Arc;

use anyhow::Context as _;
use bytes::Bytes;
use serde::Serialize;
use tailwater_engine::envelope::Envelope;
use tailwater_record::TimestampNs;
use tailwater_sink::{DecodedRecord, Deliver};
use tailwater_sink_loki::decode::parse_labels;

use super::look::{self, Condition};
use super::origins::{self, RecordOrigin};
use super::place::Place;
use super::{counted, time};
use crate::registry;

/// A record as it is printed; what is not known of it is left out.
#[derive(Debug, Serialize)]
struct ExportedRecord<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    timestamp: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    labels: Option<Pairs<'a, String>>,
    sink: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    tenant: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    source: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    path: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    offset: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    metadata: Option<Pairs<'a, &'a str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
    line: Cow<'a, str>,
}

/// Names and values, as an object in their order.
#[derive(Debug)]
struct Pairs<'a, T>(&'a [(T, T)]);

impl<T: AsRef<str>> Serialize for Pairs<'_, T> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let pairs = self.0.iter();
        serializer.collect_map(pairs.map(|(name, value)| (name.as_ref(), value.as_ref())))
    }
}

/// What was not printed, over all directories.
#[derive(Debug, Default)]
struct Missing {
    is_damaged: bool,
    /// Batches whose envelope, wire format or body cannot be read.
    unreadable_batches: u64,
    directories: u64,
}

/// Prints the records of all directories.
///
/// # Errors
/// Something could not be read; all else was printed. Or nothing can be printed.
pub(super) fn export(places: &[Place], out: &mut dyn Write) -> anyhow::Result<()> {
    let mut export = Export {
        out: BufWriter::new(out),
        decoders: Vec::new(),
        missing: Missing::default(),
    };
    for place in places {
        let condition = export.place(place)?;
        export.missing.is_damaged |= condition.is_damaged();
    }
    export.out.flush().context("cannot print")?;
    export.missing.into_result()
}

impl Missing {
    fn into_result(self) -> anyhow::Result<()> {
        let Self {
            is_damaged,
            unreadable_batches,
            directories,
        } = self;
        let mut words = Vec::new();
        if is_damaged {
            words.push("something is damaged, missing or of a newer version".to_owned());
        }
        if unreadable_batches > 0 {
            words.push(format!(
                "{} cannot be taken apart",
                counted(unreadable_batches, "batch")
            ));
        }
        if directories > 0 {
            words.push(format!("{directories} of the directories cannot be read"));
        }
        if words.is_empty() {
            return Ok(());
        }
        let error = anyhow::anyhow!("not everything was exported: {}", words.join(", "));
        Err(super::hinted(error, "`tailwater spill inspect` says where"))
    }
}

struct Export<W: Write> {
    out: W,
    /// By wire format; as many as there are known ones.
    decoders: Vec<(String, Arc<dyn Deliver>)>,
    missing: Missing,
}

impl<W: Write> Export<W> {
    fn place(&mut self, place: &Place) -> anyhow::Result<Condition> {
        let Ok(storage) = look::open(place) else {
            self.missing.directories += 1;
            return Ok(Condition::default());
        };
        let mut printed = Ok(());
        let looked = look::frames(place, &storage, |payload| {
            printed = self.batch(payload);
            anyhow::ensure!(printed.is_ok(), "cannot print");
            Ok(())
        });
        printed.context("cannot print")?;
        Ok(looked.unwrap_or_else(|_unreadable| {
            self.missing.directories += 1;
            Condition::default()
        }))
    }

    fn batch(&mut self, payload: &[u8]) -> io::Result<()> {
        let Ok((envelope, body)) = Envelope::decode(payload) else {
            self.missing.unreadable_batches += 1;
            return Ok(());
        };
        let Some(decoder) = self.decoder(&envelope.wire) else {
            self.missing.unreadable_batches += 1;
            return Ok(());
        };
        let origins = origins::of_records(&envelope);
        let mut printed = Ok(());
        let taken_apart = decoder.decode(&Bytes::copy_from_slice(body), &mut |record| {
            if printed.is_ok() {
                printed = print(&record, &envelope, &origins, &mut self.out);
            }
        });
        if taken_apart.is_err() {
            self.missing.unreadable_batches += 1;
        }
        printed
    }

    fn decoder(&mut self, wire: &str) -> Option<Arc<dyn Deliver>> {
        let known = self.decoders.iter().find(|(known, _)| known == wire);
        if let Some((_, decoder)) = known {
            return Some(Arc::clone(decoder));
        }
        let decoder = registry::decoder(wire)?;
        self.decoders.push((wire.to_owned(), Arc::clone(&decoder)));
        Some(decoder)
    }
}

fn print(
    record: &DecodedRecord<'_>,
    envelope: &Envelope,
    origins: &[RecordOrigin<'_>],
    out: &mut impl Write,
) -> io::Result<()> {
    let index = usize::try_from(record.index).ok();
    let origin = index.and_then(|index| origins.get(index));
    let labels = parse_labels(record.labels).ok();
    let exported = ExportedRecord {
        timestamp: (record.timestamp != TimestampNs(0)).then(|| time::rfc3339(record.timestamp)),
        labels: labels.as_deref().map(Pairs),
        sink: &envelope.sink,
        tenant: envelope.tenant.as_deref(),
        source: origin.map(|origin| &*origin.of.source),
        path: origin.map(|origin| origin.of.path.to_string_lossy()),
        offset: origin.map(|origin| origin.span.start),
        metadata: (!record.metadata.is_empty()).then_some(Pairs(record.metadata)),
        reason: Some(&*envelope.reason).filter(|reason| !reason.is_empty()),
        line: String::from_utf8_lossy(record.line),
    };
    serde_json::to_writer(&mut *out, &exported)?;
    out.write_all(b"\n")
}
