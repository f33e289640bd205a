//! Reading the file, whatever it turns out to be.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

use crate::diagnostic::ConfigError;

/// Largest configuration that is read.
const MAX_CONFIG_BYTES: u64 = 1 << 20;

/// Reads a configuration file.
///
/// # Errors
/// [`ConfigError`] says what the file is in place of a configuration.
pub fn read_file(path: &Path) -> Result<String, ConfigError> {
    let name = path.display().to_string();
    let fail = |what: &str, hint: &str| ConfigError::new(&name, what, hint);
    let file = File::open(path).map_err(|error| unreadable(&name, &error))?;
    if file.metadata().is_ok_and(|metadata| metadata.is_dir()) {
        return Err(fail(
            "it is a directory, not a file",
            "name a file: `--config FILE`",
        ));
    }
    let mut bytes = Vec::new();
    let read = file.take(MAX_CONFIG_BYTES + 1).read_to_end(&mut bytes);
    read.map_err(|error| unreadable(&name, &error))?;
    if bytes.len() as u64 > MAX_CONFIG_BYTES {
        return Err(fail(
            "it is larger than 1 MiB",
            "is it a configuration, and not a log?",
        ));
    }
    String::from_utf8(bytes).map_err(|error| {
        let good = error.utf8_error().valid_up_to();
        let line = error
            .as_bytes()
            .iter()
            .take(good)
            .filter(|byte| **byte == b'\n')
            .count()
            + 1;
        let what = format!("line {line} is not UTF-8 text, at byte {good} of the file");
        fail(
            &what,
            "save the file as UTF-8, or write the value with `\\x` escapes in double quotes",
        )
    })
}

fn unreadable(name: &str, error: &io::Error) -> ConfigError {
    let fail = |what: &str, hint: &str| ConfigError::new(name, what, hint);
    if error.kind() == io::ErrorKind::NotFound {
        let hint = "name an existing file with `--config FILE`; without it, `tailwater run` uses an embedded one";
        return fail("cannot open it: there is no such file", hint);
    }
    if error.kind() == io::ErrorKind::PermissionDenied {
        return fail(
            "cannot open it: no permission to read it",
            "make it readable for the agent's user",
        );
    }
    fail(
        &format!("cannot read it: {error}"),
        "check the file and its file system",
    )
}
