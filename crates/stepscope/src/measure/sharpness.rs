//! The top Hessian eigenvalue along a run, and how near it is to the edge of stability.

use stepscope_spectral::random::RandomStream;
use stepscope_spectral::{Affine, Lanczos, LanczosConfig, LinearOperator, Preconditioned, StartVector};
use stepscope_types::quantity;
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

/// λ₁(H) by Lanczos on a fixed subset of the training set, with its Ritz residual; η λ₁, plain and over the optimizer's own
/// threshold; the gradient's norm and its alignment with the eigenvector; with a [`BreakEvenMeter`], what that says.
///
/// Each reading starts from the eigenvector of the one before, so that a few products suffice. Gradient descent on a
/// quadratic is stable while η λ₁ < 2 (1 + momentum). Where the optimizer scales each parameter (Adam, groups), the position is that of
/// λ₁(D^{1/2} H D^{1/2}), for as many products again.
///
/// Cost: one gradient and at most `max_products` Hessian products over the subset, and the meter's. Source: `curvature`, sections 4.4
/// and 4.7. Invalid as the sharpness of the whole training loss where the subset is small: the value is that of the subset,
/// whose size every record carries.
#[derive(Debug)]
pub struct SharpnessProbe<B = Batch> {
    objective: Objective<B>,
    curvature: Curvature,
    lanczos: Lanczos,
    random: RandomStream,
    warm_start: Option<Vec<f64>>,
    preconditioned_start: Option<Vec<f64>>,
    break_even: Option<BreakEvenMeter>,
    cost: Cost,
}

impl<B> SharpnessProbe<B> {
    /// A probe on `objective`, whose tensors are on the tracked device.
    pub fn new(objective: Objective<B>, spec: &MeasureSpec, random: RandomStream) -> Self {
        let num_examples = objective.num_examples();
        // A cold start on a network takes about a dozen products, a warm one four.
        let products = Self::cost_of(num_examples, spec.max_products.min(12));
        Self {
            cost: Cost::gradients(num_examples) + products,
            objective,
            curvature: Curvature::Hessian,
            lanczos: Lanczos::new(LanczosConfig {
                max_products: spec.max_products as usize,
                tolerance: spec.tolerance,
                ..LanczosConfig::default()
            }),
            random,
            warm_start: None,
            preconditioned_start: None,
            break_even: None,
        }
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

    /// Products, with the Krylov vectors that each is made orthogonal to.
    fn cost_of(num_examples: usize, num_products: u64) -> Cost {
        let passes = num_products * (4 + num_products);
        Cost::hessian_products(num_examples) * num_products as f64 + Cost::passes(passes as usize)
    }

    /// The same with a break-even meter, which reads along the eigenvector of each reading.
    pub fn with_break_even(mut self, meter: BreakEvenMeter) -> Self {
        self.break_even = Some(meter);
        self.cost = self.cost + BreakEvenMeter::cost(self.objective.num_examples());
        self
    }
}

impl<B> SharpnessProbe<B> {
    /// η λ₁ over what the optimizer's rule bears; for a rule that scales parameters, with λ₁ of the scaled Hessian, which
    /// is recorded too.
    fn position<N: BatchLoss<B>>(
        &mut self,
        at: &ProbePoint<'_, N>,
        sharpness: &Estimate,
    ) -> Result<Vec<Measured>, ProbeError> {
        let (motion, quantity) = (at.motion, &quantity::STABILITY_POSITION);
        let factor = at.learning_rate / motion.stability_threshold(at.learning_rate);
        let position = |felt: Estimate| Measured::new(quantity, felt.with_products(0).scaled(factor, quantity.unit));
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
        let hessian = CurvatureOperator::new(at.network, &self.objective, at.layout, self.curvature);
        let decayed = Affine::new(hessian, 1.0, motion.coupled_decay())?;
        let mut operator = Preconditioned::new(decayed, &diagonal)?;
        let start = match &self.preconditioned_start {
            Some(eigenvector) if eigenvector.len() == operator.dim() => StartVector::Warm(eigenvector),
            _ => StartVector::Random,
        };
        let outcome = self.lanczos.run(&mut operator, start, &mut self.random)?;
        self.cost = self.cost + Self::cost_of(self.objective.num_examples(), outcome.num_products);
        let Some(top) = outcome.eigenpairs.into_iter().next() else { return Ok(Vec::new()) };
        let of_scaled = &quantity::PRECONDITIONED_TOP_EIGENVALUE;
        let felt = Estimate::new(top.eigenvalue, of_scaled.unit, Uncertainty::Residual(top.residual))
            .over_examples(self.objective.num_examples() as u64)
            .with_products(outcome.num_products)
            .in_mode(at.mode);
        self.preconditioned_start = Some(top.eigenvector);
        Ok(vec![Measured::new(of_scaled, felt.clone()), position(felt)])
    }
}

impl<N: BatchLoss<B>, B> Probe<N> for SharpnessProbe<B> {
    fn name(&self) -> &'static str {
        "sharpness"
    }

    fn cost(&self) -> Cost {
        self.cost
    }

    /// What most other readings are held against, and the dearest of the usual ones.
    fn weight(&self) -> f64 {
        4.0
    }

    fn measure(&mut self, at: &ProbePoint<'_, N>) -> Result<Vec<Measured>, ProbeError> {
        let num_examples = self.objective.num_examples() as u64;
        let (_, gradient) = self.objective.loss_and_gradient(at.network, at.layout)?;
        let gradient_norm = norm(&gradient);
        let mut operator = CurvatureOperator::new(at.network, &self.objective, at.layout, self.curvature);
        let start = match &self.warm_start {
            Some(eigenvector) => StartVector::Warm(eigenvector),
            None => StartVector::Random,
        };
        let outcome = self.lanczos.run(&mut operator, start, &mut self.random)?;
        self.cost = Cost::gradients(self.objective.num_examples())
            + Self::cost_of(self.objective.num_examples(), outcome.num_products);
        let mut measured = vec![Measured::new(
            &quantity::GRADIENT_NORM,
            Estimate::new(gradient_norm, quantity::GRADIENT_NORM.unit, Uncertainty::Exact)
                .over_examples(num_examples)
                .in_mode(at.mode),
        )];
        if let Some(top) = outcome.eigenpairs.into_iter().next() {
            if self.curvature == Curvature::GaussNewton {
                let quantity = &quantity::GAUSS_NEWTON_TOP_EIGENVALUE;
                let estimate = Estimate::new(top.eigenvalue, quantity.unit, Uncertainty::Residual(top.residual));
                let estimate = estimate.over_examples(num_examples).with_products(outcome.num_products);
                measured.push(Measured::new(quantity, estimate.in_mode(at.mode)));
                self.warm_start = Some(top.eigenvector);
                return Ok(measured);
            }
            let sharpness = Estimate::new(
                top.eigenvalue,
                quantity::HESSIAN_TOP_EIGENVALUE.unit,
                Uncertainty::Residual(top.residual),
            )
            .over_examples(num_examples)
            .with_products(outcome.num_products)
            .in_mode(at.mode);
            // The products are counted once, with the eigenvalue that they were spent on.
            let effective =
                sharpness.clone().with_products(0).scaled(at.learning_rate, quantity::EFFECTIVE_SHARPNESS.unit);
            let position = self.position(at, &sharpness)?;
            let cosine = dot(&gradient, &top.eigenvector).abs() / gradient_norm;
            let alignment = Estimate::new(cosine, quantity::GRADIENT_HESSIAN_ALIGNMENT.unit, Uncertainty::Exact)
                .over_examples(num_examples)
                .in_mode(at.mode);
            measured.push(Measured::new(&quantity::HESSIAN_TOP_EIGENVALUE, sharpness));
            measured.push(Measured::new(&quantity::EFFECTIVE_SHARPNESS, effective));
            measured.extend(position);
            measured.push(Measured::new(&quantity::GRADIENT_HESSIAN_ALIGNMENT, alignment));
            if let Some(shared) = at.shared {
                shared.set_sharpest_direction(&top.eigenvector);
            }
            if let Some(meter) = &mut self.break_even {
                measured.extend(meter.measure(at, &self.objective, &top.eigenvector)?);
                self.cost = self.cost + BreakEvenMeter::cost(self.objective.num_examples());
            }
            self.warm_start = Some(top.eigenvector);
        }
        Ok(measured)
    }
}

impl<B> Stateful for SharpnessProbe<B> {
    fn save_state(&self, state: &mut State) {
        state.nest("random", &self.random);
        if let Some(eigenvector) = &self.warm_start {
            state.put_vector("warm_start", eigenvector.clone());
        }
        if let Some(eigenvector) = &self.preconditioned_start {
            state.put_vector("preconditioned_start", eigenvector.clone());
        }
        if let Some(meter) = &self.break_even {
            state.nest("break_even", meter);
        }
        state.put("cost", &self.cost);
    }

    fn load_state(&mut self, state: &State) -> Result<(), StateError> {
        state.restore("random", &mut self.random)?;
        self.warm_start = state.vector_of_any_length("warm_start").ok().map(<[f64]>::to_vec);
        let preconditioned = state.vector_of_any_length("preconditioned_start");
        self.preconditioned_start = preconditioned.ok().map(<[f64]>::to_vec);
        if let Some(meter) = &mut self.break_even {
            state.restore("break_even", meter)?;
        }
        self.cost = state.get("cost")?;
        Ok(())
    }
}
