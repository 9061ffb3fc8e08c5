//! The density of eigenvalues, by stochastic Lanczos quadrature.

use stepscope_types::{Estimate, Spectrum};

use crate::krylov::spectral_measure;
use crate::operator::LinearOperator;
use crate::process::LanczosError;
use crate::random::RandomStream;
use crate::statistics::{mean_with_error, sampled};

/// Nodes and weights of the spectral density, probe by probe.
///
/// Every number read off it is a mean over the probes with the standard error between them; nothing is smoothed until
/// it is asked for.
#[derive(Debug, Clone, PartialEq)]
pub struct SpectralDensity {
    probes: Vec<Spectrum>,
    dim: usize,
    num_products: u64,
}

/// The density at a place.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct DensityPoint {
    /// The eigenvalue (of [`SpectralDensity::per_decade`]: its magnitude).
    pub at: f64,
    /// Share of the eigenvalues per unit of the axis.
    pub density: f64,
    /// Standard error between probes.
    pub error: f64,
}

/// The density of eigenvalues of a symmetric operator from `num_probes` random-sign vectors and `num_steps` Lanczos steps
/// each.
///
/// A probe v of random signs has the spectral measure Σ_i (v_iᵀv)² δ(λ − λ_i), whose mean over probes is the count of
/// eigenvalues. Gauss quadrature gives it as nodes θ_k (eigenvalues of the tridiagonal matrix T) with weights (squared
/// *first components* of the eigenvectors of T), exact for polynomials of degree below 2·`num_steps`. Weights of a probe
/// sum to 1. With the same stream, the mean of the first moments is the trace of [`hutchinson`](crate::hutchinson).
///
/// 80 to 100 steps and 1 to 10 probes are usual; at least two are needed for an error. Cost: `num_probes`·`num_steps`
/// products, memory of `num_steps` + 2 vectors. Source: `curvature`, section 4.5.
///
/// ```
/// use stepscope_spectral::random::RandomStream;
/// use stepscope_spectral::{DenseOperator, spectral_density};
/// let mut random = RandomStream::named(1, "example");
/// let mut matrix = DenseOperator::with_eigenvalues(&[5.0, 1.0, 1.0, -1.0], &mut random)?;
/// let density = spectral_density(&mut matrix, 200, 4, &mut random)?;
/// let negative = density.negative_mass();
/// assert!((negative.value - 0.25).abs() < 0.1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// [`LanczosError`] for fewer than two probes, no steps, and products that fail or are not finite.
pub fn spectral_density<O: LinearOperator + ?Sized>(
    operator: &mut O,
    num_probes: usize,
    num_steps: usize,
    random: &mut RandomStream,
) -> Result<SpectralDensity, LanczosError<O::Error>> {
    if num_probes < 2 {
        let expected = "at least 2, or there is no error";
        return Err(LanczosError::Setting { setting: "num_probes", got: num_probes as f64, expected });
    }
    let dim = operator.dim();
    let mut probe = vec![0.0; dim];
    let mut density = SpectralDensity { probes: Vec::with_capacity(num_probes), dim, num_products: 0 };
    for _probe in 0..num_probes {
        random.fill_rademacher(&mut probe);
        let measure = spectral_measure(operator, &probe, num_steps)?;
        density.num_products += measure.num_products;
        let weights = measure.spectrum.coefficients().iter().map(|weight| weight / dim as f64).collect();
        density.probes.push(Spectrum::new(measure.spectrum.eigenvalues().to_vec(), weights)?);
    }
    Ok(density)
}

/// Eigenvalues within this fraction of the largest magnitude count as zero: products in f32 resolve no more.
const ZERO_FRACTION: f64 = 1e-6;

impl SpectralDensity {
    /// Raw nodes and weights of each probe; the weights of a probe sum to 1.
    pub fn probes(&self) -> &[Spectrum] {
        &self.probes
    }

    /// Number of eigenvalues: rows of the operator.
    pub fn dim(&self) -> usize {
        self.dim
    }

    /// Matrix-vector products spent.
    pub fn num_products(&self) -> u64 {
        self.num_products
    }

    /// Smallest and largest node over all probes.
    pub fn range(&self) -> (f64, f64) {
        let nodes = self.probes.iter().flat_map(Spectrum::eigenvalues);
        nodes.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), &node| (low.min(node), high.max(node)))
    }

    /// (1/n) tr f(A): the mean of `f` over the eigenvalues, with the standard error between probes.
    pub fn mean_of(&self, f: impl Fn(f64) -> f64, unit: &str) -> Estimate {
        sampled(self.mean_and_error(f), unit, self.num_products)
    }

    fn mean_and_error(&self, f: impl Fn(f64) -> f64) -> (f64, f64) {
        let of_probe = |probe: &Spectrum| probe.pairs().map(|(node, weight)| weight * f(node)).sum();
        mean_with_error(&self.probes.iter().map(of_probe).collect::<Vec<f64>>())
    }

    /// tr A: n times the first moment; the same number as Hutchinson's with the same probes.
    pub fn trace(&self, unit: &str) -> Estimate {
        self.mean_of(|node| node, unit).scaled(self.dim as f64, unit)
    }

    /// Share of the eigenvalues that are below `bound`.
    pub fn mass_below(&self, bound: f64) -> Estimate {
        self.mean_of(|node| if node < bound { 1.0 } else { 0.0 }, "1")
    }

    /// Share of the eigenvalues that are negative: below −10⁻⁶ of the largest magnitude, which products in f32 can tell
    /// from zero.
    pub fn negative_mass(&self) -> Estimate {
        let (low, high) = self.range();
        self.mass_below(-ZERO_FRACTION * high.abs().max(low.abs()))
    }

    /// Share of the eigenvalues in each bin [edge_k, edge_{k+1}) with its standard error; `edges` ascending. Bins may
    /// differ in width: equal ratios suit a logarithmic axis.
    pub fn histogram(&self, edges: &[f64]) -> Vec<(f64, f64)> {
        let bin = |ends: &[f64]| self.mean_and_error(|node| if node >= ends[0] && node < ends[1] { 1.0 } else { 0.0 });
        edges.windows(2).map(bin).collect()
    }

    /// The standard deviation of the Gaussian that about separates neighbouring nodes: range/((m − 1)·√(8 ln 3)) for m
    /// nodes a probe. 0 where all nodes coincide.
    pub fn natural_width(&self) -> f64 {
        let (low, high) = self.range();
        let num_nodes = self.probes.iter().map(Spectrum::num_modes).max().unwrap_or_default().max(2);
        (high - low) / ((num_nodes - 1) as f64 * (8.0 * 3_f64.ln()).sqrt())
    }

    /// `num_points` evenly spaced places from three widths below the smallest node to three above the largest.
    pub fn grid(&self, num_points: usize, width: f64) -> Vec<f64> {
        let (low, high) = self.range();
        let (low, high) = (low - 3.0 * width, high + 3.0 * width);
        let step = (high - low) / num_points.saturating_sub(1).max(1) as f64;
        (0..num_points).map(|index| low + step * index as f64).collect()
    }

    /// The density at `places`, each node spread by a Gaussian of standard deviation `width` (positive); per unit of λ.
    pub fn smoothed(&self, places: &[f64], width: f64) -> Vec<DensityPoint> {
        self.points(places, |at, node| gaussian(node - at, width))
    }

    /// The density of the magnitudes of the positive (or negative) eigenvalues at `magnitudes`, each node spread by a
    /// Gaussian of `decades` on the axis log₁₀|λ|; per decade. Its integral is the share of eigenvalues of that sign.
    pub fn per_decade(&self, magnitudes: &[f64], decades: f64, negative: bool) -> Vec<DensityPoint> {
        let sign = if negative { -1.0 } else { 1.0 };
        self.points(magnitudes, |at, node| {
            let magnitude = sign * node;
            if magnitude > 0.0 { gaussian(magnitude.log10() - at.log10(), decades) } else { 0.0 }
        })
    }

    fn points(&self, places: &[f64], kernel: impl Fn(f64, f64) -> f64) -> Vec<DensityPoint> {
        let point = |&at: &f64| {
            let (density, error) = self.mean_and_error(|node| kernel(at, node));
            DensityPoint { at, density, error }
        };
        places.iter().map(point).collect()
    }
}

/// The normal density of standard deviation `width` at `x`.
fn gaussian(x: f64, width: f64) -> f64 {
    (-0.5 * (x / width).powi(2)).exp() / (width * std::f64::consts::TAU.sqrt())
}
