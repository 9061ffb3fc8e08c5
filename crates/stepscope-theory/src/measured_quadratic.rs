//! The loss curve of SGD on a quadratic that was measured around a point of a live network.

use stepscope_types::Spectrum;

use crate::{LossCurve, Sgd};

/// The loss around a point as a quadratic, known through how its gradient and its gradient noise lie along the curvatures.
///
/// L(θ₀ + δ) = L₀ + gᵀδ + ½ δᵀAδ, with stochastic gradients g + Aδ + n, where n has covariance Σ/B at every δ. Neither A nor Σ is
/// needed, only the spectral measures of g and of Σ under A: nodes λ with weights (vᵢᵀg)² and vᵢᵀΣvᵢ, as Gauss
/// quadrature from a few Lanczos steps gives them. Along a mode
///
/// * signal: d ← d − η u, u ← βu + 1 + λd from rest, contributing (vᵢᵀg)² (d + ½λd²);
/// * noise: the second moments of the same recursion driven by n, contributing ½ λ E δ².
///
/// Nothing is divided by λ, so flat and descending modes (λ ≤ 0) are as good as others: the loss just falls along
/// them without bound, as the quadratic says. The prediction holds while curvature and noise stay what they were at
/// θ₀: for a network, over a stretch of training that moves little.
///
/// Source: the recursion of `loss-prediction`, section 1, with additive noise; derived here in the coordinates of
/// displacement instead of distance to the minimum.
#[derive(Debug, Clone, PartialEq)]
pub struct MeasuredQuadratic {
    loss: f64,
    gradient: Spectrum,
    noise: Spectrum,
}

impl MeasuredQuadratic {
    /// `loss` is L₀; the weights of `gradient` sum to ‖g‖², those of `noise` to tr Σ of one example's gradient.
    pub fn new(loss: f64, gradient: Spectrum, noise: Spectrum) -> Self {
        Self { loss, gradient, noise }
    }

    /// L₀.
    pub fn loss(&self) -> f64 {
        self.loss
    }

    /// How the gradient lies along the curvatures.
    pub fn gradient(&self) -> &Spectrum {
        &self.gradient
    }

    /// How one example's gradient noise lies along the curvatures.
    pub fn noise(&self) -> &Spectrum {
        &self.noise
    }

    /// The expected loss after 0, 1, ..., `steps` updates from rest at θ₀. `sgd.noise_factor` multiplies Σ: 1/B for batches of B drawn afresh.
    ///
    /// Cost: O(nodes) a step.
    pub fn loss_curve(&self, sgd: &Sgd, steps: u64) -> LossCurve {
        let mut signal: Vec<(f64, Signal)> =
            self.gradient.coefficients().iter().map(|w| (*w, Signal::default())).collect();
        let mut noise: Vec<(f64, Noise)> = self.noise.coefficients().iter().map(|w| (*w, Noise::default())).collect();
        let mut loss = Vec::new();
        for step in 0..=steps {
            if step > 0 {
                for ((_, mode), &lambda) in signal.iter_mut().zip(self.gradient.eigenvalues()) {
                    mode.advance(lambda, sgd);
                }
                for ((_, mode), &lambda) in noise.iter_mut().zip(self.noise.eigenvalues()) {
                    mode.advance(lambda, sgd);
                }
            }
            let descent: f64 = signal
                .iter()
                .zip(self.gradient.eigenvalues())
                .map(|((weight, mode), lambda)| weight * mode.displacement * (1.0 + 0.5 * lambda * mode.displacement))
                .sum();
            let excess: f64 = noise
                .iter()
                .zip(self.noise.eigenvalues())
                .map(|((weight, mode), lambda)| 0.5 * lambda * weight * sgd.noise_factor * mode.square)
                .sum();
            loss.push(self.loss + descent + excess);
        }
        LossCurve { loss, warnings: Vec::new() }
    }
}

/// Displacement and velocity along a mode for a unit gradient at the start.
#[derive(Debug, Clone, Copy, Default)]
struct Signal {
    displacement: f64,
    velocity: f64,
}

impl Signal {
    fn advance(&mut self, lambda: f64, sgd: &Sgd) {
        self.velocity = sgd.momentum * self.velocity + 1.0 + lambda * self.displacement;
        self.displacement -= sgd.learning_rate * self.velocity;
    }
}

/// E δ², E δv, E v² along a mode for unit noise.
#[derive(Debug, Clone, Copy, Default)]
struct Noise {
    square: f64,
    product: f64,
    velocity_square: f64,
}

impl Noise {
    fn advance(&mut self, lambda: f64, sgd: &Sgd) {
        let Self { square, product, velocity_square } = *self;
        let (eta, beta) = (sgd.learning_rate, sgd.momentum);
        let velocity_square =
            beta * beta * velocity_square + 2.0 * beta * lambda * product + lambda * lambda * square + 1.0;
        // E[δ v′], before the displacement moves.
        let cross = beta * product + lambda * square;
        *self = Self {
            square: square - 2.0 * eta * cross + eta * eta * velocity_square,
            product: cross - eta * velocity_square,
            velocity_square,
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::RandomStream;

    fn spectrum(pairs: &[(f64, f64)]) -> Spectrum {
        let (eigenvalues, coefficients) = pairs.iter().copied().unzip();
        Spectrum::new(eigenvalues, coefficients).unwrap()
    }

    #[test]
    fn without_noise_it_is_gradient_descent_written_out() {
        let modes = [(2.0, 0.5), (0.3, 1.5), (0.0, 0.2), (-0.1, 0.05)];
        let quadratic = MeasuredQuadratic::new(1.0, spectrum(&modes), spectrum(&[(1.0, 0.0)]));
        for momentum in [0.0, 0.8, -0.3] {
            let sgd = Sgd::from_numbers(0.2, momentum, 1.0).unwrap();
            let curve = quadratic.loss_curve(&sgd, 50).loss;
            let (mut theta, mut v) = ([0.0f64; 4], [0.0f64; 4]);
            for (step, predicted) in curve.iter().enumerate() {
                let loss: f64 =
                    1.0 + modes.iter().zip(theta).map(|((l, w), x)| w.sqrt() * x + 0.5 * l * x * x).sum::<f64>();
                assert!((predicted - loss).abs() < 1e-12 * (1.0 + loss.abs()), "step {step}: {predicted} {loss}");
                for (mode, (lambda, weight)) in modes.iter().enumerate() {
                    v[mode] = momentum * v[mode] + weight.sqrt() + lambda * theta[mode];
                    theta[mode] -= 0.2 * v[mode];
                }
            }
        }
    }

    #[test]
    fn the_noise_settles_at_the_stationary_law() {
        // `curvature`, section 1.2: E δ² = η c (1 + β) / (λ (1 − β) (2 (1 + β) − η λ)) with c the noise variance of a step.
        for (lambda, eta, beta) in [(1.0, 0.3, 0.0), (2.0, 0.1, 0.9), (0.5, 0.4, -0.4)] {
            let (trace, batch) = (3.0, 8.0);
            let quadratic = MeasuredQuadratic::new(0.0, spectrum(&[(1.0, 0.0)]), spectrum(&[(lambda, trace)]));
            let sgd = Sgd::from_numbers(eta, beta, 1.0 / batch).unwrap();
            let settled = quadratic.loss_curve(&sgd, 4000).loss[4000];
            let variance: f64 =
                eta * trace / batch * (1.0 + beta) / (lambda * (1.0 - beta) * (2.0 * (1.0 + beta) - eta * lambda));
            let expected = 0.5 * lambda * variance;
            assert!((settled / expected - 1.0).abs() < 1e-9, "{settled} {expected}");
        }
    }

    #[test]
    fn signal_and_noise_agree_with_an_average_over_simulated_runs() {
        let (modes, noise) = ([(1.5, 0.4), (0.2, 0.1)], [(1.5, 2.0), (0.2, 1.0)]);
        let quadratic = MeasuredQuadratic::new(0.5, spectrum(&modes), spectrum(&noise));
        let (eta, beta, batch) = (0.25, 0.5, 4.0f64);
        let predicted = quadratic.loss_curve(&Sgd::from_numbers(eta, beta, 1.0 / batch).unwrap(), 20).loss[20];
        let mut random = RandomStream::from_seed(9);
        let losses: Vec<f64> = (0..20_000)
            .map(|_| {
                let (mut x, mut v) = ([0.0f64; 2], [0.0f64; 2]);
                for _ in 0..20 {
                    for i in 0..2 {
                        let gradient = modes[i].1.sqrt() + modes[i].0 * x[i];
                        v[i] = beta * v[i] + gradient + (noise[i].1 / batch).sqrt() * random.normal();
                        x[i] -= eta * v[i];
                    }
                }
                0.5 + (0..2).map(|i| modes[i].1.sqrt() * x[i] + 0.5 * modes[i].0 * x[i] * x[i]).sum::<f64>()
            })
            .collect();
        let count = losses.len() as f64;
        let mean = losses.iter().sum::<f64>() / count;
        let error = (losses.iter().map(|l| (l - mean).powi(2)).sum::<f64>() / (count * (count - 1.0))).sqrt();
        assert!(((mean - predicted) / error).abs() < 4.5, "simulated {mean} +- {error}, predicted {predicted}");
    }
}
