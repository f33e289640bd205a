//! `tailwater check`: what a configuration would do now.

pub mod sample;

use std::io::{self, Write};
use std::path::Path;

use tailwater_engine::{SinkConfig, SourceConfig};
use tailwater_promtail::Loaded;
use tailwater_tailer::open::open_log;
use tailwater_tailer::pattern::{Found, walk};
use tailwater_tailer::{AllowedRoots, Patterns};

use crate::config::{self, Config};
use crate::exit::{Failure, printed_whole};

/// Files listed per source; the rest is counted.
const MAX_LISTED_FILES: usize = 20;

/// Directory entries that are looked at per source.
const MAX_WALKED_ENTRIES: usize = 1_000_000;

/// Checks a configuration, the embedded one where `path` is `None`, and says what it would do.
///
/// Reads directories, and opens each file to see whether it may; reads no line and connects to
/// nothing.
///
/// # Errors
/// [`Failure::Config`] where the configuration is wrong, [`Failure::Runtime`] where nothing can be
/// printed.
pub fn check(path: Option<&Path>, out: &mut dyn Write) -> Result<(), Failure> {
    let config = match path {
        Some(path) => config::load(path, None)?,
        None => config::load_default(None)?,
    };
    let loaded = path.and_then(config::load_promtail).and_then(Result::ok);
    let printed = explain(&config, out)
        .and_then(|()| loaded.map_or(Ok(()), |loaded| explain_promtail(&loaded, out)));
    printed_whole(printed)
}

/// Says what of Promtail's configuration means something else, and which targets are not followed.
fn explain_promtail(loaded: &Loaded, out: &mut dyn Write) -> io::Result<()> {
    let targets = loaded.targets();
    let notes = tailwater_promtail::convert(loaded, &targets).notes;
    if !notes.is_empty() {
        writeln!(out, "\nwhat means something else here, or has no effect")?;
    }
    for note in &notes {
        writeln!(out, "  {note}")?;
    }
    for warning in crate::promtail::warnings(&targets) {
        writeln!(out, "{warning}")?;
    }
    if targets.targets.is_empty() {
        writeln!(
            out,
            "no target is followed: nothing is read until there is one"
        )?;
    }
    Ok(())
}

/// Says what a configuration would tail now, and where it would go.
///
/// # Errors
/// Those of writing to `out`.
pub fn explain(config: &Config, out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "The configuration is valid.\n")?;
    writeln!(out, "positions in {}", config.data_dir.display())?;
    if let Some(import) = &config.import_positions {
        let path = printable(&import.path);
        writeln!(
            out,
            "positions of Promtail in {path}, read at the first start"
        )?;
    }
    if let Some(address) = config.server.listen {
        let prefix = &config.server.path_prefix;
        writeln!(out, "status on http://{address}{prefix}/")?;
    }
    let sources = &config.engine.sources;
    let tailing = &config.engine.tailing;
    let named = sources.iter().flat_map(|source| source.patterns.roots());
    let named = named.map(|root| root.dir.as_path());
    let roots = AllowedRoots::new(named.chain(tailing.allowed_roots.iter().map(AsRef::as_ref)));
    let mut total = Total::default();
    for (index, source) in sources.iter().enumerate() {
        let earlier = sources.get(..index).unwrap_or_default();
        let view = View {
            config,
            earlier,
            roots: &roots,
        };
        view.explain_source(source, &mut total, out)?;
    }
    for (index, sink) in config.engine.sinks.iter().enumerate() {
        explain_sink(config, index, sink, out)?;
    }
    writeln!(out, "\n{} in all now", total.words())
}

/// Files and their bytes.
#[derive(Clone, Copy, Default)]
struct Total {
    files: usize,
    bytes: u64,
}

impl Total {
    fn add(&mut self, file: &Found) {
        self.files += 1;
        self.bytes = self.bytes.saturating_add(file.len);
    }

    fn words(self) -> String {
        let noun = if self.files == 1 { "file" } else { "files" };
        format!("{} {noun}, {}", self.files, bytes_in_words(self.bytes))
    }
}

/// What a source is looked at with.
struct View<'a> {
    config: &'a Config,
    /// The sources before it, which may read the same files.
    earlier: &'a [SourceConfig],
    roots: &'a AllowedRoots,
}

impl View<'_> {
    fn explain_source(
        &self,
        source: &SourceConfig,
        total: &mut Total,
        out: &mut dyn Write,
    ) -> io::Result<()> {
        writeln!(out, "\nsource {}", source.name)?;
        let (found, errors) = walk(&source.patterns, MAX_WALKED_ENTRIES);
        self.explain_patterns(source, &found, out)?;
        let mut own = Total::default();
        let mut shared = 0_usize;
        let mut refused = Vec::new();
        for file in found.iter().filter(|file| !self.is_own_file(&file.path)) {
            if let Err(error) = open_log(&file.path, self.roots) {
                refused.push(error.to_string());
                continue;
            }
            if own.files < MAX_LISTED_FILES {
                writeln!(
                    out,
                    "  {:>10}  {}",
                    bytes_in_words(file.len),
                    printable(&file.path)
                )?;
            }
            own.add(file);
            let mut earlier = self.earlier.iter();
            if earlier.any(|source| source.patterns.matches(&file.path)) {
                shared += 1;
            } else {
                total.add(file);
            }
        }
        if own.files > MAX_LISTED_FILES {
            writeln!(out, "  … and {} more", own.files - MAX_LISTED_FILES)?;
        }
        writeln!(out, "  {} now", own.words())?;
        if shared > 0 {
            writeln!(out, "  {shared} of them for a source above as well")?;
        }
        print_some(out, "not readable: ", refused.iter().map(String::as_str))?;
        let errors: Vec<String> = errors.iter().map(ToString::to_string).collect();
        print_some(out, "", errors.iter().map(String::as_str))?;
        self.explain_route(source, out)
    }

    /// A pattern that matches nothing may be right for later, and is most often a mistake.
    fn explain_patterns(
        &self,
        source: &SourceConfig,
        found: &[Found],
        out: &mut dyn Write,
    ) -> io::Result<()> {
        for include in source.patterns.includes() {
            let alone = Patterns::new(std::slice::from_ref(include), &[]);
            let is_used = |file: &Found| {
                !self.is_own_file(&file.path)
                    && alone.as_ref().is_ok_and(|alone| alone.matches(&file.path))
            };
            if !found.iter().any(is_used) {
                writeln!(out, "  matches no file now: {}", include.escape_debug())?;
            }
        }
        Ok(())
    }

    fn explain_route(&self, source: &SourceConfig, out: &mut dyn Write) -> io::Result<()> {
        let indexes = source
            .sinks
            .iter()
            .filter_map(|index| usize::try_from(*index).ok());
        let sinks = indexes.filter_map(|index| self.config.engine.sinks.get(index));
        let names: Vec<&str> = sinks.map(|sink| &*sink.name).collect();
        let tenant = source
            .tenant
            .as_ref()
            .map_or(String::new(), |tenant| format!(", tenant {tenant}"));
        writeln!(out, "  goes to {}{tenant}", names.join(", "))
    }

    fn is_own_file(&self, path: &Path) -> bool {
        self.config
            .engine
            .tailing
            .excluded_paths
            .iter()
            .any(|own| path.starts_with(own))
    }
}

fn explain_sink(
    config: &Config,
    index: usize,
    sink: &SinkConfig,
    out: &mut dyn Write,
) -> io::Result<()> {
    writeln!(out, "\nsink {}", sink.name)?;
    writeln!(out, "  {}", sink.parts.deliver.target().escape_debug())?;
    writeln!(
        out,
        "  batches of up to {}, {} records or {:?}; at most {} unanswered",
        bytes_in_words(u64::try_from(sink.batch.max_bytes).unwrap_or(u64::MAX)),
        sink.batch.max_records,
        sink.batch.max_wait,
        sink.max_in_flight,
    )?;
    writeln!(
        out,
        "  up to {} wait for it, then its files are not read further; tried again after {:?} to {:?}",
        bytes_in_words(sink.queue_max_bytes),
        sink.backoff.min,
        sink.backoff.max,
    )?;
    let is_fed = |source: &SourceConfig| {
        source
            .sinks
            .iter()
            .any(|fed| usize::try_from(*fed).is_ok_and(|fed| fed == index))
    };
    if !config.engine.sources.iter().any(is_fed) {
        writeln!(out, "  no source feeds it")?;
    }
    Ok(())
}

fn print_some<'a>(
    out: &mut dyn Write,
    before: &str,
    lines: impl ExactSizeIterator<Item = &'a str>,
) -> io::Result<()> {
    let count = lines.len();
    for line in lines.take(MAX_LISTED_FILES) {
        writeln!(out, "  {before}{}", line.escape_debug())?;
    }
    if count > MAX_LISTED_FILES {
        writeln!(out, "  {before}{} more", count - MAX_LISTED_FILES)?;
    }
    Ok(())
}

/// File names are others' words: they must not drive the terminal.
pub(crate) fn printable(path: &Path) -> String {
    path.display().to_string().escape_debug().to_string()
}

/// Returns a size as a person reads it, rounded down to a tenth.
pub(crate) fn bytes_in_words(bytes: u64) -> String {
    const UNITS: [(&str, u32); 4] = [("TiB", 40), ("GiB", 30), ("MiB", 20), ("KiB", 10)];
    let Some((unit, shift)) = UNITS.into_iter().find(|(_, shift)| bytes >> shift > 0) else {
        return format!("{bytes} B");
    };
    let tenths = (u128::from(bytes) * 10) >> shift;
    match (tenths / 10, tenths % 10) {
        (whole, 0) => format!("{whole} {unit}"),
        (whole, tenth) => format!("{whole}.{tenth} {unit}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_rounded_down_to_a_tenth() {
        assert_eq!(bytes_in_words(0), "0 B");
        assert_eq!(bytes_in_words(1023), "1023 B");
        assert_eq!(bytes_in_words(1 << 20), "1 MiB");
        assert_eq!(bytes_in_words(1_600), "1.5 KiB");
        assert_eq!(bytes_in_words(u64::MAX), "16777215.9 TiB");
    }
}
