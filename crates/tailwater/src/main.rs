//! The tailwater binary: command line, configuration, admin server, telemetry, signals.

fn main() {}
