//! The configurations that most installations run.

use std::path::{Path, PathBuf};

use tailwater_promtail::{Flags, Loaded, convert, effective_config, is_promtail, load_text};
use tailwater_yaml::ConfigError;

use super::host;

fn case(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/cases")
        .join(name)
}

/// Reads a case under its bare name, so that what is said of it is the same everywhere.
fn read(name: &str) -> Result<Loaded, ConfigError> {
    let text = std::fs::read_to_string(case(name)).unwrap();
    load_text(&text, Some(Path::new(name)), &Flags::default(), &host())
}

#[track_caller]
fn loaded(name: &str) -> Loaded {
    read(name).unwrap_or_else(|error| panic!("{error}"))
}

/// The native text of a case must be the file beside it.
#[track_caller]
fn check(name: &str) {
    let loaded = loaded(&format!("{name}.yaml"));
    let text = convert(&loaded, &loaded.targets()).text;
    let expected = std::fs::read_to_string(case(&format!("{name}.native.yaml"))).unwrap();
    assert_eq!(text, expected, "\n{text}");
}

#[test]
fn the_configuration_of_the_packages_is_converted() {
    check("package");
}

#[test]
fn the_configuration_of_the_container_image_is_converted() {
    check("docker");
}

#[test]
fn the_local_sample_is_converted() {
    check("local");
}

#[test]
fn the_configuration_of_a_real_deployment_is_converted() {
    check("wordpress");
    assert_eq!(loaded("wordpress.yaml").targets().targets.len(), 9);
}

#[test]
fn the_helm_chart_with_the_files_of_the_node_is_converted() {
    check("helm-files");
}

#[test]
fn almost_everything_that_can_be_said_is_converted() {
    check("rich");
}

#[track_caller]
fn refused(name: &str, parts: &[&str]) {
    let error = read(name).unwrap_err();
    let text = error.to_string();
    assert!(
        text.starts_with("invalid configuration\n"),
        "more than one error: {text}"
    );
    for part in parts {
        assert!(text.contains(part), "`{part}` is not in\n{text}");
    }
}

#[test]
fn the_helm_chart_with_pods_gives_one_error_with_a_way_out() {
    refused(
        "helm.yaml",
        &[
            ":18:5: `kubernetes_sd_configs` is not in this version",
            "/var/log/pods/*/*/*.log",
        ],
    );
}

#[test]
fn the_sample_for_the_journal_gives_one_error_with_a_way_out() {
    refused(
        "journal.yaml",
        &[
            ":14:3: `journal` is not in this version",
            "ForwardToSyslog=yes",
        ],
    );
}

#[test]
fn every_case_is_told_from_the_native_form() {
    for name in [
        "package",
        "docker",
        "local",
        "journal",
        "helm",
        "wordpress",
        "rich",
    ] {
        let text = std::fs::read_to_string(case(&format!("{name}.yaml"))).unwrap();
        assert!(is_promtail(&tailwater_yaml::read(&text).unwrap()), "{name}");
    }
    for name in ["package", "wordpress", "rich"] {
        let text = std::fs::read_to_string(case(&format!("{name}.native.yaml"))).unwrap();
        assert!(
            !is_promtail(&tailwater_yaml::read(&text).unwrap()),
            "{name}"
        );
    }
}

#[test]
fn a_conversion_is_the_same_each_time() {
    let loaded = loaded("rich.yaml");
    let first = convert(&loaded, &loaded.targets());
    assert_eq!(first, convert(&loaded, &loaded.targets()));
}

#[test]
fn the_effective_configuration_has_defaults_and_no_secret() {
    let shown = effective_config(&loaded("rich.yaml"));
    assert!(
        !shown.contains("pa%20ss") && !shown.contains("pa ss"),
        "{shown}"
    );
    assert!(
        shown.contains("url: 'https://<secret>@loki.example:443/loki/api/v1/push'"),
        "{shown}"
    );
    assert!(shown.contains("X-Team: <secret>"), "{shown}");
    assert!(shown.contains("proxy_url: <secret>"), "{shown}");
    let shown = effective_config(&loaded("package.yaml"));
    assert!(
        shown.contains("batchwait: 1s\n    batchsize: 1048576\n"),
        "{shown}"
    );
    assert!(shown.contains("job_name: system"), "{shown}");
}
