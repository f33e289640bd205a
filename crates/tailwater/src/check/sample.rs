//! `tailwater check --sample`: what stages make of the first lines of a file.
//!
//! `lines` reads the file, `pass` sends the lines through stages, `fit` finds out which preset fits them,
//! `table` prints. What a file holds is shown to the person who asks, on the standard output, and
//! nowhere else.

mod fit;
mod lines;
mod pass;
mod table;

use std::io::{self, IsTerminal as _, Write};
use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use tailwater_engine::SourceConfig;
use tailwater_presets::Preset;
use tailwater_record::{LabelSet, TimestampNs};
use tailwater_stages::{Expression, Stages};
use tailwater_tailer::{Encoding, FrameConfig, OverLimit};
use tailwater_yaml::nearest;

use super::{bytes_in_words, printable};
use crate::config;
use crate::exit::{Failure, printed_whole};
use crate::presets;
use lines::Lines;
use pass::Pass;

/// Columns of what is no terminal, and does not say in `COLUMNS`.
const DEFAULT_WIDTH: usize = 120;

/// The frame of lines that no source reads: the defaults of a source.
const FRAME: FrameConfig = FrameConfig {
    max_line_bytes: 256 << 10,
    over_limit: OverLimit::Truncate,
    encoding: Encoding::Auto,
};

/// What is to be shown.
#[derive(Clone, Copy, Debug)]
pub struct Sample<'a> {
    /// The file whose first lines are read, packed or not.
    pub file: &'a Path,
    /// What becomes of the lines.
    pub by: By<'a>,
    /// Entries that are shown; all are counted.
    pub shown_entries: usize,
    /// Columns of the terminal.
    pub width: usize,
}

/// What becomes of the lines of a sample.
#[derive(Clone, Copy, Debug)]
pub enum By<'a> {
    /// What the preset that fits best makes of them.
    BestPreset,
    /// What a preset makes of them.
    Preset(&'a str),
    /// What a source of a configuration makes of them; the only one where none is named.
    Source(&'a Path, Option<&'a str>),
}

/// Returns the columns of the terminal that is printed to.
pub fn terminal_width() -> usize {
    let out = io::stdout();
    let size = out
        .is_terminal()
        .then(|| rustix::termios::tcgetwinsize(&out));
    let columns = size
        .and_then(Result::ok)
        .map(|size| usize::from(size.ws_col));
    let asked = || std::env::var("COLUMNS").ok()?.parse().ok();
    let columns = columns.filter(|columns| *columns > 0).or_else(asked);
    columns.unwrap_or(DEFAULT_WIDTH)
}

/// Shows what becomes of the first lines of a file, of which at most 1 MiB is read.
///
/// # Errors
/// [`Failure::Usage`] for names that are not there, [`Failure::Config`] for a configuration that is wrong,
/// [`Failure::Runtime`] where the file cannot be read, or nothing can be printed.
pub fn show(sample: &Sample<'_>, now: TimestampNs, out: &mut dyn Write) -> Result<(), Failure> {
    let printed = match sample.by {
        By::BestPreset => {
            let lines = read(sample, &FRAME)?;
            show_best(sample, &lines, now, out)
        }
        By::Preset(name) => {
            let preset = presets::named(name)?;
            let lines = read(sample, &FRAME)?;
            let rules = Rules::of_preset(preset)?;
            explain_file(sample, &lines, out).and_then(|()| {
                writeln!(out, "preset {}: {}\n", preset.name, preset.summary)?;
                rules.show(sample, &lines, now, out)
            })
        }
        By::Source(config, name) => {
            let config = config::load(config, None)?;
            let source = source_of(&config.engine.sources, name)?;
            let lines = read(sample, &source.frame)?;
            let rules = Rules::of_source(source, sample.file)?;
            explain_file(sample, &lines, out).and_then(|()| {
                writeln!(out, "source {}\n", source.name)?;
                rules.show(sample, &lines, now, out)
            })
        }
    };
    printed_whole(printed)
}

fn read(sample: &Sample<'_>, frame: &FrameConfig) -> Result<Lines, Failure> {
    let read = lines::read(sample.file, frame);
    read.with_context(|| format!("cannot read {}", printable(sample.file)))
        .map_err(Failure::Runtime)
}

fn source_of<'c>(
    sources: &'c [SourceConfig],
    name: Option<&str>,
) -> Result<&'c SourceConfig, Failure> {
    let names: Vec<&str> = sources.iter().map(|source| &*source.name).collect();
    let Some(name) = name else {
        return match sources {
            [source] => Ok(source),
            _ => Err(Failure::Usage(format!(
                "`--source` is missing: the configuration has {}",
                names.join(", ")
            ))),
        };
    };
    sources
        .iter()
        .find(|source| &*source.name == name)
        .ok_or_else(|| {
            let meant = nearest(name, &names)
                .map(|meant| format!("; did you mean `{meant}`?"))
                .unwrap_or_default();
            let name = name.escape_debug();
            Failure::Usage(format!("there is no source `{name}`{meant}"))
        })
}

/// What lines are sent through.
struct Rules {
    stages: Arc<Stages>,
    /// Of every line.
    labels: LabelSet,
    /// What the first line of an entry matches, where that is known.
    begins: Option<Expression>,
}

impl Rules {
    fn of_preset(preset: &Preset) -> Result<Self, Failure> {
        let text = presets::read(preset);
        let stages = Stages::compile(&text.stages).context("the preset cannot be used");
        let begins = Expression::new(&text.begins, "begins").context("the preset cannot be used");
        Ok(Self {
            stages: Arc::new(stages.map_err(Failure::Runtime)?),
            labels: no_labels()?,
            begins: Some(begins.map_err(Failure::Runtime)?),
        })
    }

    fn of_source(source: &SourceConfig, file: &Path) -> Result<Self, Failure> {
        let path = file.display().to_string();
        let path_label = source
            .path_label
            .as_deref()
            .map(|name| (name, path.as_str()));
        let own = source
            .labels
            .iter()
            .map(|(name, value)| (&**name, &**value));
        let labels = LabelSet::new(own.chain(path_label)).context("cannot make its labels");
        let stages = match &source.stages {
            Some(stages) => Arc::clone(stages),
            None => Arc::new(
                Stages::compile(&[])
                    .context("cannot run without stages")
                    .map_err(Failure::Runtime)?,
            ),
        };
        Ok(Self {
            stages,
            labels: labels.map_err(Failure::Runtime)?,
            begins: None,
        })
    }

    fn pass(&self, lines: &Lines, max_lines: usize, now: TimestampNs) -> Pass {
        let lines = lines.all.get(..max_lines).unwrap_or(&lines.all);
        pass::run(&self.stages, lines, &self.labels, now)
    }

    /// Shows what becomes of the lines.
    fn show(
        &self,
        sample: &Sample<'_>,
        lines: &Lines,
        now: TimestampNs,
        out: &mut dyn Write,
    ) -> io::Result<()> {
        let pass = self.pass(lines, usize::MAX, now);
        let shown = pass.entries.get(..sample.shown_entries);
        table::print(
            shown.unwrap_or(&pass.entries),
            &self.labels,
            sample.width,
            out,
        )?;
        table::summarize(&pass, lines, self.begins.as_ref(), out)
    }
}

fn no_labels() -> Result<LabelSet, Failure> {
    let none: [(&str, &str); 0] = [];
    let labels = LabelSet::new(none).context("cannot make labels");
    labels.map_err(Failure::Runtime)
}

/// Finds the preset that fits best, and shows what it makes of the lines.
fn show_best(
    sample: &Sample<'_>,
    lines: &Lines,
    now: TimestampNs,
    out: &mut dyn Write,
) -> io::Result<()> {
    explain_file(sample, lines, out)?;
    let fits = fit::all(lines, now);
    let Some(best) = fit::best(&fits) else {
        writeln!(out, "none of the {} presets fits", fits.len())?;
        let runners_up = fit::runners_up(&fits, None);
        if !runners_up.is_empty() {
            writeln!(out, "the nearest: {runners_up}")?;
        }
        return writeln!(
            out,
            "\n`--preset NAME` shows what one makes of it; `stages` of a source are for what has none:\n\
             `--config FILE --source NAME` shows what those make of it"
        );
    };
    let preset = best.preset;
    writeln!(out, "preset {}: {}", preset.name, preset.summary)?;
    let runners_up = fit::runners_up(&fits, Some(preset));
    let others = if runners_up.is_empty() {
        "no other one does".to_owned()
    } else {
        format!("then {runners_up}")
    };
    writeln!(
        out,
        "it fits {} % of the entries; {others}\n",
        best.percent()
    )?;
    let rules = Rules::of_preset(preset).map_err(io::Error::other)?;
    rules.show(sample, lines, now, out)
}

/// Says what was read of the file.
fn explain_file(sample: &Sample<'_>, lines: &Lines, out: &mut dyn Write) -> io::Result<()> {
    let path = printable(sample.file);
    let kind = lines
        .compression
        .map(|compression| format!(", {compression:?}").to_lowercase())
        .unwrap_or_default();
    let bytes = bytes_in_words(lines.bytes);
    let how_much = if lines.is_cut {
        format!("the first {bytes}")
    } else {
        format!("all {bytes}")
    };
    writeln!(out, "{path}{kind}, {how_much}")?;
    if let Some(damage) = lines.damage {
        writeln!(out, "damaged behind that: {}", damage.as_str())?;
    }
    Ok(())
}
