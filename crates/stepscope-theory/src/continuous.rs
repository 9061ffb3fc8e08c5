//! The continuous limit of the second moments, next to the exact recursion.

use crate::error::TheoryError;
use crate::model::QuadraticModel;
use crate::recursion::Prediction;
use crate::sgd::Sgd;

/// aλ_max of the finer of the two grids that the limit is extrapolated from.
const FINEST: f64 = 0.02;

impl QuadraticModel {
    /// E L at `times` in the continuous limit, s = α_eff t: dC/ds = −2λC + γα_eff λ(τ1S + σ² − τ2λC)
    /// (`loss-prediction`, section 6.4).
    ///
    /// What a continuous-time (SDE) argument predicts where [`QuadraticModel::loss_at`] is exact; they differ by O(α_eff). The
    /// limit is taken by the recursion with learning rate α_eff/m, noise factor γm and m steps for one, extrapolated from two m:
    /// about 150·α_effλ_max times the cost of the recursion.
    ///
    /// # Errors
    /// [`TheoryError::Number`] for settings out of range.
    pub fn continuous_loss_at(&self, sgd: &Sgd, times: &[u64]) -> Result<Prediction, TheoryError> {
        sgd.checked()?;
        let alpha = sgd.effective_learning_rate();
        let refinement = ((alpha * self.largest_eigenvalue() / FINEST).ceil() as u64).max(1);
        let at = |m: u64| {
            let fine =
                Sgd { learning_rate: alpha / m as f64, momentum: 0.0, noise_factor: sgd.noise_factor * m as f64 };
            self.loss_at(&fine, &times.iter().map(|time| time.saturating_mul(m)).collect::<Vec<_>>())
        };
        let (coarse, fine) = (at(refinement)?, at(2 * refinement)?);
        let loss = coarse.loss.iter().zip(&fine.loss).map(|(c, f)| 2.0 * f - c).collect();
        Ok(Prediction { times: times.to_vec(), loss, standard_errors: None, warnings: Vec::new() })
    }
}
