//! What every measurement works with: where things are, what runs where, and how long it may take.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use tempfile::TempDir;

use crate::clock::{Deadline, wait};
use crate::cpu::Placement;
use crate::program::{Program, pinned};
use crate::receiver::{DELAYS_PATH, Delays, PROGRESS_PATH, Progress, query};

const POLL: Duration = Duration::from_millis(20);

/// The settings that all measurements share.
#[derive(Clone, Debug)]
pub(crate) struct Bench {
    /// The agent's program.
    pub tailwater: PathBuf,
    /// Where corpora are kept and everything else is put for the time of a run.
    pub work_dir: PathBuf,
    /// How long lines may take to arrive before a measurement is given up.
    pub timeout: Duration,
    /// What runs where.
    pub placement: Placement,
}

impl Bench {
    /// Starts a receiver and makes an empty directory for one run.
    ///
    /// # Errors
    /// When either cannot be had.
    pub(crate) fn stage(&self) -> anyhow::Result<Stage> {
        let dir = self.work_dir.as_path();
        std::fs::create_dir_all(dir).with_context(|| format!("cannot create {}", dir.display()))?;
        let dir = tempfile::Builder::new()
            .prefix("run-")
            .tempdir_in(dir)
            .with_context(|| format!("cannot create a directory in {}", dir.display()))?;
        Ok(Stage {
            dir,
            receiver: ReceiverProcess::start(self.placement.rest)?,
            bench: self.clone(),
        })
    }

    /// Notes about the machine that belong under every table.
    pub(crate) fn notes(&self) -> Vec<String> {
        let shared = self.placement.is_shared();
        let note = "only one CPU: the program, the writer and the receiver share it".to_owned();
        shared.then_some(note).into_iter().collect()
    }
}

/// An empty directory and a receiver, for one run.
#[derive(Debug)]
pub(crate) struct Stage {
    /// Removed with everything in it when the stage is dropped.
    pub dir: TempDir,
    /// Where the run sends to.
    pub receiver: ReceiverProcess,
    bench: Bench,
}

impl Stage {
    /// Waits until `lines` lines have arrived; returns what had then.
    ///
    /// # Errors
    /// When the program ends, the receiver refuses a request, or time is over.
    pub(crate) fn await_lines(
        &self,
        lines: u64,
        program: &mut Program,
    ) -> anyhow::Result<Progress> {
        let deadline = Deadline::after(self.bench.timeout);
        loop {
            let progress = self.receiver.progress()?;
            ensure!(
                progress.refused == 0,
                "receiver refused {} requests",
                progress.refused
            );
            if progress.tally.lines >= lines {
                return Ok(progress);
            }
            program.ensure_running()?;
            if deadline.is_over() {
                let (arrived, timeout) = (progress.tally.lines, self.bench.timeout);
                bail!("{arrived} of {lines} lines arrived within {timeout:?}");
            }
            wait(POLL);
        }
    }

    /// Where the run's program is told to send.
    pub(crate) fn push_url(&self) -> String {
        format!("http://{}/loki/api/v1/push", self.receiver.address)
    }
}

/// A receiver in a process of its own; killed when dropped.
#[derive(Debug)]
pub(crate) struct ReceiverProcess {
    /// Where it listens.
    pub address: SocketAddr,
    child: Child,
}

impl ReceiverProcess {
    fn start(cpu: usize) -> anyhow::Result<Self> {
        let own = std::env::current_exe().context("cannot tell the path of this program")?;
        let mut child = pinned(cpu)?
            .arg(own)
            .arg("receive")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("cannot start the receiver")?;
        let mut line = String::new();
        let output = child.stdout.take().context("receiver without an output")?;
        BufReader::new(output)
            .read_line(&mut line)
            .context("cannot read the receiver's address")?;
        let address = line.trim().parse().context("receiver printed no address")?;
        Ok(Self { address, child })
    }

    /// What has arrived.
    ///
    /// # Errors
    /// When the receiver does not answer.
    pub(crate) fn progress(&self) -> anyhow::Result<Progress> {
        query(self.address, PROGRESS_PATH)
    }

    /// How long stamped lines were under way.
    ///
    /// # Errors
    /// When the receiver does not answer, or was sent more lines than it keeps.
    pub(crate) fn delays(&self) -> anyhow::Result<Delays> {
        let delays: Delays = query(self.address, DELAYS_PATH)?;
        let left_out = delays.lines_left_out;
        ensure!(
            left_out == 0,
            "{left_out} lines more than the receiver keeps delays of"
        );
        Ok(delays)
    }
}

impl Drop for ReceiverProcess {
    fn drop(&mut self) {
        // Both fail when it has ended already, which is what is wanted.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
