//! The block `file:` of a sink.

use std::ffi::OsString;
use std::io::{IsTerminal, stdout};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Deserialize;
use tailwater_sink::{SettingsError, SinkParts, SinkSettings};

use crate::append::FileTarget;
use crate::deliver::{FileDeliver, Target};
use crate::encode::{FileEncoderFactory, Layout};
use crate::size::ByteSize;
use crate::stream::StreamTarget;

/// The path that stands for the standard output.
const STANDARD_OUTPUT: &str = "-";

/// What the operator says about a file sink.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileSettings {
    /// The file that lines are appended to; `-` is the standard output.
    ///
    /// It is made with mode 0640 where it is missing; its directory must be there.
    pub path: PathBuf,
    /// How a record is written.
    #[serde(default)]
    pub format: Format,
    /// Whether a batch must be on disk before it counts as delivered. The standard output has no
    /// such thing.
    #[serde(default = "is_synced_by_default")]
    pub sync: bool,
    /// Where given, the file is renamed to `<path>.1`, and an older `<path>.1` is replaced, before a
    /// batch that would make it larger. A batch is never cut in two: one that is larger than the
    /// limit has a file of its own.
    pub max_bytes: Option<ByteSize>,
}

/// How a record is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// One JSON object per line, with time, labels, offset and metadata. Invalid UTF-8 is replaced.
    #[default]
    Ndjson,
    /// The bytes of the line. Control characters are escaped on a terminal, and only there.
    Text,
}

fn is_synced_by_default() -> bool {
    true
}

impl FileSettings {
    fn is_standard_output(&self) -> bool {
        self.path == Path::new(STANDARD_OUTPUT)
    }

    fn layout(&self) -> Layout {
        match self.format {
            Format::Ndjson => Layout::Ndjson,
            // A log line must not be able to drive the terminal of the person who reads it.
            Format::Text if self.is_standard_output() && stdout().is_terminal() => {
                Layout::EscapedText
            }
            Format::Text => Layout::Text,
        }
    }

    fn check(&self) -> Result<(), SettingsError> {
        if self.path.as_os_str().is_empty() {
            return Err(SettingsError::new(
                "path",
                "it is empty: name a file, or `-` for the standard output",
            ));
        }
        match self.max_bytes {
            Some(_) if self.is_standard_output() => Err(SettingsError::new(
                "max_bytes",
                "the standard output cannot be rotated: remove the key or name a file",
            )),
            Some(ByteSize(0)) => Err(SettingsError::new(
                "max_bytes",
                "it is 0: remove the key for a file without a limit",
            )),
            Some(_) | None => Ok(()),
        }
    }
}

impl SinkSettings for FileSettings {
    const DEFAULT_MAX_IN_FLIGHT: usize = 1;

    fn build(&self) -> Result<SinkParts, SettingsError> {
        self.check()?;
        let target = if self.is_standard_output() {
            Target::Stream(StreamTarget::standard_output())
        } else {
            Target::File(FileTarget::new(
                self.path.clone(),
                rotated_path(&self.path),
                self.sync,
                self.max_bytes.map(|size| size.0),
            ))
        };
        // Asked once: the encoder and the deliverer must not differ on what a line is.
        let (layout, name) = (self.layout(), self.path.display().to_string());
        Ok(SinkParts {
            encoder: Arc::new(FileEncoderFactory::new(layout)),
            deliver: Arc::new(FileDeliver::new(name, layout, target)),
        })
    }

    /// Returns the file and the name that it is rotated to, absolute; nothing for the standard
    /// output.
    fn written_paths(&self) -> Vec<PathBuf> {
        if self.is_standard_output() {
            return Vec::new();
        }
        let path = std::path::absolute(&self.path).unwrap_or_else(|_unknown| self.path.clone());
        let rotated = rotated_path(&path);
        vec![path, rotated]
    }
}

fn rotated_path(path: &Path) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(".1");
    PathBuf::from(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> Result<FileSettings, String> {
        serde_json::from_str(json).map_err(|error| error.to_string())
    }

    #[test]
    fn a_path_is_all_that_must_be_said() {
        let settings = read(r#"{"path": "/var/log/out.ndjson"}"#).unwrap();
        assert_eq!(settings.format, Format::Ndjson);
        assert!(settings.sync);
        assert_eq!(settings.max_bytes, None);
        assert_eq!(
            settings.written_paths(),
            [
                PathBuf::from("/var/log/out.ndjson"),
                PathBuf::from("/var/log/out.ndjson.1")
            ]
        );
        assert_eq!(
            settings.build().unwrap().deliver.target(),
            "/var/log/out.ndjson"
        );
    }

    #[test]
    fn the_standard_output_is_no_file_that_must_be_kept_from_tailing() {
        let settings = read(r#"{"path": "-", "format": "text"}"#).unwrap();
        assert!(settings.written_paths().is_empty());
        assert_eq!(settings.build().unwrap().deliver.target(), "-");
    }

    #[test]
    fn a_relative_path_is_kept_from_tailing_under_its_absolute_name() {
        let paths = read(r#"{"path": "out.log"}"#).unwrap().written_paths();
        assert!(paths.iter().all(|path| path.is_absolute()), "{paths:?}");
    }

    #[test]
    fn unknown_keys_and_formats_are_refused() {
        assert!(
            read(r#"{"path": "x", "fsync": true}"#)
                .unwrap_err()
                .contains("fsync")
        );
        assert!(
            read(r#"{"path": "x", "format": "xml"}"#)
                .unwrap_err()
                .contains("xml")
        );
        assert!(read("{}").unwrap_err().contains("path"));
    }

    #[test]
    fn settings_that_cannot_work_are_refused_by_the_name_of_the_key() {
        let refused = |json: &str| read(json).unwrap().build().unwrap_err().key;
        assert_eq!(refused(r#"{"path": ""}"#), "path");
        assert_eq!(refused(r#"{"path": "x", "max_bytes": 0}"#), "max_bytes");
        assert_eq!(
            refused(r#"{"path": "-", "max_bytes": "1MiB"}"#),
            "max_bytes"
        );
    }
}
