//! Trace and Frobenius norm from random probes.

use stepscope_types::Estimate;
use thiserror::Error;

use crate::kernels;
use crate::operator::{LinearOperator, ProductError, checked_apply};
use crate::process::rounding_level;
use crate::random::RandomStream;
use crate::sketch::Sketch;
use crate::statistics::{mean_with_error, root_mean_square_with_error, sampled};

/// A trace and what came with it.
#[derive(Debug, Clone, PartialEq)]
pub struct TraceOutcome {
    /// tr A with its standard error.
    pub trace: Estimate,
    /// ‖A‖_F with its standard error, from the same products.
    pub frobenius_norm: Estimate,
    /// How they were found.
    pub method: TraceMethod,
}

/// An estimator of the trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TraceMethod {
    /// [`hutchinson`]: independent probes.
    Hutchinson,
    /// [`hutch_plus_plus`]: a sketch, and independent probes of the rest.
    HutchPlusPlus,
    /// [`xtrace`]: a sketch whose probes test each other.
    XTrace,
}

/// Why there is no trace.
#[derive(Debug, Clone, PartialEq, Error)]
pub enum TraceError<E: std::error::Error + 'static> {
    /// A product failed or was not finite.
    #[error(transparent)]
    Product(#[from] ProductError<E>),
    /// A standard error needs two samples.
    #[error("a trace with a standard error needs at least 2 probes, got {num_probes}")]
    TooFewProbes {
        /// Probes asked for.
        num_probes: usize,
    },
    /// A sketch needs products for itself and for its errors.
    #[error("{method:?} with a standard error needs at least {needed} products, got {got}: use Hutchinson's estimate")]
    TooFewProducts {
        /// The method asked for.
        method: TraceMethod,
        /// Products allowed.
        got: usize,
        /// Products needed.
        needed: usize,
    },
    /// A setting outside its range.
    #[error("{setting} is {got}, expected {expected}")]
    Setting {
        /// Name of the setting.
        setting: &'static str,
        /// The value given.
        got: f64,
        /// The range.
        expected: &'static str,
    },
}

/// Hutchinson's estimates of tr A and ‖A‖_F from `num_probes` products, each with its standard error.
///
/// For probes v of random signs: tr A = E vᵀAv with variance 2(‖A‖_F² − Σ a_ii²) a probe, and ‖A‖_F² = E‖Av‖². Both
/// are means over the probes (`num_probes` = m), their standard errors the sample's deviation over √m; the error
/// of the norm is that of its square over 2‖A‖_F, and the norm is biased by less than error² / (2‖A‖_F).
///
/// The number of probes is fixed in advance: a run that stops when two running means agree stops by luck.
/// [`estimate_trace`](crate::estimate_trace) stops by the standard error, and changes the method where products abound.
///
/// `unit` is that of A. Cost: `num_probes` products, two vectors of memory. Source: `curvature`, section 4.5. The
/// standard error is itself a sample's: below ten probes it is off by 25 % or more.
///
/// ```
/// use stepscope_spectral::random::RandomStream;
/// use stepscope_spectral::{DenseOperator, hutchinson};
/// let mut random = RandomStream::named(1, "example");
/// let mut matrix = DenseOperator::with_eigenvalues(&[3.0, 1.0, 0.5, 0.5], &mut random)?;
/// let outcome = hutchinson(&mut matrix, 200, "1/learning-rate", &mut random)?;
/// assert!((outcome.trace.value - 5.0).abs() < 1.0);
/// assert_eq!(outcome.trace.num_products, 200);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// [`TraceError`] for fewer than two probes, and products that fail or are not finite.
pub fn hutchinson<O: LinearOperator + ?Sized>(
    operator: &mut O,
    num_probes: usize,
    unit: &str,
    random: &mut RandomStream,
) -> Result<TraceOutcome, TraceError<O::Error>> {
    if num_probes < 2 {
        return Err(TraceError::TooFewProbes { num_probes });
    }
    let mut probes = Probes::new(Vec::new(), operator.dim());
    for _probe in 0..num_probes {
        probes.add(operator, random)?;
    }
    Ok(probes.outcome(unit))
}

/// Hutch++: what a sketch of the range holds is traced exactly, the rest by Hutchinson.
///
/// A third of the products (or `max_sketch`, if that is less) builds an orthonormal basis Q of AS for random signs S, as
/// many give tr QᵀAQ and ‖AQ‖_F², and the rest are probes of (I − QQᵀ)A(I − QQᵀ). For a positive semi-definite operator
/// O(1/ε) products reach a relative error ε, where Hutchinson needs O(1/ε²) (Meyer and others 2021). The standard error is
/// that of the probes.
///
/// Cost: `num_products` products; `max_sketch` + 2 vectors of memory, a third of [`xtrace`]'s, which is more accurate
/// where it fits. `unit` is that of A. Source: `curvature`, section 4.5.
///
/// # Errors
/// [`TraceError`] for fewer than 4 products, and products that fail or are not finite.
pub fn hutch_plus_plus<O: LinearOperator + ?Sized>(
    operator: &mut O,
    num_products: usize,
    max_sketch: usize,
    unit: &str,
    random: &mut RandomStream,
) -> Result<TraceOutcome, TraceError<O::Error>> {
    let needed = 4;
    if num_products < needed {
        return Err(TraceError::TooFewProducts { method: TraceMethod::HutchPlusPlus, got: num_products, needed });
    }
    let mut probes = Probes::sketched(operator, (num_products / 3).min(max_sketch), random)?;
    while probes.traces.len() < 2 || (probes.num_products as usize) < num_products {
        probes.add(operator, random)?;
    }
    Ok(probes.outcome(unit))
}

/// XTrace: every probe of a sketch is tested on the space of all others.
///
/// For k = `num_products`/2 probes ω_i of random signs, AΩ = QR and Z = AQ. With P_i the projection on the products of all
/// probes but i, tr(P_i A) + ω_iᵀ(I − P_i)A(I − P_i)ω_i is an unbiased estimate, and all k of them follow from Q, R and Z
/// (Epperly, Tropp and Webber 2024). The value is their mean, the standard error that of k samples: they are
/// dependent, which it does not see, so it is too small (by factors of 0.65 to 0.9 in the table of
/// [`estimate_trace`](crate::estimate_trace)). Where A has a rank below k the trace is exact to rounding.
///
/// Cost: 2k products (one less than an odd `num_products`), about 20 k² n operations, 3k vectors of memory. `unit` is that
/// of A, which must be symmetric. Source: `curvature`, section 4.5.
///
/// ```
/// use stepscope_spectral::random::RandomStream;
/// use stepscope_spectral::{DenseOperator, xtrace};
/// let mut random = RandomStream::named(1, "example");
/// let eigenvalues: Vec<f64> = (0..40).map(|k| 0.5_f64.powi(k)).collect();
/// let mut matrix = DenseOperator::with_eigenvalues(&eigenvalues, &mut random)?;
/// let outcome = xtrace(&mut matrix, 30, "1", &mut random)?;
/// assert!((outcome.trace.value - 2.0).abs() < 1e-3);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// [`TraceError`] for fewer than 4 products, and products that fail or are not finite.
pub fn xtrace<O: LinearOperator + ?Sized>(
    operator: &mut O,
    num_products: usize,
    unit: &str,
    random: &mut RandomStream,
) -> Result<TraceOutcome, TraceError<O::Error>> {
    let needed = 4;
    if num_products < needed {
        return Err(TraceError::TooFewProducts { method: TraceMethod::XTrace, got: num_products, needed });
    }
    let mut sketch = Sketch::new(operator.dim());
    for _probe in 0..num_products / 2 {
        sketch.add_probe(operator, random)?;
    }
    sketch.complete(operator)?;
    Ok(sketch_outcome(&sketch, unit))
}

/// The leave-one-out means of a completed sketch of at least two probes.
pub(crate) fn sketch_outcome(sketch: &Sketch, unit: &str) -> TraceOutcome {
    let num_products = sketch.num_products();
    let method = TraceMethod::XTrace;
    if sketch.is_exhausted() {
        let within = sketch.within();
        let norm = within.square.sqrt();
        // The range is in the basis to rounding of the products.
        let error = rounding_level(sketch.traces.len(), norm);
        return TraceOutcome {
            trace: sampled((within.trace, error), unit, num_products),
            frobenius_norm: sampled((norm, error), unit, num_products),
            method,
        };
    }
    let (traces, norms): (Vec<f64>, Vec<f64>) =
        sketch.leave_one_out().iter().map(|one| (one.trace, one.square.sqrt())).unzip();
    sample_outcome(&traces, &norms, method, num_products, unit)
}

/// Means of at least two samples of the trace and of the norm.
pub(crate) fn sample_outcome(
    traces: &[f64],
    norms: &[f64],
    method: TraceMethod,
    num_products: u64,
    unit: &str,
) -> TraceOutcome {
    TraceOutcome {
        trace: sampled(mean_with_error(traces), unit, num_products),
        frobenius_norm: sampled(root_mean_square_with_error(norms), unit, num_products),
        method,
    }
}

/// Independent probes of what a basis leaves of the operator (of all of it, where the basis is empty).
pub(crate) struct Probes {
    basis: Vec<Vec<f64>>,
    /// tr QᵀAQ and ‖AQ‖_F.
    trace_within: f64,
    norm_within: f64,
    probe: Vec<f64>,
    image: Vec<f64>,
    pub(crate) traces: Vec<f64>,
    pub(crate) norms: Vec<f64>,
    pub(crate) num_products: u64,
}

impl Probes {
    pub(crate) fn new(basis: Vec<Vec<f64>>, dim: usize) -> Self {
        Self {
            basis,
            trace_within: 0.0,
            norm_within: 0.0,
            probe: vec![0.0; dim],
            image: vec![0.0; dim],
            traces: Vec::new(),
            norms: Vec::new(),
            num_products: 0,
        }
    }

    /// With the basis of a sketch of `num_vectors`: twice as many products.
    pub(crate) fn sketched<O: LinearOperator + ?Sized>(
        operator: &mut O,
        num_vectors: usize,
        random: &mut RandomStream,
    ) -> Result<Self, ProductError<O::Error>> {
        let mut probes = Self::new(Vec::new(), operator.dim());
        for _vector in 0..num_vectors {
            random.fill_rademacher(&mut probes.probe);
            probes.num_products += 1;
            let norm = checked_apply(operator, &probes.probe, &mut probes.image, probes.num_products)?;
            let rest = kernels::orthogonalise(&probes.basis, 0, &mut probes.image, norm).norm;
            if rest > rounding_level(probes.image.len(), norm) {
                kernels::divide(&mut probes.image, rest);
                probes.basis.push(probes.image.clone());
            }
        }
        for direction in &probes.basis {
            probes.num_products += 1;
            let norm = checked_apply(operator, direction, &mut probes.image, probes.num_products)?;
            probes.trace_within += kernels::dot(direction, &probes.image);
            probes.norm_within = probes.norm_within.hypot(norm);
        }
        Ok(probes)
    }

    /// One more probe: one product.
    pub(crate) fn add<O: LinearOperator + ?Sized>(
        &mut self,
        operator: &mut O,
        random: &mut RandomStream,
    ) -> Result<(), ProductError<O::Error>> {
        random.fill_rademacher(&mut self.probe);
        if !self.basis.is_empty() {
            let norm = kernels::norm(&self.probe);
            kernels::orthogonalise(&self.basis, 0, &mut self.probe, norm);
        }
        self.num_products += 1;
        let norm = checked_apply(operator, &self.probe, &mut self.image, self.num_products)?;
        self.traces.push(self.trace_within + kernels::dot(&self.probe, &self.image));
        self.norms.push(self.norm_within.hypot(norm));
        Ok(())
    }

    /// Means of at least two probes.
    pub(crate) fn outcome(&self, unit: &str) -> TraceOutcome {
        let sketched = !self.basis.is_empty();
        let method = if sketched { TraceMethod::HutchPlusPlus } else { TraceMethod::Hutchinson };
        sample_outcome(&self.traces, &self.norms, method, self.num_products, unit)
    }
}
