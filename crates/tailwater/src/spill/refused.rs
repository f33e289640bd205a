//! How many records of some logs were refused for good, and are kept.

use std::path::Path;

use tailwater_engine::envelope::Envelope;

use super::look;
use super::place::{Kind, Place};

/// Returns how many records a data directory keeps as dead letters of the paths that are meant. What is
/// damaged does not count.
///
/// # Errors
/// The dead letters cannot be looked at.
pub(crate) fn dead_letters_of(
    data_dir: &Path,
    is_meant: impl Fn(&Path) -> bool,
) -> anyhow::Result<u64> {
    let mut kept = 0_u64;
    let places = Place::all_below(data_dir)?.into_iter();
    for place in places.filter(|place| place.kind == Kind::DeadLetters) {
        let storage = look::open(&place)?;
        look::frames(&place, &storage, |payload| {
            let Ok((envelope, _)) = Envelope::decode(payload) else {
                return Ok(());
            };
            let spans = envelope.spans.iter();
            let meant = spans.filter(|span| is_meant(&span.path));
            let records = meant.map(|span| u64::from(span.records)).sum::<u64>();
            kept += records.min(envelope.records());
            Ok(())
        })?;
    }
    Ok(kept)
}
