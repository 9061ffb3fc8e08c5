//! A network that is a point: two parameters, of 3 and 2 numbers, with gradients given from outside.

use burn::Tensor;
use burn::module::{Module, Param};
use burn::tensor::{DType, Device, TensorData};
use stepscope::backend::Backend;
use stepscope::models::{ParamLayout, ParamTensors};
use stepscope::types::spec::Precision;

#[derive(Module, Debug)]
pub(crate) struct Point {
    weight: Param<Tensor<1>>,
    bias: Param<Tensor<1>>,
}

pub(crate) const START: [f64; 5] = [1.0, -0.5, 0.25, 2.0, -1.5];
pub(crate) const CURVATURES: [f64; 5] = [0.3, 1.7, 4.0, 0.05, 2.5];

/// The gradient at `x` of step `step`: of ½ Σ a_i x_i², with a noise that is the same for everyone.
pub(crate) fn gradient(x: &[f64], step: usize) -> Vec<f64> {
    (0..x.len()).map(|i| CURVATURES[i] * x[i] + (1.3 * (step + 1) as f64 * (i + 2) as f64).sin()).collect()
}

fn tensor(values: &[f64], device: &Device) -> Tensor<1> {
    Tensor::from_data(TensorData::new(values.to_vec(), [values.len()]), (device, DType::F64))
}

impl Point {
    pub(crate) fn at(values: &[f64]) -> Self {
        let device = Backend::cpu(Precision::F64).tracked();
        Self {
            weight: Param::from_tensor(tensor(&values[..3], &device)),
            bias: Param::from_tensor(tensor(&values[3..], &device)),
        }
    }

    pub(crate) fn values(&self) -> Vec<f64> {
        ParamLayout::of(self).values(self)
    }

    /// A vector in the point's weight space.
    pub(crate) fn vector(&self, values: &[f64]) -> ParamTensors {
        let device = Backend::cpu(Precision::F64).plain();
        [(self.weight.id, tensor(&values[..3], &device)), (self.bias.id, tensor(&values[3..], &device))]
            .into_iter()
            .collect()
    }
}

/// The largest difference of two vectors.
pub(crate) fn difference(a: &[f64], b: &[f64]) -> f64 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max)
}

/// What is added to the loss, so that it stays above 0.
pub(crate) const HEIGHT: f64 = 6.0;

/// The loss whose gradient is [`gradient`].
pub(crate) fn loss(x: &[f64], step: usize) -> f64 {
    let noise = gradient(&[0.0; 5], step);
    HEIGHT + (0..x.len()).map(|i| 0.5 * CURVATURES[i] * x[i] * x[i] + noise[i] * x[i]).sum::<f64>()
}

/// The same as an oracle: a batch is the number of its step.
pub(crate) fn oracle(point: &Point, step: &usize, _seed: u64) -> Tensor<1> {
    let device = point.weight.val().device();
    let part = |x: Tensor<1>, range: std::ops::Range<usize>| {
        let noise = tensor(&gradient(&[0.0; 5], *step)[range.clone()], &device);
        let curvature = tensor(&CURVATURES[range], &device);
        (x.clone().square() * curvature * 0.5 + x * noise).sum()
    };
    part(point.weight.val(), 0..3) + part(point.bias.val(), 3..5) + HEIGHT
}
