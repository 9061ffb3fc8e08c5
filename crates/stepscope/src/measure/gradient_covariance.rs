//! The covariance of one example's gradient: its top eigenvalue without forming a single example's gradient.

use stepscope_spectral::random::RandomStream;
use stepscope_spectral::{Lanczos, LanczosConfig, StartVector, hutchinson};
use stepscope_types::quantity::{self, Quantity};
use stepscope_types::{Estimate, Uncertainty};

use super::cost::Cost;
use super::objective::Objective;
use super::operators::{BatchLoss, Curvature, CurvatureOperator};
use super::probe::{Measured, Probe, ProbeError, ProbePoint};
use super::statistics::dot;
use crate::checkpoint::{State, StateError, Stateful};
use crate::data::Batch;
use crate::models::Sharing;

/// λ_K¹, tr K and tr K/λ_K¹ of the centred covariance K over the probe examples, by products, and the alignment of its top
/// eigenvector with the Hessian's where the sharpness was measured at the same step.
///
/// Nothing is sampled into batches, so λ_K¹ has none of the upward bias of the Gram route (a factor of 1.4 to 2 for some
/// twenty batches); its error is a Ritz residual. The trace is Hutchinson's, with a standard error.
///
/// Cost: at most `max_products` + 10 products, each 1.7 gradients over the probe examples, and one gradient. Source: `curvature`,
/// sections 2.1, 2.4 and 4.6. Not defined in networks whose examples see each other.
#[derive(Debug)]
pub struct GradientCovarianceProbe<B = Batch> {
    objective: Objective<B>,
    lanczos: Lanczos,
    sharing: Sharing,
    random: RandomStream,
    warm_start: Option<Vec<f64>>,
    cost: Cost,
}

impl<B> GradientCovarianceProbe<B> {
    /// Random vectors for the trace.
    const TRACE_PROBES: usize = 10;

    /// A probe on `objective`, whose tensors are on the tracked device.
    pub fn new(objective: Objective<B>, max_products: u64, tolerance: f64, random: RandomStream) -> Self {
        let lanczos =
            Lanczos::new(LanczosConfig { max_products: max_products as usize, tolerance, ..LanczosConfig::default() });
        let cost = Self::cost_of(&objective, max_products.min(12));
        Self { objective, lanczos, sharing: Sharing::default(), random, warm_start: None, cost }
    }

    /// The same, whose products share so much of their linearisation.
    pub fn sharing(mut self, sharing: Sharing) -> Self {
        self.sharing = sharing;
        self
    }

    fn cost_of(objective: &Objective<B>, num_products: u64) -> Cost {
        let examples = objective.num_examples();
        let passes = (num_products * (4 + num_products) + 4 * Self::TRACE_PROBES as u64) as usize;
        let products = Cost::outer_products(examples) * (num_products + Self::TRACE_PROBES as u64) as f64;
        Cost::gradients(examples) + products + Cost::passes(passes)
    }
}

impl<N: BatchLoss<B>, B> Probe<N> for GradientCovarianceProbe<B> {
    fn name(&self) -> &'static str {
        "gradient-covariance"
    }

    fn cost(&self) -> Cost {
        self.cost
    }

    fn measure(&mut self, at: &ProbePoint<'_, N>) -> Result<Vec<Measured>, ProbeError> {
        at.check_examples_are_independent("gradient-covariance")?;
        let num_examples = self.objective.num_examples() as u64;
        let about = |quantity: &'static Quantity, estimate: Estimate| {
            Measured::new(quantity, estimate.over_examples(num_examples).in_mode(at.mode))
        };
        let curvature = Curvature::GradientCovariance;
        let mut operator =
            CurvatureOperator::new(at.network, &self.objective, at.layout, curvature).sharing(self.sharing);
        let start = match &self.warm_start {
            Some(eigenvector) => StartVector::Warm(eigenvector),
            None => StartVector::Random,
        };
        let outcome = self.lanczos.run(&mut operator, start, &mut self.random)?;
        self.cost = Self::cost_of(&self.objective, outcome.num_products);
        let unit = quantity::COVARIANCE_TRACE.unit;
        let trace = hutchinson(&mut operator, Self::TRACE_PROBES, unit, &mut self.random)?.trace;
        let mut measured = Vec::new();
        if let Some(top) = outcome.eigenvalue_estimate(0, quantity::COVARIANCE_TOP_EIGENVALUE.unit) {
            let ratio = trace.clone().with_products(0).scaled(1.0 / top.value, quantity::COVARIANCE_TRACE_RATIO.unit);
            measured.push(about(&quantity::COVARIANCE_TOP_EIGENVALUE, top));
            measured.push(about(&quantity::COVARIANCE_TRACE_RATIO, ratio));
        }
        measured.push(about(&quantity::COVARIANCE_TRACE, trace));
        self.warm_start = outcome.eigenpairs.into_iter().next().map(|pair| pair.eigenvector);
        let sharpest = at.shared.and_then(|shared| shared.sharpest_direction());
        if let (Some(noisiest), Some(sharpest)) = (&self.warm_start, sharpest) {
            let cosine = dot(noisiest, &sharpest).abs();
            let unit = quantity::HESSIAN_COVARIANCE_ALIGNMENT.unit;
            let estimate = Estimate::new(cosine, unit, Uncertainty::Exact);
            measured.push(about(&quantity::HESSIAN_COVARIANCE_ALIGNMENT, estimate));
        }
        Ok(measured)
    }
}

impl<B> Stateful for GradientCovarianceProbe<B> {
    fn save_state(&self, state: &mut State) {
        state.nest("random", &self.random);
        state.put("cost", &self.cost);
        if let Some(eigenvector) = &self.warm_start {
            state.put_vector("warm_start", eigenvector.clone());
        }
    }

    fn load_state(&mut self, state: &State) -> Result<(), StateError> {
        state.restore("random", &mut self.random)?;
        self.cost = state.get("cost")?;
        self.warm_start = state.vector_of_any_length("warm_start").ok().map(<[f64]>::to_vec);
        Ok(())
    }
}
