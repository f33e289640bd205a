//! `level`: the record's severity. Ours.

mod words;

use tailwater_record::Severity;

use crate::draft::{Draft, Slot};
use crate::error::Fault;
use crate::program::Names;
use crate::{LevelConfig, SeverityWord};

/// The extracted value that is read where none is named.
const DEFAULT_SOURCE: &str = "level";

#[derive(Clone, Debug)]
pub(crate) struct Level {
    source: Slot,
    scale: Scale,
    map: Vec<(Box<str>, Severity)>,
    default: Option<Severity>,
}

/// What a value is that says how grave a line is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scale {
    Word,
    Syslog,
    HttpStatus,
    Pino,
}

impl Level {
    /// Compiles the settings; a fault comes with the name of its key.
    pub(crate) fn new(config: &LevelConfig, names: &mut Names) -> Result<Self, (String, Fault)> {
        let scale = match config.from.as_deref() {
            None | Some("word") => Scale::Word,
            Some("syslog") => Scale::Syslog,
            Some("http_status") => Scale::HttpStatus,
            Some("pino") => Scale::Pino,
            Some(other) => {
                let problem = format!("`{other}` is no kind of level");
                let hint = "write `word`, `syslog`, `http_status` or `pino`";
                return Err(("from".to_owned(), Fault::new(problem, hint)));
            }
        };
        let map = config.map.iter().map(|(word, severity)| {
            let severity = severity_of(severity);
            let severity = severity.map_err(|fault| (format!("map.{word}"), fault))?;
            Ok((word.as_str().into(), severity))
        });
        let default = config.default.as_ref().map(severity_of).transpose();
        Ok(Self {
            source: names.slot(config.source.as_deref().unwrap_or(DEFAULT_SOURCE)),
            scale,
            map: map.collect::<Result<_, _>>()?,
            default: default.map_err(|fault| ("default".to_owned(), fault))?,
        })
    }

    #[inline(never)]
    pub(crate) fn apply(&self, draft: &mut Draft<'_>) {
        let value = draft.text(self.source);
        let read = value.and_then(|value| self.read(draft.bytes(value)));
        // What an earlier stage has read says more than words in the line.
        draft.severity = read
            .or(draft.severity)
            .or_else(|| tailwater_record::Level::detect(draft.line_bytes()).map(Severity::from))
            .or(self.default);
    }

    fn read(&self, value: &[u8]) -> Option<Severity> {
        let value = value.trim_ascii();
        let mapped = self
            .map
            .iter()
            .find(|(word, _)| word.as_bytes().eq_ignore_ascii_case(value));
        if let Some((_, severity)) = mapped {
            return Some(*severity);
        }
        match self.scale {
            Scale::Word => words::of_word(value),
            Scale::Syslog => words::of_priority(value).or_else(|| words::of_word(value)),
            Scale::HttpStatus => words::of_status(value),
            Scale::Pino => words::of_pino(value).or_else(|| words::of_word(value)),
        }
    }
}

fn severity_of(word: &SeverityWord) -> Result<Severity, Fault> {
    let SeverityWord(text) = word;
    text.parse().map_err(|_unknown| {
        let problem = format!("`{text}` is no severity");
        let hint = "write TRACE, DEBUG, INFO, WARN, ERROR or FATAL, each also with 2, 3 or 4 after it, \
                    or a number from 1 to 24";
        Fault::new(problem, hint)
    })
}
