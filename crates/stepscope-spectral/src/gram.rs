//! The covariance of gradients from a few of them, through their inner products.

use stepscope_types::{Estimate, Uncertainty};
use thiserror::Error;

use crate::kernels;
use crate::statistics::mean_with_error;
use crate::symmetric::symmetric_eigenpairs;
use crate::tridiagonal::{TridiagonalError, TridiagonalPair};

/// Gradients that have no covariance.
#[derive(Debug, Clone, PartialEq, Error)]
pub enum GramError {
    /// A bias needs three vectors.
    #[error("a covariance with its bias needs at least 3 vectors, got {got}")]
    TooFew {
        /// Vectors given.
        got: usize,
    },
    /// Vectors of different lengths, or a number of inner products that is not L².
    #[error("{what} {index} has {got} entries, expected {expected}")]
    Length {
        /// What has the wrong length.
        what: &'static str,
        /// Its index.
        index: usize,
        /// Entries given.
        got: usize,
        /// Entries expected.
        expected: usize,
    },
    /// An inner product is NaN or infinite.
    #[error("the inner product of vectors {row} and {column} is {value}: gradients must be finite")]
    NotFinite {
        /// One vector.
        row: usize,
        /// The other.
        column: usize,
        /// Their inner product.
        value: f64,
    },
    /// A batch of no example, or of more than there are.
    #[error(
        "batches of {batch_size} out of {num_examples} examples have no covariance: expected 1 <= batch size < examples"
    )]
    Batch {
        /// Examples a vector is the mean of.
        batch_size: usize,
        /// Examples there are.
        num_examples: usize,
    },
    /// The projected problem was not solved.
    #[error(transparent)]
    Projected(#[from] TridiagonalError),
}

/// What the vectors are: how their covariance becomes that of a single example.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GradientSample {
    /// Each vector is one draw: nothing is scaled.
    Single,
    /// Each vector is the mean over `batch_size` independent examples: Cov = K/S, so K = S·Cov.
    Batches {
        /// S.
        batch_size: usize,
    },
    /// Each vector is the mean over `batch_size` of `num_examples` examples, drawn without replacement:
    /// Cov = (K/S)·(N − S)/(N − 1), so K = S·(N − 1)/(N − S)·Cov.
    WithoutReplacement {
        /// S.
        batch_size: usize,
        /// N.
        num_examples: usize,
    },
}

impl GradientSample {
    fn factor(self) -> Result<f64, GramError> {
        let (batch_size, num_examples) = match self {
            Self::Single => return Ok(1.0),
            Self::Batches { batch_size } => (batch_size, usize::MAX),
            Self::WithoutReplacement { batch_size, num_examples } => (batch_size, num_examples),
        };
        if batch_size == 0 || batch_size >= num_examples {
            return Err(GramError::Batch { batch_size, num_examples });
        }
        let (s, n) = (batch_size as f64, num_examples as f64);
        Ok(if num_examples == usize::MAX { s } else { s * (n - 1.0) / (n - s) })
    }
}

/// The spectrum of the covariance K of gradients g_1..g_L, from the L x L matrix of their centred inner products.
///
/// With c_i = g_i − ḡ, the matrix ⟨c_i, c_j⟩/(L − 1) has the non-zero eigenvalues of the sample covariance, at most
/// L − 1 of them. Cost: L² inner products and about 10 L³ operations; no product with an operator.
///
/// **Bias.** The trace is unbiased. The largest eigenvalue is biased upwards, because L vectors have at least Tr/(L − 1)
/// of noise in every direction: E λ̂ ≈ λ·(1 + (Tr/λ − 1)/(L − 1)), more for heavy tails (in the document's two networks
/// 25 vectors gave twice the truth where the formula says 1.5). So Tr/λ̂ cannot exceed L − 1. What the formula says is
/// [`GramSpectrum::relative_bias`]; products with K ([`Lanczos`](crate::Lanczos)) have no such bias. Fix L and S for
/// a whole study, and prefer many small batches to few large ones.
///
/// Source: `curvature`, sections 2.4 and 4.6.
///
/// ```
/// use stepscope_spectral::{GradientSample, GramSpectrum};
/// let gradients = [[3.0, 1.0], [-3.0, 1.0], [0.0, 2.0], [0.0, 0.0]];
/// let spectrum = GramSpectrum::of_vectors(&gradients, GradientSample::Single)?;
/// // The covariance is diagonal: 18/3 along the first axis, 2/3 along the second.
/// assert!((spectrum.eigenvalues()[0] - 6.0).abs() < 1e-12);
/// assert!((spectrum.trace("1").value - 20.0 / 3.0).abs() < 1e-12);
/// # Ok::<(), stepscope_spectral::GramError>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct GramSpectrum {
    /// Descending, scaled to single examples; without the zero that centring brings.
    eigenvalues: Vec<f64>,
    /// Unit vectors u_k of the Gram matrix, one a row.
    combinations: Vec<Vec<f64>>,
    /// ‖c_i‖²·L/(L − 1), scaled: their mean is the trace.
    squares: Vec<f64>,
}

impl GramSpectrum {
    /// The spectrum from the vectors themselves, of equal length.
    ///
    /// # Errors
    /// [`GramError`].
    pub fn of_vectors<V: AsRef<[f64]>>(vectors: &[V], sample: GradientSample) -> Result<Self, GramError> {
        let count = vectors.len();
        if count < 3 {
            return Err(GramError::TooFew { got: count });
        }
        let expected = vectors[0].as_ref().len();
        for (index, vector) in vectors.iter().enumerate() {
            let got = vector.as_ref().len();
            if got != expected {
                return Err(GramError::Length { what: "vector", index, got, expected });
            }
        }
        // Centred before the inner products: a mean far larger than the spread would cost their digits.
        let mut mean = vec![0.0; expected];
        vectors.iter().for_each(|vector| kernels::add_scaled(&mut mean, 1.0 / count as f64, vector.as_ref()));
        let mut products = vec![0.0; count * count];
        let (mut left, mut right) = (mean.clone(), mean.clone());
        for row in 0..count {
            difference(vectors[row].as_ref(), &mean, &mut left);
            for column in 0..=row {
                difference(vectors[column].as_ref(), &mean, &mut right);
                let value = kernels::dot(&left, &right);
                (products[row * count + column], products[column * count + row]) = (value, value);
            }
        }
        Self::of_inner_products(count, &products, sample)
    }

    /// The spectrum from `count`² inner products ⟨g_i, g_j⟩, row by row, centred or not. For layers that give inner
    /// products of per-example gradients without forming them.
    ///
    /// # Errors
    /// [`GramError`].
    pub fn of_inner_products(count: usize, products: &[f64], sample: GradientSample) -> Result<Self, GramError> {
        let factor = sample.factor()?;
        if count < 3 {
            return Err(GramError::TooFew { got: count });
        }
        if Some(products.len()) != count.checked_mul(count) {
            let (got, expected) = (products.len(), count.saturating_mul(count));
            return Err(GramError::Length { what: "matrix of inner products", index: 0, got, expected });
        }
        if let Some((index, &value)) = products.iter().enumerate().find(|(_, value)| !value.is_finite()) {
            return Err(GramError::NotFinite { row: index / count, column: index % count, value });
        }
        let centred = centre(count, products);
        let scale = factor / (count - 1) as f64;
        let mut pairs = symmetric_eigenpairs(count, |i, j| scale * centred[i * count + j])?;
        // Centring makes one eigenvalue zero; the rest of a Gram matrix is not negative but for rounding.
        pairs.pop();
        let (eigenvalues, combinations) = pairs
            .into_iter()
            .map(|TridiagonalPair { eigenvalue, components }| (eigenvalue.max(0.0), components))
            .unzip();
        let squares = (0..count).map(|i| scale * count as f64 * centred[i * count + i]).collect();
        Ok(Self { eigenvalues, combinations, squares })
    }

    /// The L − 1 eigenvalues, descending; the last is λ_K^* where the vectors are independent.
    pub fn eigenvalues(&self) -> &[f64] {
        &self.eigenvalues
    }

    /// Number of vectors, L.
    pub fn num_vectors(&self) -> usize {
        self.squares.len()
    }

    /// λ_K^1 as measured, with the standard error over vectors, λ·sd(L u_i²)/√L; the bias comes on top.
    pub fn top_eigenvalue(&self, unit: &str) -> Estimate {
        let top = self.eigenvalues[0];
        let count = self.num_vectors() as f64;
        let samples: Vec<f64> = self.combinations[0].iter().map(|u| top * count * u * u).collect();
        let (_, error) = mean_with_error(&samples);
        Estimate::new(top, unit, Uncertainty::StandardError(error))
    }

    /// λ_K^* as measured: the smallest of the L − 1 eigenvalues. Not an estimate of the smallest eigenvalue of K, which
    /// has more of them than L, but a number to compare at equal L and S.
    pub fn smallest_nonzero(&self) -> f64 {
        self.eigenvalues.last().copied().unwrap_or_default()
    }

    /// Tr K with its standard error over the vectors; unbiased.
    pub fn trace(&self, unit: &str) -> Estimate {
        let (value, error) = mean_with_error(&self.squares);
        Estimate::new(value, unit, Uncertainty::StandardError(error))
    }

    /// Tr K / λ_K^1 as measured, at most L − 1: 0 where everything vanishes.
    pub fn trace_over_top(&self) -> f64 {
        let top = self.eigenvalues[0];
        if top > 0.0 { self.eigenvalues.iter().sum::<f64>() / top } else { 0.0 }
    }

    /// λ_K^1 with the bias of the formula taken out: (λ̂ − Tr/(L − 1))·(L − 1)/(L − 2), from solving
    /// λ̂ = λ + (Tr − λ)/(L − 1). Zero or less means that L vectors do not resolve it.
    pub fn top_eigenvalue_without_bias(&self) -> f64 {
        let rank = (self.num_vectors() - 1) as f64;
        let trace: f64 = self.eigenvalues.iter().sum();
        (self.eigenvalues[0] - trace / rank) * rank / (rank - 1.0)
    }

    /// (E λ̂ − λ)/λ by the formula, at λ without bias; `None` where L vectors do not resolve it. A lower bound: heavy
    /// tails of the gradients add to it.
    pub fn relative_bias(&self) -> Option<f64> {
        let truth = self.top_eigenvalue_without_bias();
        (truth > 0.0).then(|| self.eigenvalues[0] / truth - 1.0)
    }

    /// Unit eigenvector number `index` of K in parameter space, e_k ∝ Σ_i u_ik c_i, from the vectors the spectrum was
    /// made of; `None` for an eigenvalue that is zero to rounding, an index or vectors that do not exist.
    pub fn eigenvector<V: AsRef<[f64]>>(&self, index: usize, vectors: &[V]) -> Option<Vec<f64>> {
        let combination = self.combinations.get(index)?;
        let resolved = self.eigenvalues[index] > 1e-12 * self.eigenvalues[0];
        if !resolved || vectors.len() != combination.len() {
            return None;
        }
        // u is orthogonal to (1, ..., 1), so the mean drops out but for rounding.
        let mut vector = vec![0.0; vectors[0].as_ref().len()];
        let mean = combination.iter().sum::<f64>() / combination.len() as f64;
        for (u, gradient) in combination.iter().zip(vectors) {
            if gradient.as_ref().len() != vector.len() {
                return None;
            }
            kernels::add_scaled(&mut vector, u - mean, gradient.as_ref());
        }
        let norm = kernels::norm(&vector);
        kernels::divide(&mut vector, norm);
        Some(vector)
    }
}

fn difference(a: &[f64], b: &[f64], out: &mut [f64]) {
    for ((o, x), y) in out.iter_mut().zip(a).zip(b) {
        *o = x - y;
    }
}

/// (I − 11ᵀ/L) G (I − 11ᵀ/L).
fn centre(count: usize, products: &[f64]) -> Vec<f64> {
    let number = count as f64;
    let means: Vec<f64> = products.chunks(count).map(|row| row.iter().sum::<f64>() / number).collect();
    let mean = means.iter().sum::<f64>() / number;
    products.iter().enumerate().map(|(k, value)| value - means[k / count] - means[k % count] + mean).collect()
}
