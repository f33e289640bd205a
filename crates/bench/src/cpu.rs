//! Which CPU runs what: the measured program has one of its own where there are two.

use anyhow::{Context, ensure};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// The CPUs of a measurement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Placement {
    /// The only one of the measured program.
    pub measured: usize,
    /// The only one of the receiver, the writer and the measurement itself.
    pub rest: usize,
}

impl Placement {
    /// Takes the first two CPUs that this process may run on; the same one twice if it is alone.
    ///
    /// # Errors
    /// When the kernel does not tell.
    pub(crate) fn of_this_process() -> anyhow::Result<Self> {
        let allowed = sched_getaffinity(None).context("cannot tell the allowed CPUs")?;
        let mut indexes = (0..CpuSet::MAX_CPU).filter(|cpu| allowed.is_set(*cpu));
        let measured = indexes.next().context("no CPU is allowed")?;
        Ok(Self {
            measured,
            rest: indexes.next().unwrap_or(measured),
        })
    }

    /// Whether the measured program shares its CPU, which makes its wall-clock figures worse.
    pub(crate) fn is_shared(self) -> bool {
        self.measured == self.rest
    }
}

/// Keeps the calling thread, and the programs it starts from now on, on one CPU.
///
/// # Errors
/// When the CPU is not there or not allowed.
pub(crate) fn pin_thread(cpu: usize) -> anyhow::Result<()> {
    ensure!(
        cpu < CpuSet::MAX_CPU,
        "CPU {cpu} is beyond {}",
        CpuSet::MAX_CPU - 1
    );
    let mut only = CpuSet::new();
    only.set(cpu);
    sched_setaffinity(None, &only).with_context(|| format!("cannot run on CPU {cpu}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pinned_thread_may_run_on_that_cpu_alone() {
        std::thread::spawn(|| {
            let placement = Placement::of_this_process().unwrap();
            pin_thread(placement.rest).unwrap();
            let allowed = sched_getaffinity(None).unwrap();
            assert_eq!(allowed.count(), 1);
            assert!(allowed.is_set(placement.rest));
            assert!(Placement::of_this_process().unwrap().is_shared());
        })
        .join()
        .unwrap();
    }

    #[test]
    fn a_cpu_that_is_not_there_is_an_error() {
        assert!(pin_thread(CpuSet::MAX_CPU).is_err());
    }
}
