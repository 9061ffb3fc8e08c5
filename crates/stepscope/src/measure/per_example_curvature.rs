//! The curvature of every example's loss along one direction.

use super::objective::Objective;
use super::operators::{BatchLoss, LogitRows, ProductError};
use crate::models::ParamLayout;

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
/// Other losses are not split: the difference is that of the losses' own tangents, with rounding in all of it.
///
/// Cost: three forward passes with tangents, for all examples at once. Source: split `curvature`, section 4.3; spread over examples
/// section 4.9; the one-sided choice, ours. Not defined in networks whose examples see each other (batch statistics).
///
/// # Errors
/// [`ProductError`] for a vector of the wrong length and a module that carries no tangent.
pub fn per_example_curvature<N: BatchLoss<B>, B>(
    network: &N,
    layout: &ParamLayout,
    objective: &Objective<B>,
    direction: &[f64],
) -> Result<Vec<f64>, ProductError> {
    if direction.len() != layout.num_params() {
        return Err(ProductError::Length { got: direction.len(), expected: layout.num_params() });
    }
    let values = layout.values(network);
    let epsilon = displacement(layout);
    let moved = |sign: f64| {
        let values: Vec<f64> = values.iter().zip(direction).map(|(theta, v)| theta + sign * epsilon * v).collect();
        layout.assign(network.clone(), &values)
    };
    let places = [moved(-1.0), network.clone(), moved(1.0)].map(|place| place.no_grad());
    let pass = layout.pass_along(direction);
    let mut curvatures = Vec::with_capacity(objective.num_examples());
    for (batch, len) in objective.sized_batches() {
        let [behind, here, ahead] = &places;
        let along = |place: &N| {
            Ok::<_, ProductError>(place.loss_along(batch, &pass).ok_or(ProductError::NoTangent)?.parts(len)?)
        };
        let (behind, here, ahead) = (along(behind)?, along(here)?, along(ahead)?);
        match (behind.logit_rows(), here.logit_rows(), ahead.logit_rows()) {
            (Some(behind), Some(here), Some(ahead)) => {
                curvatures.extend((0..len).map(|example| split(example, [&behind, &here, &ahead], epsilon)));
            }
            _ => {
                let (behind, here, ahead) = (behind.loss_tangents()?, here.loss_tangents()?, ahead.loss_tangents()?);
                let slopes = behind.iter().zip(&here).zip(&ahead);
                curvatures
                    .extend(slopes.map(|((behind, here), ahead)| slope_change([*behind, *here, *ahead], epsilon)));
            }
        }
    }
    match pass.fault() {
        Some(fault) => Err(fault.into()),
        None => Ok(curvatures),
    }
}

/// The curvature of one example's cross-entropy, from its rows behind, here and ahead.
fn split(example: usize, [behind, here, ahead]: [&LogitRows; 3], epsilon: f64) -> f64 {
    let (values, tangents, label) = here.row(example);
    let probabilities = softmax(values);
    let along = |rows: &LogitRows| -> f64 {
        let residual = |class: usize| probabilities[class] - f64::from(u8::from(class == label));
        rows.row(example).1.iter().enumerate().map(|(class, t)| residual(class) * t).sum()
    };
    variance(&probabilities, tangents) + slope_change([along(behind), along(here), along(ahead)], epsilon)
}

/// ε: balances the rounding of ż over ε against curvature of ż over the way.
fn displacement(layout: &ParamLayout) -> f64 {
    if layout.is_narrow() { 2e-3 } else { 1e-5 }
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
