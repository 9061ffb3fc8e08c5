//! Eigenpairs followed along a training run.

use crate::eigensolver::{EigenOutcome, Eigensolver, EigensolverConfig, StartBlock};
use crate::operator::LinearOperator;
use crate::process::LanczosError;
use crate::random::RandomStream;

/// An [`Eigensolver`] that starts each measurement from the vectors of the last, and cold now and then.
///
/// A warm start finds an eigenvalue that overtakes from outside the tracked ones by its random part, which takes a few
/// measurements where it grows slowly; ask for one more than needed, and it is followed before it overtakes. A cold start is
/// independent of everything that went before. It happens at the first measurement, every `cold_every`th, after one whose worst residual was above 5 % of its
/// eigenvalue, and where the dimension has changed. Source: `curvature`, section 4.7.
///
/// The state on which the next measurement depends is [`EigenTracker::vectors`] and
/// [`EigenTracker::num_since_cold`], with the random stream's position.
#[derive(Debug, Clone, PartialEq)]
pub struct EigenTracker {
    config: EigensolverConfig,
    cold_every: u64,
    vectors: Vec<Vec<f64>>,
    num_since_cold: u64,
}

/// Relative residual above which the vectors are not worth starting from.
const LOST: f64 = 0.05;

impl EigenTracker {
    /// A tracker without vectors; `cold_every` = 0 means never again after the first time.
    pub fn new(config: EigensolverConfig, cold_every: u64) -> Self {
        Self { config, cold_every, vectors: Vec::new(), num_since_cold: 0 }
    }

    /// The start block of the next measurement; empty where it will be cold.
    pub fn vectors(&self) -> &[Vec<f64>] {
        &self.vectors
    }

    /// Measurements since the last cold start, that one included.
    pub fn num_since_cold(&self) -> u64 {
        self.num_since_cold
    }

    /// Takes up a saved state; vectors that do not fit are refused by the next measurement's cold start.
    pub fn restore(&mut self, vectors: Vec<Vec<f64>>, num_since_cold: u64) {
        (self.vectors, self.num_since_cold) = (vectors, num_since_cold);
    }

    /// Measures `operator` and keeps the vectors. Where it fails, the tracker is as before.
    ///
    /// # Errors
    /// Those of [`Eigensolver::run`].
    pub fn measure<O: LinearOperator + ?Sized>(
        &mut self,
        operator: &mut O,
        random: &mut RandomStream,
    ) -> Result<EigenOutcome, LanczosError<O::Error>> {
        let fits = !self.vectors.is_empty() && self.vectors.iter().all(|vector| vector.len() == operator.dim());
        let cold = !fits || (self.cold_every > 0 && self.num_since_cold >= self.cold_every);
        let start = if cold { StartBlock::Random(1) } else { StartBlock::Warm(&self.vectors) };
        let outcome = Eigensolver::new(self.config).run(operator, start, random)?;
        let is_lost = |pair: &crate::TopEigenpair| pair.residual > LOST * pair.eigenvalue.abs();
        let lost = outcome.largest.iter().chain(&outcome.smallest).any(is_lost);
        self.vectors = if lost && !outcome.converged { Vec::new() } else { outcome.eigenvectors() };
        self.num_since_cold = if cold { 1 } else { self.num_since_cold + 1 };
        Ok(outcome)
    }
}
