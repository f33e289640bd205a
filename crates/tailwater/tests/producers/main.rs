//! The presets against those who write such logs: the real nginx, MariaDB, PostgreSQL and php-fpm, each
//! started here, each in a time zone of its own, and read while it writes.
//!
//! What a server says of itself is the oracle: its counters, and its second log where it keeps one.
//! Every line of a file must be in an entry, in order, and every entry must be one of the server's.
#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot go on says so by panicking"
)]

mod fast_cgi;
mod mariadb;
mod nginx;
mod php_fpm;
mod postgresql;
mod rig;
mod server;
