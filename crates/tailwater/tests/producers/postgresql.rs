//! PostgreSQL: its log with two prefixes and four zones, beside the same log as JSON.

use std::collections::{HashMap, VecDeque};
use std::path::{Path, PathBuf};
use std::process::Command;

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use rustix::process::Signal;
use serde_json::Value;
use tailwater_testkit::wait;

use crate::rig::{Arrived, DEADLINE, Rig, having, read};
use crate::server::{Server, is_root, must_run, newest, run, write};

/// The zones that it writes times in, one after the other: that of the host, two with other names, and one
/// without a name.
const ZONES: [&str; 4] = ["Europe/Berlin", "America/New_York", "UTC", "Asia/Kathmandu"];

/// Entries of all levels and kinds, many of several lines.
const QUERIES: &str = "CREATE TABLE t (id int PRIMARY KEY, name text);
INSERT INTO t
  VALUES (1, 'one'),
         (2, 'two
with a line of its own');
INSERT INTO t VALUES (1, 'again');
SELECT none_such
FROM t
WHERE x = 1;
DO $$
BEGIN
  RAISE DEBUG 'debug';
  RAISE INFO 'info';
  RAISE NOTICE 'notice
of two lines';
  RAISE WARNING 'a warning' USING DETAIL = 'detail
of two lines', HINT = 'a hint';
  RAISE LOG 'a log';
  RAISE EXCEPTION 'boom' USING DETAIL = 'detail', HINT = 'hint';
END $$;
SELECT pg_sleep(0.02);
SELECT 'ERROR:  not one' AS a,
'2026-11-21 12:00:00.000 CET [1] ERROR:  nor is this' AS b

FROM t;
PREPARE p(int, text) AS SELECT $1, $2;
EXECUTE p(1, 'a
b');
DROP TABLE t;
";

/// A statement whose line is like the start of an entry, but for what stands before it.
const ODD: &str = "SELECT 1 AS \"[1] LOG:  x\", nothing;";

const PASSWORD: &str = "secret";

struct PostgreSql {
    server: Server,
    socket: PathBuf,
    psql: PathBuf,
}

/// A command that a server takes, which is not root's.
fn command(program: &Path) -> Command {
    if !is_root() {
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    command
        .args(["--reuid=postgres", "--regid=postgres", "--clear-groups"])
        .arg(program);
    command
}

fn client(psql: &Path, socket: &Path, user: &str, password: &str) -> Command {
    let mut command = Command::new(psql);
    command
        .args(["-X", "-q", "-d", "postgres", "-U", user, "-h"])
        .arg(socket)
        .env("PGPASSWORD", password);
    command
}

fn is_whole(log: &str) -> bool {
    let last = log.lines().next_back().unwrap_or_default();
    last.contains("logger shutting down") && log.ends_with('\n')
}

impl PostgreSql {
    fn start(rig: &Rig) -> Self {
        let root = rig.folder("postgresql");
        let versions = Path::new("/usr/lib/postgresql");
        let bin = newest(versions, |path| path.join("bin/postgres").exists()).join("bin");
        write(&root.join("password"), PASSWORD);
        if is_root() {
            must_run(
                Command::new("chown").args(["-R", "postgres"]).arg(&root),
                "",
            );
        }
        let mut initdb = command(&bin.join("initdb"));
        initdb
            .args(["-A", "scram-sha-256", "-N", "-U", "postgres", "--locale=C"])
            .arg(format!("--pwfile={}", root.join("password").display()))
            .arg("-D")
            .arg(root.join("cluster"))
            .env("TZ", rig.zone);
        must_run(&mut initdb, "");
        let mut server = command(&bin.join("postgres"));
        server
            .arg("-D")
            .arg(root.join("cluster"))
            .env("TZ", rig.zone);
        for (key, value) in [
            ("listen_addresses", ""),
            ("unix_socket_directories", root.to_str().unwrap()),
            ("logging_collector", "on"),
            ("log_directory", root.join("log").to_str().unwrap()),
            ("log_filename", "server.log"),
            ("log_destination", "stderr,jsonlog"),
            ("log_min_duration_statement", "0"),
            ("log_min_messages", "debug2"),
            ("log_connections", "on"),
            ("fsync", "off"),
        ] {
            server.arg(format!("--{key}={value}"));
        }
        let mut server = Server::start(&mut server, Signal::INT, rig.path("postgresql.out"));
        let psql = bin.join("psql");
        // Its socket is there before it takes clients.
        server.wait_ready(|| run(&mut client(&psql, &root, "postgres", PASSWORD), "").1);
        Self {
            server,
            socket: root,
            psql,
        }
    }

    fn client(&self, user: &str, password: &str) -> Command {
        client(&self.psql, &self.socket, user, password)
    }

    fn query(&self, text: &str) {
        must_run(&mut self.client("postgres", PASSWORD), text);
    }

    /// Ends the server, and waits for the process that writes the logs: it is the last one.
    fn stop(self, logs: [&Path; 2]) {
        self.server.stop();
        let is_done = || logs.iter().all(|log| is_whole(&read(log)));
        wait::until(DEADLINE, "the logs are written", is_done).unwrap();
    }

    /// Changes a setting, and waits until it holds.
    fn set(&self, key: &str, value: &str) {
        self.query(&format!(
            "ALTER SYSTEM SET {key} = '{value}';\nSELECT pg_reload_conf();\n"
        ));
        let ask = format!("SHOW {key};\n");
        let holds = || {
            let mut client = self.client("postgres", PASSWORD);
            must_run(client.args(["-A", "-t"]), &ask).trim_end_matches('\n') == value
        };
        wait::until(DEADLINE, "the setting holds", holds).unwrap();
    }
}

/// Reads a time of the JSON log, whose zone has an abbreviation or an offset.
fn time(text: &str) -> Timestamp {
    let (wall, zone) = text.rsplit_once(' ').unwrap();
    let wall = DateTime::strptime("%Y-%m-%d %H:%M:%S%.f", wall).unwrap();
    let candidates = ZONES.iter().filter_map(|name| {
        let time_zone = TimeZone::get(name).unwrap();
        let time = time_zone.to_timestamp(wall).unwrap();
        let info = time_zone.to_offset_info(time);
        (info.abbreviation() == zone).then_some(time)
    });
    let candidates: Vec<_> = candidates.collect();
    assert_eq!(candidates.len(), 1, "{text}");
    candidates.into_iter().next().unwrap()
}

/// The events of each process in their order: two processes may write to the two logs in another order.
fn by_process(events: &[Value]) -> HashMap<u64, VecDeque<&Value>> {
    let mut processes: HashMap<u64, VecDeque<&Value>> = HashMap::new();
    for event in events {
        let process = event["pid"].as_u64().unwrap();
        processes.entry(process).or_default().push_back(event);
    }
    processes
}

/// The time of an entry without a fraction, and its zone.
fn head(line: &str) -> &str {
    let (wall, zone) = line.split_at(20);
    let zone = zone.split(' ').next().unwrap();
    line.get(..wall.len() + zone.len()).unwrap()
}

/// The process id of an entry: the first number in brackets.
fn process(line: &str) -> u64 {
    let brackets = line.split('[').skip(1);
    let mut numbers = brackets.filter_map(|rest| rest.split_once(']')?.0.parse().ok());
    numbers.next().unwrap()
}

/// Compares an entry with the same event as JSON.
fn check(entry: &Arrived, event: &Value) {
    let of = |key: &str| event.get(key).and_then(Value::as_str);
    let mut expected = time(of("timestamp").unwrap());
    if entry.line.as_bytes().get(19) != Some(&b'.') {
        // Without a fraction PostgreSQL asks another clock, which may be a second behind.
        let own = time(head(&entry.line));
        assert!(
            (0..=1).contains(&(expected.as_second() - own.as_second())),
            "{event}"
        );
        expected = own;
    }
    assert_eq!(entry.time, expected, "{}", entry.line);
    let level = of("error_severity").unwrap();
    entry.assert_severity(match level {
        "DEBUG" => "DEBUG",
        "LOG" | "INFO" => "INFO",
        "NOTICE" => "INFO2",
        "WARNING" => "WARN",
        "ERROR" => "ERROR",
        "FATAL" => "FATAL",
        other => panic!("{other}"),
    });
    for (key, head) in [
        ("message", level),
        ("detail", "DETAIL"),
        ("hint", "HINT"),
        ("context", "CONTEXT"),
        ("statement", "STATEMENT"),
    ] {
        let Some(text) = of(key) else {
            assert!(
                !entry.line.contains(&format!("{head}:  ")),
                "{}",
                entry.line
            );
            continue;
        };
        let written = format!("{head}:  {}", text.replace('\n', "\n\t"));
        assert!(
            entry.line.contains(&written),
            "{} has no {written}",
            entry.line
        );
    }
}

#[test]
fn postgresql_writes_the_same_entries_as_it_does_in_json() {
    let rig = Rig::new(ZONES[0]);
    let log = rig.path("postgresql/log/server.log");
    let agent = rig.start(&[("postgresql", &log)]);
    let postgresql = PostgreSql::start(&rig);
    let mut zones = ZONES.iter().skip(1);
    for prefix in [
        "%m [%p] ",
        "%m [%p] %q%u@%d ",
        "%t [%p]: user=%u,db=%d,app=%a,client=%h ",
        "%m:%r:%u@%d:[%p]:",
    ] {
        postgresql.set("log_line_prefix", prefix);
        // Statements that fail do not end the client.
        let (_, _) = run(&mut postgresql.client("postgres", PASSWORD), QUERIES);
        let (_, _) = run(&mut postgresql.client("postgres", PASSWORD), ODD);
        for (user, password) in [("postgres", "wrong"), ("nobody", "wrong")] {
            assert!(!run(&mut postgresql.client(user, password), "SELECT 1;").1);
        }
        if let Some(zone) = zones.next() {
            postgresql.set("log_timezone", zone);
        }
    }
    let json = rig.path("postgresql/log/server.json");
    postgresql.stop([&log, &json]);

    let arrived = rig.wait_whole(&agent, &log, |_| false);
    let events = read(&json);
    let events: Vec<Value> = events
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let mut unseen = by_process(&events);
    for entry in &arrived {
        let process = unseen.get_mut(&process(&entry.line)).unwrap();
        let event = process.pop_front();
        check(
            entry,
            event.unwrap_or_else(|| panic!("no event: {entry:?}")),
        );
    }
    unseen.retain(|_, events| !events.is_empty());
    assert!(unseen.is_empty(), "{unseen:?}");
    rig.assert_now(&arrived);
    assert_eq!(
        having(&arrived, "FATAL:  password authentication failed").len(),
        8
    );
    assert_eq!(having(&arrived, "ERROR:  boom").len(), 4);
    rig.stop(agent, arrived.len());
}
