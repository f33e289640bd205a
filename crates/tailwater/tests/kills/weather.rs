//! What the sink does to the agent meanwhile.

use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use tailwater_testkit::fault_sink::{FaultSink, Mode};
use tailwater_testkit::random::Random;

/// A thread that changes how the sink answers; fair from when it is dropped.
pub(crate) struct Weather {
    /// Dropped to stop the thread.
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
    sink: Arc<FaultSink>,
}

impl Weather {
    /// Outages that come and go.
    pub(crate) fn tide(sink: &Arc<FaultSink>) -> Self {
        let mut is_down = false;
        Self::start(sink, move |sink| {
            is_down = !is_down;
            let mode = if is_down {
                Mode::status(503)
            } else {
                Mode::commit()
            };
            sink.set_fallback(mode);
            Duration::from_millis(250)
        })
    }

    /// Faults of every kind, at random.
    pub(crate) fn random(sink: &Arc<FaultSink>, mut random: Random) -> Self {
        Self::start(sink, move |sink| {
            let is_outage = random.is_one_in(6);
            sink.set_fallback(if is_outage {
                Mode::status(503)
            } else {
                Mode::commit()
            });
            let requests = random.within(0..=4);
            for _ in 0..requests {
                sink.push(any_fault(&mut random));
            }
            random.millis(50..=400)
        })
    }

    /// Calls `change` over and over; it returns how long the weather lasts.
    fn start(
        sink: &Arc<FaultSink>,
        mut change: impl FnMut(&FaultSink) -> Duration + Send + 'static,
    ) -> Self {
        let (stop, stopped) = channel::<()>();
        let of_thread = Arc::clone(sink);
        let thread = std::thread::spawn(move || {
            loop {
                let lasts = change(&of_thread);
                if stopped.recv_timeout(lasts) != Err(RecvTimeoutError::Timeout) {
                    return;
                }
            }
        });
        Self {
            stop: Some(stop),
            thread: Some(thread),
            sink: Arc::clone(sink),
        }
    }
}

impl Drop for Weather {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // Where it has panicked the sink is as fair as it is made here.
            drop(thread.join());
        }
        self.sink.script(|script| {
            script.queue.clear();
            script.fallback = Mode::commit();
        });
    }
}

fn any_fault(random: &mut Random) -> Mode {
    let after = ["0", "1", "soon"];
    match random.within(0..=10) {
        0 => Mode::status(500),
        1 => Mode::status(503),
        2 => Mode::too_many_requests(*random.one_of(&after)),
        3 => Mode::reset_before_commit(),
        4 => Mode::reset_after_commit(),
        5 => Mode::close(),
        6 => Mode::commit_then_close(),
        7 => Mode::status_after_commit(500),
        8 => Mode::half_response(),
        9 => Mode::commit_then_hang(),
        // It stores at once and answers late.
        _ => Mode::drip(random.millis(1..=5)),
    }
}
