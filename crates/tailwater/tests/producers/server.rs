//! Programs that run for a test, and end with it.

use std::ffi::OsStr;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use tailwater_testkit::wait;

use crate::rig::{DEADLINE, read};

/// A server; it is asked to end when it is dropped.
#[derive(Debug)]
pub(crate) struct Server {
    child: Child,
    stop: Signal,
    output: PathBuf,
}

impl Server {
    /// Starts a server that stays in the foreground and ends on a signal. What it prints goes to a file.
    pub(crate) fn start(command: &mut Command, stop: Signal, output: PathBuf) -> Self {
        let mut options = std::fs::OpenOptions::new();
        let file = options.create(true).append(true).open(&output).unwrap();
        let child = command
            .stdin(Stdio::null())
            .stdout(file.try_clone().unwrap())
            .stderr(file)
            .spawn()
            .unwrap_or_else(|error| missing(command.get_program(), &error));
        Self {
            child,
            stop,
            output,
        }
    }

    /// Waits until the server answers.
    pub(crate) fn wait_ready(&mut self, mut answers: impl FnMut() -> bool) {
        let ready = wait::until_ok(DEADLINE, "the server answers", || {
            let ended = self.child.try_wait()?;
            anyhow::ensure!(ended.is_none(), "the server has ended: {ended:?}");
            Ok(answers())
        });
        ready.unwrap_or_else(|error| panic!("{error}\n{}", read(&self.output)));
    }

    /// Asks the server to end, and waits until it has.
    pub(crate) fn stop(self) {
        drop(self);
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if self.child.try_wait().unwrap().is_none() {
            // It was not waited for yet: the process id is still its own.
            kill_process(Pid::from_child(&self.child), self.stop).unwrap();
            self.child.wait().unwrap();
        }
    }
}

fn missing(program: &OsStr, error: &std::io::Error) -> ! {
    panic!(
        "cannot run {}: {error}; `tests/install` installs it",
        program.display()
    )
}

/// Runs a program to its end, gives it a text, and returns what it prints, and whether it says that all went
/// well.
pub(crate) fn run(command: &mut Command, input: &str) -> (String, bool) {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap_or_else(|error| missing(command.get_program(), &error));
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(input.as_bytes()).unwrap();
    drop(stdin);
    let output = child.wait_with_output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    (text, output.status.success())
}

/// Runs a program that must do well.
pub(crate) fn must_run(command: &mut Command, input: &str) -> String {
    let (text, went_well) = run(command, input);
    assert!(went_well, "{command:?} failed: {text}");
    text
}

pub(crate) fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Finds a program whose name has its version in it, the newest one.
pub(crate) fn newest(folder: &Path, is_it: impl Fn(&Path) -> bool) -> PathBuf {
    let entries = std::fs::read_dir(folder).into_iter().flatten();
    let mut found: Vec<PathBuf> = entries
        .map(|entry| entry.unwrap().path())
        .filter(|path| is_it(path))
        .collect();
    // Of numbers, the longer one is the greater.
    found.sort_by_key(|path| (path.as_os_str().len(), path.clone()));
    found.pop().unwrap_or_else(|| {
        let folder = folder.display();
        panic!("{folder} has not what the test needs; `tests/install` installs it")
    })
}

pub(crate) fn write(path: &Path, text: &str) {
    let mut options = std::fs::OpenOptions::new();
    let mut file = options.create_new(true).write(true).open(path).unwrap();
    file.write_all(text.as_bytes()).unwrap();
}
