//! What proves who we are is sent, follows its file, and is never shown.

use std::io::Write as _;
use std::path::Path;

use crate::server::{Server, Step, batch, sink};
use tailwater_sink::{Delivered, SinkSettings as _};
use tailwater_sink_loki::LokiSettings;

/// Writes a file without a rename, as an operator with an editor might.
fn write(path: &Path, content: &str) {
    let mut file = std::fs::OpenOptions::new()
        .create(true)
        .truncate(true)
        .write(true)
        .open(path)
        .unwrap();
    file.write_all(content.as_bytes()).unwrap();
}

async fn authorization_with(more: &str) -> Option<String> {
    let server = Server::start([]).await;
    let url = format!("http://{}", server.address());
    assert_eq!(sink(&url, more).deliver(&batch(1)).await, Ok(Delivered));
    let requests = server.requests();
    let request = requests.first()?;
    request.header("authorization").map(str::to_owned)
}

#[tokio::test]
async fn passwords_and_tokens_are_sent_from_the_settings_and_from_files() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("secret");
    write(&file, "open sesame\r\n");
    let path = file.display();
    for (keys, expected) in [
        (
            r#","basic_auth":{"username":"a","password":"b:c"}"#.to_owned(),
            "Basic YTpiOmM=",
        ),
        (
            format!(r#","basic_auth":{{"username":"a","password_file":"{path}"}}"#),
            "Basic YTpvcGVuIHNlc2FtZQ==",
        ),
        (r#","bearer_token":"tok""#.to_owned(), "Bearer tok"),
        (
            format!(r#","bearer_token_file":"{path}""#),
            "Bearer open sesame",
        ),
    ] {
        assert_eq!(authorization_with(&keys).await.as_deref(), Some(expected));
    }
    assert_eq!(authorization_with("").await, None);
}

#[tokio::test]
async fn a_token_that_changes_length_is_read_again_before_the_next_request() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("token");
    write(&file, "first");
    let server = Server::start([]).await;
    let keys = format!(r#","bearer_token_file":"{}""#, file.display());
    let loki = sink(&format!("http://{}", server.address()), &keys);
    assert_eq!(loki.deliver(&batch(1)).await, Ok(Delivered));
    write(&file, "the second");
    assert_eq!(loki.deliver(&batch(1)).await, Ok(Delivered));
    std::fs::remove_file(&file).unwrap();
    assert_eq!(loki.deliver(&batch(1)).await, Ok(Delivered));
    let sent: Vec<_> = server
        .requests()
        .iter()
        .map(|request| request.header("authorization").unwrap().to_owned())
        .collect();
    assert_eq!(
        sent,
        ["Bearer first", "Bearer the second", "Bearer the second"],
        "without the file, the last token that worked is sent"
    );
}

#[tokio::test]
async fn a_token_that_was_rotated_without_a_trace_is_read_again_after_a_401() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("token");
    write(&file, "old");
    let before = std::fs::metadata(&file).unwrap().modified().unwrap();
    let server = Server::start([Step::status("401 Who", "", "no org id")]).await;
    let keys = format!(r#","bearer_token_file":"{}""#, file.display());
    let loki = sink(&format!("http://{}", server.address()), &keys);

    write(&file, "new");
    let same_time = std::fs::OpenOptions::new().write(true).open(&file).unwrap();
    same_time.set_modified(before).unwrap();
    assert!(loki.deliver(&batch(1)).await.is_err());
    assert_eq!(loki.deliver(&batch(1)).await, Ok(Delivered));
    let requests = server.requests();
    assert_eq!(requests[0].header("authorization"), Some("Bearer old"));
    assert_eq!(requests[1].header("authorization"), Some("Bearer new"));
}

#[test]
fn secrets_stand_in_no_text_that_is_made_of_the_settings() {
    let keys = r#"{"url":"http://127.0.0.1:9/push?key=hunter2","headers":{"X-Key":"hunter2"},
        "basic_auth":{"username":"me","password":"hunter2"},
        "proxy_url":"http://me:hunter2@127.0.0.1:9"}"#;
    let settings: LokiSettings = serde_json::from_str(keys).unwrap();
    let parts = settings.build().unwrap();
    let shown = format!("{settings:?} {parts:?} {}", parts.deliver.target());
    assert!(!shown.contains("hunter2"), "{shown}");
    assert!(shown.contains("http://127.0.0.1:9/push"), "{shown}");
}
