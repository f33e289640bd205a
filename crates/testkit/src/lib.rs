//! For tests: the oracle, the fault sink, log writers, the agent and logrotate as children.
