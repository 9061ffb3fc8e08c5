//! The weights that a run kept, in memory.

use stepscope_theory::PowerProfile;
use stepscope_types::Step;
use stepscope_types::spec::AverageSpec;

use super::PosthocError;
use crate::checkpoint::Checkpoints;
use crate::control::average::combine;
use crate::models::{Model, ParamLayout, ParamTensors};
use crate::train::{Plan, SAVED_BANK, bank};

/// The snapshots of a run by step, with the power-function averages that were tracked beside them.
///
/// Memory: one copy of the weights a snapshot, in the network's precision.
#[derive(Debug)]
pub struct Snapshots {
    steps: Vec<u64>,
    points: Vec<ParamTensors>,
    tracked: Vec<(PowerProfile, u64, ParamTensors)>,
    last: Model,
}

impl Snapshots {
    /// Reads all checkpoints of a run; `network` is one of its architecture, with any weights.
    ///
    /// # Errors
    /// [`PosthocError::Checkpoint`] names the first file that cannot be read, is cut off or belongs to another network;
    /// [`PosthocError::TooFew`] for fewer than two.
    pub fn load(
        folder: &str,
        checkpoints: &Checkpoints,
        network: &Model,
        average: &AverageSpec,
        plan: &Plan,
    ) -> Result<Self, PosthocError> {
        let layout = ParamLayout::of(network);
        let steps: Vec<Step> = checkpoints.steps()?.into_iter().filter(|step| step.0 > 0).collect();
        if steps.len() < 2 {
            return Err(PosthocError::TooFew { folder: folder.to_owned(), count: steps.len() });
        }
        let (mut points, mut tracked, mut last) = (Vec::new(), Vec::new(), network.clone());
        for &step in &steps {
            let checkpoint = checkpoints.load(step)?;
            last = checkpoint.network(network.clone())?;
            points.push(ParamTensors::values(&last));
            let Ok((recorded, mut bank)) = bank(average, plan) else { continue };
            if average.power_widths.is_empty() || !checkpoint.state.contains(&format!("{SAVED_BANK}/0/taken")) {
                continue;
            }
            checkpoint.state.restore_weights(SAVED_BANK, &mut bank, &layout)?;
            // The power-function averages are the last ones of the bank.
            let first = recorded.len() - average.power_widths.len();
            for (index, width) in average.power_widths.iter().enumerate() {
                let profile = PowerProfile::with_relative_width(*width);
                if let (Ok(profile), Some(average)) = (profile, bank.network(first + index, &last)) {
                    tracked.push((profile, step.0, ParamTensors::values(&average)));
                }
            }
        }
        Ok(Self { steps: steps.into_iter().map(|step| step.0).collect(), points, tracked, last })
    }

    /// The steps, ascending; at least two.
    pub fn steps(&self) -> &[u64] {
        &self.steps
    }

    /// The network of the last snapshot.
    pub fn last(&self) -> &Model {
        &self.last
    }

    /// Whether power-function averages were tracked along the run.
    pub fn has_tracked(&self) -> bool {
        !self.tracked.is_empty()
    }

    /// The network at Σ w_i x_i over the snapshots, with the running statistics of the last one.
    pub fn combine(&self, weights: &[f64]) -> Model {
        let used = weights.iter().copied().zip(&self.points).filter(|(weight, _)| *weight != 0.0);
        combine(&used.collect::<Vec<_>>(), &self.last)
    }

    /// The power-function average of that profile up to the last step, put together from the tracked ones, with how far its
    /// profile is from the one asked for.
    ///
    /// # Errors
    /// [`PosthocError::Width`] where none was tracked.
    pub fn synthesise(&self, profile: PowerProfile) -> Result<(Model, f64), PosthocError> {
        let average = || format!("a power-function average of relative width {:.4}", profile.relative_width());
        let times: Vec<(PowerProfile, f64)> = self.tracked.iter().map(|(p, step, _)| (*p, *step as f64)).collect();
        let time = self.steps.last().copied().unwrap_or(0) as f64;
        let synthesis =
            profile.synthesis(time, &times).map_err(|source| PosthocError::Width { average: average(), source })?;
        let points = self.tracked.iter().map(|(_, _, point)| point);
        let points: Vec<(f64, &ParamTensors)> = synthesis.weights.iter().copied().zip(points).collect();
        Ok((combine(&points, &self.last), synthesis.relative_error))
    }
}
