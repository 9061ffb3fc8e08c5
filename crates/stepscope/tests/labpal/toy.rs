//! Models of a few numbers whose losses are functions on the host.

use burn::Tensor;
use burn::module::{Module, Param};
use burn::tensor::{DType, TensorData};
use stepscope::backend::Backend;
use stepscope::checkpoint::{State, WeightState};
use stepscope::control::transform::GradientTransform;
use stepscope::control::{Context, LabPal, LabPalMode, LabPalTask, LossOracle, Method, Numbered, StepReport};
use stepscope::models::{ParamLayout, ParamTensors};
use stepscope::types::Momentum;
use stepscope::types::spec::{LabPalSpec, Precision};

/// A vector.
#[derive(Module, Debug)]
pub(crate) struct Toy {
    theta: Param<Tensor<1>>,
}

impl Toy {
    pub(crate) fn new(theta: &[f64]) -> Self {
        let device = Backend::cpu(Precision::F64).tracked();
        let data = TensorData::new(theta.to_vec(), [theta.len()]);
        Self { theta: Param::from_tensor(Tensor::from_data(data, (&device, DType::F64))) }
    }

    pub(crate) fn theta(&self) -> Vec<f64> {
        self.theta.val().into_data().iter::<f64>().collect()
    }

    pub(crate) fn vector(&self, values: Vec<f64>) -> ParamTensors {
        ParamLayout::of(self).tensors(&values)
    }
}

/// Loss and gradient as a function of the weights and the number of the batch.
pub(crate) struct Host<F>(pub(crate) F);

impl<F: FnMut(&[f64], u64) -> (f64, Vec<f64>)> LossOracle<Toy, u64> for Host<F> {
    fn loss(&mut self, model: &Toy, batch: &u64, _seed: u64) -> f64 {
        (self.0)(&model.theta(), *batch).0
    }

    fn loss_and_gradient(&mut self, model: &Toy, batch: &u64, _seed: u64) -> (f64, ParamTensors) {
        let (loss, gradient) = (self.0)(&model.theta(), *batch);
        (loss, model.vector(gradient))
    }
}

/// The loss ½(s − 1)² along every line, wherever it starts, with a gradient of norm 1: every measurement succeeds.
#[derive(Default)]
pub(crate) struct Always {
    start: f64,
}

impl LossOracle<Toy, u64> for Always {
    fn loss(&mut self, model: &Toy, _batch: &u64, _seed: u64) -> f64 {
        0.5 * (model.theta()[0] - self.start - 1.0).powi(2)
    }

    fn loss_and_gradient(&mut self, model: &Toy, _batch: &u64, _seed: u64) -> (f64, ParamTensors) {
        self.start = model.theta()[0];
        (0.5, model.vector(vec![-1.0]))
    }
}

pub(crate) fn labpal(mode: LabPalMode, spec: &LabPalSpec, task: LabPalTask, momentum: f64) -> LabPal<u64> {
    let direction = Box::new(GradientTransform::heavy_ball(Momentum::new(momentum).unwrap()));
    LabPal::new(mode, spec, direction, task).unwrap()
}

/// One batch an update, in a training that long.
pub(crate) const TASK: LabPalTask = LabPalTask { batch_size: 128, num_examples: 45_000, num_batches: 150_000 };

/// Hands batches `from..to` to the method, numbered as they are.
pub(crate) fn push(
    method: &mut LabPal<u64>,
    mut model: Toy,
    oracle: &mut dyn LossOracle<Toy, u64>,
    batches: std::ops::Range<u64>,
    mut see: impl FnMut(u64, &Toy, &StepReport),
) -> Toy {
    for number in batches {
        let mut context = Context::new(oracle, 3);
        let (next, report) = method.take(model, Numbered { number, batch: number }, &mut context);
        see(number, &next, &report);
        model = next;
    }
    model
}

/// The method as it would be in another process.
pub(crate) fn reloaded(method: &LabPal<u64>, fresh: LabPal<u64>, model: &Toy) -> LabPal<u64> {
    let (layout, mut state, mut fresh) = (ParamLayout::of(model), State::default(), fresh);
    method.save_weights(&mut state, &layout);
    fresh.load_weights(&state, &layout).unwrap();
    Method::<Toy, u64>::restore_held(&mut fresh, &mut |number| number);
    let mut again = State::default();
    fresh.save_weights(&mut again, &layout);
    assert_eq!(again, state, "a state that was loaded is the one that was saved");
    fresh
}
