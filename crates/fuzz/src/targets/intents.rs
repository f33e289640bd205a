//! The files of intents: whatever stands there opens, and what is appended is found beside it.

use std::sync::Arc;

use tailwater_position_store::{Intent, IntentLimits, Intents};

use crate::files;

pub(crate) fn run(bytes: &[u8]) {
    let storage = files::plant(bytes, |number| format!("intents-{number:020}.journal"));
    let limits = IntentLimits {
        rotate_bytes: 4096,
        ..IntentLimits::default()
    };
    let open = || Intents::open(Arc::new(storage.clone()), limits).expect("no disk refuses");
    let (mut intents, recovery) = open();
    let numbers = recovery.intents.iter().map(|intent| intent.batch);
    assert!(numbers.clone().is_sorted());
    assert!(numbers.clone().all(|batch| batch < recovery.next_batch));
    if recovery.next_batch == u64::MAX {
        // The last number is none: nobody comes near it.
        return;
    }
    let found = recovery.intents.first();
    let intent = Intent {
        batch: recovery.next_batch,
        sink: "sink".into(),
        timestamp_step: 1,
        spans: found.map_or_else(Vec::new, |intent| intent.spans.clone()),
    };
    if intents.append(intent.clone()).is_ok() {
        let (_, recovery) = open();
        let is_found = recovery.intents.contains(&intent);
        assert!(is_found, "an intent that was written is not found");
    }
}
