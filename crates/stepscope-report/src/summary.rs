//! A run in a row: the numbers that tables and programs want.

use serde::Serialize;
use stepscope_types::quantity::{self, Quantity};
use stepscope_types::spec::LearningRateSpec;
use stepscope_types::{StopReason, Uncertainty};

use crate::{Align, Run, Table, number};

/// The last reading of what matters, and how the run ended.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RunSummary {
    /// The run's name.
    pub name: String,
    /// `training` or `theory`.
    pub process: String,
    /// The last learning rate used.
    pub learning_rate: Option<f64>,
    /// Whether the learning rate was measured along the step.
    pub learning_rate_measured: bool,
    /// The last step recorded.
    pub last_step: u64,
    /// `finished`, `diverged` or `unfinished`.
    pub outcome: &'static str,
    /// Mean loss over the training set.
    pub train_loss: Option<Number>,
    /// Mean loss over the test set.
    pub test_loss: Option<Number>,
    /// Share of the test set classified correctly.
    pub test_accuracy: Option<Number>,
    /// Top Hessian eigenvalue.
    pub sharpness: Option<Number>,
    /// Learning rate times top Hessian eigenvalue, last reading.
    pub effective_sharpness: Option<Number>,
    /// Its largest reading.
    pub max_effective_sharpness: Option<f64>,
    /// Where gradient descent becomes unstable: 2 (1 + momentum); infinite where sharpness alone does not say it (Adam, groups,
    /// methods with a direction of their own), and readings are then not held against it.
    pub stability_limit: f64,
    /// What turned gradients into steps, as `optimizer.method` names it.
    pub method: String,
    /// Gradient noise scale in examples; absent where unresolved.
    pub noise_scale: Option<Number>,
    /// Fall of the test loss by the exponential moving average of the weights.
    pub ema_gain: Option<Number>,
    /// Fall of the test loss by the two-point average of the weights.
    pub two_point_gain: Option<Number>,
}

/// A value with its error.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Number {
    /// The value.
    pub value: f64,
    /// Its error, as recorded.
    pub error: Option<Uncertainty>,
}

impl Number {
    /// The value with its error in text.
    pub fn text(&self) -> String {
        number::with_uncertainty(self.value, self.error)
    }

    /// The number without its sign; the ends of an interval keep their distances from it.
    pub fn size(&self) -> Self {
        let error = match self.error {
            Some(Uncertainty::Interval { low, high, level }) if self.value < 0.0 => {
                Some(Uncertainty::Interval { low: -high, high: -low, level })
            }
            other => other,
        };
        Self { value: self.value.abs(), error }
    }

    /// One standard error, residual, or half the width of the interval; 0 where exact.
    pub fn half_width(&self) -> f64 {
        match self.error {
            Some(Uncertainty::StandardError(error) | Uncertainty::Residual(error)) => error,
            Some(Uncertainty::Interval { low, high, .. }) => 0.5 * (high - low),
            Some(Uncertainty::Exact) | None => 0.0,
        }
    }
}

impl RunSummary {
    /// The summary of a run.
    pub fn of(run: &Run) -> Self {
        let spec = &run.manifest().spec;
        let last = |quantity: &Quantity| {
            run.series(quantity.name).last().map(|(point, value)| Number { value, error: point.error })
        };
        let limit = spec.optimizer.stability_limit();
        let largest = run.series(quantity::EFFECTIVE_SHARPNESS.name).values().map(|(_, value)| value).reduce(f64::max);
        let fixed = match spec.optimizer.learning_rate {
            Some(LearningRateSpec::Fixed(learning_rate)) => Some(learning_rate.get()),
            _ => None,
        };
        Self {
            name: run.name().to_owned(),
            process: run.manifest().process.clone(),
            learning_rate: fixed.or_else(|| last(&quantity::LEARNING_RATE).map(|number| number.value)),
            learning_rate_measured: fixed.is_none(),
            last_step: run.last_step().0,
            outcome: match run.stop_reason() {
                Some(StopReason::Finished) => "finished",
                Some(StopReason::Diverged { .. }) => "diverged",
                None => "unfinished",
            },
            train_loss: last(&quantity::TRAIN_LOSS),
            test_loss: last(&quantity::TEST_LOSS),
            test_accuracy: last(&quantity::TEST_ACCURACY),
            sharpness: last(&quantity::HESSIAN_TOP_EIGENVALUE),
            effective_sharpness: last(&quantity::EFFECTIVE_SHARPNESS).filter(|_| limit.is_some()),
            // Where the rate has cooled down to 0 the product says nothing about the rate.
            max_effective_sharpness: largest.filter(|largest| limit.is_some() && *largest > 0.0),
            stability_limit: limit.unwrap_or(f64::INFINITY),
            method: spec.optimizer.method.to_string(),
            noise_scale: last(&quantity::NOISE_SCALE),
            ema_gain: last(&quantity::EMA_LOSS_GAIN),
            two_point_gain: last(&quantity::TWO_POINT_LOSS_GAIN),
        }
    }

    /// Whether the run is a prediction.
    pub fn is_prediction(&self) -> bool {
        self.process == "theory"
    }

    /// The learning rate in text: `0.1`, or `0.183 (measured)`.
    pub fn learning_rate_text(&self) -> String {
        match self.learning_rate {
            None => "-".to_owned(),
            // As it was set.
            Some(rate) if !self.learning_rate_measured => rate.to_string(),
            Some(rate) => format!("{} (measured)", number::significant(rate)),
        }
    }
}

/// A row a run, for the terminal. Readings of a run that diverged are those before it did.
pub fn summary_table(runs: &[RunSummary]) -> Table {
    let mut table = Table::new()
        .column("run", Align::Left)
        .column("learning rate", Align::Left)
        .column("steps", Align::Right)
        .column("train loss", Align::Right)
        .column("test loss", Align::Right)
        .column("test accuracy", Align::Right)
        .column("rate x sharpness", Align::Right)
        .column("noise scale", Align::Right)
        .column("outcome", Align::Left);
    let text = |number: &Option<Number>| number.as_ref().map_or("-".to_owned(), Number::text);
    for run in runs {
        let accuracy = run.test_accuracy.map_or("-".to_owned(), |accuracy| {
            number::reading(quantity::TEST_ACCURACY.name, accuracy.value, accuracy.error)
        });
        let sharpness = run.effective_sharpness.map_or("-".to_owned(), |number| {
            format!("{} of {}", number::significant(number.value), run.stability_limit)
        });
        table = table.row([
            run.name.clone(),
            run.learning_rate_text(),
            number::count(run.last_step),
            text(&run.train_loss),
            text(&run.test_loss),
            accuracy,
            sharpness,
            text(&run.noise_scale),
            run.outcome.to_owned(),
        ]);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_size_of_a_negative_number_lies_in_its_interval() {
        let error = Some(Uncertainty::Interval { low: -3.0, high: -1.0, level: 0.95 });
        assert_eq!(Number { value: -1.5, error }.size().text(), "1.50 (1.00 to 3.00)");
        assert_eq!(Number { value: 1.5, error: None }.size().text(), "1.50");
    }
}
