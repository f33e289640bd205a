//! How grave a record is: who wants to know it, and how it is sent.

use tailwater_record::{Level, Severity};

use crate::config::{Keep, SeverityForm};

/// What is asked of the severity of a source's records on their way to one lane.
#[derive(Clone, Copy, Debug)]
pub(super) struct Grading<'a> {
    form: SeverityForm,
    /// The levels whose records are dropped last, if any are.
    keep: Option<&'a Keep>,
}

impl<'a> Grading<'a> {
    pub(super) fn new(form: SeverityForm, keep: &'a Keep) -> Self {
        Self {
            form,
            keep: Some(keep).filter(|keep| !keep.is_empty()),
        }
    }

    /// Returns the severity that a stage has set, or the one that the line says it has: lines are looked at
    /// only where somebody asks.
    pub(super) fn grade(&self, set: Option<Severity>, line: &[u8]) -> Option<Severity> {
        if self.form == SeverityForm::None && self.keep.is_none() {
            return set;
        }
        set.or_else(|| Level::detect(line).map(Severity::from))
    }

    /// Returns whether a record is dropped last; nothing where none is.
    pub(super) fn is_kept(&self, severity: Option<Severity>) -> Option<bool> {
        let keep = self.keep?;
        Some(severity.is_some_and(|severity| keep.holds(severity.level())))
    }

    /// Returns the level that is sent as a label.
    pub(super) fn label(&self, severity: Option<Severity>) -> Option<Level> {
        let severity = severity.filter(|_| self.form == SeverityForm::Label)?;
        Some(severity.level())
    }

    /// Returns the severity that is sent as structured metadata.
    pub(super) fn metadata(&self, severity: Option<Severity>) -> Option<Severity> {
        severity.filter(|_| self.form == SeverityForm::StructuredMetadata)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WARN: Option<Severity> = Severity::new(14);

    #[test]
    fn a_line_is_looked_at_only_where_somebody_asks_and_no_stage_has() {
        let (none, keep) = (Keep::default(), Keep::new([Level::Error]));
        for (form, keep, found) in [
            (SeverityForm::None, &none, None),
            (
                SeverityForm::None,
                &keep,
                Some(Severity::from(Level::Error)),
            ),
            (
                SeverityForm::Label,
                &none,
                Some(Severity::from(Level::Error)),
            ),
        ] {
            let grading = Grading::new(form, keep);
            assert_eq!(grading.grade(None, b"ERROR: x"), found);
            assert_eq!(grading.grade(WARN, b"ERROR: x"), WARN);
        }
    }

    #[test]
    fn what_is_kept_goes_by_the_severity() {
        let keep = Keep::new([Level::Warn]);
        let grading = Grading::new(SeverityForm::None, &keep);
        let is_kept = |set, line: &[u8]| grading.is_kept(grading.grade(set, line));
        assert_eq!(is_kept(WARN, b"INFO x"), Some(true));
        assert_eq!(is_kept(Severity::new(9), b"ERROR x"), Some(false));
        assert_eq!(is_kept(None, b"ERROR x"), Some(true));
        assert_eq!(is_kept(None, b"x"), Some(false));
        let nothing = Keep::default();
        assert_eq!(
            Grading::new(SeverityForm::None, &nothing).is_kept(WARN),
            None
        );
    }
}
