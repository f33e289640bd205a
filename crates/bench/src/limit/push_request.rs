//! Loki's `PushRequest`, written by hand: one stream whose entries are a timestamp and a line.

/// Bytes kept free in front of the stream for its tag and length, which are known last.
const STREAM_HEAD_BYTES: usize = 11;
const STREAMS: u8 = 0x0a;
const STREAM_LABELS: u8 = 0x0a;
const STREAM_ENTRIES: u8 = 0x12;
const ENTRY_TIMESTAMP: u8 = 0x0a;
const ENTRY_LINE: u8 = 0x12;
const TIMESTAMP_SECONDS: u8 = 0x08;
const TIMESTAMP_NANOS: u8 = 0x10;

/// A push request that grows by one entry at a time, in memory it keeps for the next.
#[derive(Debug)]
pub(crate) struct PushRequest {
    /// Room for the stream's head, then the stream's labels, then its entries.
    body: Vec<u8>,
    /// Where the entries start.
    entries_start: usize,
}

impl PushRequest {
    /// An empty request for the stream of `labels`, in Loki's syntax.
    pub(crate) fn new(labels: &str) -> Self {
        let mut body = vec![0; STREAM_HEAD_BYTES];
        body.push(STREAM_LABELS);
        put_varint(&mut body, labels.len());
        body.extend_from_slice(labels.as_bytes());
        let entries_start = body.len();
        Self {
            body,
            entries_start,
        }
    }

    /// Bytes of the entries so far.
    pub(crate) fn entry_bytes(&self) -> usize {
        self.body.len() - self.entries_start
    }

    /// Adds one line.
    pub(crate) fn add(&mut self, unix_ns: u64, line: &[u8]) {
        let (seconds, nanos) = (unix_ns / 1_000_000_000, unix_ns % 1_000_000_000);
        let timestamp_bytes = 2 + varint_bytes(seconds) + varint_bytes(nanos);
        let entry_bytes = 2 + timestamp_bytes + 1 + varint_bytes(wide(line.len())) + line.len();
        self.body.push(STREAM_ENTRIES);
        put_varint(&mut self.body, entry_bytes);
        self.body.push(ENTRY_TIMESTAMP);
        put_varint(&mut self.body, timestamp_bytes);
        self.body.push(TIMESTAMP_SECONDS);
        put_varint_u64(&mut self.body, seconds);
        self.body.push(TIMESTAMP_NANOS);
        put_varint_u64(&mut self.body, nanos);
        self.body.push(ENTRY_LINE);
        put_varint(&mut self.body, line.len());
        self.body.extend_from_slice(line);
    }

    /// Closes the request and returns its bytes.
    pub(crate) fn seal(&mut self) -> &[u8] {
        let mut head = vec![STREAMS];
        put_varint(&mut head, self.body.len() - STREAM_HEAD_BYTES);
        let start = STREAM_HEAD_BYTES - head.len();
        if let Some(room) = self.body.get_mut(start..STREAM_HEAD_BYTES) {
            room.copy_from_slice(&head);
        }
        self.body.get(start..).unwrap_or_default()
    }

    /// Forgets the entries.
    pub(crate) fn clear(&mut self) {
        self.body.truncate(self.entries_start);
    }
}

fn wide(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}

fn varint_bytes(value: u64) -> usize {
    let bits = 64 - (value | 1).leading_zeros();
    usize::try_from(bits.div_ceil(7)).unwrap_or(10)
}

fn put_varint(out: &mut Vec<u8>, value: usize) {
    put_varint_u64(out, wide(value));
}

fn put_varint_u64(out: &mut Vec<u8>, value: u64) {
    let mut rest = value;
    while rest >= 0x80 {
        out.push(u8::try_from(rest & 0x7f).unwrap_or(0) | 0x80);
        rest >>= 7;
    }
    out.push(u8::try_from(rest).unwrap_or(0));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::receiver::decode::for_each_line;

    fn decoded(request: &mut PushRequest) -> Vec<Vec<u8>> {
        let mut lines = Vec::new();
        for_each_line(request.seal(), |line| lines.push(line.to_vec())).unwrap();
        lines
    }

    #[test]
    fn bytes_are_those_of_the_protocol() {
        let mut request = PushRequest::new("{a=\"b\"}");
        request.add(1_500_000_000_300, b"hi");
        let expected: &[u8] = &[
            0x0a, 23, // streams[0]
            0x0a, 7, b'{', b'a', b'=', b'"', b'b', b'"', b'}', // labels
            0x12, 12, // entries[0]
            0x0a, 6, 0x08, 0xdc, 0x0b, 0x10, 0xac, 0x02, // timestamp: 1500 s, 300 ns
            0x12, 2, b'h', b'i', // line
        ];
        assert_eq!(request.seal(), expected);
    }

    #[test]
    fn what_the_limit_program_sends_the_receiver_reads() {
        let mut request = PushRequest::new("{job=\"bench\"}");
        let lines: Vec<Vec<u8>> = [0, 1, 126, 127, 128, 16_383, 16_384, 3_000_000]
            .map(|len| vec![b'x'; len])
            .to_vec();
        for line in &lines {
            request.add(u64::MAX, line);
        }
        assert_eq!(decoded(&mut request), lines);
    }

    #[test]
    fn a_cleared_request_holds_nothing_of_the_last_one() {
        let mut request = PushRequest::new("{job=\"bench\"}");
        request.add(1, b"first");
        assert_eq!(decoded(&mut request), [b"first"]);
        request.clear();
        assert_eq!(request.entry_bytes(), 0);
        request.add(2, b"second");
        assert_eq!(decoded(&mut request), [b"second"]);
    }

    #[test]
    fn varint_sizes_are_those_written() {
        for shift in 0..64 {
            for value in [(1_u64 << shift) - 1, 1_u64 << shift, u64::MAX >> shift] {
                let mut out = Vec::new();
                put_varint_u64(&mut out, value);
                assert_eq!(out.len(), varint_bytes(value), "{value}");
            }
        }
    }
}
