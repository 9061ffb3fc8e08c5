//! The rules: heavy ball, Nesterov, Adam.

use stepscope_types::spec::{AdamSpec, DirectionRule, OptimizerSpec};

use crate::checkpoint::{State, StateError, WeightState};
use crate::models::{ParamLayout, ParamTensors};

/// How gradients become a direction, with what is remembered of earlier ones.
#[derive(Debug, Clone)]
pub enum Rule {
    /// v ← βv + g from v = 0; direction v, or g + βv with the new v for Nesterov. No dampening (Burn's own SGD scales the
    /// gradient by 1 − 0.1 by default once momentum is on); β may be negative.
    Momentum {
        /// β, between −1 and 1.
        momentum: f64,
        /// Whether the step looks ahead.
        nesterov: bool,
        /// Whether a later step may depend on v.
        keeps_velocity: bool,
        /// v, where it is kept.
        velocity: ParamTensors,
    },
    /// Adam.
    Adam(Adam),
}

/// m ← β₁m + (1 − β₁)g, s ← β₂s + (1 − β₂)g², direction m̂ / (√ŝ + ε) with m̂ = m/(1 − β₁ᵗ), ŝ = s/(1 − β₂ᵗ), t = 1, 2, ...
///
/// Source: Kingma and Ba 2015, Algorithm 1; with decoupled weight decay it is AdamW (Loshchilov and Hutter 2019).
#[derive(Debug, Clone)]
pub struct Adam {
    numbers: AdamSpec,
    mean: ParamTensors,
    mean_square: ParamTensors,
    num_steps: u64,
}

impl Rule {
    /// Heavy ball at rest.
    pub fn heavy_ball(momentum: f64) -> Self {
        Self::at_rest(momentum, false)
    }

    /// Nesterov's momentum at rest.
    pub fn nesterov(momentum: f64) -> Self {
        Self::at_rest(momentum, true)
    }

    fn at_rest(momentum: f64, nesterov: bool) -> Self {
        let velocity = ParamTensors::default();
        Self::Momentum { momentum, nesterov, keeps_velocity: momentum != 0.0, velocity }
    }

    /// Adam at rest: β₁ and β₂ of at least 0 and below 1, ε above 0.
    pub fn adam(numbers: AdamSpec) -> Self {
        let (mean, mean_square) = (ParamTensors::default(), ParamTensors::default());
        Self::Adam(Adam { numbers, mean, mean_square, num_steps: 0 })
    }

    /// The rule that `spec` asks for, at rest.
    pub fn of_spec(spec: &OptimizerSpec) -> Self {
        match spec.direction {
            DirectionRule::HeavyBall => Self::heavy_ball(spec.momentum.get()),
            DirectionRule::Nesterov => Self::nesterov(spec.momentum.get()),
            DirectionRule::Adam => Self::adam(spec.adam),
        }
    }

    /// Forgets earlier gradients.
    pub fn reset(&mut self) {
        match self {
            Self::Momentum { velocity, .. } => *velocity = ParamTensors::default(),
            Self::Adam(adam) => *self = Self::adam(adam.numbers),
        }
    }

    /// Takes a gradient in; returns the direction.
    pub fn next(&mut self, gradient: ParamTensors) -> ParamTensors {
        match self {
            Self::Momentum { keeps_velocity: false, .. } => gradient,
            Self::Momentum { momentum, nesterov, velocity, .. } => {
                velocity.scale_and_add(*momentum, 1.0, &gradient);
                if !*nesterov {
                    return velocity.clone();
                }
                let mut ahead = gradient;
                ahead.scale_and_add(1.0, *momentum, velocity);
                ahead
            }
            Self::Adam(adam) => adam.next(gradient),
        }
    }
}

impl Adam {
    /// β₁, β₂ and ε.
    pub fn numbers(&self) -> AdamSpec {
        self.numbers
    }

    /// D with direction = D m: the diagonal (1 / (1 − β₁ᵗ)) / (√ŝ + ε), with the bias correction of the coming step and ŝ as the last
    /// step left it; `None` before the first step.
    pub fn scaling(&self) -> Option<ParamTensors> {
        let AdamSpec { beta1, epsilon, .. } = self.numbers;
        let coming = 1.0 - beta1.powf(self.num_steps as f64 + 1.0);
        let root = self.root_of_mean_square()?;
        Some(root.map(|_, part| (part + epsilon).recip() * (1.0 / coming)))
    }

    /// √ŝ; `None` before the first step.
    fn root_of_mean_square(&self) -> Option<ParamTensors> {
        let correction = 1.0 - self.numbers.beta2.powf(self.num_steps as f64);
        (self.num_steps > 0).then(|| self.mean_square.clone().map(|_, part| part.sqrt() * (1.0 / correction.sqrt())))
    }

    fn next(&mut self, gradient: ParamTensors) -> ParamTensors {
        let AdamSpec { beta1, beta2, epsilon } = self.numbers;
        let squares = gradient.clone().map(|_, part| part.square() * (1.0 - beta2));
        // The first gradient is taken over by a running mean that is still empty, so it enters scaled.
        self.mean.scale_and_add(beta1, 1.0 - beta1, &gradient);
        self.mean_square.scale_and_add(beta2, 1.0, &squares);
        self.num_steps += 1;
        let correction = 1.0 - beta1.powf(self.num_steps as f64);
        let root = self.root_of_mean_square().unwrap_or_default();
        let mean = self.mean.clone().map(|_, part| part * (1.0 / correction));
        mean.zip(&root, |mean, root| mean / (root + epsilon))
    }
}

impl WeightState for Rule {
    fn save_weights(&self, state: &mut State, layout: &ParamLayout) {
        match self {
            // Without momentum nothing that a later step depends on.
            Self::Momentum { keeps_velocity: true, velocity, .. } => {
                state.put_params("velocity", velocity, layout);
            }
            Self::Momentum { .. } => {}
            Self::Adam(adam) => {
                state.put_params("mean", &adam.mean, layout);
                state.put_params("mean_square", &adam.mean_square, layout);
                state.put("num_steps", &adam.num_steps);
            }
        }
    }

    fn load_weights(&mut self, state: &State, layout: &ParamLayout) -> Result<(), StateError> {
        match self {
            Self::Momentum { keeps_velocity: true, velocity, .. } => {
                *velocity = state.params("velocity", layout)?;
            }
            Self::Momentum { .. } => {}
            Self::Adam(adam) => {
                adam.mean = state.params("mean", layout)?;
                adam.mean_square = state.params("mean_square", layout)?;
                adam.num_steps = state.get("num_steps")?;
            }
        }
        Ok(())
    }
}
