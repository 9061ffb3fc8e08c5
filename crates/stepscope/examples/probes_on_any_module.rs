//! Probes in a loop of your own, on any Burn module: `cargo run --release --workspace --example probes_on_any_module`.
#![allow(clippy::print_stdout)]

use burn::module::{Module, Param};
use burn::tensor::{Int, Tensor};
use stepscope::backend::Backend;
use stepscope::data::{Batch, Dataset};
use stepscope::measure::{BatchLoss, BatchSource, Kinks, Loss, NoiseProbe, Probe, ProbePoint, SharpnessProbe};
use stepscope::models::{ParamLayout, ParamTensors, init::WeightInit};
use stepscope::spectral::random::RandomStream;
use stepscope::types::Step;
use stepscope::types::spec::{DataSpec, MeasureSpec, ModelSpec, Precision};

#[derive(Module, Debug)]
struct Perceptron {
    hidden: Param<Tensor<2>>,
    output: Param<Tensor<2>>,
}

struct Digits(Tensor<2>, Tensor<1, Int>);

impl BatchLoss<Digits> for Perceptron {
    fn loss(&self, Digits(pixels, labels): &Digits) -> Loss {
        Loss::cross_entropy(pixels.clone().matmul(self.hidden.val()).tanh().matmul(self.output.val()), labels.clone())
    }
}

pub(crate) fn main() -> Result<(), Box<dyn std::error::Error>> {
    let (backend, dataset) = (Backend::cpu(Precision::F32), Dataset::load(&DataSpec::default())?);
    let mut init = WeightInit::new(&ModelSpec::default(), RandomStream::named(1, "weights"), &backend);
    let mut model = Perceptron { hidden: init.weight([64, 32], 64, 32), output: init.weight([32, 10], 32, 10) };
    let gather = |indices: &[u32]| {
        let batch = Batch::gather(&dataset.train, dataset.shape, indices, &backend.tracked(), backend.dtype());
        Digits(batch.images.flatten(1, 3), batch.labels)
    };
    let batches =
        |size, name| BatchSource::of(dataset.train.num_examples(), size, RandomStream::named(1, name), gather);
    let mut examples = batches(1024, "probe examples");
    let drawn = examples.draw();
    // Without tangent rules the Hessian comes from differences of gradients, which smooth networks have.
    let (objective, random) = (examples.objective(&drawn), RandomStream::named(1, "sharpness"));
    let mut sharpness = SharpnessProbe::new(objective, &MeasureSpec::default(), random).by_differences(Kinks::Refuse);
    let mut noise = NoiseProbe::new(batches(32, "noise"), 32);
    let (mut training, layout, rate) = (batches(64, "training"), ParamLayout::of(&model), 0.2);
    for step in (0..=200).map(Step) {
        if step.0 % 100 == 0 {
            let at = ProbePoint::new(&model, &layout, step, rate);
            for measured in [sharpness.measure(&at)?, noise.measure(&at)?].concat() {
                println!("step {step}, {}: {:?}", measured.quantity.title, measured.reading);
            }
        }
        let loss = model.loss(&gather(&training.draw())).mean()?;
        model = ParamTensors::gradient(&model, &mut loss.backward()).displace(model, -rate);
    }
    Ok(())
}
