//! The lanes that run: starting, keeping and ending them.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::task::AbortHandle;

use crate::config::{EngineConfig, Policy, SinkConfig, Then, WhenFull};
use crate::dead_letters::DeadLetters;
use crate::desk::Desk;
use crate::outlet::{LaneKey, Outlet, escaped};
use crate::queue::Budget;
use crate::route::{SinkEnd, lane_keys};
use crate::spill::Spill;

/// Where the spills of all lanes stand, below the data directory.
pub const SPILL_DIRECTORY: &str = "spill";

/// Where refused records stand, below the data directory.
pub const DEAD_LETTER_DIRECTORY: &str = "dead-letters";

/// The lanes that run.
#[derive(Debug)]
pub(crate) struct Lanes {
    desk: Arc<Desk>,
    budget: Arc<Budget>,
    running: Vec<Running>,
    /// The lanes that run, as pipeline threads see them.
    ends: Vec<SinkEnd>,
    dead_letters: BTreeMap<Arc<str>, Arc<DeadLetters>>,
    next_id: u32,
}

#[derive(Debug)]
struct Running {
    id: u32,
    outlet: Arc<Outlet>,
    sender: AbortHandle,
    spill: Option<JoinHandle<()>>,
}

impl Lanes {
    pub(crate) fn new(desk: Arc<Desk>, budget: Arc<Budget>) -> Self {
        Self {
            desk,
            budget,
            running: Vec::new(),
            ends: Vec::new(),
            dead_letters: BTreeMap::new(),
            next_id: 0,
        }
    }

    pub(crate) fn ends(&self) -> &[SinkEnd] {
        &self.ends
    }

    /// Returns the lanes that do not stand in a configuration as they are.
    pub(crate) fn not_in(&self, config: &EngineConfig) -> Vec<Arc<Outlet>> {
        let keys = wanted_keys(config);
        let stands = |outlet: &Outlet| {
            keys.contains(&outlet.key)
                && config
                    .sinks
                    .iter()
                    .any(|sink| sink.name == outlet.name && sink.revision == outlet.revision)
        };
        let outlets = self.ends.iter().map(|end| &end.outlet);
        outlets.filter(|outlet| !stands(outlet)).cloned().collect()
    }

    /// Starts the lanes of a configuration that do not run, and those of spills that nobody feeds any
    /// more.
    pub(crate) fn set(&mut self, config: &EngineConfig) -> io::Result<()> {
        let mut keys = wanted_keys(config);
        keys.extend(Self::orphans(config, &keys));
        let queue_share = config.memory_limit_bytes / u64::try_from(keys.len().max(1)).unwrap_or(1);
        let mut ends = Vec::with_capacity(keys.len());
        for key in keys {
            let known = self.ends.iter().find(|end| end.outlet.key == key);
            if let Some(known) = known.cloned() {
                ends.push(known);
                continue;
            }
            let Some(sink) = config.sinks.iter().find(|sink| sink.name == key.sink) else {
                continue;
            };
            ends.push(self.start(key, sink, queue_share, config.data_dir.as_deref())?);
        }
        self.ends = ends;
        Ok(())
    }

    /// Finds spills of sinks that are configured, whose lanes are not: they are delivered too.
    fn orphans(config: &EngineConfig, keys: &[LaneKey]) -> Vec<LaneKey> {
        let Some(data_dir) = &config.data_dir else {
            return Vec::new();
        };
        let Ok(entries) = std::fs::read_dir(data_dir.join(SPILL_DIRECTORY)) else {
            return Vec::new();
        };
        let sink_of = |name: &str| config.sinks.iter().find(|sink| escaped(&sink.name) == name);
        let names = keys.iter().filter_map(|key| {
            let sink = sink_of(&escaped(&key.sink))?;
            Some(key.name(&sink.policy))
        });
        let names: Vec<Arc<str>> = names.collect();
        let mut orphans = Vec::new();
        for entry in entries.flatten() {
            let Ok(name) = entry.file_name().into_string() else {
                continue;
            };
            let holds_any =
                std::fs::read_dir(entry.path()).is_ok_and(|mut files| files.next().is_some());
            if names.iter().any(|known| **known == *name) || !holds_any {
                continue;
            }
            let sink_name = name.split(['@', '+']).next().unwrap_or_default();
            if let Some(sink) = sink_of(sink_name) {
                orphans.push(orphan_key(&name, sink));
            } else {
                tracing::error!(
                    spill = %entry.path().display(),
                    "a spill is left of a sink that is not configured: configure it, or use \
                     `tailwater spill export`"
                );
            }
        }
        orphans
    }

    fn start(
        &mut self,
        key: LaneKey,
        config: &SinkConfig,
        queue_share: u64,
        data_dir: Option<&Path>,
    ) -> io::Result<SinkEnd> {
        let id = self.next_id;
        self.next_id = self.next_id.saturating_add(1);
        let dead_letters = self.dead_letters_of(config, data_dir);
        let outlet = Arc::new(Outlet::new(
            id,
            key,
            config,
            config.queue_max_bytes.min(queue_share.max(1)),
            dead_letters,
            Arc::clone(&self.budget),
        ));
        let spill = self.start_spill(&outlet, data_dir)?;
        let task = tokio::spawn(crate::sender::run(
            Arc::clone(&outlet),
            Arc::clone(&self.desk),
        ));
        self.running.push(Running {
            id,
            outlet: Arc::clone(&outlet),
            sender: task.abort_handle(),
            spill,
        });
        Ok(SinkEnd {
            outlet,
            encoder: Arc::clone(&config.parts.encoder),
            batch: config.batch,
            labels: config.labels.as_slice().into(),
        })
    }

    fn start_spill(
        &self,
        outlet: &Arc<Outlet>,
        data_dir: Option<&Path>,
    ) -> io::Result<Option<JoinHandle<()>>> {
        let (WhenFull::Spill { max_bytes, then }, Some(data_dir)) =
            (outlet.key.policy.when_full, data_dir)
        else {
            return Ok(None);
        };
        let directory = data_dir.join(SPILL_DIRECTORY).join(&*outlet.lane);
        let spill = Spill::open(
            Arc::clone(outlet),
            Arc::clone(&self.desk),
            directory,
            max_bytes,
            then,
        );
        let thread = std::thread::Builder::new()
            .name("spill".into())
            .spawn(|| spill.run())?;
        Ok(Some(thread))
    }

    fn dead_letters_of(
        &mut self,
        config: &SinkConfig,
        data_dir: Option<&Path>,
    ) -> Arc<DeadLetters> {
        let known = self.dead_letters.entry(Arc::clone(&config.name));
        let directory: Option<PathBuf> =
            data_dir.map(|dir| dir.join(DEAD_LETTER_DIRECTORY).join(escaped(&config.name)));
        let max_bytes = config.dead_letters_max_bytes;
        let dead_letters =
            known.or_insert_with(|| Arc::new(DeadLetters::new(directory, max_bytes)));
        Arc::clone(dead_letters)
    }

    /// Ends a lane: what it could not deliver is spilled, or read again.
    pub(crate) async fn end(&mut self, outlet: &Outlet) {
        let at = self.running.iter().position(|lane| lane.id == outlet.id);
        if let Some(at) = at {
            self.running.swap_remove(at).end().await;
        }
        self.ends.retain(|end| end.outlet.id != outlet.id);
        for (route, records) in self.desk.ledger.abandon(outlet.id) {
            // They are read again, and counted then.
            self.desk.books.change(route, |books| {
                let records = records.min(books.in_flight_records);
                books.in_flight_records -= records;
                books.read_records -= records;
            });
        }
    }

    /// Ends all lanes. A disk that hangs is not waited for longer than `timeout`.
    pub(crate) async fn stop(self, timeout: Duration) {
        let ended = async {
            for lane in self.running {
                lane.end().await;
            }
        };
        if tokio::time::timeout(timeout, ended).await.is_err() {
            tracing::error!("the spill was not written in time: what it lacks is read again");
        }
    }
}

impl Running {
    async fn end(self) {
        self.sender.abort();
        let Some(spill) = self.spill else { return };
        self.outlet.queue.stop();
        let joined = tokio::task::spawn_blocking(move || spill.join());
        if !matches!(joined.await, Ok(Ok(()))) {
            tracing::error!(
                lane = &*self.outlet.lane,
                "the thread that spills has panicked"
            );
        }
    }
}

/// Returns the lanes that the sources of a configuration feed, each once.
fn wanted_keys(config: &EngineConfig) -> Vec<LaneKey> {
    let mut keys: Vec<LaneKey> = Vec::new();
    let all = config
        .sources
        .iter()
        .flat_map(|source| lane_keys(source, config));
    for key in all {
        if !keys.contains(&key) {
            keys.push(key);
        }
    }
    keys
}

/// Returns a key that has the name of a spill which nobody feeds: it is emptied and no more.
fn orphan_key(name: &str, sink: &SinkConfig) -> LaneKey {
    let of_sink = match sink.policy.when_full {
        WhenFull::Spill { max_bytes, .. } => max_bytes,
        WhenFull::Block | WhenFull::DropNewest | WhenFull::DropOldest => u64::MAX,
    };
    LaneKey {
        sink: Arc::clone(&sink.name),
        tenant: None,
        policy: Policy {
            when_full: WhenFull::Spill {
                max_bytes: of_sink,
                then: Then::Block,
            },
            ..Policy::default()
        },
        spilled_as: Some(name.into()),
    }
}
