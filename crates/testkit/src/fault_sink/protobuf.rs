//! The part of the protobuf wire format that a push request needs.

/// The value of a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Value<'a> {
    /// Wire type 0.
    Varint(u64),
    /// Wire types 1 and 5: not interpreted.
    Fixed,
    /// Wire type 2.
    Bytes(&'a [u8]),
}

/// Splits a protobuf structure into its fields: number and value, in the order of the wire.
pub(super) fn fields(mut bytes: &[u8]) -> impl Iterator<Item = Result<(u64, Value<'_>), String>> {
    std::iter::from_fn(move || {
        if bytes.is_empty() {
            return None;
        }
        let field = field(&mut bytes);
        if field.is_err() {
            bytes = &[];
        }
        Some(field)
    })
}

fn field<'a>(bytes: &mut &'a [u8]) -> Result<(u64, Value<'a>), String> {
    let tag = varint(bytes)?;
    let value = match tag & 7 {
        0 => Value::Varint(varint(bytes)?),
        1 => take(bytes, 8).map(|_| Value::Fixed)?,
        2 => {
            let len = varint(bytes)?;
            Value::Bytes(take(bytes, len)?)
        }
        5 => take(bytes, 4).map(|_| Value::Fixed)?,
        other => return Err(format!("proto: illegal wireType {other}")),
    };
    match tag >> 3 {
        0 => Err("proto: illegal tag 0".into()),
        number => Ok((number, value)),
    }
}

fn varint(bytes: &mut &[u8]) -> Result<u64, String> {
    let mut value = 0_u64;
    for index in 0..10_u32 {
        let (byte, rest) = bytes.split_first().ok_or("unexpected EOF")?;
        *bytes = rest;
        // The tenth byte holds one bit.
        if index == 9 && *byte > 1 {
            break;
        }
        value |= u64::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            return Ok(value);
        }
    }
    Err("proto: integer overflow".into())
}

fn take<'a>(bytes: &mut &'a [u8], len: u64) -> Result<&'a [u8], String> {
    let (taken, rest) = usize::try_from(len)
        .ok()
        .and_then(|len| bytes.split_at_checked(len))
        .ok_or("unexpected EOF")?;
    *bytes = rest;
    Ok(taken)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(bytes: &[u8]) -> Result<Vec<(u64, Value<'_>)>, String> {
        fields(bytes).collect()
    }

    #[test]
    fn fields_of_every_kind_are_told_apart() {
        // As `protoc --decode_raw` reads them: 1: 150, 2: "testing", 3 (fixed32), 4 (fixed64).
        let mut bytes = b"\x08\x96\x01\x12\x07testing".to_vec();
        bytes.extend_from_slice(b"\x1d1234\x2112345678");
        assert_eq!(
            all(&bytes).unwrap(),
            [
                (1, Value::Varint(150)),
                (2, Value::Bytes(b"testing")),
                (3, Value::Fixed),
                (4, Value::Fixed)
            ]
        );
    }

    #[test]
    fn bytes_that_end_too_early_are_refused() {
        for bytes in [
            &b"\x08"[..],
            b"\x08\x80",
            b"\x12\x07test",
            b"\x1d12",
            b"\x0b",
            b"\x00\x00",
        ] {
            assert!(all(bytes).is_err(), "{bytes:?}");
        }
        assert!(all(&[0xff; 11]).is_err());
        assert!(all(b"\x12\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01").is_err());
    }
}
