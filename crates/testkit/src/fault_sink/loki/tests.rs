use std::io::Write;

use super::*;

/// The bytes of a request with one stream, one line and one pair of metadata, written by hand from
/// the definition of the format.
const REQUEST: &[u8] = &[
    0x0a, 39, // PushRequest.streams
    0x0a, 9, b'{', b'j', b'o', b'b', b'=', b'"', b'a', b'"', b'}', // labels
    0x12, 26, // entries
    0x0a, 8, 0x08, 0x80, 0xe2, 0xcf, 0xaa, 0x06, 0x10,
    7, // timestamp: 1_700_000_000 s and 7 ns
    0x12, 5, b'h', b'e', b'l', b'l', b'o', // line
    0x1a, 7, 0x0a, 1, b'k', 0x12, 2, b'v', b'1', // structuredMetadata
];

fn snapped(bytes: &[u8]) -> Vec<u8> {
    snap::raw::Encoder::new().compress_vec(bytes).unwrap()
}

fn hello() -> Push {
    Push {
        labels: Arc::from("{job=\"a\"}"),
        timestamp_ns: 1_700_000_000_000_000_007,
        line: b"hello".to_vec(),
        metadata: vec![("k".into(), "v1".into())],
    }
}

#[test]
fn a_protobuf_request_is_read() {
    for content_type in [None, Some("application/x-protobuf")] {
        for encoding in [None, Some("snappy")] {
            let pushes = decode(content_type, encoding, &snapped(REQUEST));
            assert_eq!(pushes, Ok(vec![hello()]));
        }
    }
}

#[test]
fn a_json_request_is_read_plain_and_compressed() {
    let json = br#"{"streams":[{"stream":{"job":"a"},
        "values":[["1700000000000000007","hello",{"k":"v1"}]]}]}"#;
    let level = flate2::Compression::fast();
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), level);
    gzip.write_all(json).unwrap();
    let mut zlib = flate2::write::ZlibEncoder::new(Vec::new(), level);
    zlib.write_all(json).unwrap();
    let bodies = [
        (None, json.to_vec()),
        (Some("gzip"), gzip.finish().unwrap()),
        (Some("deflate"), zlib.finish().unwrap()),
    ];
    for (encoding, body) in bodies {
        let content_type = Some("application/json; charset=utf-8");
        assert_eq!(decode(content_type, encoding, &body), Ok(vec![hello()]));
    }
}

#[test]
fn a_request_cut_anywhere_is_refused() {
    for end in 1..REQUEST.len() {
        let cut = decode(None, None, &snapped(&REQUEST[..end]));
        assert!(cut.is_err(), "cut to {end} bytes");
    }
    let whole = snapped(REQUEST);
    for end in 0..whole.len() {
        assert!(
            decode(None, None, &whole[..end]).is_err(),
            "cut to {end} bytes"
        );
    }
}

#[test]
fn what_an_agent_must_not_send_is_refused() {
    let refused = |position: usize, byte: u8| {
        let mut changed = REQUEST.to_vec();
        changed[position] = byte;
        decode(None, None, &snapped(&changed)).unwrap_err()
    };
    assert!(refused(5, b'1').contains("error parsing labels"));
    assert!(refused(29, 0xff).contains("line is no UTF-8"));
    let json = br#"{"streams":[{"stream":{},"values":[]}]}"#;
    let error = decode(Some("application/json"), None, json).unwrap_err();
    assert!(error.contains("at least one label pair"), "{error}");
    let error = decode(Some("text/plain"), None, b"x").unwrap_err();
    assert!(error.contains("not supported"), "{error}");
}
