//! From compressed bytes to decoded ones, member by member.

use std::ops::Range;

use zstd::zstd_safe;

use super::{Begins, Compression, Damage, MAX_XZ_BYTES, MAX_ZSTD_WINDOW_BITS};

/// The largest window of RFC 1951, as a power of two.
const WINDOW_BITS: u8 = 15;

/// What a decoder of gzip or zlib takes.
const DEFLATE_BYTES: u64 = 50_000;

/// What a decoder of bzip2 takes at most.
const BZIP2_BYTES: u64 = 4_000_000;

/// Decoded bytes that a decoder of bzip2 or xz makes at once.
const BLOCK_BYTES: usize = 64 * 1024;

/// Bytes of the header of a zstd block: RFC 8878, section 3.1.1.2.
const ZSTD_BLOCK_HEADER_BYTES: usize = 3;

/// `ZSTD_error_frameParameter_windowTooLarge` and `ZSTD_error_memory_allocation` of `zstd_errors.h`,
/// which does not change their numbers; a call returns them negated.
const ZSTD_TOO_LARGE: [usize; 2] = [16_usize.wrapping_neg(), 64_usize.wrapping_neg()];

/// Decodes a file that is handed to it piece by piece.
///
/// It keeps one window of decoded bytes, and no more however much the file stands for: 32 KiB of gzip and
/// zlib, 4 MB of bzip2, up to 128 MiB of zstd and 64 MiB of xz, as the file asks for.
pub struct Decoder {
    compression: Compression,
    /// `None` between two members.
    member: Option<Member>,
    has_finished_one: bool,
}

enum Member {
    Deflate(flate2::Decompress),
    Zstd(Zstd),
    Blocked(Blocked),
}

/// A decoder of one frame of zstd.
struct Zstd {
    context: zstd_safe::DCtx<'static>,
    /// Bytes that it can take before it decodes a block.
    wanted: usize,
    /// It may hold decoded bytes that had no room.
    is_holding: bool,
    taken: u64,
    made: u64,
}

/// A decoder of one stream of bzip2 or xz.
///
/// How many bytes their libraries make before they say that an input is damaged depends on the room that they are
/// given. What was delivered is found again by their number: so they decode to blocks, whatever room there is.
struct Blocked {
    codec: Codec,
    block: Box<[u8]>,
    /// What of the block is made and not handed out.
    held: Range<usize>,
    /// What follows it: whether the stream has ended, or the damage.
    then: Result<bool, Damage>,
    taken: u64,
    made: u64,
}

enum Codec {
    Bzip2(bzip2::Decompress),
    Xz(liblzma::stream::Stream),
}

/// What one step took and made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Decoded {
    /// Compressed bytes that were taken.
    pub taken: usize,
    /// Decoded bytes that were made. They stand, also where the rest is damaged.
    pub made: usize,
    /// Why nothing more can be decoded.
    pub damage: Option<Damage>,
}

impl std::fmt::Debug for Decoder {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut shown = formatter.debug_struct("Decoder");
        shown.field("compression", &self.compression);
        shown.finish_non_exhaustive()
    }
}

impl Decoder {
    /// Starts before the first byte of a file.
    pub fn new(compression: Compression) -> Self {
        Self {
            compression,
            member: None,
            has_finished_one: false,
        }
    }

    /// Returns whether the file may end here: after a member, and not before the first.
    pub fn is_after_a_member(&self) -> bool {
        self.member.is_none() && self.has_finished_one
    }

    /// Returns the memory that it takes, as far as it can be told: the most that the format may take else.
    pub(crate) fn memory_bytes(&self) -> u64 {
        match &self.member {
            None => 0,
            Some(Member::Deflate(_)) => DEFLATE_BYTES,
            Some(Member::Zstd(member)) => {
                u64::try_from(member.context.sizeof()).unwrap_or(u64::MAX)
            }
            Some(Member::Blocked(member)) => match member.codec {
                Codec::Bzip2(_) => BZIP2_BYTES,
                Codec::Xz(_) => MAX_XZ_BYTES,
            },
        }
    }

    /// Decodes a piece of `input` into a piece of `output`, which is not empty. A step of nothing means
    /// that more input is needed.
    pub fn step(&mut self, input: &[u8], output: &mut [u8]) -> Decoded {
        if self.member.is_none() {
            if input.is_empty() {
                return Decoded::default();
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
    fn step_between(&self, input: &[u8]) -> Option<Decoded> {
        let padding = input.iter().take_while(|byte| **byte == 0).count();
        if padding > 0 {
            let taken = padding;
            return Some(Decoded {
                taken,
                ..Decoded::default()
            });
        }
        match self.compression.begins(input) {
            Begins::Yes => None,
            Begins::Maybe => Some(Decoded::default()),
            Begins::No => Some(Decoded {
                damage: Some(Damage::TrailingBytes),
                ..Decoded::default()
            }),
        }
    }
}

impl Member {
    fn new(compression: Compression) -> Self {
        match compression {
            Compression::Gzip => Self::Deflate(flate2::Decompress::new_gzip(WINDOW_BITS)),
            Compression::Zlib => Self::Deflate(flate2::Decompress::new(true)),
            Compression::Bzip2 => {
                Self::Blocked(Blocked::new(Codec::Bzip2(bzip2::Decompress::new(false))))
            }
            Compression::Zstd => Self::Zstd(Zstd::new()),
            Compression::Xz => Self::Blocked(Blocked::new(Codec::Xz(
                liblzma::stream::Stream::new_stream_decoder(MAX_XZ_BYTES, 0)
                    .expect("without flags it can only lack memory, of which it takes little yet"),
            ))),
        }
    }

    /// Returns what was done, and whether the member has ended.
    fn decode(&mut self, input: &[u8], output: &mut [u8]) -> (Decoded, bool) {
        let (taken_before, made_before) = self.totals();
        // A dictionary that is asked for is an error too: a file has none.
        let is_end = match self {
            Self::Deflate(member) => member
                .decompress(input, output, flate2::FlushDecompress::None)
                .map(|status| status == flate2::Status::StreamEnd)
                .map_err(|_| Damage::Corrupt),
            Self::Zstd(member) => member.decode(input, output),
            Self::Blocked(member) => member.decode(input, output),
        };
        let (taken, made) = self.totals();
        let since = |before: u64, now: u64| {
            usize::try_from(now.saturating_sub(before)).unwrap_or(usize::MAX)
        };
        let step = Decoded {
            taken: since(taken_before, taken).min(input.len()),
            made: since(made_before, made).min(output.len()),
            damage: is_end.err(),
        };
        (step, is_end.unwrap_or(false))
    }

    fn totals(&self) -> (u64, u64) {
        match self {
            Self::Deflate(member) => (member.total_in(), member.total_out()),
            Self::Zstd(member) => (member.taken, member.made),
            Self::Blocked(member) => (member.taken, member.made),
        }
    }
}

impl Zstd {
    fn new() -> Self {
        let mut context = zstd_safe::DCtx::create();
        context
            .set_parameter(zstd_safe::DParameter::WindowLogMax(MAX_ZSTD_WINDOW_BITS))
            .expect("every build of zstd takes a window of this size");
        Self {
            context,
            wanted: 1,
            is_holding: false,
            taken: 0,
            made: 0,
        }
    }

    /// Decodes one block at most, so that damage behind it costs nothing of it: a call that fails does not
    /// tell what it has made before. Returns whether the frame has ended.
    fn decode(&mut self, input: &[u8], output: &mut [u8]) -> Result<bool, Damage> {
        if self.is_holding {
            let made = self.made;
            let is_end = self.call(&[], output)?;
            if is_end || self.made > made {
                return Ok(is_end);
            }
        }
        // It takes a number of calls without input for an error.
        if input.is_empty() {
            return Ok(false);
        }
        let wanted = self.wanted.saturating_sub(ZSTD_BLOCK_HEADER_BYTES).max(1);
        self.call(input.get(..wanted).unwrap_or(input), output)
    }

    fn call(&mut self, input: &[u8], output: &mut [u8]) -> Result<bool, Damage> {
        let mut input = zstd_safe::InBuffer::around(input);
        let mut output = zstd_safe::OutBuffer::around(output);
        let wanted = self.context.decompress_stream(&mut output, &mut input);
        self.taken = self.taken.saturating_add(input.pos() as u64);
        self.made = self.made.saturating_add(output.pos() as u64);
        self.is_holding = output.pos() == output.capacity();
        self.wanted = wanted.map_err(|code| {
            if ZSTD_TOO_LARGE.contains(&code) {
                Damage::WindowTooLarge
            } else {
                Damage::Corrupt
            }
        })?;
        Ok(self.wanted == 0)
    }
}

impl Blocked {
    fn new(codec: Codec) -> Self {
        Self {
            codec,
            block: vec![0; BLOCK_BYTES].into_boxed_slice(),
            held: 0..0,
            then: Ok(false),
            taken: 0,
            made: 0,
        }
    }

    /// Returns whether the stream has ended.
    fn decode(&mut self, input: &[u8], output: &mut [u8]) -> Result<bool, Damage> {
        if self.held.is_empty() {
            self.fill(input);
        }
        let held = self.block.get(self.held.clone()).unwrap_or_default();
        let len = held.len().min(output.len());
        if let (Some(target), Some(held)) = (output.get_mut(..len), held.get(..len)) {
            target.copy_from_slice(held);
        }
        self.held.start += len;
        self.made = self.made.saturating_add(len as u64);
        if self.held.is_empty() {
            self.then
        } else {
            Ok(false)
        }
    }

    /// Decodes on to the end of the block, or of the input.
    fn fill(&mut self, input: &[u8]) {
        if self.held.end == self.block.len() {
            self.held = 0..0;
        }
        let room = self.block.get_mut(self.held.end..).unwrap_or_default();
        let (taken, made) = self.codec.totals();
        self.then = self.codec.decode(input, room);
        let (taken_now, made_now) = self.codec.totals();
        self.taken = self.taken.saturating_add(taken_now.saturating_sub(taken));
        let made = usize::try_from(made_now.saturating_sub(made)).unwrap_or(usize::MAX);
        self.held.end = self.held.end.saturating_add(made).min(self.block.len());
    }
}

impl Codec {
    /// Returns whether the stream has ended.
    fn decode(&mut self, input: &[u8], output: &mut [u8]) -> Result<bool, Damage> {
        use liblzma::stream::{Action, Error, Status};
        match self {
            Self::Bzip2(stream) => stream
                .decompress(input, output)
                .map(|status| status == bzip2::Status::StreamEnd)
                .map_err(|_| Damage::Corrupt),
            Self::Xz(stream) => match stream.process(input, output, Action::Run) {
                Ok(status) => Ok(status == Status::StreamEnd),
                Err(Error::MemLimit | Error::Mem) => Err(Damage::WindowTooLarge),
                Err(_) => Err(Damage::Corrupt),
            },
        }
    }

    fn totals(&self) -> (u64, u64) {
        match self {
            Self::Bzip2(stream) => (stream.total_in(), stream.total_out()),
            Self::Xz(stream) => (stream.total_in(), stream.total_out()),
        }
    }
}
