//! What a network's outputs are compared with.

use burn::Tensor;
use burn::tensor::Int;
use stepscope_types::Measurement;
use stepscope_types::spec::TargetKind;

use crate::models::Dual;
use crate::models::loss::{cross_entropy, half_squared_distance};

/// What outputs are compared with, and by which loss: a [`TargetKind`] with its numbers.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub enum Target {
    /// The class, by cross-entropy.
    #[default]
    Class,
    /// 1 for the class, 0 for the others, by half the squared distance.
    OneHot,
    /// (class − `mean`) / `standard_deviation`, by half the squared difference from the one output.
    Number {
        /// Mean class number of the training examples.
        mean: f64,
        /// Its standard deviation.
        standard_deviation: f64,
    },
}

impl Target {
    /// The target of that kind over training examples with these labels; `None` where all are of one class, which leaves a
    /// number no variance.
    pub(super) fn of(kind: TargetKind, labels: &[u8]) -> Option<Self> {
        match kind {
            TargetKind::Class => Some(Self::Class),
            TargetKind::OneHot => Some(Self::OneHot),
            TargetKind::Number => {
                let count = labels.len() as f64;
                let mean = labels.iter().map(|&label| f64::from(label)).sum::<f64>() / count;
                let variance = labels.iter().map(|&label| (f64::from(label) - mean).powi(2)).sum::<f64>() / count;
                (variance > 0.0).then(|| Self::Number { mean, standard_deviation: variance.sqrt() })
            }
        }
    }

    /// The measurement in the unit that it has with this target: squared distances are pure numbers, and no nats.
    pub(crate) fn in_unit(self, measurement: Measurement) -> Measurement {
        let is_of_loss = matches!(measurement.unit.as_str(), "nat" | "nat^2");
        if self == Self::Class || !is_of_loss {
            measurement
        } else {
            Measurement { unit: "1".to_owned(), ..measurement }
        }
    }

    /// The loss of every example. `outputs` `[batch, outputs]`, `labels` `[batch]`; result `[batch]`.
    pub fn losses(self, outputs: Dual<2>, labels: Tensor<1, Int>) -> Dual<1> {
        match self.real(&outputs.value, &labels) {
            None => cross_entropy(outputs, labels),
            Some(targets) => half_squared_distance(outputs, targets),
        }
    }

    /// The targets as real numbers `[batch, outputs]`; `None` for classes.
    pub fn real(self, outputs: &Tensor<2>, labels: &Tensor<1, Int>) -> Option<Tensor<2>> {
        let [batch, width] = outputs.dims();
        match self {
            Self::Class => None,
            Self::OneHot => {
                let one_hot: Tensor<2, Int> = labels.clone().one_hot(width);
                Some(one_hot.float().cast(outputs.dtype()))
            }
            Self::Number { mean, standard_deviation } => {
                let numbers = labels.clone().float().cast(outputs.dtype()).reshape([batch, 1]);
                Some((numbers - mean) * (1.0 / standard_deviation))
            }
        }
    }

    /// Which examples are put into their class: by the largest output, or for a number by the nearest class.
    pub fn hits(self, outputs: &Tensor<2>, labels: &Tensor<1, Int>) -> Vec<bool> {
        let [batch, _] = outputs.dims();
        let answers: Vec<i64> = match self {
            Self::Class | Self::OneHot => {
                outputs.clone().argmax(1).reshape([batch]).into_data().iter::<i64>().collect()
            }
            Self::Number { mean, standard_deviation } => {
                let class = |output: f64| (output * standard_deviation + mean).round();
                // A cast saturates: what is not finite is the class of no label.
                outputs.to_data().iter::<f64>().map(|output| class(output) as i64).collect()
            }
        };
        let labels = labels.to_data();
        answers.into_iter().zip(labels.iter::<i64>()).map(|(answer, label)| answer == label).collect()
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::TensorData;
    use stepscope_types::spec::Precision;

    use super::*;
    use crate::backend::Backend;

    fn outputs<const N: usize>(values: [f64; N], width: usize) -> Tensor<2> {
        let data = TensorData::new(values.to_vec(), [N / width, width]);
        let backend = Backend::cpu(Precision::F64);
        Tensor::from_data(data, (&backend.plain(), backend.dtype()))
    }

    fn labels<const N: usize>(values: [i64; N]) -> Tensor<1, Int> {
        Tensor::from_data(TensorData::new(values.to_vec(), [N]), &Backend::cpu(Precision::F64).plain())
    }

    fn losses(target: Target, outputs: Tensor<2>, labels: Tensor<1, Int>) -> Vec<f64> {
        target.losses(Dual::constant(outputs), labels).value.into_data().iter::<f64>().collect()
    }

    #[test]
    fn a_number_has_mean_0_and_variance_1_over_the_training_examples() {
        let target = Target::of(TargetKind::Number, &[0, 0, 4, 4]).unwrap();
        assert_eq!(target, Target::Number { mean: 2.0, standard_deviation: 2.0 });
        let got = losses(target, outputs([0.0, 0.5, 3.0], 1), labels([4, 2, 0]));
        assert_eq!(got, [0.5, 0.125, 8.0]);
        assert_eq!(Target::of(TargetKind::Number, &[3, 3]), None);
    }

    #[test]
    fn one_hot_rows_are_compared_by_half_the_squared_distance() {
        let got = losses(Target::OneHot, outputs([1.0, 0.0, 0.0, 2.0, 0.0, 1.0], 3), labels([0, 1]));
        assert_eq!(got, [0.0, 0.5 * (4.0 + 1.0 + 1.0)]);
    }

    #[test]
    fn a_number_hits_the_nearest_class_and_outputs_that_are_none_hit_nothing() {
        let target = Target::Number { mean: 1.0, standard_deviation: 2.0 };
        let got = target.hits(&outputs([0.4, 0.6, -0.5, f64::NAN], 1), &labels([2, 3, 0, 1]));
        assert_eq!(got, [true, false, true, false]);
        assert_eq!(Target::OneHot.hits(&outputs([0.1, 0.2, 0.3, 0.2], 2), &labels([1, 1])), [true, false]);
    }
}
