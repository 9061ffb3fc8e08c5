//! A measured learning rate for Burn's Adam, in a loop of your own:
//! `cargo run --release --workspace --example measured_lr`.
#![allow(clippy::print_stdout)]

use burn::Tensor;
use burn_optim::lr_scheduler::LrScheduler;
use burn_optim::{AdamConfig, GradientsParams};
use stepscope::backend::Backend;
use stepscope::control::line_search::measure;
use stepscope::data::{Batch, Dataset};
use stepscope::models::init::WeightInit;
use stepscope::models::loss::cross_entropy;
use stepscope::models::{Dual, Mlp, Network, ParamTensors, Pass};
use stepscope::spectral::random::RandomStream;
use stepscope::types::spec::{Activation, DataSpec, ModelSpec, Precision};
use stepscope_learner::MeasuredLr;

/// The losses of a batch's examples: any forward pass will do.
fn losses(model: &Mlp, batch: &Batch, seed: u64) -> Tensor<1> {
    let logits = model.logits(Dual::constant(batch.images.clone()), &Pass::training(seed));
    cross_entropy(logits, batch.labels.clone()).value
}

pub(crate) fn main() -> Result<(), Box<dyn std::error::Error>> {
    let dataset = Dataset::load(&DataSpec::default())?;
    let backend = Backend::cpu(Precision::F32);
    let batch = |number: u32| {
        let indices: Vec<u32> = (number * 64..number * 64 + 64).collect();
        Batch::gather(&dataset.train, dataset.shape, &indices, &backend.tracked(), backend.dtype())
    };
    let mut init = WeightInit::new(&ModelSpec::default(), RandomStream::named(1, "weights"), &backend);
    let mut model = Mlp::new(64, &[32], 10, Activation::Relu, &mut init);
    let mut optimizer = AdamConfig::new().init();
    let rate = MeasuredLr::new(1e-3);
    let (mut scheduler, mut oracle) = (rate.clone(), losses);
    // Ten batches are kept apart for measuring.
    let held_out: Vec<Batch> = (40..50).map(batch).collect();
    for step in 0..200_u32 {
        let learning_rate = scheduler.step();
        let mean = losses(&model, &batch(step % 40), u64::from(step)).mean();
        let loss = mean.clone().into_scalar::<f64>();
        let gradients = GradientsParams::from_grads(mean.backward(), &model);
        let next = optimizer.step(learning_rate, model.clone(), gradients);
        if step % 40 == 20 {
            let direction = ParamTensors::direction_of(&model, &next, learning_rate);
            let fit = measure(&mut oracle, &model, &direction, &held_out, [0.001, 0.01], 7)?;
            match rate.take_in(&fit) {
                Ok(rate) => println!("step {step:>3}: loss {loss:.4}, the rate is {rate:.5} from now on"),
                Err(reason) => println!("step {step:>3}: loss {loss:.4}, {reason}"),
            }
        }
        model = next;
    }
    Ok(())
}
