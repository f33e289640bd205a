//! Delivery: one batch at a time, on a thread that may block.

use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use tailwater_record::{BatchId, EncodedBatch};
use tailwater_sink::{Deliver, DeliverError, DeliverFuture, Delivered, SplitError};

use crate::append::FileTarget;
use crate::failure::AppendError;
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
    target: Arc<Mutex<Target>>,
}

impl FileDeliver {
    pub(crate) fn new(name: String, target: Target) -> Self {
        Self {
            name,
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
        let refuse = |reason| SplitError {
            body_bytes: body.len(),
            reason,
        };
        let before_last = first_records
            .checked_sub(1)
            .and_then(|count| usize::try_from(count).ok())
            .ok_or_else(|| refuse("no records were asked for"))?;
        let last_newline = body
            .iter()
            .enumerate()
            .filter(|(_, byte)| **byte == b'\n')
            .nth(before_last)
            .map(|(index, _)| index)
            .ok_or_else(|| refuse("it has fewer lines"))?;
        let mut first = body.clone();
        let rest = first.split_off(last_newline.saturating_add(1));
        if rest.last() != Some(&b'\n') {
            return Err(refuse("no whole lines are left"));
        }
        Ok((first, rest))
    }

    fn target(&self) -> String {
        self.name.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(body: &'static [u8], first_records: u32) -> Result<(Bytes, Bytes), SplitError> {
        let target = Target::Stream(StreamTarget::standard_output());
        FileDeliver::new("-".into(), target).split(&Bytes::from_static(body), first_records)
    }

    #[test]
    fn a_body_is_split_after_its_first_records() {
        let (first, rest) = split(b"a\n\nb\nc\n", 3).unwrap();
        assert_eq!((&*first, &*rest), (&b"a\n\nb\n"[..], &b"c\n"[..]));
    }

    #[test]
    fn a_body_that_holds_too_few_lines_is_not_split() {
        for (body, first_records) in [
            (&b"a\nb\n"[..], 0),
            (b"a\nb\n", 2),
            (b"a\nb\n", 3),
            (b"", 1),
            (b"a\nb", 1),
        ] {
            let error = split(body, first_records).unwrap_err();
            assert_eq!(error.body_bytes, body.len(), "{first_records}");
        }
    }
}
