//! From compressed bytes to decoded ones, member by member.

use super::{Compression, Damage};

/// The largest window of RFC 1951, as a power of two.
const WINDOW_BITS: u8 = 15;

/// Decodes a file that is handed to it piece by piece.
pub(super) struct Decoder {
    compression: Compression,
    /// `None` between two members.
    member: Option<Member>,
    has_finished_one: bool,
}

enum Member {
    Deflate(flate2::Decompress),
    Bzip2(bzip2::Decompress),
}

/// What one step took and made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Step {
    pub(super) taken: usize,
    /// What was decoded stands, also where the rest is damaged.
    pub(super) made: usize,
    pub(super) damage: Option<Damage>,
}

impl std::fmt::Debug for Decoder {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut shown = formatter.debug_struct("Decoder");
        shown.field("compression", &self.compression);
        shown.finish_non_exhaustive()
    }
}

impl Decoder {
    pub(super) fn new(compression: Compression) -> Self {
        Self {
            compression,
            member: None,
            has_finished_one: false,
        }
    }

    /// Returns whether the file may end here: after a member, and not before the first.
    pub(super) fn is_after_a_member(&self) -> bool {
        self.member.is_none() && self.has_finished_one
    }

    /// Decodes a piece of `input` into a piece of `output`, which is not empty. A step of nothing means
    /// that more input is needed.
    pub(super) fn step(&mut self, input: &[u8], output: &mut [u8]) -> Step {
        if self.member.is_none() {
            if input.is_empty() {
                return Step::default();
            }
            if self.has_finished_one
                && let Some(step) = self.step_between(input)
            {
                return step;
            }
        }
        let compression = self.compression;
        let member = self.member.get_or_insert_with(|| Member::new(compression));
        let (step, is_end) = member.decode(input, output);
        if is_end {
            self.member = None;
            self.has_finished_one = true;
        }
        step
    }

    /// Looks at what follows a member; `None` where another one does.
    fn step_between(&self, input: &[u8]) -> Option<Step> {
        let padding = input.iter().take_while(|byte| **byte == 0).count();
        if padding > 0 {
            let taken = padding;
            return Some(Step {
                taken,
                ..Step::default()
            });
        }
        let magic: &[u8] = match self.compression {
            Compression::Gzip => b"\x1f\x8b",
            Compression::Bzip2 => b"BZh",
            // The format knows one stream and no more.
            Compression::Zlib => b"",
        };
        let begins_alike = input.iter().zip(magic).all(|(byte, magic)| byte == magic);
        if magic.is_empty() || !begins_alike {
            return Some(Step {
                damage: Some(Damage::TrailingBytes),
                ..Step::default()
            });
        }
        (input.len() < magic.len()).then(Step::default)
    }
}

impl Member {
    fn new(compression: Compression) -> Self {
        match compression {
            Compression::Gzip => Self::Deflate(flate2::Decompress::new_gzip(WINDOW_BITS)),
            Compression::Zlib => Self::Deflate(flate2::Decompress::new(true)),
            Compression::Bzip2 => Self::Bzip2(bzip2::Decompress::new(false)),
        }
    }

    /// Returns what was done, and whether the member has ended.
    fn decode(&mut self, input: &[u8], output: &mut [u8]) -> (Step, bool) {
        let (taken_before, made_before) = self.totals();
        // A dictionary that is asked for is an error too: a file has none.
        let is_end = match self {
            Self::Deflate(member) => member
                .decompress(input, output, flate2::FlushDecompress::None)
                .map(|status| status == flate2::Status::StreamEnd)
                .map_err(drop),
            Self::Bzip2(member) => member
                .decompress(input, output)
                .map(|status| status == bzip2::Status::StreamEnd)
                .map_err(drop),
        };
        let (taken, made) = self.totals();
        let since = |before: u64, now: u64| {
            usize::try_from(now.saturating_sub(before)).unwrap_or(usize::MAX)
        };
        let step = Step {
            taken: since(taken_before, taken).min(input.len()),
            made: since(made_before, made).min(output.len()),
            damage: is_end.is_err().then_some(Damage::Corrupt),
        };
        (step, is_end.unwrap_or(false))
    }

    fn totals(&self) -> (u64, u64) {
        match self {
            Self::Deflate(member) => (member.total_in(), member.total_out()),
            Self::Bzip2(member) => (member.total_in(), member.total_out()),
        }
    }
}
