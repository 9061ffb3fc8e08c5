//! Which trace estimator is best for how many products: relative root-mean-square errors on spectra like those of networks.
//!
//! `cargo run --release -p stepscope-spectral --example trace_methods` prints the table of `estimate_trace`, in about a
//! minute.

#![allow(clippy::print_stdout, reason = "the table is what this program is for")]

use std::error::Error;

use stepscope_spectral::random::RandomStream;
use stepscope_spectral::{DenseOperator, TraceOutcome, hutch_plus_plus, hutchinson, xtrace};

const DIM: usize = 400;
const REPEATS: u64 = 100;

fn spectra() -> Vec<(&'static str, Vec<f64>)> {
    let bulk = |k: usize| 0.3 * (k as f64 / DIM as f64).powi(8) - 0.002;
    let with_outliers =
        |num: usize| (0..DIM).map(|k| if k < num { 10.0 / (1.0 + k as f64) } else { bulk(k) }).collect();
    let power = |exponent: f64| (1..=DIM).map(|k| (k as f64).powf(-exponent)).collect();
    vec![
        ("10 outliers above a bulk with negative tail", with_outliers(10)),
        ("k^-0.3", power(0.3)),
        ("k^-0.6", power(0.6)),
        ("k^-1", power(1.0)),
        ("k^-2", power(2.0)),
    ]
}

fn error(
    truth: f64,
    mut run: impl FnMut(&mut RandomStream) -> Result<TraceOutcome, Box<dyn Error>>,
) -> Result<String, Box<dyn Error>> {
    let (mut square, mut reported) = (0.0, 0.0);
    for seed in 0..REPEATS {
        let trace = run(&mut RandomStream::new(seed, 1))?.trace;
        let (low, high) = trace.interval();
        square += (trace.value / truth - 1.0).powi(2) / REPEATS as f64;
        reported += ((high - low) / 2.0 / truth).powi(2) / REPEATS as f64;
    }
    Ok(format!("{:.2} ({:.2})", 100.0 * square.sqrt(), 100.0 * reported.sqrt()))
}

fn main() -> Result<(), Box<dyn Error>> {
    println!("| spectrum | products | Hutchinson, % (as reported) | Hutch++ | XTrace |\n|---|---|---|---|---|");
    for (name, eigenvalues) in spectra() {
        let truth: f64 = eigenvalues.iter().sum();
        let mut matrix = DenseOperator::with_eigenvalues(&eigenvalues, &mut RandomStream::new(1, 0))?;
        for products in [12, 20, 30, 60, 90] {
            let independent = error(truth, |random| Ok(hutchinson(&mut matrix, products, "1", random)?))?;
            let third = products / 3;
            let mixed = error(truth, |random| Ok(hutch_plus_plus(&mut matrix, products, third, "1", random)?))?;
            let sketched = error(truth, |random| Ok(xtrace(&mut matrix, products, "1", random)?))?;
            println!("| {name} | {products} | {independent} | {mixed} | {sketched} |");
        }
    }
    Ok(())
}
