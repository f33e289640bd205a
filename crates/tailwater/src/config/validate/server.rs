//! Checking the admin server.

use std::net::SocketAddr;

use tailwater_yaml::{Checker, KeyPath};

use super::super::ServerConfig;
use super::super::raw::RawServer;

/// Checks the server.
pub(super) fn check(
    checker: &mut Checker<'_>,
    path: &KeyPath,
    raw: &RawServer,
) -> Option<ServerConfig> {
    let listen = check_listen(checker, &path.key("listen"), &raw.listen);
    let path_prefix = check_prefix(checker, &path.key("path_prefix"), &raw.path_prefix);
    Some(ServerConfig {
        listen,
        path_prefix: path_prefix?,
        promtail: raw.promtail,
        reload: raw.reload,
        ready_without_targets: raw.ready_without_targets,
    })
}

/// `None` is for no server.
fn check_listen(checker: &mut Checker<'_>, path: &KeyPath, listen: &str) -> Option<SocketAddr> {
    if listen.is_empty() {
        return None;
    }
    let address = listen.parse().ok();
    if address.is_none() {
        let help = "give an IP address and a port; port 0 takes any that is free, and `\"\"` is for \
                    no server";
        checker.fail(path, "`server.listen` is not an address with a port", help);
    }
    address
}

/// Takes a prefix with or without a slash at its end.
fn check_prefix(checker: &mut Checker<'_>, path: &KeyPath, prefix: &str) -> Option<String> {
    let prefix = prefix.trim_end_matches('/');
    let is_segment = |segment: &str| {
        let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
        let is_dots = [".", ".."].contains(&segment);
        !segment.is_empty() && !is_dots && segment.bytes().all(is_allowed)
    };
    let is_path = prefix
        .strip_prefix('/')
        .is_some_and(|segments| segments.split('/').all(is_segment));
    if prefix.is_empty() || is_path {
        return Some(prefix.to_owned());
    }
    let help = "begin it with `/`, and use letters, digits, `-`, `.`, `_` and `~` between slashes";
    checker.fail(
        path,
        "`server.path_prefix` is not the start of a path",
        help,
    );
    None
}
