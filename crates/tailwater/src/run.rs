//! `tailwater run` and `tailwater tail`: the life of the process.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use anyhow::Context as _;
use tailwater_durable::{DirLock, Disk, LockError, MemoryStorage, Storage};
use tailwater_engine::Engine;
use tailwater_position_store::{Journal, PositionStore, StoreLimits};
use tailwater_promtail::Loaded;
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::admin::{ReloadRequest, Reloads, Site};
use crate::cli::TailArguments;
use crate::config::raw::{RawLog, RawLogFormat, RawLogLevel};
use crate::config::{self, Config, ConfigError};
use crate::exit::{Failure, Hint};
use crate::log_count::LogCount;
use crate::promtail::{self, Refresh, Unusable};

/// The file in the data directory that names the address of the admin server.
const ADDRESS_FILE: &str = "admin.addr";

const UNUSABLE_DATA_DIR: &str =
    "give the agent's user a directory that it may write in, with room: `data_dir`";

/// Threads for what blocks: status answers, file sinks, name look-ups.
const MAX_BLOCKING_THREADS: usize = 8;

/// Where the configuration comes from, now and at each reload.
#[derive(Debug)]
pub(crate) enum Origin {
    /// A file of either form, or the embedded one.
    File {
        path: Option<PathBuf>,
        data_dir: Option<PathBuf>,
    },
    /// What Promtail's flags name.
    Promtail(tailwater_promtail::Flags),
}

impl Origin {
    /// Loads the configuration for the first time: without the files of targets that cannot be used.
    pub(crate) fn load_first(&self) -> Result<Config, ConfigError> {
        match (self.promtail(), self) {
            (Some(loaded), Self::File { data_dir, .. }) => {
                promtail::config_of(&loaded?, data_dir.as_deref(), Unusable::IsLeftOut)
            }
            (Some(loaded), Self::Promtail(_)) => {
                promtail::config_of(&loaded?, None, Unusable::IsLeftOut)
            }
            (None, _) => self.load(),
        }
    }

    /// Loads the configuration again; what runs goes on where it cannot be used.
    fn load(&self) -> Result<Config, ConfigError> {
        match self {
            Self::File {
                path: Some(path),
                data_dir,
            } => config::load(path, data_dir.as_deref()),
            Self::File {
                path: None,
                data_dir,
            } => config::load_default(data_dir.as_deref()),
            Self::Promtail(flags) => {
                let loaded = tailwater_promtail::load(flags, &promtail::host())?;
                promtail::config_of(&loaded, None, Unusable::IsRefused)
            }
        }
    }

    /// Loads Promtail's configuration; `None` where it is another's.
    fn promtail(&self) -> Option<Result<Loaded, ConfigError>> {
        match self {
            Self::File { path, .. } => config::load_promtail(path.as_deref()?),
            Self::Promtail(flags) => Some(tailwater_promtail::load(flags, &promtail::host())),
        }
    }

    /// Returns what waits for other targets, where a file names some.
    fn refresh(&self) -> Option<Refresh> {
        Refresh::of(self.promtail()?.ok()?)
    }
}

/// Runs the daemon until SIGTERM or SIGINT.
///
/// # Errors
/// [`Failure`]; a sink that cannot be reached is none.
pub fn run(
    path: Option<&Path>,
    data_dir: Option<&Path>,
    level: Option<RawLogLevel>,
) -> Result<(), Failure> {
    let origin = Origin::File {
        path: path.map(Path::to_owned),
        data_dir: data_dir.map(Path::to_owned),
    };
    run_from(origin, level)
}

/// Runs the daemon with the configuration of an origin.
///
/// # Errors
/// As [`run`].
pub(crate) fn run_from(origin: Origin, level: Option<RawLogLevel>) -> Result<(), Failure> {
    if let Some(loaded) = origin.promtail().transpose()?
        && promtail::modes::is_asked(&loaded)
    {
        return promtail::modes::run(&loaded, &origin, level);
    }
    let config = origin.load_first()?;
    start_log(&config.log, level);
    if let Some(Ok(loaded)) = origin.promtail() {
        promtail::announce(&loaded);
    }
    raise_descriptor_limit();
    let (_lock, storage) = open_data_dir(&config.data_dir)?;
    let (mut store, mut journal) = open_positions(&storage, config.engine.tailing.max_files)?;
    // Before anything is read, and durable before anything is sent.
    crate::positions::import_at_start(&config, &mut store, &mut journal)?;
    on_runtime(serve(config, origin, storage, store, journal))
}

/// Follows files without a configuration until SIGTERM or SIGINT.
///
/// # Errors
/// [`Failure`].
pub fn tail(arguments: &TailArguments, level: Option<RawLogLevel>) -> Result<(), Failure> {
    let config = config::parse(
        &tail_config(arguments),
        "command line",
        None,
        &HashMap::new(),
    )
    .map_err(|error| Failure::Usage(error.to_string()))?;
    start_log(&config.log, Some(level.unwrap_or(RawLogLevel::Warn)));
    let storage: Arc<dyn Storage> = Arc::new(MemoryStorage::new());
    let (store, journal) = open_positions(&storage, config.engine.tailing.max_files)?;
    let stopped = async {
        let mut signals = Signals::new()?;
        // Nothing is kept: what is not delivered at the end is gone with the process.
        let mut config = config;
        config.engine.data_dir = None;
        let engine = Engine::start(&config.engine, store, journal, None)?;
        signals.stop().await;
        engine.shutdown(config.shutdown_timeout).await;
        Ok(())
    };
    on_runtime(stopped)
}

/// Writes the arguments of `tail` as a configuration, so that both are checked alike. Strings are
/// written as JSON, which is YAML.
fn tail_config(arguments: &TailArguments) -> String {
    let labels: serde_json::Map<String, serde_json::Value> = arguments
        .labels
        .iter()
        .map(|(name, value)| (name.clone(), value.clone().into()))
        .collect();
    let sink = match &arguments.to {
        Some(url) => serde_json::json!({ "loki": { "url": url } }),
        None => serde_json::json!({
            "file": { "path": "-", "format": "text" },
            "batch": { "max_wait": "100ms" },
        }),
    };
    let read_from = if arguments.from_beginning {
        "beginning"
    } else {
        "end"
    };
    serde_json::json!({
        "sources": { "tail": { "include": arguments.globs, "labels": labels, "read_from": read_from } },
        "sinks": { "out": sink },
    })
    .to_string()
}

/// The daemon, on the runtime.
async fn serve(
    config: Config,
    origin: Origin,
    storage: Arc<dyn Storage>,
    store: PositionStore,
    journal: Journal,
) -> anyhow::Result<()> {
    let mut signals = Signals::new()?;
    signals.refresh = origin.refresh();
    let listener = listen(config.server.listen, &*storage).await?;
    let address = listener.as_ref().map(TcpListener::local_addr).transpose();
    announce(
        &config,
        address.context("cannot tell the address of the admin server")?,
    );
    let engine = Engine::start(&config.engine, store, journal, Some(storage))?;
    let (site, mut reloads) = Site::new(&config);
    let site = Arc::new(site);
    let handle = engine.handle();
    let admin = listener
        .map(|listener| tokio::spawn(crate::admin::serve(listener, handle, Arc::clone(&site))));
    let mut daemon = Daemon {
        shutdown_timeout: config.shutdown_timeout,
        hash: config.written.hash,
        origin,
        engine,
        site,
    };
    let of_signal = if config.server.promtail {
        Unchanged::IsRefused
    } else {
        Unchanged::IsTaken
    };
    loop {
        match wish(&mut signals, &mut reloads).await {
            Wish::Stop => break,
            Wish::Reload(None) => drop(daemon.reload(of_signal).await),
            Wish::Reload(Some(request)) => {
                // Whoever asked may have gone: the log has it too.
                drop(request.send(daemon.reload(Unchanged::IsRefused).await));
            }
        }
        signals.refresh = daemon.origin.refresh();
    }
    tracing::info!("stopping");
    if let Some(admin) = admin {
        admin.abort();
    }
    tokio::select! {
        stopped = daemon.engine.shutdown(daemon.shutdown_timeout) => {
            tracing::info!(unacked_records = stopped.unacked_records, "stopped");
        }
        () = signals.stop() => tracing::warn!("told twice to stop: what was not acked is sent again after the next start"),
    }
    Ok(())
}

/// Binds the address of the admin server and writes it where it is looked for; `None` for no server.
pub(crate) async fn listen(
    address: Option<SocketAddr>,
    storage: &dyn Storage,
) -> anyhow::Result<Option<TcpListener>> {
    let Some(address) = address else {
        // One may be left of an earlier run, or none.
        drop(storage.remove(ADDRESS_FILE));
        return Ok(None);
    };
    let listener = crate::admin::bind(address)
        .await
        .with_context(|| format!("cannot listen on {address}"))
        .map_err(|error| {
            error.context(Hint(
                "choose a free address: `server: { listen: \"127.0.0.1:0\" }`".to_owned(),
            ))
        })?;
    let address = listener
        .local_addr()
        .context("cannot tell the address of the admin server")?;
    storage
        .replace(ADDRESS_FILE, address.to_string().as_bytes())
        .context("cannot write the address of the admin server")
        .context(Hint(UNUSABLE_DATA_DIR.to_owned()))?;
    Ok(Some(listener))
}

/// What runs, and what a reload changes.
struct Daemon {
    origin: Origin,
    engine: Engine,
    site: Arc<Site>,
    shutdown_timeout: Duration,
    /// Of the text that runs.
    hash: u64,
}

/// What becomes of a reload where the text is what it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Unchanged {
    IsTaken,
    IsRefused,
}

impl Daemon {
    /// Takes up the configuration as it is now. Where it cannot be, the old one goes on; the error is
    /// logged and returned.
    async fn reload(&mut self, unchanged: Unchanged) -> Result<(), String> {
        let loaded = self.origin.load().map_err(|error| {
            let text = error.to_string();
            (text, error.hint)
        });
        let checked = loaded.and_then(|config| {
            if unchanged == Unchanged::IsRefused && config.written.hash == self.hash {
                let hint = "change the file first: what runs is what it says".to_owned();
                return Err(("config has not changed".to_owned(), hint));
            }
            Ok(config)
        });
        match checked {
            Ok(config) => {
                self.shutdown_timeout = config.shutdown_timeout;
                self.hash = config.written.hash;
                self.engine
                    .reload(&config.engine, self.shutdown_timeout)
                    .await;
                self.site.reloaded(&config);
                tracing::info!("configuration reloaded");
                Ok(())
            }
            Err((error, hint)) => {
                self.site.not_reloaded();
                tracing::error!(
                    error,
                    hint,
                    "configuration not reloaded, the old one goes on"
                );
                Err(error)
            }
        }
    }
}

/// What somebody outside wants.
#[derive(Debug)]
enum Wish {
    Stop,
    /// With the one who waits for the answer, where there is one.
    Reload(Option<ReloadRequest>),
}

async fn wish(signals: &mut Signals, reloads: &mut Reloads) -> Wish {
    tokio::select! {
        told = signals.next() => match told {
            Told::Stop => Wish::Stop,
            Told::Reload => Wish::Reload(None),
        },
        Some(request) = reloads.recv() => Wish::Reload(Some(request)),
    }
}

pub(crate) fn announce(config: &Config, address: Option<SocketAddr>) {
    let sources: Vec<&str> = config
        .engine
        .sources
        .iter()
        .map(|source| &*source.name)
        .collect();
    for sink in &config.engine.sinks {
        tracing::info!(
            sink = &*sink.name,
            target = sink.parts.deliver.target(),
            "delivering"
        );
    }
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"),
        sources = sources.join(","),
        data_dir = %config.data_dir.display(),
        status = address.map(|address| format!("http://{address}{}/", config.server.path_prefix)),
        "tailwater started"
    );
}

/// What tells the agent something: signals, and files of targets that change.
pub(crate) struct Signals {
    refresh: Option<Refresh>,
    term: Signal,
    interrupt: Signal,
    hangup: Signal,
}

impl Signals {
    pub(crate) fn new() -> anyhow::Result<Self> {
        let listen = |kind| signal(kind).context("cannot listen to signals");
        Ok(Self {
            refresh: None,
            term: listen(SignalKind::terminate())?,
            interrupt: listen(SignalKind::interrupt())?,
            hangup: listen(SignalKind::hangup())?,
        })
    }

    async fn next(&mut self) -> Told {
        tokio::select! {
            _ = self.term.recv() => Told::Stop,
            _ = self.interrupt.recv() => Told::Stop,
            _ = self.hangup.recv() => Told::Reload,
            () = changed(self.refresh.as_mut()) => Told::Reload,
        }
    }

    pub(crate) async fn stop(&mut self) {
        while self.next().await != Told::Stop {}
    }
}

/// Returns when the files of targets say something else; never where there are none.
async fn changed(refresh: Option<&mut Refresh>) {
    match refresh {
        Some(refresh) => refresh.changed().await,
        None => std::future::pending().await,
    }
}

/// What a signal says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Told {
    Stop,
    Reload,
}

/// Opens the data directory for this process alone.
fn open_data_dir(directory: &Path) -> Result<(DirLock, Arc<dyn Storage>), Failure> {
    // Errors name the whole path, whatever directory the agent was started in.
    let directory = std::path::absolute(directory).unwrap_or_else(|_| directory.to_owned());
    let storage =
        Disk::open(&directory).map_err(|error| hinted(error.into(), UNUSABLE_DATA_DIR))?;
    let lock = DirLock::acquire(&directory).map_err(|error| {
        let hint = match &error {
            LockError::Held { .. } => {
                "run one agent per `data_dir`: stop the other one, or give this one its own"
            }
            LockError::Storage { .. } | _ => UNUSABLE_DATA_DIR,
        };
        hinted(error.into(), hint)
    })?;
    Ok((lock, Arc::new(storage)))
}

pub(crate) fn open_positions(
    storage: &Arc<dyn Storage>,
    max_files: usize,
) -> Result<(PositionStore, Journal), Failure> {
    let limits = StoreLimits {
        max_files: max_files.saturating_mul(2),
        ..StoreLimits::default()
    };
    let opened = tailwater_position_store::open(Arc::clone(storage), limits, unix_ns());
    let (store, journal, recovery) = opened.map_err(|error| {
        let hint = error.hint();
        hinted(error.into(), hint)
    })?;
    if recovery.damaged_frames > 0 || recovery.used_previous {
        tracing::error!(
            damaged_frames = recovery.damaged_frames,
            skipped_bytes = recovery.skipped_bytes,
            used_previous = recovery.used_previous,
            recovered_files = recovery.recovered_files,
            "positions were damaged: what was acked since the last good ones is sent again"
        );
    }
    Ok((store, journal))
}

fn hinted(error: anyhow::Error, hint: &str) -> Failure {
    Failure::Runtime(error.context(Hint(hint.to_owned())))
}

/// Runs to the end on one thread: requests are few and large, and the work is on the pipeline threads.
pub(crate) fn on_runtime(work: impl Future<Output = anyhow::Result<()>>) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(MAX_BLOCKING_THREADS)
        .thread_keep_alive(Duration::from_secs(2))
        .build()
        .context("cannot start the async runtime")
        .map_err(Failure::Runtime)?;
    let result = runtime.block_on(work);
    // A write to a terminal that nobody reads holds its thread: it is left behind.
    runtime.shutdown_timeout(Duration::from_millis(100));
    result.map_err(Failure::Runtime)
}

pub(crate) fn start_log(log: &RawLog, level: Option<RawLogLevel>) {
    let level = match level.unwrap_or(log.level) {
        RawLogLevel::Error => "error",
        RawLogLevel::Warn => "warn",
        RawLogLevel::Info => "info",
        RawLogLevel::Debug => "debug,hyper=info,reqwest=info,rustls=info",
    };
    let builder = tracing_subscriber::fmt()
        .with_env_filter(tracing_subscriber::EnvFilter::new(level))
        .with_writer(std::io::stderr)
        .with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr()));
    // It fails only where a log was started before, and then that one is used.
    match log.format {
        RawLogFormat::Text => builder.finish().with(LogCount).try_init().ok(),
        RawLogFormat::Json => builder.json().finish().with(LogCount).try_init().ok(),
    };
}

/// Lets the process open as many files as the system allows it: the usual soft limit of 1024 is for
/// programs that use `select`.
pub(crate) fn raise_descriptor_limit() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    if let Err(error) = setrlimit(
        Resource::Nofile,
        Rlimit {
            current: limit.maximum,
            maximum: limit.maximum,
        },
    ) {
        tracing::warn!(%error, "cannot raise the limit of open files");
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "the start of the process, stored with the positions"
)]
pub(crate) fn unix_ns() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since.map_or(0, |since| {
        u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
    })
}
