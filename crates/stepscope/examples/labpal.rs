//! LABPAL in a loop of your own, on any Burn module: `cargo run --release --workspace --example labpal`.
#![allow(clippy::print_stdout)]

use burn::Tensor;
use burn::module::{Module, Param};
use burn::tensor::activation::{log_softmax, relu};
use stepscope::backend::Backend;
use stepscope::control::transform::GradientTransform;
use stepscope::control::{Context, LabPal, LabPalMode, LabPalTask, Method, Numbered};
use stepscope::data::{Batch, Dataset, sampler};
use stepscope::models::init::WeightInit;
use stepscope::spectral::random::RandomStream;
use stepscope::types::spec::{DataSpec, LabPalSpec, ModelSpec, Precision, Sampling};
use stepscope::types::{BatchSize, Momentum};

#[derive(Module, Debug)]
struct TwoLayers {
    first: Param<Tensor<2>>,
    second: Param<Tensor<2>>,
}

/// The loss of every example: all that LABPAL asks for. Dropout would draw its mask from `seed`.
fn losses(model: &TwoLayers, batch: &Batch, _seed: u64) -> Tensor<1> {
    let (size, labels) = (batch.len(), batch.labels.clone());
    let pixels: Tensor<2> = batch.images.clone().reshape([size as i32, -1]);
    let logits = relu(pixels.matmul(model.first.val())).matmul(model.second.val());
    log_softmax(logits, 1).gather(1, labels.reshape([size, 1])).neg().reshape([size])
}

pub(crate) fn main() -> Result<(), Box<dyn std::error::Error>> {
    let dataset = Dataset::load(&DataSpec::default())?;
    let (backend, batch_size) = (Backend::cpu(Precision::F32), BatchSize::new(32)?);
    let mut init = WeightInit::new(&ModelSpec::default(), RandomStream::named(1, "weights"), &backend);
    let mut model = TwoLayers { first: init.weight([64, 64], 64, 64), second: init.weight([64, 10], 64, 10) };

    let num_examples = dataset.train.num_examples();
    let task = LabPalTask { batch_size: 32, num_examples: num_examples as u64, num_batches: 1000 };
    let direction = Box::new(GradientTransform::heavy_ball(Momentum::default()));
    let mut method = LabPal::new(LabPalMode::Sgd, &LabPalSpec::default(), direction, task)?;
    let mut batches = sampler(Sampling::WithoutReplacement, num_examples, batch_size, 1)?;
    let mut oracle = losses;
    for number in 0..task.num_batches {
        let indices = batches.next_batch();
        let batch = Batch::gather(&dataset.train, dataset.shape, indices, &backend.tracked(), backend.dtype());
        let (next, report) = method.take(model, Numbered { number, batch }, &mut Context::new(&mut oracle, 1));
        model = next;
        if let (Some(fit), Some(rate)) = (&report.fit, report.learning_rate) {
            let (slope, curvature) = (fit.parabola.slope, 2.0 * fit.parabola.half_curvature);
            println!(
                "batch {number:>4}: loss {:.4}, slope {slope:.3}, curvature {curvature:.3}: rate {rate:.4}",
                report.loss
            );
        }
    }
    Ok(())
}
