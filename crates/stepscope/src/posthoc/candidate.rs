//! The averages that can be made of snapshots, as weights on them.

use serde::Serialize;
use stepscope_theory::PowerProfile;

use super::PosthocError;
use crate::control::average::Decay;

/// One average of the snapshots of a run.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Candidate {
    /// The last snapshot alone.
    Last,
    /// The midpoint of the last snapshot and the one that many steps before.
    TwoPoint {
        /// Steps between them; there must be a snapshot.
        gap: u64,
    },
    /// The mean of the snapshots of the last so many steps, the last one included.
    Window {
        /// Steps.
        steps: u64,
    },
    /// LAWA: the mean of the last so many snapshots.
    Lawa {
        /// Snapshots.
        snapshots: u64,
    },
    /// SWA, or the suffix average: the mean of all snapshots from a step on.
    Swa {
        /// The first step.
        from: u64,
    },
    /// The EMA of the snapshots, begun at the first one, whose decay counts the steps between them.
    Ema {
        /// Half-life in steps.
        half_life: f64,
    },
    /// The power-function average of the snapshots.
    Power {
        /// Relative width.
        width: f64,
    },
    /// The power-function average of every iterate, put together from those tracked along the run.
    Synthesis {
        /// Relative width.
        width: f64,
    },
}

impl Candidate {
    /// The weights on snapshots at `steps` (ascending), which sum to 1; those of [`Candidate::Synthesis`] are those of
    /// [`Candidate::Power`], to which it comes as the spacing of the snapshots goes to 0.
    ///
    /// # Errors
    /// [`PosthocError::Snapshots`] where the snapshots do not reach that far, or there is none at the step needed;
    /// [`PosthocError::Width`].
    pub fn weights(&self, steps: &[u64]) -> Result<Vec<f64>, PosthocError> {
        let (first, last) = (steps.first().copied().unwrap_or(0), steps.last().copied().unwrap_or(0));
        let refused = |needs: String, advice| PosthocError::Snapshots {
            average: self.words(),
            needs,
            kept: shortened(steps),
            advice,
        };
        const KEEP: &str = "keep more of them with checkpoint.keep_every, or ask for less";
        let mean_of = |is_in: &dyn Fn(usize, u64) -> bool| {
            let inside: Vec<bool> = steps.iter().enumerate().map(|(index, step)| is_in(index, *step)).collect();
            let count = inside.iter().filter(|inside| **inside).count().max(1) as f64;
            inside.into_iter().map(|inside| if inside { 1.0 / count } else { 0.0 }).collect()
        };
        match *self {
            Self::Last => Ok(mean_of(&|_, step| step == last)),
            Self::TwoPoint { gap } => {
                let earlier = last.checked_sub(gap).filter(|step| gap > 0 && steps.contains(step));
                let earlier = earlier.ok_or_else(|| {
                    refused(format!("a snapshot {gap} steps before step {last}"), "ask for one of those distances")
                })?;
                Ok(mean_of(&|_, step| step == earlier || step == last))
            }
            Self::Window { steps: length } => {
                if length == 0 || last - first + spacing(steps) < length {
                    return Err(refused(format!("snapshots over the last {length} steps"), KEEP));
                }
                Ok(mean_of(&|_, step| step + length > last))
            }
            Self::Lawa { snapshots } => {
                if snapshots == 0 || snapshots > steps.len() as u64 {
                    return Err(refused(format!("{snapshots} snapshots"), KEEP));
                }
                Ok(mean_of(&|index, _| index as u64 + snapshots >= steps.len() as u64))
            }
            Self::Swa { from } => {
                if from > last {
                    return Err(refused(format!("snapshots from step {from} on"), KEEP));
                }
                Ok(mean_of(&|_, step| step >= from))
            }
            Self::Ema { half_life } => {
                let decay = Decay::with_half_life(half_life)
                    .map_err(|error| refused(error.to_string(), "give it in steps, epochs or as a share of the run"))?;
                if half_life > (last - first) as f64 {
                    let needs = format!("more than {} steps between the first snapshot and the last", last - first);
                    return Err(refused(needs, "such an average would be mostly its first snapshot: shorten it"));
                }
                Ok(weights_of_shares(steps, |elapsed, _| 1.0 - decay.over(elapsed)))
            }
            Self::Power { width } | Self::Synthesis { width } => {
                let profile = PowerProfile::with_relative_width(width)
                    .map_err(|source| PosthocError::Width { average: self.words(), source })?;
                let power = profile.exponent() + 1.0;
                Ok(weights_of_shares(steps, |elapsed, step| 1.0 - (1.0 - elapsed as f64 / step as f64).powf(power)))
            }
        }
    }

    /// What it is, in a few words.
    pub fn words(&self) -> String {
        match self {
            Self::Last => "last iterate".to_owned(),
            Self::TwoPoint { gap } => format!("two points, {gap} steps apart"),
            Self::Window { steps } => format!("window of {steps} steps"),
            Self::Lawa { snapshots } => format!("LAWA, {snapshots} snapshots"),
            Self::Swa { from } => format!("SWA from step {from}"),
            Self::Ema { half_life } => format!("EMA, half-life {half_life} steps"),
            Self::Power { width } => format!("power function, width {width}"),
            Self::Synthesis { width } => format!("power function, width {width}, synthesised"),
        }
    }

    /// A set of averages that covers what the snapshots can give: two points, means and EMAs over lengths that double, the
    /// second half and the last quarter, and power functions of three widths. No two have the same weights.
    pub fn defaults(steps: &[u64], has_tracked: bool) -> Vec<Self> {
        let (first, last) = (steps.first().copied().unwrap_or(0), steps.last().copied().unwrap_or(0));
        let count = steps.len();
        let doubling = || std::iter::successors(Some(1_usize), |n| Some(2 * n)).take_while(move |n| *n < count);
        let mut candidates = vec![Self::Last];
        candidates.extend(doubling().map(|back| Self::TwoPoint { gap: last - steps[count - 1 - back] }));
        candidates.extend(doubling().skip(1).map(|snapshots| Self::Lawa { snapshots: snapshots as u64 }));
        candidates.extend([last / 2, last - last / 4].map(|from| Self::Swa { from }));
        let half_lives = doubling().map(|factor| (factor as u64 * spacing(steps)) as f64);
        let longest = 0.25 * (last - first) as f64;
        candidates
            .extend(half_lives.filter(|half_life| *half_life <= longest).map(|half_life| Self::Ema { half_life }));
        let widths = [0.05, 0.1, 0.2];
        candidates
            .extend(widths.map(|width| if has_tracked { Self::Synthesis { width } } else { Self::Power { width } }));
        let mut seen: Vec<Vec<f64>> = Vec::new();
        candidates.retain(|candidate| match candidate.weights(steps) {
            Ok(weights) if !seen.contains(&weights) => {
                seen.push(weights);
                true
            }
            _ => false,
        });
        candidates
    }
}

/// The median distance between snapshots.
fn spacing(steps: &[u64]) -> u64 {
    let mut distances: Vec<u64> = steps.windows(2).map(|pair| pair[1] - pair[0]).collect();
    distances.sort_unstable();
    distances.get(distances.len() / 2).copied().unwrap_or(1)
}

/// The weights of y ← y + d(x − y), begun at the first snapshot, with d = `share`(steps since the last one, step).
fn weights_of_shares(steps: &[u64], share: impl Fn(u64, u64) -> f64) -> Vec<f64> {
    let mut weights = vec![0.0; steps.len()];
    for (index, &step) in steps.iter().enumerate() {
        let taken = if index == 0 { 1.0 } else { share(step - steps[index - 1], step) };
        weights[..index].iter_mut().for_each(|weight| *weight *= 1.0 - taken);
        weights[index] = taken;
    }
    weights
}

/// Steps for a message: all of a few, the ends of many.
fn shortened(steps: &[u64]) -> String {
    let words = |steps: &[u64]| steps.iter().map(u64::to_string).collect::<Vec<_>>().join(", ");
    match steps {
        [start @ .., _, _] if start.len() > 8 => {
            format!("{}, ..., {}", words(&steps[..4]), words(&steps[steps.len() - 4..]))
        }
        all => words(all),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STEPS: [u64; 5] = [100, 200, 300, 390, 400];

    fn weights(candidate: Candidate) -> Vec<f64> {
        candidate.weights(&STEPS).unwrap()
    }

    #[test]
    fn weights_are_the_definitions() {
        assert_eq!(weights(Candidate::Last), [0.0, 0.0, 0.0, 0.0, 1.0]);
        assert_eq!(weights(Candidate::TwoPoint { gap: 200 }), [0.0, 0.5, 0.0, 0.0, 0.5]);
        assert_eq!(weights(Candidate::Window { steps: 101 }), [0.0, 0.0, 1.0 / 3.0, 1.0 / 3.0, 1.0 / 3.0]);
        assert_eq!(weights(Candidate::Window { steps: 400 }), [0.2; 5]);
        assert_eq!(weights(Candidate::Lawa { snapshots: 2 }), [0.0, 0.0, 0.0, 0.5, 0.5]);
        assert_eq!(weights(Candidate::Swa { from: 300 }), [0.0, 0.0, 1.0 / 3.0, 1.0 / 3.0, 1.0 / 3.0]);
        // Half-life 100: what is 10 steps old has lost 2^-0.1.
        let d = 0.5_f64.powf(0.1);
        let ema = weights(Candidate::Ema { half_life: 100.0 });
        let by_hand = [0.25, 0.25, 0.5].map(|w| w * 0.5_f64.powf(0.9) * d);
        for (got, expected) in ema.iter().zip(by_hand) {
            assert!((got - expected).abs() < 1e-15, "{ema:?}");
        }
        assert!((ema[4] - (1.0 - d)).abs() < 1e-15);
        let power = weights(Candidate::Power { width: 0.1 });
        let gamma = PowerProfile::with_relative_width(0.1).unwrap().exponent();
        let up_to = |t: f64| (t / 400.0).powf(gamma + 1.0);
        assert!((power[1] - (up_to(200.0) - up_to(100.0))).abs() < 1e-15);
        for candidate in Candidate::defaults(&STEPS, false) {
            assert!((weights(candidate).iter().sum::<f64>() - 1.0).abs() < 1e-12, "{candidate:?}");
        }
    }

    #[test]
    fn what_the_snapshots_cannot_give_is_refused_with_what_they_can() {
        let refused = |candidate: Candidate| candidate.weights(&STEPS).unwrap_err().to_string();
        let message = refused(Candidate::TwoPoint { gap: 250 });
        assert!(
            message.contains("250 steps before step 400") && message.contains("100, 200, 300, 390, 400"),
            "{message}"
        );
        assert!(refused(Candidate::Window { steps: 401 }).contains("last 401 steps"));
        assert!(refused(Candidate::Lawa { snapshots: 6 }).contains("6 snapshots"));
        assert!(refused(Candidate::Swa { from: 401 }).contains("from step 401"));
        assert!(refused(Candidate::Ema { half_life: 301.0 }).contains("300 steps"));
        assert!(refused(Candidate::Power { width: 0.5 }).contains("0.2886"));
        assert!(Candidate::TwoPoint { gap: 0 }.weights(&STEPS).is_err());
        assert_eq!(shortened(&(0..20).collect::<Vec<u64>>()), "0, 1, 2, 3, ..., 16, 17, 18, 19");
    }
}
