//! The two-point curve as it is measured: samples with their chance, and intervals for what follows from them.

use super::spectrometer::ExcessSpectrum;
use crate::error::TheoryError;
use crate::random::RandomStream;

/// Samples of the two-point curve: a row for each stretch of the run, in order, with the drop at each lag that was measured there.
///
/// A drop is ½[f(x_{t−k}) + f(x_t)] − f((x_{t−k} + x_t)/2) = ⅛ D_kᵀHD_k: on a stationary run the expected loss at either end less that in
/// the middle, and what both ends have in common cancels (`averaging`, section 2.10).
///
/// ```
/// use stepscope_theory::{StationaryMode, TwoPointCurve};
/// let mode = StationaryMode::new(0.03, 0.0)?;
/// let lags = [1, 10, 100, 1000];
/// let row: Vec<Option<f64>> = lags.iter().map(|&lag| Some(0.2 * (1.0 - mode.two_point_ratio(lag)))).collect();
/// let curve = TwoPointCurve::new(&lags, vec![row; 8], 1);
/// assert!((curve.spectrum(0.0)?.total() - 0.2).abs() < 0.004);
/// # Ok::<(), stepscope_theory::TheoryError>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct TwoPointCurve {
    lags: Vec<u64>,
    rows: Vec<Vec<Option<f64>>>,
    block: usize,
}

impl TwoPointCurve {
    /// `rows[i][j]` is the drop at `lags[j]` of stretch i. Stretches closer than the longest lag overlap: `block` says how many follow each
    /// other before two are apart, at least 1.
    pub fn new(lags: &[u64], rows: Vec<Vec<Option<f64>>>, block: usize) -> Self {
        Self { lags: lags.to_vec(), rows, block: block.max(1) }
    }

    /// Mean drop at each lag with its standard error, where at least 2 stretches have it. Stretches that overlap count as fewer.
    pub fn means(&self) -> Vec<Option<(f64, f64)>> {
        (0..self.lags.len()).map(|lag| self.mean(lag)).collect()
    }

    fn mean(&self, lag: usize) -> Option<(f64, f64)> {
        let values: Vec<f64> = self.rows.iter().filter_map(|row| row.get(lag).copied().flatten()).collect();
        let count = values.len() as f64;
        let mean = values.iter().sum::<f64>() / count;
        let variance = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / (count - 1.0);
        (values.len() >= 2).then(|| (mean, (variance * self.block as f64 / count).sqrt()))
    }

    /// The excess spectrum that the means have under momentum β. Lags whose mean is not above 0 are left out: they are lost in noise.
    ///
    /// # Errors
    /// [`TheoryError::Length`] where no lag is left.
    pub fn spectrum(&self, momentum: f64) -> Result<ExcessSpectrum, TheoryError> {
        let order: Vec<usize> = (0..self.rows.len()).collect();
        self.spectrum_of(&order, momentum)
    }

    fn spectrum_of(&self, order: &[usize], momentum: f64) -> Result<ExcessSpectrum, TheoryError> {
        let mean = |lag: usize| {
            let rows = order.iter().filter_map(|&row| self.rows.get(row));
            let (sum, count) =
                rows.filter_map(|row| row.get(lag).copied().flatten()).fold((0.0, 0.0), |(s, n), v| (s + v, n + 1.0));
            Some(sum / count).filter(|mean: &f64| mean.is_finite() && *mean > 0.0)
        };
        let found = self.lags.iter().enumerate().filter_map(|(index, lag)| Some((*lag, mean(index)?)));
        let (lags, drops): (Vec<u64>, Vec<f64>) = found.unzip();
        ExcessSpectrum::fit(&lags, &drops, momentum)
    }

    /// Spectra of `count` resamples of the stretches, in blocks that overlap: what chance could have made of the run.
    ///
    /// The q-quantiles of a prediction over them are its interval (moving-block bootstrap, Künsch 1989). It holds chance, not drift, and not
    /// what the fit cannot see between the lags.
    pub fn resampled(&self, momentum: f64, count: usize, seed: u64) -> Vec<ExcessSpectrum> {
        let mut random = RandomStream::from_seed(seed);
        let rows = self.rows.len();
        let block = self.block.min(rows.max(1));
        let draw = |random: &mut RandomStream| {
            let mut order = Vec::with_capacity(rows + block);
            while order.len() < rows {
                let start = random.below(rows - block + 1);
                order.extend(start..start + block);
            }
            order.truncate(rows);
            order
        };
        (0..count).filter_map(|_| self.spectrum_of(&draw(&mut random), momentum).ok()).collect()
    }
}

/// The interval that holds the middle `level` of `values`; `None` for fewer than 20.
pub fn quantile_interval(mut values: Vec<f64>, level: f64) -> Option<(f64, f64)> {
    if values.len() < 20 {
        return None;
    }
    values.sort_by(f64::total_cmp);
    let at = |share: f64| values[((values.len() - 1) as f64 * share).round() as usize];
    Some((at(0.5 - 0.5 * level), at(0.5 + 0.5 * level)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two directions, many stretches with independent scatter: intervals of 95 % hold the truth about that often.
    #[test]
    fn intervals_hold_the_true_gain_as_often_as_they_say() {
        let modes = [(0.002, 0.05), (0.1, 0.15)]
            .map(|(rate, excess)| (crate::averages::StationaryMode::new(rate, 0.0).unwrap(), excess));
        let lags = [1, 3, 10, 30, 100, 300, 1000, 3000];
        let truth = |lag: u64| modes.iter().map(|(mode, e)| e * (1.0 - mode.two_point_ratio(lag))).sum::<f64>();
        let gain = |spectrum: &ExcessSpectrum| spectrum.gain(|mode| mode.ema_ratio(0.01)).unwrap();
        let true_gain: f64 = modes.iter().map(|(mode, e)| e * (1.0 - mode.ema_ratio(0.01).unwrap())).sum();
        let mut random = RandomStream::from_seed(3);
        let mut held = 0;
        for seed in 0..60 {
            let row = |random: &mut RandomStream| {
                lags.iter().map(|&lag| Some(truth(lag) * (1.0 + 0.4 * random.normal()))).collect::<Vec<_>>()
            };
            let curve = TwoPointCurve::new(&lags, (0..24).map(|_| row(&mut random)).collect(), 1);
            let gains = curve.resampled(0.0, 60, seed).iter().map(gain).collect();
            let (low, high) = quantile_interval(gains, 0.95).unwrap();
            held += u32::from((low..=high).contains(&true_gain));
        }
        assert!((48..=60).contains(&held), "{held} of 60 intervals of 95 % hold {true_gain}");
    }

    #[test]
    fn means_have_errors_that_overlap_widens_and_gaps_are_left_out() {
        let rows = vec![vec![Some(1.0), None], vec![Some(3.0), Some(2.0)], vec![Some(2.0), None]];
        let curve = TwoPointCurve::new(&[1, 10], rows.clone(), 1);
        let [Some((mean, error)), None] = curve.means()[..] else { panic!("{:?}", curve.means()) };
        assert!((mean - 2.0).abs() < 1e-15 && (error - (1.0_f64 / 3.0).sqrt()).abs() < 1e-15);
        let overlapping = TwoPointCurve::new(&[1, 10], rows, 2).means()[0].unwrap().1;
        assert!((overlapping / error - 2.0_f64.sqrt()).abs() < 1e-12);
        assert!(TwoPointCurve::new(&[1], vec![vec![Some(-1.0)]; 3], 1).spectrum(0.0).is_err());
        assert_eq!(quantile_interval(vec![1.0; 5], 0.9), None);
    }
}
