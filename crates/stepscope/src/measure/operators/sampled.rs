//! Targets drawn from the network's own distribution, and the second moment of the gradients there.

use burn::Tensor;
use burn::tensor::{IndexingUpdateOp, Int, TensorData};
use stepscope_spectral::random::RandomStream;

use super::batch_loss::BatchLoss;
use super::error::ProductError;
use super::loss::{OutputLoss, Outputs};
use super::objective::Objective;

/// The draws for one micro-batch.
// One a micro-batch, beside tensors of many rows: its own size does not matter.
#[allow(clippy::large_enum_variant)]
#[derive(Debug)]
pub(super) enum Draws {
    /// Classes, `[rows, samples]`, from softmax(z).
    Labels { labels: Tensor<2, Int>, share: f64 },
    /// ξ, one `[rows, outputs]` a sample, from the standard normal distribution: targets are z + ξ / √curvature, because
    /// squared error of that curvature is the negative logarithm of this density.
    Noise { noise: Vec<Tensor<2>>, share: f64 },
}

impl Draws {
    /// Draws for every micro-batch of `objective`, example by example.
    pub(super) fn of_all<N: BatchLoss<B>, B>(
        network: &N,
        objective: &Objective<B>,
        samples: u32,
        seed: u64,
    ) -> Result<Vec<Self>, ProductError> {
        let mut random = RandomStream::named(seed, "Monte-Carlo Fisher targets");
        let plain = network.clone().no_grad();
        let of_batch = |(batch, len): (&B, usize)| {
            let curvature = super::Curvature::MonteCarloFisher { samples, seed };
            let outputs = plain.loss(batch).parts(len)?.outputs.ok_or(ProductError::NoOutputs { curvature })?;
            Self::of(&outputs, samples.max(1) as usize, &mut random)
        };
        objective.sized_batches().map(of_batch).collect()
    }

    fn of(outputs: &Outputs, samples: usize, random: &mut RandomStream) -> Result<Self, ProductError> {
        let z = &outputs.values.value;
        let ([rows, width], device) = (z.dims(), z.device());
        match &outputs.kind {
            OutputLoss::CrossEntropy { rows_per_example, .. } => {
                let probabilities: Vec<f64> = outputs.probabilities().into_data().iter::<f64>().collect();
                let draw_row = |row: &[f64]| -> Vec<i64> { (0..samples).map(|_| draw_class(row, random)).collect() };
                let labels: Vec<i64> = probabilities.chunks(width).flat_map(draw_row).collect();
                let labels = Tensor::from_data(TensorData::new(labels, [rows, samples]), &device);
                Ok(Self::Labels { labels, share: 1.0 / (samples * rows_per_example) as f64 })
            }
            OutputLoss::Squares { curvature } => {
                // All samples of an example before the next example.
                let mut noise = vec![Vec::with_capacity(rows * width); samples];
                for _ in 0..rows {
                    for sample in &mut noise {
                        sample.extend((0..width).map(|_| random.normal()));
                    }
                }
                let tensor = |noise| Tensor::from_data(TensorData::new(noise, [rows, width]), (&device, z.dtype()));
                Ok(Self::Noise { noise: noise.into_iter().map(tensor).collect(), share: curvature / samples as f64 })
            }
            OutputLoss::Given(_) => Err(ProductError::NoDistribution),
        }
    }

    /// (1/S) Σ_s ĝ_s ⟨ĝ_s, u⟩ for every row, with ĝ_s = ∇_z ℓ at target s. `u` is detached.
    pub(super) fn second_moment(&self, outputs: &Outputs, u: Tensor<2>) -> Tensor<2> {
        match self {
            Self::Labels { labels, share } => {
                // ĝ = p − e_y, so ⟨ĝ, u⟩ = ⟨p, u⟩ − u_y.
                let probabilities = outputs.probabilities();
                let mean = (probabilities.clone() * u.clone()).sum_dim(1);
                let along = mean - u.clone().gather(1, labels.clone());
                let at_labels = u.zeros_like().scatter(1, labels.clone(), along.clone(), IndexingUpdateOp::Add);
                (probabilities * along.sum_dim(1) - at_labels) * *share
            }
            Self::Noise { noise, share } => {
                let terms = noise.iter().map(|xi| xi.clone() * (xi.clone() * u.clone()).sum_dim(1));
                terms.fold(u.zeros_like(), |sum, term| sum + term) * *share
            }
        }
    }
}

/// The first class at which the cumulative probability passes a uniform number.
fn draw_class(probabilities: &[f64], random: &mut RandomStream) -> i64 {
    let mut rest = random.uniform() * probabilities.iter().sum::<f64>();
    let passes = |p: &f64| {
        rest -= p;
        rest < 0.0
    };
    let last = probabilities.len().saturating_sub(1);
    probabilities.iter().position(passes).unwrap_or(last) as i64
}
