//! The ladder: one question, answered by whichever rung is asked.

use crate::asymptotics::Asymptotics;
use crate::error::TheoryError;
use crate::gram::KernelData;
use crate::model::{Closure, QuadraticModel};
use crate::monte_carlo::{MonteCarlo, NoiseSource};
use crate::power_law::PowerLaw;
use crate::recursion::Prediction;
use crate::sgd::{Sampling, Schedule, Sgd};
use crate::warning::Warning;

/// A way to the loss, from the slowest and most literal to the quickest and most approximate.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Rung {
    /// SGD run many times: on the data where there is data, on Gaussian features for the closure (1, −1) of a stream, else
    /// on noise with the variance of the closure.
    MonteCarlo(MonteCarlo),
    /// All second moments of explicit data, no closure: O(N³) a step.
    SecondMoment,
    /// One triple of second moments a mode: O(modes) a step.
    Recursion,
    /// The recursion on bins, to a relative accuracy.
    Binned {
        /// Largest relative error of an asked loss.
        relative_accuracy: f64,
    },
    /// The Volterra sum: O(T²).
    Volterra,
    /// A contour integral a time: O(24 modes), whatever the time.
    Talbot,
    /// Two power laws: O(modes) once; only for power-law spectra and long times.
    Asymptotics,
}

/// A model with what else is known of where it came from.
#[derive(Debug, Clone)]
pub struct Problem {
    /// The quadratic.
    pub model: QuadraticModel,
    /// How batches are drawn.
    pub sampling: Sampling,
    /// The data the model was made of, for the first two rungs.
    pub data: Option<KernelData>,
    /// The power law the model was made of, for the last rung.
    pub power_law: Option<PowerLaw>,
}

impl Problem {
    /// A model alone, with batches from a stream.
    pub fn of_model(model: QuadraticModel) -> Self {
        Self { model, sampling: Sampling::Stream, data: None, power_law: None }
    }

    /// Explicit data under a closure, with batches without replacement.
    ///
    /// # Errors
    /// As [`KernelData::model`].
    pub fn of_data(data: KernelData, closure: Closure) -> Result<Self, TheoryError> {
        let sampling = Sampling::Finite { num_examples: data.num_examples() as u64 };
        Ok(Self { model: data.model(closure)?, sampling, data: Some(data), power_law: None })
    }

    /// A power law listed mode by mode, with batches from a stream.
    ///
    /// # Errors
    /// As [`PowerLaw::model`].
    pub fn of_power_law(law: PowerLaw, closure: Closure) -> Result<Self, TheoryError> {
        Ok(Self { power_law: Some(law), ..Self::of_model(law.model(closure)?) })
    }

    /// E L at `times` under `schedule`, by one rung.
    ///
    /// ```
    /// use stepscope_theory::{Closure, PowerLaw, Problem, Rung, Sgd};
    /// let problem = Problem::of_power_law(PowerLaw::new(1.5, 0.75, 1000.0)?, Closure::INTERPOLATING)?;
    /// let sgd = Sgd::from_numbers(0.3, 0.0, 1.0)?;
    /// let stepped = problem.predict(&sgd, &[1000], Rung::Recursion)?;
    /// let contour = problem.predict(&sgd, &[1000], Rung::Talbot)?;
    /// assert!((stepped.loss[0] / contour.loss[0] - 1.0).abs() < 1e-8);
    /// # Ok::<(), stepscope_theory::TheoryError>(())
    /// ```
    ///
    /// # Errors
    /// [`TheoryError::Unsuited`] where the rung needs data, constant settings or a power law that are not there; otherwise
    /// those of the rung.
    pub fn predict(&self, schedule: &dyn Schedule, times: &[u64], rung: Rung) -> Result<Prediction, TheoryError> {
        let mut prediction = self.by_rung(schedule, times, rung)?;
        if matches!(self.sampling, Sampling::Finite { .. }) {
            prediction.warnings.push(Warning::IndependentBatches);
        }
        Ok(prediction)
    }

    fn by_rung(&self, schedule: &dyn Schedule, times: &[u64], rung: Rung) -> Result<Prediction, TheoryError> {
        match rung {
            Rung::MonteCarlo(sampler) => self.sample(&sampler, schedule, times),
            Rung::SecondMoment => match &self.data {
                Some(data) => data.exact_loss_at(schedule, self.sampling, times),
                None => Err(TheoryError::Unsuited {
                    method: "the exact second-moment operator",
                    needs: "explicit data",
                    advice: "give features or a kernel, or use the recursion",
                }),
            },
            Rung::Recursion => self.model.loss_at(schedule, times),
            Rung::Binned { relative_accuracy } => {
                Ok(self.model.loss_at_binned(schedule, times, relative_accuracy)?.prediction)
            }
            Rung::Volterra => self.volterra(&constant(schedule, "the Volterra sum")?, times),
            Rung::Talbot => self.model.loss_at_talbot(&constant(schedule, "Talbot's contour")?, times),
            Rung::Asymptotics => self.asymptotics(&constant(schedule, "the asymptotic law")?, times),
        }
    }

    fn sample(&self, sampler: &MonteCarlo, schedule: &dyn Schedule, times: &[u64]) -> Result<Prediction, TheoryError> {
        if let Some(data) = &self.data {
            return data.sampled_loss_at(sampler, schedule, self.sampling, times);
        }
        let gaussian = self.model.closure() == Closure::GAUSSIAN && self.sampling == Sampling::Stream;
        let source = if gaussian { NoiseSource::GaussianFeatures } else { NoiseSource::Closure };
        sampler.sample(&self.model, source, schedule, times)
    }

    fn volterra(&self, sgd: &Sgd, times: &[u64]) -> Result<Prediction, TheoryError> {
        let curve = self.model.loss_curve_volterra(sgd, times.iter().copied().max().unwrap_or(0))?;
        let loss = times.iter().map(|&time| curve.loss[time as usize]).collect();
        Ok(Prediction { times: times.to_vec(), loss, standard_errors: None, warnings: curve.warnings })
    }

    fn asymptotics(&self, sgd: &Sgd, times: &[u64]) -> Result<Prediction, TheoryError> {
        let warnings = self.model.warnings(sgd, 0)?;
        let asymptotics = self.power_law.and_then(|law| Asymptotics::of(&law, &self.model, sgd));
        match asymptotics {
            Some(law) => {
                let loss = times.iter().map(|&time| law.loss(time as f64)).collect();
                Ok(Prediction { times: times.to_vec(), loss, standard_errors: None, warnings })
            }
            None => Err(TheoryError::Unsuited {
                method: "the asymptotic law",
                needs: "a power law with eigenvalue exponent above 1 and stable settings",
                advice: "use Talbot's contour for single late times",
            }),
        }
    }
}

fn constant(schedule: &dyn Schedule, method: &'static str) -> Result<Sgd, TheoryError> {
    schedule.constant().ok_or(TheoryError::Unsuited {
        method,
        needs: "constant settings",
        advice: "use the recursion, on bins where the spectrum is large",
    })
}
