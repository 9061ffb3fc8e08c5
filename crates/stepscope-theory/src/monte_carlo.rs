//! The reference: mini-batch SGD run many times on explicit draws.

use crate::averages::Average;
use crate::error::{TheoryError, check};
use crate::model::QuadraticModel;
use crate::random::RandomStream;
use crate::recursion::{LONGEST_CURVE, Prediction};
use crate::sgd::{Sampling, Schedule, Sgd};

/// How many runs, from which seed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MonteCarlo {
    /// Independent runs; the standard error falls as its square root.
    pub runs: u64,
    /// Seed of the whole experiment: the same seed gives the same numbers.
    pub seed: u64,
}

/// Where the noise of the sampled gradient comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoiseSource {
    /// Batches of Gaussian features ψ ~ N(0, H) from a stream, targets with label noise: explicit data whose second moments
    /// are those of the closure (1, −1). Needs a whole batch size and single modes.
    GaussianFeatures,
    /// A normal draw along each mode with the variance of the model's closure, γ(τ1λS + λσ² − τ2λ²δw²), at the current
    /// error of the run: any closure, any γ.
    Closure,
}

/// One run of SGD that the sampler can restart, step and read.
pub(crate) trait Process {
    /// Back to the initial weights with velocity 0.
    fn restart(&mut self, random: &mut RandomStream);
    /// One update.
    fn step(&mut self, sgd: &Sgd, step: u64, random: &mut RandomStream) -> Result<(), TheoryError>;
    /// The weights (or residuals) now.
    fn position(&self) -> &[f64];
    /// The loss at some weights.
    fn loss_at(&self, position: &[f64]) -> f64;
}

impl MonteCarlo {
    /// Mean and standard error of the loss at `times`, over runs of SGD along the modes of `model`.
    ///
    /// Cost: runs × steps × modes (× batch size for [`NoiseSource::GaussianFeatures`]).
    ///
    /// # Errors
    /// [`TheoryError::Number`] for fewer than 2 runs or settings out of range; [`TheoryError::NotSingleModes`] for binned
    /// models; [`TheoryError::NoWholeBatch`] where explicit batches are asked for and γ is that of none.
    pub fn sample<S: Schedule + ?Sized>(
        &self,
        model: &QuadraticModel,
        source: NoiseSource,
        schedule: &S,
        times: &[u64],
    ) -> Result<Prediction, TheoryError> {
        let mut process = ModeProcess::new(model, source)?;
        let steps = times.iter().copied().max().unwrap_or(0);
        let warnings = model.warnings(schedule, steps)?;
        let mut prediction = self.sample_process(&mut process, schedule, times)?;
        prediction.warnings = warnings;
        Ok(prediction)
    }

    /// Mean and standard error of the loss of an average of the weights at `times`: what
    /// [`QuadraticModel::averaged_loss_at`] predicts, from its definition on stored trajectories.
    ///
    /// # Errors
    /// As [`MonteCarlo::sample`], and those of the average.
    pub fn sample_average<S: Schedule + ?Sized>(
        &self,
        model: &QuadraticModel,
        source: NoiseSource,
        schedule: &S,
        average: Average,
        times: &[u64],
    ) -> Result<Prediction, TheoryError> {
        let mut process = ModeProcess::new(model, source)?;
        let weights = times.iter().map(|&time| average.weights(time)).collect::<Result<Vec<_>, _>>()?;
        self.sample_trajectories(&mut process, schedule, times, |process, trajectory, index| {
            let last = &trajectory[..=times[index] as usize];
            let mut mean = vec![0.0; process.position().len()];
            for (weight, position) in weights[index].iter().zip(last.iter().rev()).filter(|(w, _)| **w != 0.0) {
                mean.iter_mut().zip(position).for_each(|(m, x)| *m += weight * x);
            }
            process.loss_at(&mean)
        })
    }

    /// Mean and standard error of the loss of any process at `times`.
    pub(crate) fn sample_process<P: Process, S: Schedule + ?Sized>(
        &self,
        process: &mut P,
        schedule: &S,
        times: &[u64],
    ) -> Result<Prediction, TheoryError> {
        let index_loss =
            |process: &P, trajectory: &[Vec<f64>], index: usize| process.loss_at(&trajectory[times[index] as usize]);
        self.sample_trajectories(process, schedule, times, index_loss)
    }

    /// Mean and standard error of a value read off whole trajectories, one for each of `times`.
    fn sample_trajectories<P: Process, S: Schedule + ?Sized>(
        &self,
        process: &mut P,
        schedule: &S,
        times: &[u64],
        value: impl Fn(&P, &[Vec<f64>], usize) -> f64,
    ) -> Result<Prediction, TheoryError> {
        check("runs", "at least 2", self.runs as f64, self.runs >= 2)?;
        let steps = times.iter().copied().max().unwrap_or(0);
        check("steps of a stored trajectory", "at most 1e9", steps as f64, steps <= LONGEST_CURVE)?;
        let mut random = RandomStream::from_seed(self.seed);
        let (mut means, mut squares) = (vec![0.0; times.len()], vec![0.0; times.len()]);
        let mut trajectory = vec![Vec::new(); steps as usize + 1];
        for run in 0..self.runs {
            process.restart(&mut random);
            process.position().clone_into(&mut trajectory[0]);
            for (step, position) in (0..steps).zip(trajectory.iter_mut().skip(1)) {
                process.step(&schedule.settings(step), step, &mut random)?;
                process.position().clone_into(position);
            }
            for (index, (mean, square)) in means.iter_mut().zip(&mut squares).enumerate() {
                let loss = value(process, &trajectory, index);
                let difference = loss - *mean;
                *mean += difference / (run + 1) as f64;
                *square += difference * (loss - *mean);
            }
        }
        let scale = 1.0 / (self.runs as f64 * (self.runs - 1) as f64);
        let standard_errors = Some(squares.iter().map(|sum| (sum * scale).sqrt()).collect());
        Ok(Prediction { times: times.to_vec(), loss: means, standard_errors, warnings: Vec::new() })
    }
}

/// SGD in the coordinates of the modes.
struct ModeProcess<'a> {
    model: &'a QuadraticModel,
    source: NoiseSource,
    eigenvalues: Vec<f64>,
    initial: Vec<f64>,
    error: Vec<f64>,
    velocity: Vec<f64>,
    gradient: Vec<f64>,
    features: Vec<f64>,
}

impl<'a> ModeProcess<'a> {
    fn new(model: &'a QuadraticModel, source: NoiseSource) -> Result<Self, TheoryError> {
        for (node, (eigenvalue, weight, _)) in model.modes.nodes().enumerate() {
            let multiplicity = weight / (eigenvalue * eigenvalue);
            if (multiplicity - 1.0).abs() > 1e-9 {
                return Err(TheoryError::NotSingleModes { what: "sampling SGD", node, multiplicity });
            }
        }
        let mut eigenvalues = model.modes.eigenvalues.clone();
        let mut initial: Vec<f64> = model.modes.nodes().map(|(l, _, p)| (p / l).sqrt()).collect();
        eigenvalues.extend(&model.negative.eigenvalues);
        initial.extend(model.negative.nodes().map(|(l, _, p)| (p / l).sqrt()));
        let zeros = vec![0.0; eigenvalues.len()];
        Ok(Self {
            model,
            source,
            error: initial.clone(),
            velocity: zeros.clone(),
            gradient: zeros.clone(),
            features: zeros,
            eigenvalues,
            initial,
        })
    }

    /// Gradient plus a normal draw with the variance of the closure; negative modes get none.
    fn closure_gradient(&mut self, sgd: &Sgd, random: &mut RandomStream) {
        let closure = self.model.closure;
        let signal: f64 = self.eigenvalues.iter().zip(&self.error).map(|(&l, &e)| l.max(0.0) * e * e).sum::<f64>();
        for ((gradient, &eigenvalue), &error) in self.gradient.iter_mut().zip(&self.eigenvalues).zip(&self.error) {
            let drive = closure.tau1() * signal + self.model.label_noise();
            let pull = eigenvalue * error;
            let variance = eigenvalue.max(0.0) * (drive - closure.tau2() * pull * error);
            *gradient = pull + (sgd.noise_factor * variance).max(0.0).sqrt() * random.normal();
        }
    }

    /// Mean over a batch of ψ(ψ·δw − ε), ψ_k ~ N(0, λ_k), ε ~ N(0, σ²).
    fn batch_gradient(&mut self, batch: usize, random: &mut RandomStream) {
        self.gradient.fill(0.0);
        let label_sd = self.model.label_noise().sqrt();
        for _ in 0..batch {
            for (feature, &eigenvalue) in self.features.iter_mut().zip(&self.eigenvalues) {
                *feature = eigenvalue.max(0.0).sqrt() * random.normal();
            }
            let residual = self.features.iter().zip(&self.error).map(|(f, e)| f * e).sum::<f64>()
                - if label_sd > 0.0 { label_sd * random.normal() } else { 0.0 };
            for (gradient, feature) in self.gradient.iter_mut().zip(&self.features) {
                *gradient += feature * residual / batch as f64;
            }
        }
        for ((gradient, &eigenvalue), &error) in self.gradient.iter_mut().zip(&self.eigenvalues).zip(&self.error) {
            *gradient += eigenvalue.min(0.0) * error;
        }
    }
}

impl Process for ModeProcess<'_> {
    fn restart(&mut self, _random: &mut RandomStream) {
        self.error.copy_from_slice(&self.initial);
        self.velocity.fill(0.0);
    }

    fn step(&mut self, sgd: &Sgd, step: u64, random: &mut RandomStream) -> Result<(), TheoryError> {
        match self.source {
            NoiseSource::Closure => self.closure_gradient(sgd, random),
            NoiseSource::GaussianFeatures => {
                let batch = Sampling::Stream.whole_batch(sgd.noise_factor, step)?;
                self.batch_gradient(batch, random);
            }
        }
        for ((error, velocity), gradient) in self.error.iter_mut().zip(&mut self.velocity).zip(&self.gradient) {
            *velocity = sgd.momentum * *velocity - sgd.learning_rate * gradient;
            *error += *velocity;
        }
        Ok(())
    }

    fn position(&self) -> &[f64] {
        &self.error
    }

    fn loss_at(&self, position: &[f64]) -> f64 {
        let quadratic: f64 = self.eigenvalues.iter().zip(position).map(|(l, e)| l * e * e).sum();
        self.model.loss_floor() + 0.5 * quadratic
    }
}
