//! Texts that must not be shown, and what is shown in their place.

/// Shorter values of variables are no secrets, and would be found in any text.
const MIN_HIDDEN_BYTES: usize = 4;

/// What was put in place of something else, so that it can be taken out of texts again.
#[derive(Debug, Default)]
pub struct Hidden {
    /// What is hidden, and what the file says in its place; the longest first.
    pairs: Vec<(String, String)>,
}

impl Hidden {
    /// Puts what the file says in place of what is hidden.
    pub fn hide(&self, text: &str) -> String {
        let hide_one =
            |text: String, (value, written): &(String, String)| text.replace(value, written);
        self.pairs.iter().fold(text.to_owned(), hide_one)
    }

    /// Hides `value`, for which the file says `written`. Values of less than 4 bytes are not hidden.
    pub fn add(&mut self, value: String, written: String) {
        let pair = (value, written);
        if pair.0.len() < MIN_HIDDEN_BYTES || self.pairs.contains(&pair) {
            return;
        }
        let at = self
            .pairs
            .partition_point(|(value, _)| value.len() >= pair.0.len());
        self.pairs.insert(at, pair);
    }
}
