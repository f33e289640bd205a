//! The real agent as a child process.

use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions};
use std::net::SocketAddr;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};

use crate::client;
use crate::metrics::Metrics;
use crate::wait;

/// Names the binary for [`Agent::start`].
pub const BINARY_VARIABLE: &str = "TAILWATER_BIN";

/// The file in the agent's data directory that holds the address of its admin server.
const ADDRESS_FILE: &str = "admin.addr";

/// Time that the agent has to answer `/ready`; generous, for busy machines.
const START_DEADLINE: Duration = Duration::from_secs(30);

/// A running agent; killed when it is dropped.
#[derive(Debug)]
pub struct Agent {
    child: Child,
    log_path: PathBuf,
    address_path: PathBuf,
    admin: SocketAddr,
    status: Option<ExitStatus>,
}

impl Agent {
    /// Starts the binary that `TAILWATER_BIN` names; see [`start_binary`](Self::start_binary).
    ///
    /// # Errors
    /// The variable is not set, or the agent does not come up.
    pub fn start(config_text: &str, directory: &Path) -> Result<Self> {
        let binary = std::env::var_os(BINARY_VARIABLE)
            .with_context(|| format!("{BINARY_VARIABLE} does not name the agent's binary"))?;
        Self::start_binary(Path::new(&binary), config_text, directory)
    }

    /// Writes the configuration to `tailwater.yaml` in the directory, runs the agent there, and waits
    /// until it is ready. What it prints is appended to `agent.log` in the directory.
    ///
    /// The configuration holds `data_dir:` at the start of a line, absolute or from the directory, and
    /// `server: { listen: "127.0.0.1:0" }`.
    ///
    /// # Errors
    /// The agent cannot be run, exits, or is not ready in time; shows what it has printed.
    pub fn start_binary(binary: &Path, config_text: &str, directory: &Path) -> Result<Self> {
        Self::start_command(&[binary.as_os_str()], config_text, directory)
    }

    /// Does what [`start_binary`](Self::start_binary) does with a command that ends in the binary:
    /// another program that runs it with other rights or limits. That program must become the agent
    /// (`exec`), so that signals reach it.
    ///
    /// # Errors
    /// As [`start_binary`](Self::start_binary).
    pub fn start_command(command: &[&OsStr], config_text: &str, directory: &Path) -> Result<Self> {
        let mut agent = Self::launch(command, &[], config_text, directory)?;
        agent.wait_ready()?;
        Ok(agent)
    }

    /// Does what [`start_command`](Self::start_command) does with further variables in the
    /// environment, and does not wait: until [`wait_ready`](Self::wait_ready) there is no admin server.
    ///
    /// # Errors
    /// The agent cannot be run.
    pub fn launch(
        command: &[&OsStr],
        variables: &[(&str, &str)],
        config_text: &str,
        directory: &Path,
    ) -> Result<Self> {
        let address_path = directory.join(data_dir(config_text)?).join(ADDRESS_FILE);
        // An agent that was killed has left its address behind.
        if let Err(error) = fs::remove_file(&address_path)
            && error.kind() != std::io::ErrorKind::NotFound
        {
            return Err(error).context("cannot remove the address of the last agent");
        }
        let config_path = directory.join("tailwater.yaml");
        write_config(&config_path, config_text)?;
        let log_path = directory.join("agent.log");
        let log = OpenOptions::new()
            .append(true)
            .create(true)
            .open(&log_path)?;
        let child = spawn(command, variables, &config_path, directory, log)?;
        // Made before it is ready, so that it is killed where it never is.
        Ok(Self {
            child,
            log_path,
            address_path,
            admin: SocketAddr::from(([127, 0, 0, 1], 0)),
            status: None,
        })
    }

    /// Waits until the agent is ready.
    ///
    /// # Errors
    /// It exits, or is not ready in time; shows what it has printed.
    pub fn wait_ready(&mut self) -> Result<()> {
        let waited = wait::until_ok(START_DEADLINE, "the agent is ready", || {
            if let Some(status) = self.poll_exit()? {
                bail!("the agent has ended with {status}");
            }
            let Some(admin) = read_address(&self.address_path) else {
                return Ok(false);
            };
            self.admin = admin;
            Ok(client::get(admin, "/ready").is_ok_and(|response| response.status == 200))
        });
        waited.with_context(|| format!("the agent did not start; it printed:\n{}", self.log()))
    }

    /// Returns the address of the admin server.
    pub fn admin(&self) -> SocketAddr {
        self.admin
    }

    /// Returns the process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Asks the agent to end (SIGTERM) and waits until it has.
    ///
    /// # Errors
    /// It has not ended within the deadline.
    pub fn sigterm(&mut self, deadline: Duration) -> Result<ExitStatus> {
        self.signal(Signal::TERM)?;
        self.wait_exit(deadline)
    }

    /// Kills the agent (SIGKILL) and waits until it is gone.
    ///
    /// # Errors
    /// It cannot be killed.
    pub fn sigkill(&mut self) -> Result<ExitStatus> {
        self.signal(Signal::KILL)?;
        let status = self.child.wait().context("cannot wait for the agent")?;
        self.status = Some(status);
        Ok(status)
    }

    /// Asks the agent to read its configuration again (SIGHUP); does not wait until it has.
    ///
    /// # Errors
    /// It has ended already.
    pub fn sighup(&mut self) -> Result<()> {
        self.signal(Signal::HUP)
    }

    /// Waits until the agent has ended.
    ///
    /// # Errors
    /// It has not ended within the deadline; shows what it has printed.
    pub fn wait_exit(&mut self, deadline: Duration) -> Result<ExitStatus> {
        let mut status = None;
        wait::until_ok(deadline, "the agent has ended", || {
            status = self.poll_exit()?;
            Ok(status.is_some())
        })
        .with_context(|| format!("the agent runs on; it printed:\n{}", self.log()))?;
        status.context("the agent has no exit status")
    }

    /// Waits until the agent was killed (SIGKILL), by itself or by another.
    ///
    /// # Errors
    /// It lives on beyond the deadline, or has ended in another way; shows what it has printed.
    pub fn wait_killed(&mut self, deadline: Duration) -> Result<()> {
        let status = self.wait_exit(deadline)?;
        ensure!(
            status.signal() == Some(Signal::KILL.as_raw()),
            "the agent was not killed, it has ended with {status}; it printed:\n{}",
            self.log()
        );
        Ok(())
    }

    /// Lets the agent run for a time.
    ///
    /// # Errors
    /// It has ended before; shows what it has printed.
    pub fn run_for(&mut self, time: Duration) -> Result<()> {
        let mut status = None;
        let outlived = wait::until_ok(time, "the agent has ended", || {
            status = self.poll_exit()?;
            Ok(status.is_some())
        });
        match (outlived, status) {
            (Ok(()), Some(status)) => {
                bail!(
                    "the agent has ended with {status}; it printed:\n{}",
                    self.log()
                )
            }
            _ => Ok(()),
        }
    }

    /// Scrapes the metrics.
    ///
    /// # Errors
    /// The admin server does not answer, or not with metrics.
    pub fn metrics(&self) -> Result<Metrics> {
        Metrics::parse(&self.get("/metrics")?)
    }

    /// Asks for the status.
    ///
    /// # Errors
    /// The admin server does not answer, or not with JSON.
    pub fn status(&self) -> Result<serde_json::Value> {
        serde_json::from_str(&self.get("/api/v1/status")?).context("the status is no JSON")
    }

    /// Returns what the agent, and those before it in this directory, have printed.
    pub fn log(&self) -> String {
        match fs::read(&self.log_path) {
            Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
            Err(error) => format!("cannot read {}: {error}", self.log_path.display()),
        }
    }

    fn get(&self, path: &str) -> Result<String> {
        let response = client::get(self.admin, path)?;
        match response.status {
            200 => Ok(response.text()),
            status => bail!("{path} was answered {status}: {}", response.text()),
        }
    }

    fn signal(&mut self, signal: Signal) -> Result<()> {
        if let Some(status) = self.poll_exit()? {
            bail!(
                "the agent has ended with {status}; it printed:\n{}",
                self.log()
            );
        }
        // It was not waited for yet: the process id is still its own.
        kill_process(Pid::from_child(&self.child), signal).context("cannot signal the agent")
    }

    fn poll_exit(&mut self) -> Result<Option<ExitStatus>> {
        if self.status.is_none() {
            self.status = self.child.try_wait().context("cannot wait for the agent")?;
        }
        Ok(self.status)
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        if self.status.is_none() {
            // Nothing can be done about a child that cannot be killed.
            drop(self.child.kill());
            drop(self.child.wait());
        }
    }
}

fn spawn(
    command: &[&OsStr],
    variables: &[(&str, &str)],
    config: &Path,
    directory: &Path,
    log: File,
) -> Result<Child> {
    let (program, arguments) = command.split_first().context("no command to run")?;
    Command::new(program)
        .args(arguments)
        .envs(variables.iter().copied())
        .arg("run")
        .arg("--config")
        .arg(config)
        .current_dir(directory)
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .spawn()
        .with_context(|| format!("cannot run {}", program.display()))
}

#[expect(
    clippy::disallowed_methods,
    reason = "the configuration of a test need not survive a power cut"
)]
fn write_config(path: &Path, text: &str) -> Result<()> {
    fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
}

/// Returns the value of the key `data_dir` at the start of a line.
fn data_dir(config_text: &str) -> Result<PathBuf> {
    let mut values = config_text
        .lines()
        .filter_map(|line| line.strip_prefix("data_dir:"));
    let value = values.next().context("the configuration has no data_dir")?;
    Ok(PathBuf::from(value.trim().trim_matches(['"', '\''])))
}

/// Returns the address, once the agent has written it whole.
fn read_address(path: &Path) -> Option<SocketAddr> {
    fs::read_to_string(path).ok()?.trim().parse().ok()
}
