//! When probes measure.

/// The steps at which something is due.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Due {
    /// At step 0 and every so many steps; and at the end of the run.
    Every(u64),
    /// Once, at this step.
    Once(u64),
}

impl Due {
    /// Whether it is due at `step` of a run of `num_steps`.
    pub fn at(&self, step: u64, num_steps: u64) -> bool {
        match self {
            Self::Every(every) => step.is_multiple_of((*every).max(1)) || step == num_steps,
            Self::Once(once) => step == *once,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_regular_schedule_includes_start_and_end() {
        let due: Vec<u64> = (0..=10).filter(|&step| Due::Every(4).at(step, 10)).collect();
        assert_eq!(due, [0, 4, 8, 10]);
        let once: Vec<u64> = (0..=10).filter(|&step| Due::Once(3).at(step, 10)).collect();
        assert_eq!(once, [3]);
    }
}
