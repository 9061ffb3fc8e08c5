//! Which way a step goes: momentum, Adam, weight decay, clipping, groups of parameters.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{InvalidSpec, LearningRateSpec, OptimizerMethod, OptimizerSpec, SchedulesSpec, require};

/// The rules that turn gradients into directions.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum DirectionRule {
    /// v ← momentum·v + g, direction v: SGD; plain where momentum is 0.
    #[default]
    HeavyBall,
    /// v ← momentum·v + g, direction g + momentum·v with the new v.
    Nesterov,
    /// Running mean of gradients over the root of the running mean of their squares, both bias-corrected; its numbers are in optimizer.adam.
    Adam,
}

/// Where weight decay enters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum WeightDecayForm {
    /// g ← g + decay·θ before anything else: the gradient of a penalty ½ decay ‖θ‖².
    Coupled,
    /// θ ← θ − learning_rate·decay·θ beside the step, untouched by momentum and scaling.
    Decoupled,
}

/// The numbers of Adam.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct AdamSpec {
    /// Decay of the running mean of gradients.
    #[schemars(range(min = 0), extend("exclusiveMaximum" = 1))]
    pub beta1: f64,
    /// Decay of the running mean of squared gradients.
    #[schemars(range(min = 0), extend("exclusiveMaximum" = 1))]
    pub beta2: f64,
    /// What is added to the root of the mean square.
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub epsilon: f64,
}

/// Parameters that are treated on their own. A parameter belongs to the first group whose pattern matches its name.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "a group: { names = \"*.bias\", learning_rate_factor = 1.0, weight_decay = false }")]
pub struct ParamGroupSpec {
    /// Pattern of the names, with `*`, `?` and `[ab]`: `layers.0.*`, `*.bias`.
    pub names: String,
    /// Factor on the learning rate.
    #[serde(default = "one")]
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub learning_rate_factor: f64,
    /// Whether weights decay.
    #[serde(default = "yes")]
    pub weight_decay: bool,
}

fn one() -> f64 {
    1.0
}

fn yes() -> bool {
    true
}

impl Default for AdamSpec {
    fn default() -> Self {
        Self { beta1: 0.9, beta2: 0.999, epsilon: 1e-8 }
    }
}

impl OptimizerSpec {
    /// Where weight decay enters: as asked, else decoupled for Adam and coupled for the others, as they are usually meant.
    pub fn decay_form(&self) -> WeightDecayForm {
        let usual = match self.direction {
            DirectionRule::Adam => WeightDecayForm::Decoupled,
            DirectionRule::HeavyBall | DirectionRule::Nesterov => WeightDecayForm::Coupled,
        };
        self.weight_decay_form.unwrap_or(usual)
    }

    /// The largest learning rate times sharpness under which full-batch steps on a quadratic stay bounded, weight decay aside:
    /// 2(1 + β) for heavy ball, 2(1 + β)/(1 + 2β) for Nesterov. `None` where sharpness alone does not say it: parameters are
    /// scaled each on its own, or steps depend on the loss.
    ///
    /// Source: `curvature`, section 3.2, claim C8.
    pub fn stability_limit(&self) -> Option<f64> {
        let momentum = self.momentum.get();
        if self.method.has_own_direction() || self.groups.iter().any(|group| group.learning_rate_factor != 1.0) {
            return None;
        }
        match self.direction {
            DirectionRule::HeavyBall => Some(2.0 * (1.0 + momentum)),
            // Below −1/3 another root of the step leaves the unit circle first.
            DirectionRule::Nesterov if momentum > -1.0 / 3.0 => Some(2.0 * (1.0 + momentum) / (1.0 + 2.0 * momentum)),
            DirectionRule::Nesterov | DirectionRule::Adam => None,
        }
    }

    /// Checks the keys that say which way a step goes.
    ///
    /// # Errors
    /// [`InvalidSpec`] names the first key that is wrong.
    pub(super) fn validate_direction(&self) -> Result<(), InvalidSpec> {
        let share = |key, value: f64| {
            require((0.0..1.0).contains(&value), key, || {
                format!("got {value}, expected a number of at least 0 and below 1")
            })
        };
        let positive = |key, value: f64| {
            require(value.is_finite() && value > 0.0, key, || format!("got {value}, expected a finite number above 0"))
        };
        let decay = self.weight_decay;
        require(decay.is_finite() && decay >= 0.0, "optimizer.weight_decay", || {
            format!("got {decay}, expected a finite number of at least 0")
        })?;
        share("optimizer.adam.beta1", self.adam.beta1)?;
        share("optimizer.adam.beta2", self.adam.beta2)?;
        positive("optimizer.adam.epsilon", self.adam.epsilon)?;
        positive("optimizer.clip_norm", self.clip_norm.unwrap_or(1.0))?;
        positive("optimizer.clip_value", self.clip_value.unwrap_or(1.0))?;
        for group in &self.groups {
            positive("optimizer.groups", group.learning_rate_factor)?;
        }
        let momentum = self.momentum.get();
        if self.method.has_own_direction() {
            return self.validate_own_direction();
        }
        match self.direction {
            DirectionRule::Adam => require(momentum == 0.0, "optimizer.momentum", || {
                format!("got {momentum}, which optimizer.direction = \"adam\" does not use: set optimizer.adam.beta1")
            }),
            DirectionRule::Nesterov => require(momentum != 0.0, "optimizer.momentum", || {
                "got 0, with which optimizer.direction = \"nesterov\" is plain SGD: set a momentum, usually 0.9"
                    .to_owned()
            }),
            DirectionRule::HeavyBall => Ok(()),
        }
    }

    /// Schedules of what the method does not have.
    pub(super) fn validate_schedules(&self, schedules: &SchedulesSpec) -> Result<(), InvalidSpec> {
        let method = self.method;
        let of_rate = schedules.learning_rate.is_none();
        require(of_rate || method != OptimizerMethod::ScheduleFree, "schedule.learning_rate", || {
            "the method schedule-free has a warm-up of its own, schedule_free.warmup, and no other schedule: take it out".to_owned()
        })?;
        require(of_rate || method != OptimizerMethod::Svag, "schedule.learning_rate", || {
            "the method svag compares runs at one constant learning rate: take the schedule out".to_owned()
        })?;
        let has_momentum = !method.has_own_direction() && self.direction != DirectionRule::Adam;
        require(schedules.momentum.is_none() || has_momentum, "schedule.momentum", || {
            "there is no momentum that could follow a schedule: take it out, or take a method and a direction that have one".to_owned()
        })
    }

    /// Keys that a method with a direction of its own does not use must not be there: they would be ignored.
    fn validate_own_direction(&self) -> Result<(), InvalidSpec> {
        let method = self.method;
        let unused = |is_unused: bool, key| {
            require(is_unused, key, || {
                format!("the method {method} goes along a direction of its own and does not use this key: take it out")
            })
        };
        unused(self.direction == DirectionRule::HeavyBall, "optimizer.direction")?;
        unused(self.momentum.get() == 0.0, "optimizer.momentum")?;
        unused(self.groups.is_empty(), "optimizer.groups")?;
        unused(self.weight_decay_form.is_none(), "optimizer.weight_decay_form")?;
        let has_decay = !matches!(method, OptimizerMethod::Momo | OptimizerMethod::Svag);
        unused(self.weight_decay == 0.0 || has_decay, "optimizer.weight_decay")?;
        // A gradient that was cut has not the noise that is amplified.
        let is_cut = self.clip_norm.is_some() || self.clip_value.is_some();
        unused(!is_cut || method != OptimizerMethod::Svag, "optimizer.clip_norm and optimizer.clip_value")?;
        let measured = self.learning_rate == Some(LearningRateSpec::Measured);
        require(!measured, "optimizer.learning_rate", || {
            format!("got \"measured\", which the method {method} cannot: expected a finite number above 0")
        })
    }
}
