//! How many runs fit beside each other.

use std::fs;

use crate::args::{Limits, Memory};

/// What a run is reckoned to need until one has been measured: a small network on a small data set.
const UNMEASURED: u64 = 500_000_000;

/// Cores and memory that the runs share.
pub(super) struct Budget {
    jobs: usize,
    /// Bytes for all runs together; `None` where it is not known how much there is.
    memory: Option<u64>,
    /// The largest memory that any run of this sweep was seen to use.
    largest: u64,
    /// Whether a run has been seen from beginning to end.
    measured: bool,
}

impl Budget {
    pub(super) fn new(limits: &Limits) -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let jobs = limits.jobs.map_or(cores / limits.threads_per_run, usize::from).max(1);
        let available = || available_memory().map(|bytes| bytes / 5 * 4);
        Self {
            jobs,
            memory: limits.memory.map(|Memory { bytes }| bytes).or_else(available),
            largest: 0,
            measured: false,
        }
    }

    /// A run was seen to use `bytes` at its peak so far.
    pub(super) fn saw(&mut self, bytes: u64) {
        self.largest = self.largest.max(bytes);
    }

    /// A run was watched to its end.
    pub(super) fn saw_an_end(&mut self) {
        self.measured |= self.largest > 0;
    }

    /// Whether another run may start beside `running` ones.
    ///
    /// Every run is reckoned at the largest peak seen in this sweep so far: runs of a sweep are alike, and the largest one
    /// comes soon. A run that needs more than there is runs alone, rather than never.
    pub(super) fn allows_another(&self, running: usize) -> bool {
        let each = if self.measured { self.largest } else { self.largest.max(UNMEASURED) };
        let fits = |memory: u64| each.saturating_mul(running as u64 + 1) <= memory;
        running == 0 || (running < self.jobs && self.memory.is_none_or(fits))
    }
}

/// Bytes that new processes could use, by the kernel's own reckoning.
fn available_memory() -> Option<u64> {
    kilobytes(&fs::read_to_string("/proc/meminfo").ok()?, "MemAvailable:")
}

/// The largest resident memory, in bytes, that a live process has had so far.
pub(super) fn peak_memory(process: u32) -> Option<u64> {
    kilobytes(&fs::read_to_string(format!("/proc/{process}/status")).ok()?, "VmHWM:")
}

fn kilobytes(text: &str, key: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(key))?;
    let number: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    number.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn budget(jobs: usize, megabytes: u64) -> Budget {
        Budget { jobs, memory: Some(megabytes * 1_000_000), largest: 0, measured: false }
    }

    #[test]
    fn runs_are_limited_by_cores_and_by_memory() {
        let few_cores = budget(2, 1 << 20);
        assert_eq!([0, 1, 2].map(|running| few_cores.allows_another(running)), [true, true, false]);
        let little_memory = budget(8, 1100);
        assert_eq!([0, 1, 2].map(|running| little_memory.allows_another(running)), [true, true, false]);
    }

    #[test]
    fn what_was_measured_replaces_what_was_assumed() {
        let mut budget = budget(8, 1100);
        budget.saw(100_000_000);
        assert!(!budget.allows_another(2), "a run that goes on may still grow");
        budget.saw_an_end();
        assert!(budget.allows_another(9 - 2) && !budget.allows_another(8));
        budget.saw(600_000_000);
        assert!(budget.allows_another(0) && !budget.allows_another(1));
        budget.saw(5_000_000_000);
        assert!(budget.allows_another(0), "a run that is too large runs alone");
    }

    #[test]
    fn the_kernel_is_read_where_there_is_one() {
        if fs::exists("/proc/self/status").unwrap_or(false) {
            assert!(peak_memory(std::process::id()).unwrap() > 100_000);
            assert!(available_memory().unwrap() > 1_000_000);
        }
        assert_eq!(kilobytes("VmPeak:\t 9 kB\nVmHWM:\t   12 kB\n", "VmHWM:"), Some(12 * 1024));
        assert_eq!(kilobytes("VmHWM: many", "VmHWM:"), None);
    }
}
