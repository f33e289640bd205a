//! What happens when a sink is slow or dead: each policy does what it says, and the counters agree with
//! the oracle to the line.
//!
//! Every test ends with the oracle's verdict and the books.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that cannot go on says so by panicking"
)]

mod backlog;
mod damage;
mod dead_letters;
mod drops;
mod full_spill;
mod isolation;
mod rates;
#[path = "../e2e/rig.rs"]
mod rig;
mod rotations;
mod setup;
mod stops;
