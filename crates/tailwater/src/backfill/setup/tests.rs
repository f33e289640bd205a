use std::io::Write as _;

use clap::Parser as _;

use super::*;

#[derive(Debug, clap::Parser)]
struct Line {
    #[command(flatten)]
    arguments: BackfillArguments,
}

const NOW: u64 = 1_795_255_200_000_000_000;

fn setup(words: &[&str]) -> Result<Setup, Failure> {
    let words = std::iter::once("backfill").chain(words.iter().copied());
    let line = Line::try_parse_from(words).unwrap();
    Setup::of(&line.arguments, NOW)
}

fn file(text: &str) -> tempfile::NamedTempFile {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(text.as_bytes()).unwrap();
    file
}

const TWO: &str = "\
data_dir: /nowhere
sources:
  web:
    include: [/var/log/web/*.log]
    labels: { job: web }
    sinks: [b]
    rate_limit: { lines_per_second: 10, when_exceeded: drop }
    stages:
      - regex: { expression: '^(?P<t>\\S+)' }
      - timestamp: { source: t, format: RFC3339 }
      - drop: { expression: healthz, drop_counter_reason: noise }
  db:
    include: [/var/log/db/*.log]
    labels: { job: db }
    read_from: end
    ignore_older: 1h
    sinks: [a, b]
sinks:
  a: { loki: { url: http://a }, when_full: drop_oldest }
  b: { loki: { url: http://b }, labels: { backfill: no }, retry: { max_attempts: 3 } }
";

fn of_two(words: &[&str]) -> Result<Setup, Failure> {
    let file = file(TWO);
    let path = file.path().display().to_string();
    setup(&[&["--config", &path], words].concat())
}

#[test]
fn one_source_is_left_with_the_sinks_that_it_feeds() {
    let setup = of_two(&["--source", "web"]).unwrap();
    let names: Vec<String> = setup.sinks().iter().map(ToString::to_string).collect();
    assert_eq!(names, ["b"]);
    assert_eq!(setup.source().unwrap().sinks, [0]);
    let both = of_two(&["--source", "db"]).unwrap();
    assert_eq!(both.sinks().len(), 2);
    assert_eq!(both.source().unwrap().sinks, [0, 1]);
    let error = of_two(&[]).unwrap_err().to_string();
    assert!(error.contains("web, db"), "{error}");
    let error = of_two(&["--source", "x"]).unwrap_err().to_string();
    assert!(error.contains("web, db"), "{error}");
}

#[test]
fn nothing_is_dropped_ignored_or_given_up_by_what_the_configuration_says() {
    let setup = of_two(&["--source", "db"]).unwrap();
    let source = setup.source().unwrap();
    assert_eq!(source.read_from, ReadFrom::Beginning);
    assert_eq!(source.ignore_older, None);
    for sink in &setup.config.engine.sinks {
        assert_eq!(sink.policy, Policy::default());
        assert_eq!(sink.give_up, GiveUp::default());
        let label = ("backfill".to_owned(), "true".to_owned());
        assert_eq!(sink.labels, [label]);
    }
    let web = of_two(&["--source", "web", "--no-stream-label"]).unwrap();
    let limit = web.source().unwrap().rate_limit.unwrap();
    assert_eq!(limit.when_exceeded, WhenExceeded::Block);
    let label = ("backfill".to_owned(), "no".to_owned());
    assert_eq!(web.config.engine.sinks[0].labels, [label]);
    assert_eq!(web.config.server.listen, None);
}

#[test]
fn a_range_of_times_needs_times_and_has_positions_of_its_own() {
    let all = of_two(&["--source", "web"]).unwrap();
    assert_eq!(all.state_dir, Path::new("/nowhere/backfill"));
    assert_eq!(all.stage_reasons, BTreeSet::from(["noise".to_owned()]));
    let range = of_two(&["--source", "web", "--since", "7d"]).unwrap();
    let again = of_two(&["--source", "web", "--since", "7d"]).unwrap();
    let other = of_two(&["--source", "web", "--since", "8d"]).unwrap();
    assert_eq!(range.lock_dir, all.state_dir);
    assert_eq!(range.state_dir, again.state_dir);
    assert_ne!(range.state_dir, other.state_dir);
    assert_ne!(range.state_dir, all.state_dir);
    assert!(range.state_dir.starts_with(&range.lock_dir));
    // Its own reason is none of the configuration's.
    assert_eq!(range.stage_reasons, all.stage_reasons);
    let error = of_two(&["--source", "db", "--since", "7d"]).unwrap_err();
    assert_eq!(error.code(), crate::exit::USAGE);
    assert!(error.to_string().contains("timestamp"), "{error}");
    let error = of_two(&["--source", "web", "--since", "1d", "--until", "2d"]).unwrap_err();
    assert_eq!(error.code(), crate::exit::USAGE);
}

#[test]
fn without_a_configuration_the_sink_is_named_by_where_it_sends() {
    let to = |words: &[&str]| {
        let base = [
            "--to",
            "http://a",
            "--data-dir",
            "/d",
            "--label",
            "job=x",
            "a.log",
        ];
        setup(&[&base, words].concat()).unwrap()
    };
    let plain = to(&[]);
    assert_eq!(plain.data_dir, Path::new("/d"));
    assert_eq!(plain.sinks(), to(&["--rate", "1MiB"]).sinks());
    assert_ne!(plain.sinks(), to(&["--tenant", "t"]).sinks());
    let label = ("job".to_owned(), "x".to_owned());
    assert_eq!(plain.source().unwrap().labels, [label]);
    let limit = to(&["--rate", "1MiB"]).config.engine.rate_limit.unwrap();
    assert_eq!(
        limit.bytes_per_second.map(std::num::NonZero::get),
        Some(1 << 20)
    );
    let of_preset = to(&["--preset", "apache_combined", "--since", "1d"]);
    assert!(of_preset.source().unwrap().stages.is_some());
    for words in [["--to", "ftp://a"], ["--preset", "nginxx"]] {
        let to = if words[0] == "--to" {
            "a.log"
        } else {
            "--to=http://a"
        };
        let error = setup(&[&words[..], &[to, "b.log"]].concat()).unwrap_err();
        assert_eq!(error.code(), crate::exit::USAGE);
    }
}

#[test]
fn what_the_command_line_says_is_taken_as_it_is() {
    let words = ["--to", "http://a", "--data-dir", "/d/${x}", "a.log"];
    let labels = ["--label", "price=$5", "--label", "home=${HOME} $$"];
    let setup = setup(&[&words[..], &labels].concat()).unwrap();
    assert_eq!(setup.data_dir, Path::new("/d/${x}"));
    let labels = &setup.source().unwrap().labels;
    let values = labels.iter().map(|(_, value)| value.as_str());
    assert_eq!(
        values.collect::<BTreeSet<_>>(),
        BTreeSet::from(["$5", "${HOME} $$"])
    );
}

#[test]
fn a_label_that_would_keep_lines_in_no_stream_of_their_own_is_refused() {
    for (words, named) in [
        (&["--stream-label", "1x=y"][..], "1x"),
        (&["--stream-label", "a b=y"], "a b"),
        (&["--stream-label", "filename=y"], "filename"),
        (&["--stream-label", "job=y"], "job"),
        (&["--label", "backfill=no"], "backfill"),
    ] {
        let base = ["--to", "http://a", "--data-dir", "/d", "--label", "job=x"];
        let error = setup(&[&base[..], words, &["a.log"]].concat()).unwrap_err();
        assert_eq!(error.code(), crate::exit::USAGE);
        assert!(error.to_string().contains(named), "{error}");
    }
    let own = ["--label", "backfill=no", "--no-stream-label"];
    setup(
        &[
            &["--to", "http://a", "--data-dir", "/d"],
            &own[..],
            &["a.log"],
        ]
        .concat(),
    )
    .unwrap();
}

#[test]
fn a_configuration_of_promtail_does_too() {
    let file = file(
        "clients: [{ url: http://loki:3100/loki/api/v1/push }]\n\
         positions: { filename: /nowhere/positions.yaml }\n\
         scrape_configs:\n  - job_name: web\n    static_configs:\n      \
         - { targets: [localhost], labels: { job: web, __path__: /var/log/web/*.log } }\n",
    );
    let path = file.path().display().to_string();
    let setup = setup(&["--config", &path]).unwrap();
    assert_eq!(setup.sinks().len(), 1);
    // Promtail gives up after ten attempts.
    assert_eq!(setup.config.engine.sinks[0].give_up, GiveUp::default());
    assert_eq!(setup.config.engine.rate_limit, None);
}
