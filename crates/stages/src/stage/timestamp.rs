//! `timestamp`: the record's time.

use std::collections::HashMap;

use jiff::tz::TimeZone;
use tailwater_record::{FileId, TimestampNs};

use crate::TimestampConfig;
use crate::draft::{Draft, Slot};
use crate::error::Fault;
use crate::go::layout::YearRule;
use crate::go::time_format::TimeFormat;
use crate::interner::{Mix, hash_of};
use crate::program::Names;

/// Label sets whose last time is known; Promtail's own bound.
const MAX_KNOWN_TIMES: usize = 10_000;

/// Bytes of a text that is kept for the next line.
const MAX_KEPT_TEXT: usize = 64;

#[derive(Clone, Debug)]
pub(crate) struct Timestamp {
    source: Slot,
    formats: Vec<TimeFormat>,
    named_zone: Option<NamedZone>,
    /// Last times by label set, for records without one; none with `skip`.
    known: Option<KnownTimes>,
    /// The last text and its time: many lines of a log are of one second.
    last: Option<(Vec<u8>, u64)>,
    /// Whether that is worth it, and a text always means the same time.
    keeps_last: bool,
}

impl Timestamp {
    /// Compiles the formats; a fault comes with the name of its key.
    pub(crate) fn new(
        config: &TimestampConfig,
        names: &mut Names,
    ) -> Result<Self, (String, Fault)> {
        let zone = config.location.as_deref().map(zone).transpose()?;
        let mut formats = vec![format(&config.format, zone.as_ref(), "format".into())?];
        for (index, text) in config.fallback_formats.iter().enumerate() {
            formats.push(format(
                text,
                zone.as_ref(),
                format!("fallback_formats[{index}]"),
            )?);
        }
        let year = year_rule(config.year.as_deref())?;
        formats
            .iter_mut()
            .for_each(|format| format.set_year_rule(year));
        let known = match config.action_on_failure.as_deref() {
            None | Some("fudge") => Some(KnownTimes::default()),
            Some("skip") => None,
            Some(other) => {
                let fault = Fault::new(
                    format!("`{other}` is no action"),
                    "write `fudge`, which is the default, or `skip`",
                );
                return Err(("action_on_failure".into(), fault));
            }
        };
        Ok(Self {
            source: names.slot(&config.source),
            named_zone: config.location_source.as_deref().map(|source| NamedZone {
                source: names.slot(source),
                last: None,
            }),
            // A text alone says too little where the zone stands beside it.
            keeps_last: config.location_source.is_none()
                && formats.iter().any(TimeFormat::is_slow)
                && !formats.iter().any(TimeFormat::needs_now),
            formats,
            known,
            last: None,
        })
    }

    #[inline(never)]
    pub(crate) fn apply(&mut self, draft: &mut Draft<'_>) {
        let text = draft.text(self.source);
        let zone = self.named_zone.as_mut().and_then(|zone| zone.of(draft));
        let parsed =
            text.and_then(|text| self.parse(draft.bytes(text), zone.as_ref(), draft.now.0));
        match (parsed, &mut self.known) {
            (Some(ns), known) => {
                draft.timestamp = TimestampNs(ns);
                if let Some(known) = known {
                    known.set(stream(draft), ns);
                }
            }
            (None, Some(known)) => {
                let stream = stream(draft);
                if let Some(last) = known.get(stream) {
                    let next = last.saturating_add(1);
                    draft.timestamp = TimestampNs(next);
                    known.set(stream, next);
                }
            }
            (None, None) => {}
        }
    }
}

/// The zone that stands beside a time.
#[derive(Clone, Debug)]
struct NamedZone {
    source: Slot,
    /// The last name, and what it means: a log rarely has more than one.
    last: Option<(Vec<u8>, Option<TimeZone>)>,
}

impl NamedZone {
    fn of(&mut self, draft: &mut Draft<'_>) -> Option<TimeZone> {
        let text = draft.text(self.source)?;
        let name = draft.bytes(text);
        if let Some((known, zone)) = &self.last
            && known == name
        {
            return zone.clone();
        }
        let text = std::str::from_utf8(name).ok();
        let text = text.filter(|text| (1..=MAX_KEPT_TEXT).contains(&text.len()));
        let zone = text.and_then(|text| TimeZone::get(text).ok());
        if name.len() <= MAX_KEPT_TEXT {
            self.last = Some((name.to_vec(), zone.clone()));
        }
        zone
    }
}

/// What a last time belongs to: a file, and the labels by their hash.
type Stream = (FileId, u64);

fn stream(draft: &Draft<'_>) -> Stream {
    let file = draft.parts().last().map_or(FileId(0), |part| part.file);
    (file, hash_of(draft.labels()))
}

impl Timestamp {
    /// Reads a time by the first format that fits.
    fn parse(&mut self, text: &[u8], zone: Option<&TimeZone>, now: u64) -> Option<u64> {
        if let Some((known, ns)) = &self.last
            && known == text
        {
            return Some(*ns);
        }
        let formats = &mut self.formats.iter();
        let ns = formats.find_map(|format| format.parse(text, zone, now))?;
        if self.keeps_last && text.len() <= MAX_KEPT_TEXT {
            let (kept, last) = self.last.get_or_insert_default();
            kept.clear();
            kept.extend_from_slice(text);
            *last = ns;
        }
        Some(ns)
    }

    /// Forgets the last times of a file.
    pub(crate) fn forget(&mut self, file: FileId) {
        if let Some(known) = &mut self.known {
            known.forget(file);
        }
    }

    /// Lets the streams of a file go on in another one.
    pub(crate) fn hand_over(&mut self, from: FileId, to: FileId) {
        if let Some(known) = &mut self.known {
            known.hand_over(from, to);
        }
    }
}

fn year_rule(name: Option<&str>) -> Result<YearRule, (String, Fault)> {
    match name {
        None | Some("nearest") => Ok(YearRule::Nearest),
        Some("past") => Ok(YearRule::Past),
        Some(other) => {
            let problem = format!("`{other}` does not say which year it is");
            let hint = "write `nearest`, which is the default, or `past`";
            Err(("year".into(), Fault::new(problem, hint)))
        }
    }
}

fn zone(name: &str) -> Result<TimeZone, (String, Fault)> {
    if name.is_empty() {
        return Ok(TimeZone::UTC);
    }
    // Go's name for the zone of the host: `TZ`, else `/etc/localtime`, else UTC.
    if name == "Local" {
        return Ok(TimeZone::try_system().unwrap_or(TimeZone::UTC));
    }
    TimeZone::get(name).map_err(|_| {
        let fault = Fault::new(
            format!("`{name}` is no time zone"),
            "write an IANA name such as `Europe/Berlin`, or `Local` for that of the host",
        );
        ("location".into(), fault)
    })
}

fn format(text: &str, zone: Option<&TimeZone>, key: String) -> Result<TimeFormat, (String, Fault)> {
    TimeFormat::new(text, zone).ok_or_else(|| {
        let fault = Fault::new(
            format!("`{text}` is a Go layout without any field, so no time can match it"),
            "write the time Mon Jan 2 15:04:05 MST 2006 as your log would, or a name such as `RFC3339`",
        );
        (key, fault)
    })
}

/// The last times of streams: the young ones, and those of the generation before.
///
/// Promtail keeps them by labels alone, of which the path is one; ours are kept by file, so that
/// what a file's lines get never depends on how far another one was read.
#[derive(Clone, Debug, Default)]
struct KnownTimes {
    young: HashMap<Stream, u64, Mix>,
    old: HashMap<Stream, u64, Mix>,
}

impl KnownTimes {
    fn get(&self, stream: Stream) -> Option<u64> {
        self.young
            .get(&stream)
            .or_else(|| self.old.get(&stream))
            .copied()
    }

    fn set(&mut self, stream: Stream, ns: u64) {
        self.young.insert(stream, ns);
        if self.young.len() > MAX_KNOWN_TIMES {
            self.old = std::mem::take(&mut self.young);
        }
    }

    fn forget(&mut self, file: FileId) {
        for times in [&mut self.young, &mut self.old] {
            times.retain(|(known, _), _| *known != file);
        }
    }

    fn hand_over(&mut self, from: FileId, to: FileId) {
        for times in [&mut self.young, &mut self.old] {
            let moved: Vec<(u64, u64)> = times
                .extract_if(|(file, _), _| *file == from)
                .map(|((_, labels), ns)| (labels, ns))
                .collect();
            for (labels, ns) in moved {
                times.entry((to, labels)).or_insert(ns);
            }
        }
    }
}
