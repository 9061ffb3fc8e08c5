//! The loss of a few mini-batches that stay the same along the whole run.

use std::num::NonZeroU64;

use stepscope_spectral::random::RandomStream;
use stepscope_types::quantity::{self, Quantity};
use stepscope_types::{Estimate, Uncertainty};

use super::batches::BatchSource;
use super::cost::Cost;
use super::objective::Objective;
use super::operators::BatchLoss;
use super::probe::{Measured, Probe, ProbeError, ProbePoint};
use super::statistics::{difference, dot, mean_and_error, wilson_95};
use crate::checkpoint::{State, StateError, Stateful};
use crate::data::Batch;

/// Losses of fixed batches along the trajectory, and how convex they are on it.
///
/// Points of the trajectory are remembered, each earlier reading with equal probability. At a reading, for every batch B and every
/// remembered point s, with t the present one:
///
/// * chord: is l_B((θ_s + θ_t)/2) ≤ (l_B(θ_s) + l_B(θ_t))/2, and how far below, relative to the right side;
/// * first order: is l_B(θ_s) ≥ l_B(θ_t) + ⟨g_B(θ_t), θ_s − θ_t⟩.
///
/// Shares carry Wilson's 95 % interval as if pairs were independent; pairs with a common end are not, so it is somewhat narrow.
///
/// Cost: a gradient and r forward passes of every batch, with r remembered points, each a copy of the weights. Source:
/// `averaging`, section 1.1.
#[derive(Debug)]
pub struct FixedBatchesProbe<B = Batch> {
    batches: Vec<Objective<B>>,
    random: RandomStream,
    num_seen: u64,
    remembered: Vec<Remembered>,
}

#[derive(Debug)]
struct Remembered {
    weights: Vec<f64>,
    losses: Vec<f64>,
}

impl<B> FixedBatchesProbe<B> {
    /// Points of the trajectory that are remembered.
    pub const NUM_REMEMBERED: usize = 4;

    /// A probe of the next `num_batches` of `batches`; `random` chooses what is remembered.
    pub fn new(mut batches: BatchSource<'_, B>, num_batches: usize, random: RandomStream) -> Self {
        let indices: Vec<Vec<u32>> = (0..num_batches.max(1)).map(|_| batches.draw()).collect();
        Self {
            batches: indices.iter().map(|indices| batches.objective(indices)).collect(),
            random,
            num_seen: 0,
            remembered: Vec::new(),
        }
    }

    fn num_examples(&self) -> usize {
        self.batches.iter().map(Objective::num_examples).sum()
    }

    /// Reservoir sampling: after n points each of them is remembered with the same probability.
    fn remember(&mut self, point: Remembered) {
        self.num_seen += 1;
        if self.remembered.len() < Self::NUM_REMEMBERED {
            self.remembered.push(point);
            return;
        }
        let place = self.random.u64_below(NonZeroU64::new(self.num_seen).unwrap_or(NonZeroU64::MIN)) as usize;
        if let Some(old) = self.remembered.get_mut(place) {
            *old = point;
        }
    }
}

impl<N: BatchLoss<B>, B> Probe<N> for FixedBatchesProbe<B> {
    fn name(&self) -> &'static str {
        "fixed-batches"
    }

    fn cost(&self) -> Cost {
        let num_examples = self.num_examples();
        // Every remembered point: a middle, a way, and an inner product with each batch's gradient.
        let passes = self.batches.len() + self.remembered.len() * (6 + self.batches.len());
        Cost::gradients(num_examples)
            + Cost::forwards(num_examples) * self.remembered.len() as f64
            + Cost::passes(passes)
    }

    fn measure(&mut self, at: &ProbePoint<'_, N>) -> Result<Vec<Measured>, ProbeError> {
        let (plain, weights) = (at.values(), at.layout.values(at.network));
        let here = self.batches.iter().map(|batch| batch.loss_and_gradient(at.network, at.layout));
        let (losses, gradients): (Vec<f64>, Vec<Vec<f64>>) = here.collect::<Result<Vec<_>, _>>()?.into_iter().unzip();
        let (mut below_chord, mut above_plane, mut pairs, mut gaps) = (0_u64, 0_u64, 0_u64, Vec::new());
        for point in &self.remembered {
            let middle: Vec<f64> = weights.iter().zip(&point.weights).map(|(a, b)| 0.5 * (a + b)).collect();
            let middle = at.layout.assign(plain.clone(), &middle);
            let way = difference(&point.weights, &weights);
            for (index, batch) in self.batches.iter().enumerate() {
                let chord = 0.5 * (losses[index] + point.losses[index]);
                let at_middle = batch.mean_loss(&middle)?;
                let plane = losses[index] + dot(&gradients[index], &way);
                below_chord += u64::from(at_middle <= chord);
                above_plane += u64::from(point.losses[index] >= plane);
                gaps.push((chord - at_middle) / chord);
                pairs += 1;
            }
        }
        let num_examples = self.num_examples() as u64;
        let about = |quantity: &'static Quantity, value: f64, error: Uncertainty| {
            let estimate = Estimate::new(value, quantity.unit, error);
            Measured::new(quantity, estimate.over_examples(num_examples).in_mode(at.mode))
        };
        let share = |quantity, count: u64| {
            let (low, high) = wilson_95(count, pairs);
            about(quantity, count as f64 / pairs as f64, Uncertainty::Interval { low, high, level: 0.95 })
        };
        let (mean, _) = mean_and_error(&losses);
        let mut measured = vec![about(&quantity::FIXED_BATCH_LOSS, mean, Uncertainty::Exact)];
        if pairs > 0 {
            let (gap, error) = mean_and_error(&gaps);
            measured.push(share(&quantity::CHORD_CONVEXITY, below_chord));
            measured.push(share(&quantity::FIRST_ORDER_CONVEXITY, above_plane));
            measured.push(about(&quantity::CHORD_GAP, gap, Uncertainty::StandardError(error)));
        }
        self.remember(Remembered { weights, losses });
        Ok(measured)
    }
}

impl<B> Stateful for FixedBatchesProbe<B> {
    fn save_state(&self, state: &mut State) {
        state.nest("random", &self.random);
        state.put("num_seen", &self.num_seen);
        state.put("losses", &self.remembered.iter().map(|point| &point.losses).collect::<Vec<_>>());
        for (index, point) in self.remembered.iter().enumerate() {
            state.put_vector(&format!("weights/{index}"), point.weights.clone());
        }
    }

    fn load_state(&mut self, state: &State) -> Result<(), StateError> {
        state.restore("random", &mut self.random)?;
        self.num_seen = state.get("num_seen")?;
        let losses: Vec<Vec<f64>> = state.get("losses")?;
        let points = losses.into_iter().enumerate().map(|(index, losses)| {
            let weights = state.vector_of_any_length(&format!("weights/{index}"))?.to_vec();
            Ok(Remembered { weights, losses })
        });
        self.remembered = points.collect::<Result<_, StateError>>()?;
        Ok(())
    }
}
