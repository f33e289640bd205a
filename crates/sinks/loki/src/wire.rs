//! The parts of protobuf that a push request is made of.
//!
//! Varints are written padded to a fixed width where that saves looking ahead: a parser reads each
//! `0x80` as seven more zero bits.
//!
//! Source: <https://protobuf.dev/programming-guides/encoding/>.

/// Fields of the messages in `pkg/push/push.proto`.
pub(crate) mod field {
    pub(crate) const PUSH_STREAM: u8 = 1;
    pub(crate) const STREAM_LABELS: u8 = 1;
    pub(crate) const STREAM_ENTRY: u8 = 2;
    pub(crate) const ENTRY_TIMESTAMP: u8 = 1;
    pub(crate) const ENTRY_LINE: u8 = 2;
    pub(crate) const ENTRY_METADATA: u8 = 3;
    pub(crate) const TIMESTAMP_SECONDS: u8 = 1;
    pub(crate) const TIMESTAMP_NANOS: u8 = 2;
    pub(crate) const PAIR_NAME: u8 = 1;
    pub(crate) const PAIR_VALUE: u8 = 2;
}

/// Width of the length of a stream, which is known only when the stream ends. Five bytes hold 32 GiB,
/// more than a snappy block can.
pub(crate) const STREAM_LEN_BYTES: usize = 5;

/// Tag of a length-delimited field; `number < 16`.
pub(crate) const fn tag_bytes(number: u8) -> u8 {
    number << 3 | 2
}

/// Tag of a varint field; `number < 16`.
pub(crate) const fn tag_varint(number: u8) -> u8 {
    number << 3
}

/// Writes a varint in exactly `N` bytes; `value < 1 << (7 * N)`.
pub(crate) fn padded_varint<const N: usize>(value: u64) -> [u8; N] {
    let mut bytes = [0; N];
    let mut rest = value;
    for byte in &mut bytes {
        let [low, ..] = rest.to_le_bytes();
        *byte = low | 0x80;
        rest >>= 7;
    }
    if let Some(last) = bytes.last_mut() {
        *last &= 0x7F;
    }
    bytes
}

/// Appends a varint in as few bytes as it takes.
pub(crate) fn put_varint(body: &mut Vec<u8>, value: u64) {
    let mut rest = value;
    loop {
        let [low, ..] = rest.to_le_bytes();
        rest >>= 7;
        if rest == 0 {
            body.push(low);
            return;
        }
        body.push(low | 0x80);
    }
}

/// Appends a length-delimited field.
pub(crate) fn put_bytes(body: &mut Vec<u8>, number: u8, content: &[u8]) {
    body.push(tag_bytes(number));
    put_varint(body, content.len() as u64);
    body.extend_from_slice(content);
}

/// Returns the bytes of a length-delimited field with `len` bytes of content.
pub(crate) fn field_len(len: usize) -> usize {
    let bits = usize::BITS - (len | 1).leading_zeros();
    1 + bits.div_ceil(7) as usize + len
}

/// Begins a stream whose length is not known yet; returns where the length stands.
pub(crate) fn begin_stream(body: &mut Vec<u8>, labels_field: &[u8]) -> usize {
    body.push(tag_bytes(field::PUSH_STREAM));
    let len_at = body.len();
    body.extend_from_slice(&[0; STREAM_LEN_BYTES]);
    body.extend_from_slice(labels_field);
    len_at
}

/// Fills in the length of the stream that [`begin_stream`] began and that ends with `body`.
pub(crate) fn end_stream(body: &mut [u8], len_at: usize) {
    let Some((len, content)) = body
        .get_mut(len_at..)
        .and_then(|stream| stream.split_first_chunk_mut::<STREAM_LEN_BYTES>())
    else {
        return;
    };
    *len = padded_varint(content.len() as u64);
}

/// What stands in a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Value<'a> {
    Varint(u64),
    Bytes(&'a [u8]),
    /// Four or eight bytes that no message of a push request has.
    Fixed,
}

/// One field of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Field<'a> {
    pub(crate) number: u64,
    pub(crate) value: Value<'a>,
    /// The field as it stands, with its tag.
    pub(crate) whole: &'a [u8],
}

/// The bytes are not a protobuf message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Malformed;

/// Walks the fields of one message; ends after the first malformed one.
pub(crate) struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    pub(crate) fn of(message: &'a [u8]) -> Self {
        Self(message)
    }

    fn take(&mut self) -> Option<Field<'a>> {
        let start = self.0;
        let tag = self.take_varint()?;
        let value = match tag & 7 {
            0 => Value::Varint(self.take_varint()?),
            1 => self.take_bytes(8).map(|_| Value::Fixed)?,
            2 => {
                let len = usize::try_from(self.take_varint()?).ok()?;
                Value::Bytes(self.take_bytes(len)?)
            }
            5 => self.take_bytes(4).map(|_| Value::Fixed)?,
            _ => return None,
        };
        let whole = start.get(..start.len().checked_sub(self.0.len())?)?;
        Some(Field {
            number: tag >> 3,
            value,
            whole,
        })
    }

    fn take_bytes(&mut self, len: usize) -> Option<&'a [u8]> {
        let (bytes, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(bytes)
    }

    /// Takes at most the ten bytes that a 64-bit value can have; bits beyond 64 are dropped, as every
    /// parser does.
    fn take_varint(&mut self) -> Option<u64> {
        let mut value = 0_u64;
        for shift in (0..u64::BITS).step_by(7) {
            let (byte, rest) = self.0.split_first()?;
            self.0 = rest;
            value |= u64::from(byte & 0x7F) << shift;
            if byte & 0x80 == 0 {
                return Some(value);
            }
        }
        None
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Result<Field<'a>, Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let field = self.take();
        if field.is_none() {
            self.0 = &[];
        }
        Some(field.ok_or(Malformed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_padded_varint_is_read_as_the_value_that_was_written() {
        for value in [0, 1, 127, 128, 16_383, 1 << 31, (1 << 35) - 1] {
            let mut message = vec![tag_varint(1)];
            message.extend_from_slice(&padded_varint::<5>(value));
            let field = Fields::of(&message).next().unwrap().unwrap();
            assert_eq!(field.value, Value::Varint(value));
            assert_eq!(field.whole, message);
        }
        assert_eq!(padded_varint::<2>(300), [0xAC, 0x02]);
    }

    #[test]
    fn the_length_of_a_field_is_known_before_it_is_written() {
        for len in [0, 1, 127, 128, 16_383, 16_384] {
            let mut body = Vec::new();
            put_bytes(&mut body, 2, &vec![b'x'; len]);
            assert_eq!(body.len(), field_len(len), "{len}");
        }
    }

    #[test]
    fn fields_of_every_wire_type_are_walked_and_a_torn_one_ends_the_walk() {
        let mut message = vec![0x08, 0x07, 0x11, 1, 2, 3, 4, 5, 6, 7, 8, 0x25, 1, 2, 3, 4];
        message.extend_from_slice(&[0x1A, 0x02, b'h', b'i', 0x1A, 0x09, b'x']);
        let seen: Vec<_> = Fields::of(&message)
            .map(|field| field.map(|field| (field.number, field.value)))
            .collect();
        assert_eq!(
            seen,
            [
                Ok((1, Value::Varint(7))),
                Ok((2, Value::Fixed)),
                Ok((4, Value::Fixed)),
                Ok((3, Value::Bytes(b"hi"))),
                Err(Malformed)
            ]
        );
        assert_eq!(Fields::of(&[0xFF; 11]).last(), Some(Err(Malformed)));
    }
}
