//! Variables and secrets.

use super::check;

#[test]
fn an_unset_variable_is_marked_in_its_line() {
    check(
        r#"sources:
  a:
    include: ["/x/*.log"]
    labels: { host: "on ${NOWHERE} here" }
sinks: { o: { loki: { url: "http://loki:3100" } } }
"#,
        r#"
tailwater.yaml:4:25: the variable `NOWHERE` is not set
  |
4 |     labels: { host: "on ${NOWHERE} here" }
  |                         ^^^^^^^^^^
  |
  = help: set it in the agent's environment, or give it a default: `${NOWHERE:-default}`
"#,
    );
}

#[test]
fn every_unset_variable_is_named() {
    check(
        r#"sources: { a: { include: ["/x/*.log"] } }
sinks:
  o:
    loki:
      url: ${LOKI_URL}
      basic_auth: { username: shop, password: "${PASSWORD}" }
"#,
        r#"
tailwater.yaml:5:12: the variable `LOKI_URL` is not set
  |
5 |       url: ${LOKI_URL}
  |            ^^^^^^^^^^^
  |
  = help: set it in the agent's environment, or give it a default: `${LOKI_URL:-default}`

tailwater.yaml:6:48: the variable `PASSWORD` is not set
  |
6 |       basic_auth: { username: shop, password: "${PASSWORD}" }
  |                                                ^^^^^^^^^^^
  |
  = help: set it in the agent's environment, or give it a default: `${PASSWORD:-default}`
"#,
    );
}

#[test]
fn a_malformed_variable_is_marked() {
    check(
        r#"data_dir: "/var/${1DIR}"
sources: { a: { include: ["/x/*.log"] } }
sinks: { o: { loki: { url: "http://loki:3100" } } }
"#,
        r#"
tailwater.yaml:1:17: this is not a variable
  |
1 | data_dir: "/var/${1DIR}"
  |                 ^^^^^^^
  |
  = help: write `${NAME}` or `${NAME:-default}`; `$$` stands for a dollar sign
"#,
    );
}

#[test]
fn what_a_variable_holds_is_not_shown_where_it_does_not_fit() {
    check(
        r#"memory_limit: "${BAD_SIZE}"
sources: { a: { include: ["/x/*.log"] } }
sinks: { o: { loki: { url: "http://loki:3100" } } }
"#,
        r#"
tailwater.yaml:1:15: `memory_limit` cannot be what the variable holds
  |
1 | memory_limit: "${BAD_SIZE}"
  |               ^^^^^^^^^^^^^ what it holds is not shown
  |
  = example: memory_limit: 64MiB
"#,
    );
}

#[test]
fn what_a_variable_holds_is_not_shown_where_a_word_does_not_fit() {
    check(
        r#"log: { level: "${LEVEL}" }
sources: { a: { include: ["/x/*.log"] } }
sinks: { o: { loki: { url: "http://loki:3100" } } }
"#,
        r#"
tailwater.yaml:1:15: `log.level` is not one of the words it may be
  |
1 | log: { level: "${LEVEL}" }
  |               ^^^^^^^^^^
  |
  = valid here: error, warn, info, debug
"#,
    );
}

#[test]
fn what_a_variable_holds_is_no_structure() {
    check(
        r#"sources:
  a:
    include: ${LIST}
sinks: { o: { loki: { url: "http://loki:3100" } } }
"#,
        r#"
tailwater.yaml:3:14: `sources.a.include` has the wrong kind of value
  |
3 |     include: ${LIST}
  |              ^^^^^^^ expected a list, `[…]`, found text
  |
  = example: include: ["/var/log/nginx/*.log"]
"#,
    );
}

#[test]
fn what_a_variable_holds_is_not_shown_in_the_name_of_a_sink() {
    check(
        r#"sources:
  a:
    include: ["/x/*.log"]
    sinks: ["${TOKEN}"]
sinks: { o: { loki: { url: "http://loki:3100" } } }
"#,
        r#"
tailwater.yaml:4:13: there is no sink `${TOKEN}`
  |
4 |     sinks: ["${TOKEN}"]
  |             ^^^^^^^^^^
  |
  = valid here: o
"#,
    );
}

#[test]
fn a_secret_in_the_marked_line_is_masked() {
    check(
        r#"sources: { a: { include: ["/x/*.log"] } }
sinks:
  o:
    loki: { bearer_token: hunter2, tennant: shop, url: "http://loki:3100" }
"#,
        r#"
tailwater.yaml:4:36: unknown key `tennant` in `sinks.o.loki`
  |
4 |     loki: { bearer_token: ********, tennant: shop, url: "http://loki:3100" }
  |                                     ^^^^^^^ did you mean `tenant`?
  |
  = valid here: url, tenant, encoding, gzip_level, basic_auth, bearer_token, bearer_token_file, headers, tls, proxy_url, timeout, connect_timeout
  = example: tenant: shop
"#,
    );
}

#[test]
fn the_value_of_a_misspelt_secret_is_masked() {
    check(
        r#"sources: { a: { include: ["/x/*.log"] } }
sinks:
  o:
    loki:
      url: "http://loki:3100"
      basic_auth:
        username: shop
        pasword: hunter2
"#,
        r"
tailwater.yaml:8:9: unknown key `pasword` in `sinks.o.loki.basic_auth`
  |
8 |         pasword: ********
  |         ^^^^^^^ did you mean `password`?
  |
  = valid here: username, password, password_file
  = example: basic_auth: { username: shop, password_file: /etc/tailwater/password }
",
    );
}

#[test]
fn a_secret_of_the_wrong_kind_is_masked() {
    check(
        r#"sources: { a: { include: ["/x/*.log"] } }
sinks:
  o:
    loki:
      url: "http://loki:3100"
      bearer_token: [hunter2]
"#,
        r"
tailwater.yaml:6:7: `sinks.o.loki.bearer_token` has the wrong kind of value
  |
6 |       bearer_token: ********
  |       ^^^^^^^^^^^^ expected text, found a list
",
    );
}

#[test]
fn a_password_in_a_url_is_masked() {
    check(
        r#"sources: { a: { include: ["/x/*.log"] } }
sinks:
  o:
    loki: { url: "http://shop:hunter2@loki:3100" }
"#,
        r#"
tailwater.yaml:4:18: `sinks.o.loki.url` cannot be used: must not hold a user or password: use `basic_auth`
  |
4 |     loki: { url: "http://********@loki:3100" }
  |                  ^^^^^^^^^^^^^^^^^^^^^^^^^^^
  |
  = example: url: "http://loki:3100/loki/api/v1/push"
"#,
    );
}
