//! `#`, `##`, `%` and `%%`: what a pattern with `*` and `?` matches is cut off.

/// Which end is cut, and how much of it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Trim {
    is_at_start: bool,
    is_longest: bool,
}

impl Trim {
    pub(super) const SHORTEST_START: Self = Self::new(true, false);
    pub(super) const LONGEST_START: Self = Self::new(true, true);
    pub(super) const SHORTEST_END: Self = Self::new(false, false);
    pub(super) const LONGEST_END: Self = Self::new(false, true);

    const fn new(is_at_start: bool, is_longest: bool) -> Self {
        Self {
            is_at_start,
            is_longest,
        }
    }

    /// Cuts what the pattern matches off the value.
    pub(super) fn of(self, value: &str, pattern: &str) -> String {
        let mut cuts: Vec<usize> = value.char_indices().map(|(at, _)| at).collect();
        cuts.push(value.len());
        // From the shortest match to the longest.
        if self.is_at_start == self.is_longest {
            cuts.reverse();
        }
        for cut in cuts {
            let Some((before, after)) = value.split_at_checked(cut) else {
                continue;
            };
            let (matched, kept) = if self.is_at_start {
                (before, after)
            } else {
                (after, before)
            };
            if is_match(pattern, matched) {
                return kept.to_owned();
            }
        }
        value.to_owned()
    }
}

/// Returns whether the pattern matches the whole text: `*` any letters, `?` any one.
fn is_match(pattern: &str, text: &str) -> bool {
    let mut pattern = pattern.chars();
    let mut text = text.chars();
    // Where the last `*` goes on when what follows it does not fit.
    let mut retry: Option<(std::str::Chars<'_>, std::str::Chars<'_>)> = None;
    loop {
        let before = (pattern.clone(), text.clone());
        match (pattern.next(), text.next()) {
            (None, None) => return true,
            (Some('*'), _) => {
                text = before.1;
                retry = Some((pattern.clone(), text.clone()));
            }
            (Some('?'), Some(_)) => {}
            (Some(wanted), Some(found)) if wanted == found => {}
            _ => {
                let Some((after, mut skipped)) = retry.take() else {
                    return false;
                };
                if skipped.next().is_none() {
                    return false;
                }
                pattern = after.clone();
                text = skipped.clone();
                retry = Some((after, skipped));
            }
        }
    }
}
