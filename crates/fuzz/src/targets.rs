//! The targets: one module each, and its name in the table.

use crate::Target;

mod archive;
mod bodies;
mod config;
mod cri;
mod decolorize;
mod docker;
mod envelope;
mod envsubst;
mod eventlogmessage;
mod file_sd;
mod flags;
mod framer;
mod glob;
mod intents;
mod jmespath;
mod json;
mod level;
mod logfmt;
mod loki_answer;
mod loki_body;
mod multiline;
mod pack;
mod pipeline;
mod positions;
mod promtail;
mod promtail_positions;
mod quantity;
mod regex;
mod relabel;
mod replace;
mod selector;
mod spill;
mod stages;
mod template;
mod timestamp;

macro_rules! table {
    ($($name:ident),* $(,)?) => {
        &[$(Target { name: stringify!($name), run: $name::run }),*]
    };
}

/// All targets, in the order of their names.
#[rustfmt::skip]
pub(crate) static ALL: &[Target] = table![
    archive, bodies, config, cri, decolorize, docker, envelope, envsubst, eventlogmessage, file_sd, flags, framer,
    glob, intents, jmespath, json, level, logfmt, loki_answer, loki_body, multiline, pack, pipeline, positions,
    promtail, promtail_positions, quantity, regex, relabel, replace, selector, spill, stages, template,
    timestamp,
];
