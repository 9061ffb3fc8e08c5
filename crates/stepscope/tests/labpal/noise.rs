//! What the batches of the direction do to the measured slope.

use stepscope::control::LabPalMode;
use stepscope::spectral::random::RandomStream;
use stepscope::types::spec::LabPalSpec;

use crate::toy::{Host, TASK, Toy, labpal, push};

const EXAMPLES: usize = 4000;
const BATCH: usize = 40;
const WEIGHTS: usize = 60;

/// ℓ_i(θ) = ⟨g_i, θ⟩ + ½|θ|², g_i with a common part: the gradients of examples at a point.
fn gradients() -> Vec<Vec<f64>> {
    let mut random = RandomStream::new(1, 0);
    let mut normal = |scale: f64| -> Vec<f64> { (0..WEIGHTS).map(|_| scale * random.normal()).collect() };
    let common = normal(0.1);
    (0..EXAMPLES).map(|_| normal(1.0).iter().zip(&common).map(|(own, common)| own + common).collect()).collect()
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// Claim T12: with f = 1/n_a, q = kB/N and r the share of the slope that foreign examples have, the measured slope over the
/// full-batch slope is (f + (1 − f) r)/(q + (1 − q) r) with the direction's batches and r/(q + (1 − q) r) without.
#[test]
fn the_directions_batches_steepen_the_measured_slope_by_the_predicted_factor() {
    let examples = gradients();
    let mean = |of: &[u32]| -> Vec<f64> {
        (0..WEIGHTS).map(|w| of.iter().map(|&i| examples[i as usize][w]).sum::<f64>() / of.len() as f64).collect()
    };
    let all: Vec<u32> = (0..EXAMPLES as u32).collect();
    let full = mean(&all);
    for exclude in [false, true] {
        let mut ratios = Vec::new();
        let mut predicted = Vec::new();
        for repeat in 0..80 {
            let mut order = all.clone();
            RandomStream::new(9, repeat).shuffle(&mut order);
            let batches: Vec<Vec<f64>> = order.chunks(BATCH).take(10).map(mean).collect();
            let mut oracle = Host(|theta: &[f64], batch: u64| {
                let gradient = &batches[batch as usize];
                let loss = dot(gradient, theta) + 0.5 * dot(theta, theta);
                (loss, gradient.iter().zip(theta).map(|(g, theta)| g + theta).collect())
            });
            let spec = LabPalSpec { exclude_direction_batches: Some(exclude), ..LabPalSpec::default() };
            let mut method = labpal(LabPalMode::Sgd, &spec, TASK, 0.0);
            push(&mut method, Toy::new(&[0.0; WEIGHTS]), &mut oracle, 0..10, |_, _, report| {
                let Some(fit) = &report.fit else { return };
                let norm = dot(&batches[0], &batches[0]).sqrt();
                let slope = -dot(&full, &batches[0]) / norm;
                ratios.push(fit.parabola.slope / slope);
                let (f, q) = (if exclude { 0.0 } else { 0.1 }, BATCH as f64 / EXAMPLES as f64);
                let share = (-slope / norm - q) / (1.0 - q);
                predicted.push((f + (1.0 - f) * share) / (-slope / norm));
            });
        }
        let count = ratios.len() as f64;
        let difference: Vec<f64> = ratios.iter().zip(&predicted).map(|(ratio, predicted)| ratio - predicted).collect();
        let mean = difference.iter().sum::<f64>() / count;
        let error = (difference.iter().map(|d| (d - mean).powi(2)).sum::<f64>() / (count - 1.0) / count).sqrt();
        assert!(count == 80.0 && mean.abs() < 3.0 * error, "{exclude}: off by {mean} ± {error}");
        let factor = predicted.iter().sum::<f64>() / count;
        assert!(if exclude { factor < 1.0 } else { factor > 1.15 }, "{exclude}: {factor}");
    }
}
