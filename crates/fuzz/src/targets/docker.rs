//! `docker`: a line as Docker's `json-file` writes it gives what another JSON parser finds in it.

use std::sync::LazyLock;

use serde_json::Value;
use tailwater_stages::Stages;

use crate::{input, pass};

static STAGES: LazyLock<Stages> = LazyLock::new(|| pass::list("- docker: {}"));

pub(crate) fn run(bytes: &[u8]) {
    pass::lines(&STAGES, &pass::labels(None), input::lines(bytes));
    let passed = pass::one(&STAGES, bytes);
    let record = passed.only().expect("docker drops nothing");
    match serde_json::from_slice(bytes) {
        Ok(Value::Object(fields)) => {
            if let Some(Value::String(log)) = fields.get("log") {
                assert_eq!(record.line, log.as_bytes());
            }
            if let Some(Value::String(stream)) = fields.get("stream") {
                assert_eq!(record.label("stream"), Some(stream.as_str()));
            }
        }
        Ok(_) => assert_eq!(record.line, bytes),
        Err(_) => {}
    }
}
