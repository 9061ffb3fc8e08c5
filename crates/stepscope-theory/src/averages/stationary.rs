//! The stationary law of one direction, and the variance of every average of it.

use crate::error::{TheoryError, check};

/// One direction of curvature h under constant settings, in units of the variance of the batch optima.
///
/// a = λh is the dimensionless rate (learning rate times curvature), β the momentum. Source: `averaging`, sections 2.2-2.5.
///
/// ```
/// use stepscope_theory::StationaryMode;
/// let mode = StationaryMode::new(0.05, 0.0)?;
/// // Two far points have half the variance, which is what a rate of 2a/(4 − a) gives.
/// assert!((mode.two_point_ratio(100_000) - 0.5).abs() < 1e-12);
/// assert!((mode.effective_rate(0.5) - 0.1 / 3.95).abs() < 1e-15);
/// # Ok::<(), stepscope_theory::TheoryError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct StationaryMode {
    rate: f64,
    momentum: f64,
}

impl StationaryMode {
    /// Accepts momentum in (−1, 1) and 0 < a < 2(1 + β), where the direction is stable.
    ///
    /// # Errors
    /// [`TheoryError::Number`] outside.
    pub fn new(rate: f64, momentum: f64) -> Result<Self, TheoryError> {
        check("momentum", "between -1 and 1, both excluded", momentum, momentum.abs() < 1.0)?;
        check("rate a", "above 0 and below 2(1 + momentum)", rate, rate > 0.0 && rate < 2.0 * (1.0 + momentum))?;
        Ok(Self { rate, momentum })
    }

    /// Var x = a(1 + β)/((1 − β)(2(1 + β) − a)); a/(2 − a) without momentum.
    pub fn variance(&self) -> f64 {
        let (a, b) = (self.rate, self.momentum);
        a * (1.0 + b) / ((1.0 - b) * (2.0 * (1.0 + b) - a))
    }

    /// ρ_0, ..., ρ_{lags}: ρ_1 = φ₁/(1 + β), ρ_k = φ₁ρ_{k−1} − βρ_{k−2}, φ₁ = 1 + β − a; (1 − a)^k without momentum.
    pub fn autocorrelations(&self, lags: u64) -> Vec<f64> {
        self.correlations().zip(0..=lags).map(|(rho, _)| rho).collect()
    }

    /// ρ_0, ρ_1, ... without end.
    fn correlations(&self) -> impl Iterator<Item = f64> + use<> {
        let (first, second) = (1.0 + self.momentum - self.rate, -self.momentum);
        let start = (1.0, first / (1.0 + self.momentum));
        let next = move |&(previous, current): &(f64, f64)| Some((current, first * current + second * previous));
        std::iter::successors(Some(start), next).map(|(rho, _)| rho)
    }

    /// ρ_k. O(k).
    pub fn autocorrelation(&self, lag: u64) -> f64 {
        self.correlations().zip(0..=lag).last().map_or(1.0, |(rho, _)| rho)
    }

    /// Var(Σ w_j x_{T−j})/Var x = Σ_ij w_i w_j ρ_|i−j|. O(n²).
    pub fn ratio_of_weights(&self, weights: &[f64]) -> f64 {
        let rho = self.autocorrelations(weights.len() as u64);
        let row = |i: usize| weights.iter().enumerate().map(|(j, w)| w * rho[i.abs_diff(j)]).sum::<f64>();
        weights.iter().enumerate().map(|(i, w)| w * row(i)).sum()
    }

    /// The same for weights on a few iterates only, each with its age in steps: Σ_ij w_i w_j ρ_|age_i − age_j|. O(n² + age).
    ///
    /// ```
    /// use stepscope_theory::StationaryMode;
    /// let mode = StationaryMode::new(0.05, 0.9)?;
    /// let two = mode.ratio_of_sparse_weights(&[(0, 0.5), (20, 0.5)]);
    /// assert!((two - mode.two_point_ratio(20)).abs() < 1e-15);
    /// # Ok::<(), stepscope_theory::TheoryError>(())
    /// ```
    pub fn ratio_of_sparse_weights(&self, weights: &[(u64, f64)]) -> f64 {
        let oldest = weights.iter().map(|(age, _)| *age).max().unwrap_or(0);
        let rho = self.autocorrelations(oldest);
        let row = |age: u64| weights.iter().map(|(other, w)| w * rho[age.abs_diff(*other) as usize]).sum::<f64>();
        weights.iter().map(|(age, w)| w * row(*age)).sum()
    }

    /// Two points k apart: (1 + ρ_k)/2. Below ½ near half a period of an under-damped direction.
    pub fn two_point_ratio(&self, gap: u64) -> f64 {
        0.5 * (1.0 + self.autocorrelation(gap))
    }

    /// K checkpoints s apart: (1/K)[1 + 2 Σ_{j<K} (1 − j/K)ρ_{js}]. O(Ks).
    ///
    /// # Errors
    /// [`TheoryError::Number`] for no checkpoints.
    pub fn checkpoint_ratio(&self, count: u64, spacing: u64) -> Result<f64, TheoryError> {
        check("number of checkpoints", "at least 1", count as f64, count >= 1)?;
        let rho = self.autocorrelations(count.saturating_mul(spacing));
        let total = count as f64;
        let sum: f64 = (1..count).map(|j| (1.0 - j as f64 / total) * rho[(j * spacing) as usize]).sum();
        Ok((1.0 + 2.0 * sum) / total)
    }

    /// The last N iterates; without momentum (1/N)[(1 + ρ)/(1 − ρ) − 2ρ(1 − ρ^N)/(N(1 − ρ)²)] → 2/(aN).
    ///
    /// # Errors
    /// [`TheoryError::Number`] for an empty window.
    pub fn window_ratio(&self, length: u64) -> Result<f64, TheoryError> {
        if self.momentum != 0.0 || length == 0 {
            return self.checkpoint_ratio(length, 1);
        }
        let (n, a, rho) = (length as f64, self.rate, 1.0 - self.rate);
        Ok(((1.0 + rho) / a - 2.0 * rho * (1.0 - rho.powf(n)) / (n * a * a)) / n)
    }

    /// EMA of rate α: α/(2 − α) · (2G − 1), G = (1 + (ρ_1 − φ₁)z)/(1 − φ₁z + βz²), z = 1 − α.
    ///
    /// # Errors
    /// [`TheoryError::Number`] for a rate outside (0, 1].
    pub fn ema_ratio(&self, ema_rate: f64) -> Result<f64, TheoryError> {
        check("EMA rate", "above 0 and at most 1", ema_rate, ema_rate > 0.0 && ema_rate <= 1.0)?;
        let z = 1.0 - ema_rate;
        let first = 1.0 + self.momentum - self.rate;
        let rho_one = first / (1.0 + self.momentum);
        let generating = (1.0 + (rho_one - first) * z) / (1.0 - first * z + self.momentum * z * z);
        Ok(ema_rate / (2.0 - ema_rate) * (2.0 * generating - 1.0))
    }

    /// EMA updated every D steps with decay d, without momentum: the formula of [`StationaryMode::ema_ratio`] with ρ → ρ_D,
    /// α → 1 − d. Its rate per step is 1 − d^{1/D}.
    ///
    /// # Errors
    /// [`TheoryError::Number`] for a decay outside [0, 1), an interval of 0, or momentum (the thinned sequence is then no
    /// first-order one: use [`StationaryMode::ratio_of_weights`]).
    pub fn sparse_ema_ratio(&self, decay: f64, every: u64) -> Result<f64, TheoryError> {
        check("EMA decay", "at least 0 and below 1", decay, (0.0..1.0).contains(&decay))?;
        check("EMA interval", "at least 1", every as f64, every >= 1)?;
        check("momentum", "0 for an EMA of every D-th step", self.momentum, self.momentum == 0.0)?;
        let thinned = self.autocorrelation(every) * decay;
        Ok((1.0 - decay) / (1.0 + decay) * (1.0 + thinned) / (1.0 - thinned))
    }

    /// Var x at the end of a cooldown over Var x before: the rate of step t is `multipliers[t]` times a, first step first, from a stationary
    /// start. O(steps).
    ///
    /// Second moments of (x, v) under v ← βv + x − c, x ← x − a_t v.
    pub fn cooldown_ratio(&self, multipliers: impl IntoIterator<Item = f64>) -> f64 {
        let (a, b) = (self.rate, self.momentum);
        // Stationarity: E x v' = a E v'²/2 for the new v', and E x' v' = −a E v'²/2.
        let mut xx = self.variance();
        let mut vv = 2.0 * xx / (a * (1.0 + b));
        let mut xv = -0.5 * a * vv;
        for multiplier in multipliers {
            let step = multiplier * a;
            vv = b * b * vv + 2.0 * b * xv + xx + 1.0;
            let old = b * xv + xx;
            xv = old - step * vv;
            xx = xx - 2.0 * step * old + step * step * vv;
        }
        xx / self.variance()
    }

    /// Var x at the rate `share` · a over Var x at a, both stationary: what a lower rate ends at.
    ///
    /// # Errors
    /// [`TheoryError::Number`] where that rate is not above 0, or unstable.
    pub fn rate_ratio(&self, share: f64) -> Result<f64, TheoryError> {
        Ok(Self::new(share * self.rate, self.momentum)?.variance() / self.variance())
    }

    /// E4: the rate whose plain SGD has the variance R·Var x: a_eff = 2q/(1 + q), q = R·Var x (`averaging`, section 2.5).
    /// λ_eff = a_eff/h.
    pub fn effective_rate(&self, ratio: f64) -> f64 {
        let q = ratio * self.variance();
        2.0 * q / (1.0 + q)
    }

    /// The inverse of [`StationaryMode::effective_rate`]: the variance ratio that an average needs to act as rate a_eff.
    ///
    /// # Errors
    /// [`TheoryError::Number`] for a rate outside (0, 2).
    pub fn ratio_for_effective_rate(&self, effective_rate: f64) -> Result<f64, TheoryError> {
        check("effective rate", "above 0 and below 2", effective_rate, effective_rate > 0.0 && effective_rate < 2.0)?;
        Ok(effective_rate / (2.0 - effective_rate) / self.variance())
    }
}
