//! Weighted sums of stored points.

use burn::module::Module;

use crate::models::{ParamLayout, ParamTensors};

/// The network at Σ share · point, summed in f64 and rounded once. `network` is untouched; parameters that a point leaves out
/// count as 0 there.
pub fn combine<M: Module>(points: &[(f64, &ParamTensors)], network: &M) -> M {
    let layout = ParamLayout::of(network);
    let mut sum = vec![0.0; layout.num_params()];
    for (share, point) in points {
        sum.iter_mut().zip(layout.vector(point)).for_each(|(sum, value)| *sum += share * value);
    }
    layout.assign(network.clone(), &sum)
}
