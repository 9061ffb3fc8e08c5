//! Every average evaluated, and the best one named.

use burn::module::Module;
use serde::Serialize;
use stepscope_theory::PowerProfile;

use super::{Candidate, HeldOut, PosthocError, Snapshots, Stretch, effective_rate_ratio, schedule_words, stretches};
use crate::measure::{Evaluation, Objective};
use crate::models::Model;
use crate::train::{paired_gain, statistics_of};

/// A number with its standard error over examples.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct WithError {
    /// The number.
    pub value: f64,
    /// One standard error.
    pub error: f64,
}

/// One average of the snapshots, evaluated.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Row {
    /// Which average.
    #[serde(flatten)]
    pub candidate: Candidate,
    /// The same in words.
    pub name: String,
    /// Loss on the examples to choose by, in nat.
    pub selection_loss: WithError,
    /// Loss of the last snapshot minus this one's there, paired by example.
    pub selection_gain: WithError,
    /// Loss on the examples to judge by.
    pub judgement_loss: WithError,
    /// Loss of the last snapshot minus this one's there, paired by example.
    pub judgement_gain: WithError,
    /// Share of the examples to judge by that are classified correctly.
    pub judgement_accuracy: f64,
    /// What running statistics of its own gain on the examples to choose by; absent for networks without.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub statistics_gain: Option<WithError>,
    /// The schedule it equals, in words.
    pub schedule: String,
    /// The updates it scales.
    pub multipliers: Vec<Stretch>,
    /// The learning rate it acts as at the stated curvature, over the run's own; absent where no run is stationary there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub effective_rate: Option<f64>,
    /// How far a synthesised profile is from the one asked for, relative to it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub profile_error: Option<f64>,
}

/// What the effective rate is stated for.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct At {
    /// η.
    pub learning_rate: f64,
    /// h, in 1/learning-rate.
    pub curvature: f64,
    /// β.
    pub momentum: f64,
}

/// All averages, in the order asked for.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Comparison {
    /// How the best one was chosen, and what it was judged on.
    pub choice: String,
    /// The averages.
    pub rows: Vec<Row>,
    /// Place in `rows` of the one with the lowest loss on the examples to choose by.
    pub best: usize,
}

/// Evaluates `candidates` on the snapshots of a run and chooses the best by the held-out loss; gives back its network, too.
///
/// Where the network has batch normalisation, every average gets the running statistics of its own weights from the examples
/// of `train`. Cost: a forward pass over the held-out examples an average, and one over `train` with batch normalisation.
///
/// # Errors
/// [`PosthocError`] names the first average that the snapshots do not give.
pub fn compare(
    snapshots: &Snapshots,
    candidates: &[Candidate],
    held_out: &HeldOut,
    train: &Objective,
    at: Option<At>,
) -> Result<(Comparison, Model), PosthocError> {
    // All are asked for before anything is evaluated.
    let weights = candidates.iter().map(|candidate| candidate.weights(snapshots.steps()));
    let weights = weights.collect::<Result<Vec<_>, _>>()?;
    let last = snapshots.last().valid();
    let (last_selection, last_judgement) = (held_out.selection.evaluate(&last), held_out.judgement.evaluate(&last));
    let bench = Bench { snapshots, held_out, train, at, last_selection, last_judgement };
    let (mut rows, mut best): (Vec<Row>, Option<(usize, Model)>) = (Vec::new(), None);
    for (candidate, weights) in candidates.iter().zip(weights) {
        let (row, network) = bench.row(*candidate, &weights)?;
        let lowest = best.as_ref().and_then(|(index, _)| rows.get(*index)).map(|row| row.selection_loss.value);
        if lowest.is_none_or(|lowest| row.selection_loss.value < lowest) {
            best = Some((rows.len(), network));
        }
        rows.push(row);
    }
    let (best, network) = best.unwrap_or_else(|| (0, snapshots.last().clone()));
    Ok((Comparison { choice: held_out.words.clone(), rows, best }, network))
}

/// What every average is evaluated with.
struct Bench<'a> {
    snapshots: &'a Snapshots,
    held_out: &'a HeldOut,
    train: &'a Objective,
    at: Option<At>,
    last_selection: Evaluation,
    last_judgement: Evaluation,
}

impl Bench<'_> {
    /// One average evaluated, and its network.
    fn row(&self, candidate: Candidate, weights: &[f64]) -> Result<(Row, Model), PosthocError> {
        let (network, profile_error) = self.network(candidate, weights)?;
        let statistics = statistics_of(&network.valid(), self.train);
        // The last iterate is compared as it was trained, with its running statistics.
        let is_renewed = !statistics.is_empty() && candidate != Candidate::Last;
        let before = is_renewed.then(|| self.held_out.selection.evaluate(&network.valid()));
        let network = if is_renewed { statistics.assign_to(network) } else { network };
        let plain = network.valid();
        let selection = self.held_out.selection.evaluate(&plain);
        let judgement = self.held_out.judgement.evaluate(&plain);
        let steps = self.snapshots.steps();
        let multipliers = stretches(steps, weights);
        let rate = |at: At| effective_rate_ratio(steps, weights, at.learning_rate, at.curvature, at.momentum);
        let row = Row {
            candidate,
            name: candidate.words(),
            selection_loss: loss(&selection),
            selection_gain: gain(&self.last_selection, &selection),
            judgement_loss: loss(&judgement),
            judgement_gain: gain(&self.last_judgement, &judgement),
            judgement_accuracy: judgement.accuracy(),
            statistics_gain: before.map(|before| gain(&before, &selection)),
            schedule: schedule_words(&candidate, steps, &multipliers),
            multipliers,
            effective_rate: self.at.and_then(rate),
            profile_error,
        };
        Ok((row, network))
    }

    /// The network at an average, and for a synthesised profile how far it is from the one asked for.
    fn network(&self, candidate: Candidate, weights: &[f64]) -> Result<(Model, Option<f64>), PosthocError> {
        match candidate {
            Candidate::Synthesis { width } => {
                let profile = PowerProfile::with_relative_width(width)
                    .map_err(|source| PosthocError::Width { average: candidate.words(), source })?;
                let (network, error) = self.snapshots.synthesise(profile)?;
                Ok((network, Some(error)))
            }
            Candidate::Last => Ok((self.snapshots.last().clone(), None)),
            _ => Ok((self.snapshots.combine(weights), None)),
        }
    }
}

fn loss(evaluation: &Evaluation) -> WithError {
    WithError { value: evaluation.mean_loss(), error: evaluation.standard_error() }
}

fn gain(before: &Evaluation, after: &Evaluation) -> WithError {
    let (value, error) = paired_gain(before, after);
    WithError { value, error }
}
