//! The sink as the engine sees it, against servers in this process.
//!
//! | module        | what it holds the sink to                                        |
//! |---------------|------------------------------------------------------------------|
//! | `conformance` | the laws of every sink, and reading bodies of any kind           |
//! | `settings`    | what is refused before the start, by key and with advice         |
//! | `deliver`     | what is sent; what answers and failures of the network come to   |
//! | `credentials` | secrets are sent, follow their files, and are never shown        |
//! | `tls`         | whom we believe and how we are believed                          |

#![expect(clippy::unwrap_used, reason = "a test that fails says so by panicking")]

mod conformance;
mod credentials;
mod deliver;
mod server;
mod settings;
mod tls;
