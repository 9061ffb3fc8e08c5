//! A spectrum: eigenvalues with the weight that something has along each.

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Eigenvalues λ_k with coefficients c_k ≥ 0, in descending order of λ.
///
/// What a coefficient means is said where the spectrum is used: the squared initial error along the mode
/// (prediction), or the weight of a quadrature node (spectral density).
///
/// ```
/// use stepscope_types::Spectrum;
/// let spectrum = Spectrum::new(vec![0.5, 2.0], vec![1.0, 3.0])?;
/// assert_eq!(spectrum.eigenvalues(), [2.0, 0.5]);
/// assert_eq!(spectrum.coefficients(), [3.0, 1.0]);
/// # Ok::<(), stepscope_types::SpectrumError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Pairs", into = "Pairs")]
pub struct Spectrum {
    eigenvalues: Vec<f64>,
    coefficients: Vec<f64>,
}

/// Numbers that are no spectrum.
#[derive(Debug, Clone, PartialEq, Error)]
pub enum SpectrumError {
    /// Nothing was given.
    #[error("a spectrum needs at least one eigenvalue, got none")]
    Empty,
    /// The two columns differ in length.
    #[error(
        "a spectrum needs one coefficient for each eigenvalue, got {eigenvalues} eigenvalues and {coefficients} coefficients"
    )]
    Lengths {
        /// Number of eigenvalues given.
        eigenvalues: usize,
        /// Number of coefficients given.
        coefficients: usize,
    },
    /// An eigenvalue is NaN or infinite.
    #[error("eigenvalue {index} is {value}: eigenvalues must be finite")]
    Eigenvalue {
        /// Position, from 0.
        index: usize,
        /// The number given.
        value: f64,
    },
    /// A coefficient is negative, NaN or infinite.
    #[error("coefficient {index} is {value}: coefficients must be finite and not negative")]
    Coefficient {
        /// Position, from 0.
        index: usize,
        /// The number given.
        value: f64,
    },
}

#[derive(Serialize, Deserialize)]
struct Pairs {
    eigenvalues: Vec<f64>,
    coefficients: Vec<f64>,
}

impl Spectrum {
    /// Sorts the pairs by descending eigenvalue. Eigenvalues may be negative (a Hessian's are).
    ///
    /// # Errors
    /// [`SpectrumError`] for no pairs, unequal lengths, numbers that are not finite, negative coefficients.
    pub fn new(eigenvalues: Vec<f64>, coefficients: Vec<f64>) -> Result<Self, SpectrumError> {
        if eigenvalues.len() != coefficients.len() {
            return Err(SpectrumError::Lengths { eigenvalues: eigenvalues.len(), coefficients: coefficients.len() });
        }
        if eigenvalues.is_empty() {
            return Err(SpectrumError::Empty);
        }
        if let Some((index, &value)) = eigenvalues.iter().enumerate().find(|(_, v)| !v.is_finite()) {
            return Err(SpectrumError::Eigenvalue { index, value });
        }
        if let Some((index, &value)) = coefficients.iter().enumerate().find(|(_, v)| !v.is_finite() || **v < 0.0) {
            return Err(SpectrumError::Coefficient { index, value });
        }
        let mut pairs: Vec<(f64, f64)> = eigenvalues.into_iter().zip(coefficients).collect();
        pairs.sort_by(|a, b| b.0.total_cmp(&a.0));
        let (eigenvalues, coefficients) = pairs.into_iter().unzip();
        Ok(Self { eigenvalues, coefficients })
    }

    /// λ_k, descending.
    pub fn eigenvalues(&self) -> &[f64] {
        &self.eigenvalues
    }

    /// c_k, in the order of the eigenvalues.
    pub fn coefficients(&self) -> &[f64] {
        &self.coefficients
    }

    /// (λ_k, c_k), descending in λ.
    pub fn pairs(&self) -> impl Iterator<Item = (f64, f64)> + '_ {
        self.eigenvalues.iter().copied().zip(self.coefficients.iter().copied())
    }

    /// Number of modes.
    pub fn num_modes(&self) -> usize {
        self.eigenvalues.len()
    }
}

impl TryFrom<Pairs> for Spectrum {
    type Error = SpectrumError;
    fn try_from(pairs: Pairs) -> Result<Self, SpectrumError> {
        Self::new(pairs.eigenvalues, pairs.coefficients)
    }
}

impl From<Spectrum> for Pairs {
    fn from(spectrum: Spectrum) -> Self {
        Self { eigenvalues: spectrum.eigenvalues, coefficients: spectrum.coefficients }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_spectrum_is_refused_with_its_position() {
        assert_eq!(Spectrum::new(vec![], vec![]), Err(SpectrumError::Empty));
        assert!(matches!(Spectrum::new(vec![1.0], vec![]), Err(SpectrumError::Lengths { .. })));
        assert!(matches!(
            Spectrum::new(vec![1.0, f64::NAN], vec![1.0, 1.0]),
            Err(SpectrumError::Eigenvalue { index: 1, .. })
        ));
        assert!(matches!(
            Spectrum::new(vec![1.0, 2.0], vec![-1.0, 1.0]),
            Err(SpectrumError::Coefficient { index: 0, .. })
        ));
    }

    #[test]
    fn json_goes_through_the_check() {
        assert!(serde_json::from_str::<Spectrum>(r#"{"eigenvalues":[1.0],"coefficients":[2.0]}"#).is_ok());
        assert!(serde_json::from_str::<Spectrum>(r#"{"eigenvalues":[1.0],"coefficients":[-2.0]}"#).is_err());
    }
}
