//! The real nginx under load, rotated by the real logrotate, while the agent is stopped and killed.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use tailwater_testkit::agent::Agent;
use tailwater_testkit::fault_sink::SinkState;
use tailwater_testkit::logrotate::{Logrotate, Rule};
use tailwater_testkit::wait;

use crate::rig::{DEADLINE, Rig, start, stop, wait_settled};

const MISSING: &str = "it is there: `tests/install` installs it";

/// Rotations, with a restart of the agent after each.
const ROTATIONS: usize = 10;

struct Nginx {
    child: Child,
    port: u16,
}

impl Nginx {
    fn start(directory: &Path, log: &Path) -> Self {
        let port = std::net::TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
            .port();
        let path = |name: &str| directory.join(name).display().to_string();
        let config = format!(
            "daemon off; worker_processes 2; pid {pid}; error_log {error};\n\
             events {{ worker_connections 64; }}\n\
             http {{\n client_body_temp_path {temp}/a; proxy_temp_path {temp}/b; fastcgi_temp_path {temp}/c;\n\
             uwsgi_temp_path {temp}/d; scgi_temp_path {temp}/e;\n\
             log_format all '$remote_addr - $request_id [$time_local] \"$request\" $status $body_bytes_sent';\n\
             access_log {log} all;\n\
             server {{ listen 127.0.0.1:{port}; location / {{ return 200 ok; }} }}\n}}\n",
            pid = path("nginx.pid"),
            error = path("nginx-error.txt"),
            temp = path("nginx-temp"),
            log = log.display(),
        );
        std::fs::create_dir(directory.join("nginx-temp")).unwrap();
        let file = directory.join("nginx.conf");
        std::io::Write::write_all(
            &mut std::fs::OpenOptions::new()
                .create_new(true)
                .write(true)
                .open(&file)
                .unwrap(),
            config.as_bytes(),
        )
        .unwrap();
        let child = Command::new("nginx")
            .arg("-p")
            .arg(directory)
            .arg("-c")
            .arg(&file)
            .spawn()
            .expect(MISSING);
        wait::until(DEADLINE, "nginx answers", || {
            std::net::TcpStream::connect(("127.0.0.1", port)).is_ok()
        })
        .unwrap();
        Self { child, port }
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        let id = self.child.id().to_string();
        Command::new("kill").args(["-QUIT", &id]).status().unwrap();
        self.child.wait().unwrap();
    }
}

/// Counts every line of the log and all its generations, compressed or not.
fn written_lines(log: &Path) -> HashMap<Vec<u8>, u64> {
    let mut lines = HashMap::new();
    let name = log.file_name().unwrap().to_str().unwrap().to_owned();
    for entry in std::fs::read_dir(log.parent().unwrap()).unwrap() {
        let path = entry.unwrap().path();
        if !path
            .file_name()
            .unwrap()
            .to_str()
            .unwrap()
            .starts_with(&name)
        {
            continue;
        }
        let program = if path.extension().is_some_and(|extension| extension == "gz") {
            "zcat"
        } else {
            "cat"
        };
        let output = Command::new(program).arg(&path).output().unwrap();
        assert!(output.status.success());
        for line in output
            .stdout
            .split(|byte| *byte == b'\n')
            .filter(|line| !line.is_empty())
        {
            *lines.entry(line.to_vec()).or_default() += 1;
        }
    }
    lines
}

fn logrotate_of(rig: &Rig, log: &Path) -> Logrotate {
    let directory = rig.directory.path().join("rotate");
    std::fs::create_dir(&directory).unwrap();
    let pid = rig.directory.path().join("nginx.pid");
    let rule = Rule {
        rotate: 100,
        compress: true,
        delay_compress: true,
        post_rotate: Some(format!("kill -USR1 $(cat {})", pid.display())),
        ..Rule::new([log.display().to_string()])
    };
    Logrotate::new(&directory, &[rule]).unwrap()
}

/// Load on nginx, a rotation and a restart of the agent in the middle of it; waits until every line is
/// stored, before the next rotation compresses what this one renamed. Returns the copies stored so far.
fn round(
    rig: &Rig,
    nginx: &Nginx,
    log: &Path,
    logrotate: &Logrotate,
    agent: &mut Agent,
    number: usize,
) -> u64 {
    let mut load = Command::new("ab")
        .args(["-q", "-k", "-c", "4", "-n", "6000"])
        .arg(format!("http://127.0.0.1:{}/round{number}", nginx.port))
        .stdout(Stdio::null())
        .spawn()
        .expect(MISSING);
    let seen = rig.sink.inspect(SinkState::committed_entries);
    let has_more = rig
        .sink
        .wait_until(|state| state.committed_entries() > seen, DEADLINE);
    assert!(has_more, "{}", agent.log());
    logrotate.force().unwrap();
    if is_stop(number) {
        stop(agent);
    } else {
        agent.sigkill().unwrap();
    }
    *agent = start(&rig.config, rig.directory.path());
    assert!(load.wait().unwrap().success());
    let written: u64 = written_lines(log).values().sum();
    let stored = || rig.sink.inspect(distinct);
    wait::until(DEADLINE, "every line of the round is stored", || {
        stored() >= written
    })
    .unwrap_or_else(|error| panic!("{error}: {} of {written}\n{}", stored(), agent.log()));
    wait_settled(agent);
    rig.sink.inspect(SinkState::committed_entries) - stored()
}

fn is_stop(round: usize) -> bool {
    round.is_multiple_of(2)
}

#[test]
fn nginx_under_load_rotated_ten_times_through_five_stops_and_five_kills_loses_nothing() {
    let rig = Rig::new("", "");
    let log: PathBuf = rig.log("access.log");
    let nginx = Nginx::start(rig.directory.path(), &log);
    let logrotate = logrotate_of(&rig, &log);
    let mut agent = start(&rig.config, rig.directory.path());
    let (mut copies_before, mut repeated_by_stops) = (0, 0);
    for number in 0..ROTATIONS {
        let copies = round(&rig, &nginx, &log, &logrotate, &mut agent, number);
        if is_stop(number) {
            repeated_by_stops += copies - copies_before;
        }
        copies_before = copies;
    }
    stop(&mut agent);
    let written = written_lines(&log);
    let delivered: HashMap<Vec<u8>, u64> = rig.sink.inspect(|state| {
        let mut lines = HashMap::new();
        state
            .entries()
            .iter()
            .for_each(|entry| *lines.entry(entry.line.clone()).or_default() += 1);
        lines
    });
    assert_eq!(
        written.len(),
        delivered.len(),
        "the distinct lines are as many"
    );
    assert!(
        written.keys().all(|line| delivered.contains_key(line)),
        "and the same"
    );
    assert_eq!(repeated_by_stops, 0, "a stop repeats nothing");
    // A kill repeats at most what was acked since the last checkpoint and what was in flight: here at
    // most the lines of its round.
    assert!(copies_before <= 5 * 6000, "{copies_before} copies");
    println!(
        "nginx wrote {} lines; {} distinct lines delivered; {repeated_by_stops} repeated by 5 stops, \
         {copies_before} by 5 kills",
        written.len(),
        delivered.len(),
    );
}

fn distinct(state: &SinkState) -> u64 {
    let lines: std::collections::HashSet<&[u8]> = state
        .entries()
        .iter()
        .map(|entry| &entry.line[..])
        .collect();
    lines.len() as u64
}
