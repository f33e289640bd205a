//! What is no YAML, or too much of it.

use super::check;

#[test]
fn an_unclosed_bracket_is_marked() {
    check(
        r#"sources: { a: { include: ["/x/*.log" } }
"#,
        r#"
tailwater.yaml:1:26: this is not valid YAML: mismatched bracket '[' closed by '}'
  |
1 | sources: { a: { include: ["/x/*.log" } }
  |                          ^
  |
  = help: check the indentation, and that every bracket and quote is closed
"#,
    );
}

#[test]
fn a_glob_without_quotes_is_explained() {
    check(
        r"sources:
  a:
    include: [*.log]
",
        r#"
tailwater.yaml:3:15: there is no anchor of this name
  |
3 |     include: [*.log]
  |               ^
  |
  = help: a value that begins with `*` is an alias in YAML: put globs in quotes, `"*.log"`
"#,
    );
}

#[test]
fn a_tab_is_explained() {
    check(
        "sources:\n  a:\n\tinclude: []\n",
        r"
tailwater.yaml:3:2: this is not valid YAML: tabs disallowed within this context (block indentation)
  |
3 |     include: []
  |     ^
  |
  = help: YAML is indented with spaces; there is a tab in this line
",
    );
}

#[test]
fn a_second_document_is_refused() {
    check(
        r#"sources: { a: { include: ["/x/*.log"] } }
sinks: { o: { loki: { url: "http://loki:3100" } } }
---
more: true
"#,
        r"
tailwater.yaml:4:1: a second document begins here
  |
4 | more: true
  | ^
  |
  = help: one file holds one configuration: remove the `---`
",
    );
}

#[test]
fn a_variable_without_quotes_in_braces_is_explained() {
    check(
        r"sinks: { o: { loki: { url: ${URL} } } }
",
        r#"
tailwater.yaml:1:29: this is not valid YAML: while parsing a flow mapping, did not find expected ',' or '}'
  |
1 | sinks: { o: { loki: { url: ${URL} } } }
  |                             ^
  |
  = help: inside `{…}` and `[…]` a variable needs quotes: `"${NAME}"`
"#,
    );
}

#[test]
fn aliases_that_multiply_each_other_are_refused() {
    check(
        r"a: &a [x,x,x,x,x,x,x,x,x]
b: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a]
c: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b]
d: &d [*c,*c,*c,*c,*c,*c,*c,*c,*c]
e: &e [*d,*d,*d,*d,*d,*d,*d,*d,*d]
",
        r"
tailwater.yaml:5:11: the configuration says too much
  |
5 | e: &e [*d,*d,*d,*d,*d,*d,*d,*d,*d]
  |           ^^
  |
  = help: aliases (`*name`) that multiply each other are refused: at most 20,000 values in all
",
    );
}
