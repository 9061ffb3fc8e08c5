//! The exact operator: all second moments of the residuals of explicit data, no closure.

use faer::Mat;

use crate::error::TheoryError;
use crate::gram::KernelData;
use crate::monte_carlo::{MonteCarlo, Process};
use crate::random::RandomStream;
use crate::recursion::Prediction;
use crate::sgd::{Sampling, Schedule, Sgd};

impl KernelData {
    /// E L at `times`, exactly, for batches drawn as `sampling` says: O(N³) a step, O(N²) memory.
    ///
    /// With F = E ff′, X = E fv′, V = E vv′ for the residuals f and their velocity v, A = K/N, and M the second moment of the
    /// residuals seen by a batch, M = c₁F + c₂ diag F:
    ///
    /// ```text
    /// V′ = b²V − ab(AX + X′A) + a²KMK     Y = bX − aFA     X′ = Y + V′     F′ = F + Y + Y′ + V′     L = Tr F/(2N)
    /// without replacement: c₁ = (B − 1)/(BN(N − 1)), c₁ + c₂ = 1/(BN); with: c₁ = (B − 1)/(BN²), c₂ = 1/(BN)
    /// ```
    ///
    /// In the eigenbasis of K, so that a step costs two products. The moments are symmetrised at each step: their
    /// antisymmetric rounding errors would grow (`loss-prediction`, section 2, pitfall 5).
    ///
    /// # Errors
    /// [`TheoryError::NoWholeBatch`] where γ is that of no batch; [`TheoryError::Length`] where `sampling` counts other
    /// examples than there are; [`TheoryError::Number`] for settings out of range.
    pub fn exact_loss_at<S: Schedule + ?Sized>(
        &self,
        schedule: &S,
        sampling: Sampling,
        times: &[u64],
    ) -> Result<Prediction, TheoryError> {
        self.check_sampling(sampling)?;
        let mut state = ExactState::new(self);
        let steps = times.iter().copied().max().unwrap_or(0);
        let mut curve = vec![state.loss()];
        for step in 0..steps {
            let sgd = schedule.settings(step).checked()?;
            let batch = sampling.whole_batch(sgd.noise_factor, step)?;
            state.step(&sgd, batch, sampling);
            curve.push(state.loss());
        }
        let loss = times.iter().map(|&time| curve[time as usize]).collect();
        Ok(Prediction { times: times.to_vec(), loss, standard_errors: None, warnings: Vec::new() })
    }

    /// Mean and standard error of the loss at `times` over runs of SGD on the data itself: O(N·B) a step and run.
    ///
    /// # Errors
    /// As [`KernelData::exact_loss_at`]; [`TheoryError::Number`] for fewer than 2 runs.
    pub fn sampled_loss_at<S: Schedule + ?Sized>(
        &self,
        sampler: &MonteCarlo,
        schedule: &S,
        sampling: Sampling,
        times: &[u64],
    ) -> Result<Prediction, TheoryError> {
        self.check_sampling(sampling)?;
        let size = self.num_examples();
        let zeros = vec![0.0; size];
        let mut process = KernelProcess {
            data: self,
            sampling,
            residual: self.residual.clone(),
            velocity: zeros.clone(),
            gradient: zeros,
            order: (0..size).collect(),
        };
        sampler.sample_process(&mut process, schedule, times)
    }

    fn check_sampling(&self, sampling: Sampling) -> Result<(), TheoryError> {
        match sampling {
            Sampling::Finite { num_examples } if num_examples != self.num_examples() as u64 => {
                let (expected, got) = (self.num_examples(), usize::try_from(num_examples).unwrap_or(usize::MAX));
                Err(TheoryError::Length { what: "batches without replacement", expected, got })
            }
            _ => Ok(()),
        }
    }
}

/// F, X and V in the eigenbasis of the kernel.
struct ExactState<'a> {
    data: &'a KernelData,
    error: Mat<f64>,
    cross: Mat<f64>,
    velocity: Mat<f64>,
}

impl<'a> ExactState<'a> {
    fn new(data: &'a KernelData) -> Self {
        let (size, start) = (data.num_examples(), data.projections());
        let error = Mat::from_fn(size, size, |k, l| start[k] * start[l]);
        Self { data, error, cross: Mat::zeros(size, size), velocity: Mat::zeros(size, size) }
    }

    fn loss(&self) -> f64 {
        let size = self.data.num_examples();
        (0..size).map(|k| self.error[(k, k)]).sum::<f64>() / (2 * size) as f64
    }

    /// Uᵀ diag(d) U with d_i = E f_i², by two products.
    fn spread(&self) -> Mat<f64> {
        let (size, u) = (self.data.num_examples(), &self.data.eigenvectors);
        let rotated = u * &self.error;
        let variances: Vec<f64> = (0..size).map(|i| (0..size).map(|k| rotated[(i, k)] * u[(i, k)]).sum()).collect();
        let scaled = Mat::from_fn(size, size, |i, k| variances[i] * u[(i, k)]);
        u.transpose() * scaled
    }

    fn step(&mut self, sgd: &Sgd, batch: usize, sampling: Sampling) {
        let (size, lambda) = (self.data.num_examples(), self.data.eigenvalues());
        let (n, m, a, b) = (size as f64, batch as f64, sgd.learning_rate, sgd.momentum);
        let (pair, single) = match sampling {
            Sampling::Stream => ((m - 1.0) / (m * n * n), 1.0 / (m * n)),
            Sampling::Finite { .. } => {
                let pair = if size > 1 { (m - 1.0) / (m * n * (n - 1.0)) } else { 0.0 };
                (pair, 1.0 / (m * n) - pair)
            }
        };
        let spread = self.spread();
        let (error, cross) = (&self.error, &self.cross);
        let velocity = Mat::from_fn(size, size, |k, l| {
            let moment = 0.5 * (pair * (error[(k, l)] + error[(l, k)]) + single * (spread[(k, l)] + spread[(l, k)]));
            let drag = a * b * (lambda[k] * cross[(k, l)] + lambda[l] * cross[(l, k)]);
            b * b * self.velocity[(k, l)] - drag + a * a * n * n * lambda[k] * lambda[l] * moment
        });
        let drift = Mat::from_fn(size, size, |k, l| b * cross[(k, l)] - a * error[(k, l)] * lambda[l]);
        self.error = Mat::from_fn(size, size, |k, l| error[(k, l)] + drift[(k, l)] + drift[(l, k)] + velocity[(k, l)]);
        self.cross = &drift + &velocity;
        self.velocity = velocity;
    }
}

/// SGD on the residuals: v′ = bv − (a/B) Σ_{i in batch} K_{·i} f_i.
struct KernelProcess<'a> {
    data: &'a KernelData,
    sampling: Sampling,
    residual: Vec<f64>,
    velocity: Vec<f64>,
    gradient: Vec<f64>,
    order: Vec<usize>,
}

impl Process for KernelProcess<'_> {
    fn restart(&mut self, _random: &mut RandomStream) {
        self.residual.copy_from_slice(&self.data.residual);
        self.velocity.fill(0.0);
    }

    fn step(&mut self, sgd: &Sgd, step: u64, random: &mut RandomStream) -> Result<(), TheoryError> {
        let batch = self.sampling.whole_batch(sgd.noise_factor, step)?;
        let size = self.residual.len();
        self.gradient.fill(0.0);
        for slot in 0..batch {
            let example = match self.sampling {
                Sampling::Stream => random.below(size),
                Sampling::Finite { .. } => {
                    self.order.swap(slot, slot + random.below(size - slot));
                    self.order[slot]
                }
            };
            let weight = self.residual[example] / batch as f64;
            for (gradient, &entry) in self.gradient.iter_mut().zip(self.data.kernel.col(example).iter()) {
                *gradient += weight * entry;
            }
        }
        for ((residual, velocity), gradient) in self.residual.iter_mut().zip(&mut self.velocity).zip(&self.gradient) {
            *velocity = sgd.momentum * *velocity - sgd.learning_rate * gradient;
            *residual += *velocity;
        }
        Ok(())
    }

    fn position(&self) -> &[f64] {
        &self.residual
    }

    fn loss_at(&self, position: &[f64]) -> f64 {
        position.iter().map(|f| f * f).sum::<f64>() / (2 * position.len()) as f64
    }
}
