//! How far the coming step could go, from forward passes.

use stepscope_types::quantity::{self, Quantity};
use stepscope_types::{Estimate, Mode, Reading, Uncertainty};

use super::batches::BatchSource;
use super::cost::Cost;
use super::critical_rate::CriticalRate;
use super::crossing::{Crossing, NoCrossing};
use super::objective::Objective;
use super::operators::{BatchLoss, ProductError};
use super::probe::{Measured, Probe, ProbeError, ProbePoint};
use crate::checkpoint::{State, StateError, Stateful};
use crate::data::Batch;
use crate::models::ParamTensors;

/// The critical learning rate of a step, the critical sharpness λ_c = 2/η_c, and how many steps raise the loss by a fifth.
///
/// The coming step's own batch, where it is lent ([`ComingStep`](super::ComingStep)), else a fresh one of the training's size, gives the
/// direction v that the optimizer takes, momentum included.
///
/// * η_c: the least η with L_B(θ − ηv) > L_B(θ), on that batch. On a quadratic without momentum λ_c = gᵀH_B g/‖g‖², the
///   batch's sharpness along its own gradient.
/// * α*: the least α with L(θ − αηv) ≥ 1.2 L(θ), over the probe examples.
///
/// Both are brackets that hold the answer of this batch; batches differ among each other by more than that. Kinks do
/// no harm: only losses enter.
///
/// The first search starts at twice the learning rate, later ones at the last answer (α*) or where the latest ones and the batch's own loss and
/// slope say (η_c), following that slope.
///
/// Cost: two or three forward passes of a batch, and where it is not lent its gradient; 4 to 10 forward passes of the probe examples. Source: `curvature`,
/// sections 2.4 and 4.6 (α*: *The Break-Even Point*, Fig. 2; λ_c: Kalra et al. 2026). Invalid with momentum that
/// points uphill: there is then no η_c, and the reading says so.
#[derive(Debug)]
pub struct CriticalSharpnessProbe<'a, B = Batch> {
    batches: BatchSource<'a, B>,
    probe_examples: Objective<B>,
    raising_every: u64,
    num_readings: u64,
    critical: CriticalRate,
    raising: Option<f64>,
    cost: Cost,
    /// The part of it that η_c had.
    cost_of_critical: Cost,
}

impl<'a, B> CriticalSharpnessProbe<'a, B> {
    /// How much higher the loss is at α*.
    pub const RAISED: f64 = 1.2;

    /// A probe that takes steps from `batches` and watches `probe_examples`.
    pub fn new(batches: BatchSource<'a, B>, probe_examples: Objective<B>) -> Self {
        let cost = Self::first_cost(batches.batch_size(), probe_examples.num_examples());
        Self {
            batches,
            probe_examples,
            raising_every: 1,
            num_readings: 0,
            critical: CriticalRate::new(Crossing::RATIO),
            raising: None,
            cost,
            cost_of_critical: Cost::ZERO,
        }
    }

    /// What a first reading is expected to cost, on a batch that nobody lends.
    pub(crate) fn first_cost(batch_size: usize, num_examples: usize) -> Cost {
        // The first search knows nothing and may take all its evaluations.
        let raising = Cost::forwards(num_examples) * (Crossing::MAX_EVALUATIONS + 1) as f64;
        Cost::gradients(batch_size) + Self::cost_along(batch_size, 4) + raising
    }

    /// What α* costs: about seven forward passes of the probe examples.
    pub(crate) fn cost_of_raising(num_examples: usize) -> Cost {
        Cost::forwards(num_examples) * 7.0 + Cost::updates(6)
    }

    /// Whether the next reading has α*.
    fn raises(&self) -> bool {
        self.num_readings.is_multiple_of(self.raising_every)
    }

    /// What η_c costs beside the batch's gradient: forward passes, each at weights of its own, the direction and its slope.
    pub(crate) fn cost_along(batch_size: usize, num_evaluations: u64) -> Cost {
        Cost::forwards(batch_size) * num_evaluations as f64 + Cost::updates(num_evaluations as usize + 3)
    }

    /// The same with α* every `every` readings (at least 1) only: it costs more than η_c.
    pub fn with_raising_every(mut self, every: u64) -> Self {
        self.raising_every = every.max(1);
        self
    }

    /// The same with η_c in a bracket whose ends have this `ratio` (above 1), in place of [`Crossing::RATIO`]: batches differ by more than a
    /// wide one.
    pub fn with_ratio(mut self, ratio: f64) -> Self {
        self.critical = self.critical.with_ratio(ratio);
        self
    }

    /// α* from the last answer, closely; from twice the learning rate, widely, where there is none.
    fn raising<N: BatchLoss<B>>(
        &self,
        at: &ProbePoint<'_, N>,
        plain: &N,
        direction: &ParamTensors,
    ) -> Result<Result<Crossing, NoCrossing>, ProductError> {
        let level = Self::RAISED * self.probe_examples.mean_loss(plain)?;
        let (start, factor) = self.raising.map_or((2.0 * at.first_rate(), 2.0), |last| (last, 1.2));
        Crossing::search(start, factor, level, |length| {
            self.probe_examples.mean_loss(&direction.displace(plain.clone(), -length))
        })
    }

    /// η_c on the lent batch or a fresh one, the direction, the examples of the batch, and what its gradient cost.
    fn critical<N: BatchLoss<B>>(
        &mut self,
        at: &ProbePoint<'_, N>,
        plain: &N,
    ) -> Result<(Result<Crossing, NoCrossing>, ParamTensors, usize, Cost), ProductError> {
        let along = |gradient: ParamTensors| {
            let direction = at.motion.direction(gradient.clone(), at.network);
            (gradient.dot(&direction), direction)
        };
        if let Some(coming) = at.coming {
            let (level, gradient) = coming.loss_and_gradient();
            let (descent, direction) = along(gradient);
            let loss = |length: f64| Ok::<_, ProductError>(coming.loss(&direction.displace(plain.clone(), -length)));
            let found = self.critical.search(at.first_rate(), descent, level, loss)?;
            return Ok((found, direction, coming.num_examples(), Cost::ZERO));
        }
        self.batches.resize(at.batch_size);
        let indices = self.batches.draw();
        let batch = self.batches.objective(&indices);
        let (descent, direction) = along(gradient(at.network, &batch)?);
        let loss = |length: f64| batch.mean_loss(&direction.displace(plain.clone(), -length));
        let found = self.critical.search(at.first_rate(), descent, batch.mean_loss(plain)?, loss)?;
        let cost = Cost::gradients(indices.len()) + Cost::forwards(indices.len());
        Ok((found, direction, indices.len(), cost))
    }
}

impl<N: BatchLoss<B>, B> Probe<N> for CriticalSharpnessProbe<'_, B> {
    fn name(&self) -> &'static str {
        "critical-sharpness"
    }

    fn cost(&self) -> Cost {
        self.cost
    }

    fn next_cost(&self) -> Cost {
        match self.num_readings {
            0 => self.cost,
            _ if self.raises() => self.cost_of_critical + Self::cost_of_raising(self.probe_examples.num_examples()),
            _ => self.cost_of_critical,
        }
    }

    fn looks_at_coming_step(&self) -> bool {
        true
    }

    fn measure(&mut self, at: &ProbePoint<'_, N>) -> Result<Vec<Measured>, ProbeError> {
        let plain = at.values();
        let (critical, direction, batch_size, cost) = self.critical(at, &plain)?;
        let num_examples = self.probe_examples.num_examples();
        let raising = if self.raises() { Some(self.raising(at, &plain, &direction)?) } else { None };
        self.num_readings += 1;

        let evaluations = |crossing: &Result<Crossing, NoCrossing>| {
            crossing.map_or(Crossing::MAX_EVALUATIONS, |crossing| crossing.num_evaluations)
        };
        self.cost_of_critical = cost + Self::cost_along(batch_size, evaluations(&critical));
        self.cost = self.cost_of_critical
            + raising.as_ref().map_or(Cost::ZERO, |raising| {
                let evaluations = evaluations(raising) as usize;
                Cost::forwards(num_examples) * (evaluations + 1) as f64 + Cost::updates(evaluations)
            });
        self.raising = raising.and_then(Result::ok).map(|crossing| crossing.middle()).or(self.raising);

        let rate = reading(critical, &quantity::CRITICAL_LEARNING_RATE, batch_size, at.mode);
        let sharpness = match &rate {
            Reading::Value(rate) => Reading::Value(inverse(rate, &quantity::CRITICAL_SHARPNESS)),
            unresolved => unresolved.clone(),
        };
        let steps = |raising| match reading(raising, &quantity::LOSS_RAISING_STEPS, num_examples, at.mode) {
            Reading::Value(length) => at.in_steps(|rate| length.scaled(1.0 / rate, quantity::LOSS_RAISING_STEPS.unit)),
            unresolved => unresolved,
        };
        let mut measured = vec![
            Measured::new(&quantity::CRITICAL_LEARNING_RATE, rate),
            Measured::new(&quantity::CRITICAL_SHARPNESS, sharpness),
        ];
        measured.extend(raising.map(|raising| Measured::new(&quantity::LOSS_RAISING_STEPS, steps(raising))));
        Ok(measured)
    }
}

/// The gradient of the mean loss over `objective`, where the network lives.
pub(super) fn gradient<N: BatchLoss<B>, B>(
    network: &N,
    objective: &Objective<B>,
) -> Result<ParamTensors, ProductError> {
    let mut total = ParamTensors::default();
    let num_examples = objective.num_examples().max(1) as f64;
    for (batch, len) in objective.sized_batches() {
        let mut gradients = network.loss(batch).parts(len)?.mean().value.backward();
        total.scale_and_add(1.0, len as f64 / num_examples, &ParamTensors::gradient(network, &mut gradients));
    }
    Ok(total)
}

fn reading(crossing: Result<Crossing, NoCrossing>, quantity: &Quantity, num_examples: usize, mode: Mode) -> Reading {
    let num_examples = num_examples as u64;
    match crossing {
        Ok(crossing) => {
            let bracket = Uncertainty::Interval { low: crossing.low, high: crossing.high, level: 1.0 };
            let estimate = Estimate::new(crossing.middle(), quantity.unit, bracket);
            estimate.over_examples(num_examples).in_mode(mode).into()
        }
        Err(NoCrossing::AlwaysAbove) => Reading::Unresolved {
            reason: "the loss rises along the step from its very start: momentum points uphill, or the gradient is rounding \
                     error; look at a later step"
                .to_owned(),
            num_examples,
        },
        Err(NoCrossing::AlwaysBelow) => Reading::Unresolved {
            reason: "the loss falls along the whole step, however long: the learning rate is far below what it bears"
                .to_owned(),
            num_examples,
        },
    }
}

/// 2 over the estimate, with its bracket.
fn inverse(rate: &Estimate, quantity: &Quantity) -> Estimate {
    let (low, high) = rate.interval();
    let bracket = Uncertainty::Interval { low: 2.0 / high, high: 2.0 / low, level: 1.0 };
    Estimate { value: 2.0 / rate.value, unit: quantity.unit.to_owned(), error: bracket, ..rate.clone() }
}

impl<B> Stateful for CriticalSharpnessProbe<'_, B> {
    fn save_state(&self, state: &mut State) {
        state.nest("batches", &self.batches);
        state.put("num_readings", &self.num_readings);
        state.put("critical", &self.critical);
        state.put("raising", &self.raising);
        state.put("cost", &self.cost);
        state.put("cost_of_critical", &self.cost_of_critical);
    }

    fn load_state(&mut self, state: &State) -> Result<(), StateError> {
        state.restore("batches", &mut self.batches)?;
        self.num_readings = state.get("num_readings")?;
        self.critical = state.get("critical")?;
        self.raising = state.get("raising")?;
        self.cost = state.get("cost")?;
        self.cost_of_critical = state.get("cost_of_critical")?;
        Ok(())
    }
}
