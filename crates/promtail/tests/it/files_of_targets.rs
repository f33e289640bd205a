//! `file_sd_configs`.

use std::path::Path;
use std::time::Duration;

use tailwater_promtail::Loaded;

use super::loaded;

#[expect(
    clippy::disallowed_methods,
    reason = "a file of a test need not be durable"
)]
fn write(path: &Path, text: &str) {
    std::fs::write(path, text).unwrap();
}

fn job(pattern: &str, more: &str) -> Loaded {
    loaded(&format!(
        "scrape_configs:\n- job_name: a\n  file_sd_configs: [{{ files: [\"{pattern}\"]{more} }}]\n"
    ))
}

fn paths(loaded: &Loaded) -> Vec<String> {
    let targets = loaded.targets().targets;
    targets.into_iter().map(|target| target.path).collect()
}

#[test]
fn targets_are_read_from_yaml_and_json_in_the_order_of_the_files() {
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    write(
        &at("b.yml"),
        "- targets: [x]\n  labels: { __path__: /b.log }\n",
    );
    write(
        &at("a.json"),
        "[\n\t{\"targets\": [\"x\"], \"labels\": {\"__path__\": \"/a.log\"}}\n]",
    );
    write(&at("c.txt"), "nothing");
    let all = job(&format!("{}/*.yml", directory.path().display()), "");
    assert_eq!(paths(&all), ["/b.log"]);
    let json = job(&format!("{}/*.json", directory.path().display()), "");
    assert_eq!(paths(&json), ["/a.log"], "{:?}", json.targets().unreadable);
}

#[test]
fn a_file_that_is_not_there_yet_is_no_error() {
    let directory = tempfile::tempdir().unwrap();
    let pattern = format!("{}/later.yml", directory.path().display());
    let loaded = job(&pattern, "");
    assert!(loaded.targets().unreadable.is_empty() && paths(&loaded).is_empty());
    write(
        Path::new(&pattern),
        "- targets: [x]\n  labels: { __path__: /a.log }\n",
    );
    assert_eq!(paths(&loaded), ["/a.log"]);
    write(Path::new(&pattern), "");
    assert!(paths(&loaded).is_empty());
}

#[test]
fn a_broken_file_is_named_with_its_place_and_the_others_count() {
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    write(&at("a.yml"), "- targets: [x]\n  lables: {}\n");
    write(
        &at("b.yml"),
        "- targets: [x]\n  labels: { __path__: /b.log }\n",
    );
    let loaded = job(&format!("{}/*.yml", directory.path().display()), "");
    let found = loaded.targets();
    assert_eq!(found.targets.len(), 1);
    assert!(
        found.unreadable[0].contains("a.yml:2:3"),
        "{:?}",
        found.unreadable
    );
}

#[test]
fn targets_know_the_file_they_are_from() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("a.yml");
    write(&file, "- targets: [x]\n  labels: { __path__: /a.log }\n");
    let loaded = loaded(&format!(
        "scrape_configs:\n- job_name: a\n  file_sd_configs: [{{ files: [\"{0}\"] }}]\n  relabel_configs: [{{ source_labels: [__meta_filepath], target_label: from }}]\n",
        file.display()
    ));
    let label = ("from".to_owned(), file.display().to_string());
    assert_eq!(loaded.targets().targets[0].labels, [label]);
}

#[test]
fn what_is_to_be_read_again_is_told_with_its_interval() {
    let watched = job("/etc/promtail/*.yml", "").watched();
    assert_eq!(watched[0].files, ["/etc/promtail/*.yml"]);
    assert_eq!(watched[0].refresh_interval, Duration::from_secs(300));
    let watched = job("/etc/a.json", ", refresh_interval: 1m30s").watched();
    assert_eq!(watched[0].refresh_interval, Duration::from_secs(90));
}
