//! Files of targets that change while it runs, targets that come late, and targets that share a file.

use std::collections::BTreeMap;

use tailwater_testkit::client;

use crate::rig::{Rig, labels};

const FILE_SD: &str = "scrape_configs:\n\
    - job_name: found\n  \
      file_sd_configs: [{ files: [DIR/targets/*.yml], refresh_interval: 1s }]\n";

fn target(job: &str, path: &str) -> String {
    format!("- {{ targets: [localhost], labels: {{ job: {job}, __path__: DIR/{path} }} }}\n")
}

#[test]
fn targets_are_taken_up_and_left_as_their_file_says_while_it_runs() {
    let rig = Rig::new();
    rig.configure(FILE_SD);
    rig.write("targets/a.yml", &target("one", "logs/one.log"));
    let mut one = rig.writer("logs/one.log", 1);
    let mut two = rig.writer("logs/two.log", 2);
    one.write_lines(100).unwrap();
    two.write_lines(100).unwrap();
    let mut promtail = rig.start(&[]);
    rig.settle(&promtail, &[one.written()]);
    assert_eq!(rig.entries().len(), 100, "only the file that is named");
    let both = target("one", "logs/one.log") + &target("two", "logs/two.log");
    rig.write("targets/a.yml", &both);
    rig.settle(&promtail, &[one.written(), two.written()]);
    // The first target goes; what is written to its file from then on is not read.
    rig.write("targets/a.yml", &target("two", "logs/two.log"));
    let sources = |promtail: &crate::rig::Promtail| {
        let page = client::get(promtail.admin(), "/service-discovery").unwrap();
        page.text()
    };
    promtail.wait_until("the first target is gone", |promtail| {
        !sources(promtail).contains("job=\"one\"")
            && !sources(promtail).contains("job=&quot;one&quot;")
    });
    let first = one.written();
    one.write_lines(100).unwrap();
    two.write_lines(100).unwrap();
    rig.settle(&promtail, &[first, two.written()]);
    rig.verdict(&[first, two.written()])
        .assert_exact_by_timestamp();
    promtail.stop();
}

#[test]
fn without_targets_it_waits_for_some() {
    let rig = Rig::new();
    rig.configure(FILE_SD);
    let mut writer = rig.writer("logs/late.log", 1);
    writer.write_lines(100).unwrap();
    let mut promtail = rig.launch(&[]);
    let ready = client::get(promtail.admin(), "/ready").unwrap();
    assert_ne!(ready.status, 200, "nothing is followed");
    assert!(
        promtail.log().contains("no target is followed"),
        "{}",
        promtail.log()
    );
    rig.write("targets/late.yml", &target("late", "logs/late.log"));
    let written = [writer.written()];
    rig.settle(&promtail, &written);
    rig.verdict(&written).assert_exact_by_timestamp();
    // And it waits again where they are gone.
    std::fs::remove_file(rig.path("targets/late.yml")).unwrap();
    promtail.wait_until("nothing is followed", |promtail| {
        client::get(promtail.admin(), "/ready").is_ok_and(|answer| answer.status != 200)
    });
    promtail.stop();
}

#[test]
fn two_jobs_on_one_file_each_ship_every_line() {
    let rig = Rig::new();
    rig.configure(
        "scrape_configs:\n\
         - job_name: one\n  \
           static_configs: [{ labels: { job: one, __path__: DIR/logs/a.log } }]\n\
         - job_name: two\n  \
           pipeline_stages: [{ static_labels: { staged: 'yes' } }]\n  \
           static_configs: [{ labels: { job: two, __path__: DIR/logs/*.log } }]\n",
    );
    let mut writer = rig.writer("logs/a.log", 1);
    let mut promtail = rig.start(&[]);
    writer.write_lines(100).unwrap();
    rig.settle_lines(&promtail, 200);
    promtail.stop();
    writer.write_lines(100).unwrap();
    let mut promtail = rig.start(&[]);
    rig.settle_lines(&promtail, 400);
    promtail.stop();
    let mut copies: BTreeMap<(String, u64), u32> = BTreeMap::new();
    for entry in rig.entries() {
        let id = tailwater_testkit::line::parse_line(&entry.line).unwrap();
        *copies.entry((labels(&entry), id.seq)).or_default() += 1;
    }
    assert!(copies.values().all(|count| *count == 1), "{copies:?}");
    assert_eq!(copies.len(), 400);
    let jobs: std::collections::BTreeSet<_> =
        copies.into_keys().map(|(labels, _)| labels).collect();
    let path = rig.path("logs/a.log").display().to_string();
    let expected = [
        format!(r#"{{filename="{path}", job="one"}}"#),
        format!(r#"{{filename="{path}", job="two", staged="yes"}}"#),
    ];
    assert_eq!(jobs.into_iter().collect::<Vec<_>>(), expected);
}
