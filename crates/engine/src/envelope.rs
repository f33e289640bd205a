//! What stands before a body on disk: where its records came from and who may send it.
//!
//! Written by the spill and the dead letters, read by both and by `tailwater spill`. Integers are
//! little-endian; a string is a length of two bytes and UTF-8; a path is a length of two bytes and any
//! bytes. Source: docs/formats/spill-batch.md.

use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use tailwater_position_store::FileKey;
use tailwater_record::{BatchId, EncodedBatch, Marker, Span};

/// The version that is written; a newer one is not read.
const VERSION: u8 = 1;

/// Bytes of a string or a path that are kept.
const MAX_STRING_BYTES: usize = u16::MAX as usize;

/// Everything about a batch on disk but its body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Envelope {
    /// Its number.
    pub batch: BatchId,
    /// When it was written to disk, in nanoseconds since the Unix epoch.
    pub written_ns: u64,
    /// The format of the body: only a sink of the same format can send it.
    pub wire: String,
    /// The sink that it was made for.
    pub sink: Arc<str>,
    /// The tenant it is sent for, where its source names one.
    pub tenant: Option<Arc<str>>,
    /// Why it was refused; empty where it was not.
    pub reason: String,
    /// What it covers.
    pub spans: Vec<EnvelopeSpan>,
    /// As in [`EncodedBatch`]: for each record the offset after it, counted from its span's start.
    pub record_ends: Vec<u32>,
}

/// What a batch on disk covers of one file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EnvelopeSpan {
    /// The source that the file belonged to.
    pub source: Arc<str>,
    /// The path that the file was found under.
    pub path: Arc<Path>,
    /// The file's number in the position store.
    pub key: FileKey,
    /// The epoch of the file: after a truncation it is another.
    pub epoch: u32,
    /// The bytes.
    pub span: Span,
    /// How the bytes at the end are framed.
    pub end_place: u8,
    /// The guard of the end.
    pub marker: Marker,
    /// How many records stand in it.
    pub records: u32,
    /// Bytes of those lines, without delimiters.
    pub line_bytes: u64,
}

/// Why a payload is no batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EnvelopeError {
    /// A newer version of tailwater wrote it.
    #[error("the batch has format version {found}, newer than {VERSION}")]
    NewerVersion {
        /// The version that was found.
        found: u8,
    },
    /// Its fields make no sense.
    #[error("the batch is malformed")]
    Malformed,
}

impl Envelope {
    /// Returns how many records it holds.
    pub fn records(&self) -> u64 {
        self.record_ends.len() as u64
    }

    /// Returns the batch as a sink takes it; its spans belong to no cursor of this process.
    pub fn batch(&self, body: Bytes) -> EncodedBatch {
        EncodedBatch {
            id: self.batch,
            body,
            tenant: self.tenant.clone(),
            spans: Vec::new(),
            record_ends: self.record_ends.clone(),
        }
    }

    /// Appends the envelope to `out`; the body is to follow it.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.push(VERSION);
        out.extend_from_slice(&self.batch.0.to_le_bytes());
        out.extend_from_slice(&self.written_ns.to_le_bytes());
        put_string(out, self.wire.as_bytes());
        put_string(out, self.sink.as_bytes());
        put_string(out, self.reason.as_bytes());
        out.push(u8::from(self.tenant.is_some()));
        put_string(out, self.tenant.as_deref().unwrap_or_default().as_bytes());
        put_len(out, self.spans.len());
        let mut before: Option<&EnvelopeSpan> = None;
        for span in &self.spans {
            // Most spans follow one of the same file.
            let is_same =
                before.is_some_and(|last| last.source == span.source && last.path == span.path);
            out.push(u8::from(is_same));
            if !is_same {
                put_string(out, span.source.as_bytes());
                put_string(out, span.path.as_os_str().as_bytes());
            }
            out.extend_from_slice(&span.key.0.to_le_bytes());
            out.extend_from_slice(&span.epoch.to_le_bytes());
            out.extend_from_slice(&span.span.start.to_le_bytes());
            out.extend_from_slice(&span.span.end.to_le_bytes());
            out.push(span.end_place);
            out.extend_from_slice(&span.marker.len.to_le_bytes());
            out.extend_from_slice(&span.marker.hash.to_le_bytes());
            out.extend_from_slice(&span.records.to_le_bytes());
            out.extend_from_slice(&span.line_bytes.to_le_bytes());
            before = Some(span);
        }
        put_len(out, self.record_ends.len());
        self.put_record_lengths(out);
    }

    /// Ends rise within a span, so the lengths are small: one or two bytes each.
    fn put_record_lengths(&self, out: &mut Vec<u8>) {
        let mut ends = self.record_ends.iter();
        let spans = self.spans.iter().map(|span| span.records);
        for records in spans {
            let mut before = 0_u32;
            for end in ends.by_ref().take(records as usize) {
                put_varint(out, end.saturating_sub(before));
                before = *end;
            }
        }
        // A piece of a batch stands for records without spans.
        for end in ends {
            put_varint(out, *end);
        }
    }

    /// Reads an envelope; returns it with the body.
    ///
    /// # Errors
    /// [`EnvelopeError`]; any bytes are safe to read.
    pub fn decode(payload: &[u8]) -> Result<(Self, &[u8]), EnvelopeError> {
        let mut fields = Fields(payload);
        let version = fields.u8().ok_or(EnvelopeError::Malformed)?;
        if version > VERSION {
            return Err(EnvelopeError::NewerVersion { found: version });
        }
        let envelope = fields.envelope().ok_or(EnvelopeError::Malformed)?;
        Ok((envelope, fields.0))
    }
}

fn put_string(out: &mut Vec<u8>, text: &[u8]) {
    let text = text.get(..MAX_STRING_BYTES).unwrap_or(text);
    let len = u16::try_from(text.len()).unwrap_or(u16::MAX);
    out.extend_from_slice(&len.to_le_bytes());
    out.extend_from_slice(text);
}

fn put_len(out: &mut Vec<u8>, len: usize) {
    out.extend_from_slice(&u32::try_from(len).unwrap_or(u32::MAX).to_le_bytes());
}

/// Seven bits a byte, the lowest first; the top bit says that more follow.
fn put_varint(out: &mut Vec<u8>, mut value: u32) {
    while value >= 0x80 {
        out.push(u8::try_from(value & 0x7f).unwrap_or(0) | 0x80);
        value >>= 7;
    }
    out.push(u8::try_from(value).unwrap_or(0));
}

/// What is left to read.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (array, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*array)
    }

    fn u8(&mut self) -> Option<u8> {
        self.array().map(|[byte]| byte)
    }

    fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_le_bytes)
    }

    fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }

    fn bytes(&mut self) -> Option<&'a [u8]> {
        let len = usize::from(self.u16()?);
        let (bytes, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(bytes)
    }

    fn string(&mut self) -> Option<String> {
        String::from_utf8(self.bytes()?.to_vec()).ok()
    }

    fn varint(&mut self) -> Option<u32> {
        let mut value = 0_u32;
        for shift in [0, 7, 14, 21, 28] {
            let byte = self.u8()?;
            value |= u32::from(byte & 0x7f).checked_shl(shift)?;
            if byte & 0x80 == 0 {
                return Some(value);
            }
        }
        None
    }

    fn envelope(&mut self) -> Option<Envelope> {
        let batch = BatchId(self.u64()?);
        let written_ns = self.u64()?;
        let (wire, sink, reason) = (self.string()?, self.string()?, self.string()?);
        let has_tenant = self.u8()? != 0;
        let tenant = self.string()?;
        let spans = self.spans()?;
        let record_ends = self.record_ends(&spans)?;
        Some(Envelope {
            batch,
            written_ns,
            wire,
            sink: sink.into(),
            tenant: has_tenant.then(|| tenant.into()),
            reason,
            spans,
            record_ends,
        })
    }

    fn spans(&mut self) -> Option<Vec<EnvelopeSpan>> {
        // Room is made as they are read: a length may say anything.
        let mut spans: Vec<EnvelopeSpan> = Vec::new();
        for _ in 0..self.u32()? {
            let span = self.span(spans.last())?;
            spans.push(span);
        }
        Some(spans)
    }

    fn span(&mut self, before: Option<&EnvelopeSpan>) -> Option<EnvelopeSpan> {
        let is_same = self.u8()? != 0;
        let (source, path) = if is_same {
            let before = before?;
            (Arc::clone(&before.source), Arc::clone(&before.path))
        } else {
            let source: Arc<str> = self.string()?.into();
            let path = PathBuf::from(OsString::from_vec(self.bytes()?.to_vec()));
            (source, Arc::from(path))
        };
        Some(EnvelopeSpan {
            source,
            path,
            key: FileKey(self.u64()?),
            epoch: self.u32()?,
            span: Span {
                start: self.u64()?,
                end: self.u64()?,
            },
            end_place: self.u8()?,
            marker: Marker {
                len: self.u16()?,
                hash: self.u64()?,
            },
            records: self.u32()?,
            line_bytes: self.u64()?,
        })
    }

    fn record_ends(&mut self, spans: &[EnvelopeSpan]) -> Option<Vec<u32>> {
        let records = usize::try_from(self.u32()?).ok()?;
        // A record takes a byte at least.
        if records > self.0.len() {
            return None;
        }
        let mut ends = Vec::with_capacity(records);
        for span in spans {
            let mut end = 0_u32;
            for _ in 0..span.records {
                end = end.checked_add(self.varint()?)?;
                ends.push(end);
            }
        }
        while ends.len() < records {
            ends.push(self.varint()?);
        }
        (ends.len() == records).then_some(ends)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn span(source: &str, path: &str, records: u32) -> EnvelopeSpan {
        EnvelopeSpan {
            source: source.into(),
            path: Path::new(path).into(),
            key: FileKey(7),
            epoch: 3,
            span: Span {
                start: 100,
                end: 90_100,
            },
            end_place: 2,
            marker: Marker {
                len: 12,
                hash: 0xdead_beef,
            },
            records,
            line_bytes: 89_000,
        }
    }

    fn envelope() -> Envelope {
        Envelope {
            batch: BatchId(42),
            written_ns: 1_700_000_000_000_000_000,
            wire: "loki-protobuf-snappy".to_owned(),
            sink: "central".into(),
            tenant: Some("shop".into()),
            reason: String::new(),
            spans: vec![
                span("nginx", "/var/log/nginx/access.log", 2),
                span("nginx", "/var/log/nginx/access.log", 0),
                span("app", "/var/log/app.log", 1),
            ],
            record_ends: vec![120, 90_000, 5],
        }
    }

    #[test]
    fn an_envelope_is_read_back_with_its_body() {
        let mut payload = Vec::new();
        envelope().encode(&mut payload);
        payload.extend_from_slice(b"body");
        let (read, body) = Envelope::decode(&payload).unwrap();
        assert_eq!(read, envelope());
        assert_eq!(body, b"body");
    }

    #[test]
    fn a_piece_of_a_batch_has_records_without_spans() {
        let piece = Envelope {
            spans: Vec::new(),
            tenant: None,
            reason: "too_large".to_owned(),
            ..envelope()
        };
        let mut payload = Vec::new();
        piece.encode(&mut payload);
        assert_eq!(Envelope::decode(&payload), Ok((piece, &b""[..])));
    }

    #[test]
    fn a_newer_version_is_told_from_damage() {
        let newer = Envelope::decode(&[VERSION + 1, 1, 2]).unwrap_err();
        assert_eq!(newer, EnvelopeError::NewerVersion { found: VERSION + 1 });
        let mut payload = Vec::new();
        envelope().encode(&mut payload);
        for len in 0..payload.len() {
            let cut = payload.get(..len).unwrap();
            assert_eq!(Envelope::decode(cut).unwrap_err(), EnvelopeError::Malformed);
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_panic(payload in prop::collection::vec(any::<u8>(), 0..300)) {
            drop(Envelope::decode(&payload));
            let mut versioned = vec![VERSION];
            versioned.extend_from_slice(&payload);
            drop(Envelope::decode(&versioned));
        }
    }
}
