//! A measured program as a child process: on its own CPU, its output in a file, its end awaited.

use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context, bail};
use rustix::process::{
    Pid, Resource, Rlimit, Signal, getrlimit, kill_process, set_parent_process_death_signal,
    setrlimit,
};

use crate::clock::{Deadline, wait};
use crate::cpu::pin_thread;
use crate::proc_files::{Usage, usage};
use crate::scratch::{create, last_lines};

const POLL: Duration = Duration::from_millis(10);
/// How long a program may take to end when it is told to.
const STOP_LIMIT: Duration = Duration::from_secs(30);
const SHOWN_LOG_LINES: usize = 15;

/// How a program is started and stopped.
#[derive(Clone, Debug)]
pub(crate) struct Launch {
    /// Its name in tables and errors.
    pub name: &'static str,
    /// Its path, or its name on the PATH.
    pub program: PathBuf,
    /// What it is started with.
    pub arguments: Vec<OsString>,
    /// What makes it end.
    pub stop: Stop,
}

/// What makes a program end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stop {
    /// SIGTERM.
    Terminate,
    /// The end of its standard input.
    CloseInput,
    /// The end of its work.
    OfItself,
}

/// A running program; killed when dropped.
#[derive(Debug)]
pub(crate) struct Program {
    name: &'static str,
    child: Child,
    stop: Stop,
    log: PathBuf,
}

impl Program {
    /// Starts a program on `cpu` alone; what it prints goes to a new file in `dir`.
    ///
    /// # Errors
    /// When it cannot be started.
    pub(crate) fn start(launch: &Launch, cpu: usize, dir: &Path) -> anyhow::Result<Self> {
        let log = dir.join(format!("{}.log", launch.name));
        // Of an earlier start in the same directory.
        drop(std::fs::remove_file(&log));
        let output = create(&log)?;
        let errors = output.try_clone().context("cannot share a file")?;
        let input = match launch.stop {
            Stop::Terminate | Stop::OfItself => Stdio::null(),
            Stop::CloseInput => Stdio::piped(),
        };
        let child = pinned(cpu)?
            .arg(&launch.program)
            .args(&launch.arguments)
            .stdin(input)
            .stdout(output)
            .stderr(errors)
            .spawn()
            .with_context(|| format!("cannot start {}", launch.name))?;
        Ok(Self {
            name: launch.name,
            child,
            stop: launch.stop,
            log,
        })
    }

    /// Its process id.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What it has used so far.
    ///
    /// # Errors
    /// When it has ended; the error shows the last lines it printed.
    pub(crate) fn usage(&mut self) -> anyhow::Result<Usage> {
        self.ensure_running()?;
        usage(self.pid())
    }

    /// Checks that it still runs.
    ///
    /// # Errors
    /// When it has ended; the error shows the last lines it printed.
    pub(crate) fn ensure_running(&mut self) -> anyhow::Result<()> {
        match self.child.try_wait().context("cannot wait for a program")? {
            None => Ok(()),
            Some(status) => bail!(
                "{} ended early ({status}); it printed:\n{}",
                self.name,
                last_lines(&self.log, SHOWN_LOG_LINES)
            ),
        }
    }

    /// Makes it end and waits until it has; `Some` says what was wrong with how it ended.
    ///
    /// # Errors
    /// When it cannot be signalled or waited for.
    pub(crate) fn stop(mut self) -> anyhow::Result<Option<String>> {
        match self.stop {
            Stop::CloseInput => drop(self.child.stdin.take()),
            Stop::OfItself => {}
            Stop::Terminate => kill_process(Pid::from_child(&self.child), Signal::TERM)
                .with_context(|| format!("cannot signal {}", self.name))?,
        }
        self.wait(STOP_LIMIT)
    }

    /// Waits until it has ended; `Some` says what was wrong with how it ended.
    ///
    /// # Errors
    /// When it cannot be waited for.
    pub(crate) fn wait(mut self, limit: Duration) -> anyhow::Result<Option<String>> {
        let deadline = Deadline::after(limit);
        while !deadline.is_over() {
            if let Some(status) = self.child.try_wait().context("cannot wait for a program")? {
                return Ok(fault(self.name, status));
            }
            wait(POLL);
        }
        Ok(Some(format!("{} did not end within {limit:?}", self.name)))
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // Both fail when it has ended already, which is what is wanted.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn fault(name: &str, status: ExitStatus) -> Option<String> {
    (!status.success()).then(|| format!("{name} did not end cleanly: {status}"))
}

/// A command that runs what its arguments name, on `cpu` alone, until this process ends.
///
/// # Errors
/// When the path of this program is not known.
pub(crate) fn pinned(cpu: usize) -> anyhow::Result<Command> {
    let own = std::env::current_exe().context("cannot tell the path of this program")?;
    let mut command = Command::new(own);
    command.arg("pin").args(["--cpu", &cpu.to_string()]);
    command.args(["--parent", &std::process::id().to_string()]);
    if let Some(soft) = getrlimit(Resource::Nofile).current {
        command.args(["--open-files", &soft.to_string()]);
    }
    command.arg("--");
    Ok(command)
}

/// Becomes the program that `command` names; the other half of [`pinned`].
///
/// # Errors
/// Always, when it returns: it could not become that program.
pub(crate) fn become_pinned(
    cpu: usize,
    parent: u32,
    open_files: Option<u64>,
    command: &[OsString],
) -> anyhow::Result<()> {
    let (program, arguments) = command.split_first().context("no program to run")?;
    pin_thread(cpu)?;
    // Survives the exec; a parent that ended before this line is seen by the check after it.
    set_parent_process_death_signal(Some(Signal::KILL)).context("cannot follow the parent")?;
    let current_parent = rustix::process::getppid().map(|pid| pid.as_raw_nonzero().get());
    if current_parent != i32::try_from(parent).ok() {
        bail!("parent process {parent} ended");
    }
    if let Some(soft) = open_files {
        let limit = Rlimit {
            current: Some(soft),
            ..getrlimit(Resource::Nofile)
        };
        setrlimit(Resource::Nofile, limit).context("cannot limit open files")?;
    }
    let error = Command::new(program).args(arguments).exec();
    Err(error).with_context(|| format!("cannot run {}", program.display()))
}

/// Where `name` is on the PATH, if it is.
pub(crate) fn on_path(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .map(|dir| dir.join(name))
        .find(|candidate| candidate.is_file())
}
