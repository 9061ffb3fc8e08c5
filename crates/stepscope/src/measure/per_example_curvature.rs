//! The curvature of every example's loss along one direction.

use burn::tensor::DType;

use super::objective::Objective;
use super::operators::ProductError;
use crate::data::Batch;
use crate::models::{Dual, Network, ParamLayout, Pass};

/// vᵀHᵢv of every example i of `objective`, in its order, for a direction v of unit norm.
///
/// Split as the Hessian of a cross-entropy splits: with logits z, their tangents ż along v, probabilities p and labels y,
///
/// vᵀHᵢv = Σ p ż² − (Σ p ż)² + Σ (p − y) z̈.
///
/// The first two terms, the Gauss-Newton part, are exact from one forward pass with tangents. z̈ is the difference of ż at
/// θ ± εv: of tangents, so that rounding enters over ε and not over ε² as in second differences of losses, and only in the part
/// that vanishes with the residuals p − y. Where a unit crosses its kink within ±εv, the difference to that side is off by the jump
/// over ε; the two one-sided differences then disagree and the smaller is taken. The mean over examples is the Rayleigh quotient vᵀHv.
///
/// Cost: three forward passes with tangents, for all examples at once. Source: split `curvature`, section 4.3; spread over examples
/// section 4.9; the one-sided choice, ours. Not defined in networks whose examples see each other (batch statistics).
///
/// # Errors
/// [`ProductError`] for a vector of the wrong length and a network that carries no tangent.
pub fn per_example_curvature<N: Network>(
    network: &N,
    layout: &ParamLayout,
    objective: &Objective,
    direction: &[f64],
) -> Result<Vec<f64>, ProductError> {
    if direction.len() != layout.num_params() {
        return Err(ProductError::Length { got: direction.len(), expected: layout.num_params() });
    }
    let values = layout.values(network);
    let epsilon = displacement(objective);
    let moved = |sign: f64| {
        let values: Vec<f64> = values.iter().zip(direction).map(|(theta, v)| theta + sign * epsilon * v).collect();
        layout.assign(network.clone(), &values)
    };
    let (ahead, behind) = (moved(1.0), moved(-1.0));
    let pass = layout.pass_along(direction);
    let mut curvatures = Vec::with_capacity(objective.num_examples());
    for (batch, _) in objective.micro_batches() {
        let (here, ahead, behind) =
            (logits(network, batch, &pass)?, logits(&ahead, batch, &pass)?, logits(&behind, batch, &pass)?);
        let labels: Vec<i64> = batch.labels.clone().into_data().iter::<i64>().collect();
        let classes = here.values.len() / labels.len().max(1);
        for (example, &label) in labels.iter().enumerate() {
            let row = example * classes..(example + 1) * classes;
            let probabilities = softmax(&here.values[row.clone()]);
            let residual = |class: usize| probabilities[class] - f64::from(u8::from(class as i64 == label));
            let along = |tangents: &[f64]| -> f64 {
                tangents[row.clone()].iter().enumerate().map(|(class, t)| residual(class) * t).sum()
            };
            let slopes = [along(&behind.tangents), along(&here.tangents), along(&ahead.tangents)];
            curvatures.push(variance(&probabilities, &here.tangents[row.clone()]) + slope_change(slopes, epsilon));
        }
    }
    Ok(curvatures)
}

/// ε: balances the rounding of ż over ε against curvature of ż over the way.
fn displacement(objective: &Objective) -> f64 {
    let dtype = objective.micro_batches().next().map(|(batch, _)| batch.images.dtype());
    if dtype == Some(DType::F64) { 1e-5 } else { 2e-3 }
}

/// d/ds at the middle of three values ε apart, robust to a jump on one side.
fn slope_change([behind, here, ahead]: [f64; 3], epsilon: f64) -> f64 {
    /// Relative disagreement of the two sides that curvature of a smooth function does not explain.
    const JUMP: f64 = 0.2;
    let (forward, backward) = ((ahead - here) / epsilon, (here - behind) / epsilon);
    if (forward - backward).abs() <= JUMP * forward.abs().max(backward.abs()) {
        0.5 * (forward + backward)
    } else if forward.abs() <= backward.abs() {
        forward
    } else {
        backward
    }
}

struct Logits {
    values: Vec<f64>,
    tangents: Vec<f64>,
}

fn logits<N: Network>(network: &N, batch: &Batch, pass: &Pass) -> Result<Logits, ProductError> {
    let logits = network.logits(Dual::constant(batch.images.clone()), pass);
    let tangent = logits.tangent.ok_or(ProductError::NoTangent)?;
    Ok(Logits {
        values: logits.value.into_data().iter::<f64>().collect(),
        tangents: tangent.into_data().iter::<f64>().collect(),
    })
}

fn softmax(logits: &[f64]) -> Vec<f64> {
    let top = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let exponentials: Vec<f64> = logits.iter().map(|z| (z - top).exp()).collect();
    let total: f64 = exponentials.iter().sum();
    exponentials.into_iter().map(|e| e / total).collect()
}

/// Σ p x² − (Σ p x)², as Σ p (x − mean)² so that nothing cancels.
fn variance(probabilities: &[f64], x: &[f64]) -> f64 {
    let mean: f64 = probabilities.iter().zip(x).map(|(p, x)| p * x).sum();
    probabilities.iter().zip(x).map(|(p, x)| p * (x - mean).powi(2)).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_jump_on_one_side_does_not_reach_the_slope() {
        let smooth = |s: f64| 3.0 + 2.0 * s + 0.5 * s * s;
        for epsilon in [1e-2, 1e-4] {
            let [a, b, c] = [-epsilon, 0.0, epsilon].map(smooth);
            assert!((slope_change([a, b, c], epsilon) - 2.0).abs() < 1e-9);
            assert!((slope_change([a, b, c + 0.1], epsilon) - 2.0).abs() < epsilon);
            assert!((slope_change([a - 0.1, b, c], epsilon) - 2.0).abs() < epsilon);
        }
    }
}
