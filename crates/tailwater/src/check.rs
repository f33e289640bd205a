//! `tailwater check`: what a configuration would do now.

use std::io::Write;
use std::path::Path;

use tailwater_engine::SourceConfig;
use tailwater_tailer::pattern::walk;

use crate::config::{self, Config};
use crate::exit::Failure;

/// Files listed per source; the rest is counted.
const MAX_LISTED_FILES: usize = 20;

/// Directory entries that are looked at per source.
const MAX_WALKED_ENTRIES: usize = 1_000_000;

/// Checks a configuration and says what it would do.
///
/// # Errors
/// [`Failure::Config`] where the configuration is wrong.
pub fn check(path: Option<&Path>, out: &mut dyn Write) -> Result<(), Failure> {
    let config = match path {
        Some(path) => config::load(path, None)?,
        None => config::parse(
            config::DEFAULT,
            "default.yaml (embedded)",
            None,
            &std::env::vars().collect(),
        )?,
    };
    explain(&config, out)
        .map_err(|error| Failure::Runtime(anyhow::Error::new(error).context("cannot print")))
}

fn explain(config: &Config, out: &mut dyn Write) -> std::io::Result<()> {
    writeln!(out, "The configuration is valid.\n")?;
    writeln!(
        out,
        "positions in {}, status on http://{}/",
        config.data_dir.display(),
        config.listen
    )?;
    for source in &config.engine.sources {
        explain_source(config, source, out)?;
    }
    for sink in &config.engine.sinks {
        writeln!(
            out,
            "\nsink {}: {}\n  batches of up to {} bytes or {:?}, {} unanswered at most, {} bytes queued at most, then reading waits",
            sink.name,
            sink.parts.deliver.target(),
            sink.batch.max_bytes,
            sink.batch.max_wait,
            sink.max_in_flight,
            sink.queue_max_bytes,
        )?;
    }
    Ok(())
}

fn explain_source(
    config: &Config,
    source: &SourceConfig,
    out: &mut dyn Write,
) -> std::io::Result<()> {
    writeln!(out, "\nsource {}", source.name)?;
    let (mut found, errors) = walk(&source.patterns, MAX_WALKED_ENTRIES);
    found.retain(|file| {
        !config
            .engine
            .tailing
            .excluded_paths
            .iter()
            .any(|own| file.path.starts_with(own))
    });
    let bytes: u64 = found.iter().map(|file| file.len).sum();
    for file in found.iter().take(MAX_LISTED_FILES) {
        writeln!(
            out,
            "  {:>12} bytes  {}",
            file.len,
            file.path.display().to_string().escape_debug()
        )?;
    }
    if found.len() > MAX_LISTED_FILES {
        writeln!(out, "  … and {} more", found.len() - MAX_LISTED_FILES)?;
    }
    writeln!(out, "  {} files, {bytes} bytes now", found.len())?;
    if found.is_empty() {
        writeln!(
            out,
            "  no file matches now: {}",
            source.patterns.includes().join(", ")
        )?;
    }
    for error in errors {
        writeln!(
            out,
            "  cannot look into {}: {}",
            error.path.display(),
            error.reason
        )?;
    }
    for sink in &source.sinks {
        let sink = usize::try_from(*sink)
            .ok()
            .and_then(|index| config.engine.sinks.get(index));
        if let Some(sink) = sink {
            writeln!(
                out,
                "  goes to {}: {}",
                sink.name,
                sink.parts.deliver.target()
            )?;
        }
    }
    Ok(())
}
