//! For tests: the oracle, the fault sink, log writers, the agent and logrotate as children.
//!
//! An end-to-end test has [`writer`]s append lines that carry their own checksum, runs the real
//! [`agent`] against the [`fault_sink`], and asks the [`oracle`] whether every line arrived, once,
//! whole and in order.
//!
//! Nothing here is bounded for a long-running process: a test keeps what it must compare.

pub mod agent;
pub mod client;
pub mod fault_sink;
pub mod line;
pub mod load;
pub mod logrotate;
pub mod metrics;
pub mod oracle;
pub mod random;
pub mod wait;
pub mod writer;
