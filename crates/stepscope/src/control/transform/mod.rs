//! From a mini-batch gradient to the direction of a step: clipping, weight decay, momentum or Adam, groups of parameters.

mod clip;
mod groups;
mod rule;

use stepscope_types::Momentum;
use stepscope_types::spec::{OptimizerSpec, WeightDecayForm};

pub use clip::Clip;
pub use groups::{ParamGroups, Treatment};
pub use rule::{Adam, Rule};

use super::Direction;
use crate::checkpoint::{State, StateError, WeightState};
use crate::measure::Motion;
use crate::models::{ParamLayout, ParamTensors, PatternError};

/// The direction u of the coming step θ ← θ − η u, from the gradient g of its mini-batch:
///
/// 1. g is clipped, by value and then by norm;
/// 2. coupled weight decay: g ← g + δ θ;
/// 3. the rule: heavy ball, Nesterov or Adam;
/// 4. decoupled weight decay: u ← u + δ θ;
/// 5. groups: u ← factor · u, each parameter with the factor of its group.
///
/// Decay and factors are in u, so that a line search sees the whole step that will be taken. Memory: one vector in weight space
/// for momentum, two for Adam, none for plain SGD.
///
/// ```
/// use stepscope::control::transform::GradientTransform;
/// use stepscope::control::Direction;
/// use stepscope::types::Momentum;
/// let sgd = GradientTransform::heavy_ball(Momentum::new(0.9)?);
/// assert_eq!(sgd.motion().stability_threshold(0.1), 3.8);
/// # Ok::<(), stepscope::types::InvalidUnit>(())
/// ```
#[derive(Debug, Clone)]
pub struct GradientTransform {
    clip: Clip,
    weight_decay: f64,
    decay_form: WeightDecayForm,
    rule: Rule,
    groups: ParamGroups,
}

impl GradientTransform {
    /// The rule at rest, without clipping, decay or groups.
    pub fn new(rule: Rule) -> Self {
        let (clip, groups) = (Clip::default(), ParamGroups::default());
        Self { clip, weight_decay: 0.0, decay_form: WeightDecayForm::Coupled, rule, groups }
    }

    /// SGD with heavy-ball momentum, at rest.
    pub fn heavy_ball(momentum: Momentum) -> Self {
        Self::new(Rule::heavy_ball(momentum.get()))
    }

    /// What `spec` asks for, for a network of that layout.
    ///
    /// # Errors
    /// [`PatternError`] for a group whose pattern is none, or matches no parameter.
    pub fn of_spec(spec: &OptimizerSpec, layout: &ParamLayout) -> Result<Self, PatternError> {
        let groups = ParamGroups::of_spec(&spec.groups, layout)?;
        let clip = Clip { value: spec.clip_value, norm: spec.clip_norm };
        let own = Self::new(Rule::of_spec(spec));
        Ok(own.with_clip(clip).with_weight_decay(spec.weight_decay, spec.decay_form()).with_groups(groups))
    }

    /// The same rule, whose momentum may change: its velocity is kept also where the momentum is 0.
    #[must_use]
    pub fn with_changing_momentum(mut self) -> Self {
        if let Rule::Momentum { keeps_velocity, .. } = &mut self.rule {
            *keeps_velocity = true;
        }
        self
    }

    /// The same with clipped gradients.
    #[must_use]
    pub fn with_clip(mut self, clip: Clip) -> Self {
        self.clip = clip;
        self
    }

    /// The same with weight decay δ ≥ 0.
    #[must_use]
    pub fn with_weight_decay(mut self, weight_decay: f64, form: WeightDecayForm) -> Self {
        (self.weight_decay, self.decay_form) = (weight_decay, form);
        self
    }

    /// The same with some parameters treated on their own.
    #[must_use]
    pub fn with_groups(mut self, groups: ParamGroups) -> Self {
        self.groups = groups;
        self
    }

    /// The rule with what it remembers.
    pub fn rule(&self) -> &Rule {
        &self.rule
    }

    /// The groups.
    pub fn groups(&self) -> &ParamGroups {
        &self.groups
    }

    /// δ, and where it enters.
    pub fn weight_decay(&self) -> (f64, WeightDecayForm) {
        (self.weight_decay, self.decay_form)
    }
}

/// Plain SGD at rest.
impl Default for GradientTransform {
    fn default() -> Self {
        Self::new(Rule::heavy_ball(0.0))
    }
}

impl Direction for GradientTransform {
    fn direction(&mut self, gradient: ParamTensors, weights: &dyn Fn() -> ParamTensors) -> ParamTensors {
        let mut gradient = self.clip.apply(gradient);
        // δ θ, over the parameters that decay.
        let decays = (self.weight_decay > 0.0).then(|| self.groups.decaying(weights(), self.weight_decay));
        if let (Some(decays), WeightDecayForm::Coupled) = (&decays, self.decay_form) {
            gradient.scale_and_add(1.0, 1.0, decays);
        }
        let mut direction = self.rule.next(gradient);
        if let (Some(decays), WeightDecayForm::Decoupled) = (&decays, self.decay_form) {
            direction.scale_and_add(1.0, 1.0, decays);
        }
        self.groups.scale(direction)
    }

    fn set_momentum(&mut self, value: f64) {
        if let Rule::Momentum { momentum, .. } = &mut self.rule {
            *momentum = value;
        }
    }

    fn reset(&mut self) {
        self.rule.reset();
    }

    fn motion(&self) -> Motion<'_> {
        Motion::of(self)
    }
}

impl WeightState for GradientTransform {
    fn save_weights(&self, state: &mut State, layout: &ParamLayout) {
        self.rule.save_weights(state, layout);
    }

    fn load_weights(&mut self, state: &State, layout: &ParamLayout) -> Result<(), StateError> {
        self.rule.load_weights(state, layout)
    }
}
