//! What the Loki sink sends is read back through a Loki API that was not written here: qryn.
//!
//! The command `tests/qryn` at the root of the repository starts qryn, names it in
//! `TAILWATER_QRYN_URL` and runs these tests. qryn is no strict Loki: that limits are kept and answers
//! understood is shown against the fault sink. This shows that a stranger finds every line, whole and
//! in order, in the stream that it belongs to.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that cannot go on says so by panicking"
)]

mod logql;
mod logs;
mod round_trip;

use round_trip::RoundTrip;

#[test]
fn lines_sent_as_protobuf_with_snappy_are_read_back_by_logql() {
    let trip = RoundTrip::run("protobuf");
    println!("{}", trip.summary());
    trip.assert_equal();
}

#[test]
fn lines_sent_as_json_with_gzip_are_read_back_by_logql() {
    let trip = RoundTrip::run("json");
    println!("{}", trip.summary());
    trip.assert_equal();
}
