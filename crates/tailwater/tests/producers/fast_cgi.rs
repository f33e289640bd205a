//! A client of FastCGI: the one that Debian has.

use std::path::Path;
use std::process::Command;

use crate::server::must_run;

/// Gets a script's output, with the headers.
pub(crate) fn get(socket: &Path, script: &Path, name: &str) -> String {
    let mut command = Command::new("cgi-fcgi");
    command
        .args(["-bind", "-connect"])
        .arg(socket)
        .env("REQUEST_METHOD", "GET")
        .env("SCRIPT_FILENAME", script)
        .env("SCRIPT_NAME", name);
    must_run(&mut command, "")
}
