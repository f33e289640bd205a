//! The kinds of log that stages are measured on, and what becomes of their lines.

use crate::access_log::AccessLog;
use crate::random::Random;
use crate::tally::Tally;

const LEVELS: &[&str] = &["info", "debug", "warn", "error"];
const LOGGERS: &[&str] = &["shop.cart", "shop.orders", "shop.search", "auth", "mail"];
const STATUSES: &[&str] = &["200", "304", "404", "500", "503"];
const STREAMS: &[&str] = &["stdout", "stderr"];
const FRAMES: &[&str] = &[
    "org.apache.catalina.core.ApplicationFilterChain.doFilter(ApplicationFilterChain.java:",
    "com.example.shop.cart.CartService.checkout(CartService.java:",
    "org.springframework.web.servlet.DispatcherServlet.doDispatch(DispatcherServlet.java:",
    "java.base/java.util.concurrent.ThreadPoolExecutor.runWorker(ThreadPoolExecutor.java:",
];
/// Most lines of a stack trace, far below the bound of `multiline`.
const MAX_FRAMES: u32 = 24;

/// A kind of log, which the stages of its own fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// nginx's `combined`.
    Access,
    /// Objects of JSON, one a line, with an access log's line as the text.
    Json,
    /// An access log as a container runtime writes it.
    Cri,
    /// Java's log, a third of it with a stack trace.
    StackTraces,
}

impl Kind {
    pub(crate) const ALL: [Self; 4] = [Self::Access, Self::Json, Self::Cri, Self::StackTraces];

    /// The start of its corpus' file name.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Access => "access",
            Self::Json => "json",
            Self::Cri => "cri",
            Self::StackTraces => "stack-traces",
        }
    }

    /// The stages that are measured on it, as a list of YAML in one line.
    pub(crate) fn stages(self) -> &'static str {
        match self {
            Self::Access => concat!(
                r#"[{regex: {expression: '^(?P<ip>\S+) \S+ (?P<user>\S+) \[(?P<ts>[^\]]+)\] "#,
                r#""(?P<method>\S+) (?P<path>\S+) [^"]*" (?P<status>\d{3}) (?P<size>\d+)'}}, "#,
                r#"{labels: {method: "", status: ""}}, "#,
                r#"{timestamp: {source: ts, format: "02/Jan/2006:15:04:05 -0700"}}]"#
            ),
            Self::Json => concat!(
                r#"[{json: {expressions: {level: "", status: "", ts: time}}}, "#,
                r#"{labels: {level: "", status: ""}}, "#,
                r#"{timestamp: {source: ts, format: RFC3339}}]"#
            ),
            Self::Cri => r#"[{cri: {}}, {labels: {stream: ""}}]"#,
            Self::StackTraces => {
                r"[{multiline: {firstline: '^\d{4}-\d{2}-\d{2} ', max_wait_time: 1s}}]"
            }
        }
    }
}

/// An endless log; equal kinds and seeds give equal lines.
#[derive(Debug)]
pub(crate) struct Log {
    kind: Kind,
    access: AccessLog,
    random: Random,
    /// Microseconds since 2026-01-01.
    now_us: u64,
    text: Vec<u8>,
}

impl Log {
    /// Starts the log of `seed`.
    pub(crate) fn new(kind: Kind, seed: u64) -> Self {
        Self {
            kind,
            access: AccessLog::new(seed),
            random: Random::new(seed),
            now_us: 0,
            text: Vec::new(),
        }
    }

    /// Appends the next record to `out`, each of its lines with a newline.
    pub(crate) fn put_record(&mut self, out: &mut Vec<u8>) {
        match self.kind {
            Kind::Access => self.access.put_line(out),
            Kind::Json => self.put_json(out),
            Kind::Cri => {
                let time = self.time('T');
                let stream = self.random.skewed_choice(STREAMS);
                put(out, &format!("{time}123Z {stream} F "));
                self.access.put_line(out);
            }
            Kind::StackTraces => self.put_stack_trace(out),
        }
        out.push(b'\n');
    }

    fn put_json(&mut self, out: &mut Vec<u8>) {
        let time = self.time('T');
        let level = self.random.skewed_choice(LEVELS);
        let logger = self.random.choice(LOGGERS);
        put(
            out,
            &format!(r#"{{"time":"{time}Z","level":"{level}","logger":"{logger}","message":""#),
        );
        self.text.clear();
        self.access.put_line(&mut self.text);
        for byte in &self.text {
            if *byte == b'"' {
                out.push(b'\\');
            }
            out.push(*byte);
        }
        let status = self.random.skewed_choice(STATUSES);
        let (micros, host) = (self.random.below(1_000_000), self.random.below(200));
        let id = self.random.next_u64();
        put(
            out,
            &format!(
                r#"","status":{status},"duration_ms":{}.{:03},"host":{{"name":"web-{host}","zone":"b"}},"request_id":"{id:016x}"}}"#,
                micros / 1000,
                micros % 1000,
            ),
        );
    }

    fn put_stack_trace(&mut self, out: &mut Vec<u8>) {
        let time = self.time(' ');
        let level = self.random.skewed_choice(LEVELS);
        let order = self.random.next_u64();
        put(
            out,
            &format!("{time} {level} [main] com.example.shop.Cart - order {order:x} was taken"),
        );
        if self.random.below(3) != 0 {
            return;
        }
        put(out, "\njava.lang.IllegalStateException: cart is empty");
        for _ in 0..self.random.below(MAX_FRAMES) {
            let (frame, line) = (self.random.choice(FRAMES), self.random.below(2000));
            put(out, &format!("\n\tat {frame}{line})"));
        }
    }

    /// The next time, some microseconds after the last one.
    fn time(&mut self, separator: char) -> String {
        self.now_us += u64::from(self.random.below(2000));
        let (seconds, micros) = (self.now_us / 1_000_000, self.now_us % 1_000_000);
        let (hour, minute, second) = (seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
        let day = 1 + seconds / 86_400 % 28;
        format!("2026-01-{day:02}{separator}{hour:02}:{minute:02}:{second:02}.{micros:06}")
    }
}

fn put(out: &mut Vec<u8>, text: &str) {
    out.extend_from_slice(text.as_bytes());
}

/// Counts what the stages of a kind make of its lines.
#[derive(Debug)]
pub(crate) struct Made {
    kind: Kind,
    tally: Tally,
    /// The lines that are one record, as far as they are known.
    open: Vec<u8>,
}

impl Made {
    /// Starts without a line.
    pub(crate) fn new(kind: Kind) -> Self {
        Self {
            kind,
            tally: Tally::default(),
            open: Vec::new(),
        }
    }

    /// Takes the next line.
    pub(crate) fn add(&mut self, line: &[u8]) {
        match self.kind {
            Kind::Access | Kind::Json => self.tally.add(line),
            Kind::Cri => {
                let content = line.splitn(4, |byte| *byte == b' ').nth(3);
                self.tally.add(content.unwrap_or(line));
            }
            Kind::StackTraces => {
                if line.first().is_some_and(u8::is_ascii_digit) {
                    self.close();
                } else {
                    self.open.push(b'\n');
                }
                self.open.extend_from_slice(line);
            }
        }
    }

    /// Returns the tally of all records.
    pub(crate) fn finish(mut self) -> Tally {
        self.close();
        self.tally
    }

    fn close(&mut self) {
        if !self.open.is_empty() {
            self.tally.add(&self.open);
            self.open.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log(kind: Kind, seed: u64, records: usize) -> String {
        let (mut log, mut out) = (Log::new(kind, seed), Vec::new());
        (0..records).for_each(|_| log.put_record(&mut out));
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn equal_seeds_give_equal_lines() {
        for kind in Kind::ALL {
            assert_eq!(log(kind, 3, 50), log(kind, 3, 50));
            assert_ne!(log(kind, 3, 50), log(kind, 4, 50));
        }
    }

    #[test]
    fn every_line_of_json_is_an_object() {
        for line in log(Kind::Json, 1, 200).lines() {
            let object: serde_json::Value = serde_json::from_str(line).unwrap();
            assert!(object["time"].is_string() && object["status"].is_u64());
        }
    }

    #[test]
    fn made_records_are_those_that_were_written() {
        let made = |kind, text: &str| {
            let mut made = Made::new(kind);
            text.lines().for_each(|line| made.add(line.as_bytes()));
            made.finish()
        };
        for kind in Kind::ALL {
            assert_eq!(made(kind, &log(kind, 1, 100)).lines, 100);
        }
        let mut expected = Tally::default();
        expected.add(b"a b");
        assert_eq!(
            made(Kind::Cri, "2026-01-01T00:00:00Z stdout F a b"),
            expected
        );
        let mut expected = Tally::default();
        expected.add(b"2026 a\n\tat b");
        expected.add(b"2026 c");
        assert_eq!(
            made(Kind::StackTraces, "2026 a\n\tat b\n2026 c\n"),
            expected
        );
    }
}
