//! nginx: access logs of two shapes, and the error log, also with what PHP said.

use std::fmt::Write as _;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::Command;

use rustix::process::Signal;
use tailwater_testkit::client;

use crate::php_fpm::PhpFpm;
use crate::rig::{Arrived, Rig, having, on_wall, read};
use crate::server::{Server, write};

/// What nginx writes beside the access log, for the same requests in the same order.
const BOOKS: &str = "log_format books '$msec $status';";

/// Usual fields, others behind them, and a host before.
const EXTENDED: &str = "log_format extended '$host:$server_port $remote_addr - $remote_user [$time_local] \
     \"$request\" $status $body_bytes_sent \"$http_referer\" \"$http_user_agent\" $request_time \"$upstream_addr\"';";

struct Nginx {
    server: Server,
    port: u16,
}

impl Nginx {
    fn start(rig: &Rig, php: &Path) -> Self {
        let port = std::net::TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
            .port();
        let root = rig.folder("nginx");
        let path = |name: &str| root.join(name).display().to_string();
        let mut temp = String::new();
        for kind in ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"] {
            writeln!(temp, "{kind}_temp_path {};", path(kind)).unwrap();
        }
        let config = format!(
            "daemon off; worker_processes 1; pid {pid}; error_log {error} info;\n\
             events {{ worker_connections 64; }}\n\
             http {{\n{temp}{BOOKS}\n{EXTENDED}\n\
             server {{\n listen 127.0.0.1:{port};\n\
             access_log {access} combined;\naccess_log {extended} extended;\naccess_log {books} books;\n\
             location / {{ return 200 ok; }}\n\
             location /static {{ root {root}; }}\n\
             location /moved {{ return 301 /; }}\n\
             location /broken {{ return 500; }}\n\
             location /gone {{ proxy_pass http://127.0.0.1:1; }}\n\
             location /status {{ stub_status; }}\n\
             location /php {{ fastcgi_pass unix:{socket}; fastcgi_param SCRIPT_FILENAME {script}; \
             fastcgi_param REQUEST_METHOD GET; fastcgi_param SCRIPT_NAME /php; }}\n}}\n}}\n",
            pid = path("pid"),
            error = rig.path("error.log").display(),
            access = rig.path("access.log").display(),
            extended = rig.path("extended.log").display(),
            books = path("books"),
            root = root.display(),
            socket = php.display(),
            script = rig.path("stderr.php").display(),
        );
        let file = root.join("nginx.conf");
        write(&file, &config);
        let mut command = Command::new("nginx");
        command.arg("-p").arg(&root).arg("-c").arg(&file);
        command.env("TZ", rig.zone);
        let mut server = Server::start(&mut command, Signal::QUIT, root.join("output"));
        server.wait_ready(|| TcpStream::connect(("127.0.0.1", port)).is_ok());
        Self { server, port }
    }

    /// Sends bytes, and waits for the answer.
    fn send(&self, request: &[u8]) {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        stream.write_all(request).unwrap();
        stream.read_to_end(&mut Vec::new()).unwrap();
    }

    fn get(&self, path: &str) -> String {
        let address = ([127, 0, 0, 1], self.port).into();
        client::get(address, path).unwrap().text()
    }

    /// Requests that nginx has counted, this one among them.
    fn requests(&self) -> usize {
        let status = self.get("/status");
        // ` 3 3 7` below the names: the last one.
        let line = status.lines().nth(2).unwrap();
        line.split_whitespace().nth(2).unwrap().parse().unwrap()
    }
}

/// What clients send: usual requests, and such as would break out of their quotation marks.
fn load(nginx: &Nginx) {
    for round in 0..20 {
        for path in ["/", "/static/none", "/moved", "/broken", "/gone"] {
            nginx.get(&format!("{path}?round={round}"));
        }
    }
    nginx.send(b"GET /a\"b HTTP/1.1\r\nHost: x\r\nUser-Agent: \"] 200 \\\" [1/Jan/2000\r\nConnection: close\r\n\r\n");
    nginx.send(b"GET / HTTP/1.0\r\nAuthorization: Basic eCBbMDEvSmFuLzIwMDA6MDA6MDA6MDAgKzAwMDBdICIiIDUwMDp5\r\n\r\n");
    nginx.send(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\r\n");
    for _ in 0..3 {
        nginx.get("/php");
    }
}

/// Compares entries with the times and status of nginx's second log.
fn check_access(arrived: &[Arrived], books: &str) {
    assert_eq!(arrived.len(), books.lines().count());
    for (entry, book) in arrived.iter().zip(books.lines()) {
        let (time, status) = book.split_once(' ').unwrap();
        let second: i64 = time.split_once('.').unwrap().0.parse().unwrap();
        assert_eq!(
            entry.time.as_nanosecond(),
            i128::from(second) * 1_000_000_000
        );
        entry.assert_severity(match status.as_bytes() {
            [b'5', ..] => "ERROR",
            [b'4', ..] => "WARN",
            _ => "INFO",
        });
    }
}

/// Compares entries with what their lines say, read in another way.
fn check_error(arrived: &[Arrived], zone: &str) {
    for entry in arrived {
        let (time, rest) = entry.line.split_at(19);
        assert_eq!(
            entry.time,
            on_wall("%Y/%m/%d %H:%M:%S", time, zone),
            "{}",
            entry.line
        );
        let level = rest.split([' ', '[', ']']).nth(2).unwrap();
        entry.assert_severity(match level {
            "info" => "INFO",
            "notice" => "INFO2",
            "warn" => "WARN",
            "error" => "ERROR",
            other => panic!("{other}: {}", entry.line),
        });
    }
}

#[test]
fn nginx_writes_an_entry_for_each_request_and_for_what_php_said_one_of_several_lines() {
    let rig = Rig::new("Europe/Berlin");
    write(
        &rig.path("stderr.php"),
        "<?php\nfunction f($x) { throw new Exception(\"one\\ntwo\"); }\nf(3);\n",
    );
    let php = PhpFpm::start(&rig, "display_errors", "off");
    let [access, extended, error] =
        ["access.log", "extended.log", "error.log"].map(|name| rig.path(name));
    let agent = rig.start(&[
        ("nginx_access", &access),
        ("nginx_access", &extended),
        ("nginx_error", &error),
    ]);
    let nginx = Nginx::start(&rig, php.socket());
    load(&nginx);
    let requests = nginx.requests();
    nginx.server.stop();
    php.stop();

    let books = read(&rig.path("nginx/books"));
    let mut entries = 0;
    for file in [&access, &extended] {
        let arrived = rig.wait_whole(&agent, file, |_| false);
        assert_eq!(arrived.len(), requests);
        check_access(&arrived, &books);
        rig.assert_now(&arrived);
        entries += arrived.len();
    }
    let arrived = rig.wait_whole(&agent, &error, |_| false);
    check_error(&arrived, rig.zone);
    rig.assert_now(&arrived);
    assert_eq!(having(&arrived, "open() \"").len(), 20);
    assert_eq!(having(&arrived, "connect() failed").len(), 20);
    let said = having(&arrived, "FastCGI sent in stderr: ");
    assert_eq!(said.len(), 3);
    for entry in said {
        assert!(entry.line.lines().count() > 4, "{}", entry.line);
        assert!(entry.line.contains("Stack trace:\n#0 "), "{}", entry.line);
        assert!(
            entry.line.contains(" while reading response header"),
            "{}",
            entry.line
        );
    }
    rig.stop(agent, entries + arrived.len());
}
