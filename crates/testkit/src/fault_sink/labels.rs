//! Label sets as text: `{job="nginx", host="a"}`.

/// Reads a label set as Loki does: names of letters, digits and `_`, values in double quotes with
/// Go's escapes.
pub(super) fn parse(text: &str) -> Result<Vec<(String, String)>, String> {
    let inner = text
        .strip_prefix('{')
        .and_then(|rest| rest.strip_suffix('}'))
        .ok_or("no braces around it")?;
    let mut pairs = Vec::new();
    let mut rest = inner.trim();
    while !rest.is_empty() {
        let (name, after_name) = rest.split_once('=').ok_or("no `=` after a name")?;
        let name = name.trim();
        if !is_name(name) {
            return Err(format!("`{name}` is no label name"));
        }
        let (value, after_value) = parse_value(after_name.trim_start())?;
        if pairs.iter().any(|(known, _)| known == name) {
            return Err(format!("duplicate label name: '{name}'"));
        }
        pairs.push((name.to_owned(), value));
        let after_value = after_value.trim_start();
        rest = match after_value.strip_prefix(',') {
            Some(next) => next.trim_start(),
            None if after_value.is_empty() => after_value,
            None => return Err("no comma between labels".into()),
        };
    }
    Ok(pairs)
}

fn is_name(name: &str) -> bool {
    let is_word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    name.bytes().all(is_word)
        && name
            .bytes()
            .next()
            .is_some_and(|byte| !byte.is_ascii_digit())
}

/// Reads a value in quotes; returns it and what stands behind it.
fn parse_value(text: &str) -> Result<(String, &str), String> {
    let mut characters = text
        .strip_prefix('"')
        .ok_or("no quote before a value")?
        .chars();
    let mut value = String::new();
    loop {
        match characters.next().ok_or("no quote after a value")? {
            '"' => return Ok((value, characters.as_str())),
            '\n' => return Err("a newline in a value".into()),
            '\\' => value.push(parse_escape(&mut characters)?),
            character => value.push(character),
        }
    }
}

fn parse_escape(characters: &mut std::str::Chars<'_>) -> Result<char, String> {
    let kind = characters.next().ok_or("nothing behind a backslash")?;
    let digits = match kind {
        'a' => return Ok('\x07'),
        'b' => return Ok('\x08'),
        'f' => return Ok('\x0c'),
        'n' => return Ok('\n'),
        'r' => return Ok('\r'),
        't' => return Ok('\t'),
        'v' => return Ok('\x0b'),
        '\\' | '"' => return Ok(kind),
        'x' => 2,
        'u' => 4,
        'U' => 8,
        other => return Err(format!("unknown escape `\\{other}`")),
    };
    let number: String = characters.take(digits).collect();
    u32::from_str_radix(&number, 16)
        .ok()
        .filter(|_| number.len() == digits && (kind != 'x' || number.as_str() < "80"))
        .and_then(char::from_u32)
        .ok_or_else(|| format!("`\\{kind}{number}` is no character"))
}

/// Writes a label set as Loki shows it.
pub(super) fn render<'a>(pairs: impl Iterator<Item = (&'a str, &'a str)>) -> String {
    let pairs: Vec<String> = pairs
        .map(|(name, value)| {
            let value = value
                .replace('\\', "\\\\")
                .replace('"', "\\\"")
                .replace('\n', "\\n");
            format!("{name}=\"{value}\"")
        })
        .collect();
    format!("{{{}}}", pairs.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair(name: &str, value: &str) -> (String, String) {
        (name.into(), value.into())
    }

    #[test]
    fn label_sets_are_read_with_their_escapes() {
        let text = "{job=\"a\\\"b\\\\c\\n\", _h1 = \"x,y=}\\u00e9\\x41\",}";
        assert_eq!(
            parse(text).unwrap(),
            [pair("job", "a\"b\\c\n"), pair("_h1", "x,y=}\u{e9}A")]
        );
        assert_eq!(parse("{}").unwrap(), []);
    }

    #[test]
    fn what_loki_would_not_read_is_refused() {
        for text in [
            "",
            "job=\"a\"",
            "{job=a}",
            "{job=\"a}",
            "{1job=\"a\"}",
            "{job=\"a\" host=\"b\"}",
            "{job=\"a\", job=\"b\"}",
            "{job=\"\\q\"}",
            "{job=\"\\u12\"}",
            "{job=\"a\nb\"}",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn what_is_rendered_is_read_back() {
        let pairs = [pair("a", "x\\\"\n\u{e9}"), pair("b", "")];
        let text = render(pairs.iter().map(|(name, value)| (&**name, &**value)));
        assert_eq!(parse(&text).unwrap(), pairs);
    }
}
