//! Losses and accuracies over whole splits.

use stepscope_types::quantity::{self, Quantity};
use stepscope_types::{Estimate, Mode, Uncertainty};

use super::cost::Cost;
use super::objective::{Evaluation, Objective};
use super::operators::BatchLoss;
use super::probe::{Measured, Probe, ProbeError, ProbePoint};
use crate::checkpoint::{State, StateError, Stateful};
use crate::data::Batch;

/// Training and test loss and, of losses that are cross-entropies, accuracy. Cost: one forward pass over both splits.
///
/// The training set is the whole population of the training loss, so its values are exact where all of it is looked at; the test
/// set is a sample, so its values carry standard errors. Where some training labels are random, the accuracy is also read on these and
/// on the others apart: the first rises above 1 / classes by memorising alone.
#[derive(Debug)]
pub struct LossProbe<B = Batch> {
    train: Objective<B>,
    test: Objective<B>,
    /// Ascending.
    random_labels: Vec<u32>,
    num_training_examples: usize,
}

impl<B> LossProbe<B> {
    /// A probe of these two splits.
    pub fn new(train: Objective<B>, test: Objective<B>) -> Self {
        Self { num_training_examples: train.num_examples(), train, test, random_labels: Vec::new() }
    }

    /// The same with training examples that are a sample, without replacement, of so many.
    pub fn sampled_from(mut self, num_training_examples: usize) -> Self {
        self.num_training_examples = num_training_examples.max(self.train.num_examples());
        self
    }

    /// The error of the training set's mean whose standard error in a far larger set would be `error`: none where all of it is looked at.
    fn of_training_set(&self, error: Uncertainty) -> Uncertainty {
        let (all, sample) = (self.num_training_examples as f64, self.train.num_examples() as f64);
        match error {
            Uncertainty::StandardError(error) if sample < all => {
                Uncertainty::StandardError(error * ((all - sample) / (all - 1.0)).sqrt())
            }
            _ => Uncertainty::Exact,
        }
    }

    /// The same probe of training examples of which those at these places, ascending, have random labels.
    #[must_use]
    pub fn with_random_labels(self, places: Vec<u32>) -> Self {
        Self { random_labels: places, ..self }
    }
}

impl<N: BatchLoss<B>, B> Probe<N> for LossProbe<B> {
    fn name(&self) -> &'static str {
        "loss"
    }

    fn cost(&self) -> Cost {
        Cost::forwards(self.train.num_examples() + self.test.num_examples())
    }

    fn measure(&mut self, at: &ProbePoint<'_, N>) -> Result<Vec<Measured>, ProbeError> {
        let network = at.values();
        let (train, test) = (self.train.score(&network)?, self.test.score(&network)?);
        let test_error = Uncertainty::StandardError(test.standard_error());
        let train_error = self.of_training_set(Uncertainty::StandardError(train.standard_error()));
        let mut measured = vec![loss(&quantity::TRAIN_LOSS, &train, train_error)];
        if train.hits.is_some() {
            let error = self.of_training_set(binomial_error(&train));
            measured.push(accuracy(&quantity::TRAIN_ACCURACY, &train, error));
        }
        measured.push(loss(&quantity::TEST_LOSS, &test, test_error));
        if test.hits.is_some() {
            measured.push(accuracy(&quantity::TEST_ACCURACY, &test, binomial_error(&test)));
        }
        if !self.random_labels.is_empty() {
            measured.extend(by_label(&train, &self.random_labels));
        }
        Ok(measured.into_iter().map(|measured| measured.in_mode(at.mode)).collect())
    }
}

/// The accuracy on the examples at `places`, ascending, and on the others, where there are any.
fn by_label(train: &Evaluation, places: &[u32]) -> impl Iterator<Item = Measured> {
    let (random, kept): (Vec<usize>, Vec<usize>) =
        (0..train.losses.len()).partition(|&place| places.binary_search(&(place as u32)).is_ok());
    let quantities = [(&quantity::RANDOM_LABEL_ACCURACY, random), (&quantity::KEPT_LABEL_ACCURACY, kept)];
    quantities.into_iter().filter(|(_, places)| !places.is_empty()).map(|(quantity, places)| {
        let (count, share) = (places.len() as u64, train.accuracy_over(places));
        let estimate = Estimate::new(share, quantity.unit, Uncertainty::Exact).over_examples(count).in_mode(Mode::Eval);
        Measured::new(quantity, estimate)
    })
}

/// It remembers nothing.
impl<B> Stateful for LossProbe<B> {
    fn save_state(&self, _: &mut State) {}

    fn load_state(&mut self, _: &State) -> Result<(), StateError> {
        Ok(())
    }
}

/// The mean loss as a measurement.
pub fn loss(quantity: &'static Quantity, evaluation: &Evaluation, error: Uncertainty) -> Measured {
    measured(quantity, evaluation.mean_loss(), error, evaluation)
}

/// The accuracy as a measurement.
pub fn accuracy(quantity: &'static Quantity, evaluation: &Evaluation, error: Uncertainty) -> Measured {
    measured(quantity, evaluation.accuracy(), error, evaluation)
}

/// √(p (1 − p) / n): the standard error of a share p of n examples.
pub fn binomial_error(evaluation: &Evaluation) -> Uncertainty {
    let share = evaluation.accuracy();
    Uncertainty::StandardError((share * (1.0 - share) / evaluation.losses.len().max(1) as f64).sqrt())
}

fn measured(quantity: &'static Quantity, value: f64, error: Uncertainty, evaluation: &Evaluation) -> Measured {
    let estimate =
        Estimate::new(value, quantity.unit, error).over_examples(evaluation.losses.len() as u64).in_mode(Mode::Eval);
    Measured::new(quantity, estimate)
}
