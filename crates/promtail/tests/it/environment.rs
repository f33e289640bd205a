//! Variables in the raw text.

use super::{CLIENT, errors, native};

const EXPAND: &[&str] = &["-config.expand-env=true"];

const JOB: &str =
    "scrape_configs:\n- job_name: ${JOB}\n  static_configs: [{ labels: { __path__: /a.log } }]\n";

#[test]
fn variables_are_expanded_only_where_the_flag_says_so() {
    let text = format!("clients: [{{ url: \"${{LOKI_URL}}/push\" }}]\n{JOB}");
    let expanded = native(&text, EXPAND).text;
    assert!(
        expanded.contains("url: 'http://hunter2:3100/push'"),
        "{expanded}"
    );
    let plain = native(&format!("{CLIENT}{JOB}"), &[]).text;
    assert!(plain.contains("\n  '--JOB-':\n"), "{plain}");
}

#[test]
fn a_variable_may_hold_structure() {
    let found = native(&format!("{CLIENT}${{BLOCK}}\n{JOB}"), EXPAND).text;
    assert!(found.contains("import_positions: /p.yaml"), "{found}");
    let text = format!("{CLIENT}positions: ${{NONE:-{{filename: /p.yaml\n");
    assert!(errors(&text, EXPAND).contains("the `}` of this variable is missing"));
}

#[test]
fn errors_show_the_line_without_what_variables_hold() {
    let text = format!("{CLIENT}{JOB}  pipeline_stages: [{{ output: {{}} }}] # ${{LOKI_URL}}\n");
    let shown = errors(&text, EXPAND);
    assert!(shown.contains("promtail.yaml:5:"), "{shown}");
    assert!(shown.contains("# *******************"), "{shown}");
}

#[test]
fn a_duplicate_name_from_a_variable_is_shown_as_the_variable() {
    let text = format!(
        "{CLIENT}{JOB}- job_name: ${{JOB}}\n  static_configs: [{{ labels: {{ __path__: /b.log }} }}]\n"
    );
    let shown = errors(&text, EXPAND);
    assert!(
        shown.contains("found multiple scrape configs with job name \"${JOB}\""),
        "{shown}"
    );
}

#[test]
fn a_group_of_a_replacement_survives_with_two_dollars() {
    let job = |replacement: &str| {
        format!(
            "{CLIENT}scrape_configs:\n- job_name: a\n  static_configs: [{{ labels: {{ x: y, __path__: /a.log }} }}]\n  relabel_configs: [{{ source_labels: [x], target_label: z, replacement: \"{replacement}\" }}]\n"
        )
    };
    assert!(!native(&job("${1}"), EXPAND).text.contains("z: "));
    assert!(native(&job("$${1}"), EXPAND).text.contains("z: 'y'"));
    assert!(native(&job("$1"), EXPAND).text.contains("z: 'y'"));
}
