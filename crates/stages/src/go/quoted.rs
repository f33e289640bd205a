//! Texts in quotes, as Go's language writes them.

/// Reads a text in double quotes or in back quotes from the start; returns what follows, too.
pub(crate) fn read(text: &str) -> Option<(String, &str)> {
    if let Some(raw) = text.strip_prefix('`') {
        let (inside, rest) = raw.split_once('`')?;
        return Some((inside.replace('\r', ""), rest));
    }
    let mut rest = text.strip_prefix('"')?;
    let mut out = String::new();
    loop {
        let mut chars = rest.chars();
        match chars.next()? {
            '"' => return Some((out, chars.as_str())),
            '\n' => return None,
            '\\' => rest = escape(chars.as_str(), &mut out)?,
            other => {
                out.push(other);
                rest = chars.as_str();
            }
        }
    }
}

/// Reads what follows a backslash; bytes that are no character alone are refused.
fn escape<'t>(text: &'t str, out: &mut String) -> Option<&'t str> {
    let mut chars = text.chars();
    let kind = chars.next()?;
    let rest = chars.as_str();
    let simple = match kind {
        'a' => '\u{7}',
        'b' => '\u{8}',
        'f' => '\u{c}',
        'n' => '\n',
        'r' => '\r',
        't' => '\t',
        'v' => '\u{b}',
        '\\' | '"' | '\'' => kind,
        'x' => return number(rest, 2, 16, out),
        'u' => return number(rest, 4, 16, out),
        'U' => return number(rest, 8, 16, out),
        '0'..='7' => return number(text, 3, 8, out),
        _ => return None,
    };
    out.push(simple);
    Some(rest)
}

fn number<'t>(text: &'t str, digits: usize, radix: u32, out: &mut String) -> Option<&'t str> {
    let (number, rest) = text.split_at_checked(digits)?;
    let code = number
        .chars()
        .try_fold(0_u32, |code, c| Some(code * radix + c.to_digit(radix)?))?;
    // Two and three digits are bytes.
    let is_character = digits > 3 || code < 0x80;
    out.push(char::from_u32(code).filter(|_| is_character)?);
    Some(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_kinds_of_quotes_are_read() {
        assert_eq!(read(r#""a\"b\n\u00e9" x"#), Some(("a\"b\né".into(), " x")));
        assert_eq!(read(r"`a\d`"), Some((r"a\d".into(), "")));
        for bad in ["", "a", "\"a", "`a", "\"\\d\"", "\"a\nb\"", "\"\\x\""] {
            assert_eq!(read(bad), None, "{bad}");
        }
    }

    #[test]
    fn numbers_of_characters_have_digits_alone_and_follow_any_text() {
        assert_eq!(read(r#""é\x41\101""#), Some(("éAA".into(), "")));
        for bad in [r#""\x+1""#, r#""\u+123""#, r#""\xe9""#, r#""\351""#] {
            assert_eq!(read(bad), None, "{bad}");
        }
    }
}
