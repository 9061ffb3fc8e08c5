//! What half-rate gauges say is to be done with the learning rate.

use serde::{Deserialize, Serialize};

/// What to do with the learning rate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// Steps stop short of the minimum along themselves: a larger rate would descend faster.
    Raise,
    /// The loss falls, along single steps too.
    Keep,
    /// Single steps are dominated by noise, and yet many together descend: a lower rate would freeze that. Evaluate an average.
    KeepAndAverage,
    /// Nothing descends any more at this rate: lower it.
    CoolDown,
    /// The rate has been lowered, and nothing is left to do.
    Stop,
}

impl Verdict {
    /// The verdict of intervals of the one-step and the many-step gauge; `None` where they do not resolve it.
    ///
    /// v_1 above 1: raise. v_k above ½ at the longest chord: keep, and where v_1 is not above ½ average for evaluation. v_k at ½ or below: cool
    /// down. An interval of v_k that is wider than 0.3 and holds ½ says nothing. Source: `averaging`, sections 2.3 and 5.2.
    ///
    /// ```
    /// use stepscope_types::Verdict;
    /// assert_eq!(Verdict::of(Some((0.47, 0.53)), Some((0.6, 0.7))), Some(Verdict::KeepAndAverage));
    /// assert_eq!(Verdict::of(Some((0.47, 0.53)), Some((0.45, 0.52))), Some(Verdict::CoolDown));
    /// assert_eq!(Verdict::of(None, Some((0.1, 0.9))), None);
    /// ```
    pub fn of(one_step: Option<(f64, f64)>, many_steps: Option<(f64, f64)>) -> Option<Self> {
        const HALF: f64 = 0.5;
        const WIDEST: f64 = 0.3;
        match (one_step, many_steps) {
            (Some((low, _)), _) if low > 1.0 => Some(Self::Raise),
            (one_step, Some((low, _))) if low > HALF => match one_step {
                Some((low, _)) if low <= HALF => Some(Self::KeepAndAverage),
                _ => Some(Self::Keep),
            },
            (_, Some((low, high))) if high - low <= WIDEST || high < HALF => Some(Self::CoolDown),
            _ => None,
        }
    }
}
