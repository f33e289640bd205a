//! The arguments of `backfill`.

use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

use super::moment::{self, Moment};

/// Arguments of `backfill`.
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a flag of the command line, and none says anything about another"
)]
#[derive(Debug, clap::Args)]
pub struct BackfillArguments {
    /// Files and globs: live, rotated and compressed ones in any order. Without any, the files of the source,
    /// with all that was rotated from them.
    #[arg(value_name = "GLOB", required_unless_present = "config")]
    pub globs: Vec<String>,
    /// The configuration, also Promtail's, of the source whose lines these are.
    #[arg(long, short, conflicts_with = "to", required_unless_present = "to")]
    pub config: Option<PathBuf>,
    /// The source, where the configuration has several.
    #[arg(long, requires = "config", conflicts_with = "to", value_name = "NAME")]
    pub source: Option<String>,
    /// The push URL of a Loki, in place of a configuration.
    #[arg(long, value_name = "URL")]
    pub to: Option<String>,
    /// A label of every line, `name=value`.
    #[arg(long = "label", value_parser = pair, requires = "to", conflicts_with = "config", value_name = "NAME=VALUE")]
    pub labels: Vec<(String, String)>,
    /// The preset that reads the lines; `tailwater presets` lists them.
    #[arg(long, requires = "to", conflicts_with = "config", value_name = "NAME")]
    pub preset: Option<String>,
    /// The tenant that lines are sent for.
    #[arg(long, requires = "to", conflicts_with = "config")]
    pub tenant: Option<String>,
    /// Where this run keeps how far it is, below it in `backfill/`; over the configuration's.
    #[arg(long, value_name = "DIRECTORY")]
    pub data_dir: Option<PathBuf>,
    /// Only lines from this time on: RFC 3339, a date (UTC), or so long ago, like `7d`.
    #[arg(long, value_parser = Moment::parse, value_name = "TIME")]
    pub(crate) since: Option<Moment>,
    /// Only lines before this time: RFC 3339, or a date (UTC).
    #[arg(long, value_parser = Moment::parse, value_name = "TIME")]
    pub(crate) until: Option<Moment>,
    /// Bytes of lines a second at most, like `20MiB`.
    #[arg(long, value_parser = rate, value_name = "SIZE")]
    pub rate: Option<NonZeroU32>,
    /// Logs that are read at once; without it, one for each core, up to 4.
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=64))]
    pub jobs: Option<u16>,
    /// End once nothing was acknowledged for so long, like `10m`; without it, wait for as long as it takes.
    #[arg(long, value_parser = wait, value_name = "DURATION")]
    pub give_up_after: Option<Duration>,
    /// Send the files too that the agent on this data directory follows for the same sink.
    #[arg(long)]
    pub include_followed: bool,
    /// The label that keeps these lines in streams of their own.
    #[arg(long, value_parser = pair, default_value = "backfill=true", value_name = "NAME=VALUE")]
    pub stream_label: (String, String),
    /// Add no such label.
    #[arg(long, conflicts_with = "stream_label")]
    pub no_stream_label: bool,
    /// Say what would be read, in which order and from where; send and write nothing.
    #[arg(long)]
    pub dry_run: bool,
    /// Say nothing until the end.
    #[arg(long)]
    pub no_progress: bool,
    /// Print what came of it as one JSON object.
    #[arg(long)]
    pub json: bool,
    /// Serve metrics and status meanwhile.
    #[arg(long, value_name = "ADDRESS")]
    pub listen: Option<SocketAddr>,
}

impl BackfillArguments {
    /// Returns how many logs are read at once.
    pub(crate) fn jobs(&self) -> usize {
        const MAX_DEFAULT: usize = 4;
        let cores = || std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        self.jobs
            .map_or_else(|| cores().min(MAX_DEFAULT), usize::from)
    }
}

fn pair(text: &str) -> Result<(String, String), String> {
    let (name, value) = text
        .split_once('=')
        .filter(|(name, value)| !name.is_empty() && !value.is_empty())
        .ok_or("write it like `job=nginx`")?;
    Ok((name.to_owned(), value.to_owned()))
}

fn rate(text: &str) -> Result<NonZeroU32, String> {
    let bytes = tailwater_sink::parse_size(text)?;
    u32::try_from(bytes)
        .ok()
        .and_then(NonZeroU32::new)
        .ok_or_else(|| format!("`{text}` is no rate: write 1 to 4294967295 bytes, like `20MiB`"))
}

fn wait(text: &str) -> Result<Duration, String> {
    moment::duration(text)
        .filter(|wait| !wait.is_zero())
        .ok_or_else(|| format!("`{text}` is no time to wait: write it like `30s` or `10m`"))
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    #[derive(Debug, clap::Parser)]
    struct Line {
        #[command(flatten)]
        arguments: BackfillArguments,
    }

    fn parse(line: &str) -> Result<BackfillArguments, clap::Error> {
        let words = std::iter::once("backfill").chain(line.split_whitespace());
        Line::try_parse_from(words).map(|line| line.arguments)
    }

    #[test]
    fn what_is_not_given_has_a_default() {
        let arguments = parse("--config c.yaml").unwrap();
        assert!(arguments.globs.is_empty());
        assert_eq!(arguments.stream_label.0, "backfill");
        assert!((1..=4).contains(&arguments.jobs()));
        assert_eq!(arguments.give_up_after, None);
        assert_eq!(arguments.rate, None);
    }

    #[test]
    fn rates_waits_and_times_are_read() {
        let arguments = parse(
            "--to http://loki/loki/api/v1/push a* b* --label job=x --rate 20MiB --jobs 3 \
             --give-up-after 10m --since 7d --until 2026-11-20 --stream-label from=archive",
        )
        .unwrap();
        assert_eq!(arguments.globs, ["a*", "b*"]);
        assert_eq!(arguments.rate.map(NonZeroU32::get), Some(20 << 20));
        assert_eq!(arguments.jobs(), 3);
        assert_eq!(arguments.give_up_after, Some(Duration::from_secs(600)));
        assert!(matches!(arguments.since, Some(Moment::Ago(_))));
        assert!(matches!(arguments.until, Some(Moment::At(_))));
        assert_eq!(arguments.labels, [("job".to_owned(), "x".to_owned())]);
        assert_eq!(arguments.stream_label.0, "from");
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for line in [
            "",
            "a.log",
            "--to http://loki",
            "--to http://loki --config c.yaml a.log",
            "--to http://loki --source s a.log",
            "--config c.yaml --label job=x",
            "--to http://loki --label job a.log",
            "--to http://loki --rate 0 a.log",
            "--to http://loki --rate 5GiB a.log",
            "--to http://loki --jobs 0 a.log",
            "--to http://loki --give-up-after 0s a.log",
            "--to http://loki --since soon a.log",
            "--to http://loki --stream-label a=b --no-stream-label a.log",
        ] {
            parse(line).unwrap_err();
        }
    }
}
