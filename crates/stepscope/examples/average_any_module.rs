//! Averages of any Burn module in a loop of one's own: `cargo run --release --workspace --example average_any_module`.
#![allow(clippy::print_stdout)]

use burn::module::{Module, Param};
use burn::tensor::{Tensor, activation::relu};
use stepscope::backend::Backend;
use stepscope::control::average::{AverageBank, Decay, TwoPoint, swap_in};
use stepscope::data::{Batch, Dataset, Sampler, WithReplacement};
use stepscope::models::{ParamTensors, init::WeightInit, loss::cross_entropy};
use stepscope::spectral::random::RandomStream;
use stepscope::types::spec::{DataSpec, ModelSpec, Precision};

/// A module as one finds it.
#[derive(Module, Debug)]
struct Perceptron {
    hidden: Param<Tensor<2>>,
    output: Param<Tensor<2>>,
}

impl Perceptron {
    fn loss(&self, batch: &Batch) -> Tensor<1> {
        let hidden = relu(batch.images.clone().flatten::<2>(1, 3).matmul(self.hidden.val()));
        cross_entropy(hidden.matmul(self.output.val()).into(), batch.labels.clone()).value.mean()
    }
}

pub(crate) fn main() -> Result<(), Box<dyn std::error::Error>> {
    let backend = Backend::cpu(Precision::F32);
    let mut init = WeightInit::new(&ModelSpec::default(), RandomStream::named(1, "weights"), &backend);
    let mut model = Perceptron { hidden: init.weight([196, 64], 196, 64), output: init.weight([64, 10], 64, 10) };
    let data = Dataset::load(&DataSpec { name: "fashion14".to_owned(), ..DataSpec::default() })?;
    let test: Vec<u32> = (0..data.test.num_examples() as u32).collect();
    let test = Batch::gather(&data.test, data.shape, &test, &backend.tracked(), backend.dtype());
    let mut sampler = WithReplacement::new(data.train.num_examples(), 32_u64.try_into()?, 1)?;

    let half_lives = [10.0, 100.0, 300.0];
    let mut bank =
        AverageBank::emas([Decay::with_half_life(10.0)?, Decay::with_half_life(100.0)?, Decay::new(0.9977)?]);
    let mut earlier = None;
    for step in 1..=2000 {
        let batch = Batch::gather(&data.train, data.shape, sampler.next_batch(), &backend.tracked(), backend.dtype());
        let gradient = ParamTensors::gradient(&model, &mut model.loss(&batch).backward());
        model = gradient.displace(model, -0.2);
        bank.update(step, &model);
        if step == 1500 {
            earlier = Some(TwoPoint::from_earlier(&model));
        }
    }
    let report = |name: &str, model: &Perceptron| println!("{name:>22}: {:.4}", model.loss(&test).into_scalar::<f32>());
    report("last iterate", &model);
    for (index, half_life) in half_lives.into_iter().enumerate() {
        if let Some(average) = bank.network(index, &model) {
            let swapped = swap_in(&mut model, average); // until the end of this block, also after a panic
            report(&format!("EMA, half-life {half_life}"), &swapped);
        }
    }
    earlier.iter().for_each(|earlier| report("two points 500 apart", &earlier.network(&model)));
    Ok(())
}
