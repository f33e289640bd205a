//! php-fpm: its own log, that of PHP, and that of slow requests.

use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::process::Signal;

use crate::fast_cgi;
use crate::rig::{Arrived, Rig, having, on_wall, read};
use crate::server::{Server, is_root, newest, write};

/// The zone that PHP is told to use; not that of the host.
const PHP_ZONE: &str = "Europe/Berlin";

const SLOW: &str = "<?php
function inner($n) { usleep(1400000); return $n; }
class Shop { function checkout() { return inner(3); } }
echo (new Shop)->checkout();
";

/// What goes wrong in each request: eight entries, of 19 lines.
const WRONG: &str = r#"<?php
error_log("plain words");
error_log("two\nlines");
trigger_error("a warning", E_USER_WARNING);
trigger_error("a notice", E_USER_NOTICE);
trigger_error("old", E_USER_DEPRECATED);
echo $nosuch;
include 'parse.php';
"#;

const FATAL: &str = r#"<?php
function f($x) { throw new RuntimeException("boom\nsecond line", 3, new LogicException("cause")); }
f("abc");
"#;

/// A running php-fpm with one pool.
pub(crate) struct PhpFpm {
    server: Server,
    socket: PathBuf,
}

impl PhpFpm {
    /// Starts php-fpm with its files in the rig's directory and with a setting of PHP; without `error_log`,
    /// what PHP says goes to the web server.
    pub(crate) fn start(rig: &Rig, key: &str, value: &str) -> Self {
        let root = rig.folder("php");
        let socket = root.join("socket");
        let user = if is_root() { "user = root\n" } else { "" };
        let config = format!(
            "[global]\npid = {pid}\nerror_log = {log}\ndaemonize = no\n\
             [www]\n{user}listen = {socket}\nlisten.mode = 0666\npm = static\npm.max_children = 4\n\
             pm.status_path = /status\nrequest_slowlog_timeout = 1s\nslowlog = {slow}\n\
             catch_workers_output = yes\nphp_admin_flag[log_errors] = on\n\
             php_admin_value[date.timezone] = {PHP_ZONE}\nphp_admin_value[{key}] = {value}\n",
            pid = root.join("pid").display(),
            log = rig.path("fpm.log").display(),
            socket = socket.display(),
            slow = rig.path("slow.log").display(),
        );
        let file = root.join("fpm.conf");
        write(&file, &config);
        let program = newest(Path::new("/usr/sbin"), |path| {
            let name = path.file_name().unwrap().to_str();
            name.is_some_and(|name| name.starts_with("php-fpm"))
        });
        let mut command = Command::new(program);
        command
            .args(["-n", "-R", "-y"])
            .arg(&file)
            .env("TZ", rig.zone);
        let mut server = Server::start(&mut command, Signal::QUIT, root.join("output"));
        server.wait_ready(|| std::os::unix::net::UnixStream::connect(&socket).is_ok());
        Self { server, socket }
    }

    pub(crate) fn socket(&self) -> &Path {
        &self.socket
    }

    pub(crate) fn stop(self) {
        self.server.stop();
    }

    fn get(&self, rig: &Rig, name: &str) -> String {
        fast_cgi::get(&self.socket, &rig.path(name), &format!("/{name}"))
    }

    /// A figure of the page that php-fpm shows of itself.
    fn figure(&self, name: &str) -> usize {
        let page = fast_cgi::get(&self.socket, Path::new("/status"), "/status");
        let figures = page.lines().filter_map(|line| line.split_once(':'));
        let mut found = figures.filter(|(known, _)| *known == name);
        let (_, figure) = found.next().unwrap_or_else(|| panic!("no {name}: {page}"));
        figure.trim().parse().unwrap()
    }
}

/// Asks for slow scripts at once, and meanwhile for those that go wrong.
fn load(rig: &Rig, php: &PhpFpm, rounds: usize) {
    std::thread::scope(|scope| {
        let slow = [(); 3].map(|()| scope.spawn(|| php.get(rig, "slow.php")));
        for _ in 0..rounds {
            php.get(rig, "wrong.php");
            php.get(rig, "fatal.php");
        }
        for request in slow {
            assert!(request.join().unwrap().ends_with('3'));
        }
    });
}

/// Compares entries with what the heads of their lines say, read in another way.
fn check_times(arrived: &[Arrived], zone: &str) {
    for entry in arrived {
        let (head, _) = entry.line.split_once(']').unwrap();
        let head = head.strip_prefix('[').unwrap();
        let time = head.strip_suffix(&format!(" {PHP_ZONE}")).unwrap_or(head);
        assert_eq!(
            entry.time,
            on_wall("%d-%b-%Y %H:%M:%S", time, zone),
            "{}",
            entry.line
        );
    }
}

fn check_errors(arrived: &[Arrived], rounds: usize) {
    assert_eq!(arrived.len(), 8 * rounds);
    for (text, lines, severity) in [
        ("] plain words", 1, None),
        ("] two\nlines", 2, None),
        ("] PHP Warning:  a warning in ", 1, Some("WARN")),
        ("] PHP Notice:  a notice in ", 1, Some("INFO2")),
        ("] PHP Deprecated:  old in ", 1, Some("INFO")),
        (
            "] PHP Warning:  Undefined variable $nosuch in ",
            1,
            Some("WARN"),
        ),
        ("] PHP Parse error:  syntax error, ", 1, Some("ERROR")),
        (
            "] PHP Fatal error:  Uncaught LogicException: cause in ",
            11,
            Some("FATAL"),
        ),
    ] {
        let found = having(arrived, text);
        assert_eq!(found.len(), rounds, "{text}: {arrived:#?}");
        for entry in found {
            assert_eq!(entry.line.lines().count(), lines, "{}", entry.line);
            assert_eq!(entry.severity.as_deref(), severity, "{}", entry.line);
        }
    }
}

#[test]
fn php_writes_its_errors_with_their_stacks_and_php_fpm_the_slow_requests() {
    // Hosts and PHP need not agree on a zone.
    let rig = Rig::new("America/New_York");
    write(&rig.path("slow.php"), SLOW);
    write(&rig.path("wrong.php"), WRONG);
    write(&rig.path("parse.php"), "<?php\necho 1 +;\n");
    write(&rig.path("fatal.php"), FATAL);
    let [fpm, errors, slow] = ["fpm.log", "php.log", "slow.log"].map(|name| rig.path(name));
    let agent = rig.start(&[
        ("php_fpm", &fpm),
        ("php_fpm", &errors),
        ("php_fpm_slow", &slow),
    ]);
    let php = PhpFpm::start(&rig, "error_log", &errors.display().to_string());
    let rounds = 5;
    load(&rig, &php, rounds);
    let slow_requests = php.figure("slow requests");
    assert_eq!(slow_requests, 3);
    php.stop();

    let wrong = rig.wait_whole(&agent, &errors, |_| false);
    check_times(&wrong, PHP_ZONE);
    check_errors(&wrong, rounds);

    let own = rig.wait_whole(&agent, &fpm, |_| false);
    assert_eq!(own.len(), read(&fpm).lines().count());
    check_times(&own, rig.zone);
    assert_eq!(having(&own, "executing too slow").len(), slow_requests);
    for entry in &own {
        let is_warning = entry.line.contains("] WARNING: ");
        entry.assert_severity(if is_warning { "WARN" } else { "INFO2" });
    }

    let traced = rig.wait_whole(&agent, &slow, str::is_empty);
    assert_eq!(traced.len(), slow_requests);
    check_times(&traced, rig.zone);
    for entry in &traced {
        entry.assert_severity("WARN");
        assert_eq!(entry.line.lines().count(), 5, "{}", entry.line);
        assert!(entry.line.contains("] usleep() "), "{}", entry.line);
    }
    for arrived in [&wrong, &own, &traced] {
        rig.assert_now(arrived);
    }
    rig.stop(agent, wrong.len() + own.len() + traced.len());
}
