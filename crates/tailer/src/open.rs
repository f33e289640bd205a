//! Safe opening.
