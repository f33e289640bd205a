//! Journals and intents of released versions open forever, and this version writes what it is documented to.

#![expect(clippy::unwrap_used, reason = "tests")]

mod support;

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::sync::Arc;

use tailwater_durable::frame::{FrameReader, Scanned};
use tailwater_durable::{CrashStorage, Storage};
use tailwater_position_store::{FileKey, Intent, IntentLimits, IntentSpan, Intents};
use tailwater_record::Marker;

use support::{Offsets, identity, offsets, open_on, position};

const NAME: &str = "positions-00000000000000000002.journal";
const V1: &[u8] = include_bytes!("fixtures/positions/v1/positions-00000000000000000002.journal");

const INTENTS_NAME: &str = "intents-00000000000000000002.journal";
const INTENTS_V1: &[u8] =
    include_bytes!("fixtures/intents/v1/intents-00000000000000000002.journal");

/// What the journal of each version holds.
fn expected() -> Offsets {
    let cursor = |key, sink: &str| (FileKey(key), sink.to_owned());
    Offsets::from([
        (cursor(1, "audit"), 40),
        (cursor(1, "central"), 10),
        (cursor(3, "central"), 300),
    ])
}

/// A generation with a snapshot, a position, a step back, a path that is not UTF-8, a forgotten file,
/// a note that stays and one that is removed.
fn written() -> Vec<u8> {
    let storage = CrashStorage::new();
    let (mut store, mut journal, _) = open_on(&storage).unwrap();
    let first = store
        .insert(identity(11, b"one"), Path::new("/var/log/a.log"), 5)
        .unwrap();
    let second = store
        .insert(identity(12, b"two"), Path::new("/var/log/b.log"), 5)
        .unwrap();
    store.set_position(first, "central", position(100), 6);
    store.set_position(first, "audit", position(40), 6);
    store.set_position(second, "central", position(200), 6);
    store.set_note("books", b"\x01\x02\x03").unwrap();
    store.set_note("spill", b"").unwrap();
    journal.append(&store.take_group().unwrap()).unwrap();
    journal.compact(&store.snapshot()).unwrap();
    let path = Path::new(OsStr::from_bytes(b"/var/log/\xff.log"));
    let third = store.insert(identity(13, b""), path, 7).unwrap();
    store.set_position(third, "central", position(300), 8);
    store.forget(second);
    journal.append(&store.take_group().unwrap()).unwrap();
    store.set_position(first, "central", position(10), 9);
    store.remove_note("spill");
    journal.append(&store.take_group().unwrap()).unwrap();
    storage.live(NAME).unwrap()
}

#[test]
fn a_journal_of_version_1_opens() {
    let storage = CrashStorage::new();
    storage.plant(NAME, V1.to_vec());
    let (store, _, recovery) = open_on(&storage).unwrap();
    assert_eq!(offsets(&store), expected());
    for stored in store.files().flat_map(|file| &file.positions) {
        assert_eq!(stored.position, position(stored.position.offset));
    }
    let notes: Vec<_> = store.notes().collect();
    assert_eq!(notes, [("books", b"\x01\x02\x03".as_slice())]);
    assert_eq!((recovery.damaged_frames, recovery.unknown_frames), (0, 0));
    let third = store.get(FileKey(3)).unwrap();
    assert_eq!(third.path.as_os_str().as_bytes(), b"/var/log/\xff.log");
    assert_eq!((third.identity, third.updated_ns), (identity(13, b""), 8));
    assert_eq!(storage.list().unwrap(), [NAME]);
}

#[test]
fn this_version_writes_version_1_byte_by_byte() {
    assert_eq!(written(), V1);
}

#[test]
fn the_header_is_laid_out_as_documented() {
    assert_eq!(V1[..4], *b"TWF1");
    assert_eq!(V1[4..8], 36_u32.to_le_bytes());
    assert_eq!(V1[12], 1, "kind");
    assert_eq!(V1[13..17], 1_u32.to_le_bytes(), "version");
    assert_eq!(V1[17..25], 2_u64.to_le_bytes(), "generation");
    assert_eq!(V1[25..33], 6_u64.to_le_bytes(), "created");
    assert_eq!(V1[33..41], 3_u64.to_le_bytes(), "next key");
    assert_eq!(V1[41..49], 2_u64.to_le_bytes(), "files");
}

#[test]
fn a_file_record_is_laid_out_as_documented() {
    let record = &V1[49..];
    let path = b"/var/log/a.log";
    assert_eq!(record[12], 2, "kind");
    assert_eq!(record[13..21], 1_u64.to_le_bytes(), "key");
    assert_eq!(record[21..25], 0_u32.to_le_bytes(), "epoch");
    assert_eq!(record[25..33], 1_u64.to_le_bytes(), "device");
    assert_eq!(record[33..41], 11_u64.to_le_bytes(), "inode");
    let fingerprint = identity(11, b"one").fingerprint;
    assert_eq!(record[41..43], 3_u16.to_le_bytes(), "fingerprint length");
    assert_eq!(record[43..59], fingerprint.hash.to_le_bytes());
    assert_eq!(record[59..67], 6_u64.to_le_bytes(), "updated");
    assert_eq!(record[67..69], 14_u16.to_le_bytes(), "path length");
    assert_eq!(record[69..83], *path);
    let marker = position(100).marker;
    assert_eq!(record[83..91], 100_u64.to_le_bytes(), "offset");
    assert_eq!(record[91..93], marker.len.to_le_bytes());
    assert_eq!(record[93..101], marker.hash.to_le_bytes());
    assert_eq!(record[101], 2, "place");
    assert_eq!(record[102..104], 7_u16.to_le_bytes(), "sink length");
    assert_eq!(record[104..111], *b"central");
}

#[test]
fn notes_are_laid_out_as_documented() {
    let notes: Vec<&[u8]> = FrameReader::new(V1, 1000)
        .filter_map(|scanned| match scanned {
            Scanned::Frame(frame) if frame.kind == 6 => Some(frame.payload),
            Scanned::Frame(_) | Scanned::Damaged { .. } | Scanned::TornTail { .. } => None,
        })
        .collect();
    let expected: [&[u8]; 3] = [
        b"\x05\x00books\x01\x01\x02\x03",
        b"\x05\x00spill\x01",
        b"\x05\x00spill\x00",
    ];
    assert_eq!(notes, expected);
}

fn intent(batch: u64, spans: u64) -> Intent {
    let span = |number| IntentSpan {
        key: FileKey(0x11 + number),
        epoch: 0x22,
        start: 0x33 + number,
        end: 0x44 + number,
        marker: Marker {
            len: 0x99,
            hash: 0xaa,
        },
        place: 0x55,
        lines: 0x66,
        first_timestamp_ns: 0x77 + number,
        route: "".into(),
    };
    Intent {
        batch,
        sink: "central".into(),
        timestamp_step: 0x88,
        spans: (0..spans).map(span).collect(),
    }
}

/// A second generation: of three intents the first is resolved; one follows.
fn written_intents() -> Vec<u8> {
    let storage = CrashStorage::new();
    let open = || Intents::open(Arc::new(storage.clone()), IntentLimits::default()).unwrap();
    let (mut intents, _) = open();
    for batch in 1..=2 {
        intents.append(intent(batch, 1)).unwrap();
    }
    let (mut intents, _) = open();
    intents.resolve(1);
    intents.append(intent(3, 2)).unwrap();
    intents.append(intent(4, 0)).unwrap();
    storage.live(INTENTS_NAME).unwrap()
}

#[test]
fn intents_of_version_1_open() {
    let storage = CrashStorage::new();
    storage.plant(INTENTS_NAME, INTENTS_V1.to_vec());
    let (_, recovery) = Intents::open(Arc::new(storage), IntentLimits::default()).unwrap();
    assert_eq!(recovery.intents, [intent(2, 1), intent(3, 2), intent(4, 0)]);
    assert_eq!(recovery.next_batch, 5);
    assert_eq!((recovery.damaged_frames, recovery.torn_tail_bytes), (0, 0));
}

#[test]
fn this_version_writes_intents_of_version_1_byte_by_byte() {
    assert_eq!(written_intents(), INTENTS_V1);
}

#[test]
fn intents_are_laid_out_as_documented() {
    assert_eq!(INTENTS_V1[4..8], 20_u32.to_le_bytes());
    assert_eq!(INTENTS_V1[12], 1, "kind");
    assert_eq!(INTENTS_V1[13..17], 1_u32.to_le_bytes(), "version");
    assert_eq!(INTENTS_V1[17..25], 2_u64.to_le_bytes(), "generation");
    assert_eq!(INTENTS_V1[25..33], 4_u64.to_le_bytes(), "next batch");
    let record = &INTENTS_V1[33..];
    assert_eq!(record[4..8], 72_u32.to_le_bytes());
    assert_eq!(record[12], 2, "kind");
    assert_eq!(record[13..21], 2_u64.to_le_bytes(), "batch");
    assert_eq!(record[21..25], 0x88_u32.to_le_bytes(), "timestamp step");
    assert_eq!(record[25..27], 7_u16.to_le_bytes(), "sink length");
    assert_eq!(record[27..34], *b"central");
    assert_eq!(record[34..42], 0x11_u64.to_le_bytes(), "key");
    assert_eq!(record[42..46], 0x22_u32.to_le_bytes(), "epoch");
    assert_eq!(record[46..54], 0x33_u64.to_le_bytes(), "start");
    assert_eq!(record[54..62], 0x44_u64.to_le_bytes(), "end");
    assert_eq!(record[62..64], 0x99_u16.to_le_bytes(), "marker length");
    assert_eq!(record[64..72], 0xaa_u64.to_le_bytes(), "marker hash");
    assert_eq!(record[72], 0x55, "place");
    assert_eq!(record[73..77], 0x66_u32.to_le_bytes(), "records");
    assert_eq!(record[77..85], 0x77_u64.to_le_bytes(), "first timestamp");
    assert_eq!(record[85..89], *b"TWF1");
}

#[test]
fn intents_with_routes_are_laid_out_as_documented() {
    let storage = CrashStorage::new();
    let (mut intents, _) =
        Intents::open(Arc::new(storage.clone()), IntentLimits::default()).unwrap();
    let mut routed = intent(2, 3);
    let names = ["central/web", "", "central/app"];
    for (span, route) in routed.spans.iter_mut().zip(names) {
        span.route = route.into();
    }
    intents.append(routed.clone()).unwrap();
    let bytes = storage
        .live("intents-00000000000000000001.journal")
        .unwrap();
    assert_eq!(intents.len_bytes(), bytes.len() as u64);
    let record = &bytes[33..];
    assert_eq!(record[12], 3, "kind");
    assert_eq!(record[13..21], 2_u64.to_le_bytes(), "batch");
    assert_eq!(record[27..34], *b"central");
    assert_eq!(record[34..36], 3_u16.to_le_bytes(), "number of routes");
    assert_eq!(record[36..38], 0_u16.to_le_bytes(), "length of a route");
    assert_eq!(record[38..51], *b"\x0b\x00central/app");
    assert_eq!(record[51..64], *b"\x0b\x00central/web");
    assert_eq!(record[64..66], 2_u16.to_le_bytes(), "index of the route");
    assert_eq!(record[66..74], 0x11_u64.to_le_bytes(), "key");
    assert_eq!(
        record[117..119],
        0_u16.to_le_bytes(),
        "index of the next route"
    );
    let (_, recovery) = Intents::open(Arc::new(storage), IntentLimits::default()).unwrap();
    assert_eq!(recovery.intents, [routed]);
}
