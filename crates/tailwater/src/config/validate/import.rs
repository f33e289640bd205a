//! The positions of another agent to begin with.

use std::path::PathBuf;

use tailwater_position_store::promtail::OnInvalid;
use tailwater_yaml::{Checker, KeyPath};

use crate::config::ImportConfig;

/// Checks which positions file is imported; `None` where none is.
pub(super) fn check(
    checker: &mut Checker<'_>,
    path: Option<PathBuf>,
    ignore_invalid: bool,
) -> Option<ImportConfig> {
    let Some(path) = path else {
        if ignore_invalid {
            checker.fail(
                &KeyPath::default().key("import_positions_ignore_invalid"),
                "`import_positions_ignore_invalid` is set, and `import_positions` is not",
                "name the positions file, or leave both out",
            );
        }
        return None;
    };
    if path.as_os_str().is_empty() {
        checker.fail(
            &KeyPath::default().key("import_positions"),
            "`import_positions` is empty",
            "name Promtail's positions file, or leave it out",
        );
        return None;
    }
    let on_invalid = if ignore_invalid {
        OnInvalid::TakeAsEmpty
    } else {
        OnInvalid::Refuse
    };
    Some(ImportConfig { path, on_invalid })
}
