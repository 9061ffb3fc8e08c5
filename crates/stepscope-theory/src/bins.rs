//! Binned spectra: a million modes as a few hundred nodes, with a stated error.

use std::ops::Range;

use crate::error::{TheoryError, check};
use crate::model::QuadraticModel;
use crate::modes::Modes;
use crate::recursion::Prediction;
use crate::sgd::Schedule;

/// Modes at the top of the spectrum that always stay on their own: they set the stability limit.
pub(crate) const EXACT_HEAD: usize = 64;
/// Up to this many modes nothing is gained by binning.
const NO_BINS_BELOW: usize = 512;
/// First resolution tried, in bins per decade of the eigenvalue.
const FIRST_RESOLUTION: u32 = 16;
/// Last resolution tried.
const LAST_RESOLUTION: u32 = 512;

/// A prediction from a binned spectrum.
#[derive(Debug, Clone, PartialEq)]
pub struct BinnedPrediction {
    /// The losses.
    pub prediction: Prediction,
    /// Bins per decade that were used; `None` when the modes were stepped one by one.
    pub bins_per_decade: Option<u32>,
    /// Nodes stepped.
    pub num_nodes: usize,
    /// Largest relative error over the asked times, from halving the resolution (order 2: a third of the difference).
    pub relative_error: f64,
}

impl QuadraticModel {
    /// The same model with its modes gathered in `bins_per_decade` logarithmic bins of the eigenvalue.
    ///
    /// A bin keeps Σλ, Σλ² and ΣλC: its node sits at Σλ²/Σλ. The 64 largest modes stay exact. U(1) keeps its trace term, the
    /// loss at t = 0 is exact; at large t the error is of order 2 in the bin width: 1.5e-4 at 32 bins, more for heavy tails
    /// (`loss-prediction`, section 2).
    ///
    /// # Errors
    /// [`TheoryError::Number`] for 0 bins.
    pub fn binned(&self, bins_per_decade: u32) -> Result<Self, TheoryError> {
        check("bins per decade", "at least 1", f64::from(bins_per_decade), bins_per_decade >= 1)?;
        let modes = &self.modes;
        let mut nodes = Modes::empty();
        let mut start = 0;
        while start < modes.len() {
            let end = if start < EXACT_HEAD { start + 1 } else { bin_end(&modes.eigenvalues, start, bins_per_decade) };
            nodes.push_bin(modes, start..end);
            start = end;
        }
        Ok(self.with_modes(nodes))
    }

    /// E L at `times`, by as few nodes as the asked accuracy allows.
    ///
    /// The resolution is doubled until halving it changes no asked loss by more than three times `relative_accuracy`; spectra
    /// up to 512 modes, and accuracies that 512 bins per decade do not reach, are stepped mode by mode.
    ///
    /// # Errors
    /// [`TheoryError::Number`] for settings out of range, or an accuracy that is not above 0.
    pub fn loss_at_binned<S: Schedule + ?Sized>(
        &self,
        schedule: &S,
        times: &[u64],
        relative_accuracy: f64,
    ) -> Result<BinnedPrediction, TheoryError> {
        check("relative accuracy", "above 0", relative_accuracy, relative_accuracy > 0.0)?;
        let mut resolution = FIRST_RESOLUTION;
        if self.num_modes() > NO_BINS_BELOW {
            let mut coarse = self.binned(resolution)?.loss_at(schedule, times)?;
            while resolution < LAST_RESOLUTION {
                resolution *= 2;
                let model = self.binned(resolution)?;
                if model.num_modes() * 4 > self.num_modes() * 3 {
                    break;
                }
                let fine = model.loss_at(schedule, times)?;
                let relative_error = largest_change(&coarse.loss, &fine.loss) / 3.0;
                if relative_error <= relative_accuracy {
                    let num_nodes = model.num_modes();
                    let bins_per_decade = Some(resolution);
                    return Ok(BinnedPrediction { prediction: fine, bins_per_decade, num_nodes, relative_error });
                }
                coarse = fine;
            }
        }
        let prediction = self.loss_at(schedule, times)?;
        Ok(BinnedPrediction { prediction, bins_per_decade: None, num_nodes: self.num_modes(), relative_error: 0.0 })
    }
}

/// First index whose eigenvalue lies in a lower bin than that at `start`.
fn bin_end(eigenvalues: &[f64], start: usize, bins_per_decade: u32) -> usize {
    let bin = |value: f64| (value.log10() * f64::from(bins_per_decade)).floor();
    let here = bin(eigenvalues[start]);
    start + eigenvalues[start..].partition_point(|&value| bin(value) >= here)
}

/// Largest relative difference; equal infinities differ by nothing.
fn largest_change(coarse: &[f64], fine: &[f64]) -> f64 {
    coarse.iter().zip(fine).map(|(a, b)| if a == b { 0.0 } else { (a / b - 1.0).abs() }).fold(0.0, f64::max)
}

impl Modes {
    /// Adds one node that stands for the modes in `range`.
    fn push_bin(&mut self, modes: &Self, range: Range<usize>) {
        let noise_weight: f64 = modes.noise_weights[range.clone()].iter().sum();
        let trace: f64 =
            modes.noise_weights[range.clone()].iter().zip(&modes.eigenvalues[range.clone()]).map(|(q, l)| q / l).sum();
        self.push(noise_weight / trace, modes.signal[range].iter().sum(), noise_weight);
    }
}
