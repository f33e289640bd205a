//! Records that are kept until their span can be opened.

use tailwater_batcher::Fill;
use tailwater_record::{FileId, LabelSet, RecordView, Span, TimestampNs};
use tailwater_stages::Processed;

use crate::pipeline::slot::Slot;
use crate::route::{ExtraLabels, SinkEnd};

/// A copy of a record that has left the stages while another file was read, or none.
#[derive(Debug)]
pub(super) struct Made {
    file: FileId,
    span: Span,
    line: Vec<u8>,
    timestamp: TimestampNs,
    labels: LabelSet,
    metadata: Vec<(String, String)>,
    tenant: Option<String>,
}

impl Made {
    /// Copies a record, with the structured metadata of its source.
    pub(super) fn of(
        record: &Processed<'_>,
        fixed: &[(String, String)],
        offset_name: Option<&str>,
    ) -> Self {
        let view = record.view();
        let offset = offset_name.map(|name| (name.to_owned(), view.span.start.to_string()));
        let own = record.metadata.iter();
        let own = own.map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        Self {
            file: record.parts.first().map_or(FileId(0), |part| part.file),
            span: view.span,
            line: record.line.to_vec(),
            timestamp: record.timestamp,
            labels: record.labels.clone(),
            metadata: fixed.iter().cloned().chain(offset).chain(own).collect(),
            tenant: record.tenant.map(str::to_owned),
        }
    }

    /// The file of its first line.
    pub(super) fn file(&self) -> FileId {
        self.file
    }

    pub(super) fn line(&self) -> &[u8] {
        &self.line
    }

    pub(super) fn append_to(
        &self,
        slot: &mut Slot,
        end: &SinkEnd,
        labels: &mut ExtraLabels,
        is_kept: Option<bool>,
    ) -> Fill {
        let metadata: Vec<(&str, &str)> = self
            .metadata
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect();
        let record = RecordView {
            line: &self.line,
            span: self.span,
            timestamp: self.timestamp,
            labels: labels.with(&self.labels),
            metadata: &metadata,
        };
        slot.append_made(end, self.tenant.as_deref(), &record, is_kept)
    }
}
