//! `timestamp`: the record's time.

use std::collections::HashMap;

use jiff::tz::TimeZone;
use tailwater_record::TimestampNs;

use crate::TimestampConfig;
use crate::draft::{Draft, Slot};
use crate::error::Fault;
use crate::go::time_format::TimeFormat;
use crate::program::Names;

/// Label sets whose last time is known; Promtail's own bound.
const MAX_KNOWN_TIMES: usize = 10_000;

#[derive(Clone, Debug)]
pub(crate) struct Timestamp {
    source: Slot,
    formats: Vec<TimeFormat>,
    /// Last times by label set, for records without one; none with `skip`.
    known: Option<KnownTimes>,
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
            formats,
            known,
        })
    }

    pub(crate) fn apply(&mut self, draft: &mut Draft<'_>) {
        let parsed = draft.text(self.source).and_then(|text| {
            let text = draft.bytes(text);
            self.formats
                .iter()
                .find_map(|format| format.parse(text, draft.now.0))
        });
        match (parsed, &mut self.known) {
            (Some(ns), known) => {
                draft.timestamp = TimestampNs(ns);
                if let Some(known) = known {
                    known.set(draft.label_hash(), ns);
                }
            }
            (None, Some(known)) => {
                let stream = draft.label_hash();
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

fn zone(name: &str) -> Result<TimeZone, (String, Fault)> {
    if name.is_empty() {
        return Ok(TimeZone::UTC);
    }
    TimeZone::get(name).map_err(|_| {
        let fault = Fault::new(
            format!("`{name}` is no time zone"),
            "write an IANA name such as `Europe/Berlin`",
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

/// The last times of label sets: the young ones, and those of the generation before.
#[derive(Clone, Debug, Default)]
struct KnownTimes {
    young: HashMap<u64, u64>,
    old: HashMap<u64, u64>,
}

impl KnownTimes {
    fn get(&self, stream: u64) -> Option<u64> {
        self.young
            .get(&stream)
            .or_else(|| self.old.get(&stream))
            .copied()
    }

    fn set(&mut self, stream: u64, ns: u64) {
        self.young.insert(stream, ns);
        if self.young.len() > MAX_KNOWN_TIMES {
            self.old = std::mem::take(&mut self.young);
        }
    }
}
