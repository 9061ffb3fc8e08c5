//! Momentum, Adam, weight decay, clipping and groups.

use serde_json::Value;
use stepscope::checkpoint::State;
use stepscope::control::Direction;
use stepscope::control::transform::{Clip, GradientTransform, ParamGroups, Rule};
use stepscope::models::{ParamLayout, ParamTensors};
use stepscope::types::spec::{AdamSpec, ParamGroupSpec, WeightDecayForm};

use super::point::{Point, START, difference, gradient};

/// All of it over plain numbers, one parameter after the other.
struct Twin {
    rule: &'static str,
    beta: f64,
    decay: f64,
    decoupled: bool,
    clip_norm: Option<f64>,
    clip_value: Option<f64>,
    factors: [f64; 5],
    decays: [f64; 5],
    first: [f64; 5],
    second: [f64; 5],
    steps: i32,
}

impl Twin {
    fn plain(rule: &'static str, beta: f64) -> Self {
        let (factors, decays) = ([1.0; 5], [1.0; 5]);
        let (first, second, steps) = ([0.0; 5], [0.0; 5], 0);
        let (decay, decoupled, clip_norm, clip_value) = (0.0, false, None, None);
        Self { rule, beta, decay, decoupled, clip_norm, clip_value, factors, decays, first, second, steps }
    }

    fn step(&mut self, x: &mut [f64], mut g: Vec<f64>, rate: f64) {
        if let Some(bound) = self.clip_value {
            g.iter_mut().for_each(|g| *g = g.max(-bound).min(bound));
        }
        let norm = g.iter().map(|g| g * g).sum::<f64>().sqrt();
        let shorten = self.clip_norm.map_or(1.0, |longest| (longest / norm).min(1.0));
        self.steps += 1;
        for i in 0..x.len() {
            let decay = self.decay * self.decays[i];
            let own = shorten * g[i] + if self.decoupled { 0.0 } else { decay * x[i] };
            let u = match self.rule {
                "adam" => {
                    self.first[i] = self.beta * self.first[i] + (1.0 - self.beta) * own;
                    self.second[i] = 0.99 * self.second[i] + 0.01 * own * own;
                    let mean = self.first[i] / (1.0 - self.beta.powi(self.steps));
                    mean / ((self.second[i] / (1.0 - 0.99_f64.powi(self.steps))).sqrt() + 1e-3)
                }
                rule => {
                    self.first[i] = self.beta * self.first[i] + own;
                    if rule == "nesterov" { own + self.beta * self.first[i] } else { self.first[i] }
                }
            };
            x[i] -= rate * self.factors[i] * (u + if self.decoupled { decay * x[i] } else { 0.0 });
        }
    }
}

fn adam() -> Rule {
    Rule::adam(AdamSpec { beta1: 0.8, beta2: 0.99, epsilon: 1e-3 })
}

/// Thirty steps of both; saved and restored into a fresh one in the middle.
fn compare(what: &str, mut twin: Twin, fresh: impl Fn(&Point) -> GradientTransform) {
    let mut point = Point::at(&START);
    let layout = ParamLayout::of(&point);
    let (mut direction, mut x) = (fresh(&point), START.to_vec());
    for step in 0..30 {
        if step == 13 {
            let mut state = State::default();
            state.nest_weights("direction", &direction, &layout);
            direction = fresh(&point);
            state.restore_weights("direction", &mut direction, &layout).unwrap();
        }
        let way = direction.direction(point.vector(&gradient(&point.values(), step)), &|| ParamTensors::values(&point));
        point = way.displace(point, -0.1);
        let own = gradient(&x, step);
        twin.step(&mut x, own, 0.1);
        assert!(difference(&point.values(), &x) < 1e-12, "{what}, step {step}: {:?} {x:?}", point.values());
    }
}

#[test]
fn every_rule_with_every_decay_is_its_twin_over_plain_numbers() {
    for (name, beta, rule) in [
        ("heavy ball", 0.0, Rule::heavy_ball(0.0)),
        ("heavy ball", 0.9, Rule::heavy_ball(0.9)),
        ("heavy ball", -0.4, Rule::heavy_ball(-0.4)),
        ("nesterov", 0.9, Rule::nesterov(0.9)),
        ("adam", 0.8, adam()),
    ] {
        for (decay, form) in
            [(0.0, WeightDecayForm::Coupled), (0.3, WeightDecayForm::Coupled), (0.3, WeightDecayForm::Decoupled)]
        {
            let decoupled = form == WeightDecayForm::Decoupled;
            let twin = Twin { decay, decoupled, ..Twin::plain(name, beta) };
            let what = format!("{name} {beta} {form:?} {decay}");
            compare(&what, twin, |_| GradientTransform::new(rule.clone()).with_weight_decay(decay, form));
        }
    }
}

#[test]
fn clipping_bounds_entries_and_then_the_norm_before_the_rule() {
    for (clip_value, clip_norm) in [(Some(0.4), None), (None, Some(0.7)), (Some(0.5), Some(0.6)), (None, Some(1e9))] {
        let twin = Twin { clip_value, clip_norm, ..Twin::plain("heavy ball", 0.9) };
        let clip = Clip { value: clip_value, norm: clip_norm };
        compare("clip", twin, |_| GradientTransform::new(Rule::heavy_ball(0.9)).with_clip(clip));
    }
}

fn group(names: &str, learning_rate_factor: f64, weight_decay: bool) -> ParamGroupSpec {
    ParamGroupSpec { names: names.to_owned(), learning_rate_factor, weight_decay }
}

#[test]
fn groups_have_their_own_rates_and_decay_and_the_first_that_matches_counts() {
    let specs = [group("bias", 3.0, false), group("*", 0.5, true)];
    for form in [WeightDecayForm::Coupled, WeightDecayForm::Decoupled] {
        let twin = Twin {
            decay: 0.2,
            decoupled: form == WeightDecayForm::Decoupled,
            factors: [0.5, 0.5, 0.5, 3.0, 3.0],
            decays: [1.0, 1.0, 1.0, 0.0, 0.0],
            ..Twin::plain("adam", 0.8)
        };
        compare("groups", twin, |point| {
            let groups = ParamGroups::of_spec(&specs, &ParamLayout::of(point)).unwrap();
            GradientTransform::new(adam()).with_weight_decay(0.2, form).with_groups(groups)
        });
    }
}

#[test]
fn a_group_without_parameters_is_refused_with_the_names_there_are() {
    let layout = ParamLayout::of(&Point::at(&START));
    let message = ParamGroups::of_spec(&[group("biass", 1.0, true)], &layout).unwrap_err().to_string();
    assert!(message.contains("biass") && message.contains("weight, bias"), "{message}");
}

/// `optimizers.json` is written by `optimizers.py` beside it.
#[test]
fn ten_steps_end_where_those_of_pytorch_end() {
    let peers: Value = serde_json::from_str(include_str!("optimizers.json")).unwrap();
    let decays = |rule, form| GradientTransform::new(rule).with_weight_decay(0.1, form);
    let default_adam = Rule::adam(AdamSpec::default());
    for (name, mut direction) in [
        ("sgd", decays(Rule::heavy_ball(0.9), WeightDecayForm::Coupled)),
        ("nesterov", decays(Rule::nesterov(0.9), WeightDecayForm::Coupled)),
        ("adam", decays(default_adam.clone(), WeightDecayForm::Coupled)),
        ("adamw", decays(default_adam, WeightDecayForm::Decoupled)),
        ("clipped", GradientTransform::new(Rule::heavy_ball(0.9)).with_clip(Clip { value: None, norm: Some(0.5) })),
    ] {
        let mut point = Point::at(&START);
        for step in 0..10 {
            let way =
                direction.direction(point.vector(&gradient(&point.values(), step)), &|| ParamTensors::values(&point));
            point = way.displace(point, -0.05);
        }
        let peer: Vec<f64> = peers[name].as_array().unwrap().iter().map(|x| x.as_f64().unwrap()).collect();
        // PyTorch's clipping adds 1e-6 to the norm.
        let allowed = if name == "clipped" { 1e-5 } else { 1e-12 };
        assert!(difference(&point.values(), &peer) < allowed, "{name}: {:?} {peer:?}", point.values());
    }
}
