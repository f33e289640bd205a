use super::*;

fn find(path: &str, text: &str) -> Result<(Found, String), Malformed> {
    let mut finder = Finder::new(&[plain_path(path).unwrap()]);
    finder.read(text.as_bytes())?;
    let found = finder.found()[0];
    let made = match found {
        Found::Made(start, end) => String::from_utf8_lossy(&finder.made()[start..end]).into(),
        Found::InText(start, end) => text.get(start..end).unwrap().to_owned(),
        Found::Nil | Found::Bool(_) | Found::Number(_) => String::new(),
    };
    Ok((found, made))
}

#[test]
fn paths_of_keys_are_plain_and_all_else_is_not() {
    assert_eq!(plain_path("a.b").unwrap().len(), 2);
    assert_eq!(
        plain_path(r#""a-b".c"#).unwrap(),
        [b"a-b".as_slice().into(), b"c".as_slice().into()]
    );
    for other in [
        "",
        "a[0]",
        "a || b",
        "length(a)",
        "a.*",
        "@",
        "a.",
        "1a",
        "a-b",
        "`x`",
    ] {
        assert!(plain_path(other).is_none(), "{other}");
    }
}

#[test]
fn values_of_each_type_are_found() {
    let text = r#" {"s":"x","n":1.5,"t":true,"z":null,"o":{"k":"v"},"e":"a\"\u00e9\ud83d\ude00"} "#;
    assert_eq!(find("s", text).unwrap().1, "x");
    assert_eq!(find("n", text).unwrap().0, Found::Number(1.5));
    assert_eq!(find("t", text).unwrap().0, Found::Bool(true));
    assert_eq!(find("z", text).unwrap().0, Found::Nil);
    assert_eq!(find("missing", text).unwrap().0, Found::Nil);
    assert_eq!(find("o.k", text).unwrap().1, "v");
    assert_eq!(find("s.k", text).unwrap().0, Found::Nil);
    assert_eq!(find("e", text).unwrap().1, "a\"é😀");
}

#[test]
fn containers_are_written_without_spaces() {
    let text = r#"{"o": { "a" : [ 1.0, 1e3, "<x>\/", null ], "b": {} }}"#;
    assert_eq!(
        find("o", text).unwrap().1,
        r#"{"a":[1,1000,"\u003cx\u003e/",null],"b":{}}"#
    );
}

#[test]
fn the_last_of_equal_keys_counts() {
    assert_eq!(find("a", r#"{"a":"1","a":"2"}"#).unwrap().1, "2");
    assert_eq!(
        find("a.b", r#"{"a":{"b":"1"},"a":2}"#).unwrap().0,
        Found::Nil
    );
}

#[test]
fn all_of_the_text_is_checked() {
    let bad = [
        "",
        "[]",
        "1",
        "\"a\"",
        "{",
        "{}x",
        "{\"a\":}",
        "{\"a\":1,}",
        "{a:1}",
        "{\"a\":01}",
        "{\"a\":1.}",
        "{\"a\":+1}",
        "{\"a\":\"\n\"}",
        "{\"a\":\"\\x\"}",
        "{\"a\":\"\\u12\"}",
        "{\"a\":tru}",
        "{\"b\":[1,]}",
        "{\"b\":[1}",
        "{\"b\":{\"c\"}}",
        "{\"a\":1e999}",
        "{\"a\":NaN}",
    ];
    for text in bad {
        assert_eq!(find("a", text), Err(Malformed), "{text}");
    }
    assert_eq!(find("a", "null").unwrap().0, Found::Nil);
}

#[test]
fn deep_text_is_read_up_to_a_bound() {
    let deep = |depth: usize| format!("{{\"x\":{}{}}}", "[".repeat(depth), "]".repeat(depth));
    assert!(find("a", &deep(5_000)).is_ok());
    assert_eq!(find("a", &deep(1_000_000)), Err(Malformed));
}

#[test]
fn the_first_byte_that_is_not_plain_is_found_wherever_it_stands() {
    for byte in 0..=255_u8 {
        let is_plain = byte >= 0x20 && !matches!(byte, b'"' | b'\\');
        for at in 0..20 {
            // Bytes with the high bit, and such as differ from the ones sought by a borrow.
            for other in [b'!', b'#', b'x', 0x7f, 0x80, 0xa2, 0xff] {
                let mut text = vec![other; 20];
                text[at] = byte;
                let expected = if is_plain { 20 } else { at };
                assert_eq!(plain_len(&text), expected, "{byte} at {at} among {other}");
            }
        }
    }
}
