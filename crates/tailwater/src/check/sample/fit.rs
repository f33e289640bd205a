//! Which preset fits the lines of a file.

use std::fmt::Write as _;

use tailwater_presets::Preset;
use tailwater_record::TimestampNs;
use tailwater_stages::Expression;

use super::Rules;
use super::lines::{Line, Lines};
use super::pass::Entry;

/// Lines that each preset is tried on.
const MAX_LINES: usize = 2000;

/// A preset that fits less than this share of the entries fits by chance.
const MIN_PERCENT: usize = 50;

/// Presets that differ by no more than this fit equally well: some odd lines, or several lines that are one
/// entry for one of them, are no difference between formats.
const TIE_PERCENT: usize = 10;

/// Other presets that are named.
const MAX_RUNNERS_UP: usize = 3;

/// How well a preset fits.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fit {
    pub(super) preset: &'static Preset,
    /// Entries that begin as its entries do, and have a time.
    fitting: usize,
    entries: usize,
}

impl Fit {
    /// Returns the share of the entries that fit.
    pub(super) fn percent(&self) -> usize {
        (self.fitting * 100).checked_div(self.entries).unwrap_or(0)
    }
}

/// Tries all presets, the more specific ones first.
pub(super) fn all(lines: &Lines, now: TimestampNs) -> Vec<Fit> {
    let presets = tailwater_presets::all().iter();
    presets
        .filter_map(|preset| of(preset, lines, now))
        .collect()
}

fn of(preset: &'static Preset, lines: &Lines, now: TimestampNs) -> Option<Fit> {
    let rules = Rules::of_preset(preset).ok()?;
    let begins = rules.begins.as_ref()?;
    let entries = rules.pass(lines, MAX_LINES, now).entries;
    let fitting = entries
        .iter()
        .filter(|entry| entry.timestamp.is_some() && does_begin(entry, &lines.all, begins));
    Some(Fit {
        preset,
        fitting: fitting.count(),
        entries: entries.len(),
    })
}

/// Returns whether an entry begins as its lines say that one does.
pub(super) fn does_begin(entry: &Entry, lines: &[Line], begins: &Expression) -> bool {
    let first = lines.get(entry.first_line);
    first.is_some_and(|line| begins.is_match(&line.text))
}

/// Returns the best one: of those that fit equally well the most specific; `None` where none fits.
pub(super) fn best(fits: &[Fit]) -> Option<&Fit> {
    let most = fits.iter().map(Fit::percent).max()?;
    let is_best = |fit: &&Fit| fit.percent().saturating_add(TIE_PERCENT) >= most;
    let best = fits.iter().find(is_best)?;
    (most >= MIN_PERCENT).then_some(best)
}

/// Names the best ones but one, with their shares.
pub(super) fn runners_up(fits: &[Fit], best: Option<&Preset>) -> String {
    let others = fits
        .iter()
        .filter(|fit| fit.fitting > 0 && Some(fit.preset) != best);
    let mut others: Vec<&Fit> = others.collect();
    // Equal ones stay as they are: the more specific one first.
    others.sort_by_key(|fit| std::cmp::Reverse(fit.percent()));
    let mut text = String::new();
    for fit in others.into_iter().take(MAX_RUNNERS_UP) {
        let comma = if text.is_empty() { "" } else { ", " };
        write!(text, "{comma}{} {} %", fit.preset.name, fit.percent())
            .expect("a string takes every write");
    }
    text
}
