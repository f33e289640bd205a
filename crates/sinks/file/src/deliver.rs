//! Delivery: one batch at a time, on a thread that may block.

use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use tailwater_record::{BatchId, EncodedBatch};
use tailwater_sink::{DecodedRecord, Deliver, DeliverError, DeliverFuture, Delivered, SplitError};

use crate::append::FileTarget;
use crate::encode::Layout;
use crate::failure::AppendError;
use crate::parts;
use crate::stream::StreamTarget;

/// Where batches are appended.
#[derive(Debug)]
pub(crate) enum Target {
    File(FileTarget),
    Stream(StreamTarget),
}

impl Target {
    fn append(&mut self, batch: BatchId, body: &[u8]) -> Result<(), AppendError> {
        match self {
            Self::File(file) => file.append(body),
            Self::Stream(stream) => stream.append(batch, body),
        }
    }
}

/// Appends sealed batches.
#[derive(Debug)]
pub(crate) struct FileDeliver {
    /// For logs and the status.
    name: String,
    layout: Layout,
    target: Arc<Mutex<Target>>,
}

impl FileDeliver {
    pub(crate) fn new(name: String, layout: Layout, target: Target) -> Self {
        Self {
            name,
            layout,
            target: Arc::new(Mutex::new(target)),
        }
    }
}

impl Deliver for FileDeliver {
    /// Appends the batch; a batch whose future was dropped is still written to its end, and the next
    /// one waits for it.
    fn deliver<'a>(&'a self, batch: &'a EncodedBatch) -> DeliverFuture<'a> {
        let target = Arc::clone(&self.target);
        let (id, body) = (batch.id, batch.body.clone());
        Box::pin(async move {
            let appended = tokio::task::spawn_blocking(move || {
                // A panic while appending leaves no state that the next append relies on: the file
                // is compared with its path and its length is read again.
                let mut target = target.lock().unwrap_or_else(PoisonError::into_inner);
                target.append(id, &body)
            });
            match appended.await {
                Ok(Ok(())) => Ok(Delivered),
                Ok(Err(error)) => Err(DeliverError::from(error)),
                Err(_stopped) => Err(DeliverError::from(AppendError::Stopped)),
            }
        })
    }

    fn split(&self, body: &Bytes, first_records: u32) -> Result<(Bytes, Bytes), SplitError> {
        parts::split(body, first_records)
    }

    fn retain(
        &self,
        body: &Bytes,
        keep: &mut dyn FnMut(u32) -> bool,
    ) -> Result<Option<Bytes>, SplitError> {
        parts::retain(body, keep)
    }

    fn decode(
        &self,
        body: &Bytes,
        each: &mut dyn FnMut(DecodedRecord<'_>),
    ) -> Result<(), SplitError> {
        parts::decode(self.layout, body, each)
    }

    fn wire(&self) -> &'static str {
        match self.layout {
            Layout::Ndjson => "ndjson",
            Layout::Text => "text",
            // Another name, because a body that was escaped for nobody's terminal must not reach one.
            Layout::EscapedText => "text-escaped",
        }
    }

    fn target(&self) -> String {
        self.name.clone()
    }
}
