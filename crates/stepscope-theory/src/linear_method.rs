//! Any linear update with finite memory: heavy ball, Nesterov, and what a user writes down.

use std::borrow::Cow;

use crate::error::{TheoryError, check};
use crate::model::QuadraticModel;
use crate::recursion::Prediction;
use crate::warning::Warning;

/// An update z′ = A₀z + n·g with the gradient g taken at y = p·z, and weights w = q·z (`loss-prediction`, section 6.3).
///
/// Along a mode of eigenvalue λ, g = λy + noise and the second moments of the state follow
/// Z′ = AZAᵀ + γ(τ1λS_y + λσ² − τ2λ²E y²)nnᵀ with A = A₀ + λnpᵀ and S_y = Σ λE y²: O(modes · M³) a step for M numbers of state.
///
/// | method | z | A₀ | n | p |
/// |---|---|---|---|---|
/// | heavy ball | (w, v) | \[1 b; 0 b\] | (−a, −a) | (1, 0) |
/// | Nesterov | (w, v) | \[1 b; 0 b\] | (−a, −a) | (1, b) |
#[derive(Debug, Clone, PartialEq)]
pub struct LinearMethod {
    size: usize,
    transition: Vec<f64>,
    injection: Vec<f64>,
    evaluation: Vec<f64>,
    output: Vec<f64>,
}

impl LinearMethod {
    /// From A₀ (row-major), n, p and q, all relative to the minimum: A₀ must leave the weights where they are when the
    /// gradient is zero and the memory is at rest. The run starts with z = (w₀, 0, ..., 0).
    ///
    /// # Errors
    /// [`TheoryError::Length`] unless the sizes agree; [`TheoryError::Number`] for entries that are not finite or q that
    /// does not read the weights at the start (q₁ = 1).
    pub fn new(
        transition: Vec<f64>,
        injection: Vec<f64>,
        evaluation: Vec<f64>,
        output: Vec<f64>,
    ) -> Result<Self, TheoryError> {
        let size = injection.len();
        for (what, got, expected) in [
            ("rows and columns of the transition", transition.len(), size * size),
            ("evaluation weights", evaluation.len(), size),
            ("output weights", output.len(), size),
        ] {
            if got != expected || size == 0 {
                return Err(TheoryError::Length { what, expected: expected.max(1), got });
            }
        }
        let all = || transition.iter().chain(&injection).chain(&evaluation).chain(&output);
        let bad = all().copied().find(|v| !v.is_finite());
        check("entry of a linear method", "finite", bad.unwrap_or(0.0), bad.is_none())?;
        check("first output weight", "1: the state starts with the weights", output[0], output[0] == 1.0)?;
        Ok(Self { size, transition, injection, evaluation, output })
    }

    /// Heavy ball: the method of [`crate::Sgd`], for comparison.
    ///
    /// # Errors
    /// [`TheoryError::Number`] for settings out of range.
    pub fn heavy_ball(learning_rate: f64, momentum: f64) -> Result<Self, TheoryError> {
        Self::two_numbers(learning_rate, momentum, 0.0)
    }

    /// Nesterov: v′ = bv − a·g(w + bv), w′ = w + v′.
    ///
    /// # Errors
    /// [`TheoryError::Number`] for settings out of range.
    pub fn nesterov(learning_rate: f64, momentum: f64) -> Result<Self, TheoryError> {
        Self::two_numbers(learning_rate, momentum, momentum)
    }

    fn two_numbers(learning_rate: f64, momentum: f64, ahead: f64) -> Result<Self, TheoryError> {
        crate::sgd::Sgd { learning_rate, momentum, noise_factor: 0.0 }.checked()?;
        let transition = vec![1.0, momentum, 0.0, momentum];
        Self::new(transition, vec![-learning_rate; 2], vec![1.0, ahead], vec![1.0, 0.0])
    }

    /// vᵀZv.
    fn form(&self, vector: &[f64], moments: &[f64]) -> f64 {
        let row = |i: usize| (0..self.size).map(|j| moments[i * self.size + j] * vector[j]).sum::<f64>();
        (0..self.size).map(|i| vector[i] * row(i)).sum()
    }

    /// Z′ = AZAᵀ + kick·nnᵀ in place, with A = A₀ + λnpᵀ.
    fn step(&self, eigenvalue: f64, kick: f64, moments: &mut [f64], scratch: &mut [f64]) {
        let (m, n) = (self.size, &self.injection);
        let entry = |i: usize, j: usize| self.transition[i * m + j] + eigenvalue * n[i] * self.evaluation[j];
        for i in 0..m {
            for j in 0..m {
                scratch[i * m + j] = (0..m).map(|k| entry(i, k) * moments[k * m + j]).sum();
            }
        }
        for i in 0..m {
            for j in 0..m {
                moments[i * m + j] = (0..m).map(|k| scratch[i * m + k] * entry(j, k)).sum::<f64>() + kick * n[i] * n[j];
            }
        }
    }
}

impl QuadraticModel {
    /// E L at `times` under a linear method with constant γ = `noise_factor`.
    ///
    /// ```
    /// use stepscope_theory::{Closure, LinearMethod, PowerLaw};
    /// let model = PowerLaw::new(1.5, 0.75, 100.0)?.model(Closure::INTERPOLATING)?;
    /// let heavy_ball = model.loss_at_method(&LinearMethod::heavy_ball(0.2, 0.9)?, 0.05, &[200])?;
    /// let nesterov = model.loss_at_method(&LinearMethod::nesterov(0.2, 0.9)?, 0.05, &[200])?;
    /// assert!(nesterov.loss[0] < heavy_ball.loss[0]);
    /// # Ok::<(), stepscope_theory::TheoryError>(())
    /// ```
    ///
    /// # Errors
    /// [`TheoryError::Number`] for a noise factor out of range.
    pub fn loss_at_method(
        &self,
        method: &LinearMethod,
        noise_factor: f64,
        times: &[u64],
    ) -> Result<Prediction, TheoryError> {
        self.loss_at_methods(|_| (Cow::Borrowed(method), noise_factor), times)
    }

    /// E L at `times` where the update changes: `update(t)` gives the method that leads from step t to t + 1, and its γ.
    ///
    /// All methods must have as many numbers of state as the first, with the same meaning: schedules of Nesterov's learning
    /// rate and momentum, not a switch of method.
    ///
    /// ```
    /// use std::borrow::Cow;
    /// use stepscope_theory::{Closure, LinearMethod, PowerLaw};
    /// let model = PowerLaw::new(1.5, 0.75, 100.0)?.model(Closure::INTERPOLATING)?;
    /// let slow = LinearMethod::nesterov(0.05, 0.9)?;
    /// let fast = LinearMethod::nesterov(0.2, 0.9)?;
    /// let annealed = |t| (Cow::Borrowed(if t < 150 { &fast } else { &slow }), 0.05);
    /// assert!(model.loss_at_methods(annealed, &[200])?.loss[0] > 0.0);
    /// # Ok::<(), stepscope_theory::TheoryError>(())
    /// ```
    ///
    /// # Errors
    /// [`TheoryError::Number`] for a noise factor out of range, [`TheoryError::Length`] for a method of another size.
    pub fn loss_at_methods<'a>(
        &self,
        update: impl Fn(u64) -> (Cow<'a, LinearMethod>, f64),
        times: &[u64],
    ) -> Result<Prediction, TheoryError> {
        let steps = times.iter().copied().max().unwrap_or(0);
        let mut warnings = self.spectrum_warnings(0.0, 0.0);
        let mut state = MethodState::new(self, update(0).0.size);
        let mut loss = vec![f64::INFINITY; times.len()];
        for time in 0..=steps {
            let (method, noise_factor) = update(time);
            let ok = noise_factor.is_finite() && noise_factor >= 0.0;
            check("noise factor", "finite and not negative", noise_factor, ok)?;
            if method.size != state.size {
                let what = "numbers of state of a scheduled method";
                return Err(TheoryError::Length { what, expected: state.size, got: method.size });
            }
            let excess = 0.5 * state.loss_sum(&method);
            if !excess.is_finite() {
                warnings.push(Warning::Overflow { step: time });
                break;
            }
            for (value, _) in loss.iter_mut().zip(times).filter(|(_, asked)| **asked == time) {
                *value = self.loss_floor() + excess;
            }
            state.step(&method, noise_factor);
        }
        Ok(Prediction { times: times.to_vec(), loss, standard_errors: None, warnings })
    }
}

/// λZ of every mode, positive ones first.
struct MethodState<'a> {
    model: &'a QuadraticModel,
    size: usize,
    moments: Vec<f64>,
    scratch: Vec<f64>,
}

impl<'a> MethodState<'a> {
    fn new(model: &'a QuadraticModel, size: usize) -> Self {
        let block = size * size;
        let starts = model.modes.signal.iter().chain(&model.negative.signal);
        let moments = starts.flat_map(|&x| std::iter::once(x).chain(std::iter::repeat_n(0.0, block - 1))).collect();
        Self { model, size, moments, scratch: vec![0.0; block] }
    }

    /// Σ λE w².
    fn loss_sum(&self, method: &LinearMethod) -> f64 {
        let block = self.scratch.len();
        self.moments.chunks_exact(block).map(|z| method.form(&method.output, z)).sum()
    }

    fn step(&mut self, method: &LinearMethod, noise_factor: f64) {
        let (block, closure) = (self.scratch.len(), self.model.closure());
        let evaluated = |z: &[f64]| method.form(&method.evaluation, z);
        let positive = self.model.modes.len();
        let signal: f64 = self.moments.chunks_exact(block).take(positive).map(evaluated).sum();
        let drive = closure.tau1() * signal + self.model.label_noise();
        let all = self.model.modes.nodes().chain(self.model.negative.nodes());
        for (index, ((eigenvalue, weight, _), z)) in all.zip(self.moments.chunks_exact_mut(block)).enumerate() {
            let kick = if index < positive {
                noise_factor * (drive * weight - closure.tau2() * eigenvalue * eigenvalue * evaluated(z))
            } else {
                0.0
            };
            method.step(eigenvalue, kick, z, &mut self.scratch);
        }
    }
}
