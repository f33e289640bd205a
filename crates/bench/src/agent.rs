//! tailwater as it is measured: its smallest configuration, and how it is started.

use std::path::Path;
use std::time::Duration;

use anyhow::ensure;

use crate::bench::{Bench, Stage};
use crate::program::{Launch, Program, Stop};
use crate::scratch::write_new;

/// Where an agent keeps its data, below the directory of its stage.
pub(crate) const DATA_DIR: &str = "data";

/// Keys of the configuration that a measurement adds, each on a line of its own.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Keys<'a> {
    /// Those of the source.
    pub source: &'a str,
    /// Those of the sink.
    pub sink: &'a str,
}

/// How the agent is to send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Batching {
    /// As it does when nothing is configured.
    Default,
    /// With a longest wait of its own.
    MaxWait(Duration),
}

/// Writes the configuration of an agent that tails `include` and says how to start it.
///
/// # Errors
/// When the program is not there or the configuration cannot be written.
pub(crate) fn launch(
    bench: &Bench,
    stage: &Stage,
    include: &Path,
    batching: Batching,
) -> anyhow::Result<Launch> {
    let keys = match batching {
        Batching::Default => String::new(),
        Batching::MaxWait(wait) => format!("    batch: {{max_wait: {}ms}}\n", wait.as_millis()),
    };
    let keys = Keys {
        sink: &keys,
        ..Keys::default()
    };
    launch_to(bench, stage, include, &stage.push_url(), keys)
}

/// Does what [`launch`] does for an agent that delivers to `url`, with further keys.
///
/// # Errors
/// As [`launch`].
pub(crate) fn launch_to(
    bench: &Bench,
    stage: &Stage,
    include: &Path,
    url: &str,
    keys: Keys<'_>,
) -> anyhow::Result<Launch> {
    let program = &bench.tailwater;
    ensure!(
        program.is_file(),
        "no tailwater program at {}: build it with `cargo build --release -p tailwater`",
        program.display()
    );
    let config = stage.dir.path().join("tailwater.yaml");
    let data_dir = stage.dir.path().join(DATA_DIR);
    // A stage may start several agents, one after the other.
    drop(std::fs::remove_file(&config));
    write_new(
        &config,
        configuration(&data_dir, include, url, keys).as_bytes(),
    )?;
    Ok(Launch {
        name: "tailwater",
        program: program.clone(),
        arguments: vec!["run".into(), "--config".into(), config.into()],
        stop: Stop::Terminate,
    })
}

/// Starts an agent that tails `include`, on the CPU of the measured program.
///
/// # Errors
/// When it cannot be started.
pub(crate) fn start(
    bench: &Bench,
    stage: &Stage,
    include: &Path,
    batching: Batching,
) -> anyhow::Result<Program> {
    let launch = launch(bench, stage, include, batching)?;
    Program::start(&launch, bench.placement.measured, stage.dir.path())
}

fn configuration(data_dir: &Path, include: &Path, url: &str, keys: Keys<'_>) -> String {
    format!(
        "data_dir: {data_dir}\n\
         server: {{listen: \"127.0.0.1:0\"}}\n\
         sources:\n  bench:\n    include: [{include}]\n    labels: {{job: bench}}\n{source}\
         sinks:\n  out:\n    loki: {{url: {url}}}\n{sink}",
        data_dir = quoted(data_dir),
        include = quoted(include),
        url = serde_json::Value::from(url),
        source = keys.source,
        sink = keys.sink,
    )
}

/// A path as a YAML string; JSON's strings are YAML's too.
pub(crate) fn quoted(path: &Path) -> String {
    serde_json::Value::from(path.to_string_lossy()).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_configuration_is_the_plain_one() {
        let wait = "    batch: {max_wait: 100ms}\n";
        let (data, include) = (Path::new("/d"), Path::new("/l/*.log"));
        let expected = "\
data_dir: \"/d\"
server: {listen: \"127.0.0.1:0\"}
sources:
  bench:
    include: [\"/l/*.log\"]
    labels: {job: bench}
sinks:
  out:
    loki: {url: \"http://h/push\"}
";
        let written = |keys| configuration(data, include, "http://h/push", keys);
        assert_eq!(written(Keys::default()), expected);
        let keys = Keys {
            source: "    stages: []\n",
            sink: wait,
        };
        let (sources, sinks) = expected.split_once("sinks:").unwrap();
        assert_eq!(
            written(keys),
            format!("{sources}    stages: []\nsinks:{sinks}{wait}")
        );
    }

    #[test]
    fn paths_with_quotes_stay_one_string() {
        assert_eq!(quoted(Path::new("/a \"b\"")), r#""/a \"b\"""#);
    }
}
