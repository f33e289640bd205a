//! An engine that reads files once, and a sink of this process.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use tailwater_batcher::BatchLimits;
use tailwater_durable::{MemoryStorage, Storage};
use tailwater_engine::{
    Backfill, BackfillPlan, Chain, Engine, EngineConfig, FileReport, GiveUp, Policy, ReadFrom,
    SeverityForm, SinkConfig, SourceConfig, Status, TailingConfig,
};
use tailwater_position_store::StoreLimits;
use tailwater_record::{EncodedBatch, RecordView};
use tailwater_sink::{
    BackoffLimits, DecodedRecord, Deliver, DeliverError, DeliverFuture, Delivered, Encode,
    EncodeStats, Encoded, EncoderFactory, SinkParts, SplitError,
};
use tailwater_stages::Stages;
use tailwater_tailer::{Encoding, FrameConfig, OverLimit, Patterns};
use tokio::sync::watch;

/// No test takes as long.
pub const DEADLINE: Duration = Duration::from_secs(60);

/// A record as the sink has stored it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Received {
    pub batch: u64,
    pub timestamp: u64,
    pub file: String,
    pub line: String,
}

/// What the sink does with a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    Take,
    /// Nobody is there.
    Down,
    /// It answers so many batches, and stores the next one without an answer.
    HangAfter(usize),
}

#[derive(Debug)]
pub struct Sink {
    stored: Mutex<Vec<Received>>,
    mode: watch::Sender<Mode>,
    attempts: watch::Sender<usize>,
    is_hanging: watch::Sender<bool>,
}

#[derive(Debug)]
struct Encoder(Vec<u8>);

#[derive(Debug)]
struct Encoders;

impl EncoderFactory for Encoders {
    fn make(&self) -> Box<dyn Encode> {
        Box::new(Encoder(Vec::new()))
    }
}

impl Encode for Encoder {
    fn append(&mut self, record: &RecordView<'_>) {
        let file = record.labels.get("filename").unwrap_or_default();
        for field in [
            &record.timestamp.0.to_le_bytes(),
            file.as_bytes(),
            record.line,
        ] {
            let len = u32::try_from(field.len()).unwrap();
            self.0.extend_from_slice(&len.to_le_bytes());
            self.0.extend_from_slice(field);
        }
    }

    fn len(&self) -> usize {
        self.0.len()
    }

    fn seal(&mut self) -> Encoded {
        Encoded {
            body: std::mem::take(&mut self.0).into(),
            stats: EncodeStats::default(),
        }
    }
}

fn records(batch: &EncodedBatch) -> Vec<Received> {
    let mut body = &batch.body[..];
    let mut field = || {
        let (len, rest) = body.split_first_chunk::<4>()?;
        let (field, rest) = rest.split_at(usize::try_from(u32::from_le_bytes(*len)).unwrap());
        body = rest;
        Some(field.to_vec())
    };
    let mut records = Vec::new();
    while let Some(timestamp) = field() {
        records.push(Received {
            batch: batch.id.0,
            timestamp: u64::from_le_bytes(timestamp.try_into().unwrap()),
            file: String::from_utf8(field().unwrap()).unwrap(),
            line: String::from_utf8(field().unwrap()).unwrap(),
        });
    }
    records
}

impl Sink {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            stored: Mutex::default(),
            mode: watch::Sender::new(Mode::Take),
            attempts: watch::Sender::new(0),
            is_hanging: watch::Sender::new(false),
        })
    }

    pub fn set_mode(&self, mode: Mode) {
        self.attempts.send_replace(0);
        self.is_hanging.send_replace(false);
        self.mode.send_replace(mode);
    }

    fn stored(&self) -> Vec<Received> {
        self.stored.lock().unwrap().clone()
    }

    /// Returns the lines that were stored, by their times, without repeats: the same record twice.
    pub fn lines(&self) -> Vec<String> {
        let mut stored = self.stored();
        stored.sort_by_key(|record| record.timestamp);
        stored.dedup_by(|a, b| (a.timestamp, &a.line) == (b.timestamp, &b.line));
        stored.into_iter().map(|record| record.line).collect()
    }

    fn store(&self, batch: &EncodedBatch) {
        self.stored.lock().unwrap().extend(records(batch));
    }

    async fn take(&self, batch: &EncodedBatch) -> Result<Delivered, DeliverError> {
        let mut attempt = 0;
        self.attempts.send_modify(|attempts| {
            *attempts += 1;
            attempt = *attempts;
        });
        let mode = *self.mode.borrow();
        match mode {
            Mode::Take => self.store(batch),
            Mode::HangAfter(taken) if attempt <= taken => self.store(batch),
            Mode::HangAfter(_) => {
                self.store(batch);
                self.is_hanging.send_replace(true);
                std::future::pending::<()>().await;
            }
            Mode::Down => {
                return Err(DeliverError::Retryable {
                    reason: "connect",
                    detail: "nobody is there".to_owned(),
                    status: None,
                    retry_after: None,
                });
            }
        }
        Ok(Delivered)
    }
}

impl Deliver for Sink {
    fn deliver<'a>(&'a self, batch: &'a EncodedBatch) -> DeliverFuture<'a> {
        Box::pin(self.take(batch))
    }

    fn split(&self, _: &Bytes, _: u32) -> Result<(Bytes, Bytes), SplitError> {
        panic!("it refuses nothing");
    }

    fn retain(
        &self,
        _: &Bytes,
        _: &mut dyn FnMut(u32) -> bool,
    ) -> Result<Option<Bytes>, SplitError> {
        panic!("nothing is dropped");
    }

    fn decode(&self, _: &Bytes, _: &mut dyn FnMut(DecodedRecord<'_>)) -> Result<(), SplitError> {
        panic!("nothing is spilled");
    }

    fn wire(&self) -> &'static str {
        "test"
    }

    fn target(&self) -> String {
        "test".to_owned()
    }
}

/// A directory of logs, a sink, and what runs leave behind.
pub struct Rig {
    pub directory: tempfile::TempDir,
    pub sink: Arc<Sink>,
    pub config: EngineConfig,
    storage: MemoryStorage,
}

/// A run that has begun.
pub struct Running {
    pub engine: Engine,
    pub backfill: Backfill,
}

/// What a run came to.
pub struct Ran {
    pub files: Vec<FileReport>,
    pub status: Status,
    pub unacked: u64,
}

impl Running {
    /// Waits until everything is delivered, and ends it.
    pub async fn finish(self) -> Ran {
        let Self { engine, backfill } = self;
        let all = async {
            backfill.read_all().await;
            engine.delivered().await;
        };
        tokio::time::timeout(DEADLINE, all).await.unwrap();
        let status = engine.handle().status();
        let stopped = engine.shutdown(DEADLINE).await;
        assert!(
            status
                .books
                .iter()
                .all(tailwater_engine::RouteBooks::balance)
        );
        Ran {
            files: backfill.files(),
            status,
            unacked: stopped.unacked_records,
        }
    }
}

impl Rig {
    pub fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let sink = Sink::new();
        let root = directory.path().canonicalize().unwrap();
        let config = EngineConfig {
            sources: vec![source("app", &root)],
            sinks: vec![sink_config("sink", &sink)],
            tailing: TailingConfig::default(),
            workers: 1,
            memory_limit_bytes: 1 << 20,
            rate_limit: None,
            checkpoint_interval: Duration::from_millis(50),
            data_dir: None,
        };
        Self {
            directory,
            sink,
            config,
            storage: MemoryStorage::new(),
        }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().canonicalize().unwrap().join(name)
    }

    pub fn set_stages(&mut self, stages: Stages) {
        self.config.sources[0].stages = Some(Arc::new(stages));
    }

    pub fn set_mode(&self, mode: Mode) {
        self.sink.set_mode(mode);
    }

    /// Adds a sink that gets every line too.
    pub fn add_sink(&mut self) -> Arc<Sink> {
        let sink = Sink::new();
        self.config.sinks.push(sink_config("other", &sink));
        self.config.sources[0].sinks.push(1);
        sink
    }

    /// Waits until the sink was asked so often.
    pub async fn attempted(&self, attempts: usize) {
        let mut asked = self.sink.attempts.subscribe();
        let asked = asked.wait_for(|asked| *asked >= attempts);
        drop(tokio::time::timeout(DEADLINE, asked).await.unwrap());
    }

    /// Begins a run over chains of file names.
    pub fn start(&self, chains: &[&[&str]], jobs: usize) -> Running {
        let chains = chains.iter().map(|names| Chain {
            source: 0,
            path: self.path(names.last().unwrap()),
            files: names.iter().map(|name| self.path(name)).collect(),
        });
        let plan = BackfillPlan {
            chains: chains.collect(),
            jobs,
        };
        let storage: Arc<dyn Storage> = Arc::new(self.storage.clone());
        let (store, journal, _) =
            tailwater_position_store::open(Arc::clone(&storage), StoreLimits::default(), 1)
                .unwrap();
        let (engine, backfill) =
            Engine::start_backfill(&self.config, store, journal, Some(storage), plan).unwrap();
        Running { engine, backfill }
    }

    /// Runs over chains of file names until everything is delivered.
    pub async fn run(&self, chains: &[&[&str]], jobs: usize) -> Ran {
        self.start(chains, jobs).finish().await
    }

    /// Runs until the sink gives no more answers, and ends there.
    pub async fn run_until_hung(&self, chains: &[&[&str]], batches: usize) -> Ran {
        self.set_mode(Mode::HangAfter(batches));
        let Running { engine, backfill } = self.start(chains, 1);
        let mut is_hanging = self.sink.is_hanging.subscribe();
        let hung = is_hanging.wait_for(|is_hanging| *is_hanging);
        drop(tokio::time::timeout(DEADLINE, hung).await.unwrap());
        let status = engine.handle().status();
        let stopped = engine.shutdown(Duration::ZERO).await;
        self.set_mode(Mode::Take);
        Ran {
            files: backfill.files(),
            status,
            unacked: stopped.unacked_records,
        }
    }

    /// Returns everything that was stored, in the order it came.
    pub fn stored(&self) -> Vec<Received> {
        self.sink.stored()
    }

    /// Returns the lines that were stored, by their times, without repeats: the same record twice.
    pub fn lines(&self) -> Vec<String> {
        self.sink.lines()
    }
}

pub fn source(name: &str, root: &Path) -> SourceConfig {
    let include = format!("{}/**", root.display());
    SourceConfig {
        name: name.into(),
        patterns: Patterns::new(&[include], &[]).unwrap(),
        labels: vec![("job".to_owned(), name.to_owned())],
        path_label: Some("filename".to_owned()),
        structured_metadata: Vec::new(),
        offset_metadata: None,
        tenant: None,
        read_from: ReadFrom::End,
        ignore_older: None,
        frame: FrameConfig {
            max_line_bytes: 1 << 16,
            over_limit: OverLimit::Truncate,
            encoding: Encoding::Auto,
        },
        partial_line_timeout: None,
        archive: None,
        severity: SeverityForm::default(),
        stages: None,
        sinks: vec![0],
        policy: None,
        rate_limit: None,
    }
}

fn sink_config(name: &str, sink: &Arc<Sink>) -> SinkConfig {
    SinkConfig {
        name: name.into(),
        revision: 0,
        labels: Vec::new(),
        parts: SinkParts {
            encoder: Arc::new(Encoders),
            deliver: Arc::clone(sink) as Arc<dyn Deliver>,
        },
        batch: BatchLimits {
            max_bytes: 8 << 10,
            ..BatchLimits::default()
        },
        max_in_flight: 1,
        queue_max_bytes: 64 << 10,
        backoff: BackoffLimits {
            min: Duration::from_millis(1),
            max: Duration::from_millis(2),
        },
        give_up: GiveUp::default(),
        policy: Policy::default(),
        dead_letters_max_bytes: 0,
    }
}

/// Returns so many lines, each ended and with a number, from one on.
pub fn numbered(from: usize, count: usize) -> String {
    let lines =
        (from..from + count).map(|line| format!("line {line} of a log with some text behind it\n"));
    lines.collect::<Vec<_>>().concat()
}

pub fn texts(content: &str) -> Vec<String> {
    content.lines().map(str::to_owned).collect()
}

#[expect(clippy::disallowed_methods, reason = "tests write logs as programs do")]
pub fn write(path: &Path, bytes: impl AsRef<[u8]>) {
    std::fs::write(path, bytes).unwrap();
}

pub fn gzip(bytes: impl AsRef<[u8]>) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes.as_ref()).unwrap();
    encoder.finish().unwrap()
}

pub fn bzip2(bytes: impl AsRef<[u8]>) -> Vec<u8> {
    let mut encoder = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast());
    encoder.write_all(bytes.as_ref()).unwrap();
    encoder.finish().unwrap()
}
