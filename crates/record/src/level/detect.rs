//! Finding the level in a line.
//!
//! Runs for every line of a source that asks for levels, so most lines must cost next to nothing: the
//! few places where a level can stand are found many bytes at a time, and looked at one by one.

use memchr::memchr2_iter;

use super::{Level, MAX_WORD_BYTES};

/// Bytes of a line that are looked at: enough to reach past the fields that come first in JSON.
const MAX_HEAD_BYTES: usize = 512;

/// Bytes in which a bare word must have begun; after them it belongs to the text.
const MAX_WORDS_BYTES: usize = 128;

/// Bytes in which what marks a word may stand: a word that began in time, and a delimiter after it.
const MAX_MARKS: usize = 144;

/// The names that a level has, and where their `v` stands: the rarest of their letters, by which they
/// are found. `loglevel` and `log.level` are the first with what stands before it.
const KEYS: [(&[u8], usize); 3] = [(b"level", 2), (b"lvl", 1), (b"severity", 2)];

const ESCAPE: u8 = 0x1B;

/// A bare word that names a level.
#[derive(Clone, Copy)]
struct Word {
    start: usize,
    level: Level,
}

pub(super) fn detect(line: &[u8]) -> Option<Level> {
    let head = line.get(..MAX_HEAD_BYTES).unwrap_or(line);
    let priority = priority(head);
    klog_header(head)
        .or(priority.filter(|_| head.get(2) == Some(&b'>')))
        .or_else(|| keyed_level(head))
        .or_else(|| bare_level(head))
        // That of syslog is often the same for all that a program writes.
        .or(priority)
}

/// Reads `E0102 15:04:05`: the level, the month and day, and the time.
fn klog_header(head: &[u8]) -> Option<Level> {
    let (letter, rest) = head.split_first()?;
    let level = of_letter(*letter)?;
    let (date_time, _) = rest.split_first_chunk::<13>()?;
    let fits = date_time.iter().zip(b"0000 00:00:00").all(|(byte, form)| {
        if *form == b'0' {
            byte.is_ascii_digit()
        } else {
            byte == form
        }
    });
    let (month, day) = (date_time.get(..2)?, date_time.get(2..4)?);
    let is_date = (b"01"..=b"12").contains(&month.first_chunk()?)
        && (b"01"..=b"31").contains(&day.first_chunk()?);
    (fits && is_date).then_some(level)
}

/// Reads the `<3>` that services write for systemd, or the `<34>` before a line of syslog: 8 times the
/// facility, and the severity.
fn priority(head: &[u8]) -> Option<Level> {
    let rest = head.strip_prefix(b"<")?;
    let digits = rest.iter().take(4).take_while(|byte| byte.is_ascii_digit());
    let (digits, after) = rest.split_at_checked(digits.count())?;
    if !(1..=3).contains(&digits.len()) || after.first() != Some(&b'>') {
        return None;
    }
    let value = |number: u16, digit: &u8| number * 10 + u16::from(digit.saturating_sub(b'0'));
    match digits.iter().fold(0, value) {
        192.. => None,
        priority => Some(match priority % 8 {
            0..=2 => Level::Fatal,
            3 => Level::Error,
            4 => Level::Warn,
            5 | 6 => Level::Info,
            _ => Level::Debug,
        }),
    }
}

/// The letters of klog and of loggers that print a level as one.
fn of_letter(letter: u8) -> Option<Level> {
    match letter {
        b'T' => Some(Level::Trace),
        b'D' => Some(Level::Debug),
        b'I' => Some(Level::Info),
        b'W' => Some(Level::Warn),
        b'E' => Some(Level::Error),
        b'F' => Some(Level::Fatal),
        _ => None,
    }
}

/// Finds the first key with a level for its value.
fn keyed_level(head: &[u8]) -> Option<Level> {
    memchr2_iter(b'v', b'V', head).find_map(|v_at| {
        // Both letters beside it are the same in all names, and in few other words.
        let (left, right) = (head.get(v_at.checked_sub(1)?)?, head.get(v_at + 1)?);
        if !matches!(
            (left, right),
            (b'e' | b'E', b'e' | b'E') | (b'l' | b'L', b'l' | b'L')
        ) {
            return None;
        }
        let (outside, key, after) = KEYS.into_iter().find_map(|(key, v_index)| {
            let (outside, rest) = head.split_at_checked(v_at.checked_sub(v_index)?)?;
            let (name, after) = rest.split_at_checked(key.len())?;
            let is_key = name.eq_ignore_ascii_case(key);
            is_key.then_some((outside, key, after))
        })?;
        let before_log = strip_log_end(outside).filter(|_| key == b"level");
        let opening = before_log.unwrap_or(outside).last();
        if !opening.is_none_or(|byte| opens_key(*byte)) {
            return None;
        }
        let unquoted = strip_quote(after);
        let (delimiter, value) = trim_spaces_start(unquoted.unwrap_or(after)).split_first()?;
        let value = trim_spaces_start(value);
        match delimiter {
            b':' if key == b"level" && before_log.is_none() && unquoted.is_some() => {
                pino_number(value).or_else(|| value_level(value))
            }
            b':' | b'=' => value_level(value),
            _ => None,
        }
    })
}

/// Takes what makes `level` a `loglevel` or `log.level` off the end.
fn strip_log_end(outside: &[u8]) -> Option<&[u8]> {
    let outside = outside.strip_suffix(b".").unwrap_or(outside);
    let (before, log) = outside.split_last_chunk::<3>()?;
    log.eq_ignore_ascii_case(b"log").then_some(before)
}

/// Returns whether a key may follow this byte. `?` and `&` are not among them: keys of a URL are not
/// those of the line.
fn opens_key(byte: u8) -> bool {
    matches!(
        byte,
        b' ' | b'\t' | b'"' | b'\'' | b'{' | b'[' | b'(' | b',' | b';' | b'|'
    )
}

/// Reads the value of a key.
fn value_level(value: &[u8]) -> Option<Level> {
    let value = strip_quote(value).unwrap_or(value);
    let is_inside = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.');
    let bytes = value.iter().take(MAX_WORD_BYTES + 1);
    match value.get(..bytes.take_while(|byte| is_inside(byte)).count())? {
        [letter] => of_letter(*letter),
        word => Level::named(word).or_else(|| of_logger(word)),
    }
}

/// What fewer loggers write, where it is clear that a level stands there.
fn of_logger(word: &[u8]) -> Option<Level> {
    let words: [(&[u8], Level); 12] = [
        (b"severe", Level::Error),
        (b"fine", Level::Debug),
        (b"finer", Level::Trace),
        (b"finest", Level::Trace),
        (b"verbose", Level::Trace),
        (b"note", Level::Info),
        (b"log", Level::Info),
        (b"inf", Level::Info),
        (b"wrn", Level::Warn),
        (b"ftl", Level::Fatal),
        (b"dpanic", Level::Fatal),
        (b"emergency", Level::Fatal),
    ];
    let is_word = |(known, _): &(&[u8], Level)| known.eq_ignore_ascii_case(word);
    words.into_iter().find(is_word).map(|(_, level)| level)
}

/// Reads the levels of pino and bunyan, 10 to 60. A number in quotes, of another key or in between may
/// be of a scale that rises the other way.
fn pino_number(value: &[u8]) -> Option<Level> {
    let (tens, b'0', after) = split_two(value)? else {
        return None;
    };
    if !matches!(after.first(), None | Some(b',' | b'}' | b' ')) {
        return None;
    }
    match tens {
        b'1' => Some(Level::Trace),
        b'2' => Some(Level::Debug),
        b'3' => Some(Level::Info),
        b'4' => Some(Level::Warn),
        b'5' => Some(Level::Error),
        b'6' => Some(Level::Fatal),
        _ => None,
    }
}

fn split_two(bytes: &[u8]) -> Option<(u8, u8, &[u8])> {
    let ([first, second], rest) = bytes.split_first_chunk()?;
    Some((*first, *second, rest))
}

/// Finds the first bare word that names a level.
fn bare_level(head: &[u8]) -> Option<Level> {
    upper_word(head, 0)
        .or_else(|| first_marked_word(head))
        .filter(|word| word.start < MAX_WORDS_BYTES)
        .map(|word| word.level)
}

fn first_marked_word(head: &[u8]) -> Option<Word> {
    let marks = word_marks(head);
    for (index, chunk) in marks.as_chunks::<8>().0.iter().enumerate() {
        let mut marks = u64::from_le_bytes(*chunk);
        while marks != 0 {
            let in_chunk = usize::try_from(marks.trailing_zeros() / 8).ok()?;
            // The first mark is that of the second byte of the line.
            let word = marked_word(head, index * 8 + in_chunk + 1);
            if word.is_some() {
                return word;
            }
            marks &= marks - 1;
        }
    }
    None
}

/// Marks with 1, from the second byte on, each that is `]`, a colon after a letter, or the first of
/// three or more upper-case letters; most lines have a handful of those.
///
/// A loop without a branch over bytes side by side becomes a few vector instructions.
fn word_marks(head: &[u8]) -> [u8; MAX_MARKS] {
    let mut room = [0; MAX_MARKS + 3];
    let bytes = head.first_chunk().unwrap_or_else(|| {
        room.iter_mut().zip(head).for_each(|(to, from)| *to = *from);
        &room
    });
    let mut marks = [0; MAX_MARKS];
    for (mark, [before, byte, second, third]) in marks.iter_mut().zip(bytes.array_windows()) {
        let is_upper = |byte: &u8| u8::from(byte.is_ascii_uppercase());
        let goes_on = is_upper(byte) & is_upper(second) & is_upper(third);
        let starts_word = goes_on & (is_upper(before) ^ 1);
        let ends_word = u8::from(*byte == b':') & u8::from(before.is_ascii_alphabetic());
        *mark = starts_word | ends_word | u8::from(*byte == b']');
    }
    marks
}

/// Reads the word that ends before the delimiter at a mark or starts there.
fn marked_word(head: &[u8], at: usize) -> Option<Word> {
    match head.split_at_checked(at)? {
        (before, [b']', after @ ..]) => bracketed_word(before, after),
        (before, [b':', after @ ..]) => word_before_colon(before, after),
        _ => upper_word(head, at),
    }
}

/// Reads a word that ends right before `]`: `[error]`, `[ WARN ]`, `[core:error]`, `[E]`.
fn bracketed_word(before: &[u8], after: &[u8]) -> Option<Word> {
    let before = trim_spaces_end(before);
    let (outside, word) = last_word(before)?;
    let inside = trim_spaces_end(outside);
    let opens = match inside.split_last()? {
        (b'[', _) => true,
        // Apache writes the module before the level.
        (b':', module) if inside.len() == outside.len() => {
            let is_module = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_';
            let opening = module.iter().rev().take(32).find(|byte| !is_module(byte));
            opening == Some(&b'[')
        }
        _ => false,
    };
    let level = match word {
        [letter] => of_letter(*letter),
        // MySQL and MariaDB; elsewhere a note is a word like others.
        [b'N', b'o', b't', b'e'] => Some(Level::Info),
        // MySQL again, which has the code next.
        b"System" if after.starts_with(b" [MY-") => Some(Level::Info),
        _ => of_word(word),
    }?;
    opens.then_some(Word {
        start: outside.len(),
        level,
    })
}

/// Reads a word in any case that ends right before a colon and a space, or the end.
fn word_before_colon(before: &[u8], after: &[u8]) -> Option<Word> {
    if after
        .first()
        .is_some_and(|byte| !byte.is_ascii_whitespace())
    {
        return None;
    }
    let (outside, word) = last_word(before)?;
    // PHP, Go and compilers: the program ends with it.
    let is_fatal = outside.ends_with(b"atal ") && word.eq_ignore_ascii_case(b"error");
    let level = if is_fatal {
        Level::Fatal
    } else {
        of_word(word)?
    };
    opens_word(outside).then_some(Word {
        start: outside.len(),
        level,
    })
}

/// Reads a word in upper case that starts here and stands alone.
fn upper_word(head: &[u8], start: usize) -> Option<Word> {
    let (outside, rest) = head.split_at_checked(start)?;
    if !opens_word(outside) {
        return None;
    }
    let bytes = rest.iter().take(MAX_WORD_BYTES + 1);
    let letters = bytes.take_while(|byte| byte.is_ascii_uppercase()).count();
    let digits = usize::from(rest.get(letters).is_some_and(u8::is_ascii_digit));
    let (word, after) = rest.split_at_checked(letters + digits)?;
    if !after.first().is_none_or(|byte| closes_word(*byte)) {
        return None;
    }
    let level = of_word(word).or_else(|| of_upper_word(word, after));
    level.map(|level| Word { start, level })
}

/// Reads a word in upper case that is a level where the program writes it, and may be none elsewhere.
fn of_upper_word(word: &[u8], after: &[u8]) -> Option<Level> {
    match word {
        b"SEVERE" => Some(Level::Error),
        // java.util.logging, alone and in Tomcat.
        b"FINE" | b"FINER" | b"FINEST" => {
            let is_level = after.first() == Some(&b':') || after.starts_with(b" [");
            let level = if word == b"FINE" {
                Level::Debug
            } else {
                Level::Trace
            };
            is_level.then_some(level)
        }
        // PostgreSQL, in its text and in CSV.
        b"LOG" => {
            let is_level = after.starts_with(b":  ") || after.starts_with(b",00000,");
            is_level.then_some(Level::Info)
        }
        _ => None,
    }
}

/// Returns whether a word may follow these bytes, so that it stands alone. A quote, `/` and `=` are not
/// among what may stand before: there is the method, the path or the query of a request.
fn opens_word(outside: &[u8]) -> bool {
    match outside.split_last() {
        None => true,
        Some((b'm', color)) => ends_in_color(color),
        Some((byte, _)) => matches!(
            byte,
            b' ' | b'\t' | b'[' | b']' | b'(' | b'<' | b'|' | b',' | b':' | b'*'
        ),
    }
}

/// Returns whether these bytes are the escape sequence of a terminal's color up to its `m`.
fn ends_in_color(before: &[u8]) -> bool {
    let is_number = |byte: &u8| byte.is_ascii_digit() || *byte == b';';
    let numbers = before
        .iter()
        .rev()
        .take(16)
        .take_while(|byte| is_number(byte));
    let start = before.len().saturating_sub(numbers.count());
    before
        .get(..start)
        .is_some_and(|before| before.ends_with(&[ESCAPE, b'[']))
}

/// Returns whether a word in upper case may end before this byte. A backslash begins the escape of a
/// tab or a color, where the line stands in JSON.
fn closes_word(byte: u8) -> bool {
    matches!(
        byte,
        b' ' | b'\t'
            | b'\r'
            | b'\n'
            | b']'
            | b')'
            | b'>'
            | b'|'
            | b','
            | b':'
            | b'*'
            | b'\\'
            | ESCAPE
    )
}

/// Returns what a word names; `DEBUG1` to `DEBUG5` of `PostgreSQL` and `trace1` to `trace8` of Apache
/// are what they are without the digit.
fn of_word(word: &[u8]) -> Option<Level> {
    match word.split_last()? {
        (b'1'..=b'8', name) => {
            Level::named(name).filter(|level| matches!(level, Level::Debug | Level::Trace))
        }
        _ => Level::named(word),
    }
}

/// Splits off the letters at the end, with one digit after them; `None` where there are none, or more
/// than any name has.
fn last_word(before: &[u8]) -> Option<(&[u8], &[u8])> {
    let digits = usize::from(before.last().is_some_and(u8::is_ascii_digit));
    let letters = before
        .iter()
        .rev()
        .skip(digits)
        .take(MAX_WORD_BYTES + 1)
        .take_while(|byte| byte.is_ascii_alphabetic())
        .count();
    let len = Some(letters + digits).filter(|_| (1..=MAX_WORD_BYTES).contains(&letters))?;
    before.split_at_checked(before.len().checked_sub(len)?)
}

fn trim_spaces_end(mut bytes: &[u8]) -> &[u8] {
    while let Some((b' ', rest)) = bytes.split_last() {
        bytes = rest;
    }
    bytes
}

fn trim_spaces_start(mut bytes: &[u8]) -> &[u8] {
    while let Some((b' ', rest)) = bytes.split_first() {
        bytes = rest;
    }
    bytes
}

/// Takes a quote off the start, with its backslash where the line stands in a string of JSON.
fn strip_quote(bytes: &[u8]) -> Option<&[u8]> {
    let bytes = bytes.strip_prefix(b"\\").unwrap_or(bytes);
    let (b'"' | b'\'', rest) = bytes.split_first()? else {
        return None;
    };
    Some(rest)
}
