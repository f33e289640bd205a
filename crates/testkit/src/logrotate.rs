//! The real logrotate.

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

/// Where distributions put it, besides the directories of `PATH`.
const SYSTEM_DIRECTORIES: [&str; 2] = ["/usr/sbin", "/sbin"];

/// How a file is rotated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// The file is renamed and a new one is made.
    Create,
    /// The file is copied and then emptied.
    CopyTruncate,
}

/// What is rotated, and how.
#[derive(Clone, Debug)]
pub struct Rule {
    /// Paths and globs.
    pub patterns: Vec<String>,
    /// How.
    pub method: Method,
    /// Rotated files that are kept.
    pub rotate: u32,
    /// Whether rotated files are compressed with gzip.
    pub compress: bool,
    /// Whether a file is compressed with the rotation after the one that renames it.
    pub delay_compress: bool,
    /// Whether rotated files are named by the second of their rotation. A second rotation within the
    /// same second does nothing.
    pub date_extension: bool,
    /// A shell script that is run after the rotation.
    pub post_rotate: Option<String>,
}

impl Rule {
    /// Renames, keeps five files, does not compress.
    pub fn new(patterns: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self {
            patterns: patterns.into_iter().map(Into::into).collect(),
            method: Method::Create,
            rotate: 5,
            compress: false,
            delay_compress: false,
            date_extension: false,
            post_rotate: None,
        }
    }

    /// Writes out the rule. The directories of tests can be writable by others, which logrotate takes
    /// only with a user to switch to.
    fn to_text(&self, is_root: bool) -> String {
        let patterns: Vec<String> = self
            .patterns
            .iter()
            .map(|pattern| format!("\"{pattern}\""))
            .collect();
        let mut directives = vec!["missingok".to_owned()];
        if is_root {
            directives.push("su root root".into());
        }
        directives.push(format!("rotate {}", self.rotate));
        let method = match self.method {
            Method::Create => "create",
            Method::CopyTruncate => "copytruncate",
        };
        directives.push(method.into());
        for (is_on, on, off) in [
            (self.compress, "compress", "nocompress"),
            (self.delay_compress, "delaycompress", "nodelaycompress"),
            (
                self.date_extension,
                "dateext\n    dateformat -%Y%m%d-%s",
                "nodateext",
            ),
        ] {
            directives.push(if is_on { on } else { off }.into());
        }
        if let Some(script) = &self.post_rotate {
            directives.push(format!("postrotate\n{script}\n    endscript"));
        }
        let directives = directives.join("\n    ");
        format!("{} {{\n    {directives}\n}}\n", patterns.join(" "))
    }
}

/// A logrotate with a configuration and a state of its own.
#[derive(Debug)]
pub struct Logrotate {
    binary: PathBuf,
    config_path: PathBuf,
    state_path: PathBuf,
}

impl Logrotate {
    /// Writes `logrotate.conf` to the directory, which must not be one that is rotated by a glob that
    /// matches it.
    ///
    /// # Errors
    /// logrotate is not installed, or the configuration cannot be written.
    pub fn new(directory: &Path, rules: &[Rule]) -> Result<Self> {
        let config_path = directory.join("logrotate.conf");
        let is_root = rustix::process::geteuid().is_root();
        let text: String = rules.iter().map(|rule| rule.to_text(is_root)).collect();
        // logrotate ignores a configuration that others can write.
        OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o644)
            .open(&config_path)
            .and_then(|mut file| file.write_all(text.as_bytes()))
            .with_context(|| format!("cannot write {}", config_path.display()))?;
        Ok(Self {
            binary: find_binary()?,
            config_path,
            state_path: directory.join("logrotate.state"),
        })
    }

    /// Rotates now, and returns what logrotate says of it.
    ///
    /// # Errors
    /// logrotate fails; shows what it says.
    pub fn force(&self) -> Result<String> {
        let output = Command::new(&self.binary)
            .args(["--force", "--verbose", "--state"])
            .arg(&self.state_path)
            .arg(&self.config_path)
            .output()
            .with_context(|| format!("cannot run {}", self.binary.display()))?;
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        // It skips a file that it does not trust and still ends with success.
        let is_done = output.status.success() && !text.contains("error:");
        ensure!(is_done, "logrotate ended with {}:\n{text}", output.status);
        Ok(text)
    }
}

fn find_binary() -> Result<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(SYSTEM_DIRECTORIES.iter().map(PathBuf::from))
        .map(|directory| directory.join("logrotate"))
        .find(|binary| fs::metadata(binary).is_ok_and(|metadata| metadata.is_file()))
        .context("logrotate is not installed, and this test needs it: apt-get install logrotate")
}
