//! Starting, reloading and stopping the whole.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel, sync_channel};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::thread::JoinHandle;
use std::time::Duration;

use tailwater_position_store::{Journal, PositionStore};
use tailwater_tailer::Waker;
use tokio::task::AbortHandle;

use crate::checkpoint::{Checkpointer, Positions};
use crate::config::{EngineConfig, SinkConfig};
use crate::pipeline::{Control, Pipeline};
use crate::queue::Budget;
use crate::route::{Plan, SinkEnd};
use crate::sender::{Desk, Outlet};
use crate::status::{SinkState, SinkStatus, Status, TailingStatus};

/// How long a status waits for a pipeline thread, which may hang with its file system.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(2);

/// Why the engine cannot start.
#[derive(Debug, thiserror::Error)]
#[error("cannot start {what}")]
pub struct StartError {
    /// What could not be started.
    pub what: &'static str,
    /// Why.
    pub source: io::Error,
}

/// What was left when the engine stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stopped {
    /// Records that were read and not acked: they are read again after the next start.
    pub unacked_records: u64,
}

/// A running engine. Its threads end with [`Engine::shutdown`].
#[derive(Debug)]
pub struct Engine {
    workers: Vec<JoinHandle<()>>,
    senders: Vec<(u32, AbortHandle)>,
    checkpointer: Checkpointer,
    encoders: Vec<SinkEnd>,
    next_sink: u32,
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
}

/// The way to one pipeline thread.
#[derive(Debug)]
struct Link {
    control: Mutex<Sender<Control>>,
    waker: Waker,
    tailing: Arc<Mutex<TailingStatus>>,
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
    /// Starts the pipeline threads, the senders (on the current tokio runtime) and the thread that
    /// writes positions. Unreachable sinks are no error: they are tried for as long as it takes.
    ///
    /// # Errors
    /// [`StartError`] where a thread or a descriptor is not to be had.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn start(
        config: &EngineConfig,
        store: PositionStore,
        journal: Journal,
    ) -> Result<Self, StartError> {
        let positions = Arc::new(Positions::new(store));
        let desk = Arc::new(Desk {
            books: crate::books::Books::default(),
            ledger: crate::ledger::Ledger::default(),
            positions: Arc::clone(&positions),
        });
        let budget = Arc::new(Budget::default());
        budget.set_limit(config.memory_limit_bytes);
        let checkpointer = Checkpointer::start(positions, journal, config.checkpoint_interval)
            .map_err(|source| StartError {
                what: "the thread that writes positions",
                source,
            })?;
        let mut engine = Self {
            workers: Vec::new(),
            senders: Vec::new(),
            checkpointer,
            encoders: Vec::new(),
            next_sink: 0,
            budget: Arc::clone(&budget),
            handle: EngineHandle {
                desk,
                outlets: Arc::default(),
                links: Arc::default(),
                budget,
            },
        };
        engine.encoders = engine.add_sinks(&config.sinks, &[]);
        engine.publish_outlets();
        let plan = Plan::new(config, engine.encoders.clone());
        engine.start_workers(&plan)?;
        Ok(engine)
    }

    /// Returns the view for the admin server.
    pub fn handle(&self) -> EngineHandle {
        self.handle.clone()
    }

    /// Goes on with another configuration. Sinks and files that stand in both go on undisturbed; a
    /// sink that is changed or gone first delivers what it holds, for at most `drain_timeout`. What it
    /// could not deliver is read again. The number of workers stays what it was at the start.
    pub async fn reload(&mut self, config: &EngineConfig, drain_timeout: Duration) {
        let kept: Vec<SinkEnd> = self
            .encoders
            .iter()
            .filter(|end| stands_in(end, &config.sinks))
            .cloned()
            .collect();
        let gone: Vec<Arc<Outlet>> = self
            .encoders
            .iter()
            .filter(|end| !stands_in(end, &config.sinks))
            .map(|end| Arc::clone(&end.outlet))
            .collect();
        let ids: Vec<u32> = gone.iter().map(|outlet| outlet.id).collect();
        if !ids.is_empty() {
            self.tell_all(|answer| Control::Detach(ids.clone(), answer))
                .await;
            drain(&gone, drain_timeout).await;
            for outlet in &gone {
                self.end_sender(outlet);
            }
        }
        self.budget.set_limit(config.memory_limit_bytes);
        self.encoders = self.add_sinks(&config.sinks, &kept);
        self.publish_outlets();
        let plan = Plan::new(config, self.encoders.clone());
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
        for (_, sender) in &self.senders {
            sender.abort();
        }
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

    /// Returns the sinks of a configuration: those that are kept, and new ones with their senders.
    fn add_sinks(&mut self, sinks: &[SinkConfig], kept: &[SinkEnd]) -> Vec<SinkEnd> {
        let mut ends = Vec::with_capacity(sinks.len());
        for config in sinks {
            let known = kept.iter().find(|end| end.outlet.name == config.name);
            ends.push(known.cloned().unwrap_or_else(|| self.start_sink(config)));
        }
        ends
    }

    fn start_sink(&mut self, config: &SinkConfig) -> SinkEnd {
        let id = self.next_sink;
        self.next_sink = self.next_sink.saturating_add(1);
        let outlet = Arc::new(Outlet::new(id, config, Arc::clone(&self.budget)));
        let task = tokio::spawn(crate::sender::run(
            Arc::clone(&outlet),
            Arc::clone(&self.handle.desk),
        ));
        self.senders.push((id, task.abort_handle()));
        SinkEnd {
            outlet,
            encoder: Arc::clone(&config.parts.encoder),
            batch: config.batch,
        }
    }

    fn end_sender(&mut self, outlet: &Outlet) {
        self.senders.retain(|(id, task)| {
            if *id == outlet.id {
                task.abort();
            }
            *id != outlet.id
        });
        for (route, records) in self.handle.desk.ledger.abandon(outlet.id) {
            // They are read again, and counted then.
            self.handle.desk.books.change(route, |books| {
                let records = records.min(books.in_flight_records);
                books.in_flight_records -= records;
                books.read_records -= records;
            });
        }
    }

    fn publish_outlets(&self) {
        let outlets = self
            .encoders
            .iter()
            .map(|end| Arc::clone(&end.outlet))
            .collect();
        *self
            .handle
            .outlets
            .write()
            .unwrap_or_else(PoisonError::into_inner) = outlets;
    }

    fn start_workers(&mut self, plan: &Plan) -> Result<(), StartError> {
        let mut plans: Vec<Plan> = (0..plan.limits.shards)
            .map(|shard| plan.for_shard(shard))
            .collect();
        if plan.has_remote_roots() {
            plans.push(plan.for_remote());
        }
        let batch_ids = Arc::new(AtomicU64::new(1));
        let mut links = Vec::new();
        let mut receivers: Vec<(Plan, Receiver<Control>)> = Vec::new();
        for plan in plans {
            let (control, receiver) = channel();
            let waker = Waker::new().map_err(|source| StartError {
                what: "a pipeline thread",
                source,
            })?;
            links.push(Link {
                control: Mutex::new(control),
                waker,
                tailing: Arc::default(),
            });
            receivers.push((plan, receiver));
        }
        self.budget
            .set_wakers(links.iter().map(|link| link.waker.clone()).collect());
        self.handle.links = Arc::new(links);
        for (link, (plan, receiver)) in self.handle.links.iter().zip(receivers) {
            let pipeline = Pipeline::new(
                plan,
                Arc::clone(&self.handle.desk),
                receiver,
                Arc::clone(&batch_ids),
                link.waker.clone(),
                Arc::clone(&link.tailing),
            );
            let thread = std::thread::Builder::new()
                .name("pipeline".into())
                .spawn(|| pipeline.run());
            self.workers.push(thread.map_err(|source| StartError {
                what: "a pipeline thread",
                source,
            })?);
        }
        Ok(())
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

fn stands_in(end: &SinkEnd, sinks: &[SinkConfig]) -> bool {
    sinks
        .iter()
        .any(|sink| sink.name == end.outlet.name && sink.revision == end.outlet.revision)
}

/// Waits until the outlets hold nothing, at most for `timeout`, and not for those that are failing.
async fn drain(outlets: &[Arc<Outlet>], timeout: Duration) {
    let deadline = tokio::time::Instant::now() + timeout;
    for outlet in outlets {
        loop {
            let changed = outlet.changed.notified();
            if outlet.queue.is_idle() || outlet.failure().is_some() {
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

impl EngineHandle {
    /// Returns everything but the files, at the cost of a few locks.
    pub fn status(&self) -> Status {
        let mut tailing = TailingStatus::default();
        for link in self.links.iter() {
            tailing.add(&link.tailing.lock().unwrap_or_else(PoisonError::into_inner));
        }
        Status {
            books: self.desk.books.snapshot(),
            sinks: self
                .outlets()
                .iter()
                .map(|outlet| self.sink_status(outlet))
                .collect(),
            files: Vec::new(),
            unanswered_workers: 0,
            tailing,
            checkpoint: self.desk.positions.status(),
            memory_used_bytes: self.budget.used_bytes(),
            memory_max_bytes: self.budget.max_bytes(),
            room_refusals: self.budget.refusals.load(Ordering::Relaxed),
        }
    }

    /// Returns everything with the files: asks the pipeline threads, and waits at most 2 s for each.
    /// Blocks: call it off the runtime.
    pub fn status_with_files(&self) -> Status {
        let (answer, answers) = sync_channel(self.links.len());
        for link in self.links.iter() {
            link.tell(Control::Status(answer.clone()));
        }
        drop(answer);
        let files = collect(&answers, self.links.len(), ANSWER_TIMEOUT);
        let unanswered_workers = self.links.len() - files.len();
        let mut status = self.status();
        status.files = files.into_iter().flatten().collect();
        status
            .files
            .sort_unstable_by(|a, b| (&a.path, a.inode, &a.sink).cmp(&(&b.path, b.inode, &b.sink)));
        status.unanswered_workers = unanswered_workers;
        status
    }

    fn outlets(&self) -> Vec<Arc<Outlet>> {
        self.outlets
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Returns whether every pipeline thread has looked at its files, and what it found is durable.
    pub fn has_scanned(&self) -> bool {
        let mut tailing = TailingStatus::default();
        for link in self.links.iter() {
            tailing.add(&link.tailing.lock().unwrap_or_else(PoisonError::into_inner));
        }
        tailing.scanned_workers == self.links.len() && self.desk.positions.are_found_files_durable()
    }

    fn sink_status(&self, outlet: &Outlet) -> SinkStatus {
        let counts = &outlet.counts;
        let failure = outlet.failure();
        let failures = counts
            .failures
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        SinkStatus {
            name: outlet.name.to_string(),
            target: outlet.deliver.target(),
            state: if failure.is_some() {
                SinkState::Retrying
            } else {
                SinkState::Delivering
            },
            failure: failure
                .map(|failure| (failure.reason.to_owned(), failure.detail, failure.attempts)),
            requests: counts.requests.load(Ordering::Relaxed),
            failures: failures
                .iter()
                .map(|(reason, count)| (*reason, *count))
                .collect(),
            delivered_batches: counts.delivered_batches.load(Ordering::Relaxed),
            delivered_bytes: counts.delivered_bytes.load(Ordering::Relaxed),
            splits: counts.splits.load(Ordering::Relaxed),
            in_flight_batches: counts.in_flight_batches.load(Ordering::Relaxed),
            queued_batches: outlet.queue.len(),
            queue_used_bytes: outlet.queue.used_bytes(),
            queue_max_bytes: outlet.queue.max_bytes(),
            oldest_unacked: self.desk.ledger.oldest_of_sink(outlet.id).map(|since| {
                crate::pipeline::now()
                    .instant
                    .saturating_duration_since(since)
            }),
        }
    }
}
