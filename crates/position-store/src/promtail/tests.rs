use std::ffi::OsStr;

use super::*;

fn offsets<const N: usize>(entries: [(&str, u64); N]) -> BTreeMap<PathBuf, u64> {
    entries
        .map(|(path, offset)| (PathBuf::from(path), offset))
        .into()
}

#[track_caller]
fn check<const N: usize>(text: &str, expected: [(&str, u64); N]) {
    let positions = parse(text.as_bytes()).unwrap();
    assert_eq!(positions.offsets, offsets(expected), "{text}");
    assert_eq!(positions.refused, Vec::<PathBuf>::new(), "{text}");
}

#[track_caller]
fn check_invalid(text: &[u8]) -> ParseError {
    parse(text).unwrap_err()
}

#[test]
fn offsets_are_read_with_and_without_quotes() {
    check(
        "positions:\n  /var/log/syslog: \"4521\"\n  /var/log/auth.log: 17\n  '/var/log/a b': '0'\n",
        [
            ("/var/log/a b", 0),
            ("/var/log/auth.log", 17),
            ("/var/log/syslog", 4521),
        ],
    );
    check(
        "positions: {/a: \"18446744073709551615\"}",
        [("/a", u64::MAX)],
    );
}

#[test]
fn an_empty_file_is_an_empty_map() {
    for text in [
        "",
        "\n\n",
        "# nothing\n",
        "---\n",
        "{}",
        "positions:\n",
        "positions: {}\n",
        "positions: ~",
        "\u{feff}",
    ] {
        check(text, []);
    }
}

#[test]
fn cursors_are_no_files_and_are_counted() {
    let text = "positions:\n  cursor-systemd: s=1;i=2\n  journal-x: \"1\"\n  /a: \"1\"\n  \
                cursor-0a1b: \"1700000000\"\n";
    let positions = parse(text.as_bytes()).unwrap();
    assert_eq!(positions.cursors, 3);
    assert_eq!(positions.offsets, offsets([("/a", 1)]));
}

#[test]
fn a_value_that_is_no_number_refuses_its_file_and_no_other() {
    let text = "positions:\n  /e: \"0x10\"\n  /a: twelve\n  /b: \"12\"\n  /c: -5\n  /d:\n  /f: 1.5\n  \
                /g: \"\"\n  /h: \"18446744073709551616\"\n  /i: true\n";
    let positions = parse(text.as_bytes()).unwrap();
    assert_eq!(positions.offsets, offsets([("/b", 12)]));
    let refused = ["/a", "/c", "/d", "/e", "/f", "/g", "/h", "/i"].map(PathBuf::from);
    assert_eq!(positions.refused, refused);
}

#[test]
fn other_keys_other_shapes_and_keys_that_stand_twice_are_errors() {
    for text in [
        "positions: {}\nversion: 1\n",
        "posiitions: {}\n",
        "positions: [1, 2]\n",
        "positions: 12\n",
        "- /a\n",
        "positions:\n  /a: {b: 1}\n",
        "positions:\n  /a: [1]\n",
        "positions:\n  /a: \"1\"\n  /a: \"2\"\n",
        "positions: {}\npositions: {}\n",
        "positions:\n\t/a: 1\n",
        "positions: {",
        "positions: &a\n  /a: 1\n",
        "positions: *a",
    ] {
        assert!(parse(text.as_bytes()).is_err(), "{text}");
    }
}

#[test]
fn bytes_that_are_no_text_are_an_error() {
    assert_eq!(
        check_invalid(b"positions:\n  /\xff: \"1\"\n"),
        ParseError::NotUtf8 { at: 14 }
    );
    check_invalid(&[0; 4096]);
    check_invalid(b"positions:\n  /a: \"1\0\"\n\0\0");
    check_invalid("[".repeat(100_000).as_bytes());
    check_invalid("{a: ".repeat(100_000).as_bytes());
}

#[test]
fn an_error_says_where() {
    let error = check_invalid(b"positions:\n  /a: \"1\"\nversion: 2\n");
    let ParseError::Yaml { line, .. } = error else {
        panic!("{error}");
    };
    assert_eq!(line, 3);
}

#[test]
fn a_path_that_is_not_utf_8_is_read_and_written_in_base64() {
    let path = PathBuf::from(OsStr::from_bytes(b"/var/log/caf\xe9.log"));
    let text = "positions:\n  !!binary \"L3Zhci9sb2cvY2Fm6S5sb2c=\": \"12\"\n";
    let expected = BTreeMap::from([(path, 12)]);
    assert_eq!(parse(text.as_bytes()).unwrap().offsets, expected);
    assert_eq!(render(&expected), text);
    let folded = "positions:\n  ? !!binary |\n    L3Zhci9sb2cv\n    Y2Fm6S5sb2c=\n  : \"12\"\n";
    assert_eq!(parse(folded.as_bytes()).unwrap().offsets, expected);
}

#[test]
fn what_is_written_is_sorted_and_reads_as_it_was() {
    let odd = offsets([
        ("/var/log/syslog", 4521),
        ("/a: b", 1),
        ("/a #b", 2),
        ("/quo\"te\\", 3),
        ("/new\nline\u{85}\u{2028}", 4),
        ("/ünïcode 🦀", 5),
        ("- x", 6),
        ("~", 7),
        ("123", 8),
        ("", 9),
    ]);
    let text = render(&odd);
    let positions = parse(text.as_bytes()).unwrap();
    assert_eq!(positions.offsets, odd, "{text}");
    let plain = offsets([("/b", 2), ("/a", 1)]);
    assert_eq!(render(&plain), "positions:\n  /a: \"1\"\n  /b: \"2\"\n");
    assert_eq!(render(&BTreeMap::new()), "positions: {}\n");
}

#[test]
fn a_hundred_thousand_entries_are_read() {
    let many: BTreeMap<PathBuf, u64> = (0..100_000)
        .map(|number| {
            (
                PathBuf::from(format!("/var/log/app/{number:06}.log")),
                number,
            )
        })
        .collect();
    let positions = parse(render(&many).as_bytes()).unwrap();
    assert_eq!(positions.offsets, many);
}

#[test]
fn a_file_that_is_not_there_is_empty_and_a_directory_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let missing = read(&folder.path().join("none"), OnInvalid::Refuse).unwrap();
    assert_eq!(missing, PromtailFile::default());
    for on_invalid in [OnInvalid::Refuse, OnInvalid::TakeAsEmpty] {
        assert!(matches!(
            read(folder.path(), on_invalid),
            Err(ReadError::NotRegular { .. })
        ));
    }
}

#[test]
#[expect(clippy::disallowed_methods, reason = "a file of another program")]
fn a_damaged_file_is_an_error_unless_it_is_to_be_taken_as_empty() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("positions.yaml");
    std::fs::write(&path, [0; 64]).unwrap();
    assert!(matches!(
        read(&path, OnInvalid::Refuse),
        Err(ReadError::Invalid { .. })
    ));
    let taken = read(&path, OnInvalid::TakeAsEmpty).unwrap();
    assert_eq!(taken.positions, PromtailPositions::default());
    assert!(taken.saved_ns.is_some());
}
