//! Reading the fields of a payload, and writing those with a length.

use crate::state::FileKey;

/// Reads fields from the front; `None` where the bytes are too few or make no sense.
pub(crate) struct Fields<'a>(pub(crate) &'a [u8]);

impl<'a> Fields<'a> {
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (field, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*field)
    }

    pub(crate) fn u8(&mut self) -> Option<u8> {
        self.take().map(u8::from_le_bytes)
    }

    pub(crate) fn u16(&mut self) -> Option<u16> {
        self.take().map(u16::from_le_bytes)
    }

    pub(crate) fn u32(&mut self) -> Option<u32> {
        self.take().map(u32::from_le_bytes)
    }

    pub(crate) fn u64(&mut self) -> Option<u64> {
        self.take().map(u64::from_le_bytes)
    }

    pub(crate) fn u128(&mut self) -> Option<u128> {
        self.take().map(u128::from_le_bytes)
    }

    pub(crate) fn key(&mut self) -> Option<FileKey> {
        self.u64().map(FileKey)
    }

    /// Reads a length and that many bytes.
    pub(crate) fn short(&mut self, max_bytes: usize) -> Option<&'a [u8]> {
        let len = usize::from(self.u16()?);
        let (bytes, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        (len <= max_bytes).then_some(bytes)
    }

    /// Reads a length and that many bytes of UTF-8.
    pub(crate) fn name(&mut self, max_bytes: usize) -> Option<&'a str> {
        std::str::from_utf8(self.short(max_bytes)?).ok()
    }

    /// Reads what is left.
    pub(crate) fn rest(&mut self, max_bytes: usize) -> Option<&'a [u8]> {
        let rest = std::mem::take(&mut self.0);
        (rest.len() <= max_bytes).then_some(rest)
    }
}

/// Appends a length and the bytes.
pub(crate) fn append_short(payload: &mut Vec<u8>, bytes: &[u8]) {
    let len = u16::try_from(bytes.len())
        .expect("paths and names over their limits, all below 64 KiB, are kept out by the callers");
    payload.extend_from_slice(&len.to_le_bytes());
    payload.extend_from_slice(bytes);
}
