//! End-to-end measurements against the limit program and the peers.

fn main() {}
