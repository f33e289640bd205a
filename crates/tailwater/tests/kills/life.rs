//! One life: an agent that is killed some number of times, and the verdict on it.

use std::sync::mpsc::{RecvTimeoutError, channel};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tailwater_testkit::agent::Agent;
use tailwater_testkit::fault_sink::FaultSink;
use tailwater_testkit::load::{Load, Pace};
use tailwater_testkit::logrotate::{Logrotate, Rule};
use tailwater_testkit::random::Random;

use crate::rig::{Outcome, Policy, Rig, Setup, glob};
use crate::weather::Weather;

/// How files are rotated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rotation {
    /// Renamed.
    Rename,
    /// Renamed, and compressed with the next rotation.
    Compress,
}

/// What is chosen at random for a life.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    setup: Setup,
    rotation: Rotation,
    files: u32,
    pace: Pace,
    random: Random,
}

impl Plan {
    /// Lives take the policies in turn, so that none is left out of a short run.
    pub(crate) fn new(mut random: Random, number: u64) -> Self {
        let turn = usize::try_from(number % 5).unwrap_or(0);
        let setup = Setup {
            policy: Policy::ALL.get(turn).copied().unwrap_or(Policy::Block),
            max_in_flight: random.within(1..=5),
            max_batch_kib: random.within(4..=32),
            checkpoint_interval: random.millis(20..=1_000),
            has_stages: number % 2 == 1,
        };
        let pace = Pace {
            lines: random.within(1..=10),
            rest: random.millis(2..=10),
        };
        Self {
            setup,
            rotation: *random.one_of(&[Rotation::Rename, Rotation::Compress]),
            files: u32::try_from(random.within(1..=3)).unwrap_or(1),
            pace,
            random,
        }
    }

    /// Lives it: `kills` times the agent is killed after 50 ms to `max_run`.
    pub(crate) fn live(&self, kills: u64, max_run: Duration) -> Outcome {
        let rig = Rig::new(&self.setup);
        let loads = rig.loads(self.files, self.pace);
        // Nothing is promised of files that no agent has ever seen under their own name.
        let first = rig.start();
        let rotator = Rotator::new(&rig, self.rotation);
        let weather = Weather::random(&rig.sink, self.random.part(1));
        std::thread::scope(|scope| {
            let (stop, stopped) = channel::<()>();
            let mut random = self.random.part(2);
            let rotating = scope.spawn({
                let (rotator, loads, sink) = (&rotator, &loads, &rig.sink);
                move || {
                    while stopped.recv_timeout(random.millis(100..=900))
                        == Err(RecvTimeoutError::Timeout)
                    {
                        rotator.rotate(loads, sink);
                    }
                }
            });
            self.kill(&rig, first, kills, max_run, &|| {
                rotator.rotate(&loads, &rig.sink);
            });
            drop(stop);
            rotating.join().unwrap();
        });
        drop(weather);
        rig.judge(loads)
    }

    fn kill(&self, rig: &Rig, mut agent: Agent, kills: u64, max_run: Duration, rotate: &dyn Fn()) {
        let mut random = self.random.part(3);
        let max_run_ms = u64::try_from(max_run.as_millis()).unwrap_or(u64::MAX);
        for killed in 1..=kills {
            agent.run_for(random.millis(50..=max_run_ms)).unwrap();
            agent.sigkill().unwrap();
            if killed == kills {
                return;
            }
            // A host that is slow to start it again.
            for _ in 0..random.within(0..=8).saturating_sub(6) {
                rotate();
            }
            agent = rig.launch(&[]);
        }
    }
}

/// logrotate, and what it must not compress yet.
struct Rotator {
    logrotate: Logrotate,
    rotation: Rotation,
    /// Of each file, how many lines were written before the last rotation.
    before_last: Mutex<Vec<u64>>,
}

impl Rotator {
    fn new(rig: &Rig, rotation: Rotation) -> Self {
        let directory = rig.directory.path().join("rotate");
        std::fs::create_dir(&directory).unwrap();
        let rule = Rule {
            rotate: 500,
            compress: rotation == Rotation::Compress,
            delay_compress: rotation == Rotation::Compress,
            ..Rule::new([glob(&rig.logs())])
        };
        Self {
            logrotate: Logrotate::new(&directory, &[rule]).unwrap(),
            rotation,
            before_last: Mutex::default(),
        }
    }

    /// Rotates every file, and has the writers told, who until then write to the old ones.
    ///
    /// What is compressed is deleted, and archives are not read: nothing is promised for a file that
    /// is compressed before it was read. So that is not done before the sink has all of it.
    fn rotate(&self, loads: &[Load], sink: &FaultSink) {
        let mut before_last = self
            .before_last
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if self.rotation == Rotation::Compress {
            let is_there = |(load, lines): (&Load, &u64)| {
                let file = load.written().file;
                sink.inspect(|state| state.tally().frontier(file) >= *lines)
            };
            if !loads.iter().zip(&*before_last).all(is_there) {
                return;
            }
        }
        self.logrotate.force().unwrap();
        *before_last = loads
            .iter()
            .map(|load| load.reopen().unwrap().acked)
            .collect();
    }
}
