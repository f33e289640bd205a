//! The agents that tailwater is compared with, each set up for the same work: every line of the
//! same file, acknowledged by the same receiver, batches of 1 MiB, positions kept.

use std::path::{Path, PathBuf};

use anyhow::Context;

use crate::agent::quoted;
use crate::bench::Stage;
use crate::program::{Launch, Stop, on_path};
use crate::scratch::write_new;

/// An agent that is measured when its program is on the PATH.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Peer {
    /// Fluent Bit; its Loki output sends JSON.
    FluentBit,
    /// Vector.
    Vector,
    /// Promtail.
    Promtail,
}

impl Peer {
    /// All of them, in the order of the table.
    pub(crate) const ALL: [Self; 3] = [Self::FluentBit, Self::Vector, Self::Promtail];

    /// The name of its program.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::FluentBit => "fluent-bit",
            Self::Vector => "vector",
            Self::Promtail => "promtail",
        }
    }

    /// Where its program is, if it is on the PATH.
    pub(crate) fn program(self) -> Option<PathBuf> {
        on_path(self.name())
    }

    /// Writes its configuration for `stage` and says how to start it.
    ///
    /// # Errors
    /// When the configuration cannot be written.
    pub(crate) fn launch(
        self,
        program: PathBuf,
        stage: &Stage,
        input: &Path,
    ) -> anyhow::Result<Launch> {
        let config = stage.dir.path().join(format!("{}.yaml", self.name()));
        let data = stage.dir.path().join(format!("{}-data", self.name()));
        std::fs::create_dir(&data).with_context(|| format!("cannot create {}", data.display()))?;
        let address = stage.receiver.address;
        let text = match self {
            Self::FluentBit => fluent_bit(input, &data, address.port()),
            Self::Vector => vector(input, &data, &format!("http://{address}")),
            Self::Promtail => promtail(input, &data, &stage.push_url()),
        };
        write_new(&config, text.as_bytes())?;
        let flag = match self {
            Self::FluentBit | Self::Vector => format!("--config={}", config.display()),
            Self::Promtail => format!("-config.file={}", config.display()),
        };
        let arguments = vec![flag.into()];
        Ok(Launch {
            name: self.name(),
            program,
            arguments,
            stop: Stop::Terminate,
        })
    }
}

fn fluent_bit(input: &Path, data: &Path, port: u16) -> String {
    format!(
        "service: {{flush: 1, daemon: off, log_level: warn}}\n\
         pipeline:\n  inputs:\n    - name: tail\n      path: {input}\n      db: {positions}\n      \
         read_from_head: true\n      mem_buf_limit: 32MB\n      buffer_max_size: 1MB\n  \
         outputs:\n    - name: loki\n      match: '*'\n      host: 127.0.0.1\n      port: {port}\n      \
         labels: job=bench\n      line_format: json\n      drop_single_key: raw\n      \
         retry_limit: no_limits\n",
        input = quoted(input),
        positions = quoted(&data.join("positions.db")),
    )
}

fn vector(input: &Path, data: &Path, endpoint: &str) -> String {
    format!(
        "data_dir: {data}\n\
         sources:\n  bench:\n    type: file\n    include: [{input}]\n    read_from: beginning\n\
         sinks:\n  out:\n    type: loki\n    inputs: [bench]\n    endpoint: {endpoint}\n    \
         labels: {{job: bench}}\n    encoding: {{codec: text}}\n    compression: snappy\n    \
         healthcheck: {{enabled: false}}\n    acknowledgements: {{enabled: true}}\n    \
         batch: {{max_bytes: 1048576, timeout_secs: 1}}\n",
        data = quoted(data),
        input = quoted(input),
    )
}

fn promtail(input: &Path, data: &Path, url: &str) -> String {
    format!(
        "server: {{http_listen_address: 127.0.0.1, http_listen_port: 0, grpc_listen_port: 0}}\n\
         positions: {{filename: {positions}}}\n\
         clients: [{{url: {url}, batchsize: 1048576, batchwait: 1s}}]\n\
         scrape_configs:\n  - job_name: bench\n    static_configs:\n      \
         - labels: {{job: bench, __path__: {input}}}\n",
        positions = quoted(&data.join("positions.yaml")),
        input = quoted(input),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const INPUT: &str = "/var/log/a.log";

    #[test]
    fn every_peer_reads_the_input_from_its_first_byte_and_waits_for_answers() {
        let (input, data) = (Path::new(INPUT), Path::new("/data"));
        let fluent_bit = fluent_bit(input, data, 3100);
        assert!(fluent_bit.contains("      read_from_head: true\n"));
        assert!(fluent_bit.contains("      retry_limit: no_limits\n"));
        assert!(fluent_bit.contains("      port: 3100\n"));
        let vector = vector(input, data, "http://127.0.0.1:3100");
        assert!(vector.contains("    read_from: beginning\n"));
        assert!(vector.contains("    acknowledgements: {enabled: true}\n"));
        let promtail = promtail(input, data, "http://127.0.0.1:3100/loki/api/v1/push");
        assert!(promtail.contains("positions: {filename: \"/data/positions.yaml\"}\n"));
        for config in [fluent_bit, vector, promtail] {
            assert!(config.contains("\"/var/log/a.log\""), "{config}");
        }
    }
}
