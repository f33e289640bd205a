use super::*;
use crate::model::RelabelConfig;

fn labels(pairs: &[(&str, &str)]) -> Labels {
    let pairs = pairs.iter();
    pairs
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect()
}

fn config(yaml: &str) -> RelabelConfig {
    tailwater_yaml::shape::read(&tailwater_yaml::read(yaml).unwrap()).unwrap()
}

/// Checks what one rule makes of labels; `None` where the target is dropped.
#[track_caller]
fn check(rule: &str, before: &[(&str, &str)], after: Option<&[(&str, &str)]>) {
    let rule = compile(&config(rule)).unwrap();
    assert_eq!(process(&[rule], labels(before)), after.map(labels));
}

#[track_caller]
fn refused(rule: &str, key: &str) {
    assert_eq!(compile(&config(rule)).unwrap_err().key, key, "{rule}");
}

const ABC: &[(&str, &str)] = &[("a", "foo"), ("b", "bar"), ("c", "baz")];

#[test]
fn replace_copies_the_first_group_by_default() {
    check(
        "{ source_labels: [a], target_label: d }",
        ABC,
        Some(&[("a", "foo"), ("b", "bar"), ("c", "baz"), ("d", "foo")]),
    );
}

#[test]
fn replace_joins_values_by_the_separator() {
    check(
        r#"{ source_labels: [a, b, none], separator: "-", target_label: d }"#,
        ABC,
        Some(&[("a", "foo"), ("b", "bar"), ("c", "baz"), ("d", "foo-bar-")]),
    );
    check(
        r#"{ source_labels: [a, b], regex: "f(.*);(.*)r", target_label: a, replacement: "b${1}${2}m" }"#,
        ABC,
        Some(&[("a", "boobam"), ("b", "bar"), ("c", "baz")]),
    );
}

#[test]
fn an_expression_must_match_the_whole_value() {
    check(
        r#"{ source_labels: [a], regex: "o", target_label: d, replacement: x }"#,
        ABC,
        Some(ABC),
    );
    check(
        r#"{ source_labels: [a], regex: ".*o.*", action: drop }"#,
        ABC,
        None,
    );
    check(
        r#"{ source_labels: [a], regex: "f|o", action: drop }"#,
        ABC,
        Some(ABC),
    );
}

#[test]
fn a_replacement_of_nothing_takes_the_label_away() {
    check(
        r#"{ source_labels: [a], target_label: b, replacement: "" }"#,
        ABC,
        Some(&[("a", "foo"), ("c", "baz")]),
    );
    check(
        "{ source_labels: [none], target_label: b }",
        ABC,
        Some(&[("a", "foo"), ("c", "baz")]),
    );
}

#[test]
fn groups_are_taken_by_number_and_name() {
    check(
        r#"{ source_labels: [a], regex: "(?P<first>.)(.*)", target_label: d, replacement: "$2${first}$$" }"#,
        &[("a", "foo")],
        Some(&[("a", "foo"), ("d", "oof$")]),
    );
    check(
        r#"{ source_labels: [a], regex: "(.)(.*)", target_label: d, replacement: "$1x" }"#,
        &[("a", "foo")],
        Some(&[("a", "foo")]),
    );
}

#[test]
fn the_target_may_hold_groups_and_must_become_a_name() {
    check(
        r#"{ source_labels: [a], regex: "(.*)", target_label: "x_${1}", replacement: y }"#,
        &[("a", "foo")],
        Some(&[("a", "foo"), ("x_foo", "y")]),
    );
    check(
        r#"{ source_labels: [a], regex: "(.*)", target_label: "${1}", replacement: y }"#,
        &[("a", "0-9")],
        Some(&[("a", "0-9")]),
    );
}

#[test]
fn keep_and_drop_decide_by_the_match() {
    check(
        r#"{ source_labels: [a], regex: "foo", action: keep }"#,
        ABC,
        Some(ABC),
    );
    check(
        r#"{ source_labels: [a], regex: "no", action: keep }"#,
        ABC,
        None,
    );
    check(
        r#"{ source_labels: [a], regex: "foo", action: drop }"#,
        ABC,
        None,
    );
    check(
        r#"{ source_labels: [none], regex: "", action: drop }"#,
        ABC,
        None,
    );
}

#[test]
fn a_dot_takes_newlines_too() {
    check(
        r#"{ source_labels: [a], regex: "x.y", action: drop }"#,
        &[("a", "x\ny")],
        None,
    );
}

#[test]
fn keepequal_and_dropequal_compare_two_labels() {
    let same: &[(&str, &str)] = &[("a", "1"), ("b", "1")];
    let other: &[(&str, &str)] = &[("a", "1"), ("b", "2")];
    let keep = "{ source_labels: [a], target_label: b, action: keepequal }";
    let drop = "{ source_labels: [a], target_label: b, action: dropequal }";
    check(keep, same, Some(same));
    check(keep, other, None);
    check(drop, same, None);
    check(drop, other, Some(other));
}

#[test]
fn hashmod_takes_the_last_half_of_the_md5_sum() {
    // The cases are Prometheus' own: it is how several agents share targets.
    check(
        "{ source_labels: [c], target_label: d, action: hashmod, modulus: 1000 }",
        ABC,
        Some(&[("a", "foo"), ("b", "bar"), ("c", "baz"), ("d", "976")]),
    );
    check(
        "{ source_labels: [a], target_label: d, action: hashmod, modulus: 1000 }",
        &[("a", "foo\nbar")],
        Some(&[("a", "foo\nbar"), ("d", "734")]),
    );
}

#[test]
fn labelmap_copies_under_new_names() {
    check(
        r#"{ regex: "__meta_(my.*)", action: labelmap }"#,
        &[
            ("a", "foo"),
            ("__meta_my_bar", "aaa"),
            ("__meta_other", "x"),
        ],
        Some(&[
            ("a", "foo"),
            ("__meta_my_bar", "aaa"),
            ("__meta_other", "x"),
            ("my_bar", "aaa"),
        ]),
    );
    check(
        r#"{ regex: "(a)(1.*)", replacement: "bar_${2}", action: labelmap }"#,
        &[("a1", "foo"), ("b", "bar")],
        Some(&[("a1", "foo"), ("b", "bar"), ("bar_1", "foo")]),
    );
}

#[test]
fn labeldrop_and_labelkeep_go_by_names() {
    check(
        r#"{ regex: "(b|c)", action: labeldrop }"#,
        ABC,
        Some(&[("a", "foo")]),
    );
    check(
        r#"{ regex: "b.*", action: labelkeep }"#,
        ABC,
        Some(&[("b", "bar")]),
    );
}

#[test]
fn lowercase_and_uppercase_change_letters() {
    check(
        "{ source_labels: [a], target_label: u, action: uppercase }",
        &[("a", "bAr123Foo")],
        Some(&[("a", "bAr123Foo"), ("u", "BAR123FOO")]),
    );
    check(
        "{ source_labels: [a], target_label: l, action: LOWERCASE }",
        &[("a", "bAr123Foo")],
        Some(&[("a", "bAr123Foo"), ("l", "bar123foo")]),
    );
}

#[test]
fn rules_see_what_the_rules_before_them_made() {
    let rules: Vec<Rule> = [
        "{ source_labels: [a], target_label: b }",
        "{ source_labels: [b], regex: foo, action: keep }",
    ]
    .iter()
    .map(|rule| compile(&config(rule)).unwrap())
    .collect();
    assert_eq!(
        process(&rules, labels(&[("a", "foo")])),
        Some(labels(&[("a", "foo"), ("b", "foo")]))
    );
    assert_eq!(process(&rules, labels(&[("a", "bar")])), None);
}

#[test]
fn the_expressions_of_the_helm_chart_work() {
    check(
        r#"{ source_labels: [n], regex: "([0-9a-z-.]+?)(-[0-9a-f]{8,10})?", target_label: o }"#,
        &[("n", "web-server-7d4b9c6f5d")],
        Some(&[("n", "web-server-7d4b9c6f5d"), ("o", "web-server")]),
    );
    check(
        r#"{ source_labels: [x, y, z], regex: "^;*([^;]+)(;.*)?$", target_label: app }"#,
        &[("y", "nginx"), ("z", "pod")],
        Some(&[("y", "nginx"), ("z", "pod"), ("app", "nginx")]),
    );
}

#[test]
fn rules_that_cannot_work_are_refused_by_their_key() {
    refused("{ source_labels: [a], action: rename }", "action");
    refused("{ source_labels: [a] }", "target_label");
    refused("{ target_label: 'a-b' }", "target_label");
    refused("{ target_label: '${' }", "target_label");
    refused("{ target_label: a, regex: '(' }", "regex");
    refused("{ target_label: a, regex: '(?=x)' }", "regex");
    refused("{ target_label: a, action: hashmod }", "modulus");
    refused(
        "{ target_label: '$1', modulus: 2, action: hashmod }",
        "target_label",
    );
    refused("{ action: labelmap, replacement: 'a-$1' }", "replacement");
    refused("{ action: labeldrop, regex: a, target_label: b }", "action");
    refused(
        "{ action: lowercase, target_label: a, replacement: x }",
        "replacement",
    );
    refused("{ action: keepequal, target_label: a, regex: x }", "action");
}

#[test]
fn an_unknown_action_names_the_eleven() {
    assert_eq!(
        compile(&config("{ action: x }")).unwrap_err().valid.len(),
        11
    );
}
