//! Access logs as nginx writes them (`combined`), made up but with the variety of real ones.

use crate::random::Random;

/// 2026-01-01 00:00:00 UTC.
const FIRST_SECOND: u64 = 1_767_225_600;
const MONTHS: [&str; 12] = [
    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
];
/// Client addresses in the log.
const CLIENTS: u32 = 12_000;
const METHODS: &[&str] = &["GET", "GET", "GET", "GET", "POST", "HEAD", "PUT", "DELETE"];
const STATUSES: &[&str] = &[
    "200", "200", "200", "304", "301", "302", "404", "499", "500", "503",
];
const SECTIONS: &[&str] = &[
    "/static/js/app",
    "/products",
    "/static/css/theme",
    "/api/v1/items",
    "/images/catalog",
    "/api/v1/users",
    "/search",
    "/cart",
    "/blog/2025",
    "/api/v2/orders",
    "/assets/fonts/inter",
    "/category/outdoor/tents",
    "/account/settings",
    "/.well-known/acme-challenge",
    "/wp-login.php",
];
const SUFFIXES: &[&str] = &[
    "", ".js", ".png", ".css", "/detail", ".webp", "/reviews", ".json",
];
const QUERY_KEYS: &[&str] = &[
    "page",
    "utm_source",
    "q",
    "sort",
    "session",
    "ref",
    "v",
    "lang",
];
const REFERERS: &[&str] = &[
    "-",
    "https://www.example.com/",
    "https://www.google.com/",
    "https://www.example.com/products",
    "https://www.example.com/search?q=waterproof+jacket",
    "https://shop.example.org/category/outdoor/tents?page=2",
    "https://www.bing.com/",
    "https://news.ycombinator.com/item?id=",
    "android-app://com.google.android.googlequicksearchbox/",
];
/// User agents; `#` stands for a version.
const AGENTS: &[&str] = &[
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/1#.0.0.0 Safari/537.36",
    "Mozilla/5.0 (X11; Ubuntu; Linux x86_64; rv:1#.0) Gecko/20100101 Firefox/1#.0",
    "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/#.1 Mobile/15E148 Safari/604.1",
    "kube-probe/1.#",
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:1#.0) Gecko/20100101 Firefox/1#.0",
    "Mozilla/5.0 (Linux; Android 14; SM-S918B) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/1#.0.6723.1# Mobile Safari/537.36",
    "Mozilla/5.0 (compatible; bingbot/2.0; +http://www.bing.com/bingbot.htm)",
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/#.1 Safari/605.1.15",
    "curl/8.#.0",
    "okhttp/4.12.0",
    "Mozilla/5.0 (compatible; AhrefsBot/7.0; +http://ahrefs.com/robot/)",
    "Prometheus/2.53.0",
    "python-requests/2.#.3",
    "Go-http-client/2.0",
];

/// An endless access log; equal seeds give equal lines.
#[derive(Debug)]
pub(crate) struct AccessLog {
    random: Random,
    second: u64,
    /// The time of `second` as it stands in a line; made anew when `second` moves.
    time: String,
}

impl AccessLog {
    /// Starts the log of `seed`.
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            random: Random::new(seed),
            second: FIRST_SECOND,
            time: local_time(FIRST_SECOND),
        }
    }

    /// Appends the next line to `out`, without a newline; printable ASCII, under 1 KiB.
    pub(crate) fn put_line(&mut self, out: &mut Vec<u8>) {
        if self.random.below(200) == 0 {
            self.second = self.second.saturating_add(1);
            self.time = local_time(self.second);
        }
        self.put_client(out);
        out.extend_from_slice(self.time.as_bytes());
        self.put_request(out);
        self.put_response(out);
        self.put_visitor(out);
    }

    fn put_client(&mut self, out: &mut Vec<u8>) {
        let client = self.random.below(CLIENTS);
        // Spreads the clients' numbers over the address space, the same way in every log.
        let [_, b, c, d] = client.wrapping_mul(2_654_435_761).to_be_bytes();
        put_decimal(out, 11 + u64::from(client % 180));
        for octet in [b, c, d] {
            out.push(b'.');
            put_decimal(out, u64::from(octet));
        }
        out.extend_from_slice(b" - - [");
    }

    fn put_request(&mut self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"] \"");
        put(out, self.random.skewed_choice(METHODS));
        out.push(b' ');
        put(out, self.random.skewed_choice(SECTIONS));
        if self.random.below(4) != 0 {
            out.push(b'/');
            put_decimal(out, u64::from(self.random.below(40_000_000)));
        }
        put(out, self.random.skewed_choice(SUFFIXES));
        let mut separator = b'?';
        for _ in 0..self.random.below(3) {
            out.push(separator);
            put(out, self.random.choice(QUERY_KEYS));
            out.push(b'=');
            put_hex(out, self.random.next_u64() >> 24);
            separator = b'&';
        }
        out.extend_from_slice(b" HTTP/");
        put(
            out,
            if self.random.below(3) == 0 {
                "1.1"
            } else {
                "2.0"
            },
        );
    }

    fn put_response(&mut self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"\" ");
        put(out, self.random.skewed_choice(STATUSES));
        out.push(b' ');
        put_decimal(out, u64::from(self.random.skewed_below(2_000_000)));
        out.extend_from_slice(b" \"");
    }

    fn put_visitor(&mut self, out: &mut Vec<u8>) {
        let referer = self.random.choice(REFERERS);
        put(out, referer);
        if referer.ends_with('=') {
            put_decimal(out, 42_000_000 + u64::from(self.random.below(100_000)));
        }
        out.extend_from_slice(b"\" \"");
        let version = 20 + u64::from(self.random.skewed_below(16));
        for (index, part) in self.random.skewed_choice(AGENTS).split('#').enumerate() {
            if index > 0 {
                put_decimal(out, version);
            }
            put(out, part);
        }
        out.push(b'"');
    }
}

fn put(out: &mut Vec<u8>, text: &str) {
    out.extend_from_slice(text.as_bytes());
}

fn put_decimal(out: &mut Vec<u8>, number: u64) {
    put_digits(out, number, 10);
}

fn put_hex(out: &mut Vec<u8>, number: u64) {
    put_digits(out, number, 16);
}

fn put_digits(out: &mut Vec<u8>, number: u64, base: u64) {
    let start = out.len();
    let mut rest = number;
    loop {
        let digit = u8::try_from(rest % base).unwrap_or(0);
        out.push(if digit < 10 {
            b'0' + digit
        } else {
            b'a' + digit - 10
        });
        rest /= base;
        if rest == 0 {
            break;
        }
    }
    if let Some(digits) = out.get_mut(start..) {
        digits.reverse();
    }
}

/// `02/Jan/2026:03:04:05 +0000`.
fn local_time(unix_seconds: u64) -> String {
    let (year, month, day) = civil_date(unix_seconds / 86_400);
    let name = MONTHS.get(month).copied().unwrap_or("Jan");
    let within = unix_seconds % 86_400;
    let (hour, minute, second) = (within / 3600, within / 60 % 60, within % 60);
    format!("{day:02}/{name}/{year}:{hour:02}:{minute:02}:{second:02} +0000")
}

/// Year, month index from 0, and day of the month of a day counted from 1970-01-01.
fn civil_date(days_since_1970: u64) -> (u64, usize, u64) {
    let mut year = 1970;
    let mut days = days_since_1970;
    let is_leap = |year: u64| {
        year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
    };
    while days >= 365 + u64::from(is_leap(year)) {
        days -= 365 + u64::from(is_leap(year));
        year += 1;
    }
    let february = 28 + u64::from(is_leap(year));
    let lengths = [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let mut month = 0;
    for length in lengths {
        if days < length {
            break;
        }
        days -= length;
        month += 1;
    }
    (year, month, days + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(seed: u64, bytes: usize) -> Vec<u8> {
        let (mut log, mut out) = (AccessLog::new(seed), Vec::new());
        while out.len() < bytes {
            log.put_line(&mut out);
            out.push(b'\n');
        }
        out
    }

    #[test]
    fn equal_seeds_give_equal_logs() {
        assert_eq!(lines(7, 100_000), lines(7, 100_000));
        assert_ne!(lines(7, 100_000), lines(8, 100_000));
    }

    #[test]
    fn lines_are_as_long_and_as_compressible_as_real_ones() {
        let log = lines(1, 1 << 20);
        let count = memchr::memchr_iter(b'\n', &log).count();
        let average = log.len() / count;
        assert!(
            (220..=250).contains(&average),
            "average line is {average} bytes"
        );

        let compressed = snap::raw::Encoder::new().compress_vec(&log).unwrap();
        let tenths = log.len() * 10 / compressed.len();
        assert!((32..=38).contains(&tenths), "compresses to 10/{tenths}");
    }

    #[test]
    fn lines_are_in_the_combined_format() {
        let log = String::from_utf8(lines(3, 200_000)).unwrap();
        for line in log.lines() {
            let quoted: Vec<&str> = line.split('"').collect();
            assert_eq!(quoted.len(), 7, "{line}");
            assert!(
                quoted[0].contains(" - - [") && quoted[0].ends_with("] "),
                "{line}"
            );
            assert_eq!(quoted[1].split(' ').count(), 3, "{line}");
            let numbers = quoted[2].split_whitespace().map(str::parse::<u64>);
            assert_eq!(numbers.flatten().count(), 2, "{line}");
        }
    }

    #[test]
    fn times_are_calendar_times() {
        assert_eq!(local_time(FIRST_SECOND), "01/Jan/2026:00:00:00 +0000");
        assert_eq!(local_time(1_709_210_096), "29/Feb/2024:12:34:56 +0000");
        assert_eq!(local_time(1_798_761_599), "31/Dec/2026:23:59:59 +0000");
    }
}
