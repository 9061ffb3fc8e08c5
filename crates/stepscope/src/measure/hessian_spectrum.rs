//! The Hessian as a whole: trace, norm, negative curvature.

use stepscope_spectral::random::RandomStream;
use stepscope_spectral::{
    Lanczos, LanczosConfig, LanczosError, LinearOperator, StartVector, TraceConfig, Which, estimate_trace,
    spectral_measure,
};
use stepscope_types::quantity::{self, Quantity};
use stepscope_types::{Estimate, GradientMeasure, SavedSpectrum, Spectrum, SpectrumKind, Uncertainty};

use super::cost::Cost;
use super::objective::Objective;
use super::operators::{BatchLoss, Curvature, CurvatureOperator, Kinks, ProductError};
use super::probe::{Measured, Probe, ProbeError, ProbePoint};
use super::statistics::{dot, mean_and_error};
use crate::checkpoint::{State, StateError, Stateful};
use crate::data::Batch;
use crate::models::Sharing;

/// Trace and Frobenius norm of the Hessian (by the estimator that suits the memory, [`estimate_trace`]), its algebraically smallest eigenvalue (Lanczos, started from the last
/// reading's), the weight of its spectral density below zero (quadrature from random vectors, with bounds on what the quadrature cannot tell
/// from zero), and the Takeuchi information
/// criterion tr Σ/tr H where the gradient noise was measured at the same step. The density itself, raw, with the measure of the
/// gradient along the eigenvalues, is handed out by [`Probe::take_spectrum`].
///
/// Cost: at most 40 + 3·24 + `max_products` Hessian products and one gradient over the probe examples. Source: `curvature`, sections 4.5 and 4.6.
#[derive(Debug)]
pub struct HessianSpectrumProbe<B = Batch> {
    objective: Objective<B>,
    curvature: Curvature,
    bottom: Lanczos,
    max_products: u64,
    sharing: Sharing,
    random: RandomStream,
    warm_start: Option<Vec<f64>>,
    spectrum: Option<SavedSpectrum>,
}

impl<B> HessianSpectrumProbe<B> {
    /// Most products for trace and norm: from 30 on a sketch pays.
    const TRACE_PRODUCTS: usize = 40;
    /// The standard error of the trace, relative to it, at which they end earlier.
    const TRACE_ERROR: f64 = 0.02;
    /// Bytes that the sketch may take.
    const TRACE_MEMORY: u64 = 1 << 30;
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
        let curvature = Curvature::Hessian;
        let sharing = Sharing::default();
        Self { objective, curvature, bottom, max_products, sharing, random, warm_start: None, spectrum: None }
    }

    /// The same, whose products share so much of their linearisation.
    pub fn sharing(mut self, sharing: Sharing) -> Self {
        self.sharing = sharing;
        self
    }

    /// The same with differences of gradients in place of exact products, for a smooth module without tangent rules.
    pub fn by_differences(mut self, kinks: Kinks) -> Self {
        self.curvature = Curvature::HessianByDifferences { kinks };
        self
    }

    /// The spectral measure of every random vector, each normalised to 1.
    fn densities<O>(hessian: &mut O, random: &mut RandomStream) -> Result<Vec<Spectrum>, ProbeError>
    where
        O: LinearOperator<Error = ProductError>,
    {
        let mut vector = vec![0.0; hessian.dim()];
        let one = |_| -> Result<Spectrum, ProbeError> {
            random.fill_normal(&mut vector);
            Ok(normalised(&spectral_measure(hessian, &vector, Self::DENSITY_PRODUCTS)?.spectrum)?)
        };
        (0..Self::DENSITY_PROBES).map(one).collect()
    }

    /// The gradient's measure; `None` where the gradient is zero.
    fn gradient<O>(hessian: &mut O, gradient: &[f64]) -> Result<Option<GradientMeasure>, ProbeError>
    where
        O: LinearOperator<Error = ProductError>,
    {
        let squared_norm = dot(gradient, gradient);
        if squared_norm == 0.0 {
            return Ok(None);
        }
        let measure = spectral_measure(hessian, gradient, Self::DENSITY_PRODUCTS)?;
        Ok(Some(GradientMeasure { squared_norm, nodes: normalised(&measure.spectrum)? }))
    }

    /// Share of a density below zero, beyond rounding: least, by the nodes, and most.
    ///
    /// A quadrature has all of the mass around a node in that node, so the one nearest to the bound on either side may hold mass of the other
    /// side; all others are where they belong. By the inequalities of Chebyshev, Markov and Stieltjes these bounds
    /// are strict, however few the products.
    fn negative_mass(density: &Spectrum) -> [f64; 3] {
        let scale = density.eigenvalues().iter().fold(0.0_f64, |scale, node| scale.max(node.abs()));
        let bound = -Self::ROUNDING * scale;
        let (mut mass, mut last_below, mut first_above) = (0.0, 0.0, 0.0);
        // Nodes descend.
        for (node, weight) in density.pairs() {
            if node >= bound {
                first_above = weight;
            } else {
                last_below = if mass == 0.0 { weight } else { last_below };
                mass += weight;
            }
        }
        [mass - last_below, mass, mass + first_above]
    }

    /// The mean over the random vectors, from the least to the most that its share can be, each with two standard errors between vectors.
    fn mean_negative_mass(probes: &[Spectrum]) -> Estimate {
        let shares: Vec<[f64; 3]> = probes.iter().map(Self::negative_mass).collect();
        let of = |which: usize| mean_and_error(&shares.iter().map(|share| share[which]).collect::<Vec<f64>>());
        let ((low, low_error), (mass, _), (high, high_error)) = (of(0), of(1), of(2));
        let (low, high) = ((low - 2.0 * low_error).max(0.0), (high + 2.0 * high_error).min(1.0));
        Estimate::new(mass, quantity::HESSIAN_NEGATIVE_MASS.unit, Uncertainty::Interval { low, high, level: 0.95 })
    }
}

/// The same nodes with weights that sum to 1.
fn normalised(measure: &Spectrum) -> Result<Spectrum, LanczosError<ProductError>> {
    let total: f64 = measure.coefficients().iter().sum();
    let weights = measure.coefficients().iter().map(|weight| weight / total).collect();
    Ok(Spectrum::new(measure.eigenvalues().to_vec(), weights)?)
}

impl<N: BatchLoss<B>, B> Probe<N> for HessianSpectrumProbe<B> {
    fn name(&self) -> &'static str {
        "hessian-spectrum"
    }

    fn cost(&self) -> Cost {
        let density = (1 + Self::DENSITY_PROBES) * Self::DENSITY_PRODUCTS;
        let (products, examples) =
            (Self::TRACE_PRODUCTS as u64 + density as u64 + self.max_products, self.objective.num_examples());
        Cost::gradients(examples) + Cost::products_at_one_point(examples, products, 1.0)
    }

    fn take_spectrum(&mut self) -> Option<SavedSpectrum> {
        self.spectrum.take()
    }

    fn measure(&mut self, at: &ProbePoint<'_, N>) -> Result<Vec<Measured>, ProbeError> {
        let num_examples = self.objective.num_examples() as u64;
        let about = |quantity: &'static Quantity, estimate: Estimate| {
            Measured::new(quantity, estimate.over_examples(num_examples).in_mode(at.mode))
        };
        let mut operator =
            CurvatureOperator::new(at.network, &self.objective, at.layout, self.curvature).sharing(self.sharing);
        let unit = quantity::HESSIAN_TRACE.unit;
        let config = TraceConfig {
            max_products: Self::TRACE_PRODUCTS,
            relative_error: Self::TRACE_ERROR,
            max_memory: Self::TRACE_MEMORY,
        };
        let traces = estimate_trace(&mut operator, config, unit, &mut self.random)?;
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
        let probes = Self::densities(&mut operator, &mut self.random)?;
        let products = (Self::DENSITY_PROBES * Self::DENSITY_PRODUCTS) as u64;
        let mass =
            Self::mean_negative_mass(&probes).with_products(products).over_examples(num_examples).in_mode(at.mode);
        measured.push(Measured::new(&quantity::HESSIAN_NEGATIVE_MASS, mass.clone()));
        let (_, gradient) = self.objective.loss_and_gradient(at.network, at.layout)?;
        let gradient = Self::gradient(&mut operator, &gradient)?;
        let num_products = products + gradient.iter().map(|measure| measure.nodes.num_modes() as u64).sum::<u64>();
        self.spectrum = Some(SavedSpectrum {
            kind: SpectrumKind::SpectralDensity,
            format: SavedSpectrum::FORMAT,
            step: at.step,
            matrix: "hessian".to_owned(),
            mode: at.mode,
            num_params: at.layout.num_params() as u64,
            num_examples,
            num_products,
            negative_mass: mass,
            probes,
            gradient,
        });
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
