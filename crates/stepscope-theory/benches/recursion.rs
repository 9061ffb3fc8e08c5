//! Time of the per-mode recursion: 1e4 modes, 1000 steps, so 1 ms is 0.1 ns per mode and step.

#![allow(clippy::unwrap_used, reason = "in a benchmark a panic is the message")]

use divan::{Bencher, black_box};
use stepscope_theory::{Closure, QuadraticModel, Sgd};
use stepscope_types::Spectrum;

fn main() {
    divan::main();
}

fn model(modes: usize) -> QuadraticModel {
    let eigenvalues: Vec<f64> = (1..=modes).map(|k| (k as f64).powf(-1.5)).collect();
    let coefficients = (1..=modes).map(|k| (k as f64).powf(-0.25)).collect();
    QuadraticModel::interpolating(&Spectrum::new(eigenvalues, coefficients).unwrap(), Closure::INTERPOLATING).unwrap()
}

#[divan::bench(args = [0.0, 0.9])]
fn ten_thousand_modes_thousand_steps(bencher: Bencher, momentum: f64) {
    let model = model(10_000);
    let sgd = Sgd::from_numbers(0.1, momentum, 0.1).unwrap();
    bencher.bench(|| black_box(&model).loss_curve(&sgd, 1000).unwrap());
}

#[divan::bench(args = [0.0, 0.9])]
fn three_hundred_modes_thirty_thousand_steps(bencher: Bencher, momentum: f64) {
    let model = model(300);
    let sgd = Sgd::from_numbers(0.1, momentum, 0.1).unwrap();
    bencher.bench(|| black_box(&model).loss_curve(&sgd, 30_000).unwrap());
}
