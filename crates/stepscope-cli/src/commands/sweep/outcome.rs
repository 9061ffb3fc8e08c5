//! What the runs' endings mean for whoever started them.

use anyhow::anyhow;

use super::executor::{Ended, Ending};
use crate::failure::Failure;
use crate::signals::STATUS_TRY_AGAIN;

/// How many runs ended how.
#[derive(Debug, Default, PartialEq, Eq)]
struct Counts {
    new: usize,
    before: usize,
    bad_input: usize,
    failed: usize,
    interrupted: usize,
    elsewhere: usize,
}

impl Counts {
    fn of(ended: &[Ended]) -> Self {
        let mut counts = Self::default();
        for Ended { ending, .. } in ended {
            *match ending {
                Ending::Done { before: true, .. } => &mut counts.before,
                Ending::Done { before: false, .. } => &mut counts.new,
                Ending::Failed(failure) if failure.bad_input => &mut counts.bad_input,
                Ending::Failed(_) => &mut counts.failed,
                Ending::Interrupted => &mut counts.interrupted,
                Ending::Elsewhere => &mut counts.elsewhere,
            } += 1;
        }
        counts
    }

    fn left(&self) -> usize {
        self.interrupted + self.elsewhere
    }
}

/// `12 runs: 7 done now, 4 done before, 1 failed`.
pub(in crate::commands) fn count_line(ended: &[Ended]) -> String {
    let counts = Counts::of(ended);
    let parts = [
        (counts.new, "done now"),
        (counts.before, "done before"),
        (counts.failed + counts.bad_input, "failed"),
        (counts.interrupted, "to go on with"),
        (counts.elsewhere, "trained by another process"),
    ];
    let parts: Vec<String> =
        parts.iter().filter(|(count, _)| *count > 0).map(|(count, what)| format!("{count} {what}")).collect();
    let runs = if ended.len() == 1 { "run" } else { "runs" };
    match parts.is_empty() {
        true => "no runs in this share".to_owned(),
        false => format!("{} {runs}: {}", ended.len(), parts.join(", ")),
    }
}

/// The exit status. Something that trying again brings on comes first, then what may be worth another try, then what is
/// not: 75, 1, 2. Divergence is a result.
pub(in crate::commands) fn status(ended: &[Ended], how_to_go_on: &str) -> Result<(), Failure> {
    let counts = Counts::of(ended);
    let line = count_line(ended);
    if counts.left() > 0 {
        return Err(Failure::Stopped { message: format!("{line}: {how_to_go_on}"), status: STATUS_TRY_AGAIN });
    }
    let first = ended.iter().find_map(|ended| match &ended.ending {
        Ending::Failed(failure) => Some(format!("{}: {}", ended.run.spec.name, failure.message)),
        _ => None,
    });
    match first {
        None => Ok(()),
        Some(first) if counts.failed > 0 => Err(Failure::Failed(anyhow!("{line}: {first}"))),
        Some(first) => Err(Failure::BadInput(anyhow!("{line}: {first}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use stepscope::sweep::{RunFailure, Sweep};
    use stepscope::types::{Step, StopReason};

    fn ended(endings: &[Ending]) -> Vec<Ended> {
        let text = format!("optimizer.learning_rate = 0.1\nsweep.seeds = {}\n", endings.len());
        let runs = Sweep::parse(&text, "sweep.toml", &[]).unwrap().runs;
        runs.into_iter().zip(endings.iter().cloned()).map(|(run, ending)| Ended { run, ending }).collect()
    }

    fn code(endings: &[Ending]) -> u8 {
        match status(&ended(endings), "again") {
            Ok(()) => 0,
            Err(Failure::Failed(_)) => 1,
            Err(Failure::BadInput(_)) => 2,
            Err(Failure::Stopped { status, .. }) => status,
        }
    }

    #[test]
    fn what_trying_again_brings_on_comes_before_what_it_does_not() {
        let done = |before| Ending::Done { reason: StopReason::Finished, before };
        let diverged = Ending::Done {
            reason: StopReason::Diverged { last_good_step: Step(3), message: "NaN".into() },
            before: false,
        };
        let failed = |bad_input| Ending::Failed(RunFailure { bad_input, message: "why".into() });
        assert_eq!(code(&[done(true), done(false), diverged]), 0, "divergence is a result");
        assert_eq!(code(&[done(true), failed(true)]), 2);
        assert_eq!(code(&[failed(true), failed(false)]), 1);
        assert_eq!(code(&[failed(false), Ending::Interrupted]), 75);
        assert_eq!(code(&[failed(true), Ending::Elsewhere]), 75);
        let line = count_line(&ended(&[done(true), done(false), failed(true), Ending::Elsewhere]));
        assert_eq!(line, "4 runs: 1 done now, 1 done before, 1 failed, 1 trained by another process");
    }
}
