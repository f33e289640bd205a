//! Lines of a stream, such as the standard input, through the first source of the plan.
//!
//! A stream is read once and has no position to go back to: what a stop finds read but not sent is sent
//! as it is, a last line without its newline and open groups of lines too. Nothing is read while a lane has
//! no room, so whoever writes into the stream waits.

mod input;

use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::mpsc::Receiver;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tailwater_position_store::FileKey;
use tailwater_record::{CursorId, FileId};
use tailwater_tailer::{FrameState, Now, ResolvedEncoding, Waker};
use tokio::sync::oneshot;

use self::input::Input;
use super::held::LOOK_INTERVAL;
use super::lane::{Gate, Lane, Seal, Stamps, Taken};
use super::slot::Slot;
use super::staged::Workshop;
use super::way::Way;
use super::{Control, earlier, now};
use crate::desk::Desk;
use crate::ledger::{Account, Progress};
use crate::rate::Allowance;
use crate::route::{Feed, LeveledLabels, Plan, Route, SourceEnd, labels_of, with_labels};
use crate::status::TailingStatus;

/// What the stream is called where a file has its path.
const STREAM: &str = "stdin";

/// The stream's number for the books; there are no files beside it.
const CONTENT: FileId = FileId(0);

/// The thread that reads a stream.
#[derive(Debug)]
pub(crate) struct Inlet {
    plan: Plan,
    desk: Arc<Desk>,
    control: Receiver<Control>,
    waker: Waker,
    input: Input,
    lanes: Vec<Feeder>,
    stamps: Stamps,
    shared_allowance: Allowance,
    scratch: Vec<u8>,
    /// When more may be read than came too fast.
    rate_deadline: Option<Instant>,
    /// What ended the stream before its end.
    failure: Option<io::Error>,
    /// Told once nothing follows.
    ended: Option<oneshot::Sender<io::Result<()>>>,
}

/// The stream's way to one lane.
#[derive(Debug)]
struct Feeder {
    route: Route,
    frame: FrameState,
    /// The next byte to frame.
    offset: u64,
    /// Whether there may be something to frame.
    is_behind: bool,
    slot: Slot,
    workshop: Option<Workshop>,
    allowance: Allowance,
}

impl Inlet {
    pub(crate) fn new(
        plan: Plan,
        desk: Arc<Desk>,
        control: Receiver<Control>,
        waker: Waker,
        tailing: &Mutex<TailingStatus>,
        stream: File,
        ended: oneshot::Sender<io::Result<()>>,
    ) -> Self {
        tailing
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .scanned_workers = 1;
        let stamps = Stamps {
            last: 0,
            step: 1,
            phase: 0,
        };
        let feeds = plan.sources.first().map(|source| (source, &source.feeds));
        let lanes = feeds
            .into_iter()
            .flat_map(|(source, feeds)| feeds.iter().map(move |feed| (source, feed)))
            .filter_map(|(source, feed)| Feeder::new(source, feed, &plan, &desk))
            .collect();
        Self {
            input: Input::new(stream, plan.max_line_bytes),
            plan,
            desk,
            control,
            waker,
            lanes,
            stamps,
            shared_allowance: Allowance::default(),
            scratch: Vec::new(),
            rate_deadline: None,
            failure: None,
            ended: Some(ended),
        }
    }

    /// Runs until it is told to stop.
    pub(crate) fn run(mut self) {
        loop {
            if !self.obey() {
                return self.stop();
            }
            let now = now();
            self.rate_deadline = None;
            self.stamps.catch_up(now.unix_ns);
            self.frame(now);
            self.flush(now);
            self.seal_due(now.instant);
            let is_waiting = self.lanes.iter().any(|lane| lane.is_behind);
            if self.input.is_ended() && !is_waiting {
                self.finish();
            }
            let wants_more = !is_waiting && !self.input.is_ended();
            let input = wants_more.then(|| self.input.descriptor());
            if self.waker.wait_for(input, self.timeout(now.instant)) {
                self.fill();
            }
        }
    }

    /// Carries out what it is told; returns whether to go on.
    fn obey(&self) -> bool {
        Control::obey_unchanging(&self.control)
    }

    fn timeout(&self, now: Instant) -> Option<Duration> {
        let holds_any = self.lanes.iter().any(Feeder::holds_any);
        let deadlines = self.lanes.iter().filter_map(|lane| lane.slot.deadline());
        let next = deadlines
            .chain(self.rate_deadline)
            .chain(holds_any.then(|| now + LOOK_INTERVAL))
            .min();
        next.map(|next| next.saturating_duration_since(now))
    }

    fn fill(&mut self) {
        if let Err(error) = self.input.fill() {
            tracing::error!(%error, "cannot read the standard input further");
            self.input.end();
            self.failure = Some(error);
        }
        self.lanes.iter_mut().for_each(|lane| lane.is_behind = true);
    }

    /// Frames what was read for every lane that has room.
    fn frame(&mut self, now: Now) {
        for index in 0..self.lanes.len() {
            let Some(lane) = self.lanes.get(index).filter(|lane| lane.is_behind) else {
                continue;
            };
            let end = self.plan.lane(lane.slot.sink);
            if end.is_some_and(|end| end.outlet.queue.has_room()) {
                self.take(index, now, Pace::AsAllowed);
            }
        }
        let framed = self.lanes.iter().map(|lane| lane.offset).min();
        self.input.forget_before(framed.unwrap_or(0));
    }

    /// Frames what was read for one lane.
    fn take(&mut self, index: usize, now: Now, pace: Pace) {
        let (Some(lane), Some(source)) = (self.lanes.get_mut(index), self.plan.sources.first())
        else {
            return;
        };
        let Some(end) = self.plan.lane(lane.slot.sink) else {
            return;
        };
        let shared = self.plan.shared_limiter.as_deref();
        let shared = Gate {
            limiter: shared.filter(|_| pace == Pace::AsAllowed),
            allowance: &mut self.shared_allowance,
        };
        let seal = Seal {
            end,
            desk: &self.desk,
            now: now.instant,
            is_replay: false,
        };
        let chunk = self.input.chunk(lane.offset);
        let way = Way {
            lane: Lane {
                slot: &mut lane.slot,
                route: &lane.route,
                stamps: &mut self.stamps,
                own: Gate {
                    limiter: source.rate_limiter.as_deref(),
                    allowance: &mut lane.allowance,
                },
                shared,
                seal,
            },
            file: CONTENT.0,
            workshop: lane.workshop.as_mut(),
            source,
            encoding: ResolvedEncoding::Utf8,
            frame: &mut lane.frame,
            scratch: &mut self.scratch,
        };
        let passed = way.take(&chunk);
        lane.offset = passed.offset;
        lane.is_behind = passed.taken != Taken::Whole;
        if let Taken::TooFast(wait) = passed.taken {
            self.rate_deadline = Some(earlier(self.rate_deadline, now.instant + wait));
        }
    }

    /// Sends the groups whose time is over.
    fn flush(&mut self, now: Now) {
        for lane in &mut self.lanes {
            let Some(end) = self.plan.lane(lane.slot.sink) else {
                continue;
            };
            if lane.holds_any()
                && end.outlet.queue.has_room()
                && let Some(workshop) = &mut lane.workshop
            {
                let seal = Seal {
                    end,
                    desk: &self.desk,
                    now: now.instant,
                    is_replay: false,
                };
                workshop.flush(&mut lane.slot, now.unix_ns, seal);
            }
        }
    }

    fn seal_due(&mut self, now: Instant) {
        for lane in &mut self.lanes {
            lane.slot.seal_if_due(&self.plan, &self.desk, now);
        }
    }

    /// Sends what is left, and tells whoever waits that nothing follows; once.
    fn finish(&mut self) {
        let Some(ended) = self.ended.take() else {
            return;
        };
        let now = now().instant;
        for lane in &mut self.lanes {
            let Some(end) = self.plan.lane(lane.slot.sink) else {
                continue;
            };
            let seal = Seal {
                end,
                desk: &self.desk,
                now,
                is_replay: false,
            };
            if let Some(workshop) = &mut lane.workshop {
                workshop.finish(&mut lane.slot, CONTENT, seal);
            }
            lane.slot.seal(end, &self.desk, None, now);
        }
        // Nobody waits where the agent is told to stop.
        drop(ended.send(self.failure.take().map_or(Ok(()), Err)));
    }

    /// Takes what was read for all there is, and sends it, room or not: it is nowhere else.
    fn stop(mut self) {
        self.input.end();
        for index in 0..self.lanes.len() {
            let is_behind = |lanes: &[Feeder]| lanes.get(index).is_some_and(|lane| lane.is_behind);
            if let Some(lane) = self.lanes.get_mut(index) {
                lane.is_behind = self.ended.is_some();
            }
            // Each turn frames a line at least, and what was read is bounded.
            while is_behind(&self.lanes) {
                self.take(index, now(), Pace::Any);
            }
        }
        self.finish();
    }
}

/// How fast lines are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pace {
    AsAllowed,
    Any,
}

impl Feeder {
    fn new(source: &SourceEnd, feed: &Feed, plan: &Plan, desk: &Desk) -> Option<Self> {
        let end = plan.lane(feed.lane)?;
        let cursor = CursorId {
            file: CONTENT,
            sink: feed.lane,
            reader: 0,
        };
        let path: Arc<Path> = Path::new(STREAM).into();
        let labels = labels_of(source, &path);
        let route = Route {
            cursor,
            name: Arc::clone(&feed.name),
            labels: match source.stages {
                Some(_) => labels,
                None => with_labels(&labels, &end.labels),
            },
            leveled: LeveledLabels::default(),
            book: desk.books.route(&source.name, &end.outlet.name),
            // No file has it: positions of the stream are kept nowhere.
            key: FileKey(u64::MAX),
            content_number: 0,
            progress: Arc::new(Progress::default()),
            batch: 0,
            workshop: None,
        };
        let account = Account {
            route: route.book,
            name: Arc::clone(&route.name),
            key: route.key,
            epoch: 0,
            path,
            progress: Arc::clone(&route.progress),
        };
        desk.ledger.open(cursor, account, 0);
        Some(Self {
            route,
            frame: FrameState::default(),
            offset: 0,
            is_behind: false,
            slot: Slot::new(end, 1),
            workshop: Workshop::new(0, source, end),
            allowance: Allowance::default(),
        })
    }

    fn holds_any(&self) -> bool {
        self.workshop.as_ref().is_some_and(Workshop::holds_any)
    }
}
