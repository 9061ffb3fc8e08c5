//! The averages that a run keeps, and what they gain.

use burn::module::Module;
use stepscope_types::quantity::{self, Quantity};
use stepscope_types::{Estimate, Mode, Uncertainty};

use super::plan::Plan;
use crate::checkpoint::{State, StateError, WeightState};
use crate::control::average::{Ema, TwoPoint};
use crate::measure::loss::{accuracy, binomial_error, loss};
use crate::measure::{Evaluation, Measured, Objective};
use crate::models::{BatchStatistics, Dual, Network, ParamLayout};

/// What averages are evaluated on, on the plain device.
#[derive(Debug)]
pub struct AverageExamples {
    /// Where their loss and accuracy are measured.
    pub test: Objective,
    /// Training examples that running statistics are computed on anew: those of the last iterate are not the average's.
    pub train: Objective,
}

/// EMA and two-point average over the last part of a run, with their gain on the test set.
#[derive(Debug)]
pub(super) struct Averages {
    ema: Ema,
    start: u64,
    earlier_at: u64,
    two_point: Option<TwoPoint>,
    examples: AverageExamples,
}

impl Averages {
    pub(super) fn new(plan: &Plan, examples: AverageExamples) -> Self {
        Self {
            ema: Ema::with_half_life(plan.ema_half_life),
            start: plan.average_start,
            earlier_at: plan.num_steps - plan.two_point_gap,
            two_point: None,
            examples,
        }
    }

    /// Takes in the weights after `step` updates.
    pub(super) fn update<N: Module>(&mut self, step: u64, network: &N) {
        if step >= self.start {
            self.ema.update(network);
        }
        if step == self.earlier_at {
            self.two_point = Some(TwoPoint::from_earlier(network));
        }
    }

    /// Loss and accuracy of every average on the test set, and the gain in loss over the last iterate.
    pub(super) fn evaluate<N: Network>(&self, network: &N) -> Vec<Measured> {
        let last_network = network.valid();
        let last = self.examples.test.evaluate(&last_network);
        let mut measured = Vec::new();
        let mut evaluate = |average: Option<N>, quantities: [&'static Quantity; 3]| {
            if let Some(average) = average {
                let average = with_own_statistics(average, &self.examples.train);
                measured.extend(report(&self.examples.test.evaluate(&average), &last, quantities));
            }
        };
        let ema = [&quantity::EMA_TEST_LOSS, &quantity::EMA_TEST_ACCURACY, &quantity::EMA_LOSS_GAIN];
        let two_point =
            [&quantity::TWO_POINT_TEST_LOSS, &quantity::TWO_POINT_TEST_ACCURACY, &quantity::TWO_POINT_LOSS_GAIN];
        evaluate(self.ema.network(&last_network), ema);
        evaluate(self.two_point.as_ref().map(|average| average.network(&last_network)), two_point);
        measured
    }
}

/// The network with the running statistics that its own weights have on these examples, which are on the plain device.
pub(super) fn with_own_statistics<N: Network>(network: N, examples: &Objective) -> N {
    let batches: Vec<_> = examples.micro_batches().map(|(batch, _)| batch).collect();
    let plain = network.valid();
    let statistics = BatchStatistics::by_batches(batches.len(), |index, pass| {
        if let Some(batch) = batches.get(index) {
            plain.logits(Dual::constant(batch.images.clone()), pass);
        }
    });
    statistics.assign_to(network)
}

impl WeightState for Averages {
    fn save_weights(&self, state: &mut State, layout: &ParamLayout) {
        state.nest_weights("ema", &self.ema, layout);
        state.put("has_earlier", &self.two_point.is_some());
        if let Some(two_point) = &self.two_point {
            state.nest_weights("two_point", two_point, layout);
        }
    }

    fn load_weights(&mut self, state: &State, layout: &ParamLayout) -> Result<(), StateError> {
        state.restore_weights("ema", &mut self.ema, layout)?;
        let has_earlier: bool = state.get("has_earlier")?;
        self.two_point = has_earlier.then(TwoPoint::default);
        match &mut self.two_point {
            Some(two_point) => state.restore_weights("two_point", two_point, layout),
            None => Ok(()),
        }
    }
}

fn report(
    average: &Evaluation,
    last: &Evaluation,
    [of_loss, of_accuracy, of_gain]: [&'static Quantity; 3],
) -> [Measured; 3] {
    // Paired by example: what examples differ by cancels, and the error of the gain is that of the pairs.
    let gains = Evaluation {
        losses: last.losses.iter().zip(&average.losses).map(|(last, average)| last - average).collect(),
        num_correct: None,
    };
    let gain = Estimate::new(gains.mean_loss(), of_gain.unit, Uncertainty::StandardError(gains.standard_error()))
        .over_examples(gains.losses.len() as u64)
        .in_mode(Mode::Eval);
    [
        loss(of_loss, average, Uncertainty::StandardError(average.standard_error())),
        accuracy(of_accuracy, average, binomial_error(average)),
        Measured::new(of_gain, gain),
    ]
}
