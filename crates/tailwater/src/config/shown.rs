//! The configuration as it may be shown: every value that may be secret is masked.
//!
//! It is written anew from the tree, so what a comment, an anchor or an odd layout may hold is not
//! there, and variables stand in it by their names.

use std::fmt::Write as _;

use tailwater_yaml::{Node, NodeKind, Scalar, is_secret_name};

/// What stands for a secret; it does not tell its length.
const MASK: &str = "********";

/// Keys of maps in which every value may be a secret.
const SECRET_MAPS: [&str; 1] = ["headers"];

/// Returns a configuration as YAML without secrets.
pub(super) fn show(tree: &Node) -> String {
    let mut text = String::new();
    put(&mut text, tree, 0);
    text
}

/// Writes a value that begins on a line of its own.
fn put(text: &mut String, node: &Node, indent: usize) {
    match &node.kind {
        NodeKind::Null => put_line(text, indent, "null"),
        NodeKind::Scalar(scalar) => put_line(text, indent, &shown(scalar)),
        NodeKind::List(nodes) => {
            for node in nodes {
                put_entry(text, "-", node, indent);
            }
        }
        NodeKind::Map(entries) => {
            for entry in entries {
                let name = format!("{}:", name_of(&entry.name));
                let hides = SECRET_MAPS.contains(&entry.name.as_str());
                match &entry.node.kind {
                    NodeKind::Map(headers) if hides => {
                        put_line(text, indent, &name);
                        for header in headers {
                            let line = format!("{}: {MASK:?}", name_of(&header.name));
                            put_line(text, indent + 1, &line);
                        }
                    }
                    NodeKind::Null => put_line(text, indent, &name),
                    _ if hides || is_secret_name(&entry.name) => {
                        put_line(text, indent, &format!("{name} {MASK:?}"));
                    }
                    NodeKind::Scalar(_) | NodeKind::List(_) | NodeKind::Map(_) => {
                        put_entry(text, &name, &entry.node, indent);
                    }
                }
            }
        }
    }
}

/// Writes a value behind `head`, or below it.
fn put_entry(text: &mut String, head: &str, node: &Node, indent: usize) {
    match &node.kind {
        NodeKind::Null => put_line(text, indent, &format!("{head} null")),
        NodeKind::Scalar(scalar) => put_line(text, indent, &format!("{head} {}", shown(scalar))),
        NodeKind::List(nodes) if nodes.is_empty() => {
            put_line(text, indent, &format!("{head} []"));
        }
        NodeKind::Map(entries) if entries.is_empty() => {
            put_line(text, indent, &format!("{head} {{}}"));
        }
        NodeKind::List(_) | NodeKind::Map(_) => {
            put_line(text, indent, head);
            put(text, node, indent + 1);
        }
    }
}

fn put_line(text: &mut String, indent: usize, line: &str) {
    // Writing to a string cannot fail.
    writeln!(text, "{:1$}{line}", "", indent * 2).ok();
}

fn name_of(name: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_-./".contains(&byte);
    if !name.is_empty() && !name.starts_with('-') && name.bytes().all(is_plain) {
        name.to_owned()
    } else {
        quoted(name)
    }
}

fn shown(scalar: &Scalar) -> String {
    let text = without_credentials(&scalar.written);
    if scalar.is_plain && text == scalar.written && !text.contains(['\n', '#', ':']) {
        text
    } else {
        quoted(&text)
    }
}

/// Strings of JSON are strings of YAML.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// Masks the user and the query of everything that looks like a URL.
fn without_credentials(text: &str) -> String {
    let Some((scheme, rest)) = text.split_once("://") else {
        return text.to_owned();
    };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at_checked(end).unwrap_or((rest, ""));
    let host = match authority.rsplit_once('@') {
        Some((_, host)) => format!("{MASK}@{host}"),
        None => authority.to_owned(),
    };
    let path = match path.split_once(['?', '#']) {
        Some((path, _)) => format!("{path}?{MASK}"),
        None => path.to_owned(),
    };
    format!("{scheme}://{host}{path}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &str) {
        assert_eq!(show(&tailwater_yaml::read(text).unwrap()), expected);
    }

    #[test]
    fn a_configuration_is_shown_with_its_structure() {
        check(
            "a: {b: [1, 'x y', {c: true}], d: []}\n'e f': ~\n",
            "a:\n  b:\n    - 1\n    - \"x y\"\n    -\n      c: true\n  d: []\n\"e f\":\n",
        );
    }

    #[test]
    fn no_secret_is_shown_however_it_is_written() {
        let text = "# hunter2\nx: &pw hunter2x\nsinks:\n  loki:\n    loki:\n      \
                    url: \"https://user:hunter2@loki:3100/push?token=hunter2\"\n      \
                    headers: {X-Any: hunter2}\n      basic_auth: { username: shop, password: *pw }\n      \
                    bearer_token: |\n        hunter2\n      bearer_token_file: /etc/token\n      \
                    proxy_url: http://hunter2@proxy\n";
        let shown = show(&tailwater_yaml::read(text).unwrap());
        let of_anchor = shown.matches("hunter2").count();
        assert_eq!(
            of_anchor, 1,
            "only where it is no secret by its key: {shown}"
        );
        assert!(shown.contains("https://********@loki:3100/push?********"));
        assert!(shown.contains("bearer_token_file: /etc/token"));
        assert!(shown.contains("password: \"********\""));
    }

    #[test]
    fn variables_are_shown_by_their_names() {
        check("a: ${HOME}\n", "a: ${HOME}\n");
    }
}
