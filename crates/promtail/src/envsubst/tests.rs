use super::*;

fn expanded(text: &str) -> Result<Expanded, BadVariable> {
    let variables = [
        ("HOST", "web-1"),
        ("PATHS", "/a/b/c.log"),
        ("MIXED", "aBc"),
        ("EMPTY", ""),
        ("BLOCK", "a: 1\nb: 2"),
    ];
    let variables = variables.map(|(name, value)| (name.to_owned(), value.to_owned()));
    expand(text, &HashMap::from(variables))
}

#[track_caller]
fn check(text: &str, expected: &str) {
    assert_eq!(expanded(text).unwrap().text, expected, "{text}");
}

#[test]
fn variables_are_put_in_and_unset_ones_are_empty() {
    check("host: ${HOST}", "host: web-1");
    check("[${NONE}]", "[]");
    check("${HOST}${HOST}", "web-1web-1");
}

#[test]
fn a_dollar_without_braces_stays() {
    check("regex: ^a$ $1 $HOST", "regex: ^a$ $1 $HOST");
    check("5$", "5$");
}

#[test]
fn a_number_in_braces_is_empty_unless_its_dollar_is_doubled() {
    check("replacement: ${1}", "replacement: ");
    check("replacement: $${1}", "replacement: ${1}");
    check("$$1 $$$$", "$1 $$");
}

#[test]
fn backslashes_stand_for_themselves_and_for_slashes() {
    check(r"a\\b \/ \d", r"a\b / \d");
}

#[test]
fn defaults_take_the_place_of_what_is_unset_or_empty() {
    check("${NONE:-d} ${EMPTY:-d} ${HOST:-d}", "d d web-1");
    check("${NONE:=d} ${NONE=d} ${HOST=d}", "d d web-1");
    check("${NONE:-http://loki:3100}", "http://loki:3100");
    check("${NONE:-${HOST}-x}", "web-1-x");
    check("${NONE:-}", "");
}

#[test]
fn lengths_and_cases_are_changed() {
    check("${#HOST} ${#NONE}", "5 0");
    check(
        "${MIXED^^} ${MIXED,,} ${MIXED^} ${MIXED,}",
        "ABC abc ABc aBc",
    );
}

#[test]
fn patterns_are_cut_off_at_both_ends() {
    check("${PATHS#*/}", "a/b/c.log");
    check("${PATHS##*/}", "c.log");
    check("${PATHS%/*}", "/a/b");
    check("${PATHS%%/*}", "");
    check("${HOST%-?}", "web");
    check("${HOST#nothing}", "web-1");
}

#[test]
fn parts_are_taken_by_offset_and_length() {
    check("${HOST:1}", "eb-1");
    check("${HOST:0:3}", "web");
    check("${HOST:4:100}", "1");
    check("${HOST:9}", "");
}

#[test]
fn parts_are_replaced_once_or_everywhere() {
    check("${PATHS/b/x}", "/a/x/c.log");
    check("${MIXED/B/}", "ac");
    check("${HOST//e/3}", "w3b-1");
    check("${HOST/#web/db}", "db-1");
    check("${HOST/%1/2}", "web-2");
}

#[test]
fn what_is_no_variable_is_refused_by_its_place() {
    assert_eq!(expanded("ab ${HOST").unwrap_err().at, 3);
    assert_eq!(expanded("${}").unwrap_err().at, 0);
    assert_eq!(expanded("${HOST!}").unwrap_err().at, 0);
}

#[test]
fn what_a_variable_holds_is_not_expanded_again() {
    let variables = HashMap::from([("A".to_owned(), "${B} $$".to_owned())]);
    assert_eq!(expand("${A}", &variables).unwrap().text, "${B} $$");
}

#[test]
fn what_is_shown_has_the_same_shape_and_holds_no_value() {
    let found = expanded("x: ${HOST} y ${NONE:-d}\n${BLOCK}").unwrap();
    assert_eq!(found.text, "x: web-1 y d\na: 1\nb: 2");
    assert_eq!(found.shown, "x: ***** y d\n****\n****");
}
