//! The stages, one module each; those that only touch labels share one.

pub(crate) mod cri;
pub(crate) mod decolorize;
pub(crate) mod drop;
pub(crate) mod eventlogmessage;
pub(crate) mod geoip;
pub(crate) mod json;
pub(crate) mod labels;
pub(crate) mod level;
pub(crate) mod limit;
pub(crate) mod logfmt;
pub(crate) mod matching;
pub(crate) mod metrics;
pub(crate) mod multiline;
pub(crate) mod pack;
pub(crate) mod range;
pub(crate) mod regex;
pub(crate) mod replace;
pub(crate) mod sampling;
pub(crate) mod template;
pub(crate) mod tenant;
pub(crate) mod timestamp;
pub(crate) mod truncate;
