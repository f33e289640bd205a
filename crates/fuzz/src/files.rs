//! Makes files of an input: frames whose checksums hold, and bytes as they come.
//!
//! | tag    | what follows                                                    |
//! |--------|-----------------------------------------------------------------|
//! | `0xff` | length u16, then bytes as they are                              |
//! | `0xfe` | nothing: the next file begins                                   |
//! | others | the kind of a frame; length u16, then the payload that is sealed |
//!
//! Lengths are little-endian; where fewer bytes are left, those are taken.

use tailwater_durable::{CrashStorage, frame};

const RAW: u8 = 0xff;
const NEXT_FILE: u8 = 0xfe;

/// Files of one directory at most.
const MAX_FILES: u64 = 8;

/// Plants the files of an input, named by their number from 1 on.
pub(crate) fn plant(input: &[u8], name: impl Fn(u64) -> String) -> CrashStorage {
    let storage = CrashStorage::new();
    let mut number = 1;
    let mut file = Vec::new();
    let mut rest = input;
    while let Some((tag, after)) = rest.split_first() {
        if *tag == NEXT_FILE && number < MAX_FILES {
            storage.plant(&name(number), std::mem::take(&mut file));
            number += 1;
            rest = after;
            continue;
        }
        let (body, after) = body(after);
        rest = after;
        if *tag == RAW {
            file.extend_from_slice(body);
        } else {
            frame::append(&mut file, *tag, body).expect("a length of 16 bits fits");
        }
    }
    storage.plant(&name(number), file);
    storage
}

fn body(input: &[u8]) -> (&[u8], &[u8]) {
    let Some((len, rest)) = input.split_first_chunk() else {
        return (input, &[]);
    };
    let len = usize::from(u16::from_le_bytes(*len));
    rest.split_at_checked(len).unwrap_or((rest, &[]))
}
