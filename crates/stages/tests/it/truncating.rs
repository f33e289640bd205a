//! `truncate`.

use crate::kit::*;

fn cut(max_bytes: &str, line: impl AsRef<[u8]>) -> (Vec<u8>, (u64, u64)) {
    let mut run = Run::new(&format!("- truncate: {{ max_bytes: {max_bytes} }}"));
    run.line(line);
    assert_eq!(run.records.len(), 1);
    (run.last().bytes.clone(), run.stages.truncated())
}

#[test]
fn a_longer_line_is_cut_and_counted_with_the_bytes_it_lost() {
    assert_eq!(cut("10", "0123456789"), (b"0123456789".to_vec(), (0, 0)));
    assert_eq!(cut("10", "0123456789a"), (b"0123456789".to_vec(), (1, 1)));
    assert_eq!(cut("1", "0123456789"), (b"0".to_vec(), (1, 9)));
}

#[test]
fn no_character_is_split() {
    for (max, line, kept) in [
        ("3", "aäö", "aä"),
        ("4", "aäö", "aä"),
        ("5", "a€€", "a€"),
        ("6", "a€€", "a€"),
        ("7", "a€€", "a€€"),
        ("3", "🎉", ""),
        ("4", "🎉🎉", "🎉"),
        ("7", "🎉🎉", "🎉"),
    ] {
        assert_eq!(cut(max, line).0, kept.as_bytes(), "{max} {line}");
    }
}

#[test]
fn bytes_that_are_no_character_are_cut_where_they_stand() {
    assert_eq!(cut("3", b"a\xff\xff\xff\xff").0, b"a\xff\xff");
    assert_eq!(cut("3", b"\x80\x80\x80\x80\x80").0, b"\x80\x80\x80");
    assert_eq!(cut("2", b"a\xe2a\x82\xac").0, b"a\xe2");
    assert_eq!(cut("2", b"a\xc3").0, b"a\xc3");
    assert_eq!(cut("2", b"\0\0\0").0, b"\0\0");
}

#[test]
fn what_stages_made_of_the_line_is_cut_and_the_rest_of_the_record_stays() {
    let yaml = "- json: { expressions: { m: , l: } }\n- labels: { l: }\n- output: { source: m }\n- truncate: { max_bytes: 4B }";
    let mut run = Run::new(yaml);
    run.line(r#"{"m":"message","l":"a long label"}"#);
    assert_eq!(run.last().line, "mess");
    assert_eq!(run.last().label("l"), Some("a long label"));
    assert_eq!(run.last().spans, [(1, 0, 35)]);
    assert_eq!(run.stages.truncated(), (1, 3));
}

#[test]
fn all_workers_count_together_but_not_lines_that_were_counted_before() {
    let mut run = Run::new("- truncate: { max_bytes: 2 }");
    run.line("abc");
    run.worker = run.stages.worker();
    run.line("abcd");
    assert_eq!(run.stages.truncated(), (2, 3));
    run.worker.set_metrics(false);
    run.line("abcd");
    assert_eq!(
        (run.last().line.as_str(), run.stages.truncated()),
        ("ab", (2, 3))
    );
}

#[test]
fn sizes_are_those_of_a_native_configuration() {
    let len = |size: &str| cut(size, vec![b'x'; 3000]).0.len();
    assert_eq!(
        (len("1KiB"), len("1kB"), len("2 KiB"), len("1MiB")),
        (1024, 1000, 2048, 3000)
    );
    for bad in ["0", "''", "1KB", "-1", "ten", "99999999999999GiB"] {
        let error = compile_error(&format!("- truncate: {{ max_bytes: {bad} }}"));
        assert_eq!(error.path(), "[0].truncate.max_bytes", "{bad}");
    }
}
