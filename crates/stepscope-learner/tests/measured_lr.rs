//! A measured learning rate as one of Burn's schedulers.
#![allow(clippy::unwrap_used)]

use burn::Tensor;
use burn::module::{Module, ModuleMapper, Param};
use burn_optim::lr_scheduler::{LrScheduler, LrSchedulerRecord};
use stepscope::backend::Backend;
use stepscope::control::Refusal;
use stepscope::control::line_search::{LineFit, NoMinimum, measure};
use stepscope::models::ParamTensors;
use stepscope::types::spec::Precision;
use stepscope_learner::MeasuredLr;

#[path = "../examples/measured_lr.rs"]
#[allow(unreachable_pub)]
mod example;

#[derive(Module, Debug)]
struct Weight {
    value: Param<Tensor<1>>,
}

/// What an optimizer does to a module.
struct Move;

impl ModuleMapper for Move {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        param.map(|value| (value + 0.1).detach().require_grad())
    }
}

/// The losses sign (θ − x)² of batches x along the step that some optimizer took from 0 to 0.1 with learning rate 0.05: v = −2.
fn fit(sign: f32, batches: [f32; 2]) -> LineFit {
    let mut oracle = |model: &Weight, x: &f32, _: u64| (model.value.val() - *x).square() * sign;
    let device = Backend::cpu(Precision::F32).tracked();
    let model = Weight { value: Param::from_tensor(Tensor::from_floats([0.0], &device)) };
    let after = model.clone().map(&mut Move);
    let direction = ParamTensors::direction_of(&model, &after, 0.05);
    assert!((direction.norm() - 2.0).abs() < 1e-5);
    measure(&mut oracle, &model, &direction, &batches, [0.1, 0.3], 1).unwrap()
}

#[test]
fn the_rate_is_alpha_times_the_minimum_in_the_optimizers_own_direction() {
    let rate = MeasuredLr::new(0.05).with_adaptation(1.5);
    let mut scheduler = rate.clone();
    assert_eq!(scheduler.step(), 0.05);
    // From 0 the minimum at 2 is one v away.
    assert!((rate.take_in(&fit(1.0, [2.0, 2.0])).unwrap() - 1.5).abs() < 1e-3);
    let taken = scheduler.step();
    assert!((taken - 1.5).abs() < 1e-3, "every handle has it, above 1 too");
    let concave = rate.take_in(&fit(-1.0, [2.0, 2.0]));
    assert!(matches!(concave, Err(Refusal::NoMinimum(NoMinimum::Concave { .. }))), "{concave:?}");
    // Minima at 0.2 and 3.8: their mean is known to within 1.8.
    let unsure = fit(1.0, [0.2, 3.8]);
    assert!(matches!(rate.take_in(&unsure), Err(Refusal::Imprecise { .. })));
    assert_eq!(scheduler.step(), taken, "the last rate stays");
    rate.clone().with_adaptation(1.0).with_max_relative_error(1.0).take_in(&unsure).unwrap();
    assert!((scheduler.step() - 1.0).abs() < 1e-3, "handles with other settings share it");
}

#[test]
fn a_record_brings_the_rate_back_and_that_of_another_scheduler_changes_nothing() {
    let mut restored = MeasuredLr::new(1.0);
    restored.load_record(MeasuredLr::new(0.3).to_record());
    assert_eq!(restored.current(), 0.3);
    restored.load_record(LrSchedulerRecord::new());
    assert_eq!(restored.current(), 0.3);
}

#[test]
fn the_example_runs() {
    example::main().unwrap();
}
