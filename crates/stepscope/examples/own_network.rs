//! Sharpness and gradient noise of a network of your own: `cargo run --release --workspace --example own_network`.
#![allow(clippy::print_stdout)]

use burn::module::Module;
use stepscope::backend::Backend;
use stepscope::data::{Dataset, probe_subset};
use stepscope::measure::{BatchSource, NoiseProbe, Objective, Probe, ProbePoint, SharpnessProbe};
use stepscope::models::init::WeightInit;
use stepscope::models::layers::{Linear, activation};
use stepscope::models::{Dual, Network, ParamLayout, Pass};
use stepscope::spectral::random::RandomStream;
use stepscope::types::spec::{Activation, DataSpec, MeasureSpec, ModelSpec, Precision};
use stepscope::types::{Step, quantity};

/// Any Burn module will do whose forward pass is written over `Dual` tensors.
#[derive(Module, Debug)]
struct TwoLayers {
    first: Linear,
    second: Linear,
}

impl Network for TwoLayers {
    fn logits(&self, images: Dual<4>, pass: &Pass) -> Dual<2> {
        let batch = images.value.dims()[0] as i32;
        let hidden = self.first.forward(images.linear(|x| x.reshape([batch, -1])), pass);
        self.second.forward(activation::apply(Activation::Gelu, hidden), pass)
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let dataset = Dataset::load(&DataSpec { name: "fashion14".into(), ..DataSpec::default() })?;
    let backend = Backend::cpu(Precision::F32);
    let (device, dtype) = (backend.tracked(), backend.dtype());
    let mut init = WeightInit::new(&ModelSpec::default(), RandomStream::named(1, "weights"), &backend);
    let network = TwoLayers { first: Linear::new(196, 64, &mut init), second: Linear::new(64, 10, &mut init) };

    let settings = MeasureSpec::default();
    let subset = probe_subset(dataset.train.num_examples(), settings.examples, 1)?;
    let objective = Objective::new(&dataset.train, dataset.shape, &subset, &device, dtype);
    let mut sharpness = SharpnessProbe::new(objective, &settings, RandomStream::named(1, "sharpness"));
    let random = RandomStream::named(1, "noise");
    let batches = BatchSource::new(&dataset, settings.noise_batch_size.get(), device, dtype, random);
    let mut noise = NoiseProbe::new(batches, settings.noise_batches as usize);

    let layout = ParamLayout::of(&network);
    let at = ProbePoint::new(&network, &layout, Step(0), 0.1);
    for measured in [sharpness.measure(&at)?, noise.measure(&at)?].concat() {
        if let Some(estimate) = measured.reading.estimate() {
            let (low, high) = estimate.interval();
            let quantity::Quantity { title, unit, .. } = measured.quantity;
            println!("{title:<28} {:>10.4} {unit:<18} ({low:.4} to {high:.4})", estimate.value);
        }
    }
    Ok(())
}
