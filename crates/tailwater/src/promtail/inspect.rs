//! `-inspect`: what each stage does to each line, on the standard error.

use std::fmt::Write as _;
use std::io::Write as _;
use std::sync::Arc;

use tailwater_stages::{Change, Fate, Inspector};

use super::harmless;
use crate::config::Config;

/// Lets the stages of every source print what they do.
pub(super) fn inspect(config: &mut Config) {
    let inspector: Arc<dyn Inspector> = Arc::new(Printer);
    for source in &mut config.engine.sources {
        let stages = source.stages.take();
        source.stages = stages.map(|stages| Arc::new(stages.inspected(&inspector)));
    }
}

#[derive(Debug)]
struct Printer;

impl Inspector for Printer {
    fn step(&self, stage: &str, changes: &[Change], fate: Fate) {
        let text = step(stage, changes, fate);
        // Nothing is left to tell where the terminal is gone.
        std::io::stderr().lock().write_all(text.as_bytes()).ok();
    }
}

fn step(stage: &str, changes: &[Change], fate: Fate) -> String {
    let fate = match fate {
        Fate::GoesOn if changes.is_empty() => "none",
        Fate::GoesOn => "",
        Fate::IsDropped => "dropped",
        Fate::IsHeld => "held",
    };
    let mut text = format!("[inspect: {stage} stage]: {fate}\n");
    for change in changes {
        writeln!(text, "{{stages.Entry}}.{}:", change.what).expect("a string takes every write");
        for (sign, value) in [("-", &change.before), ("+", &change.after)] {
            if let Some(value) = value {
                let value = harmless(value);
                writeln!(text, "\t{sign}: {value}").expect("a string takes every write");
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(what: &str, before: Option<&str>, after: Option<&str>) -> Change {
        Change {
            what: what.to_owned(),
            before: before.map(str::to_owned),
            after: after.map(str::to_owned),
        }
    }

    #[test]
    fn changes_are_printed_as_promtail_prints_them() {
        let changes = [
            change("Entry.Entry.Line", Some("a"), Some("b")),
            change("Extracted[\"x\"]", None, Some("1")),
        ];
        assert_eq!(
            step("regex", &changes, Fate::GoesOn),
            "[inspect: regex stage]: \n{stages.Entry}.Entry.Entry.Line:\n\t-: a\n\t+: b\n\
             {stages.Entry}.Extracted[\"x\"]:\n\t+: 1\n"
        );
    }

    #[test]
    fn a_stage_that_changes_nothing_says_so_and_one_that_drops_too() {
        assert_eq!(
            step("labels", &[], Fate::GoesOn),
            "[inspect: labels stage]: none\n"
        );
        assert_eq!(
            step("drop", &[], Fate::IsDropped),
            "[inspect: drop stage]: dropped\n"
        );
    }
}
