//! Whether the continuous limit describes a run: SVAG with l = 1, 2, 4, 8 side by side.
//! `cargo run --release --workspace --example svag -- 0.3` (learning rate; one curve for all l: yes, and settings of equal noise are interchangeable).
#![allow(clippy::print_stdout)]

use stepscope::backend::Backend;
use stepscope::control::Svag;
use stepscope::data::{Batch, Dataset, Sampler, WithReplacement};
use stepscope::measure::Objective;
use stepscope::models::{Model, ParamLayout};
use stepscope::spectral::random::RandomStream;
use stepscope::types::BatchSize;
use stepscope::types::spec::{DataSpec, ModelSpec, Precision};

const SGD_STEPS: u64 = 600;
const LOOK: u64 = 100;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let rate: f64 = std::env::args().nth(1).map_or(Ok(0.1), |text| text.parse())?;
    let dataset = Dataset::load(&DataSpec { name: "fashion14".into(), ..DataSpec::default() })?;
    let backend = Backend::cpu(Precision::F32);
    let spec = ModelSpec { hidden: Some(vec![32]), ..ModelSpec::default() };
    let test = Objective::whole(&dataset.test, dataset.shape, &backend.tracked(), backend.dtype());
    println!("test loss after so many steps of SGD, learning rate {rate}, batch 32");
    for l in [1, 2, 4, 8] {
        let svag = Svag::new(l)?;
        let [a, b] = svag.coefficients();
        let random = RandomStream::named(1, "weights");
        let network = Model::new(&spec, dataset.shape, dataset.num_classes, random, &backend)?;
        let layout = ParamLayout::of(&network);
        let mut theta = layout.values(&network);
        let mut sampler = WithReplacement::new(dataset.train.num_examples(), BatchSize::new(32)?, 3)?;
        let mut line = format!("l = {l}");
        for step in 0..=SGD_STEPS * l {
            if step.is_multiple_of(LOOK * l) {
                let loss = test.mean_loss(&layout.assign(network.clone(), &theta))?;
                line.push_str(&format!("  {loss:.4}"));
            }
            let here = layout.assign(network.clone(), &theta);
            for coefficient in [a, b].into_iter().filter(|coefficient| *coefficient != 0.0) {
                let indices = sampler.next_batch();
                let batch = Batch::gather(&dataset.train, dataset.shape, indices, &backend.tracked(), backend.dtype());
                let gradient = Objective::of_batch(batch).loss_and_gradient(&here, &layout)?.1;
                let factor = svag.learning_rate(rate) * coefficient;
                theta.iter_mut().zip(&gradient).for_each(|(theta, g)| *theta -= factor * g);
            }
        }
        println!("{line}");
    }
    Ok(())
}
