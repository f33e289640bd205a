//! The admin server, as we have it and as Promtail has it.

use std::net::SocketAddr;
use std::path::Path;

use tailwater_testkit::agent::Agent;
use tailwater_testkit::client::{self, Response};
use tailwater_testkit::metrics::Metrics;
use tailwater_testkit::wait;

use crate::rig::{DEADLINE, Rig, stop, wait_settled};

const SERVER: &str = "server: { listen: \"127.0.0.1:0\" }";

fn rig(server_keys: &str) -> Rig {
    let mut rig = Rig::new("", ", bearer_token: hunter2");
    let server = format!("server: {{ listen: \"127.0.0.1:0\"{server_keys} }}");
    rig.config = rig.config.replace(SERVER, &server);
    rig
}

fn get(agent: &Agent, path: &str) -> Response {
    client::get(agent.admin(), path).unwrap()
}

fn launch(rig: &Rig) -> Agent {
    let binary = Path::new(env!("CARGO_BIN_EXE_tailwater"));
    let command = [binary.as_os_str()];
    Agent::launch(&command, &[], &rig.config, rig.directory.path()).unwrap()
}

/// Waits until the server is there, ready or not.
fn address(rig: &Rig) -> SocketAddr {
    let path = rig.directory.path().join("data/admin.addr");
    let read = || -> Option<SocketAddr> {
        let text = std::fs::read_to_string(&path).ok()?;
        text.trim().parse().ok()
    };
    wait::until(DEADLINE, "the server is there", || read().is_some()).unwrap();
    read().unwrap()
}

fn rewrite(rig: &Rig, config: &str) {
    use std::io::Write as _;
    let path = rig.directory.path().join("tailwater.yaml");
    let mut options = std::fs::OpenOptions::new();
    let mut file = options.write(true).truncate(true).open(path).unwrap();
    file.write_all(config.as_bytes()).unwrap();
}

#[test]
fn without_promtail_there_are_our_own_endpoints_and_no_reload() {
    let rig = rig("");
    let mut agent = rig.start();
    for path in ["/", "/status", "/healthz", "/ready", "/api/v1/status"] {
        assert_eq!(get(&agent, path).status, 200, "{path}");
    }
    for path in ["/targets", "/service-discovery", "/config", "/reload"] {
        assert_eq!(get(&agent, path).status, 404, "{path}");
    }
    let reload = client::post(agent.admin(), "/-/reload", "", b"").unwrap();
    assert_eq!(reload.status, 404);
    let text = get(&agent, "/metrics").text();
    assert!(!text.contains("promtail_"), "{text}");
    stop(&mut agent);
}

#[test]
fn our_own_metrics_tell_of_requests_tenants_and_the_process() {
    let rig = rig("");
    let mut writer = rig.writer("a.log", 1);
    writer.write_lines(100).unwrap();
    let mut agent = rig.start();
    rig.settle(&agent, &[writer.written()]);
    let metrics = agent.metrics().unwrap();
    let of_loki = [("sink", "loki"), ("tenant", "")];
    let sent = metrics.get("tailwater_sent_records_total", &of_loki);
    assert_eq!(sent, Some(100.0));
    let bytes = metrics.get("tailwater_sent_bytes_total", &of_loki);
    assert!(bytes > Some(0.0));
    assert_eq!(
        metrics.get("tailwater_encoded_bytes_total", &of_loki),
        bytes
    );
    assert_eq!(metrics.get("tailwater_retries_total", &of_loki), Some(0.0));
    let requests = metrics.sum("tailwater_request_duration_seconds_count", &of_loki[..1]);
    assert!(requests > 0.5, "{requests}");
    for name in [
        "process_resident_memory_bytes",
        "process_virtual_memory_bytes",
        "process_cpu_seconds_total",
        "process_start_time_seconds",
        "process_open_fds",
        "process_max_fds",
    ] {
        assert!(metrics.get(name, &[]).is_some(), "{name}");
    }
    let started = metrics.sum("process_start_time_seconds", &[]);
    assert!(started > 1.7e9, "{started}");
    stop(&mut agent);
}

#[test]
fn promtails_endpoints_answer_with_its_statuses_and_words() {
    let rig = rig(", promtail: true");
    let mut writer = rig.writer("a<b>.log", 1);
    writer.write_lines(10).unwrap();
    let mut agent = rig.start();
    rig.settle(&agent, &[writer.written()]);
    assert_eq!(get(&agent, "/").status, 303);
    let ready = get(&agent, "/ready");
    assert_eq!((ready.status, &*ready.text()), (200, "Ready"));
    let targets = get(&agent, "/targets").text();
    assert!(targets.contains("a&lt;b&gt;.log"), "{targets}");
    assert!(!targets.contains("a<b>"), "{targets}");
    let discovery = get(&agent, "/service-discovery").text();
    assert!(discovery.contains("{job=&quot;e2e&quot;}"), "{discovery}");
    let config = get(&agent, "/config");
    assert_eq!(config.status, 200);
    let config = config.text();
    assert!(config.contains("sources:"), "{config}");
    assert!(!config.contains("hunter2"), "{config}");
    assert_eq!(get(&agent, "/status").status, 200);
    for path in ["/reload", "/nothing"] {
        assert_eq!(get(&agent, path).status, 404, "{path}");
    }
    stop(&mut agent);
}

#[test]
fn promtails_metrics_stand_beside_ours() {
    let rig = rig(", promtail: true");
    let mut writer = rig.writer("a.log", 1);
    writer.write_lines(10).unwrap();
    let mut agent = rig.start();
    rig.settle(&agent, &[writer.written()]);
    let metrics = agent.metrics().unwrap();
    let host = rig.sink.address().to_string();
    let of_host = [("host", host.as_str())];
    let sent = metrics.get("promtail_sent_entries_total", &of_host);
    assert_eq!(sent, Some(10.0));
    let path = rig.log("a.log");
    let of_path = [("path", path.to_str().unwrap())];
    let bytes = metrics.get("promtail_file_bytes_total", &of_path);
    assert!(bytes > Some(0.0));
    assert_eq!(metrics.get("promtail_read_bytes_total", &of_path), bytes);
    assert_eq!(
        metrics.get("promtail_read_lines_total", &of_path),
        Some(10.0)
    );
    let requests = metrics.sum("promtail_request_duration_seconds_count", &of_host);
    assert!(requests > 0.5, "{requests}");
    assert_eq!(metrics.get("promtail_files_active_total", &[]), Some(1.0));
    assert_eq!(metrics.get("promtail_targets_active_total", &[]), Some(1.0));
    assert!(metrics.sum("log_messages_total", &[("level", "info")]) > 0.5);
    wait_settled(&agent);
    std::fs::remove_file(&path).unwrap();
    wait::until_ok(DEADLINE, "the series of the file are gone", || {
        let metrics = agent.metrics()?;
        let left = metrics.samples("promtail_read_bytes_total", &of_path);
        Ok(left.count() == 0)
    })
    .unwrap();
    stop(&mut agent);
}

#[test]
fn promtails_ready_waits_for_a_file() {
    let rig = rig(", promtail: true");
    let mut agent = launch(&rig);
    let address = address(&rig);
    let not_ready = client::get(address, "/ready").unwrap();
    assert_eq!(not_ready.status, 500);
    assert_eq!(
        not_ready.text().trim_end(),
        "Not ready: Unable to find any logs to tail. Please verify permissions, volumes, \
         scrape_config, etc."
    );
    let mut writer = rig.writer("a.log", 1);
    writer.write_lines(1).unwrap();
    agent.wait_ready().unwrap();
    rig.settle(&agent, &[writer.written()]);
    stop(&mut agent);
}

#[test]
fn promtails_ready_waits_for_nothing_where_that_is_wanted() {
    let rig = rig(", promtail: true, ready_without_targets: true");
    let mut agent = rig.start();
    assert_eq!(get(&agent, "/ready").text(), "Ready");
    stop(&mut agent);
}

#[test]
fn a_prefix_stands_before_every_path() {
    for (keys, root) in [("", 200), (", promtail: true", 303)] {
        let rig = rig(&format!(", path_prefix: /log/agent/, reload: true{keys}"));
        let mut writer = rig.writer("a.log", 1);
        writer.write_lines(1).unwrap();
        let mut agent = launch(&rig);
        let address = address(&rig);
        let status = |path: &str| client::get(address, path).map(|answer| answer.status);
        wait::until(DEADLINE, "it is ready", || {
            status("/log/agent/ready").is_ok_and(|status| status == 200)
        })
        .unwrap();
        assert_eq!(status("/log/agent").unwrap(), root);
        assert_eq!(status("/log/agent/").unwrap(), root);
        for path in ["/metrics", "/healthz", "/status", "/api/v1/status"] {
            assert_eq!(status(path).unwrap(), 404, "{path}");
            let path = format!("/log/agent{path}");
            assert_eq!(status(&path).unwrap(), 200, "{path}");
        }
        let reload = client::post(address, "/log/agent/-/reload", "", b"").unwrap();
        assert_eq!(reload.status, 500, "the file has not changed");
        stop(&mut agent);
    }
}

fn reload_counts(agent: &Agent) -> (f64, f64) {
    let metrics = agent.metrics().unwrap();
    let sum = |name| metrics.sum(name, &[]);
    (
        sum("promtail_config_reload_success_total"),
        sum("promtail_config_reload_fail_total"),
    )
}

#[test]
fn a_reload_is_asked_for_over_http_and_answered_when_it_is_done() {
    let rig = rig(", promtail: true, reload: true");
    let mut writer = rig.writer("a.log", 1);
    writer.write_lines(10).unwrap();
    let mut agent = rig.start();
    let unchanged = get(&agent, "/reload");
    let expected = "failed to reload config: config has not changed\n";
    assert_eq!((unchanged.status, &*unchanged.text()), (500, expected));
    assert_eq!(reload_counts(&agent), (0.0, 1.0));
    rewrite(&rig, &rig.config.replace("job: e2e", "job: other"));
    let reloaded = get(&agent, "/reload");
    assert_eq!((reloaded.status, &*reloaded.text()), (200, ""));
    assert_eq!(reload_counts(&agent), (1.0, 1.0));
    assert!(get(&agent, "/config").text().contains("job: other"));
    rewrite(&rig, &rig.config.replace("include:", "inclde:"));
    let broken = client::post(agent.admin(), "/-/reload", "", b"").unwrap();
    assert_eq!(broken.status, 500);
    let text = broken.text();
    assert!(text.starts_with("failed to reload config: "), "{text}");
    assert!(text.contains("did you mean `include`"), "{text}");
    assert!(!text.contains("hunter2"), "{text}");
    assert_eq!(reload_counts(&agent), (1.0, 2.0));
    agent.sighup().unwrap();
    wait::until(DEADLINE, "the signal is counted too", || {
        reload_counts(&agent) == (1.0, 3.0)
    })
    .unwrap();
    writer.write_lines(10).unwrap();
    let written = [writer.written()];
    rig.settle(&agent, &written);
    rig.verdict(&written).assert_exact_by_timestamp();
    stop(&mut agent);
}

#[test]
fn without_an_address_there_is_no_server() {
    let mut rig = Rig::new("", "");
    rig.config = rig.config.replace(SERVER, "server: { listen: \"\" }");
    let mut writer = rig.writer("a.log", 1);
    writer.write_lines(10).unwrap();
    let mut agent = launch(&rig);
    let written = [writer.written()];
    let arrived = rig
        .sink
        .wait_until(|state| state.has_all(&written), DEADLINE);
    assert!(arrived, "{}", agent.log());
    assert!(!rig.directory.path().join("data/admin.addr").exists());
    stop(&mut agent);
}

#[test]
fn ten_metrics_in_a_row_are_one_text_each_without_a_family_twice() {
    let rig = rig(", promtail: true");
    let mut writer = rig.writer("a.log", 1);
    writer.write_lines(10).unwrap();
    let mut agent = rig.start();
    for _ in 0..10 {
        let text = get(&agent, "/metrics").text();
        let mut families: Vec<&str> = text
            .lines()
            .filter(|line| line.starts_with("# TYPE"))
            .collect();
        let all = families.len();
        families.sort_unstable();
        families.dedup();
        assert_eq!(families.len(), all);
        Metrics::parse(&text).unwrap();
    }
    stop(&mut agent);
}
