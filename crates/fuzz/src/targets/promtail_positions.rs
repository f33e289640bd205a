//! Promtail's positions file: any bytes are read or refused, and what is read is written as it was.

use tailwater_position_store::promtail;

pub(crate) fn run(bytes: &[u8]) {
    match promtail::parse(bytes) {
        Ok(read) => {
            let written = promtail::render(&read.offsets);
            let again = promtail::parse(written.as_bytes()).expect("it was written by us");
            assert_eq!(again.offsets, read.offsets);
            assert!(again.refused.is_empty());
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}
