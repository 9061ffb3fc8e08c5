//! How the optimizer turns a gradient into a step, as far as measurements depend on it.

use burn::module::Module;
use stepscope_types::spec::WeightDecayForm;

use crate::control::transform::{GradientTransform, Rule};
use crate::control::{Direction, Momo, Prodigy};
use crate::models::ParamTensors;

/// The optimizer's rule with what it remembers, and what a quadratic does under it. The default is plain SGD at rest.
///
/// On a loss of curvature λ, a step of rate η is stable while η λ stays below [`Motion::stability_threshold`]. Where each
/// parameter has a rate of its own (Adam, groups) the rule is θ ← θ − η D m, and what counts is the top eigenvalue of
/// D^{1/2} H D^{1/2}, with D from [`Motion::scaling`]. Weight decay that is coupled adds δ to every curvature.
#[derive(Debug, Clone, Copy, Default)]
pub struct Motion<'a> {
    kind: Kind<'a>,
}

#[derive(Debug, Clone, Copy, Default)]
enum Kind<'a> {
    #[default]
    AtRest,
    Transform(&'a GradientTransform),
    Momo(&'a Momo),
    Prodigy(&'a Prodigy),
    ScheduleFree {
        interpolation: f64,
    },
    Svag,
}

/// The diagonal D on what the rule accumulates.
#[derive(Debug, Clone)]
pub enum Scaling {
    /// 1 everywhere.
    None,
    /// A positive diagonal.
    Diagonal(ParamTensors),
    /// Not known before the first step.
    Unknown,
}

impl<'a> Motion<'a> {
    /// The motion under that rule.
    pub fn of(transform: &'a GradientTransform) -> Self {
        Self { kind: Kind::Transform(transform) }
    }

    /// MoMo's: a heavy ball whose gradients enter with weight 1 − β.
    pub(crate) fn of_momo(momo: &'a Momo) -> Self {
        Self { kind: Kind::Momo(momo) }
    }

    /// Prodigy's: Adam without bias correction.
    pub(crate) fn of_prodigy(prodigy: &'a Prodigy) -> Self {
        Self { kind: Kind::Prodigy(prodigy) }
    }

    /// Schedule-Free SGD's.
    pub(crate) fn of_schedule_free(interpolation: f64) -> Self {
        Self { kind: Kind::ScheduleFree { interpolation } }
    }

    /// SVAG's: plain steps whose noise is amplified.
    pub(crate) fn of_svag() -> Self {
        Self { kind: Kind::Svag }
    }

    /// β of the velocity, or of the running mean of gradients; 0 where there is neither.
    pub fn momentum(&self) -> f64 {
        match self.kind {
            Kind::Transform(transform) => match transform.rule() {
                Rule::Momentum { momentum, .. } => *momentum,
                Rule::Adam(adam) => adam.numbers().beta1,
            },
            Kind::Momo(momo) => momo.beta(),
            Kind::Prodigy(prodigy) => prodigy.beta1(),
            Kind::AtRest | Kind::Svag | Kind::ScheduleFree { .. } => 0.0,
        }
    }

    /// What momentum makes of the learning rate for slow modes, over the learning rate: 1/(1 − β), and 1 where gradients enter a
    /// running mean, whose weights sum to 1.
    pub fn effective_rate(&self) -> f64 {
        match self.rule() {
            Some(Rule::Momentum { momentum, .. }) => 1.0 / (1.0 - momentum),
            Some(Rule::Adam(_)) | None => 1.0,
        }
    }

    /// Why a condition that is derived for heavy-ball SGD does not hold for this rule; `None` where it does.
    pub fn beyond_heavy_ball(&self) -> Option<&'static str> {
        match self.kind {
            Kind::AtRest => None,
            Kind::Transform(transform) => match transform.rule() {
                Rule::Adam(_) => Some("Adam scales every parameter on its own"),
                Rule::Momentum { nesterov: true, .. } => Some("Nesterov's momentum filters noise in another way"),
                Rule::Momentum { .. } if transform.groups().have_factors() => {
                    Some("groups of parameters have learning rates of their own")
                }
                Rule::Momentum { .. } => None,
            },
            Kind::Momo(_) => Some("MoMo's steps depend on the batch's loss"),
            Kind::Prodigy(_) => Some("Prodigy scales every parameter on its own"),
            Kind::Svag => Some("SVAG amplifies the noise of every step"),
            Kind::ScheduleFree { .. } => Some("Schedule-Free SGD takes gradients beside the averaged weights"),
        }
    }

    /// δ where it adds to the curvature of the loss, else 0.
    pub fn coupled_decay(&self) -> f64 {
        self.decay_where(WeightDecayForm::Coupled)
    }

    /// D, for the parameters of `network`.
    pub fn scaling<M: Module>(&self, network: &M) -> Scaling {
        let diagonal = |known: Option<ParamTensors>| known.map_or(Scaling::Unknown, Scaling::Diagonal);
        match self.kind {
            Kind::Transform(transform) => {
                let groups = transform.groups();
                let factor = |id| groups.of(id).learning_rate_factor;
                match transform.rule() {
                    Rule::Adam(adam) => {
                        diagonal(adam.scaling().map(|scaling| scaling.map(|id, part| part * factor(id))))
                    }
                    Rule::Momentum { .. } if groups.have_factors() => {
                        let ones = ParamTensors::values(network).map(|_, part| part.ones_like());
                        Scaling::Diagonal(ones.map(|id, part| part * factor(id)))
                    }
                    Rule::Momentum { .. } => Scaling::None,
                }
            }
            Kind::Prodigy(prodigy) => diagonal(prodigy.scaling()),
            Kind::AtRest | Kind::Svag | Kind::Momo(_) | Kind::ScheduleFree { .. } => Scaling::None,
        }
    }

    /// The largest ηλ at which full-batch steps of rate η on a quadratic of curvature λ stay bounded, λ without decoupled
    /// and with coupled decay:
    ///
    /// | rule | threshold |
    /// |---|---|
    /// | heavy ball | (1 + β)(2 − ηδ) |
    /// | Nesterov | (1 + β)(2 − ηδ)/(1 + 2β); below β = −1/3 another root of the step leaves the unit circle first |
    /// | Adam, Prodigy, MoMo: a running mean, gradients of weight 1 − β | (1 + β)(2 − ηδ)/(1 − β): 38 at β = 0.9 |
    /// | Schedule-Free, once the mean moves slowly | 2/(1 − β) |
    ///
    /// δ is decoupled weight decay, taken as acting on all parameters.
    ///
    /// Source: `curvature`, section 3.2, claim C8, and section 4.7; decay and Schedule-Free, ours.
    ///
    /// ```
    /// use stepscope::measure::Motion;
    /// assert_eq!(Motion::default().stability_threshold(0.1), 2.0);
    /// ```
    pub fn stability_threshold(&self, learning_rate: f64) -> f64 {
        let (momentum, decay) = (self.momentum(), learning_rate * self.decay_where(WeightDecayForm::Decoupled));
        let heavy_ball = (1.0 + momentum) * (2.0 - decay);
        let running_mean = heavy_ball / (1.0 - momentum);
        match self.kind {
            Kind::AtRest | Kind::Svag => heavy_ball,
            Kind::ScheduleFree { interpolation } => 2.0 / (1.0 - interpolation),
            Kind::Momo(_) | Kind::Prodigy(_) => running_mean,
            Kind::Transform(transform) => match transform.rule() {
                Rule::Adam(_) => running_mean,
                Rule::Momentum { nesterov: true, .. } => {
                    // Of z² − (a + β)z + β(1 − ηδ − ηλ), a = 1 − ηδ − (1 + β)ηλ: at z = −1, and where the product of the roots reaches 1.
                    let bounds = [heavy_ball / (1.0 + 2.0 * momentum), 1.0 - decay - 1.0 / momentum];
                    bounds.into_iter().filter(|&bound| bound > 0.0).fold(f64::INFINITY, f64::min)
                }
                Rule::Momentum { .. } => heavy_ball,
            },
        }
    }

    /// The direction of the coming step, θ ← θ − η·direction, if its batch has this gradient at `network`; for Schedule-Free that of
    /// its walker.
    pub fn direction<M: Module>(&self, gradient: ParamTensors, network: &M) -> ParamTensors {
        // Tensors are shared until they are written to, so what is copied is a table of handles.
        match self.kind {
            Kind::Transform(transform) => transform.clone().direction(gradient, &|| ParamTensors::values(network)),
            Kind::Momo(momo) => momo.clone().direction(gradient),
            Kind::Prodigy(prodigy) => prodigy.clone().direction(gradient, &ParamTensors::values(network)),
            Kind::AtRest | Kind::Svag | Kind::ScheduleFree { .. } => gradient,
        }
    }

    fn rule(&self) -> Option<&Rule> {
        match self.kind {
            Kind::Transform(transform) => Some(transform.rule()),
            _ => None,
        }
    }

    fn decay_where(&self, form: WeightDecayForm) -> f64 {
        let (decay, own) = match self.kind {
            Kind::Transform(transform) => transform.weight_decay(),
            Kind::Prodigy(prodigy) => (prodigy.weight_decay(), WeightDecayForm::Decoupled),
            Kind::ScheduleFree { .. } | Kind::Momo(_) | Kind::Svag | Kind::AtRest => (0.0, WeightDecayForm::Coupled),
        };
        if own == form { decay } else { 0.0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use stepscope_types::spec::AdamSpec;

    /// What one of the rules does to ½λx², brute force: whether x stays bounded. Adam is its heavy ball, with D = 1.
    fn stays(rule: &Rule, decay: f64, rate: f64, curvature: f64) -> bool {
        let (mut x, mut v) = (1.0_f64, 0.0);
        for _ in 0..6000 {
            let g = curvature * x;
            let direction = match rule {
                Rule::Momentum { momentum, nesterov, .. } => {
                    v = momentum * v + g;
                    if *nesterov { g + momentum * v } else { v }
                }
                Rule::Adam(adam) => {
                    let beta = adam.numbers().beta1;
                    v = beta * v + (1.0 - beta) * g;
                    v
                }
            };
            x -= rate * (direction + decay * x);
        }
        x.abs() < 1.0
    }

    #[test]
    fn just_below_the_threshold_steps_contract_and_just_above_they_grow() {
        let mut rules =
            vec![Rule::adam(AdamSpec::default()), Rule::adam(AdamSpec { beta1: 0.0, ..AdamSpec::default() })];
        for momentum in [-0.7, -0.45, -0.2, 0.0, 0.3, 0.9] {
            rules.extend([Rule::heavy_ball(momentum), Rule::nesterov(momentum)]);
        }
        for rule in rules {
            for decay in [0.0, 0.8] {
                let rate = 0.5;
                let transform =
                    GradientTransform::new(rule.clone()).with_weight_decay(decay, WeightDecayForm::Decoupled);
                let threshold = transform.motion().stability_threshold(rate);
                assert!(stays(&rule, decay, rate, 0.98 * threshold / rate), "{rule:?} {decay} {threshold}");
                assert!(!stays(&rule, decay, rate, 1.02 * threshold / rate), "{rule:?} {decay} {threshold}");
            }
        }
    }

    #[test]
    fn the_walker_of_schedule_free_is_stable_below_two_over_one_minus_beta() {
        // Late in a run: shares of 1/(t + 1) from t = 2000 on.
        let stays = |beta: f64, rate: f64| {
            let (mut x, mut z) = (1.0_f64, 1.0_f64);
            for t in 2000..4000 {
                z -= rate * (beta * x + (1.0 - beta) * z);
                x += (z - x) / f64::from(t);
            }
            z.abs() < 30.0
        };
        for beta in [0.0, 0.5, 0.9] {
            let threshold = Motion::of_schedule_free(beta).stability_threshold(1.0);
            assert!(stays(beta, 0.98 * threshold) && !stays(beta, 1.02 * threshold), "{beta} {threshold}");
        }
    }

    #[test]
    fn coupled_decay_is_curvature_and_decoupled_decay_is_not() {
        let coupled = GradientTransform::default().with_weight_decay(0.25, WeightDecayForm::Coupled);
        assert_eq!((coupled.motion().coupled_decay(), coupled.motion().stability_threshold(1.0)), (0.25, 2.0));
        let decoupled = GradientTransform::default().with_weight_decay(0.25, WeightDecayForm::Decoupled);
        assert_eq!((decoupled.motion().coupled_decay(), decoupled.motion().stability_threshold(1.0)), (0.0, 1.75));
    }
}
