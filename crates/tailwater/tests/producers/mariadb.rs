//! MariaDB: the log of slow queries, and the error log.

use std::path::PathBuf;
use std::process::Command;

use rustix::process::Signal;

use crate::rig::{Arrived, Rig, having, on_wall, read};
use crate::server::{Server, is_root, must_run, run};

/// Some are slow, and of several lines; the last of them in another second than the first. One says itself
/// when it is.
const QUERIES: &str = "CREATE DATABASE shop;
USE shop;
CREATE TABLE t (id int PRIMARY KEY, name text);
INSERT INTO t
VALUES (1, 'one'),
(2, 'two
lines');
SELECT SLEEP(0.03);
SELECT SLEEP(0.03), 'multi
# not a heading
SET timestamp=1;
line';
SELECT *,
  SLEEP(0.03)

FROM t;
SELECT id, SLEEP(0.03) FROM t WHERE name LIKE 'o%';
SELECT SLEEP(1.1);
SELECT SLEEP(0.03);
FLUSH SLOW LOGS;
SELECT 'behind the heading of the file', SLEEP(0.03);
SET timestamp=1700000000;
SELECT SLEEP(0.03);
";

/// What the server has written of the same queries to a table.
const BOOKS: &str = "SET SESSION long_query_time = 1000;
SELECT UNIX_TIMESTAMP(start_time), HEX(sql_text) FROM mysql.slow_log;
";

struct MariaDb {
    server: Server,
    socket: PathBuf,
}

impl MariaDb {
    fn start(rig: &Rig) -> Self {
        let root = rig.folder("mariadb");
        let user: &[&str] = if is_root() { &["--user=root"] } else { &[] };
        let path = |key: &str, name: &str| format!("--{key}={}", root.join(name).display());
        let mut install = Command::new("mariadb-install-db");
        install
            .arg("--no-defaults")
            .args(user)
            .arg(path("datadir", "data"))
            .args(["--auth-root-authentication-method=normal", "--skip-test-db"])
            .arg("--skip-name-resolve");
        must_run(&mut install, "");
        let mut command = Command::new("mariadbd");
        command
            .env("TZ", rig.zone)
            .arg("--no-defaults")
            .args(user)
            .arg(path("datadir", "data"))
            .arg(path("socket", "socket"))
            .arg(path("pid-file", "pid"))
            .arg(format!("--log-error={}", rig.path("error.log").display()))
            .arg(format!(
                "--slow-query-log-file={}",
                rig.path("slow.log").display()
            ))
            .args([
                "--slow-query-log=1",
                "--long-query-time=0.02",
                "--log-output=FILE,TABLE",
            ])
            .args([
                "--log-slow-verbosity=query_plan,explain",
                "--log-warnings=9",
            ])
            // There is no such thing, which is an error that it outlives.
            .arg("--plugin-load-add=none_such")
            .args(["--skip-networking", "--innodb-buffer-pool-size=16M"])
            .arg("--innodb-flush-log-at-trx-commit=0");
        let server = Server::start(&mut command, Signal::TERM, root.join("output"));
        let mut mariadb = Self {
            server,
            socket: root.join("socket"),
        };
        let socket = mariadb.socket.clone();
        let is_up = || std::os::unix::net::UnixStream::connect(&socket).is_ok();
        mariadb.server.wait_ready(is_up);
        mariadb
    }

    fn client(&self, user: &str) -> Command {
        let mut command = Command::new("mariadb");
        command
            .args([
                "--no-defaults",
                "--batch",
                "--skip-column-names",
                "-u",
                user,
                "-S",
            ])
            .arg(&self.socket);
        command
    }

    fn query(&self, text: &str) -> String {
        must_run(&mut self.client("root"), text)
    }

    fn status(&self, name: &str) -> usize {
        let text = format!("SET SESSION long_query_time = 1000; SHOW GLOBAL STATUS LIKE '{name}';");
        let row = self.query(&text);
        let (_, figure) = row.trim().split_once('\t').unwrap();
        figure.parse().unwrap()
    }
}

/// A row of the server's table: the second in which a query began, and its text.
fn book(row: &str) -> (i64, String) {
    let (time, text) = row.split_once('\t').unwrap();
    let second = time.split_once('.').map_or(time, |(second, _)| second);
    (second.parse().unwrap(), decoded(text))
}

/// Reads bytes as two digits each.
fn decoded(digits: &str) -> String {
    let digits: Vec<char> = digits.chars().collect();
    let bytes = digits.chunks(2).map(|two| {
        let two: String = two.iter().collect();
        u8::from_str_radix(&two, 16).unwrap()
    });
    String::from_utf8(bytes.collect()).unwrap()
}

fn check_slow(arrived: &[Arrived], books: &str, rig: &Rig) {
    let (heads, queries): (Vec<Arrived>, Vec<Arrived>) = arrived
        .iter()
        .cloned()
        .partition(|entry| entry.line.contains("started with:\n"));
    for head in &heads {
        assert_eq!(head.line.lines().count(), 3, "{}", head.line);
        head.assert_severity("INFO");
    }
    let books: Vec<_> = books.lines().map(book).collect();
    assert_eq!(queries.len(), books.len(), "{arrived:#?}\n{books:#?}");
    for (entry, (second, text)) in queries.iter().zip(&books) {
        assert_eq!(
            entry.time.as_nanosecond(),
            i128::from(*second) * 1_000_000_000,
            "{}",
            entry.line
        );
        let end = format!("\nSET timestamp={second};\n{text};");
        assert!(entry.line.ends_with(&end), "{} of {text}", entry.line);
        entry.assert_severity("WARN");
    }
    // Of those that say what time it is on the wall.
    let timed = queries.iter().filter_map(|entry| {
        let time = entry.line.strip_prefix("# Time: ")?;
        Some((
            entry,
            on_wall("%y%m%d %k:%M:%S", time.lines().next()?, rig.zone),
        ))
    });
    let timed: Vec<_> = timed.collect();
    assert!((3..queries.len()).contains(&timed.len()), "{arrived:#?}");
    for (entry, time) in timed {
        assert_eq!(entry.time, time, "{}", entry.line);
    }
}

fn check_error(arrived: &[Arrived], zone: &str) {
    for entry in arrived {
        let (time, rest) = entry.line.split_at(19);
        assert_eq!(
            entry.time,
            on_wall("%Y-%m-%d %k:%M:%S", time, zone),
            "{}",
            entry.line
        );
        let level = rest.split(['[', ']']).nth(1).unwrap();
        entry.assert_severity(match level {
            "Note" => "INFO2",
            "Warning" => "WARN",
            "ERROR" => "ERROR",
            other => panic!("{other}: {}", entry.line),
        });
    }
}

#[test]
fn mariadb_writes_an_entry_for_each_slow_query_and_for_each_event() {
    let rig = Rig::new("Europe/Berlin");
    let [slow, error] = ["slow.log", "error.log"].map(|name| rig.path(name));
    let agent = rig.start(&[("mysql_slow", &slow), ("mysql_error", &error)]);
    let mariadb = MariaDb::start(&rig);
    mariadb.query(QUERIES);
    for _ in 0..3 {
        let mut command = mariadb.client("nobody");
        assert!(!run(command.arg("-pwrong"), "SELECT 1").1);
    }
    let books = mariadb.query(BOOKS);
    let slow_queries = mariadb.status("Slow_queries");
    let denied = mariadb.status("Access_denied_errors");
    mariadb.server.stop();

    let queries = rig.wait_whole(&agent, &slow, |_| false);
    check_slow(&queries, &books, &rig);
    assert_eq!(having(&queries, "# Query_time: ").len(), slow_queries);
    assert!(
        queries.len() > slow_queries + 1,
        "no head of the file in its middle"
    );

    let events = rig.wait_whole(&agent, &error, |_| false);
    check_error(&events, rig.zone);
    rig.assert_now(&events);
    assert_eq!(
        (denied, having(&events, "Access denied for user").len()),
        (3, 3)
    );
    assert_eq!(
        having(&events, "ready for connections.\nVersion: ").len(),
        1
    );
    assert!(!having(&events, "[ERROR] ").is_empty());
    let joined = read(&error).lines().count() - events.len();
    assert_eq!(joined, 1);
    rig.stop(agent, queries.len() + events.len());
}
