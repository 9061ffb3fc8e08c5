//! The Hessian as a whole: trace, norm, negative curvature.

use stepscope_spectral::random::RandomStream;
use stepscope_spectral::{Lanczos, LanczosConfig, StartVector, Which, hutchinson, spectral_measure};
use stepscope_types::quantity::{self, Quantity};
use stepscope_types::{Estimate, Uncertainty};

use super::cost::Cost;
use super::objective::Objective;
use super::operators::{BatchLoss, Curvature, CurvatureOperator, Kinks};
use super::probe::{Measured, Probe, ProbeError, ProbePoint};
use super::statistics::mean_and_error;
use crate::checkpoint::{State, StateError, Stateful};
use crate::data::Batch;

/// Trace and Frobenius norm of the Hessian (Hutchinson), its algebraically smallest eigenvalue (Lanczos, started from the last
/// reading's), the weight of its spectral density below zero (quadrature from random vectors), and the Takeuchi information
/// criterion tr Σ/tr H where the gradient noise was measured at the same step.
///
/// Cost: 16 + 2·24 + at most `max_products` Hessian products over the probe examples. Source: `curvature`, sections 4.5 and 4.6.
#[derive(Debug)]
pub struct HessianSpectrumProbe<B = Batch> {
    objective: Objective<B>,
    curvature: Curvature,
    bottom: Lanczos,
    max_products: u64,
    random: RandomStream,
    warm_start: Option<Vec<f64>>,
}

impl<B> HessianSpectrumProbe<B> {
    /// Random vectors for trace and norm.
    const TRACE_PROBES: usize = 16;
    /// Random vectors for the density.
    const DENSITY_PROBES: usize = 2;
    /// Products each of them gets.
    const DENSITY_PRODUCTS: usize = 24;
    /// Eigenvalues nearer to zero than this share of the largest are rounding error of f32 products.
    const ROUNDING: f64 = 1e-4;

    /// A probe on `objective`, whose tensors are on the tracked device.
    pub fn new(objective: Objective<B>, max_products: u64, tolerance: f64, random: RandomStream) -> Self {
        let bottom = Lanczos::new(LanczosConfig {
            which: Which::SmallestAlgebraic,
            max_products: max_products as usize,
            tolerance,
            ..LanczosConfig::default()
        });
        Self { objective, curvature: Curvature::Hessian, bottom, max_products, random, warm_start: None }
    }

    /// The same with differences of gradients in place of exact products, for a smooth module without tangent rules.
    pub fn by_differences(mut self, kinks: Kinks) -> Self {
        self.curvature = Curvature::HessianByDifferences { kinks };
        self
    }

    /// The weight below zero of every random vector's spectral measure, each normalised to 1.
    fn negative_masses<N: BatchLoss<B>>(&mut self, at: &ProbePoint<'_, N>) -> Result<Vec<f64>, ProbeError> {
        let mut operator = CurvatureOperator::new(at.network, &self.objective, at.layout, self.curvature);
        let mut vector = vec![0.0; at.layout.num_params()];
        let one = |_| -> Result<f64, ProbeError> {
            self.random.fill_normal(&mut vector);
            let density = spectral_measure(&mut operator, &vector, Self::DENSITY_PRODUCTS)?.spectrum;
            let scale = density.pairs().fold(0.0_f64, |scale, (node, _)| scale.max(node.abs()));
            let (mut negative, mut total) = (0.0, 0.0);
            for (node, weight) in density.pairs() {
                total += weight;
                negative += if node < -Self::ROUNDING * scale { weight } else { 0.0 };
            }
            Ok(negative / total)
        };
        (0..Self::DENSITY_PROBES).map(one).collect()
    }
}

impl<N: BatchLoss<B>, B> Probe<N> for HessianSpectrumProbe<B> {
    fn name(&self) -> &'static str {
        "hessian-spectrum"
    }

    fn cost(&self) -> Cost {
        let density = Self::DENSITY_PROBES * Self::DENSITY_PRODUCTS;
        let products = Self::TRACE_PROBES as u64 + density as u64 + self.max_products;
        Cost::hessian_products(self.objective.num_examples()) * products as f64
    }

    fn measure(&mut self, at: &ProbePoint<'_, N>) -> Result<Vec<Measured>, ProbeError> {
        let num_examples = self.objective.num_examples() as u64;
        let about = |quantity: &'static Quantity, estimate: Estimate| {
            Measured::new(quantity, estimate.over_examples(num_examples).in_mode(at.mode))
        };
        let mut operator = CurvatureOperator::new(at.network, &self.objective, at.layout, self.curvature);
        let unit = quantity::HESSIAN_TRACE.unit;
        let traces = hutchinson(&mut operator, Self::TRACE_PROBES, unit, &mut self.random)?;
        let start = match &self.warm_start {
            Some(eigenvector) => StartVector::Warm(eigenvector),
            None => StartVector::Random,
        };
        let outcome = self.bottom.run(&mut operator, start, &mut self.random)?;
        let mut measured = Vec::new();
        if let Some(noise) = at.shared.and_then(|shared| shared.noise_trace()) {
            measured.push(about(&quantity::TAKEUCHI, takeuchi(&noise, &traces.trace)));
        }
        // The products of trace and norm are the same ones: counted once.
        measured.push(about(&quantity::HESSIAN_FROBENIUS, traces.frobenius_norm.with_products(0)));
        measured.push(about(&quantity::HESSIAN_TRACE, traces.trace));
        measured.extend(
            outcome
                .eigenvalue_estimate(0, quantity::HESSIAN_BOTTOM_EIGENVALUE.unit)
                .map(|estimate| about(&quantity::HESSIAN_BOTTOM_EIGENVALUE, estimate)),
        );
        self.warm_start = outcome.eigenpairs.into_iter().next().map(|pair| pair.eigenvector);
        let masses = self.negative_masses(at)?;
        let (mass, error) = mean_and_error(&masses);
        let products = (Self::DENSITY_PROBES * Self::DENSITY_PRODUCTS) as u64;
        let mass = Estimate::new(mass, quantity::HESSIAN_NEGATIVE_MASS.unit, Uncertainty::StandardError(error));
        measured.push(about(&quantity::HESSIAN_NEGATIVE_MASS, mass.with_products(products)));
        Ok(measured)
    }
}

/// tr Σ/tr H, the two errors taken as independent.
fn takeuchi(noise: &Estimate, hessian: &Estimate) -> Estimate {
    let error = |estimate: &Estimate| {
        let (low, high) = estimate.interval();
        0.5 * (high - low) / estimate.value
    };
    let value = noise.value / hessian.value;
    let relative = error(noise).hypot(error(hessian));
    Estimate::new(value, quantity::TAKEUCHI.unit, Uncertainty::StandardError((value * relative).abs()))
}

impl<B> Stateful for HessianSpectrumProbe<B> {
    fn save_state(&self, state: &mut State) {
        state.nest("random", &self.random);
        if let Some(eigenvector) = &self.warm_start {
            state.put_vector("warm_start", eigenvector.clone());
        }
    }

    fn load_state(&mut self, state: &State) -> Result<(), StateError> {
        state.restore("random", &mut self.random)?;
        self.warm_start = state.vector_of_any_length("warm_start").ok().map(<[f64]>::to_vec);
        Ok(())
    }
}
