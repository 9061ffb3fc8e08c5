//! Whether steps are dominated by noise: the vertex of the loss along what the run actually does.

use stepscope_types::quantity::{self, Quantity};
use stepscope_types::{Estimate, Mode, Reading, Uncertainty};

use super::batches::BatchSource;
use super::cost::Cost;
use super::critical_sharpness::gradient;
use super::objective::Objective;
use super::operators::{BatchLoss, ProductError};
use super::parabola_fit::ParabolaFit;
use super::probe::{Measured, Probe, ProbeError, ProbePoint, no_learning_rate};
use super::ratio::Ratio;
use crate::checkpoint::{State, StateError, Stateful};
use crate::data::Batch;

/// The half-rate gauge: where the loss over the probe examples has its minimum along one update, and along the chord since the
/// last reading, each in units of its own length.
///
/// For any optimizer on any quadratic, E f(θ_{k+1}) = E f(θ_k) puts the minimum at exactly one half. One step: 1/2 means that
/// steps are dominated by noise, more that they still descend, more than 1 that the rate could grow. Many steps: 1/2 means
/// converged, more that slow directions still descend. Both 1/2: lower the rate or stop; one 1/2, many above: keep the rate and
/// average for evaluation.
///
/// One step: a parabola by least squares through f(θ − sηu) at s = 0, ½, 1, 2 for updates u of `num_updates` fresh batches,
/// momentum included; 95 % interval over batches. The position of the step on that parabola (−1 at its start, 0 at its
/// minimum, 1 on the opposite side) comes with it. Many steps: the parabola through s = 0, ½, 1 of the chord; interval over examples,
/// which does not hold the chance of the one trajectory.
///
/// Cost: `num_updates` gradients of a batch and 3·`num_updates` + 3 forward passes over the examples. Source: `averaging`, sections 1.1
/// and 2.3.
#[derive(Debug)]
pub struct HalfRateGaugeProbe<'a, B = Batch> {
    batches: BatchSource<'a, B>,
    examples: Objective<B>,
    num_updates: usize,
    earlier: Option<Vec<f64>>,
}

impl<'a, B> HalfRateGaugeProbe<'a, B> {
    /// Where along an update the loss is evaluated.
    const POSITIONS: [f64; 4] = [0.0, 0.5, 1.0, 2.0];

    /// A gauge on `examples` of updates from `batches`, at least 3 of them.
    pub fn new(batches: BatchSource<'a, B>, examples: Objective<B>, num_updates: usize) -> Self {
        Self { batches, examples, num_updates: num_updates.max(3), earlier: None }
    }

    /// Slope and curvature of the loss along every update, in updates.
    fn along_updates<N: BatchLoss<B>>(
        &mut self,
        at: &ProbePoint<'_, N>,
        plain: &N,
        (loss, learning_rate): (f64, f64),
    ) -> Result<Vec<(f64, f64)>, ProductError> {
        let one = |_| {
            let indices = self.batches.draw();
            let update = at.motion.direction(gradient(at.network, &self.batches.objective(&indices))?, at.network);
            let mut losses = [loss; 4];
            for (loss, s) in losses.iter_mut().zip(Self::POSITIONS).skip(1) {
                *loss = self.examples.mean_loss(&update.displace(plain.clone(), -s * learning_rate))?;
            }
            let fit = ParabolaFit::of(&Self::POSITIONS, &losses);
            Ok((-fit.slope, fit.curvature))
        };
        (0..self.num_updates).map(one).collect()
    }

    /// Slope and curvature of every example's loss along the chord from the earlier reading, in chords.
    fn along_chord<N: BatchLoss<B>>(
        &self,
        at: &ProbePoint<'_, N>,
        plain: &N,
        earlier: &[f64],
        now: &[f64],
    ) -> Result<Vec<(f64, f64)>, ProductError> {
        let losses = |network: &N| self.examples.per_example_losses(network);
        let middle: Vec<f64> = earlier.iter().zip(now).map(|(a, b)| 0.5 * (a + b)).collect();
        let layout = at.layout;
        let start = losses(&layout.assign(plain.clone(), earlier))?;
        let (middle, end) = (losses(&layout.assign(plain.clone(), &middle))?, losses(plain)?);
        let ends = start.iter().zip(&middle).zip(&end);
        Ok(ends.map(|((a, m), b)| (3.0 * a - 4.0 * m + b, 4.0 * (a - 2.0 * m + b))).collect())
    }
}

impl<N: BatchLoss<B>, B> Probe<N> for HalfRateGaugeProbe<'_, B> {
    fn name(&self) -> &'static str {
        "half-rate-gauge"
    }

    fn cost(&self) -> Cost {
        let forwards = Cost::forwards(self.examples.num_examples()) * (3.0 * self.num_updates as f64 + 4.0);
        Cost::gradients(self.num_updates * self.batches.batch_size()) + forwards + Cost::passes(6)
    }

    fn measure(&mut self, at: &ProbePoint<'_, N>) -> Result<Vec<Measured>, ProbeError> {
        self.batches.resize(at.batch_size);
        let plain = at.values();
        let loss = self.examples.mean_loss(&plain)?;
        let num_examples = self.examples.num_examples() as u64;
        let reading = |ratio, quantity, way| reading(ratio, quantity, (num_examples, at.mode), way);
        let about_update = |ratio, quantity| reading(ratio, quantity, "the update");
        let mut measured = match at.learning_rate {
            Some(rate) => {
                let updates = self.along_updates(at, &plain, (loss, rate))?;
                let position =
                    Ratio::of_means(&updates.iter().map(|&(slope, curvature)| (curvature, slope)).collect::<Vec<_>>());
                let position = position.map(|r| Ratio { value: r.value - 1.0, low: r.low - 1.0, high: r.high - 1.0 });
                vec![
                    about_update(Ratio::of_means(&updates), &quantity::ONE_STEP_GAUGE),
                    about_update(position, &quantity::STEP_POSITION),
                ]
            }
            None => [&quantity::ONE_STEP_GAUGE, &quantity::STEP_POSITION]
                .map(|quantity| Measured::new(quantity, no_learning_rate()))
                .into(),
        };
        let now = at.layout.values(at.network);
        if let Some(earlier) = &self.earlier
            && *earlier != now
        {
            let chord = Ratio::of_means(&self.along_chord(at, &plain, earlier, &now)?);
            measured.push(reading(chord, &quantity::MANY_STEP_GAUGE, "the chord"));
        }
        self.earlier = Some(now);
        Ok(measured)
    }
}

fn reading(
    ratio: Option<Ratio>,
    quantity: &'static Quantity,
    (num_examples, mode): (u64, Mode),
    way: &str,
) -> Measured {
    let reading = match ratio {
        Some(Ratio { value, low, high }) => {
            let interval = Uncertainty::Interval { low, high, level: 0.95 };
            Estimate::new(value, quantity.unit, interval).over_examples(num_examples).in_mode(mode).into()
        }
        None => Reading::Unresolved {
            reason: format!(
                "the parabola of the loss along {way} is not resolved from a straight line: raise measure.examples, or look where \
                 steps are larger"
            ),
            num_examples,
        },
    };
    Measured::new(quantity, reading)
}

impl<B> Stateful for HalfRateGaugeProbe<'_, B> {
    fn save_state(&self, state: &mut State) {
        state.nest("batches", &self.batches);
        if let Some(earlier) = &self.earlier {
            state.put_vector("earlier", earlier.clone());
        }
    }

    fn load_state(&mut self, state: &State) -> Result<(), StateError> {
        state.restore("batches", &mut self.batches)?;
        self.earlier = state.vector_of_any_length("earlier").ok().map(<[f64]>::to_vec);
        Ok(())
    }
}
