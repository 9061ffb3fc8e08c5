//! The top Hessian eigenvalues along a run, and how near the largest is to the edge of stability.

use stepscope_spectral::random::RandomStream;
use stepscope_spectral::{
    Affine, EigenTracker, EigensolverConfig, Lanczos, LanczosConfig, LinearOperator, Preconditioned, StartVector,
    TopEigenpair, Tracked,
};
use stepscope_types::quantity::{self, Quantity};
use stepscope_types::spec::MeasureSpec;
use stepscope_types::{Estimate, Reading, Uncertainty};

use super::break_even::BreakEvenMeter;
use super::cost::Cost;
use super::motion::Scaling;
use super::objective::Objective;
use super::operators::{BatchLoss, Curvature, CurvatureOperator, Kinks};
use super::probe::{Measured, Probe, ProbeError, ProbePoint};
use super::statistics::{dot, norm};
use crate::checkpoint::{State, StateError, Stateful};
use crate::data::Batch;
use crate::models::Sharing;

/// λ₁(H), and as many of the next ones as are asked for, on a fixed subset of the training set, with their Ritz residuals; η λ₁, plain and
/// over the optimizer's own threshold; the gradient's norm and its alignment with the first eigenvector; with a
/// [`BreakEvenMeter`], what that says.
///
/// Each reading starts from the eigenvectors of the one before, so that a few products suffice, and every fiftieth starts anew
/// ([`EigenTracker`]). With a scout, a new start looks for the eigenvectors over fewer examples first and needs few products over
/// all. Gradient descent on a quadratic is stable while η λ₁ < 2 (1 + momentum). Where the optimizer scales each parameter (Adam,
/// groups), the position is that of λ₁(D^{1/2} H D^{1/2}), for as many products again.
///
/// Cost: one gradient and at most `max_products` Hessian products over the subset, and the meter's; less by [`Pace`]. Source: `curvature`,
/// sections 4.4 and 4.7; the scout, ours. Invalid as the sharpness of the whole training loss where the subset is small: the value is
/// that of the subset, whose size every record carries.
#[derive(Debug)]
pub struct SharpnessProbe<B = Batch> {
    objective: Objective<B>,
    scout: Option<Objective<B>>,
    curvature: Curvature,
    tracker: EigenTracker,
    /// For the Hessian as the optimizer scales it.
    lanczos: Lanczos,
    preconditioned_start: Option<Vec<f64>>,
    random: RandomStream,
    pace: Pace,
    sharing: Sharing,
    num_readings: u64,
    break_even: Option<BreakEvenMeter>,
    cost: Cost,
    /// Of it, what the eigenpairs cost, those of the last cold start, and what the scaled Hessian's.
    of_eigenpairs: Cost,
    of_cold_start: Cost,
    of_scaled: Cost,
}

/// What a reading of a [`SharpnessProbe`] leaves out to be cheap.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    /// Most products of a reading without an earlier one, which then starts from the gradient; `None` for as many as any
    /// reading may take, from a random vector or a scout's.
    pub first_products: Option<u64>,
    /// Most products of a reading that starts from an earlier one: at least 1, and no more than for any reading.
    pub warm_products: u64,
    /// Every so many readings there is a gradient, with its norm and alignment: at least 1.
    pub gradient_every: u64,
    /// Every so many readings the break-even meter reads: at least 1.
    pub break_even_every: u64,
}

impl Pace {
    /// Nothing is left out.
    pub const FULL: Self =
        Self { first_products: None, warm_products: u64::MAX, gradient_every: 1, break_even_every: 1 };

    /// Products of a reading that starts from an earlier one: on networks about five take it to a residual of a hundredth.
    fn usual_products(&self) -> u64 {
        self.warm_products.min(5)
    }

    /// What a reading costs on average that starts from an earlier one.
    pub(crate) fn warm_cost(&self, num_examples: usize, with_break_even: bool) -> Cost {
        let products = products_cost(num_examples, self.usual_products());
        let meter = if with_break_even { BreakEvenMeter::cost(num_examples) } else { Cost::ZERO };
        products
            + Cost::gradients(num_examples) * (1.0 / self.gradient_every as f64)
            + meter * (1.0 / self.break_even_every as f64)
    }
}

/// Readings after which one starts anew.
pub(crate) const COLD_EVERY: u64 = 50;

/// What a first reading costs, with a scout over `num_scouts` examples.
pub(crate) fn cold_cost(num_examples: usize, num_scouts: usize, pace: Pace) -> Cost {
    let (of_scout, of_all) = match pace.first_products {
        Some(products) => (0, products),
        None if num_scouts > 0 => (12, 4),
        None => (0, 12),
    };
    Cost::gradients(num_examples) + products_cost(num_scouts, of_scout) + products_cost(num_examples, of_all)
}

/// Hessian products that share their linearisation, with the passes that keep their Krylov basis orthogonal.
fn products_cost(num_examples: usize, count: u64) -> Cost {
    Cost::products_at_one_point(num_examples, count, 1.0) + basis_cost(count)
}

fn basis_cost(count: u64) -> Cost {
    Cost::passes((count * (10 + 3 * count) / 2) as usize)
}

impl<B> SharpnessProbe<B> {
    /// Vectors that a reading keeps at a time, at most.
    const MAX_BASIS: usize = 40;
    /// The residual, relative to its eigenvalue, up to which an eigenvector is worth starting from.
    const USEFUL: f64 = 0.5;

    /// A probe on `objective`, whose tensors are on the tracked device.
    pub fn new(objective: Objective<B>, spec: &MeasureSpec, random: RandomStream) -> Self {
        let config = EigensolverConfig {
            num_largest: spec.eigenvalues as usize,
            num_smallest: 0,
            max_products: spec.max_products as usize,
            max_basis: Self::MAX_BASIS,
            tolerance: spec.tolerance,
        };
        Self {
            cost: cold_cost(objective.num_examples(), 0, Pace::FULL),
            objective,
            scout: None,
            curvature: Curvature::Hessian,
            tracker: EigenTracker::new(config, COLD_EVERY).kept_up_to(Self::USEFUL),
            lanczos: Lanczos::new(LanczosConfig {
                max_products: spec.max_products as usize,
                tolerance: spec.tolerance,
                ..LanczosConfig::default()
            }),
            preconditioned_start: None,
            random,
            pace: Pace::FULL,
            sharing: Sharing::up_to_mebibytes(spec.shared_mebibytes),
            num_readings: 0,
            break_even: None,
            of_eigenpairs: Cost::ZERO,
            of_cold_start: Cost::ZERO,
            of_scaled: Cost::ZERO,
        }
    }

    /// The same, whose new starts look for the eigenvectors over `scout` first: an eighth of the examples, say.
    pub fn with_scout(mut self, scout: Objective<B>) -> Self {
        self.cost = cold_cost(self.objective.num_examples(), scout.num_examples(), self.pace);
        self.scout = Some(scout);
        self
    }

    /// The same at that pace.
    pub fn at_pace(mut self, pace: Pace) -> Self {
        self.tracker = self.tracker.with_warm_products(usize::try_from(pace.warm_products).unwrap_or(usize::MAX));
        if pace != Pace::FULL {
            // So few products that one reading may end far from an eigenvector and the next go on from there: starting anew is dearer and no better.
            self.tracker = self.tracker.kept_up_to(f64::INFINITY);
        }
        self.pace = pace;
        let num_scouts = self.scout.as_ref().map_or(0, Objective::num_examples);
        self.cost = cold_cost(self.objective.num_examples(), num_scouts, pace);
        self
    }

    /// The same with differences of gradients in place of exact products, for a smooth module without tangent rules.
    pub fn by_differences(mut self, kinks: Kinks) -> Self {
        self.curvature = Curvature::HessianByDifferences { kinks };
        self
    }

    /// The same of the Gauss-Newton matrix, for any module. Its top eigenvalue is recorded under its own name and is no sharpness.
    pub fn of_gauss_newton(mut self) -> Self {
        self.curvature = Curvature::GaussNewton;
        self
    }

    /// The same with a break-even meter, which reads along the eigenvector of each reading.
    pub fn with_break_even(mut self, meter: BreakEvenMeter) -> Self {
        self.break_even = Some(meter);
        self.cost = self.cost + BreakEvenMeter::cost(self.objective.num_examples());
        self
    }

    /// What the next reading is expected to cost.
    fn expected_cost(&self) -> Cost {
        let is_due = |every: u64| self.num_readings.is_multiple_of(every.max(1));
        let num_examples = self.objective.num_examples();
        let meter = match &self.break_even {
            Some(_) if is_due(self.pace.break_even_every) => BreakEvenMeter::cost(num_examples),
            _ => Cost::ZERO,
        };
        if self.num_readings == 0 {
            let num_scouts = self.scout.as_ref().map_or(0, Objective::num_examples);
            return cold_cost(num_examples, num_scouts, self.pace) + meter;
        }
        let gradient = if is_due(self.pace.gradient_every) { Cost::gradients(num_examples) } else { Cost::ZERO };
        let products = match self.tracker.num_since_cold() {
            _ if self.starts_cold() => self.of_cold_start,
            1 => products_cost(num_examples, self.pace.usual_products()),
            _ => self.of_eigenpairs,
        };
        products + self.of_scaled + gradient + meter
    }

    fn starts_cold(&self) -> bool {
        self.tracker.vectors().first().is_none_or(|vector| self.tracker.is_cold(vector.len()))
    }

    /// The eigenpairs at this point, and what they cost.
    fn track<N: BatchLoss<B>>(
        &mut self,
        at: &ProbePoint<'_, N>,
        gradient: Option<&[f64]>,
    ) -> Result<(Tracked, Cost), ProbeError> {
        let operator =
            |objective| CurvatureOperator::new(at.network, objective, at.layout, self.curvature).sharing(self.sharing);
        let (mut all, random) = (operator(&self.objective), &mut self.random);
        let seed = gradient.filter(|gradient| norm(gradient) > 0.0 && self.tracker.is_cold(gradient.len()));
        if let (Some(products), Some(gradient)) = (self.pace.first_products, seed) {
            let mut seeded = self.tracker.clone().with_warm_products(products as usize);
            seeded.restore(vec![gradient.to_vec()], 0);
            let outcome = seeded.measure(&mut all, random)?;
            self.tracker.restore(seeded.vectors().to_vec(), seeded.num_since_cold());
            let cost = all.cost_of(outcome.num_products) + basis_cost(outcome.num_products);
            return Ok((Tracked { outcome, num_scout_products: 0 }, cost));
        }
        let Some(scout) = &self.scout else {
            let outcome = self.tracker.measure(&mut all, random)?;
            let cost = all.cost_of(outcome.num_products) + basis_cost(outcome.num_products);
            return Ok((Tracked { outcome, num_scout_products: 0 }, cost));
        };
        let mut some = operator(scout);
        let tracked = self.tracker.measure_scouted(&mut all, &mut some, random)?;
        let (of_all, of_scout) = (tracked.outcome.num_products, tracked.num_scout_products);
        let cost = all.cost_of(of_all) + basis_cost(of_all) + some.cost_of(of_scout) + basis_cost(of_scout);
        Ok((tracked, cost))
    }

    /// η λ₁ over what the optimizer's rule bears; for a rule that scales parameters, with λ₁ of the scaled Hessian, which
    /// is recorded too.
    fn position<N: BatchLoss<B>>(
        &mut self,
        at: &ProbePoint<'_, N>,
        sharpness: &Estimate,
    ) -> Result<Vec<Measured>, ProbeError> {
        let (motion, quantity) = (at.motion, &quantity::STABILITY_POSITION);
        let position = |felt: Estimate| {
            let factor = |rate| rate / motion.stability_threshold(rate);
            Measured::new(quantity, at.at_rate(|rate| felt.with_products(0).scaled(factor(rate), quantity.unit)))
        };
        let diagonal = match motion.scaling(at.network) {
            Scaling::None => {
                let felt = Estimate { value: sharpness.value + motion.coupled_decay(), ..sharpness.clone() };
                return Ok(vec![position(felt)]);
            }
            Scaling::Unknown => {
                let reason = "what the optimizer scales each parameter by is not known before its first step: look at a later one";
                let reading = Reading::Unresolved { reason: reason.to_owned(), num_examples: 0 };
                return Ok(vec![Measured::new(quantity, reading)]);
            }
            Scaling::Diagonal(diagonal) => at.layout.vector(&diagonal),
        };
        let hessian =
            CurvatureOperator::new(at.network, &self.objective, at.layout, self.curvature).sharing(self.sharing);
        let decayed = Affine::new(hessian, 1.0, motion.coupled_decay())?;
        let mut operator = Preconditioned::new(decayed, &diagonal)?;
        let start = match &self.preconditioned_start {
            Some(eigenvector) if eigenvector.len() == operator.dim() => StartVector::Warm(eigenvector),
            _ => StartVector::Random,
        };
        let outcome = self.lanczos.run(&mut operator, start, &mut self.random)?;
        self.of_scaled = products_cost(self.objective.num_examples(), outcome.num_products);
        self.cost = self.cost + self.of_scaled;
        let Some(top) = outcome.eigenpairs.into_iter().next() else { return Ok(Vec::new()) };
        let of_scaled = &quantity::PRECONDITIONED_TOP_EIGENVALUE;
        let felt = Estimate::new(top.eigenvalue, of_scaled.unit, Uncertainty::Residual(top.residual))
            .over_examples(self.objective.num_examples() as u64)
            .with_products(outcome.num_products)
            .in_mode(at.mode);
        self.preconditioned_start = Some(top.eigenvector);
        Ok(vec![Measured::new(of_scaled, felt.clone()), position(felt)])
    }

    /// What follows from the first eigenpair, for the Hessian.
    fn stability<N: BatchLoss<B>>(
        &mut self,
        at: &ProbePoint<'_, N>,
        top: &TopEigenpair,
        sharpness: Estimate,
        gradient: Option<&[f64]>,
    ) -> Result<Vec<Measured>, ProbeError> {
        let num_examples = self.objective.num_examples();
        // The products are counted once, with the eigenvalue that they were spent on.
        let felt = sharpness.clone().with_products(0);
        let effective = at.at_rate(|rate| felt.scaled(rate, quantity::EFFECTIVE_SHARPNESS.unit));
        let mut measured = vec![Measured::new(&quantity::EFFECTIVE_SHARPNESS, effective)];
        measured.extend(self.position(at, &sharpness)?);
        if let Some(gradient) = gradient {
            let cosine = dot(gradient, &top.eigenvector).abs() / norm(gradient);
            measured.push(self.exact(&quantity::GRADIENT_HESSIAN_ALIGNMENT, cosine, at));
        }
        if let Some(shared) = at.shared {
            shared.set_sharpest_direction(&top.eigenvector);
        }
        if let Some(meter) = &mut self.break_even
            && self.num_readings.is_multiple_of(self.pace.break_even_every.max(1))
        {
            measured.extend(meter.measure(at, &self.objective, &top.eigenvector)?);
            self.cost = self.cost + BreakEvenMeter::cost(num_examples);
        }
        Ok(measured)
    }

    fn exact<N>(&self, quantity: &'static Quantity, value: f64, at: &ProbePoint<'_, N>) -> Measured {
        let estimate = Estimate::new(value, quantity.unit, Uncertainty::Exact);
        Measured::new(quantity, estimate.over_examples(self.objective.num_examples() as u64).in_mode(at.mode))
    }
}

impl<N: BatchLoss<B>, B> Probe<N> for SharpnessProbe<B> {
    fn name(&self) -> &'static str {
        "sharpness"
    }

    fn cost(&self) -> Cost {
        self.cost
    }

    fn next_cost(&self) -> Cost {
        self.expected_cost()
    }

    fn measure(&mut self, at: &ProbePoint<'_, N>) -> Result<Vec<Measured>, ProbeError> {
        let num_examples = self.objective.num_examples();
        let mut measured = Vec::new();
        let is_seeded = self.pace.first_products.is_some() && self.tracker.is_cold(at.layout.num_params());
        let wants_gradient = is_seeded || self.num_readings.is_multiple_of(self.pace.gradient_every.max(1));
        let gradient = match wants_gradient {
            true => Some(self.objective.loss_and_gradient(at.network, at.layout)?.1),
            false => None,
        };
        measured.extend(gradient.iter().map(|gradient| self.exact(&quantity::GRADIENT_NORM, norm(gradient), at)));
        let (Tracked { outcome, num_scout_products }, cost) = self.track(at, gradient.as_deref())?;
        self.of_eigenpairs = cost;
        if self.tracker.num_since_cold() == 1 {
            self.of_cold_start = cost;
        }
        self.cost = cost + if wants_gradient { Cost::gradients(num_examples) } else { Cost::ZERO };
        let mut num_products = outcome.num_products + num_scout_products;
        let is_hessian = self.curvature != Curvature::GaussNewton;
        let first = if is_hessian { &quantity::HESSIAN_TOP_EIGENVALUE } else { &quantity::GAUSS_NEWTON_TOP_EIGENVALUE };
        let others = if is_hessian { &quantity::HESSIAN_EIGENVALUES[..] } else { &[] };
        for (quantity, pair) in std::iter::once(first).chain(others.iter().copied()).zip(&outcome.largest) {
            let estimate = Estimate::new(pair.eigenvalue, quantity.unit, Uncertainty::Residual(pair.residual))
                .over_examples(num_examples as u64)
                .with_products(std::mem::take(&mut num_products))
                .in_mode(at.mode);
            measured.push(Measured::new(quantity, estimate.clone()));
            if quantity == &quantity::HESSIAN_TOP_EIGENVALUE {
                measured.extend(self.stability(at, pair, estimate, gradient.as_deref())?);
            }
        }
        self.num_readings += 1;
        Ok(measured)
    }
}

impl<B> Stateful for SharpnessProbe<B> {
    fn save_state(&self, state: &mut State) {
        state.nest("random", &self.random);
        state.put("num_vectors", &self.tracker.vectors().len());
        for (index, vector) in self.tracker.vectors().iter().enumerate() {
            state.put_vector(&format!("vectors/{index}"), vector.clone());
        }
        if let Some(eigenvector) = &self.preconditioned_start {
            state.put_vector("preconditioned_start", eigenvector.clone());
        }
        state.put("num_since_cold", &self.tracker.num_since_cold());
        state.put("num_readings", &self.num_readings);
        if let Some(meter) = &self.break_even {
            state.nest("break_even", meter);
        }
        state.put("cost", &[self.cost, self.of_eigenpairs, self.of_cold_start, self.of_scaled]);
    }

    fn load_state(&mut self, state: &State) -> Result<(), StateError> {
        state.restore("random", &mut self.random)?;
        let num_vectors: usize = state.get("num_vectors")?;
        let vector = |index| Ok(state.vector_of_any_length(&format!("vectors/{index}"))?.to_vec());
        let vectors = (0..num_vectors).map(vector).collect::<Result<_, StateError>>()?;
        self.tracker.restore(vectors, state.get("num_since_cold")?);
        let preconditioned = state.vector_of_any_length("preconditioned_start");
        self.preconditioned_start = preconditioned.ok().map(<[f64]>::to_vec);
        self.num_readings = state.get("num_readings")?;
        if let Some(meter) = &mut self.break_even {
            state.restore("break_even", meter)?;
        }
        [self.cost, self.of_eigenpairs, self.of_cold_start, self.of_scaled] = state.get("cost")?;
        Ok(())
    }
}
