//! When probes measure.

/// The steps at which something is due.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Due {
    /// At step 0 and every so many steps; and at the end of the run.
    Every(u64),
    /// At the beginnings of chords, every so many steps from step 0, and at their ends; and at the end of the run.
    Chords {
        /// Steps between two beginnings.
        every: u64,
        /// Steps from a beginning to its ends.
        lags: Vec<u64>,
    },
    /// At step `start` and every so many steps after it, but not at the end of the run, where nothing is ahead.
    From {
        /// The first step.
        start: u64,
        /// Steps between two.
        every: u64,
    },
}

impl Due {
    /// Whether it is due at `step` of a run of `num_steps`.
    pub fn at(&self, step: u64, num_steps: u64) -> bool {
        match self {
            Self::Every(every) => step.is_multiple_of((*every).max(1)) || step == num_steps,
            Self::Chords { every, lags } => {
                let begins = |step: u64| step.is_multiple_of((*every).max(1));
                let ends = |lag: &u64| step.checked_sub(*lag).is_some_and(begins);
                begins(step) || lags.iter().any(ends) || step == num_steps
            }
            Self::From { start, every } => {
                (*start..num_steps).contains(&step) && (step - start).is_multiple_of((*every).max(1))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn readings_include_start_and_end_and_predictions_do_not() {
        let due: Vec<u64> = (0..=10).filter(|&step| Due::Every(4).at(step, 10)).collect();
        assert_eq!(due, [0, 4, 8, 10]);
        let ahead = Due::From { start: 2, every: 4 };
        let due: Vec<u64> = (0..=10).filter(|&step| ahead.at(step, 10)).collect();
        assert_eq!(due, [2, 6], "10 is the end");
        let chords = Due::Chords { every: 5, lags: vec![1, 3] };
        let due: Vec<u64> = (0..=12).filter(|&step| chords.at(step, 12)).collect();
        assert_eq!(due, [0, 1, 3, 5, 6, 8, 10, 11, 12]);
    }
}
