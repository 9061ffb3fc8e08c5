//! How fast an exponential moving average forgets, and how it begins.

use super::AverageError;

/// β of y ← βy + (1 − β)x, for one step.
///
/// | asked for as | β |
/// |---|---|
/// | half-life of h steps | 2^(−1/h) |
/// | h examples, batch size B | half-life of h/B steps |
/// | h epochs of S steps, a share h of a run of S steps | half-life of hS steps |
/// | decay d of an update every D steps | d^(1/D) |
///
/// Source: `averaging`, sections 2.4 and 5.2.
///
/// ```
/// use stepscope::control::average::Decay;
/// let decay = Decay::with_half_life(100.0)?;
/// assert!((decay.over(100) - 0.5).abs() < 1e-12);
/// // A decay of 0.9999 on every tenth step is 0.99999 a step, ten times slower than it says.
/// let sparse = Decay::of_update(0.9999, 10)?;
/// assert!((sparse.half_life() / Decay::new(0.9999)?.half_life() - 10.0).abs() < 1e-9);
/// # Ok::<(), stepscope::control::average::AverageError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Decay(f64);

impl Decay {
    /// β itself.
    ///
    /// # Errors
    /// [`AverageError::Decay`] outside (0, 1).
    pub fn new(decay: f64) -> Result<Self, AverageError> {
        if decay > 0.0 && decay < 1.0 { Ok(Self(decay)) } else { Err(AverageError::Decay { got: decay }) }
    }

    /// The decay under which an iterate has half its weight after `steps` steps.
    ///
    /// # Errors
    /// [`AverageError::HalfLife`] for one that is not finite and above 0, or so long that β rounds to 1.
    pub fn with_half_life(steps: f64) -> Result<Self, AverageError> {
        let refused = AverageError::HalfLife { got: steps };
        if !(steps.is_finite() && steps > 0.0) {
            return Err(refused);
        }
        Self::new((-std::f64::consts::LN_2 / steps).exp()).map_err(|_| refused)
    }

    /// The same half-life counted in examples, at that batch size.
    ///
    /// # Errors
    /// [`AverageError::HalfLife`].
    pub fn with_half_life_in_examples(examples: f64, batch_size: u64) -> Result<Self, AverageError> {
        Self::with_half_life(examples / batch_size as f64)
    }

    /// The same half-life counted in epochs of so many steps, or in shares of a run of so many steps.
    ///
    /// # Errors
    /// [`AverageError::HalfLife`].
    pub fn with_half_life_in(count: f64, steps_each: f64) -> Result<Self, AverageError> {
        Self::with_half_life(count * steps_each)
    }

    /// β of an average that is updated every `every` steps with decay `decay`: decay^(1/every).
    ///
    /// # Errors
    /// [`AverageError::Decay`] outside (0, 1), [`AverageError::Zero`].
    pub fn of_update(decay: f64, every: u64) -> Result<Self, AverageError> {
        if every == 0 {
            return Err(AverageError::Zero { what: "steps between two updates of an average" });
        }
        Self::new(decay).and_then(|decay| Self::new(decay.0.powf(1.0 / every as f64)))
    }

    /// The decay that forgets as fast per example at another batch size: β^κ, κ = new/old (`averaging`, section 5.2;
    /// Busbridge et al. 2023, whose rule scales the learning rate by κ as well).
    ///
    /// # Errors
    /// [`AverageError::Zero`] for a batch size of 0.
    pub fn at_batch_size(self, old: u64, new: u64) -> Result<Self, AverageError> {
        if old == 0 || new == 0 {
            return Err(AverageError::Zero { what: "batch size" });
        }
        Self::new(self.0.powf(new as f64 / old as f64))
    }

    /// β.
    pub fn get(self) -> f64 {
        self.0
    }

    /// 1 − β, the share that one step takes in; α in the theory.
    pub fn intake(self) -> f64 {
        1.0 - self.0
    }

    /// β^steps: what is left of a weight after so many steps.
    pub fn over(self, steps: u64) -> f64 {
        self.0.powf(steps as f64)
    }

    /// Steps in which a weight halves.
    pub fn half_life(self) -> f64 {
        -std::f64::consts::LN_2 / self.0.ln()
    }
}

/// How an exponential moving average begins, so that it is not held up by its first iterate.
///
/// t counts steps since the average began, where it takes in its first iterate in full; all but the last are caps on the decay of a step, and an update over D steps uses the product
/// of its D decays, so `every` changes nothing about the warm-up.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub enum WarmUp {
    /// The first iterate counts in full, as in PyTorch: it weighs β^t for good.
    #[default]
    None,
    /// min(β, (1 + t)/(10 + t)): TensorFlow's, and Morales-Brotons et al. 2024.
    Ramp,
    /// min(β, 1 − (1 + t/γ)^(−p)): timm and ema-pytorch with γ = 1, p = 2/3.
    Power {
        /// γ, above 0, in steps.
        gamma: f64,
        /// p, above 0.
        power: f64,
    },
    /// Weights β^age over their sum, as Adam's correction does: the average of what was seen, at every moment.
    Unbiased,
}

impl WarmUp {
    /// Itself, if its numbers mean something.
    pub(super) fn checked(self) -> Result<Self, AverageError> {
        if let Self::Power { gamma, power } = self {
            for (what, got) in [("gamma of the warm-up", gamma), ("power of the warm-up", power)] {
                if !(got.is_finite() && got > 0.0) {
                    return Err(AverageError::Number { what, got, expected: "a finite number above 0" });
                }
            }
        }
        Ok(self)
    }

    /// What is left of the average at an update at `time` steps after its start, `elapsed` steps after its last one and
    /// with `taken` updates before it.
    pub(super) fn kept(self, decay: Decay, time: u64, elapsed: u64, taken: u64) -> f64 {
        let product = |cap: &dyn Fn(f64) -> f64| -> f64 {
            (time.saturating_sub(elapsed) + 1..=time).map(|t| decay.get().min(cap(t as f64))).product()
        };
        match self {
            Self::None => decay.over(elapsed),
            Self::Ramp => product(&|t| (1.0 + t) / (10.0 + t)),
            Self::Power { gamma, power } => product(&|t| 1.0 - (1.0 + t / gamma).powf(-power)),
            Self::Unbiased => {
                // 1 − (1 − δ)/(1 − δ^n), δ over one interval, n updates with this one.
                let delta = decay.over(elapsed);
                1.0 - (1.0 - delta) / (1.0 - delta.powf((taken + 1) as f64))
            }
        }
    }
}
