//! Starting, reloading and stopping the whole.

mod handle;

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel, sync_channel};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::thread::JoinHandle;
use std::time::Duration;

use tailwater_durable::Storage;
use tailwater_position_store::{IntentLimits, Intents, Journal, PositionStore};
use tailwater_tailer::{ListedFile, Waker};
use tokio::sync::watch;

use crate::backfill::{Backfill, BackfillPlan, Board, Listed, ReaderGuard};
use crate::books::RouteBooks;
use crate::checkpoint::{Checkpointer, Lookup, Positions};
use crate::config::EngineConfig;
use crate::desk::{Desk, NEXT_BATCH};
use crate::lanes::Lanes;
use crate::outlet::Outlet;
use crate::pipeline::{ChainReader, Control, Inlet, Pipeline, Replay, Shared};
use crate::queue::Budget;
use crate::route::Plan;
use crate::stage_metrics::StageMetrics;
use crate::status::TailingStatus;

/// How long a status waits for a pipeline thread, which may hang with its file system.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(2);

/// How long a stop waits for what is left to go to disk, at least.
const SPILL_TIMEOUT: Duration = Duration::from_secs(2);

/// Why the engine cannot start.
#[derive(Debug, thiserror::Error)]
#[error("cannot start {what}")]
pub struct StartError {
    /// What could not be started.
    pub what: &'static str,
    /// Why.
    pub source: io::Error,
}

impl StartError {
    fn new(what: &'static str, source: io::Error) -> Self {
        Self { what, source }
    }
}

/// What was left when the engine stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stopped {
    /// Records that were read and not acked: they are read again after the next start.
    pub unacked_records: u64,
}

/// Told when a stream that [`Engine::start_reading`] reads has come to its end.
#[derive(Debug)]
pub struct StreamEnd(tokio::sync::oneshot::Receiver<io::Result<()>>);

impl StreamEnd {
    /// Waits until nothing follows, and all of it is sealed.
    ///
    /// # Errors
    /// The stream could not be read further.
    ///
    /// # Cancel safety
    /// It can be awaited again until it has returned.
    pub async fn wait(&mut self) -> io::Result<()> {
        let gone = || Err(io::Error::other("the thread that reads it is gone"));
        (&mut self.0).await.unwrap_or_else(|_| gone())
    }
}

/// A running engine. Its threads end with [`Engine::shutdown`].
#[derive(Debug)]
pub struct Engine {
    workers: Vec<JoinHandle<()>>,
    checkpointer: Checkpointer,
    lanes: Lanes,
    budget: Arc<Budget>,
    handle: EngineHandle,
}

/// A cheap view of a running engine, for the admin server.
#[derive(Clone, Debug)]
pub struct EngineHandle {
    desk: Arc<Desk>,
    outlets: Arc<RwLock<Vec<Arc<Outlet>>>>,
    links: Arc<Vec<Link>>,
    budget: Arc<Budget>,
    stages: Arc<RwLock<StageMetrics>>,
}

/// The way to one pipeline thread.
#[derive(Debug)]
struct Link {
    control: Mutex<Sender<Control>>,
    waker: Waker,
    tailing: Arc<Mutex<TailingStatus>>,
}

/// How a pipeline thread is woken, and what it says of its files.
#[derive(Debug)]
pub(crate) struct Ends {
    pub(crate) waker: Waker,
    pub(crate) tailing: Arc<Mutex<TailingStatus>>,
}

impl Link {
    fn tell(&self, control: Control) {
        // A thread that is gone has nothing to be told.
        drop(
            self.control
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .send(control),
        );
        self.waker.wake();
    }
}

impl Engine {
    /// Starts the pipeline threads, the senders (on the current tokio runtime), the threads that spill
    /// and the one that writes positions. What an earlier run had in flight or spilled goes first.
    /// Unreachable sinks are no error: they are tried for as long as it takes.
    ///
    /// `storage` is where intents are kept, beside the positions; `None` for nowhere.
    ///
    /// # Errors
    /// [`StartError`] where a thread, a descriptor or the data directory is not to be had.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn start(
        config: &EngineConfig,
        store: PositionStore,
        journal: Journal,
        storage: Option<Arc<dyn Storage>>,
    ) -> Result<Self, StartError> {
        let (mut engine, plan, replay) = Self::prepare(config, store, journal, storage)?;
        engine.start_workers(&plan, &replay)?;
        Ok(engine)
    }

    /// Starts an engine that reads a stream, such as the standard input, in place of the files of its
    /// first source, through the stages of that: each line once, without those that are empty. Nothing
    /// is read while a sink has no room. Positions are not kept; what a stop finds read is sent. The
    /// configuration stays what it is.
    ///
    /// # Errors
    /// As [`Engine::start`].
    ///
    /// # Panics
    /// As [`Engine::start`].
    pub fn start_reading(
        config: &EngineConfig,
        store: PositionStore,
        journal: Journal,
        stream: File,
    ) -> Result<(Self, StreamEnd), StartError> {
        let (mut engine, plan, _) = Self::prepare(config, store, journal, None)?;
        let (ended, end) = tokio::sync::oneshot::channel();
        engine.start_inlet(plan, stream, ended)?;
        Ok((engine, StreamEnd(end)))
    }

    /// Starts an engine that reads files once, in place of those that its sources match: chain by chain,
    /// and within each one after the other. Each line is sent that stood in a file when that was opened, the
    /// last one also without its newline. An archive is known by its first bytes, whatever it is called.
    ///
    /// Positions are kept as ever, so that another run with the same data directory goes on where this one
    /// ended, also within an archive, and where a file was renamed or compressed in between. What cannot be
    /// delivered now waits, whatever the policies say: nothing is dropped for want of room, nothing spilled.
    /// The configuration stays what it is.
    ///
    /// # Errors
    /// As [`Engine::start`]; also where a chain names no source.
    ///
    /// # Panics
    /// As [`Engine::start`].
    pub fn start_backfill(
        config: &EngineConfig,
        store: PositionStore,
        journal: Journal,
        storage: Option<Arc<dyn Storage>>,
        plan: BackfillPlan,
    ) -> Result<(Self, Backfill), StartError> {
        if let Some(chain) = plan
            .chains
            .iter()
            .find(|chain| chain.source >= config.sources.len())
        {
            let error = format!("a chain is of source {}, there is none", chain.source);
            return Err(StartError::new("the backfill", io::Error::other(error)));
        }
        let config = config.for_backfill();
        let stats: HashMap<PathBuf, rustix::fs::Stat> = plan
            .chains
            .iter()
            .flat_map(|chain| &chain.files)
            .filter_map(|path| Some((path.clone(), rustix::fs::stat(path).ok()?)))
            .collect();
        let inodes = stats
            .iter()
            .map(|(path, stat)| ((stat.st_dev, stat.st_ino), path.clone()));
        let lookup = Arc::new(Lookup::new(&store, inodes));
        let readers = plan.readers();
        let (mut engine, mut sources, replay) = Self::prepare(&config, store, journal, storage)?;
        let open = |path: &Path| ListedFile::open(path, &sources.roots).ok();
        let board = Board::new(plan, |path| open(path).as_ref().map(Listed::of));
        let board = Arc::new(board);
        sources.limits.shards = u32::try_from(readers).unwrap_or(1);
        let shared = Shared {
            board: Arc::clone(&board),
            lookup,
        };
        let readers_left = engine.start_chain_readers(&sources, &replay, &shared)?;
        Ok((engine, Backfill::new(board, readers_left)))
    }

    /// Starts everything but the threads that read.
    fn prepare(
        config: &EngineConfig,
        store: PositionStore,
        journal: Journal,
        storage: Option<Arc<dyn Storage>>,
    ) -> Result<(Self, Plan, Replay), StartError> {
        let books = crate::books::Books::default();
        books.restore(store.notes());
        let mut next_batch = store.note(NEXT_BATCH).map_or(1, number);
        let mut found = Vec::new();
        let intents = match storage {
            Some(storage) => {
                let (intents, recovery) = Intents::open(storage, IntentLimits::default())
                    .map_err(|error| StartError::new("the intents", io::Error::other(error)))?;
                next_batch = next_batch.max(recovery.next_batch);
                found = recovery.intents;
                Some(Mutex::new(intents))
            }
            None => None,
        };
        let desk = Arc::new(Desk {
            books,
            ledger: crate::ledger::Ledger::default(),
            positions: Arc::new(Positions::new(store)),
            intents,
            intent_failures: AtomicU64::new(0),
            timestamp_step: AtomicU64::new(1),
            next_batch: AtomicU64::new(next_batch),
            cut: Mutex::new(()),
        });
        let budget = Arc::new(Budget::default());
        budget.set_limit(config.memory_limit_bytes);
        let mut lanes = Lanes::new(Arc::clone(&desk), Arc::clone(&budget));
        // Before anything is read: what a spill holds is read no more.
        lanes
            .set(config)
            .map_err(|source| StartError::new("a lane", source))?;
        let replay = desk.replay(found);
        let checkpointer =
            Checkpointer::start(Arc::clone(&desk), journal, config.checkpoint_interval)
                .map_err(|source| StartError::new("the thread that writes positions", source))?;
        let engine = Self {
            workers: Vec::new(),
            checkpointer,
            lanes,
            budget: Arc::clone(&budget),
            handle: EngineHandle {
                desk,
                outlets: Arc::default(),
                links: Arc::default(),
                budget,
                stages: Arc::default(),
            },
        };
        engine.publish_outlets();
        engine.publish_stages(config);
        let plan = Plan::new(config, engine.lanes.ends().to_vec());
        Ok((engine, plan, replay))
    }

    /// Returns the view for the admin server.
    pub fn handle(&self) -> EngineHandle {
        self.handle.clone()
    }

    /// Goes on with another configuration. Sinks and files that stand in both go on undisturbed; a
    /// sink that is changed or gone first delivers what it holds, for at most `drain_timeout`. What it
    /// could not deliver is read again. The number of workers stays what it was at the start.
    pub async fn reload(&mut self, config: &EngineConfig, drain_timeout: Duration) {
        let gone: Vec<Arc<Outlet>> = self.lanes.not_in(config);
        let ids: Vec<u32> = gone.iter().map(|outlet| outlet.id).collect();
        if !ids.is_empty() {
            self.tell_all(|answer| Control::Detach(ids.clone(), answer))
                .await;
            drain(&gone, drain_timeout).await;
            for outlet in &gone {
                self.lanes.end(outlet).await;
            }
        }
        self.budget.set_limit(config.memory_limit_bytes);
        if let Err(error) = self.lanes.set(config) {
            tracing::error!(%error, "cannot start a lane");
        }
        self.publish_outlets();
        self.publish_stages(config);
        let plan = Plan::new(config, self.lanes.ends().to_vec());
        self.tell_all(|answer| Control::Reload(Box::new(plan.clone()), answer))
            .await;
    }

    /// Reads no further, delivers what was read for at most `drain_timeout`, makes the positions
    /// durable and ends. Never waits for a sink that is failing: what is not acked stays unpositioned
    /// and is read again after the next start.
    pub async fn shutdown(self, drain_timeout: Duration) -> Stopped {
        for link in self.handle.links.iter() {
            link.tell(Control::Stop);
        }
        let outlets = self.handle.outlets();
        let workers = self.workers;
        let joined = tokio::task::spawn_blocking(move || {
            workers.into_iter().for_each(|worker| drop(worker.join()));
        });
        // A thread may hang with its file system: the deadline holds for it too.
        let started = tokio::time::Instant::now();
        drop(tokio::time::timeout(drain_timeout, joined).await);
        drain(&outlets, drain_timeout.saturating_sub(started.elapsed())).await;
        // What could not be delivered goes to disk where there is a spill.
        let left = drain_timeout.saturating_sub(started.elapsed());
        self.lanes.stop(left.max(SPILL_TIMEOUT)).await;
        let unacked_records = self
            .handle
            .desk
            .books
            .snapshot()
            .iter()
            .map(|route| route.in_flight_records)
            .sum();
        self.checkpointer.stop();
        Stopped { unacked_records }
    }

    fn publish_outlets(&self) {
        let outlets = self.lanes.ends().iter();
        let outlets = outlets.map(|end| Arc::clone(&end.outlet)).collect();
        *self
            .handle
            .outlets
            .write()
            .unwrap_or_else(PoisonError::into_inner) = outlets;
    }

    fn publish_stages(&self, config: &EngineConfig) {
        let stages = &self.handle.stages;
        *stages.write().unwrap_or_else(PoisonError::into_inner) = StageMetrics::of(config);
    }

    fn start_workers(&mut self, plan: &Plan, replay: &Replay) -> Result<(), StartError> {
        let mut plans: Vec<Plan> = (0..plan.limits.shards)
            .map(|shard| plan.for_shard(shard))
            .collect();
        if plan.has_remote_roots() {
            plans.push(plan.for_remote());
        }
        for (plan, receiver, link) in self.link_up(plans)? {
            let pipeline = Pipeline::new(
                plan,
                Arc::clone(&self.handle.desk),
                receiver,
                replay.clone(),
                link.waker,
                link.tailing,
            );
            self.start_thread(|| pipeline.run())?;
        }
        Ok(())
    }

    fn start_chain_readers(
        &mut self,
        plan: &Plan,
        replay: &Replay,
        shared: &Shared,
    ) -> Result<watch::Receiver<usize>, StartError> {
        let plans: Vec<Plan> = (0..plan.limits.shards)
            .map(|shard| plan.for_shard(shard))
            .collect();
        let (guards, readers_left) = ReaderGuard::make(plans.len());
        for ((plan, receiver, link), guard) in self.link_up(plans)?.into_iter().zip(guards) {
            let reader = ChainReader::new(
                plan,
                Arc::clone(&self.handle.desk),
                receiver,
                replay.clone(),
                link,
                shared.clone(),
                guard,
            );
            self.start_thread(|| reader.run())?;
        }
        Ok(readers_left)
    }

    /// Makes the ways to as many pipeline threads as there are plans; returns the threads' ends.
    fn link_up(
        &mut self,
        plans: Vec<Plan>,
    ) -> Result<Vec<(Plan, Receiver<Control>, Ends)>, StartError> {
        let shards = plans.first().map_or(1, |plan| plan.limits.shards);
        self.handle
            .desk
            .timestamp_step
            .store(u64::from(shards) + 1, Ordering::Relaxed);
        let mut links = Vec::new();
        let mut all: Vec<(Plan, Receiver<Control>, Ends)> = Vec::new();
        for plan in plans {
            let (control, receiver) = channel();
            let waker =
                Waker::new().map_err(|source| StartError::new("a pipeline thread", source))?;
            let link = Link {
                control: Mutex::new(control),
                waker,
                tailing: Arc::default(),
            };
            let ends = Ends {
                waker: link.waker.clone(),
                tailing: Arc::clone(&link.tailing),
            };
            links.push(link);
            all.push((plan, receiver, ends));
        }
        let wakers: Vec<Waker> = links.iter().map(|link| link.waker.clone()).collect();
        self.handle.desk.positions.set_wakers(wakers.clone());
        self.budget.set_wakers(wakers);
        self.handle.links = Arc::new(links);
        Ok(all)
    }

    fn start_thread(&mut self, run: impl FnOnce() + Send + 'static) -> Result<(), StartError> {
        let thread = std::thread::Builder::new().name("pipeline".into());
        let thread = thread.spawn(run);
        let thread = thread.map_err(|source| StartError::new("a pipeline thread", source))?;
        self.workers.push(thread);
        Ok(())
    }

    fn start_inlet(
        &mut self,
        plan: Plan,
        stream: File,
        ended: tokio::sync::oneshot::Sender<io::Result<()>>,
    ) -> Result<(), StartError> {
        let failed = |source| StartError::new("the thread that reads the stream", source);
        let (control, receiver) = channel();
        let link = Link {
            control: Mutex::new(control),
            waker: Waker::new().map_err(failed)?,
            tailing: Arc::default(),
        };
        self.budget.set_wakers(vec![link.waker.clone()]);
        let inlet = Inlet::new(
            plan,
            Arc::clone(&self.handle.desk),
            receiver,
            link.waker.clone(),
            &link.tailing,
            stream,
            ended,
        );
        self.handle.links = Arc::new(vec![link]);
        let thread = std::thread::Builder::new().name("pipeline".into());
        self.workers
            .push(thread.spawn(|| inlet.run()).map_err(failed)?);
        Ok(())
    }

    /// Waits until everything that was sealed is delivered or counted as lost, however long that takes.
    ///
    /// # Cancel safety
    /// It can be called again.
    pub async fn delivered(&self) {
        for outlet in self.handle.outlets() {
            loop {
                let changed = outlet.changed.notified();
                tokio::pin!(changed);
                // From here on no change is missed.
                changed.as_mut().enable();
                if outlet.queue.is_empty_in_memory() {
                    break;
                }
                changed.await;
            }
        }
    }

    /// Tells every pipeline thread something and waits for the answers, off the runtime.
    async fn tell_all(&self, control: impl Fn(std::sync::mpsc::SyncSender<()>) -> Control) {
        let (answer, answers) = sync_channel(self.handle.links.len());
        for link in self.handle.links.iter() {
            link.tell(control(answer.clone()));
        }
        drop(answer);
        let count = self.handle.links.len();
        let waited =
            tokio::task::spawn_blocking(move || collect(&answers, count, ANSWER_TIMEOUT).len());
        if waited.await.unwrap_or(0) < count {
            tracing::warn!(
                "a pipeline thread does not answer: a file system it reads hangs; it follows when it is back"
            );
        }
    }
}

/// Returns the books that are stored beside positions: what an engine that starts with them goes on from.
pub fn stored_books(store: &PositionStore) -> Vec<RouteBooks> {
    let books = crate::books::Books::default();
    books.restore(store.notes());
    books.snapshot()
}

/// Reads a number that was stored as a note; 1 where it is none.
fn number(note: &[u8]) -> u64 {
    let text = std::str::from_utf8(note).ok();
    text.and_then(|text| text.parse().ok()).unwrap_or(1)
}

/// Waits until the outlets hold nothing, at most for `timeout`, and not for those that are failing.
async fn drain(outlets: &[Arc<Outlet>], timeout: Duration) {
    let deadline = tokio::time::Instant::now() + timeout;
    for outlet in outlets {
        outlet.queue.drain();
    }
    for outlet in outlets {
        loop {
            let changed = outlet.changed.notified();
            if outlet.is_drained() || outlet.failure().is_some() {
                break;
            }
            if tokio::time::timeout_at(deadline, changed).await.is_err() {
                break;
            }
        }
    }
}

fn collect<T>(answers: &Receiver<T>, count: usize, timeout: Duration) -> Vec<T> {
    let mut collected = Vec::with_capacity(count);
    while collected.len() < count {
        match answers.recv_timeout(timeout) {
            Ok(answer) => collected.push(answer),
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => break,
        }
    }
    collected
}
