//! What Go's standard library reads: durations, sizes and times.

pub(crate) mod civil;
pub(crate) mod duration;
pub(crate) mod layout;
mod layout_parse;
pub(crate) mod quoted;
pub(crate) mod time_format;
