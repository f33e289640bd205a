//! Reads the lines out of push requests, in the two encodings that Loki takes.

use anyhow::{Context, bail};

const LENGTH_DELIMITED: u64 = 2;
const VARINT: u64 = 0;
const FIXED_64: u64 = 1;
const FIXED_32: u64 = 5;

/// Calls `each` for every line of a protobuf `PushRequest`, in order.
///
/// # Errors
/// When the bytes are no such request; `each` has then seen the lines before the fault.
pub(crate) fn for_each_line(request: &[u8], mut each: impl FnMut(&[u8])) -> anyhow::Result<()> {
    for_each_field(request, |field, stream| match field {
        1 => for_each_field(stream, |field, entry| match field {
            2 => for_each_field(entry, |field, line| {
                if field == 2 {
                    each(line);
                }
                Ok(())
            }),
            _ => Ok(()),
        }),
        _ => Ok(()),
    })
}

/// Calls `each` with the number and bytes of every length-delimited field, in order.
fn for_each_field<'a>(
    encoded: &'a [u8],
    mut each: impl FnMut(u64, &'a [u8]) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let mut rest = encoded;
    while !rest.is_empty() {
        let tag = take_varint(&mut rest)?;
        match tag & 7 {
            VARINT => {
                take_varint(&mut rest)?;
            }
            FIXED_64 => {
                take(&mut rest, 8)?;
            }
            FIXED_32 => {
                take(&mut rest, 4)?;
            }
            LENGTH_DELIMITED => {
                let length = take_varint(&mut rest)?;
                let length = usize::try_from(length).context("field longer than memory")?;
                each(tag >> 3, take(&mut rest, length)?)?;
            }
            wire_type => bail!("unknown wire type {wire_type}"),
        }
    }
    Ok(())
}

fn take<'a>(rest: &mut &'a [u8], length: usize) -> anyhow::Result<&'a [u8]> {
    let (taken, after) = rest
        .split_at_checked(length)
        .context("field longer than the request")?;
    *rest = after;
    Ok(taken)
}

fn take_varint(rest: &mut &[u8]) -> anyhow::Result<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (byte, after) = rest.split_first().context("number cut off")?;
        *rest = after;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Ok(value);
        }
    }
    bail!("number longer than 64 bits")
}

/// Calls `each` for every line of a JSON push request, in order.
///
/// # Errors
/// When the bytes are no such request; `each` has then seen the lines before the fault.
pub(crate) fn for_each_json_line(
    request: &[u8],
    mut each: impl FnMut(&[u8]),
) -> anyhow::Result<()> {
    let request: serde_json::Value =
        serde_json::from_slice(request).context("request is not JSON")?;
    let streams = request
        .get("streams")
        .and_then(|streams| streams.as_array());
    for stream in streams.context("request without streams")? {
        let entries = stream.get("values").and_then(|values| values.as_array());
        for entry in entries.context("stream without values")? {
            let line = entry.get(1).and_then(|line| line.as_str());
            each(line.context("entry without a line")?.as_bytes());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(request: &[u8]) -> anyhow::Result<Vec<String>> {
        let mut lines = Vec::new();
        for_each_line(request, |line| {
            lines.push(String::from_utf8_lossy(line).into_owned());
        })?;
        Ok(lines)
    }

    /// Two streams: one with structured metadata and a hash after its entry, and an empty one.
    const REQUEST: &[u8] = &[
        0x0a, 26, // streams[0]
        0x0a, 2, b'{', b'}', // labels
        0x12, 18, // entries[0]
        0x0a, 4, 0x08, 1, 0x10, 2, // timestamp
        0x12, 2, b'h', b'i', // line
        0x1a, 6, 0x0a, 1, b'k', 0x12, 1, b'v', // structured metadata
        0x18, 7, // hash
        0x0a, 4, 0x0a, 2, b'{', b'}', // streams[1]
    ];

    #[test]
    fn only_lines_are_taken_from_a_request() {
        assert_eq!(lines(REQUEST).unwrap(), ["hi"]);
        assert!(lines(&[]).unwrap().is_empty());
    }

    #[test]
    fn a_request_cut_anywhere_is_an_error_or_shorter() {
        for cut in 0..REQUEST.len() {
            if let Ok(lines) = lines(&REQUEST[..cut]) {
                assert!(cut == 0 || cut == 28, "cut at {cut} gave {lines:?}");
            }
        }
    }

    #[test]
    fn malformed_numbers_are_errors() {
        assert!(lines(&[0xff; 11]).is_err());
        assert!(lines(&[0x0b]).is_err());
        assert!(
            lines(&[
                0x0a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1
            ])
            .is_err()
        );
    }

    #[test]
    fn json_requests_are_read_too() {
        let request = br#"{"streams":[{"stream":{"job":"bench"},
            "values":[["1","GET \"/\""],["2","two",{"k":"v"}]]}]}"#;
        let mut lines = Vec::new();
        for_each_json_line(request, |line| lines.push(line.to_vec())).unwrap();
        assert_eq!(lines, [b"GET \"/\"".to_vec(), b"two".to_vec()]);
        assert!(for_each_json_line(b"{}", |_| {}).is_err());
        assert!(for_each_json_line(br#"{"streams":[{"values":[["1"]]}]}"#, |_| {}).is_err());
    }
}
