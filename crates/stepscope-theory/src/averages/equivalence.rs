//! Which schedule an average equals, and the other way round (`averaging`, sections 2.5-2.8).
//!
//! Lists run backwards in time, as the averages do: entry 0 belongs to the last iterate x_T or to the last update.

use faer::Mat;

use crate::error::{TheoryError, check};

/// E1, any loss and optimizer: Σ w_j x_{T−j} = x_0 + Σ W_m d_m, W_m = w_0 + ... + w_m, with d_m the update made m steps from
/// the end. `weights` are on x_T, ..., x_0; the answer has one entry fewer (`averaging`, section 2.6).
///
/// ```
/// use stepscope_theory::{Average, multipliers};
/// // The mean of the last 4 iterates is a linear cooldown to zero over the last 4 updates.
/// assert_eq!(multipliers(&Average::Window { length: 4 }.weights(6)?), [0.25, 0.5, 0.75, 1.0, 1.0, 1.0]);
/// # Ok::<(), stepscope_theory::TheoryError>(())
/// ```
pub fn multipliers(weights: &[f64]) -> Vec<f64> {
    let updates = weights.len().saturating_sub(1);
    weights[..updates]
        .iter()
        .scan(0.0, |sum, weight| {
            *sum += weight;
            Some(*sum)
        })
        .collect()
}

/// E1 backwards: w_m = W_m − W_{m−1}, and 1 − W of the first update on x_0.
pub fn weights_from_multipliers(multipliers: &[f64]) -> Vec<f64> {
    let before = std::iter::once(0.0).chain(multipliers.iter().copied());
    let after = multipliers.iter().copied().chain(std::iter::once(1.0));
    before.zip(after).map(|(low, high)| high - low).collect()
}

/// E2, full-batch descent on any quadratic: gradient descent at rate λ averaged with these weights on x_T, ..., x_0 equals
/// descent with rates W_j λ: coefficients of Π(1 − W_j + W_j t), the power of t counting steps taken (`averaging`, 2.7). O(T²).
pub fn poisson_binomial_weights(multipliers: &[f64]) -> Vec<f64> {
    let mut taken = vec![1.0];
    for &multiplier in multipliers {
        let mut next = vec![0.0; taken.len() + 1];
        for (power, coefficient) in taken.iter().enumerate() {
            next[power] += (1.0 - multiplier) * coefficient;
            next[power + 1] += multiplier * coefficient;
        }
        taken = next;
    }
    taken.reverse();
    taken
}

/// E2 backwards: the multipliers W_j whose descent equals an average for every curvature, in ascending order.
///
/// They exist iff the generating polynomial Σ w_j t^{T−j} has only real roots −q ≤ 0, with W = 1/(1 + q); a window of 3 or
/// more and two points 2 or more apart have none (`averaging`, section 2.7). `None` where a root is not real and
/// non-positive to 1e-6: a double root is found to that accuracy only. O(T³), meant for up to some hundred weights.
pub fn poisson_binomial_schedule(weights: &[f64]) -> Option<Vec<f64>> {
    let last = weights.iter().position(|&w| w != 0.0)?;
    let first = weights.iter().rposition(|&w| w != 0.0)?;
    // Trailing zeros are factors t: steps taken in full. Leading zeros are steps not taken.
    let core = &weights[last..=first];
    let degree = core.len() - 1;
    let mut schedule = vec![0.0; last];
    let companion = Mat::from_fn(degree, degree, |row, column| {
        if row == 0 { -core[column + 1] / core[0] } else { f64::from(u8::from(row == column + 1)) }
    });
    if degree > 0 {
        for root in companion.eigenvalues().ok()? {
            if root.im.abs() > 1e-6 * root.re.abs().max(1e-12) || root.re > 1e-12 {
                return None;
            }
            schedule.push(1.0 / (1.0 - root.re));
        }
    }
    schedule.extend(vec![1.0; weights.len() - 1 - first]);
    schedule.sort_by(f64::total_cmp);
    Some(schedule)
}

/// E3, one curvature, noise included, from the same batches: the rates a′_m = A_m/(1 − Σ_{j<m} A_j) with
/// A_m = a Σ_{j≤m} w_j ρ^{m−j}, ρ = 1 − a, reach Σ w_j x_{T−j} itself (`averaging`, section 2.8).
///
/// `rate` is a = λh in (0, 2). One scalar schedule cannot serve two curvatures.
///
/// # Errors
/// [`TheoryError::Number`] for a rate outside (0, 2).
pub fn pathwise_schedule(weights: &[f64], rate: f64) -> Result<Vec<f64>, TheoryError> {
    check("rate a", "above 0 and below 2", rate, rate > 0.0 && rate < 2.0)?;
    let (mut response, mut remaining) = (0.0, 1.0);
    let updates = weights.len().saturating_sub(1);
    Ok(weights[..updates]
        .iter()
        .map(|weight| {
            response = (1.0 - rate) * response + rate * weight;
            let step = response / remaining;
            remaining -= response;
            step
        })
        .collect())
}

/// E3 backwards: the weights whose average of a run at constant `rate` is the end of a run with the rates `schedule`
/// (a′_m, last update first). The last entry, on x_0, makes the sum 1 only if the schedule came from an average.
///
/// # Errors
/// [`TheoryError::Number`] for a rate outside (0, 2).
pub fn pathwise_weights(schedule: &[f64], rate: f64) -> Result<Vec<f64>, TheoryError> {
    check("rate a", "above 0 and below 2", rate, rate > 0.0 && rate < 2.0)?;
    let (mut remaining, mut previous, mut total) = (1.0, 0.0, 0.0);
    let mut weights: Vec<f64> = schedule
        .iter()
        .map(|step| {
            let response = step * remaining;
            let weight = (response - (1.0 - rate) * previous) / rate;
            remaining -= response;
            previous = response;
            total += weight;
            weight
        })
        .collect();
    weights.push(1.0 - total);
    Ok(weights)
}

/// The EMA of SGD as an optimizer: heavy ball with learning rate αλ and momentum (1 − α)(1 − λh), a different momentum for
/// each curvature h, gradients taken at the EMA point (`averaging`, section 2.8). Returns (learning rate, momentum).
pub fn ema_heavy_ball(learning_rate: f64, ema_rate: f64, curvature: f64) -> (f64, f64) {
    (ema_rate * learning_rate, (1.0 - ema_rate) * (1.0 - learning_rate * curvature))
}

/// The EMA rate that acts as r times the learning rate at curvature h: α = λh·r/(1 − r), from 1/λ_eff = 1/λ + h/α
/// (small steps; `averaging`, section 2.5).
///
/// # Errors
/// [`TheoryError::Number`] for a reduction outside (0, 1).
pub fn ema_for_reduction(learning_rate: f64, curvature: f64, reduction: f64) -> Result<f64, TheoryError> {
    check("reduction", "above 0 and below 1", reduction, reduction > 0.0 && reduction < 1.0)?;
    Ok(learning_rate * curvature * reduction / (1.0 - reduction))
}

/// N = 2/α − 1: the window with the noise gain and the lag of an EMA of rate α (`averaging`, section 2.5).
pub fn matched_window(ema_rate: f64) -> f64 {
    2.0 / ema_rate - 1.0
}

/// α = 2/(N + 1): the inverse of [`matched_window`].
pub fn matched_ema(window: f64) -> f64 {
    2.0 / (window + 1.0)
}

/// The effective share of the learning rate in the loss: Σ c_i R_i / Σ c_i, with c_i the gradient-noise variance of direction
/// i and R_i the variance ratio of the average there (`averaging`, section 2.5). Pairs beyond the shorter list are ignored.
pub fn loss_effective_rate(noise: &[f64], ratios: &[f64]) -> f64 {
    let weighted: f64 = noise.iter().zip(ratios).map(|(c, r)| c * r).sum();
    weighted / noise.iter().zip(ratios).map(|(c, _)| c).sum::<f64>()
}

/// E of an EMA over E x_0 after T steps, both started at x_0 ≠ 0 with the minimum at 0:
/// αρ(ρ^T − z^T)/(ρ − z) + z^T, ρ = 1 − a, z = 1 − α (`averaging`, section 2.9): what averaging pays while descending.
pub fn ema_mean(rate: f64, ema_rate: f64, steps: u64) -> f64 {
    let (rho, z, t) = (1.0 - rate, 1.0 - ema_rate, steps as f64);
    let spread = if (rho - z).abs() < 1e-9 { t * rho.powf(t - 1.0) } else { (rho.powf(t) - z.powf(t)) / (rho - z) };
    ema_rate * rho * spread + z.powf(t)
}
