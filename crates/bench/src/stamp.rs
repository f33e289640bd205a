//! Lines that carry when they were written: `tw1 <file> <monotonic ns> <rest>`.

const MARK: &[u8] = b"tw1 ";

/// What a stamped line says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stamp {
    /// Which of the measurement's files it was appended to.
    pub file_index: u32,
    /// When, on the machine's monotonic clock.
    pub written_ns: u64,
}

impl Stamp {
    /// Appends the start of a stamped line to `line`.
    pub(crate) fn put(self, line: &mut Vec<u8>) {
        line.extend_from_slice(MARK);
        line.extend_from_slice(self.file_index.to_string().as_bytes());
        line.push(b' ');
        line.extend_from_slice(self.written_ns.to_string().as_bytes());
        line.push(b' ');
    }

    /// Reads the stamp of `line`; `None` when it carries none.
    pub(crate) fn of(line: &[u8]) -> Option<Self> {
        let mut fields = line.strip_prefix(MARK)?.splitn(3, |byte| *byte == b' ');
        let file_index = decimal(fields.next()?)?;
        let written_ns = decimal(fields.next()?)?;
        fields.next()?;
        Some(Self {
            file_index: u32::try_from(file_index).ok()?,
            written_ns,
        })
    }
}

fn decimal(digits: &[u8]) -> Option<u64> {
    std::str::from_utf8(digits).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stamp_is_read_back_from_its_line() {
        let stamp = Stamp {
            file_index: 999,
            written_ns: 123_456_789_012,
        };
        let mut line = Vec::new();
        stamp.put(&mut line);
        line.extend_from_slice(b"GET / 200");
        assert_eq!(Stamp::of(&line), Some(stamp));
    }

    #[test]
    fn a_line_without_a_whole_stamp_carries_none() {
        for line in [
            "",
            "tw1 ",
            "tw1 1",
            "tw1 1 2",
            "tw1 a 2 x",
            "tw1 1 99999999999999999999 x",
        ] {
            assert_eq!(Stamp::of(line.as_bytes()), None, "{line}");
        }
    }
}
