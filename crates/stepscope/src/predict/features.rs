//! Features with targets from `.npy` files: a linear model's kernel, spectrum and noise.

use std::path::Path;

use stepscope_theory::{KernelData, TheoryError};

use super::error::SourceError;
use super::npy::read_npy;

/// Most examples: the kernel and its eigenvectors are matrices of this side, a gigabyte together.
pub(super) const MAX_EXAMPLES: usize = 5000;

/// Reads features ψ(x_i) in rows and targets y_i, for a linear model that starts at weights 0: its initial residual is −y.
///
/// L = ‖residual‖²/(2N). Cost: O(N²D + N³) for N examples of D features. Source: `loss-prediction`, section 1.
///
/// # Errors
/// [`SourceError`] for files that are no such arrays, differ in rows, hold more than 5000 examples, or entries that are not
/// finite.
pub fn read_features(features: &Path, targets: &Path) -> Result<KernelData, SourceError> {
    let matrix = read_npy(features)?;
    let num_examples = matrix.num_rows();
    if num_examples > MAX_EXAMPLES {
        let got = format!("{num_examples} examples");
        let advice = format!("save a random subset of them: X[numpy.random.permutation(len(X))[:{MAX_EXAMPLES}]]");
        return Err(SourceError::file(features, got, format!("at most {MAX_EXAMPLES}"), advice));
    }
    let labels = read_npy(targets)?;
    if labels.num_columns() != 1 || labels.num_rows() != num_examples {
        let got = format!("{} rows of {}", labels.num_rows(), labels.num_columns());
        let expected = format!("{num_examples} rows of 1, as {} has examples", features.display());
        return Err(SourceError::file(targets, got, expected, "give one target an example"));
    }
    let residual: Vec<f64> = labels.values.iter().map(|target| -target).collect();
    for (path, values) in [(features, &matrix.values), (targets, &labels.values)] {
        if let Some((index, value)) = values.iter().enumerate().find(|(_, value)| !value.is_finite()) {
            let width = values.len() / num_examples;
            let got = format!("{value} in row {}, column {}", index / width, index % width);
            return Err(SourceError::file(path, got, "finite numbers", "numpy.nan_to_num, or leave the example out"));
        }
    }
    KernelData::from_features(&matrix.values, &residual)
        .map_err(|source: TheoryError| SourceError::Theory { path: features.to_owned(), source })
}
