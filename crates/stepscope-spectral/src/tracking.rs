//! Eigenpairs followed along a training run.

use crate::eigensolver::{EigenOutcome, Eigensolver, EigensolverConfig, RunnerUp, StartBlock};
use crate::operator::LinearOperator;
use crate::process::LanczosError;
use crate::random::RandomStream;

/// An [`Eigensolver`] that starts each measurement from the vectors of the last, and cold now and then.
///
/// A warm start finds an eigenvalue that overtakes from outside the tracked ones by its random part, which takes a few
/// measurements where it grows slowly; ask for one more than needed, and it is followed before it overtakes. A cold start is
/// independent of everything that went before. It happens at the first measurement, every `cold_every`th, after one whose worst
/// residual was above 5 % of its eigenvalue ([`EigenTracker::kept_up_to`] says another share), and where the dimension has
/// changed. Source: `curvature`, section 4.7.
///
/// The state on which the next measurement depends is [`EigenTracker::vectors`] and
/// [`EigenTracker::num_since_cold`], with the random stream's position.
#[derive(Debug, Clone, PartialEq)]
pub struct EigenTracker {
    config: EigensolverConfig,
    cold_every: u64,
    max_warm_products: usize,
    max_residual: f64,
    vectors: Vec<Vec<f64>>,
    num_since_cold: u64,
}

/// A measurement with the products that its cold start spent elsewhere.
#[derive(Debug, Clone, PartialEq)]
pub struct Tracked {
    /// The eigenpairs.
    pub outcome: EigenOutcome,
    /// Products of the scout: 0 for a warm start.
    pub num_scout_products: u64,
}

/// Relative residual above which the vectors are not worth starting from.
const LOST: f64 = 0.05;

/// Relative residual that is asked of a scout, whose products are cheap.
const SCOUT_TOLERANCE: f64 = 1e-3;

/// How many times its value over a scout an eigenvalue may be. Of a multilayer perceptron on images those over 256 and over 2048 examples were apart by
/// up to a fifth.
const SCOUT_MARGIN: f64 = 1.25;

impl EigenTracker {
    /// A tracker without vectors; `cold_every` = 0 means never again after the first time.
    pub fn new(config: EigensolverConfig, cold_every: u64) -> Self {
        let max_warm_products = config.max_products;
        Self { config, cold_every, max_warm_products, max_residual: LOST, vectors: Vec::new(), num_since_cold: 0 }
    }

    /// The same with at most `products` (at least 1) a warm measurement: two correct the eigenvalue to second order in what the vector
    /// has turned since, and the residual says how far that went.
    pub fn with_warm_products(mut self, products: usize) -> Self {
        self.max_warm_products = products.max(1);
        self
    }

    /// The same, starting cold only after a residual above this share of its eigenvalue.
    pub fn kept_up_to(mut self, residual: f64) -> Self {
        self.max_residual = residual;
        self
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

    /// Whether the next measurement, of an operator of that dimension, starts cold.
    pub fn is_cold(&self, dim: usize) -> bool {
        let fits = !self.vectors.is_empty() && self.vectors.iter().all(|vector| vector.len() == dim);
        !fits || (self.cold_every > 0 && self.num_since_cold >= self.cold_every)
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
        let cold = self.is_cold(operator.dim());
        let vectors = std::mem::take(&mut self.vectors);
        let start = if cold { StartBlock::Random(1) } else { StartBlock::Warm(&vectors) };
        let result = self.run(operator, start, cold, random);
        if result.is_err() {
            self.vectors = vectors;
        }
        result
    }

    /// As [`EigenTracker::measure`], but a cold start looks for the eigenvectors of `scout` first and starts from those: a matrix of the
    /// same dimension with nearly the same outer eigenvectors at a fraction of the price, such as the Hessian over some of the
    /// examples. A random start has hardly any of the top eigenvector in it and may settle on the next one; the scout's, found to a
    /// relative residual of 10⁻³, has nearly nothing else. It is asked for one eigenvector more than wanted: where that one's eigenvalue,
    /// enlarged by a quarter, is not below what is found, its vector is multiplied too before the measurement ends, so that two eigenvalues
    /// that stand in another order there are told apart.
    ///
    /// # Errors
    /// Those of [`Eigensolver::run`].
    pub fn measure_scouted<O, S>(
        &mut self,
        operator: &mut O,
        scout: &mut S,
        random: &mut RandomStream,
    ) -> Result<Tracked, LanczosError<O::Error>>
    where
        O: LinearOperator + ?Sized,
        S: LinearOperator<Error = O::Error> + ?Sized,
    {
        if !self.is_cold(operator.dim()) || scout.dim() != operator.dim() {
            return Ok(Tracked { outcome: self.measure(operator, random)?, num_scout_products: 0 });
        }
        let EigensolverConfig { num_largest, max_products, .. } = self.config;
        let with_runner_up = (num_largest + 1).min(operator.dim().saturating_sub(self.config.num_smallest));
        let config = EigensolverConfig {
            num_largest: if num_largest == 0 { 0 } else { with_runner_up },
            max_products: 2 * max_products,
            tolerance: self.config.tolerance.min(SCOUT_TOLERANCE),
            ..self.config
        };
        let mut found = Eigensolver::new(config).run(scout, StartBlock::Random(1), random)?;
        let runner_up = (found.largest.len() > num_largest).then(|| found.largest.remove(num_largest));
        let runner_up =
            runner_up.map(|pair| RunnerUp { bound: SCOUT_MARGIN * pair.eigenvalue, vector: pair.eigenvector });
        let start = found.eigenvectors();
        let outcome = Eigensolver::new(self.config).run_scouted(operator, &start, runner_up, random)?;
        Ok(Tracked { outcome: self.keep(outcome, true), num_scout_products: found.num_products })
    }

    fn run<O: LinearOperator + ?Sized>(
        &mut self,
        operator: &mut O,
        start: StartBlock<'_>,
        cold: bool,
        random: &mut RandomStream,
    ) -> Result<EigenOutcome, LanczosError<O::Error>> {
        let max_products = if cold { self.config.max_products } else { self.max_warm_products };
        let outcome =
            Eigensolver::new(EigensolverConfig { max_products, ..self.config }).run(operator, start, random)?;
        Ok(self.keep(outcome, cold))
    }

    /// Takes a measurement's vectors for the next one to start from.
    fn keep(&mut self, outcome: EigenOutcome, cold: bool) -> EigenOutcome {
        let is_lost = |pair: &crate::TopEigenpair| pair.residual > self.max_residual * pair.eigenvalue.abs();
        let lost = outcome.largest.iter().chain(&outcome.smallest).any(is_lost);
        self.vectors = if lost && !outcome.converged { Vec::new() } else { outcome.eigenvectors() };
        self.num_since_cold = if cold { 1 } else { self.num_since_cold + 1 };
        outcome
    }
}
