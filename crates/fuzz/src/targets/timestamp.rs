//! `timestamp`: a zone, a layout, and a value; the named formats are tried on the value as well.

use std::sync::LazyLock;

use tailwater_stages::{RegexConfig, StageConfig, Stages, TimestampConfig};

use crate::{input, pass};

const ZONES: [Option<&str>; 4] = [
    None,
    Some("Europe/Berlin"),
    Some("America/St_Johns"),
    Some("Pacific/Apia"),
];

/// All names but the one that another parser is compared with.
const NAMED: [&str; 13] = [
    "ANSIC",
    "UnixDate",
    "RubyDate",
    "RFC822",
    "RFC822Z",
    "RFC850",
    "RFC1123",
    "RFC1123Z",
    "RFC3339Nano",
    "Unix",
    "UnixMs",
    "UnixUs",
    "UnixNs",
];

static NAMED_STAGES: LazyLock<[Stages; 2]> = LazyLock::new(|| {
    let all = NAMED.map(str::to_owned).to_vec();
    let compiled = [
        compile("Kitchen 3:04PM", all, None),
        compile("RFC3339", Vec::new(), None),
    ];
    compiled.map(|stages| stages.expect("they are names and a layout"))
});

pub(crate) fn run(bytes: &[u8]) {
    let (way, rest) = input::choice(bytes, 4);
    let Some((layout, value)) = input::text_line(rest) else {
        return;
    };
    let zone = ZONES.get(usize::from(way)).copied().flatten();
    if let Some(stages) = compile(layout, Vec::new(), zone) {
        time(&stages, value);
    }
    let [named, rfc3339] = &*NAMED_STAGES;
    time(named, value);
    check_rfc3339(value, time(rfc3339, value));
}

fn compile(format: &str, fallback_formats: Vec<String>, zone: Option<&str>) -> Option<Stages> {
    let regex = StageConfig::Regex(RegexConfig {
        expression: "(?s)^(?P<t>.*)$".to_owned(),
        source: None,
    });
    let timestamp = StageConfig::Timestamp(TimestampConfig {
        source: "t".to_owned(),
        format: format.to_owned(),
        fallback_formats,
        location: zone.map(str::to_owned),
        location_source: None,
        year: None,
        action_on_failure: Some("skip".to_owned()),
    });
    pass::compile(&[regex, timestamp])
}

/// The time that a value is read as; `None` where it is that of the reading.
fn time(stages: &Stages, value: &[u8]) -> Option<u64> {
    let passed = pass::one(stages, value);
    let record = passed.only().expect("nothing is dropped");
    assert_eq!(record.line, value);
    (record.timestamp != pass::NOW).then_some(record.timestamp)
}

/// Another parser reads the same time, and the strictest form is always read.
fn check_rfc3339(value: &[u8], found: Option<u64>) {
    let Ok(text) = std::str::from_utf8(value) else {
        return;
    };
    let Ok(other) = text.parse::<jiff::Timestamp>() else {
        return;
    };
    let other = u64::try_from(other.as_nanosecond()).ok();
    let is_strict = text.len() == "2006-01-02T15:04:05Z".len()
        && text.bytes().enumerate().all(|(index, byte)| match index {
            4 | 7 => byte == b'-',
            10 => byte == b'T',
            13 | 16 => byte == b':',
            19 => byte == b'Z',
            _ => byte.is_ascii_digit(),
        });
    // A leap second is one of no day of Go's.
    let has_leap_second = text.get(17..19) == Some("60");
    if found.is_some() {
        assert_eq!(found, other, "{text}");
    } else if is_strict && !has_leap_second {
        assert!(other.is_none() || other == Some(pass::NOW), "{text}");
    }
}
