//! The two-point curve as a spectrometer: what every average would gain, from a few midpoints.

use crate::averages::StationaryMode;
use crate::error::{TheoryError, check};
use crate::least_squares::non_negative;

/// Rates of the grid on which the excess loss is looked for (`averaging`, section 2.10).
const GRID: (f64, f64, u32) = (3e-4, 0.9, 25);

/// The excess loss of a stationary run by dimensionless rate a = λh, read off a two-point curve.
///
/// drop(k) = E f(x_t) − E f((x_t + x_{t−k})/2) = ½ Σ e_i(1 − ρ_k(a_i)), with e_i the excess loss in direction i: a Laplace
/// transform of e, inverted by non-negative least squares (`averaging`, section 2.10). Errors seen on real runs: 3-7 % of
/// the gain of an EMA, 4-7 % of a cooldown's. The run must be stationary: drift is read as noise.
#[derive(Debug, Clone, PartialEq)]
pub struct ExcessSpectrum {
    rates: Vec<f64>,
    excess: Vec<f64>,
    momentum: f64,
}

impl ExcessSpectrum {
    /// Fits `drops[j]` measured at `lags[j]` under momentum β, each weighted by its own size.
    ///
    /// ```
    /// use stepscope_theory::{ExcessSpectrum, StationaryMode};
    /// let mode = StationaryMode::new(0.03, 0.0)?;
    /// let lags = [1, 10, 100, 1000];
    /// let drops = lags.map(|lag| 0.2 * (1.0 - mode.two_point_ratio(lag)));
    /// let spectrum = ExcessSpectrum::fit(&lags, &drops, 0.0)?;
    /// assert!((spectrum.total() / 0.2 - 1.0).abs() < 0.02);
    /// # Ok::<(), stepscope_theory::TheoryError>(())
    /// ```
    ///
    /// # Errors
    /// [`TheoryError::Length`] for lists of unequal length or none; [`TheoryError::Number`] for a lag of 0, a drop that is not
    /// above 0 (the run is not stationary, or too short to tell), or momentum outside (−1, 1).
    pub fn fit(lags: &[u64], drops: &[f64], momentum: f64) -> Result<Self, TheoryError> {
        if lags.len() != drops.len() || lags.is_empty() {
            return Err(TheoryError::Length { what: "two-point drops", expected: lags.len().max(1), got: drops.len() });
        }
        for (&lag, &drop) in lags.iter().zip(drops) {
            check("lag", "at least 1", lag as f64, lag >= 1)?;
            check("two-point drop", "finite and above 0", drop, drop.is_finite() && drop > 0.0)?;
        }
        let (low, high, count) = GRID;
        // With momentum the same excess relaxes at a/(1 − β).
        let rates: Vec<f64> = (0..count)
            .map(|j| low * (high / low).powf(f64::from(j) / f64::from(count - 1)) * (1.0 - momentum.max(0.0)))
            .collect();
        let longest = lags.iter().copied().max().unwrap_or(1);
        let mut columns = Vec::new();
        for &rate in &rates {
            let rho = StationaryMode::new(rate, momentum)?.autocorrelations(longest);
            columns.push(lags.iter().zip(drops).map(|(&lag, drop)| 0.5 * (1.0 - rho[lag as usize]) / drop).collect());
        }
        let excess = non_negative(&columns, &vec![1.0; lags.len()]);
        Ok(Self { rates, excess, momentum })
    }

    /// The rates a of the grid.
    pub fn rates(&self) -> &[f64] {
        &self.rates
    }

    /// e(a): excess loss at each rate.
    pub fn excess(&self) -> &[f64] {
        &self.excess
    }

    /// Σ e: the excess loss of the run, the most that a cooldown can gain. Half of it is what halving the rate gains.
    pub fn total(&self) -> f64 {
        self.excess.iter().sum()
    }

    /// Loss that a cooldown removes: Σ e_i(1 − R_i) with R_i of [`StationaryMode::cooldown_ratio`]. At most [`ExcessSpectrum::total`]; descent
    /// along slow directions comes on top.
    ///
    /// # Errors
    /// None for a spectrum that was fitted.
    pub fn cooldown_gain(&self, multipliers: &[f64]) -> Result<f64, TheoryError> {
        self.gain(|mode| Ok(mode.cooldown_ratio(multipliers.iter().copied())))
    }

    /// Σ e_i(1 − R_i): the loss that an average of variance ratio R gains, with `ratio` giving R of a direction.
    ///
    /// # Errors
    /// Those of `ratio`.
    pub fn gain(&self, ratio: impl Fn(&StationaryMode) -> Result<f64, TheoryError>) -> Result<f64, TheoryError> {
        let mut gain = 0.0;
        for (&rate, &excess) in self.rates.iter().zip(&self.excess).filter(|(_, excess)| **excess > 0.0) {
            gain += excess * (1.0 - ratio(&StationaryMode::new(rate, self.momentum)?)?);
        }
        Ok(gain)
    }
}
