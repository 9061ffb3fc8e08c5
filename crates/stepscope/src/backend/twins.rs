//! For tests: an operation of our own beside the same in Burn's operations, values and gradients, in both precisions.

use burn::Tensor;
use burn::tensor::{DType, Device, TensorData};

/// Numbers that repeat late, between −1 and 1.
pub(super) fn numbers<const D: usize>(shape: [usize; D], seed: usize) -> TensorData {
    let count = shape.iter().product::<usize>();
    let values: Vec<f64> = (0..count).map(|i| ((i * 7919 + seed * 313) % 1013) as f64 / 500.0 - 1.0).collect();
    TensorData::new(values, shape)
}

/// Checks that both functions of tensors of these shapes have the same values, and their sums the same gradients.
pub(super) fn agree<const N: usize, const D: usize, const R: usize>(
    shapes: [[usize; D]; N],
    ours: impl Fn([Tensor<D>; N]) -> Tensor<R>,
    burns: impl Fn([Tensor<D>; N]) -> Tensor<R>,
) {
    for (dtype, tolerance) in [(DType::F64, 1e-12), (DType::F32, 1e-5)] {
        let ours = values_and_gradients(shapes, dtype, &ours);
        let burns = values_and_gradients(shapes, dtype, &burns);
        assert_eq!(ours.len(), burns.len());
        for (which, (ours, burns)) in ours.iter().zip(&burns).enumerate() {
            let scale = burns.iter().fold(1.0_f64, |most, value| most.max(value.abs()));
            assert_eq!(ours.len(), burns.len(), "{which}");
            let apart = ours.iter().zip(burns).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
            assert!(apart < tolerance * scale, "{which}: {apart} of {scale}, {dtype:?}");
        }
    }
}

fn values_and_gradients<const N: usize, const D: usize, const R: usize>(
    shapes: [[usize; D]; N],
    dtype: DType,
    function: impl Fn([Tensor<D>; N]) -> Tensor<R>,
) -> Vec<Vec<f64>> {
    let device = Device::flex().autodiff();
    let mut seed = 0;
    let arguments = shapes.map(|shape| {
        seed += 1;
        Tensor::from_data(numbers(shape, seed), (&device, dtype)).require_grad()
    });
    let result = function(arguments.clone());
    let gradients = result.clone().sum().backward();
    let values = |data: TensorData| data.iter::<f64>().collect::<Vec<f64>>();
    let mut all = vec![values(result.into_data())];
    all.extend(arguments.iter().map(|x| x.grad(&gradients).map_or_else(Vec::new, |g| values(g.into_data()))));
    all
}
