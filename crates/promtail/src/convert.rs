//! From Promtail's form to the native one.

mod client;
mod source;

use crate::check::listen_address;
use crate::emit::{Doc, Map};
use crate::load::Loaded;
use crate::model::Config;
use crate::targets::Targets;

/// The port of Promtail's HTTP server where the configuration does not say.
const DEFAULT_PORT: u16 = 80;

/// Where Promtail keeps positions where the configuration does not say.
const DEFAULT_POSITIONS: &str = "/var/log/positions.yaml";

/// What is no file of positions, and as good as one that is not there.
const NO_POSITIONS: &str = "/dev/null";

/// Promtail's rate and burst of lines where the configuration does not say.
const DEFAULT_RATE: u32 = 10_000;

/// A configuration in the native form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Native {
    /// The text. It holds the secrets that Promtail's configuration holds.
    pub text: String,
    /// What means something else than before, or has no effect any more: a sentence each. Holds no
    /// secret.
    pub notes: Vec<String>,
}

/// Writes a configuration in the native form, with `targets` as its sources.
///
/// The same configuration with the same targets gives the same text.
pub fn convert(loaded: &Loaded, targets: &Targets) -> Native {
    let config = &loaded.config;
    let mut top = Map::default();
    let mut notes = loaded.notes.clone();
    put_positions(&mut top, config);
    put_server(&mut top, config);
    put_log(&mut top, config);
    put_tailing(&mut top, config);
    put_limits(&mut top, config);
    let (sinks, memory_limit) = client::sinks(loaded, &mut notes);
    if let Some(limit) = memory_limit {
        top.comment("The queues of the sinks hold four batches each.");
        top.plain("memory_limit", limit);
    }
    let sink_names: Vec<String> = sinks.iter().map(|(name, _)| name.clone()).collect();
    top.put(
        "sources",
        source::sources(loaded, targets, &sink_names, &mut notes),
    );
    let mut all = Map::default();
    for (name, sink) in sinks {
        all.put(&name, sink);
    }
    top.put("sinks", all.into_doc());
    let mut text = header(loaded, &notes);
    text.push_str(&spaced(&top.into_doc().render()));
    Native { text, notes }
}

fn header(loaded: &Loaded, notes: &[String]) -> String {
    let from = loaded.path.as_ref().map_or_else(
        || "Promtail's flags".to_owned(),
        |path| path.display().to_string(),
    );
    let mut lines = vec![format!("Converted from {from}.")];
    if !notes.is_empty() {
        lines.push(String::new());
        lines.push("What means something else here, or has no effect:".to_owned());
        lines.extend(notes.iter().map(|note| format!("- {note}")));
    }
    let is_control = |letter: char| if letter.is_control() { ' ' } else { letter };
    let lines = lines.iter().map(|line| {
        let line: String = line.chars().map(is_control).collect();
        format!("# {line}").trim_end().to_owned()
    });
    let mut text = lines.collect::<Vec<_>>().join("\n");
    text.push('\n');
    text
}

/// Puts an empty line before each top-level block, and before the comment above it.
fn spaced(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 64);
    let mut is_after_comment = false;
    let mut is_after_block = true;
    for line in text.lines() {
        let is_top = !line.starts_with([' ', '-']);
        let is_comment = line.starts_with('#');
        let begins_block = is_top && (is_comment || line.ends_with(':'));
        if !is_after_comment && (begins_block || (is_top && is_after_block)) {
            out.push('\n');
        }
        is_after_comment = is_top && is_comment;
        is_after_block = !is_top;
        out.push_str(line);
        out.push('\n');
    }
    out
}

fn put_positions(top: &mut Map, config: &Config) {
    let file = config
        .positions
        .filename
        .as_deref()
        .unwrap_or(DEFAULT_POSITIONS);
    // Written so to have no positions, mostly in dry runs.
    if file == NO_POSITIONS {
        top.text("data_dir", &format!("{file}.tailwater"));
    } else {
        top.comment(
            "Promtail's positions file is read once, at the first start, and never written.",
        );
        top.text("data_dir", &format!("{file}.tailwater"));
        top.text("import_positions", file);
    }
    if let Some(timeout) = config.server.graceful_shutdown_timeout {
        top.plain("shutdown_timeout", at_least_10ms(timeout));
    }
}

/// The native form takes no shorter intervals.
fn at_least_10ms(duration: crate::quantity::GoDuration) -> crate::quantity::GoDuration {
    let least = std::time::Duration::from_millis(10);
    crate::quantity::GoDuration(duration.0.max(least))
}

fn put_server(top: &mut Map, config: &Config) {
    let server = &config.server;
    let mut map = Map::default();
    if server.disable == Some(true) {
        map.comment("There is no server.");
        map.text("listen", "");
    } else {
        let address = listen_address(server).unwrap_or(std::net::Ipv4Addr::UNSPECIFIED.into());
        let port = server.http_listen_port.unwrap_or(DEFAULT_PORT);
        map.text(
            "listen",
            &std::net::SocketAddr::new(address, port).to_string(),
        );
    }
    if let Some(prefix) = server
        .http_path_prefix
        .as_deref()
        .filter(|prefix| !prefix.is_empty())
    {
        map.text("path_prefix", prefix);
    }
    map.comment("Promtail's endpoints, and metrics under its names beside ours.");
    map.plain("promtail", true);
    if server.enable_runtime_reload == Some(true) {
        map.plain("reload", true);
    }
    if server.health_check_target == Some(false) {
        map.plain("ready_without_targets", true);
    }
    top.put("server", map.into_doc());
}

fn put_log(top: &mut Map, config: &Config) {
    let mut map = Map::default();
    if let Some(level) = &config.server.log_level {
        map.text("level", level);
    }
    if let Some(format) = &config.server.log_format {
        map.text("format", if format == "json" { "json" } else { "text" });
    }
    if !map.is_empty() {
        top.put("log", map.into_doc());
    }
}

fn put_tailing(top: &mut Map, config: &Config) {
    let mut map = Map::default();
    let poll = config.global.file_watch_config.min_poll_frequency;
    map.plain_if("poll_interval", poll.map(at_least_10ms));
    if let Some(period) = config.target_config.sync_period {
        map.comment("New files are found by events; this is for what has none.");
        map.plain("rescan_interval", at_least_10ms(period));
    }
    if !map.is_empty() {
        top.put("tailing", map.into_doc());
    }
}

fn put_limits(top: &mut Map, config: &Config) {
    let limits = &config.limits_config;
    if limits.readline_rate_enabled != Some(true) {
        return;
    }
    let mut map = Map::default();
    map.plain(
        "lines_per_second",
        limits
            .readline_rate
            .unwrap_or(f64::from(DEFAULT_RATE))
            .ceil(),
    );
    map.plain(
        "burst",
        limits.readline_burst.unwrap_or(DEFAULT_RATE).max(1),
    );
    let is_dropped = limits.readline_rate_drop.unwrap_or(true);
    map.plain("when_exceeded", if is_dropped { "drop" } else { "block" });
    top.put("limits", map.into_doc());
}

/// Makes a name of the native form, of which none is in `taken`: `name`, `name-2`, ….
pub(crate) fn unique_name(wanted: &str, taken: &[String]) -> String {
    const MAX_BYTES: usize = 90;
    let letter = |letter: char| match letter {
        letter if letter.is_ascii_alphanumeric() || "_-.".contains(letter) => letter,
        _ => '-',
    };
    let name: String = wanted.chars().map(letter).take(MAX_BYTES).collect();
    if !taken.contains(&name) {
        return name;
    }
    let numbered = (2_u32..).map(|number| format!("{name}-{number}"));
    let mut free = numbered.filter(|name| !taken.contains(name));
    free.next().unwrap_or(name)
}

/// Makes a list of texts for the native loader.
pub(crate) fn native_texts<'t>(texts: impl IntoIterator<Item = &'t str>) -> Doc {
    Doc::texts(texts, crate::emit::Purpose::Native)
}
