//! What is refused before the agent starts, by which key, and with what advice.

use std::io::Write as _;

use tailwater_sink::SinkSettings as _;
use tailwater_sink_loki::LokiSettings;

fn build(keys: &str) -> Result<(), (String, String)> {
    let keys = format!(r#"{{"url":"http://127.0.0.1:9"{keys}}}"#);
    let settings: LokiSettings = serde_json::from_str(&keys).unwrap();
    let built = settings.build().map(drop);
    built.map_err(|error| (error.key, error.reason))
}

fn refused(keys: &str) -> (String, String) {
    build(keys).expect_err("it was taken")
}

#[test]
fn every_key_is_taken_where_it_makes_sense() {
    assert_eq!(
        build(
            r#","tenant":"a-b_c!.*'()","encoding":"json","gzip_level":9,"timeout":"500ms",
            "connect_timeout":"1m","headers":{"X-A":"b"},"bearer_token":"t","proxy_url":"""#
        ),
        Ok(())
    );
    assert_eq!(build(r#","encoding":"protobuf""#), Ok(()));
    assert_eq!(build(r#","proxy_url":"https://proxy:3128""#), Ok(()));
}

#[test]
fn unknown_keys_and_durations_without_a_unit_are_refused() {
    let parse = |keys: &str| {
        serde_json::from_str::<LokiSettings>(keys)
            .unwrap_err()
            .to_string()
    };
    assert!(parse(r#"{"url":"http://x","tennant":"a"}"#).contains("tennant"));
    assert!(parse(r#"{"url":"http://x","tls":{"server_name":"a"}}"#).contains("server_name"));
    assert!(parse(r#"{"url":"http://x","timeout":"10"}"#).contains("10s"));
    assert!(parse("{}").contains("url"));
}

#[test]
fn a_key_that_cannot_work_is_named_with_what_to_do() {
    for (keys, key, advice) in [
        (r#","gzip_level":3"#, "gzip_level", "encoding: json"),
        (
            r#","encoding":"json","gzip_level":10"#,
            "gzip_level",
            "9 (smallest)",
        ),
        (r#","timeout":"0s""#, "timeout", "10s"),
        (r#","connect_timeout":"0ms""#, "connect_timeout", "10s"),
        (r#","tenant":"a b""#, "tenant", "letters, digits"),
        (r#","tenant":"""#, "tenant", "1 to 150"),
        (
            r#","basic_auth":{"username":"a"}"#,
            "basic_auth.password",
            "`basic_auth.password_file`",
        ),
        (
            r#","basic_auth":{"username":"a:b","password":"c"}"#,
            "basic_auth.username",
            "colon",
        ),
        (
            r#","basic_auth":{"username":"a","password":"b","password_file":"/c"}"#,
            "basic_auth.password",
            "keep one",
        ),
        (
            r#","bearer_token":"a","bearer_token_file":"/b""#,
            "bearer_token",
            "keep one",
        ),
        (
            r#","bearer_token":"a","basic_auth":{"username":"a","password":"b"}"#,
            "basic_auth",
            "keep one",
        ),
        (r#","headers":{"a b":"c"}"#, "headers.a b", "name"),
        (r#","headers":{"a":"c\n"}"#, "headers.a", "characters"),
        (r#","headers":{"a":"c","A":"d"}"#, "headers.a", "twice"),
        (
            r#","headers":{"Authorization":"x"}"#,
            "headers.Authorization",
            "`bearer_token`",
        ),
        (
            r#","headers":{"x-scope-orgid":"x"}"#,
            "headers.x-scope-orgid",
            "`tenant`",
        ),
        (r#","proxy_url":"socks5://x""#, "proxy_url", "http://proxy"),
        (r#","proxy_url":"proxy:3128""#, "proxy_url", "http://proxy"),
        (r#","tls":{"cert_file":"/a"}"#, "tls.key_file", "missing"),
        (r#","tls":{"key_file":"/a"}"#, "tls.cert_file", "missing"),
    ] {
        let (refused_key, reason) = refused(keys);
        assert_eq!(refused_key, key, "{keys}: {reason}");
        assert!(reason.contains(advice), "{keys}: {reason}");
    }
}

#[test]
fn a_file_that_is_missing_or_of_no_use_is_named_and_not_quoted() {
    let dir = tempfile::tempdir().unwrap();
    let junk = dir.path().join("junk");
    let mut file = std::fs::OpenOptions::new()
        .create_new(true)
        .write(true)
        .open(&junk)
        .unwrap();
    file.write_all(b"-----BEGIN hunter2\n\xFFhunter2\n")
        .unwrap();
    let missing = dir.path().join("missing");
    for path in [&junk, &missing] {
        let path = path.display().to_string();
        for (keys, key) in [
            (
                format!(r#","bearer_token_file":"{path}""#),
                "bearer_token_file",
            ),
            (
                format!(r#","basic_auth":{{"username":"a","password_file":"{path}"}}"#),
                "basic_auth.password_file",
            ),
            (format!(r#","tls":{{"ca_file":"{path}"}}"#), "tls.ca_file"),
            (
                format!(r#","tls":{{"cert_file":"{path}","key_file":"{path}"}}"#),
                "tls.cert_file",
            ),
        ] {
            let (refused_key, reason) = refused(&keys);
            assert_eq!(refused_key, key);
            assert!(reason.contains(&path), "{reason}");
            assert!(!reason.contains("hunter2"), "{reason}");
        }
    }
}
