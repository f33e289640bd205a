//! Archives: decoding ends, takes no more than it is given, and gives the same whatever room it has.

use tailwater_tailer::Compression;
use tailwater_tailer::archive::{Damage, Decoder};

use crate::input;

const FORMATS: [Compression; 5] = [
    Compression::Gzip,
    Compression::Zlib,
    Compression::Bzip2,
    Compression::Zstd,
    Compression::Xz,
];

/// Decoded bytes after which it is enough: a few kilobytes of input may stand for gigabytes.
const MAX_DECODED_BYTES: usize = 1 << 18;

/// What became of a file.
#[derive(Debug, PartialEq, Eq)]
struct Outcome {
    made: Vec<u8>,
    damage: Option<Damage>,
    is_whole: bool,
}

pub(crate) fn run(bytes: &[u8]) {
    let (format, rest) = input::choice(bytes, 5);
    let (input_piece, rest) = input::choice(rest, 255);
    let (output_piece, file) = input::choice(rest, 255);
    let Some(compression) = FORMATS.get(usize::from(format)) else {
        return;
    };
    let pieces = [usize::from(input_piece) + 1, usize::from(output_piece) + 1];
    let whole = decode(*compression, file, usize::MAX, 64 << 10);
    assert_alike(&whole, &decode(*compression, file, usize::MAX, pieces[1]));
    let fed = decode(*compression, file, pieces[0], pieces[1]);
    if *compression == Compression::Xz && whole.damage.is_some() && fed.damage.is_some() {
        // How soon liblzma sees damage depends on how much it sees at once.
        let len = whole.made.len().min(fed.made.len());
        assert_eq!(whole.made.get(..len), fed.made.get(..len));
    } else {
        assert_alike(&whole, &fed);
    }
    if whole.is_whole && whole.damage.is_none() && *compression != Compression::Zlib {
        assert_eq!(Compression::detect(file), Some(*compression));
    }
}

/// Asserts that the same was made, as far as both went.
fn assert_alike(whole: &Outcome, fed: &Outcome) {
    let len = whole.made.len().min(fed.made.len());
    assert_eq!(whole.made.get(..len), fed.made.get(..len));
    if len < MAX_DECODED_BYTES {
        assert_eq!((whole.damage, whole.is_whole), (fed.damage, fed.is_whole));
        assert_eq!(whole.made.len(), fed.made.len());
    }
}

/// Decodes a file that comes in pieces of so many bytes, into pieces of so many.
fn decode(
    compression: Compression,
    file: &[u8],
    input_piece: usize,
    output_piece: usize,
) -> Outcome {
    let mut decoder = Decoder::new(compression);
    let mut output = vec![0; output_piece];
    let mut made = Vec::new();
    let (mut start, mut end) = (0, input_piece.min(file.len()));
    let mut damage = None;
    while damage.is_none() && made.len() < MAX_DECODED_BYTES {
        let input = file.get(start..end).unwrap_or_default();
        let step = decoder.step(input, &mut output);
        assert!(step.taken <= input.len(), "it takes what it was not given");
        made.extend(output.get(..step.made).expect("it makes what fits"));
        start += step.taken;
        damage = step.damage;
        let is_idle = step.taken == 0 && step.made == 0 && damage.is_none();
        if is_idle && end == file.len() {
            break;
        }
        // A magic is looked at whole.
        assert!(
            !is_idle || input.len() < input_piece.max(6),
            "it rests at its input"
        );
        if is_idle || start == end {
            end = end.saturating_add(input_piece).min(file.len());
        }
    }
    Outcome {
        made,
        damage,
        is_whole: decoder.is_after_a_member() && start == file.len(),
    }
}
