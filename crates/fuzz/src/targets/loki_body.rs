//! Push requests of Loki: both encodings, plain and compressed, and label sets.

use tailwater_sink::put_selector;
use tailwater_sink_loki::{Encoding, decode};

use crate::input;

pub(crate) fn run(bytes: &[u8]) {
    let (way, body) = input::choice(bytes, 5);
    let decoded = match way {
        0 => decode::decode_protobuf(body),
        1 => decode::decode_json(body),
        2 => decode::decode_body(Encoding::Protobuf, body),
        3 => decode::decode_body(Encoding::Json, body),
        _ => return std::str::from_utf8(body).map_or((), check_labels),
    };
    let Ok(streams) = decoded else {
        return;
    };
    let entries: usize = streams.iter().map(|stream| stream.entries.len()).sum();
    if way < 2 {
        assert!(entries.saturating_add(streams.len()) <= body.len());
    }
    streams
        .iter()
        .for_each(|stream| check_labels(&stream.labels));
}

/// What is read is written and read again as the same.
fn check_labels(text: &str) {
    let Ok(labels) = decode::parse_labels(text) else {
        return;
    };
    let mut written = String::new();
    let pairs = labels.iter().map(|(name, value)| (&**name, &**value));
    put_selector(&mut written, pairs);
    let has_names = labels.iter().all(|(name, _)| is_name(name));
    assert!(
        !has_names || decode::parse_labels(&written).as_ref() == Ok(&labels),
        "{text}"
    );
}

fn is_name(name: &str) -> bool {
    let fits = |byte: u8| byte == b'_' || byte.is_ascii_alphanumeric();
    !name.is_empty() && name.bytes().all(fits)
}
