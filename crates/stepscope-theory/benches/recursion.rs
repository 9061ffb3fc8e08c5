//! The times the design asks for. 1e4 modes for 1000 steps: 1 ms is 0.1 ns per mode and step.

#![allow(clippy::unwrap_used, reason = "in a benchmark a panic is the message")]

use divan::{Bencher, black_box};
use stepscope_theory::{Closure, PowerLaw, QuadraticModel, Sgd, critical_learning_rate};

fn main() {
    divan::main();
}

fn model(modes: f64, kappa: f64) -> QuadraticModel {
    PowerLaw::new(1.5, kappa, modes).unwrap().model(Closure::INTERPOLATING).unwrap()
}

#[divan::bench(args = [0.0, 0.9])]
fn ten_thousand_modes_thousand_steps(bencher: Bencher, momentum: f64) {
    let model = model(1e4, 0.75);
    let sgd = Sgd::from_numbers(0.1, momentum, 0.1).unwrap();
    bencher.bench(|| black_box(&model).loss_curve(&sgd, 1000).unwrap());
}

#[divan::bench(args = [0.0, 0.9])]
fn three_hundred_modes_thirty_thousand_steps(bencher: Bencher, momentum: f64) {
    let model = model(300.0, 0.75);
    let sgd = Sgd::from_numbers(0.1, momentum, 0.1).unwrap();
    bencher.bench(|| black_box(&model).loss_curve(&sgd, 30_000).unwrap());
}

/// The straightforward form: one array operation after the other, as a NumPy program would write it.
#[divan::bench]
fn array_by_array_reference(bencher: Bencher) {
    let law = PowerLaw::new(1.5, 0.75, 1e4).unwrap();
    let spectrum = law.spectrum().unwrap();
    let (a, gamma) = (0.1, 0.1);
    bencher.bench(|| {
        let lambda = spectrum.eigenvalues();
        let mut c = spectrum.coefficients().to_vec();
        let mut loss = Vec::with_capacity(1001);
        for _ in 0..=1000 {
            let product: Vec<f64> = lambda.iter().zip(&c).map(|(l, c)| l * c).collect();
            let sum: f64 = product.iter().sum();
            loss.push(0.5 * sum);
            let decayed: Vec<f64> = lambda.iter().zip(&c).map(|(l, c)| (1.0 - a * l).powi(2) * c).collect();
            let noise: Vec<f64> = lambda.iter().zip(&product).map(|(l, p)| gamma * a * a * (l * sum - l * p)).collect();
            c = decayed.iter().zip(&noise).map(|(d, n)| d + n).collect();
        }
        black_box(loss)
    });
}

#[divan::bench(sample_count = 3)]
fn million_modes_ten_million_steps_to_a_thousandth(bencher: Bencher) {
    let model = model(1e6, 0.75);
    let sgd = Sgd::from_numbers(0.3, 0.0, 0.5).unwrap();
    bencher.bench(|| black_box(&model).loss_at_binned(&sgd, &[1000, 100_000, 10_000_000], 1e-3).unwrap());
}

#[divan::bench(sample_count = 10)]
fn critical_learning_rate_of_a_million_modes(bencher: Bencher) {
    let model = model(1e6, 0.75);
    bencher.bench(|| critical_learning_rate(black_box(&model), 0.5, 0.1).unwrap());
}

/// A 100 x 50 grid for four batch sizes at 1000 modes and 1e4 steps is this times 200; the rows run in parallel.
#[divan::bench(sample_count = 3, args = [1.0, 0.1, 0.01, 0.001])]
fn grid_row_of_a_hundred_learning_rates(bencher: Bencher, gamma: f64) {
    let model = model(1e3, 3.0);
    bencher.bench(|| {
        for step in 1..=100 {
            let sgd = Sgd::from_numbers(0.04 * f64::from(step), 0.5, gamma).unwrap();
            black_box(model.loss_at_talbot(&sgd, &[10_000]).unwrap());
        }
    });
}
