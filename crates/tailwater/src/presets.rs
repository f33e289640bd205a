//! Presets: what they say, and `tailwater presets`.

use std::io::{self, Write};

use serde::Deserialize;
use tailwater_presets::Preset;
use tailwater_stages::StageConfig;
use tailwater_yaml::{nearest, shape};

use crate::exit::{Failure, printed_whole};

/// The text of a preset.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PresetText {
    /// What writes such lines, in one line.
    pub summary: String,
    /// Globs of where such a file usually stands.
    pub paths: Vec<String>,
    /// An expression that the first line of an entry matches.
    pub begins: String,
    /// What becomes of a line.
    pub stages: Vec<StageConfig>,
}

/// Reads the text of a preset.
///
/// # Panics
/// Where a text that this binary holds is not what it must be; a test reads all of them.
pub fn read(preset: &Preset) -> PresetText {
    let tree = tailwater_yaml::read(preset.text).expect("a test reads every preset");
    shape::read(&tree).expect("a test reads every preset")
}

/// Finds a preset that the command line names.
///
/// # Errors
/// [`Failure::Usage`] names the nearest one.
pub(crate) fn named(name: &str) -> Result<&'static Preset, Failure> {
    tailwater_presets::find(name).ok_or_else(|| {
        let names: Vec<&str> = all_names().collect();
        let meant = nearest(name, &names).map_or_else(
            || ":".to_owned(),
            |meant| format!("; did you mean `{meant}`?"),
        );
        let name = name.escape_debug();
        Failure::Usage(format!(
            "there is no preset `{name}`{meant} `tailwater presets` lists them"
        ))
    })
}

/// Returns the names of all presets.
pub(crate) fn all_names() -> impl Iterator<Item = &'static str> {
    tailwater_presets::all().iter().map(|preset| preset.name)
}

/// `tailwater presets`: lists them, or prints the stages of one.
///
/// # Errors
/// [`Failure::Usage`] where there is none of the name, [`Failure::Runtime`] where nothing can be printed.
pub fn run(name: Option<&str>, out: &mut dyn Write) -> Result<(), Failure> {
    let printed = match name {
        Some(name) => print_stages(named(name)?, out),
        None => list(out),
    };
    printed_whole(printed)
}

fn list(out: &mut dyn Write) -> io::Result<()> {
    let width = all_names().map(str::len).max().unwrap_or(0);
    for preset in tailwater_presets::all() {
        writeln!(out, "{:width$}  {}", preset.name, preset.summary)?;
        for path in read(preset).paths {
            writeln!(out, "{:width$}    {path}", "")?;
        }
    }
    writeln!(
        out,
        "\n`preset: NAME` in a source takes one; `tailwater presets NAME` prints its stages, and\n\
         `tailwater check --sample FILE` says which one fits a file."
    )
}

/// Prints the stages as a source has them, so that they can be copied and changed.
fn print_stages(preset: &Preset, out: &mut dyn Write) -> io::Result<()> {
    let (_, stages) = preset.text.split_once("\nstages:\n").unwrap_or_default();
    writeln!(out, "# {}: {}", preset.name, preset.summary)?;
    write!(out, "stages:\n{stages}")
}
