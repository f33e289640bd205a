//! The measurements, one module each; every one returns an [`Outcome`](crate::outcome::Outcome).

pub(crate) mod backfill;
pub(crate) mod drain;
pub(crate) mod idle;
pub(crate) mod latency;
pub(crate) mod many_files;
pub(crate) mod new_file;
mod paced_writer;
mod quiet_files;
pub(crate) mod spill;
pub(crate) mod stages;

/// The size of a measurement of how long a log takes to be delivered.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct DeliveryOptions {
    /// Bytes of access log to deliver, before any compression
    #[arg(long, default_value_t = 500_000_000)]
    pub bytes: u64,
    /// How often each program delivers it
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub runs: u32,
    /// What the access log is made from
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
}
