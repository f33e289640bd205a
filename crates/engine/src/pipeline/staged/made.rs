//! Records that are kept until their span can be opened.

use tailwater_batcher::Fill;
use tailwater_record::{FileId, LabelSet, RecordView, Severity, Span, TimestampNs};
use tailwater_stages::Processed;

use crate::config::SEVERITY_METADATA;
use crate::pipeline::severity::Grading;
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
    severity: Option<Severity>,
    metadata: Vec<(String, String)>,
    tenant: Option<String>,
}

impl Made {
    /// Copies a record, with the structured metadata of its source and of its severity.
    pub(super) fn of(
        record: &Processed<'_>,
        fixed: &[(String, String)],
        offset_name: Option<&str>,
        grading: Grading<'_>,
    ) -> Self {
        let view = record.view();
        let severity = grading.grade(record.severity, record.line);
        let sent = sent_metadata(record, grading.metadata(severity));
        let texts = sent.map(|severity| [severity.as_str(), severity.digits()]);
        let texts = SEVERITY_METADATA
            .into_iter()
            .zip(texts.into_iter().flatten());
        let texts = texts.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let offset = offset_name.map(|name| (name.to_owned(), view.span.start.to_string()));
        let own = record.metadata.iter();
        let own = own.map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        Self {
            file: record.parts.first().map_or(FileId(0), |part| part.file),
            span: view.span,
            line: record.line.to_vec(),
            timestamp: record.timestamp,
            labels: record.labels.clone(),
            severity,
            metadata: fixed
                .iter()
                .cloned()
                .chain(texts)
                .chain(offset)
                .chain(own)
                .collect(),
            tenant: record.tenant.map(str::to_owned),
        }
    }

    /// The file of its first line.
    pub(super) fn file(&self) -> FileId {
        self.file
    }

    pub(super) fn append_to(
        &self,
        slot: &mut Slot,
        end: &SinkEnd,
        labels: &mut ExtraLabels,
        grading: Grading<'_>,
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
            labels: labels.with(&self.labels, grading.label(self.severity)),
            severity: self.severity,
            metadata: &metadata,
        };
        let is_kept = grading.is_kept(self.severity);
        slot.append_made(end, self.tenant.as_deref(), &record, is_kept)
    }
}

/// Returns the severity that a record is sent with as structured metadata: none where its stages have set
/// what is called so.
pub(super) fn sent_metadata(
    record: &Processed<'_>,
    severity: Option<Severity>,
) -> Option<Severity> {
    let mut own = record.metadata.iter();
    severity.filter(|_| !own.any(|(name, _)| SEVERITY_METADATA.contains(name)))
}
