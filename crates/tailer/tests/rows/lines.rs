//! Lines as they come: rows F16, F18, F20 to F23.

use std::io::Write as _;

use tailwater_tailer::Encoding;

use crate::host::Host;

/// 15: neighbors of a long line are whole, the long one is cut and counted, nothing is read twice.
#[test]
fn long_lines_stop_no_file() {
    for len in [
        31 << 10,
        (32 << 10) - 1,
        32 << 10,
        64 << 10,
        (64 << 10) + 1,
        1 << 20,
        10 << 20,
    ] {
        let mut host = Host::new();
        host.append("a.log", format!("before\n{}\nafter\n", "y".repeat(len)));
        host.settle();
        assert_eq!(host.read.len(), 3, "{len}");
        assert_eq!(
            (host.lines()[0].as_str(), host.lines()[2].as_str()),
            ("before", "after")
        );
        let is_cut = len > 64 << 10;
        assert_eq!(host.counts.truncated_lines, u64::from(is_cut), "{len}");
        assert!(host.read[1].bytes.len() <= 64 << 10);
    }
}

/// 17, and 22 of the other list.
#[test]
fn any_bytes_make_lines() {
    let mut host = Host::new();
    host.append(
        "a.log",
        b"\xEF\xBB\xBFbom\r\n\n\r\nlone\rcr\nnul\0\xFF\x1b\nend\n",
    );
    host.settle();
    let lines: Vec<&[u8]> = host.read.iter().map(|line| &line.bytes[..]).collect();
    let expected: Vec<&[u8]> = vec![b"bom", b"", b"", b"lone\rcr", b"nul\0\xFF\x1b", b"end"];
    assert_eq!(lines, expected);
}

/// F21: UTF-16 by its mark, both ways round.
#[test]
fn utf_16_files_are_read_as_text() {
    for is_little in [true, false] {
        let mut host = Host::new();
        let bytes: Vec<u8> = "\u{FEFF}zwölf\r\nℝ😀\n"
            .encode_utf16()
            .flat_map(|unit| {
                if is_little {
                    unit.to_le_bytes()
                } else {
                    unit.to_be_bytes()
                }
            })
            .collect();
        host.append("a.log", bytes);
        host.settle();
        assert_eq!(host.lines(), ["zwölf", "ℝ😀"]);
    }
}

/// F16 and 24 of the other list: a writer of single bytes tears nothing.
#[test]
fn a_writer_of_single_bytes_tears_no_line() {
    let mut host = Host::new();
    let mut writer = host.append("a.log", "");
    for byte in b"one\ntwo\nthree\n" {
        writer.write_all(&[*byte]).unwrap();
        host.turn();
    }
    assert_eq!(host.lines(), ["one", "two", "three"]);
}

/// 23: the offset is that of the line's first byte.
#[test]
fn the_offset_of_a_line_is_where_it_begins() {
    let mut host = Host::new();
    let text: String = (0..20_000)
        .map(|line| format!("{}\n", "z".repeat(line % 61)))
        .collect();
    host.append("a.log", &text);
    host.settle();
    let mut offset = 0;
    for line in &host.read {
        assert_eq!(line.offset, offset);
        offset += line.bytes.len() as u64 + 1;
    }
    assert_eq!(offset, text.len() as u64);
}

/// `read_from: end` begins after the last whole line, in units of what a file is written in.
#[test]
fn the_end_of_a_file_is_after_its_last_whole_line_in_every_encoding() {
    let utf16 = |text: &str, bytes: fn(u16) -> [u8; 2]| -> Vec<u8> {
        text.encode_utf16().flat_map(bytes).collect()
    };
    // U+0A0A holds a byte of a newline at every place.
    let text = format!("\u{FEFF}first\n{}\n\u{0A0A}torn", "x".repeat(3000));
    let whole = text.len() - "\u{0A0A}torn".len();
    let units = text.encode_utf16().count() - "\u{0A0A}torn".encode_utf16().count();
    let cases = [
        (text.clone().into_bytes(), whole),
        (utf16(&text, u16::to_le_bytes), 2 * units),
        (utf16(&text, u16::to_be_bytes), 2 * units),
    ];
    for (bytes, expected) in cases {
        let mut host = Host::new();
        host.append("a.log", &bytes);
        host.look();
        let id = host.tailer().files().next().unwrap().id;
        let file = host.tailer().file_mut(id).unwrap();
        let (offset, marker) = tailwater_tailer::file::seek_end(file, Encoding::Auto).unwrap();
        assert_eq!(offset, expected as u64);
        assert!(marker.matches_tail(&bytes[..expected]));
    }
}
