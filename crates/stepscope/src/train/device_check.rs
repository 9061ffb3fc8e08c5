//! Whether a device computes what the processor computes.

use stepscope_spectral::LinearOperator;
use stepscope_spectral::random::RandomStream;
use stepscope_types::spec::{
    Activation, DataSpec, DeviceKind, LearningRateSpec, ModelKind, ModelSpec, Normalisation, Precision,
};
use stepscope_types::{BatchSize, LearningRate, Record, RunSpec, TrainingDuration, quantity};

use super::event::MemorySink;
use super::run::{Run, RunError};
use super::run_loop::TrainError;
use crate::data::{Dataset, probe_subset};
use crate::measure::{Curvature, CurvatureOperator, Objective, ProbeError};
use crate::models::{ParamLayout, describe};

/// What one short run gave on the processor and on a device.
#[derive(Debug, Clone, PartialEq)]
pub struct DeviceCheck {
    /// The network in a line.
    pub network: String,
    /// Largest difference of a mini-batch loss between the two runs, in nats, over [`DeviceCheck::STEPS`] steps.
    pub loss_difference: f64,
    /// ‖H_d v − H_c v‖ / ‖H_c v‖ for a normal v at the initial weights.
    pub product_difference: f64,
    /// Largest difference of losses that is rounding.
    pub loss_bound: f64,
    /// Largest relative difference of Hessian products that is rounding.
    pub product_bound: f64,
}

impl DeviceCheck {
    /// Steps of each run.
    pub const STEPS: u64 = 50;
    /// Largest difference of losses that is rounding, on smooth networks.
    pub const LOSS_TOLERANCE: f64 = 1e-4;
    /// Largest relative difference of Hessian products that is rounding, on smooth networks.
    pub const PRODUCT_TOLERANCE: f64 = 1e-3;
    /// On networks with kinks: how many times as far as f32 and f64 on the processor a device may be from the processor.
    pub const KINKED_FACTOR: f64 = 4.0;

    /// Whether the device computes the same.
    pub fn passes(&self) -> bool {
        self.loss_difference <= self.loss_bound && self.product_difference <= self.product_bound
    }
}

/// Trains eight small networks of embedded data in f32 on the processor and on a device, and compares losses step by step and
/// Hessian products: dense layers, convolutions with pooling, residuals with batch normalisation, attention, each with tanh and with ReLU.
///
/// Two runs that differ by rounding stay together where the network is smooth, and part where it has kinks, whatever they compute on: each unit
/// that one of them sees on the other side of its kink is a difference that rounding did not make. Smooth networks are therefore held to
/// [`DeviceCheck::LOSS_TOLERANCE`] and [`DeviceCheck::PRODUCT_TOLERANCE`], the others to [`DeviceCheck::KINKED_FACTOR`] times the differences between f32
/// and f64 on the processor where those are larger.
///
/// # Errors
/// [`RunError`], above all [`RunError::Device`] where the device cannot be used.
pub fn check_device(kind: DeviceKind) -> Result<Vec<DeviceCheck>, RunError> {
    let with = |activation: Activation| {
        let of = || ModelSpec { activation, ..ModelSpec::default() };
        [
            ModelSpec { hidden: Some(vec![64, 32]), ..of() },
            ModelSpec { kind: ModelKind::SimpleCnn, ..of() },
            ModelSpec { kind: ModelKind::ResNet8, normalisation: Some(Normalisation::Batch), ..of() },
            ModelSpec { kind: ModelKind::VisionTransformer, ..of() },
        ]
    };
    let networks = [Activation::Tanh, Activation::Relu].into_iter().flat_map(with);
    networks.map(|model| check_network(kind, model)).collect()
}

fn check_network(kind: DeviceKind, model: ModelSpec) -> Result<DeviceCheck, RunError> {
    let spec = spec_of(model);
    let dataset = Dataset::load(&spec.data)?;
    let (here, there) = (observe(&spec, &dataset, DeviceKind::Cpu)?, observe(&spec, &dataset, kind)?);
    let [mut loss_bound, mut product_bound] = [DeviceCheck::LOSS_TOLERANCE, DeviceCheck::PRODUCT_TOLERANCE];
    if spec.model.activation == Activation::Relu {
        let wide = ModelSpec { precision: Precision::F64, ..spec.model.clone() };
        let [loss, product] =
            here.apart(&observe(&RunSpec { model: wide, ..spec.clone() }, &dataset, DeviceKind::Cpu)?);
        // Numbers that are none bound nothing.
        loss_bound = loss_bound.max(DeviceCheck::KINKED_FACTOR * loss);
        product_bound = product_bound.max(DeviceCheck::KINKED_FACTOR * product);
    }
    let [loss_difference, product_difference] = here.apart(&there);
    let network = describe(&spec.model, dataset.shape, dataset.num_outputs);
    let activation = if spec.model.activation == Activation::Relu { "ReLU" } else { "tanh" };
    let network = format!("{network}, {activation}");
    Ok(DeviceCheck { network, loss_difference, product_difference, loss_bound, product_bound })
}

/// A run of 50 steps on 14 x 14 images.
fn spec_of(model: ModelSpec) -> RunSpec {
    let rate = LearningRate::new(0.01).unwrap_or_else(|_| unreachable!("a literal above 0"));
    let mut spec = RunSpec::with_learning_rate(LearningRateSpec::Fixed(rate));
    spec.data = DataSpec {
        name: "fashion14".to_owned(),
        train_examples: Some(2048),
        test_examples: Some(64),
        ..DataSpec::default()
    };
    spec.model = model;
    spec.train.duration = TrainingDuration::Steps(DeviceCheck::STEPS);
    spec.train.batch_size = BatchSize::new(32).unwrap_or_else(|_| unreachable!("a literal above 0"));
    spec.measure.enabled = false;
    spec.average.enabled = false;
    spec
}

struct Observed {
    losses: Vec<f64>,
    product: Vec<f64>,
}

impl Observed {
    /// Largest difference of losses, and ‖a − b‖ / ‖b‖ of the products, of which b is ours.
    fn apart(&self, other: &Self) -> [f64; 2] {
        // Runs of different lengths, or numbers that are none, must not pass for equal.
        let whole = self.losses.len() == other.losses.len() && other.losses.iter().all(|loss| loss.is_finite());
        let losses = self.losses.iter().zip(&other.losses).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
        let norm = |v: &mut dyn Iterator<Item = f64>| v.map(|x| x * x).sum::<f64>().sqrt();
        let off = norm(&mut self.product.iter().zip(&other.product).map(|(a, b)| a - b));
        [if whole { losses } else { f64::INFINITY }, off / norm(&mut self.product.iter().copied())]
    }
}

/// Examples of the Hessian product.
const PRODUCT_EXAMPLES: u64 = 128;

fn observe(spec: &RunSpec, dataset: &Dataset, kind: DeviceKind) -> Result<Observed, RunError> {
    let mut spec = spec.clone();
    spec.train.device = kind;
    let run = Run::prepare(&spec, dataset)?;
    let network = run.network();
    let layout = ParamLayout::of(network);
    let subset = probe_subset(dataset.train.num_examples(), PRODUCT_EXAMPLES, 0)?;
    let backend = run.backend();
    let objective = Objective::new(&dataset.train, dataset.shape, &subset, &backend.tracked(), backend.dtype());
    let mut v = vec![0.0; layout.num_params()];
    RandomStream::named(0, "device check").fill_normal(&mut v);
    let mut product = vec![0.0; v.len()];
    let failed = |source: ProbeError| TrainError::Probe { step: stepscope_types::Step(0), source };
    CurvatureOperator::new(network, &objective, &layout, Curvature::Hessian)
        .apply(&v, &mut product)
        .map_err(|error| failed(error.into()))?;
    let mut sink = MemorySink::default();
    run.train(Vec::new(), &mut sink)?;
    let of_batch = |record: Record| match record {
        Record::Measurement(measurement) if measurement.name == quantity::BATCH_LOSS.name => measurement.value,
        _ => None,
    };
    Ok(Observed { losses: sink.records.into_iter().filter_map(of_batch).collect(), product })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::{DeviceError, survey};

    /// On a machine without another device, or a build without code for one, it says so and is done.
    #[test]
    fn every_device_that_is_here_computes_what_the_processor_computes() {
        for report in survey().into_iter().filter(|report| report.kind != DeviceKind::Cpu) {
            match report.obstacle {
                Some(obstacle) => {
                    // The check meets the same obstacle, and panics on none.
                    let refused = check_network(report.kind, ModelSpec::default());
                    assert!(matches!(&refused, Err(RunError::Device(error)) if *error == obstacle), "{refused:?}");
                }
                None => {
                    for check in check_device(report.kind).unwrap() {
                        assert!(check.passes(), "{:?}: {check:?}", report.kind);
                    }
                }
            }
        }
    }

    #[test]
    fn the_processor_agrees_with_itself_and_a_difference_is_found() {
        let model = ModelSpec { hidden: Some(vec![8]), ..ModelSpec::default() };
        let check = check_network(DeviceKind::Cpu, model.clone()).unwrap();
        assert_eq!((check.loss_difference, check.product_difference), (0.0, 0.0));
        assert!(check.passes());
        assert!(!DeviceCheck { loss_difference: 1.1 * check.loss_bound, ..check.clone() }.passes());
        assert!(!DeviceCheck { product_difference: f64::NAN, ..check.clone() }.passes());
        let (spec, other) = (spec_of(model.clone()), spec_of(ModelSpec { init_scale: 1.001, ..model }));
        let dataset = Dataset::load(&spec.data).unwrap();
        let [a, b] = [spec, other].map(|spec| observe(&spec, &dataset, DeviceKind::Cpu).unwrap());
        assert_eq!(a.losses.len() as u64, DeviceCheck::STEPS);
        // With ReLU, the default: weights that are a thousandth apart are too far, and so is a product with them.
        let [loss, product] = a.apart(&b);
        assert!(loss > check.loss_bound && product > check.product_bound, "{loss} {product} {check:?}");
    }

    #[test]
    fn a_device_without_a_feature_is_named_with_it() {
        let message = DeviceError::NotBuilt { device: "cuda" }.to_string();
        assert!(message.contains("--features cuda"), "{message}");
    }
}
