//! Bodies that wait on disk, in every format that a sink has written: taken apart, halved, thinned out.

use std::sync::{Arc, LazyLock};

use bytes::Bytes;
use tailwater_sink::Deliver;

use crate::input;

const WIRES: [&str; 4] = ["loki-protobuf-snappy", "loki-json-gzip", "ndjson", "text"];

static DECODERS: LazyLock<Vec<Arc<dyn Deliver>>> = LazyLock::new(|| {
    let decoder = |wire: &&str| tailwater::registry::decoder(wire).expect("a format of ours");
    WIRES.iter().map(decoder).collect()
});

pub(crate) fn run(bytes: &[u8]) {
    let (way, body) = input::choice(bytes, 4);
    let Some(sink) = DECODERS.get(usize::from(way)) else {
        return;
    };
    let body = Bytes::copy_from_slice(body);
    let Some(records) = count(&**sink, &body) else {
        // It is refused everywhere, or at least never a panic.
        drop(sink.split(&body, 1));
        drop(sink.retain(&body, &mut |_| true));
        return;
    };
    if records >= 2
        && let Ok((first, rest)) = sink.split(&body, records / 2)
    {
        assert_eq!(count(&**sink, &first), Some(records / 2));
        assert_eq!(count(&**sink, &rest), Some(records - records / 2));
    }
    if let Ok(Some(odd)) = sink.retain(&body, &mut |index| index % 2 == 1) {
        assert_eq!(count(&**sink, &odd), Some(records / 2));
    }
}

/// How many records a body holds; they are numbered from 0 on.
fn count(sink: &dyn Deliver, body: &Bytes) -> Option<u32> {
    let mut records = 0;
    let decoded = sink.decode(body, &mut |record| {
        assert_eq!(record.index, records);
        records += 1;
    });
    decoded.ok().map(|()| records)
}
