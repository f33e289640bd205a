//! Hearing of changes in directories.
//!
//! Only directories are watched: one watch tells of every name in it, whatever the number of files.
//! Events are hints. Each is answered by listing the directory or by reading the file, so a lost, late
//! or repeated event changes nothing but the delay, which the rescan bounds.
//!
//! On Linux the watch is an inotify descriptor that is read at the pace of the pipeline thread, so that
//! a thousand writes to a file between two reads are one event. `notify`, which serves every other
//! system, wakes a thread of its own for each write (measured: docs/decisions/0003-watching.md).

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::time::Duration;

use notify::Watcher as _;
use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};

/// How changes to files are noticed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum WatchBackend {
    /// The cheapest that the system has: inotify on Linux, notify elsewhere; polling where both fail.
    #[default]
    Auto,
    /// The `notify` crate.
    Notify,
    /// Polling only.
    Poll,
}

/// Number of a watched directory, given by the caller.
pub(crate) type DirId = u32;

/// What was heard.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Heard<'a> {
    /// Something was written to the file of this name.
    Modified(DirId, &'a OsStr),
    /// Names came, went or changed their permissions.
    Names(DirId),
    /// A name became another in the same directory.
    Renamed(DirId, &'a OsStr, &'a OsStr),
    /// The directory itself was moved, deleted or unmounted.
    Gone(DirId),
    /// Events were lost: anything may have changed.
    Overflow,
}

/// Wakes a pipeline thread out of its wait, from any other thread.
#[derive(Clone, Debug)]
pub struct Waker(Arc<OwnedFd>);

impl Waker {
    /// Opens the descriptor behind it.
    ///
    /// # Errors
    /// Where no descriptor is left.
    pub fn new() -> io::Result<Self> {
        Ok(Self(Arc::new(eventfd(
            0,
            EventfdFlags::NONBLOCK | EventfdFlags::CLOEXEC,
        )?)))
    }

    /// Ends the current or the next wait.
    pub fn wake(&self) {
        // It fails only where the counter is full: the thread is being woken already.
        rustix::io::write(&*self.0, &1_u64.to_ne_bytes()).ok();
    }

    /// Waits until it is used, a descriptor has something to read, or the timeout is over; returns
    /// whether the descriptor has, or has come to its end.
    pub fn wait_for(&self, input: Option<BorrowedFd<'_>>, timeout: Option<Duration>) -> bool {
        let mut descriptors = vec![PollFd::new(&*self.0, PollFlags::IN)];
        descriptors.extend(input.map(|input| PollFd::from_borrowed_fd(input, PollFlags::IN)));
        // An interrupted wait is a short wait: the caller looks at the clock anyway.
        let is_heard = poll(&mut descriptors, timeout.map(timespec).as_ref()).is_ok();
        self.clear();
        let input = descriptors.get(1);
        is_heard && input.is_some_and(|input| !input.revents().is_empty())
    }

    fn clear(&self) {
        let mut counter = [0_u8; 8];
        // It fails only where nobody woke the thread.
        rustix::io::read(&*self.0, &mut counter).ok();
    }
}

fn timespec(timeout: Duration) -> Timespec {
    Timespec {
        tv_sec: i64::try_from(timeout.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: i64::from(timeout.subsec_nanos()),
    }
}

/// Why a directory cannot be watched; it is polled instead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unwatched {
    /// The system's limit of watches is reached.
    Limit,
    /// Anything else: the directory is gone, unreadable, or the backend is polling.
    Unavailable,
}

/// The watches of one pipeline thread.
pub(crate) struct Watch {
    backend: Backend,
    waker: Waker,
}

enum Backend {
    Inotify(Box<InotifyWatch>),
    Notify(Box<NotifyWatch>),
    Poll,
}

impl std::fmt::Debug for Watch {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let name = match self.backend {
            Backend::Inotify(_) => "inotify",
            Backend::Notify(_) => "notify",
            Backend::Poll => "poll",
        };
        formatter.debug_tuple("Watch").field(&name).finish()
    }
}

impl Watch {
    /// Opens the backend; falls back to polling where it cannot be opened.
    pub(crate) fn open(wanted: WatchBackend, waker: Waker) -> Self {
        let backend = match wanted {
            WatchBackend::Poll => Backend::Poll,
            WatchBackend::Auto if cfg!(target_os = "linux") => InotifyWatch::open(),
            WatchBackend::Auto | WatchBackend::Notify => NotifyWatch::open(&waker),
        };
        Self { backend, waker }
    }

    /// Returns whether events can come at all.
    pub(crate) fn has_events(&self) -> bool {
        !matches!(self.backend, Backend::Poll)
    }

    /// Watches a directory.
    pub(crate) fn add(&mut self, path: &Path, dir: DirId) -> Result<(), Unwatched> {
        match &mut self.backend {
            Backend::Inotify(watch) => watch.add(path, dir),
            Backend::Notify(watch) => watch.add(path, dir),
            Backend::Poll => Err(Unwatched::Unavailable),
        }
    }

    /// Ends the watch of a directory; nothing where it has none.
    pub(crate) fn remove(&mut self, dir: DirId) {
        match &mut self.backend {
            Backend::Inotify(watch) => watch.remove(dir),
            Backend::Notify(watch) => watch.remove(dir),
            Backend::Poll => {}
        }
    }

    /// Waits until something is heard (if `listen`), the waker is used, or the timeout is over.
    pub(crate) fn wait(&self, listen: bool, timeout: Option<Duration>) {
        let mut descriptors = vec![PollFd::new(&*self.waker.0, PollFlags::IN)];
        let inotify: Option<BorrowedFd<'_>> = match &self.backend {
            Backend::Inotify(watch) if listen => Some(watch.inotify.as_fd()),
            Backend::Inotify(_) | Backend::Notify(_) | Backend::Poll => None,
        };
        if let Some(descriptor) = inotify {
            descriptors.push(PollFd::from_borrowed_fd(descriptor, PollFlags::IN));
        }
        // An interrupted wait is a short wait: the caller looks at the clock anyway.
        poll(&mut descriptors, timeout.map(timespec).as_ref()).ok();
        self.waker.clear();
    }

    /// Hands everything heard since the last call to `hear`.
    pub(crate) fn drain(&mut self, hear: &mut dyn FnMut(Heard<'_>)) {
        match &mut self.backend {
            Backend::Inotify(watch) => watch.drain(hear),
            Backend::Notify(watch) => watch.drain(hear),
            Backend::Poll => {}
        }
    }
}

/// Bytes of events read at once: about 500 events with short names.
const EVENT_BYTES: usize = 16 * 1024;

/// Reads of the event queue per drain; the rest waits for the next turn of the thread.
const MAX_EVENT_READS: usize = 64;

struct InotifyWatch {
    inotify: inotify::Inotify,
    dirs: HashMap<inotify::WatchDescriptor, DirId>,
    watches: HashMap<DirId, inotify::WatchDescriptor>,
    events: Box<[u8]>,
    /// The first half of a rename, until the second is read: its cookie, directory and name.
    leaving: Option<(u32, DirId, OsString)>,
}

impl InotifyWatch {
    fn open() -> Backend {
        match inotify::Inotify::init() {
            Ok(inotify) => Backend::Inotify(Box::new(Self {
                inotify,
                dirs: HashMap::new(),
                watches: HashMap::new(),
                events: vec![0; EVENT_BYTES].into_boxed_slice(),
                leaving: None,
            })),
            Err(error) => {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "cannot use inotify, polling instead"
                );
                Backend::Poll
            }
        }
    }

    fn add(&mut self, path: &Path, dir: DirId) -> Result<(), Unwatched> {
        use inotify::WatchMask;
        let mask = WatchMask::CREATE
            | WatchMask::MOVED_TO
            | WatchMask::MOVED_FROM
            | WatchMask::DELETE
            | WatchMask::ATTRIB
            | WatchMask::MODIFY
            | WatchMask::MOVE_SELF
            | WatchMask::DELETE_SELF
            | WatchMask::ONLYDIR;
        match self.inotify.watches().add(path, mask) {
            Ok(watch) => {
                self.dirs.insert(watch.clone(), dir);
                self.watches.insert(dir, watch);
                Ok(())
            }
            Err(error) if error.raw_os_error() == Some(rustix::io::Errno::NOSPC.raw_os_error()) => {
                Err(Unwatched::Limit)
            }
            Err(_) => Err(Unwatched::Unavailable),
        }
    }

    fn remove(&mut self, dir: DirId) {
        let Some(watch) = self.watches.remove(&dir) else {
            return;
        };
        // Two paths of one directory share its watch: only the last name takes it away.
        if self.dirs.get(&watch) == Some(&dir) {
            self.dirs.remove(&watch);
            // It fails where the kernel has removed the watch with the directory.
            drop(self.inotify.watches().remove(watch));
        }
    }

    fn drain(&mut self, hear: &mut dyn FnMut(Heard<'_>)) {
        use inotify::EventMask;
        for _ in 0..MAX_EVENT_READS {
            let Ok(events) = self.inotify.read_events(&mut self.events) else {
                return;
            };
            let mut count = 0_usize;
            for event in events {
                count += 1;
                if event.mask.contains(EventMask::Q_OVERFLOW) {
                    hear(Heard::Overflow);
                    continue;
                }
                let Some(&dir) = self.dirs.get(&event.wd) else {
                    continue;
                };
                match event.name {
                    Some(name) if event.mask.contains(EventMask::MODIFY) => {
                        hear(Heard::Modified(dir, name));
                    }
                    Some(name) if event.mask.contains(EventMask::MOVED_FROM) => {
                        self.leaving = Some((event.cookie, dir, name.to_owned()));
                        hear(Heard::Names(dir));
                    }
                    Some(name) if event.mask.contains(EventMask::MOVED_TO) => {
                        match self.leaving.take() {
                            Some((cookie, from_dir, from))
                                if cookie == event.cookie && from_dir == dir =>
                            {
                                hear(Heard::Renamed(dir, &from, name));
                            }
                            _ => hear(Heard::Names(dir)),
                        }
                    }
                    Some(_) => hear(Heard::Names(dir)),
                    None if event.mask.contains(EventMask::ATTRIB) => hear(Heard::Names(dir)),
                    None => hear(Heard::Gone(dir)),
                }
            }
            if count == 0 {
                return;
            }
        }
    }
}

/// Events of `notify` that may wait for the pipeline thread; more are an overflow.
const MAX_NOTIFY_EVENTS: usize = 4096;

struct NotifyWatch {
    watcher: notify::RecommendedWatcher,
    events: Receiver<notify::Event>,
    overflowed: Arc<AtomicBool>,
    dirs: HashMap<PathBuf, DirId>,
    paths: HashMap<DirId, PathBuf>,
}

impl NotifyWatch {
    fn open(waker: &Waker) -> Backend {
        let (sender, events) = sync_channel(MAX_NOTIFY_EVENTS);
        let overflowed = Arc::new(AtomicBool::new(false));
        let handler = notify_handler(sender, Arc::clone(&overflowed), waker.clone());
        match notify::recommended_watcher(handler) {
            Ok(watcher) => Backend::Notify(Box::new(Self {
                watcher,
                events,
                overflowed,
                dirs: HashMap::new(),
                paths: HashMap::new(),
            })),
            Err(error) => {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "cannot use notify, polling instead"
                );
                Backend::Poll
            }
        }
    }

    fn add(&mut self, path: &Path, dir: DirId) -> Result<(), Unwatched> {
        match self
            .watcher
            .watch(path, notify::RecursiveMode::NonRecursive)
        {
            Ok(()) => {
                self.dirs.insert(path.to_owned(), dir);
                self.paths.insert(dir, path.to_owned());
                Ok(())
            }
            Err(error) if matches!(error.kind, notify::ErrorKind::MaxFilesWatch) => {
                Err(Unwatched::Limit)
            }
            Err(_) => Err(Unwatched::Unavailable),
        }
    }

    fn remove(&mut self, dir: DirId) {
        if let Some(path) = self.paths.remove(&dir) {
            self.dirs.remove(&path);
            // It fails where the directory is gone, and its watch with it.
            drop(self.watcher.unwatch(&path));
        }
    }

    fn drain(&mut self, hear: &mut dyn FnMut(Heard<'_>)) {
        use notify::event::{EventKind, ModifyKind};
        if self.overflowed.swap(false, Ordering::AcqRel) {
            hear(Heard::Overflow);
        }
        while let Ok(event) = self.events.try_recv() {
            if event.need_rescan() {
                hear(Heard::Overflow);
            }
            for path in &event.paths {
                if let Some(&dir) = self.dirs.get(path) {
                    let gone = matches!(
                        event.kind,
                        EventKind::Remove(_) | EventKind::Modify(ModifyKind::Name(_))
                    );
                    hear(if gone {
                        Heard::Gone(dir)
                    } else {
                        Heard::Names(dir)
                    });
                    continue;
                }
                let Some(&dir) = path.parent().and_then(|parent| self.dirs.get(parent)) else {
                    continue;
                };
                let name: OsString = path.file_name().map(OsStr::to_owned).unwrap_or_default();
                match event.kind {
                    EventKind::Modify(ModifyKind::Data(_) | ModifyKind::Any) => {
                        hear(Heard::Modified(dir, &name));
                    }
                    EventKind::Access(_) => {}
                    EventKind::Any
                    | EventKind::Create(_)
                    | EventKind::Remove(_)
                    | EventKind::Modify(
                        ModifyKind::Name(_) | ModifyKind::Metadata(_) | ModifyKind::Other,
                    )
                    | EventKind::Other => hear(Heard::Names(dir)),
                }
            }
        }
    }
}

fn notify_handler(
    sender: SyncSender<notify::Event>,
    overflowed: Arc<AtomicBool>,
    waker: Waker,
) -> impl FnMut(notify::Result<notify::Event>) + Send + 'static {
    move |event| {
        match event {
            Ok(event) if matches!(event.kind, notify::EventKind::Access(_)) => return,
            Ok(event) => {
                if let Err(TrySendError::Full(_)) = sender.try_send(event) {
                    overflowed.store(true, Ordering::Release);
                }
            }
            Err(_) => overflowed.store(true, Ordering::Release),
        }
        waker.wake();
    }
}
