//! The claims of `averaging`, section 4, on one data set, learning rate and seed, as a line of JSON:
//! `averaging_claims FOLDER linear|mlp LEARNING-RATE MOMENTUM SEED`, for instance `averaging_claims fashion14 linear 0.1 0 1`.
//! `docs/scripts/averaging_claims.py` prepares the data, runs it for five seeds and makes the tables of `docs/averaging-claims.md`.
//!
//! The protocol is that of section 1.2: a constant learning rate, batches of 32 drawn one by one, weight decay 5e-4. After 10,000 steps a
//! window of 6000 is measured; then the run goes on in the ways that were predicted.
#![allow(clippy::print_stdout, clippy::print_stderr)]

mod ahead;
mod trainer;
mod window;

use std::error::Error;

use serde_json::{Map, Value};
use stepscope::backend::Backend;
use stepscope::data::Dataset;
use stepscope::models::{Model, ParamLayout};
use stepscope::spectral::random::RandomStream;
use stepscope::types::spec::{DataSpec, ModelKind, ModelSpec, Precision};

use trainer::{Problem, Trainer};

/// Steps before anything is measured.
const BEFORE: u64 = 10_000;
/// Steps of the stationary window.
const WINDOW: u64 = 6000;
/// Steps of the cooldown, of half the rate, and of the rate kept.
const AFTER: u64 = 5000;
/// Training examples that the full loss is taken over.
const EXAMPLES: usize = 6000;

type Failure = Box<dyn Error>;
/// What was found, by name.
type Found = Map<String, Value>;

fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [data, model, rate, momentum, seed] = arguments.as_slice() else {
        return Err(
            "expected DATA linear|mlp LEARNING-RATE MOMENTUM SEED, for instance fashion14 linear 0.1 0 1".into()
        );
    };
    let (rate, momentum, seed): (f64, f64, u64) = (rate.parse()?, momentum.parse()?, seed.parse()?);
    let dataset = Dataset::load(&DataSpec { name: data.clone(), ..DataSpec::default() })?;
    let (kind, hidden) = if model == "mlp" { (ModelKind::Mlp, Some(vec![64])) } else { (ModelKind::Linear, None) };
    let spec = ModelSpec { kind, hidden, ..ModelSpec::default() };
    let backend = Backend::cpu(Precision::F32);
    let weights = RandomStream::named(seed, "weights");
    let network = Model::new(&spec, dataset.shape, dataset.num_classes, weights, &backend)?;
    let layout = ParamLayout::of(&network);
    let problem = Problem::new(&dataset, &backend, &network, &layout, seed);

    let mut found = Found::new();
    for (name, value) in [("data", data), ("model", model)] {
        found.insert(name.to_owned(), value.as_str().into());
    }
    found.insert("rate".to_owned(), rate.into());
    found.insert("momentum".to_owned(), momentum.into());
    found.insert("seed".to_owned(), seed.into());

    let mut run = Trainer::new(&problem, momentum, seed)?;
    window::early(&mut run, rate, &mut found)?;
    while run.steps < BEFORE {
        run.step(rate)?;
    }
    let old = window::stationary(&mut run, rate, &mut found)?;
    ahead::predicted(&run, rate, &mut found)?;
    ahead::coupled(&run, &old, rate, &mut found)?;
    ahead::half_the_rate_throughout(&problem, momentum, seed, rate, &mut found)?;
    println!("{}", Value::Object(found));
    Ok(())
}
