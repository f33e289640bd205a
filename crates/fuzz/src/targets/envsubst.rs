//! Variables in Promtail's configuration: an expression gives the same value or the same refusal each
//! time, and neither shows what a variable holds.

use tailwater_promtail::{Flags, Host, load_text};

/// Long enough that no input says it.
const SECRET: &str = "s3cr3t-of-the-environment-that-nobody-writes";

pub(crate) fn run(bytes: &[u8]) {
    let Ok(expression) = std::str::from_utf8(bytes) else {
        return;
    };
    let text = format!(
        "scrape_configs:\n- job_name: {expression}\n  static_configs:\n  - labels: {{__path__: /a}}\n\
         clients:\n- url: http://127.0.0.1/\n"
    );
    let flags = Flags::parse(["-config.expand-env"]).expect("it is a flag");
    let variables = [("TOKEN", SECRET), ("A", "b.c.b"), ("EMPTY", "")];
    let owned = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
    let host = Host {
        variables: variables.into_iter().map(owned).collect(),
        ..Host::default()
    };
    let words = || match load_text(&text, None, &flags, &host) {
        Ok(loaded) => format!("{:?} {:?}", loaded.notes(), loaded.flags()),
        Err(error) => error.to_string(),
    };
    let one = words();
    assert_eq!(one, words());
    assert!(!one.contains(SECRET), "{one}");
}
