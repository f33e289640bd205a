//! Static targets, relabeling, and what is not followed.

use tailwater_promtail::{DropReason, Targets};

use super::loaded;

fn targets(job: &str) -> Targets {
    loaded(&format!("scrape_configs:\n- job_name: a\n  {job}\n")).targets()
}

fn reasons(targets: &Targets) -> Vec<DropReason> {
    targets
        .dropped
        .iter()
        .map(|dropped| dropped.reason)
        .collect()
}

#[test]
fn a_target_has_its_labels_by_name_and_none_that_begins_with_two_underscores() {
    let found = targets(
        "static_configs: [{ targets: [localhost], labels: { z: 1, a: 2, __x: y, __path__: /a.log, __path_exclude__: /b.log } }]",
    );
    let target = &found.targets[0];
    assert_eq!(
        (target.path.as_str(), target.exclude.as_str()),
        ("/a.log", "/b.log")
    );
    let labels = [("a", "2"), ("z", "1")].map(|(name, value)| (name.to_owned(), value.to_owned()));
    assert_eq!(target.labels, labels);
    assert_eq!((target.job, target.job_name.as_str()), (0, "a"));
}

#[test]
fn the_address_is_localhost_where_there_is_none() {
    let found = targets(
        "static_configs: [{ labels: { __path__: /a.log } }]\n  relabel_configs: [{ source_labels: [__address__], target_label: host }]",
    );
    assert_eq!(
        found.targets[0].labels,
        [("host".to_owned(), "localhost".to_owned())]
    );
}

#[test]
fn targets_that_differ_only_in_their_address_are_one() {
    let found = targets("static_configs: [{ targets: [a, b], labels: { __path__: /a.log } }]");
    assert_eq!(found.targets.len(), 1);
    assert_eq!(reasons(&found), [DropReason::Exists]);
}

#[test]
fn a_target_without_a_path_is_dropped_by_name() {
    let found = targets("static_configs: [{ labels: { job: x } }]");
    assert!(found.targets.is_empty());
    assert_eq!(reasons(&found), [DropReason::NoPath]);
    assert_eq!(DropReason::NoPath.as_str(), "no_path");
}

#[test]
fn a_target_of_another_machine_is_dropped() {
    let found = targets(
        "static_configs: [{ labels: { __host__: web-1, __path__: /a.log } }, { labels: { __host__: web-2, __path__: /b.log } }]",
    );
    assert_eq!(found.targets.len(), 1);
    assert_eq!(found.targets[0].path, "/a.log");
    assert_eq!(reasons(&found), [DropReason::WrongHost]);
}

#[test]
fn a_target_that_relabeling_drops_is_counted_as_such() {
    let found = targets(
        "static_configs: [{ labels: { env: dev, __path__: /a.log } }]\n  relabel_configs: [{ source_labels: [env], regex: dev, action: drop }]",
    );
    assert_eq!(reasons(&found), [DropReason::Dropped]);
    let labels = &found.dropped[0].labels;
    assert!(
        labels.contains(&("env".to_owned(), "dev".to_owned())),
        "{labels:?}"
    );
}

#[test]
fn relabeling_may_make_the_path() {
    let found = targets(
        "static_configs: [{ labels: { app: shop } }]\n  relabel_configs: [{ source_labels: [app], target_label: __path__, replacement: \"/srv/$1/*.log\" }]",
    );
    assert_eq!(found.targets[0].path, "/srv/shop/*.log");
}

#[test]
fn the_same_target_in_two_jobs_is_two() {
    let found = loaded(
        "scrape_configs:\n- { job_name: a, static_configs: [{ labels: { __path__: /a.log } }] }\n- { job_name: b, static_configs: [{ labels: { __path__: /a.log } }] }\n",
    )
    .targets();
    assert_eq!(found.targets.len(), 2);
}

#[test]
fn the_standard_input_is_the_only_target_with_the_labels_of_the_first_job() {
    let text = "scrape_configs:\n\
        - job_name: a\n  pipeline_stages: [{ cri: {} }]\n  \
          static_configs: [{ labels: { job: x, __path__: /nowhere/a } }, { labels: { b: two, filename: z } }]\n\
        - job_name: b\n  static_configs: [{ labels: { __path__: /nowhere/b } }]\n";
    let native = super::native(&format!("{}{text}", super::CLIENT), &["-stdin"]).text;
    assert!(
        native.contains("include: [/dev/stdin]") || native.contains("- /dev/stdin"),
        "{native}"
    );
    assert!(!native.contains("/nowhere"), "{native}");
    for written in [
        "job: x",
        "b: two",
        "filename: z",
        "path_label: ''",
        "cri: {}",
    ] {
        let as_json = written.replace("''", "\"\"");
        assert!(
            native.contains(written) || native.contains(&as_json),
            "{written}\n{native}"
        );
    }
}

#[test]
fn the_standard_input_needs_no_job_and_no_files() {
    for text in [
        "",
        "scrape_configs: [{ job_name: stages, pipeline_stages: [{ docker: {} }] }]\n",
    ] {
        let loaded = super::read(&format!("{}{text}", super::CLIENT), &["-stdin"]).unwrap();
        let targets = loaded.targets().targets;
        let labels = targets.first().map(|target| target.labels.clone()).unwrap();
        let expected = [("hostname", "web-1"), ("job", "stdin")];
        let expected = expected.map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(labels, expected);
    }
}
