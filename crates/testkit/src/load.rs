//! Log writers on threads of their own, at a pace.

use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow};

use crate::writer::{LogWriter, Progress, Written};

/// How fast a writer writes.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// Lines of one burst.
    pub lines: u64,
    /// The rest after each.
    pub rest: Duration,
}

/// A writer that goes on until it is told to stop; stopped when it is dropped.
#[derive(Debug)]
pub struct Load {
    orders: Sender<Order>,
    progress: Progress,
    thread: Option<JoinHandle<Result<()>>>,
}

#[derive(Debug)]
enum Order {
    /// Opens the path again, and says what was written before.
    Reopen(Sender<Written>),
    Stop,
}

impl Load {
    /// Starts to write.
    ///
    /// # Errors
    /// No thread can be had.
    pub fn start(writer: LogWriter, pace: Pace) -> Result<Self> {
        let (orders, received) = channel();
        let progress = writer.progress();
        let thread = std::thread::Builder::new()
            .name("load".into())
            .spawn(move || write(writer, pace, &received))
            .context("cannot make a thread to write logs")?;
        Ok(Self {
            orders,
            progress,
            thread: Some(thread),
        })
    }

    /// Returns what was written up to now.
    pub fn written(&self) -> Written {
        self.progress.written()
    }

    /// Has the path opened again, as after a rotation; returns what was written to the file before.
    ///
    /// # Errors
    /// The writer has failed.
    pub fn reopen(&self) -> Result<Written> {
        let (answer, answers) = channel();
        self.orders.send(Order::Reopen(answer)).ok();
        answers.recv().context("the writer has ended")
    }

    /// Ends the writer, and returns all that was written.
    ///
    /// # Errors
    /// A write has failed.
    pub fn stop(&mut self) -> Result<Written> {
        if let Some(thread) = self.thread.take() {
            self.orders.send(Order::Stop).ok();
            thread
                .join()
                .map_err(|_panic| anyhow!("the writer has panicked"))??;
        }
        Ok(self.written())
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        // A test that needs to know has stopped it by itself.
        drop(self.stop());
    }
}

fn write(mut writer: LogWriter, pace: Pace, orders: &Receiver<Order>) -> Result<()> {
    loop {
        writer.write_lines(pace.lines)?;
        match orders.recv_timeout(pace.rest) {
            Err(RecvTimeoutError::Timeout) => {}
            Ok(Order::Reopen(answer)) => {
                let written = writer.written();
                writer.reopen()?;
                answer.send(written).ok();
            }
            Ok(Order::Stop) | Err(RecvTimeoutError::Disconnected) => return Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wait;
    use crate::writer::WriterOptions;

    #[test]
    fn a_load_goes_on_in_the_new_file_after_a_rotation_and_writes_whole_lines() {
        let directory = tempfile::tempdir().unwrap();
        let (path, old) = (directory.path().join("a.log"), directory.path().join("old"));
        let writer = LogWriter::open(&path, 3, WriterOptions::default()).unwrap();
        let pace = Pace {
            lines: 2,
            rest: Duration::from_millis(1),
        };
        let mut load = Load::start(writer, pace).unwrap();
        let has_written = |lines| {
            wait::until(Duration::from_secs(60), "lines are written", || {
                load.written().acked >= lines
            })
        };
        has_written(10).unwrap();
        #[expect(clippy::disallowed_methods, reason = "a rotation as tools do it")]
        std::fs::rename(&path, &old).unwrap();
        let before = load.reopen().unwrap().acked;
        has_written(before + 10).unwrap();
        let all = load.stop().unwrap().acked;
        let lines = |path| {
            std::fs::read(path)
                .unwrap()
                .split(|byte| *byte == b'\n')
                .count()
                - 1
        };
        assert_eq!(lines(&old) as u64, before);
        assert_eq!(lines(&path) as u64, all - before);
    }
}
