//! What is shown while it runs: a bar on a terminal, else a line now and then.

use std::io::{IsTerminal as _, Write as _};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use tailwater_engine::Progress;

use super::words::{lines_in_words, number_in_words, time_in_words};
use crate::check::bytes_in_words;

/// How often a line is printed where there is no terminal.
const LINE_INTERVAL: Duration = Duration::from_secs(10);

/// What is shown of a run.
#[derive(Debug)]
pub(super) struct Display {
    form: Form,
    started: Instant,
}

#[derive(Debug)]
enum Form {
    Nothing,
    Bar(ProgressBar),
    /// With the time of the last one.
    Lines(Instant),
}

impl Display {
    /// Begins, at `now`.
    pub(super) fn new(is_wanted: bool, now: Instant) -> Self {
        let form = match (is_wanted, std::io::stderr().is_terminal()) {
            (false, _) => Form::Nothing,
            (true, true) => Form::Bar(bar()),
            (true, false) => Form::Lines(now),
        };
        Self { form, started: now }
    }

    /// Shows how far it is, where that is due.
    pub(super) fn show(&mut self, progress: &Progress, undelivered: u64, now: Instant) {
        let text = || {
            let elapsed = now.saturating_duration_since(self.started);
            words(progress, undelivered, elapsed)
        };
        match &mut self.form {
            Form::Nothing => {}
            Form::Bar(bar) => {
                bar.set_length(progress.raw_len);
                bar.set_position(progress.raw_bytes);
                bar.set_message(text());
            }
            Form::Lines(last) => {
                if now.saturating_duration_since(*last) >= LINE_INTERVAL {
                    let text = text();
                    *last = now;
                    // Nothing is left to tell where nobody reads.
                    writeln!(std::io::stderr().lock(), "{text}").ok();
                }
            }
        }
    }

    /// Takes the bar away.
    pub(super) fn end(self) {
        if let Form::Bar(bar) = self.form {
            bar.finish_and_clear();
        }
    }
}

fn bar() -> ProgressBar {
    let bar = ProgressBar::new(0);
    if let Ok(style) = ProgressStyle::with_template("{wide_bar} {percent:>3}%\n{msg}") {
        bar.set_style(style);
    }
    bar
}

/// Says how far it is, on one line.
fn words(progress: &Progress, undelivered: u64, elapsed: Duration) -> String {
    let seconds = u64::try_from(elapsed.as_millis())
        .unwrap_or(u64::MAX)
        .max(1);
    let per_second = |count: u64| count.saturating_mul(1000) / seconds;
    let left = match left(progress, elapsed) {
        Some(left) => format!(", {} left", time_in_words(left)),
        None => String::new(),
    };
    format!(
        "{} of {}, {} of {} files, {}, {} not yet acknowledged, {}/s, {}/s{left}",
        bytes_in_words(progress.raw_bytes),
        bytes_in_words(progress.raw_len),
        progress.files_done,
        progress.files,
        lines_in_words(progress.lines_read),
        number_in_words(undelivered),
        bytes_in_words(per_second(progress.decoded_bytes)),
        lines_in_words(per_second(progress.lines_read)),
    )
}

/// Returns how long the rest takes if it is as fast as what was done.
fn left(progress: &Progress, elapsed: Duration) -> Option<Duration> {
    let left = progress.raw_len.checked_sub(progress.raw_bytes)?;
    let milliseconds = elapsed.as_millis().checked_mul(u128::from(left))?;
    let milliseconds = milliseconds.checked_div(u128::from(progress.raw_bytes))?;
    u64::try_from(milliseconds).ok().map(Duration::from_millis)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_how_far_it_is_how_fast_and_how_long_it_takes() {
        let progress = Progress {
            raw_bytes: 1 << 20,
            raw_len: 3 << 20,
            decoded_bytes: 20 << 20,
            lines_read: 100_000,
            files_done: 2,
            files: 6,
        };
        assert_eq!(
            words(&progress, 7, Duration::from_secs(10)),
            "1 MiB of 3 MiB, 2 of 6 files, 100,000 lines, 7 not yet acknowledged, 2 MiB/s, 10,000 lines/s, 20s left"
        );
    }

    #[test]
    fn at_the_beginning_nobody_knows_how_long_it_takes() {
        let progress = Progress {
            raw_len: 100,
            ..Progress::default()
        };
        assert_eq!(left(&progress, Duration::from_secs(1)), None);
        assert!(words(&progress, 0, Duration::ZERO).ends_with("0 lines/s"));
    }
}
