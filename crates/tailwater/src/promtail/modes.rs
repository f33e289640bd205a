//! `-dry-run` and `-stdin`: runs that keep nothing on disk.

use std::fs::File;
use std::os::fd::AsFd as _;
use std::sync::Arc;

use anyhow::Context as _;
use tailwater_durable::{MemoryStorage, Storage};
use tailwater_engine::{Engine, StreamEnd};
use tailwater_position_store::{Journal, PositionStore};
use tailwater_promtail::Loaded;
use tokio::net::TcpListener;
use tokio::sync::Notify;

use super::dry_run;
use crate::admin::Site;
use crate::config::Config;
use crate::config::raw::RawLogLevel;
use crate::exit::Failure;
use crate::run::{self, Origin, Signals};

/// Why the sender of a sink drops records: what the converted configuration can make it do.
const GIVEN_UP: [&str; 2] = ["ingester_error", "rate_limited"];

/// Returns whether a configuration asks for such a run.
pub(crate) fn is_asked(loaded: &Loaded) -> bool {
    loaded.flags().dry_run || loaded.is_stdin()
}

/// Runs until SIGTERM or SIGINT, or to the end of the standard input where lines come from there.
///
/// Positions are looked up and never written, and no file is made.
///
/// # Errors
/// [`Failure`], also where not every line of the standard input was delivered.
pub(crate) fn run(
    loaded: &Loaded,
    origin: &Origin,
    level: Option<RawLogLevel>,
) -> Result<(), Failure> {
    let mut config = origin.load_first()?;
    run::start_log(&config.log, level);
    super::announce(loaded);
    run::raise_descriptor_limit();
    let is_stdin = loaded.is_stdin();
    let storage: Arc<dyn Storage> = if is_stdin {
        Arc::new(MemoryStorage::new())
    } else {
        Arc::new(positions(&config).map_err(Failure::Runtime)?)
    };
    let (mut store, mut journal) = run::open_positions(&storage, config.engine.tailing.max_files)?;
    if !is_stdin {
        crate::positions::import_at_start(&config, &mut store, &mut journal)?;
    }
    config.engine.data_dir = None;
    config.server.reload = false;
    let closed = Arc::new(Notify::new());
    if loaded.flags().dry_run {
        super::print(&dry_run::clients(loaded))?;
        dry_run::redirect(&mut config, &closed).map_err(Failure::Runtime)?;
    }
    let stream = is_stdin.then(stream).transpose();
    let stream = stream
        .context("cannot use the standard input")
        .map_err(Failure::Runtime)?;
    run::on_runtime(serve(config, storage, store, journal, stream, closed))
}

/// Returns a copy of the positions there are, if there are any.
fn positions(config: &Config) -> anyhow::Result<MemoryStorage> {
    if config.data_dir.is_dir() {
        crate::positions::copy(&config.data_dir)
    } else {
        Ok(MemoryStorage::new())
    }
}

fn stream() -> std::io::Result<File> {
    Ok(std::io::stdin().as_fd().try_clone_to_owned()?.into())
}

async fn serve(
    config: Config,
    storage: Arc<dyn Storage>,
    store: PositionStore,
    journal: Journal,
    stream: Option<File>,
    closed: Arc<Notify>,
) -> anyhow::Result<()> {
    let mut signals = Signals::new()?;
    let listener = listen(&config, &*storage).await;
    let address = listener
        .as_ref()
        .and_then(|listener| listener.local_addr().ok());
    let (engine, mut end) = match stream {
        Some(stream) => {
            let (engine, end) = Engine::start_reading(&config.engine, store, journal, stream)?;
            (engine, Some(end))
        }
        None => (Engine::start(&config.engine, store, journal, None)?, None),
    };
    run::announce(&config, address);
    let (site, _reloads) = Site::new(&config);
    let admin = listener.map(|listener| {
        tokio::spawn(crate::admin::serve(
            listener,
            engine.handle(),
            Arc::new(site),
        ))
    });
    let ended = tokio::select! {
        result = all_of(&engine, end.as_mut()) => result,
        () = signals.stop() => Ok(()),
        () = closed.notified() => Err(anyhow::anyhow!("nobody reads the standard output any more")),
    };
    let handle = engine.handle();
    let stopped = engine.shutdown(config.shutdown_timeout).await;
    if let Some(admin) = admin {
        admin.abort();
    }
    ended?;
    if end.is_some() {
        let books = handle.status().books;
        let lost = books.iter().map(|route| {
            let given_up = GIVEN_UP
                .iter()
                .filter_map(|reason| route.dropped_records.get(*reason));
            route.rejected_total() + given_up.sum::<u64>()
        });
        let undelivered = lost.sum::<u64>() + stopped.unacked_records;
        anyhow::ensure!(
            undelivered == 0,
            "{undelivered} lines of the standard input were not delivered"
        );
    }
    Ok(())
}

/// Another agent may have the port, and this run has other things to do.
async fn listen(config: &Config, storage: &dyn Storage) -> Option<TcpListener> {
    match run::listen(config.server.listen, storage).await {
        Ok(listener) => listener,
        Err(error) => {
            let error = format!("{error:#}");
            tracing::warn!(error, "no status is served in this run");
            None
        }
    }
}

/// Returns once all of a stream is delivered or given up; never where there is none.
async fn all_of(engine: &Engine, end: Option<&mut StreamEnd>) -> anyhow::Result<()> {
    let Some(end) = end else {
        return std::future::pending().await;
    };
    let result = end.wait().await;
    engine.delivered().await;
    result.context("cannot read the standard input to its end")
}
