//! Clients and the sinks that they become.

use super::{native, refused};

const JOB: &str =
    "scrape_configs: [{ job_name: a, static_configs: [{ labels: { __path__: /a.log } }] }]\n";

/// Checks that the sink of a client holds some lines.
#[track_caller]
fn check(client: &str, lines: &str) {
    let found = native(
        &format!("clients: [{{ url: 'http://l/push', {client} }}]\n{JOB}"),
        &[],
    );
    let (_, sinks) = found.text.split_once("\nsinks:\n  client:\n").unwrap();
    assert!(sinks.contains(lines), "`{lines}` is not in\n{sinks}");
}

#[track_caller]
fn bad(client: &str, parts: &[&str]) {
    refused(
        &format!("clients: [{{ url: 'http://l/push', {client} }}]\n{JOB}"),
        parts,
    );
}

#[test]
fn batches_and_waits_are_taken_over() {
    check(
        "batchwait: 3s, batchsize: 512",
        "    batch:\n      max_bytes: 512\n      max_wait: 3s\n",
    );
    check("batchwait: 1ms", "max_wait: 10ms\n");
    check("batchwait: 2000000000", "max_wait: 2s\n");
    check("timeout: 1m30s", "      timeout: 90s\n");
}

#[test]
fn a_batch_that_is_larger_than_the_queue_makes_that_larger() {
    check("batchsize: 4194304", "    queue:\n      max_bytes: 16MiB\n");
    let found = native(
        &format!("clients: [{{ url: 'http://l/push', batchsize: 33554432 }}]\n{JOB}"),
        &[],
    );
    assert!(
        found.text.contains("\nmemory_limit: 128MiB\n"),
        "{}",
        found.text
    );
}

#[test]
fn attempts_are_bounded_only_where_the_user_said_so() {
    check("backoff_config: { max_retries: 5 }", "max_attempts: 5\n");
    let of = |client: &str| {
        native(
            &format!("clients: [{{ url: 'http://l/push'{client} }}]\n{JOB}"),
            &[],
        )
    };
    let without = of("");
    assert!(!without.text.contains("max_attempts"));
    assert!(
        without
            .notes
            .iter()
            .any(|note| note.contains("after 10 attempts"))
    );
    let forever = of(", backoff_config: { max_retries: 0 }");
    assert!(!forever.text.contains("max_attempts"));
    assert!(!forever.notes.iter().any(|note| note.contains("attempts")));
}

#[test]
fn the_other_wait_is_promtails_where_one_is_given() {
    check(
        "backoff_config: { min_period: 2s }",
        "    retry:\n      min_wait: 2s\n      max_wait: 5m\n",
    );
    check(
        "backoff_config: { max_period: 1m }",
        "    retry:\n      min_wait: 500ms\n      max_wait: 1m\n",
    );
}

#[test]
fn rate_limited_batches_are_dropped_where_the_user_said_so() {
    check(
        "drop_rate_limited_batches: true",
        "drop_rate_limited: true\n",
    );
}

#[test]
fn the_tenant_comes_from_its_key_or_its_header() {
    check("tenant_id: shop", "      tenant: shop\n");
    check("headers: { x-scope-orgid: shop }", "      tenant: shop\n");
    check(
        "tenant_id: a, headers: { X-Scope-OrgID: b }",
        "      tenant: a\n",
    );
}

#[test]
fn every_way_to_say_who_one_is_is_taken_over() {
    check(
        "basic_auth: { username: u, password: p }",
        "      basic_auth:\n        username: u\n        password: p\n",
    );
    check(
        "basic_auth: { username: u, password_file: /p }",
        "password_file: /p\n",
    );
    check("bearer_token: t", "      bearer_token: t\n");
    check("bearer_token_file: /t", "      bearer_token_file: /t\n");
    check(
        "authorization: { credentials: t }",
        "      bearer_token: t\n",
    );
    check(
        "authorization: { type: bearer, credentials_file: /t }",
        "      bearer_token_file: /t\n",
    );
    check(
        "headers: { Authorization: Bearer t }",
        "      bearer_token: t\n",
    );
}

#[test]
fn what_is_given_as_an_empty_text_is_not_given() {
    check(
        "basic_auth: { username: u, password: '', password_file: /p }, bearer_token: ''",
        "      basic_auth:\n        username: u\n        password_file: /p\n",
    );
    check(
        "basic_auth: { username: u, password: p, password_file: '' }, bearer_token_file: ''",
        "        username: u\n        password: p\n",
    );
    check(
        "authorization: { type: '', credentials: '', credentials_file: /t }",
        "      bearer_token_file: /t\n",
    );
    check(
        "bearer_token: t, bearer_token_file: '', tls_config: { ca: '', cert: '', key: '' }",
        "      bearer_token: t\n",
    );
    let none = native(
        "clients: [{ url: http://l/p, bearer_token: '', bearer_token_file: '', headers: { X-Scope-OrgID: '' } }]",
        &[],
    );
    assert!(!none.text.contains("bearer"), "{}", none.text);
    assert!(!none.text.contains("tenant"), "{}", none.text);
}

#[test]
fn a_password_with_a_dollar_is_kept_from_the_native_variables() {
    check(
        "basic_auth: { username: u, password: 'a${B}$$c$d' }",
        "password: 'a$${B}$$$c$d'\n",
    );
}

#[test]
fn user_and_password_of_a_url_become_basic_auth() {
    let found = native(
        &format!("clients: [{{ url: 'http://u:p%40@l:1/push' }}]\n{JOB}"),
        &[],
    );
    assert!(
        found.text.contains("url: 'http://l:1/push'"),
        "{}",
        found.text
    );
    assert!(
        found.text.contains("username: u\n        password: 'p@'\n"),
        "{}",
        found.text
    );
}

#[test]
fn headers_that_promtail_keeps_to_itself_are_left_out_and_noted() {
    let found = native(
        &format!(
            "clients: [{{ url: 'http://l/push', headers: {{ User-Agent: x, X-A: b }} }}]\n{JOB}"
        ),
        &[],
    );
    assert!(
        found.text.contains("headers:\n        X-A: b\n"),
        "{}",
        found.text
    );
    assert!(
        found
            .notes
            .iter()
            .any(|note| note.contains("headers.User-Agent"))
    );
}

#[test]
fn tls_and_proxies_are_taken_over() {
    check(
        "tls_config: { ca_file: /ca, cert_file: /c, key_file: /k, insecure_skip_verify: yes }",
        "      tls:\n        ca_file: /ca\n        cert_file: /c\n        key_file: /k\n        danger_accept_invalid_certs: true\n",
    );
    check("proxy_url: 'http://p:3128'", "proxy_url: 'http://p:3128'\n");
    check("timeout: 1s", "proxy_url: ''\n");
    let found = native(
        &format!("clients: [{{ url: 'http://l/push', proxy_from_environment: true }}]\n{JOB}"),
        &[],
    );
    assert!(!found.text.contains("proxy_url"), "{}", found.text);
}

#[test]
fn labels_of_the_single_client_go_into_all_and_it_needs_a_url_to_be_one() {
    let found = native(
        &format!(
            "client: {{ external_labels: {{ a: b }} }}\nclients: [{{ url: 'http://l/push' }}]\n{JOB}"
        ),
        &[],
    );
    assert!(
        found.text.contains("labels:\n      a: b\n"),
        "{}",
        found.text
    );
    assert!(!found.text.contains("client-2"), "{}", found.text);
    let both = native(
        &format!(
            "client: {{ url: 'http://m/push' }}\nclients: [{{ url: 'http://l/push' }}]\n{JOB}"
        ),
        &[],
    );
    assert!(both.text.contains("client-2"), "{}", both.text);
}

#[test]
fn clients_without_a_url_are_refused() {
    refused(
        &format!("clients: [{{ batchwait: 1s }}]\n{JOB}"),
        &["promtail.yaml:1:", "client needs target URL"],
    );
    refused(JOB, &["client needs target URL", "clients: ["]);
    refused(
        &format!("clients: [{{ url: 'loki:3100' }}]\n{JOB}"),
        &["not a URL of HTTP"],
    );
}

#[test]
fn the_same_client_twice_is_refused() {
    refused(
        &format!("clients:\n- url: http://l/push\n- url: http://l/push\n{JOB}"),
        &[
            "promtail.yaml:3:",
            "duplicate client configs are not allowed",
        ],
    );
    refused(
        &format!(
            "clients:\n- {{ name: a, url: http://l/push }}\n- {{ name: a, url: http://m/push }}\n{JOB}"
        ),
        &["promtail.yaml:3:5: duplicate client name"],
    );
}

#[test]
fn what_the_native_form_has_no_key_for_is_refused_by_its_line() {
    bad(
        "oauth2: { client_id: a }",
        &["promtail.yaml:1:", "`oauth2` is not in this version"],
    );
    bad(
        "basic_auth: { username_file: /u }",
        &["`basic_auth.username_file`", "username: shop"],
    );
    bad(
        "tls_config: { server_name: a }",
        &["`tls_config.server_name`", "/etc/hosts"],
    );
    bad("tls_config: { ca: PEM }", &["`tls_config.ca`", "ca_file"]);
    bad(
        "authorization: { type: Digest, credentials: hunter2 }",
        &["only `Bearer`"],
    );
    bad(
        "http_headers: { a: { values: [hunter2] } }",
        &["`http_headers`", "headers: {"],
    );
    bad(
        "proxy_connect_header: { a: [hunter2] }",
        &["`proxy_connect_header`"],
    );
    bad("proxy_url: 'http://p', no_proxy: a", &["`no_proxy`"]);
    bad(
        "headers: { Authorization: Basic hunter2 }",
        &["only a `Bearer`"],
    );
    bad(
        "bearer_token: hunter2, basic_auth: { username: a }",
        &["stands beside"],
    );
}
