//! Every file in `examples/` is a valid configuration.

use std::collections::HashMap;
use std::path::PathBuf;

use tailwater::config;

fn examples() -> Vec<(String, String)> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../examples");
    let mut examples: Vec<(String, String)> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "yaml")
        })
        .map(|path| {
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            (name, std::fs::read_to_string(&path).unwrap())
        })
        .collect();
    examples.sort();
    examples
}

#[test]
fn every_example_is_a_valid_configuration() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/config");
    let file = |name: &str| folder.join(name).display().to_string();
    let variables = HashMap::from([
        ("TAILWATER_PASSWORD_FILE".to_owned(), file("password")),
        ("TAILWATER_CA_FILE".to_owned(), file("client.pem")),
        ("TAILWATER_CERT_FILE".to_owned(), file("client.pem")),
        ("TAILWATER_KEY_FILE".to_owned(), file("client.key")),
    ]);
    let examples = examples();
    assert!(examples.len() >= 8, "{}", examples.len());
    for (name, text) in &examples {
        let config = if name == "promtail.yaml" {
            config::load(&folder.join("../../../../examples").join(name), None)
        } else {
            config::parse(text, name, None, &variables)
        };
        let config = config.unwrap_or_else(|error| {
            panic!("{error}\n\nhint: {}", error.hint);
        });
        assert!(!config.engine.sources.is_empty(), "{name}");
        for source in &config.engine.sources {
            assert!(!source.sinks.is_empty(), "{name}: {}", source.name);
        }
    }
}

#[test]
fn the_default_example_is_the_embedded_configuration() {
    let examples = examples();
    let (_, text) = examples
        .iter()
        .find(|(name, _)| name == "default.yaml")
        .unwrap();
    assert_eq!(text, config::DEFAULT);
}

#[test]
fn the_order_of_sources_is_the_order_of_the_file() {
    let examples = examples();
    let (_, text) = examples
        .iter()
        .find(|(name, _)| name == "tenants.yaml")
        .unwrap();
    let text = text.replace(
        "/etc/tailwater/password",
        concat!(env!("CARGO_MANIFEST_DIR"), "/tests/config/password"),
    );
    let config = super::parse(&text).unwrap();
    let names: Vec<&str> = config
        .engine
        .sources
        .iter()
        .map(|source| &*source.name)
        .collect();
    assert_eq!(names, ["shop", "billing", "system"]);
}
