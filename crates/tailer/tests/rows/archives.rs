//! Compressed files: every format, every damage, and what a restart or a full house costs.

use std::io::Write as _;
use std::time::Duration;

use tailwater_tailer::{ArchiveRules, Compression, Damage, WatchBackend};

use crate::host::Host;

const FORMATS: [Compression; 5] = [
    Compression::Gzip,
    Compression::Zlib,
    Compression::Bzip2,
    Compression::Zstd,
    Compression::Xz,
];

/// Those of which several follow each other in one file.
pub(crate) const OF_MEMBERS: [Compression; 4] = [
    Compression::Gzip,
    Compression::Bzip2,
    Compression::Zstd,
    Compression::Xz,
];

fn host(compression: Compression) -> Host {
    host_with(compression, 1, Duration::ZERO)
}

fn host_with(compression: Compression, sinks: u32, delay: Duration) -> Host {
    Host::with(WatchBackend::Auto, &["*.log*"], &[], |setup| {
        setup.source.archive = Some(ArchiveRules {
            compression: Some(compression),
            delay,
        });
        setup.sinks = sinks;
    })
}

pub(crate) fn pack(compression: Compression, text: &[u8]) -> Vec<u8> {
    match compression {
        Compression::Gzip => {
            let mut writer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::new(6));
            writer.write_all(text).unwrap();
            writer.finish().unwrap()
        }
        Compression::Zlib => {
            let mut writer =
                flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::new(6));
            writer.write_all(text).unwrap();
            writer.finish().unwrap()
        }
        Compression::Bzip2 => {
            let mut writer = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::new(9));
            writer.write_all(text).unwrap();
            writer.finish().unwrap()
        }
        Compression::Zstd => {
            let mut writer = zstd::Encoder::new(Vec::new(), 3).unwrap();
            // As the program does.
            writer.include_checksum(true).unwrap();
            writer.write_all(text).unwrap();
            writer.finish().unwrap()
        }
        Compression::Xz => {
            let mut writer = liblzma::write::XzEncoder::new(Vec::new(), 1);
            writer.write_all(text).unwrap();
            writer.finish().unwrap()
        }
    }
}

/// Numbered lines that compress badly enough for several reads of the file.
pub(crate) fn numbered(lines: std::ops::Range<u64>) -> String {
    let noise = |line: u64| line.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    lines
        .map(|line| format!("{line} {:x} {:x}\n", noise(line), noise(line + 7)))
        .collect()
}

pub(crate) fn lines_of(text: &str) -> Vec<&str> {
    text.lines().collect()
}

#[test]
fn an_archive_of_every_format_is_read_to_its_end_once() {
    for compression in FORMATS {
        let mut host = host(compression);
        let text = numbered(0..100_000) + "the last line has no end";
        host.append("a.log", pack(compression, text.as_bytes()));
        host.settle();
        assert_eq!(host.lines(), lines_of(&text), "{compression:?}");
        for _ in 0..3 {
            host.restart();
            host.settle();
        }
        assert_eq!(host.lines().len(), 100_001, "{compression:?}");
        assert_eq!(host.damages, []);
        assert_eq!((host.lost_bytes, host.tailer().open_decoders()), (0, 0));
    }
}

#[test]
fn members_one_after_the_other_and_padding_are_one_file() {
    for compression in OF_MEMBERS {
        let mut host = host(compression);
        let mut bytes = pack(compression, b"one\ntw");
        bytes.extend(pack(compression, b""));
        bytes.extend(pack(compression, b"o\nthree\n"));
        bytes.extend([0; 5000]);
        host.append("a.log", bytes);
        host.settle();
        assert_eq!(host.lines(), ["one", "two", "three"], "{compression:?}");
        assert_eq!(host.damages, []);
    }
}

/// The writer is slow: every prefix of the file is seen.
#[test]
fn an_archive_that_is_still_written_is_waited_for() {
    for compression in FORMATS {
        let mut host = host(compression);
        let text = numbered(0..40);
        for byte in pack(compression, text.as_bytes()) {
            host.append("a.log", [byte]);
            host.turn();
        }
        host.settle();
        assert_eq!(host.lines(), lines_of(&text), "{compression:?}");
        assert_eq!(host.damages, []);
    }
}

#[test]
fn an_archive_is_left_alone_until_it_was_quiet_for_the_delay() {
    let mut host = host_with(Compression::Gzip, 1, Duration::from_secs(60));
    host.append("a.log", pack(Compression::Gzip, b"one\n"));
    host.settle();
    assert_eq!(host.lines(), [""; 0]);
    host.advance(Duration::from_secs(55));
    host.settle();
    assert_eq!(host.lines(), ["one"]);
}

#[test]
fn a_member_that_is_appended_later_is_read_on() {
    let mut host = host(Compression::Gzip);
    host.append("a.log", pack(Compression::Gzip, b"one\n"));
    host.settle();
    host.append("a.log", pack(Compression::Gzip, b"two\n"));
    host.settle();
    assert_eq!(host.lines(), ["one", "two"]);
}

#[test]
fn another_archive_in_the_same_file_is_read_from_its_start() {
    let mut host = host(Compression::Gzip);
    let file = host.append("a.log", pack(Compression::Gzip, b"old one\nold two\n"));
    host.settle();
    for text in ["new\n", "newer and longer than the old ones were\n"] {
        file.set_len(0).unwrap();
        host.append("a.log", pack(Compression::Gzip, text.as_bytes()));
        host.settle();
    }
    let expected = [
        "old one",
        "old two",
        "new",
        "newer and longer than the old ones were",
    ];
    assert_eq!(host.lines(), expected);
    assert_eq!(host.damages, []);
}

#[test]
fn a_truncated_archive_gives_what_can_be_decoded_and_is_told_of_once() {
    for compression in FORMATS {
        let text = numbered(0..50_000);
        let whole = pack(compression, text.as_bytes());
        for len in [1, 5, whole.len() / 2, whole.len() - 1] {
            let mut host = host_with(compression, 2, Duration::ZERO);
            host.append("a.log", &whole[..len]);
            host.settle();
            let found: Vec<String> = host
                .read
                .iter()
                .filter(|line| line.sink == 1)
                .map(|line| String::from_utf8(line.bytes.clone()).unwrap())
                .collect();
            assert_eq!(host.lines().len(), 2 * found.len());
            // The last one may be cut.
            let whole_lines = found.len().saturating_sub(1);
            assert_eq!(found[..whole_lines], lines_of(&text)[..whole_lines]);
            if len > 1000 {
                assert!(
                    found.len() > 20_000 || len < whole.len() - 1,
                    "{}",
                    found.len()
                );
                assert!(found.len() > 10_000, "{}", found.len());
            }
            assert_eq!(host.damages, [Damage::Truncated], "{compression:?} {len}");
            host.restart();
            host.settle();
            assert_eq!(host.damages.len(), 1, "a restart tells nothing again");
            assert_eq!(host.lines().len(), 2 * found.len());
        }
    }
}

#[test]
fn a_damaged_archive_gives_the_lines_before_the_damage() {
    for compression in FORMATS {
        let text = numbered(0..100_000);
        let mut bytes = pack(compression, text.as_bytes());
        let middle = bytes.len() / 2;
        for byte in &mut bytes[middle..middle + 64] {
            *byte ^= 0x55;
        }
        let mut host = host(compression);
        host.append("a.log", bytes);
        host.append("b.log", pack(compression, b"whole\n"));
        host.settle();
        let found = host.lines_of("a.log");
        let expected = lines_of(&text);
        let same = found.iter().zip(&expected).take_while(|(a, b)| a == b);
        assert!(same.count() > 20_000, "{compression:?}");
        assert!(found.len() < expected.len());
        assert_eq!(host.damages, [Damage::Corrupt], "{compression:?}");
        assert_eq!(host.lines_of("b.log"), ["whole"]);
    }
}

#[test]
fn a_wrong_checksum_and_trailing_bytes_are_told_of_and_cost_no_line() {
    for compression in FORMATS {
        let mut garbage = pack(compression, b"one\ntwo\n");
        garbage.extend(b"something else\n");
        let mut cases = vec![(garbage, Damage::TrailingBytes)];
        let checksum_from_end = match compression {
            Compression::Gzip => Some(8),
            Compression::Zlib | Compression::Zstd => Some(4),
            // That of the block, before the index and the footer.
            Compression::Xz => Some(28),
            // It has one of each block, before any of it is decoded.
            Compression::Bzip2 => None,
        };
        if let Some(from_end) = checksum_from_end {
            let mut wrong = pack(compression, b"one\ntwo\n");
            let checksum = wrong.len() - from_end;
            wrong[checksum] ^= 1;
            cases.push((wrong, Damage::Corrupt));
        }
        for (bytes, damage) in cases {
            let mut host = host(compression);
            host.append("a.log", bytes);
            host.settle();
            assert_eq!(host.lines(), ["one", "two"], "{compression:?}");
            assert_eq!(host.damages, [damage], "{compression:?}");
        }
    }
}

#[test]
fn what_is_no_archive_is_told_of_and_an_empty_file_is_not() {
    for compression in FORMATS {
        let mut host = host(compression);
        host.append("plain.log", "plain text\nin two lines\n");
        host.append("empty.log", "");
        host.append("nothing.log", pack(compression, b""));
        host.settle();
        assert_eq!(host.lines(), [""; 0], "{compression:?}");
        assert_eq!(host.damages, [Damage::Corrupt], "{compression:?}");
        host.append("empty.log", pack(compression, b"not empty any more\n"));
        host.settle();
        assert_eq!(host.lines(), ["not empty any more"]);
    }
}

/// Whoever writes with `--ultra --long=31`, or forges a header, asks for gigabytes.
#[test]
fn a_window_over_the_limit_is_damage_and_not_memory() {
    // A frame of zstd with a window of 256 MiB, and a block of xz with a dictionary of 96 MiB.
    let zstd = b"\x28\xb5\x2f\xfd\x00\x90\x21\x00\x00one\n".to_vec();
    let mut options = liblzma::stream::LzmaOptions::new_preset(0).unwrap();
    options.dict_size(96 << 20);
    let mut filters = liblzma::stream::Filters::new();
    filters.lzma2(&options);
    let check = liblzma::stream::Check::Crc32;
    let stream = liblzma::stream::Stream::new_stream_encoder(&filters, check).unwrap();
    let mut writer = liblzma::write::XzEncoder::new_stream(Vec::new(), stream);
    writer.write_all(b"one\n").unwrap();
    let xz = writer.finish().unwrap();
    for (compression, bytes) in [(Compression::Zstd, zstd), (Compression::Xz, xz)] {
        let mut host = host(compression);
        let mut small = pack(compression, b"before\n");
        small.extend(&bytes);
        host.append("a.log", bytes);
        host.append("b.log", small);
        host.settle();
        assert_eq!(host.damages, [Damage::WindowTooLarge; 2], "{compression:?}");
        assert_eq!(host.lines(), ["before"], "{compression:?}");
    }
}

/// As `pzstd` writes them, and what others put between.
#[test]
fn frames_of_zstd_that_are_to_be_skipped_are_no_lines() {
    let skipped = b"\x50\x2a\x4d\x18\x05\0\0\0skip\n".to_vec();
    let mut host = host(Compression::Zstd);
    let mut bytes = skipped.clone();
    bytes.extend(pack(Compression::Zstd, b"one\n"));
    bytes.extend(&skipped);
    bytes.extend(pack(Compression::Zstd, b"two\n"));
    assert_eq!(Compression::detect(&bytes), Some(Compression::Zstd));
    host.append("a.log", bytes);
    host.append("b.log", skipped);
    host.settle();
    assert_eq!(host.lines(), ["one", "two"]);
    assert_eq!(host.damages, []);
}

#[test]
fn every_format_but_zlib_is_told_by_its_first_bytes() {
    for compression in OF_MEMBERS {
        for text in [&b""[..], b"one\n"] {
            let bytes = pack(compression, text);
            assert_eq!(Compression::detect(&bytes), Some(compression));
            assert_eq!(Compression::detect(&bytes[..6]), Some(compression));
            assert_eq!(Compression::detect(&bytes[..2]), None);
        }
    }
    let plain = ["", "one\n", "BZh", "BZh9 is how it begins", "P*M", "\u{1f}"];
    for text in plain {
        assert_eq!(Compression::detect(text.as_bytes()), None, "{text}");
    }
    assert_eq!(Compression::detect(&pack(Compression::Zlib, b"one")), None);
}

fn host_that_detects(globs: &[&str], rules: Option<ArchiveRules>) -> Host {
    Host::with(WatchBackend::Auto, globs, &[], |setup| {
        setup.source.archive = rules;
    })
}

const BY_MAGIC: ArchiveRules = ArchiveRules {
    compression: None,
    delay: Duration::ZERO,
};

#[test]
fn each_file_is_what_its_first_bytes_say_where_the_source_leaves_it_to_them() {
    let mut host = host_that_detects(&["*.log*"], Some(BY_MAGIC));
    for (number, compression) in OF_MEMBERS.into_iter().enumerate() {
        let line = format!("packed {number}\n");
        host.append(&format!("{number}.log"), pack(compression, line.as_bytes()));
    }
    host.append("plain.log", "plain\n");
    host.append("plain.log.gz", "named like an archive\n");
    host.append("young.log.gz", "");
    host.settle();
    let mut lines = host.lines();
    lines.sort();
    let expected = [
        "named like an archive",
        "packed 0",
        "packed 1",
        "packed 2",
        "packed 3",
        "plain",
    ];
    assert_eq!(lines, expected);
    for byte in pack(Compression::Gzip, b"byte by byte\n") {
        host.append("young.log.gz", [byte]);
        host.turn();
    }
    host.append("plain.log", "goes on\n");
    host.settle();
    assert_eq!(host.lines_of("young.log.gz"), ["byte by byte"]);
    assert_eq!(host.lines_of("plain.log"), ["plain", "goes on"]);
    assert_eq!(host.damages, []);
}

#[test]
fn without_a_word_in_the_source_name_and_first_bytes_say_together_what_is_an_archive() {
    let mut host = host_that_detects(&["*"], None);
    for compression in OF_MEMBERS {
        let name = format!("a.log{}", compression.ending());
        host.append(&name, pack(compression, format!("{name}\n").as_bytes()));
    }
    // As programs name them that rename a file once it is whole.
    host.append("c.log.gz.part", pack(Compression::Gzip, b"in parts\n"));
    let bare = pack(Compression::Gzip, b"packed under another name\n");
    host.append("a.bin", &bare);
    host.append("b.log.gz", "plain\n");
    host.settle();
    for _ in 0..2 {
        for compression in OF_MEMBERS {
            let name = format!("a.log{}", compression.ending());
            assert_eq!(host.lines_of(&name), [name]);
        }
        assert_eq!(host.lines_of("b.log.gz"), ["plain"]);
        assert_eq!(host.lines_of("c.log.gz.part"), ["in parts"]);
        assert_ne!(host.lines_of("a.bin"), ["packed under another name"]);
        assert_eq!(host.damages, []);
        host.restart();
        host.settle();
    }
}

/// 16 MB of lines, in a few kilobytes: turns stay short, and so does what is kept.
#[test]
fn a_small_file_that_stands_for_a_huge_one_takes_turns() {
    let mut text = vec![b'x'; 16 << 20];
    for line in text.chunks_mut(1 << 10) {
        line[0] = b'\n';
    }
    text.push(b'\n');
    let mut host = host(Compression::Gzip);
    host.append("a.log", pack(Compression::Gzip, &text));
    host.append("b.log", pack(Compression::Gzip, b"next to it\n"));
    host.look();
    let mut passes = 0;
    let mut most = 0;
    loop {
        let read = host.pass();
        most = most.max(read);
        passes += 1;
        if read == 0 {
            break;
        }
    }
    assert!(passes > 60, "{passes} passes");
    assert!(most <= 2 * (256 << 10), "{most} bytes in one pass");
    assert_eq!(host.lines().len(), (16 << 10) + 2);
    assert_eq!(host.lines_of("b.log"), ["next to it"]);
}

/// A cursor that starts within a file has it decoded and skipped, some of it each turn.
#[test]
fn a_restart_half_way_goes_on_at_the_decoded_offset() {
    for compression in FORMATS {
        let text = numbered(0..100_000);
        let mut host = host(compression);
        host.append("a.log", pack(compression, text.as_bytes()));
        for _ in 0..6 {
            host.look();
            for _ in 0..2 {
                host.pass();
            }
            host.restart();
        }
        host.settle();
        assert_eq!(host.lines(), lines_of(&text), "{compression:?}");
        assert_eq!(host.damages, []);
    }
}

#[test]
fn an_archive_that_is_renamed_and_one_with_another_content_are_told_apart() {
    let mut host = host(Compression::Gzip);
    host.append("a.log.1", pack(Compression::Gzip, b"first\n"));
    host.settle();
    host.stop();
    host.rename("a.log.1", "a.log.2");
    host.append("a.log.1", pack(Compression::Gzip, b"second\n"));
    host.start();
    host.settle();
    assert_eq!(host.lines(), ["first", "second"]);
    host.rename("a.log.2", "a.log.3");
    host.settle();
    host.remove("a.log.1");
    host.settle();
    assert_eq!(host.lines(), ["first", "second"]);
}

/// One sink takes nothing: its cursors hold decoders that others need.
#[test]
fn more_archives_than_decoders_are_all_read() {
    let mut host = host_with(Compression::Bzip2, 2, Duration::ZERO);
    let text = numbered(0..8_000);
    for number in 0..20 {
        let name = format!("{number}.log");
        host.append(&name, pack(Compression::Bzip2, text.as_bytes()));
    }
    host.look();
    host.pass();
    assert_eq!(host.tailer().open_decoders(), 8);
    host.blocked = vec![1];
    for _ in 0..20 {
        host.advance(Duration::from_secs(3));
        host.turn();
        assert!(host.tailer().open_decoders() <= 8);
    }
    let of_sink = |host: &Host, sink| host.read.iter().filter(|line| line.sink == sink).count();
    assert_eq!(of_sink(&host, 0), 20 * 8_000);
    host.blocked.clear();
    for _ in 0..20 {
        host.advance(Duration::from_secs(3));
        host.turn();
    }
    assert_eq!(of_sink(&host, 1), 20 * 8_000);
    assert_eq!(host.tailer().open_decoders(), 0);
}
