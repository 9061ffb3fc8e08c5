//! The diagonal of an operator, entry by entry, with the error of every entry.

use crate::operator::{LinearOperator, checked_apply};
use crate::random::RandomStream;
use crate::sketch::Sketch;
use crate::trace::{TraceError, TraceMethod};

/// Estimates of the diagonal entries.
#[derive(Debug, Clone, PartialEq)]
pub struct DiagonalOutcome {
    /// a_ii, one a row.
    pub values: Vec<f64>,
    /// Their standard errors.
    pub errors: Vec<f64>,
    /// Matrix-vector products spent.
    pub num_products: u64,
}

/// The diagonal from independent probes of random signs: a_ii = E v_i (Av)_i (Bekas, Kokiopoulou and Saad 2007).
///
/// The variance of a probe is Σ_{j≠i} a_ij², so entries small beside their row stay unresolved; their errors say so.
///
/// Cost: `num_probes` products, four vectors of memory. Source: `curvature`, section 4.5.
///
/// ```
/// use stepscope_spectral::random::RandomStream;
/// use stepscope_spectral::{DenseOperator, diagonal};
/// let mut random = RandomStream::named(1, "example");
/// let mut matrix = DenseOperator::new(2, vec![3.0, 0.1, 0.1, -1.0])?;
/// let outcome = diagonal(&mut matrix, 100, &mut random)?;
/// assert!((outcome.values[1] + 1.0).abs() < 0.05);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// [`TraceError`] for fewer than two probes, and products that fail or are not finite.
pub fn diagonal<O: LinearOperator + ?Sized>(
    operator: &mut O,
    num_probes: usize,
    random: &mut RandomStream,
) -> Result<DiagonalOutcome, TraceError<O::Error>> {
    if num_probes < 2 {
        return Err(TraceError::TooFewProbes { num_probes });
    }
    let (mut probe, mut image) = (vec![0.0; operator.dim()], vec![0.0; operator.dim()]);
    let mut moments = Moments::new(operator.dim());
    for product in 1..=num_probes as u64 {
        random.fill_rademacher(&mut probe);
        checked_apply(operator, &probe, &mut image, product)?;
        image.iter_mut().zip(&probe).for_each(|(x, sign)| *x *= sign);
        moments.add(&image);
    }
    Ok(moments.outcome(num_probes as u64))
}

/// The diagonal by XDiag: what the sketch of all other probes holds is exact, the rest is one probe's.
///
/// diag(P_i A) + ω_i ⊙ (I − P_i)Aω_i, averaged over the k = `num_products`/2 probes of a sketch (Epperly, Tropp and Webber
/// 2024). More accurate than [`diagonal`] where a few eigenvalues dominate the rows; the errors are those of k samples.
///
/// Cost: 2k products, about 20 k² n operations, 3k vectors of memory. The operator must be symmetric. Source: `curvature`,
/// section 4.5.
///
/// # Errors
/// [`TraceError`] for fewer than 4 products, and products that fail or are not finite.
pub fn diagonal_by_sketch<O: LinearOperator + ?Sized>(
    operator: &mut O,
    num_products: usize,
    random: &mut RandomStream,
) -> Result<DiagonalOutcome, TraceError<O::Error>> {
    let needed = 4;
    if num_products < needed {
        return Err(TraceError::TooFewProducts { method: TraceMethod::XTrace, got: num_products, needed });
    }
    let mut sketch = Sketch::new(operator.dim());
    for _probe in 0..num_products / 2 {
        sketch.add_probe(operator, random)?;
    }
    sketch.complete(operator)?;
    let num_products = sketch.num_products();
    if sketch.is_exhausted() {
        let values = sketch.diagonal_within();
        let scale = f64::EPSILON * values.iter().fold(0.0, |largest: f64, x| largest.max(x.abs()));
        return Ok(DiagonalOutcome { errors: vec![scale; values.len()], values, num_products });
    }
    let mut moments = Moments::new(operator.dim());
    sketch.leave_one_out_diagonals(|estimate| moments.add(estimate));
    Ok(moments.outcome(num_products))
}

/// Running mean and sum of squared deviations of every entry (Welford 1962).
struct Moments {
    count: f64,
    mean: Vec<f64>,
    squares: Vec<f64>,
}

impl Moments {
    fn new(dim: usize) -> Self {
        Self { count: 0.0, mean: vec![0.0; dim], squares: vec![0.0; dim] }
    }

    fn add(&mut self, sample: &[f64]) {
        self.count += 1.0;
        for ((mean, square), x) in self.mean.iter_mut().zip(&mut self.squares).zip(sample) {
            let deviation = x - *mean;
            *mean += deviation / self.count;
            *square += deviation * (x - *mean);
        }
    }

    fn outcome(mut self, num_products: u64) -> DiagonalOutcome {
        let freedom = (self.count - 1.0) * self.count;
        self.squares.iter_mut().for_each(|square| *square = (*square / freedom).sqrt());
        DiagonalOutcome { values: self.mean, errors: self.squares, num_products }
    }
}
