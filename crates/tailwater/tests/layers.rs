//! The arrows between crates are those of docs/architecture.md.
#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot go on says so by panicking"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Reads the layer table: crate to layer, and to the crates it may use.
fn table() -> BTreeMap<String, (u32, BTreeSet<String>)> {
    let text = std::fs::read_to_string(root().join("docs/architecture.md")).unwrap();
    let rows = text.lines().filter_map(|line| {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        let [_, layer, name, uses, _] = cells[..] else {
            return None;
        };
        let uses = uses
            .split(", ")
            .filter(|name| !name.is_empty())
            .map(str::to_owned)
            .collect();
        Some((name.to_owned(), (layer.parse().ok()?, uses)))
    });
    rows.collect()
}

/// Reads which crates of this workspace a manifest depends on, tests left out.
fn dependencies(manifest: &Path) -> BTreeSet<String> {
    let text = std::fs::read_to_string(manifest).unwrap();
    let section = text
        .split("\n[")
        .find(|section| section.starts_with("dependencies]"))
        .unwrap_or_default();
    let names = section
        .lines()
        .filter_map(|line| line.strip_prefix("tailwater-"));
    names
        .map(|line| line.split(['.', ' ']).next().unwrap().to_owned())
        .collect()
}

#[test]
fn every_arrow_between_crates_points_down_as_the_architecture_says() {
    let table = table();
    assert!(
        table.len() >= 10,
        "the table of docs/architecture.md was not read: {table:?}"
    );
    for (name, (layer, may_use)) in &table {
        let folder = name
            .strip_prefix("sink-")
            .map_or_else(|| name.clone(), |sink| format!("sinks/{sink}"));
        let found = dependencies(&root().join("crates").join(folder).join("Cargo.toml"));
        let unlisted: Vec<_> = found.difference(may_use).collect();
        assert!(
            unlisted.is_empty(),
            "{name} uses {unlisted:?}, which its row does not list"
        );
        for used in may_use {
            assert!(
                table[used].0 < *layer,
                "{name} (layer {layer}) may not use {used}: arrows point down"
            );
        }
    }
}

#[test]
fn every_crate_stands_in_the_table_or_is_for_development() {
    let table = table();
    let mut folders: Vec<PathBuf> = Vec::new();
    for parent in ["crates", "crates/sinks"] {
        folders.extend(
            std::fs::read_dir(root().join(parent))
                .unwrap()
                .map(|entry| entry.unwrap().path()),
        );
    }
    for folder in folders
        .iter()
        .filter(|folder| folder.join("Cargo.toml").exists())
    {
        let name = folder.file_name().unwrap().to_str().unwrap();
        let is_sink = folder.parent().unwrap().ends_with("sinks");
        let name = if is_sink {
            format!("sink-{name}")
        } else {
            name.to_owned()
        };
        let is_known =
            table.contains_key(&name) || ["testkit", "bench", "fuzz"].contains(&name.as_str());
        assert!(
            is_known,
            "{name} is not in the table of docs/architecture.md"
        );
    }
}
