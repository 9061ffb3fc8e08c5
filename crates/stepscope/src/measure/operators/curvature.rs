//! Products with the matrices of curvature and gradient noise.

use burn::Tensor;
use stepscope_spectral::LinearOperator;

use super::batch_loss::BatchLoss;
use super::differences::{Calibration, Tangents, with_tangents};
use super::error::ProductError;
use super::loss::Parts;
use super::objective::{Objective, accumulate};
use super::sampled::Draws;
use super::vector::{dot, norm};
use crate::data::Batch;
use crate::measure::cost::Cost;
use crate::models::{Linearisation, OtherOrder, ParamLayout, Pass, PassFault, Sharing};

/// Which matrix of second derivatives or gradient moments, of the mean loss L = (1/n) Σ ℓ_i with outputs z_i.
///
/// With g_i = ∇ℓ_i, J_i = ∂z_i/∂θ, g = ∇L. Costs are in gradients over the same examples; with differences in place of tangent
/// rules add the price of one forward pass more, and of a calibration of ten with the first product.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Curvature {
    /// H = ∇²L, exact, by reverse over forward: the tangent of the loss along v is ⟨∇L, v⟩, and its gradient is Hv.
    /// For networks with kinks (ReLU, max-pool) the Hessian that exists almost everywhere. At most 2.7 gradients.
    ///
    /// Source: `curvature`, section 4.2.
    Hessian,
    /// (∇L(θ + hv̂) − ∇L(θ − hv̂)) / 2h: two gradients, on any smooth network. The distance is calibrated on the first
    /// product, for ten gradients. Where the gradient jumps it is no Hessian: such networks are refused.
    ///
    /// Source: `curvature`, section 4.2.
    HessianByDifferences {
        /// What to do with networks that have kinks.
        kinks: Kinks,
    },
    /// G = (1/n) Σ J_iᵀ ∇²_z ℓ_i J_i, the part of H that remains where the network is replaced by its linearisation; for
    /// cross-entropy ∇²_z ℓ = diag p − p pᵀ, and G is the Fisher matrix. 1.7 gradients where tangents are cheap.
    ///
    /// Source: `curvature`, section 4.3.
    GaussNewton,
    /// K = (1/n) Σ (g_i − g)(g_i − g)ᵀ, the covariance of the examples' gradients, without forming them: tangents c_i = ⟨g_i, v⟩
    /// of all losses at once, then one backward pass of (1/n) Σ (c_i − ⟨g, v⟩) ℓ_i. 1.7 gradients, one more with the first
    /// product. Examples must not see each other: no batch statistics. For the unbiased estimate from a sample multiply by
    /// n / (n − 1).
    ///
    /// Source: `curvature`, section 4.3.
    GradientCovariance,
    /// (1/n) Σ g_i g_iᵀ, the second moment of the examples' gradients about zero: K + g gᵀ. With cross-entropy it is called
    /// the empirical Fisher matrix; it is not the Fisher matrix, which averages over the network's own labels.
    ///
    /// Source: `curvature`, section 4.3.
    EmpiricalFisher,
    /// (1/nS) Σ_i Σ_s ĝ_is ĝ_isᵀ with gradients ĝ at targets drawn from the network's own distribution at θ: a fixed matrix of
    /// rank at most n S whose mean over draws is the Gauss-Newton matrix. One forward pass more with the first product.
    ///
    /// Source: `curvature`, section 4.3.
    MonteCarloFisher {
        /// S: draws for each example, at least 1.
        samples: u32,
        /// Seed of the draws, which go through the examples in order: micro-batches do not change them.
        seed: u64,
    },
}

/// What to do with differences of gradients on a network whose gradient jumps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kinks {
    /// Refuse, with the reason.
    Refuse,
    /// Give the difference: the almost-everywhere Hessian plus the jumps over the distance. It is the curvature that a step of that
    /// length meets, and not what the literature reports.
    Accept,
}

/// The relative change between two distances above which differences of gradients count as not settled. Smooth networks
/// stay below 1e-2 in f32 (`curvature`, section 4.2).
const SETTLED: f64 = 0.05;

/// The disagreement of bends above which a network counts as kinked: kinks that carry a twelfth of the second differences'
/// squares.
const BENT: f64 = 0.2;

/// v -> Av with A a [`Curvature`] of the mean loss over an [`Objective`], at fixed parameters.
///
/// Products are sums over micro-batches, accumulated in f64. Where the network has tangent rules
/// ([`BatchLoss::loss_along`]) they are exact; where it has none, tangents are central differences at a
/// distance that is calibrated with the first product ([`CurvatureOperator::tangents`] reports its error). One exact
/// Hessian product costs at most about 2.7 gradients over the same examples (8 matrix products where a gradient has 3; measured
/// ratios in `docs/performance.md`). The network is borrowed and never changed.
///
/// Source: `curvature`, sections 4.2 and 4.3.
#[derive(Debug)]
pub struct CurvatureOperator<'a, N, B = Batch> {
    pub(super) network: &'a N,
    pub(super) objective: &'a Objective<B>,
    pub(super) layout: &'a ParamLayout,
    curvature: Curvature,
    tangents: Option<Tangents>,
    pub(super) linearisation: Option<Linearisation>,
    // What a product needs beside v, formed with the first one.
    parameters: Option<Vec<f64>>,
    mean_gradient: Option<Vec<f64>>,
    draws: Option<Vec<Draws>>,
}

/// How one product follows its vector.
enum Direction<N> {
    Exact(Box<Pass>),
    Sides { plus: N, minus: N, inverse_width: f64 },
}

impl<'a, N: BatchLoss<B>, B> CurvatureOperator<'a, N, B> {
    /// The operator at the network's present parameters. `network` is on the tracked device with parameters that require
    /// gradients.
    pub fn new(network: &'a N, objective: &'a Objective<B>, layout: &'a ParamLayout, curvature: Curvature) -> Self {
        Self {
            network,
            objective,
            layout,
            curvature,
            tangents: None,
            linearisation: None,
            parameters: None,
            mean_gradient: None,
            draws: None,
        }
    }

    /// The same, whose products share their linearisation: for several of them at this point. A lone product would keep what nobody
    /// takes up.
    ///
    /// Later exact Hessian products then take 6 matrix products of 8 in an inner layer, at most 2.0 gradients, as far as [`Sharing`] has room; others
    /// save their values. Results are the same. Does nothing where tangents are differences.
    #[must_use]
    pub fn sharing(mut self, sharing: Sharing) -> Self {
        self.linearisation = Some(Linearisation::new(sharing));
        self
    }

    /// What products share, if they do.
    pub(super) fn sharing_of(&self) -> Option<Sharing> {
        self.linearisation.as_ref().map(Linearisation::sharing)
    }

    /// Bytes that products keep for those that follow.
    pub fn bytes_shared(&self) -> u64 {
        self.linearisation.as_ref().map_or(0, Linearisation::bytes)
    }

    /// Share of what is worth keeping that is kept: 1 where there was room for all of it, 0 before the first product.
    pub fn share_kept(&self) -> f64 {
        self.linearisation.as_ref().map_or(0.0, Linearisation::share)
    }

    /// What so many products cost that this operator formed.
    pub(in crate::measure) fn cost_of(&self, num_products: u64) -> Cost {
        // Other matrices share their values alone, and count as if they did not.
        let share = if self.curvature == Curvature::Hessian { self.share_kept() } else { 0.0 };
        Cost::products_at_one_point(self.objective.num_examples(), num_products, share)
    }

    /// Which matrix.
    pub fn curvature(&self) -> Curvature {
        self.curvature
    }

    /// How products follow their vectors, known after the first one.
    pub fn tangents(&self) -> Option<Tangents> {
        self.tangents
    }

    /// Chooses the distance of differences anew, for directions like `direction`: the best one differs between a random
    /// vector and an eigenvector by up to a factor of 20. Does nothing where tangents are exact.
    ///
    /// Cost: ten gradients for [`Curvature::HessianByDifferences`], and five forward passes to look for kinks; ten forward
    /// passes for the others.
    ///
    /// # Errors
    /// [`ProductError`] as for a product.
    pub fn calibrate(&mut self, direction: &[f64]) -> Result<(), ProductError> {
        if self.tangents == Some(Tangents::Exact) {
            return Ok(());
        }
        let values = self.layout.values(self.network);
        let scale = if norm(&values) > 0.0 { norm(&values) } else { 1.0 };
        self.parameters = Some(values);
        let calibration = match self.curvature {
            Curvature::HessianByDifferences { kinks } => {
                let found =
                    Calibration::of(self.layout, scale, |distance| self.gradient_difference(direction, distance))?;
                if kinks == Kinks::Refuse {
                    self.refuse_kinks(direction, found, scale)?;
                }
                found
            }
            _ => Calibration::of(self.layout, scale, |distance| self.tangent_difference(direction, distance))?,
        };
        self.tangents = Some(Tangents::Differences(calibration));
        Ok(())
    }

    fn refuse_kinks(&self, direction: &[f64], found: Calibration, scale: f64) -> Result<(), ProductError> {
        if found.relative_change > SETTLED {
            return Err(ProductError::NotSettled { relative_change: found.relative_change });
        }
        // Below a quarter of the ladder's top, bends drown in the rounding of outputs.
        let distance = found.distance.max(scale * Calibration::top(self.layout) / 4.0);
        let disagreement = self.disagreement_of_bends(direction, distance)?;
        if disagreement > BENT { Err(ProductError::NotSmooth { disagreement }) } else { Ok(()) }
    }

    /// Writes the product where tangents are exact, and says whether they are.
    fn product_by_tangents(&mut self, input: &[f64], output: &mut [f64]) -> Result<bool, ProductError> {
        let pass = self.layout.pass_along(input).at_point(self.linearisation.clone());
        let direction = Direction::Exact(Box::new(pass));
        let is_exact = self.product_along(&direction, input, output)?;
        match (is_exact, self.curvature) {
            (true, _) => self.tangents = Some(Tangents::Exact),
            (false, Curvature::Hessian) => return Err(ProductError::NoTangent),
            (false, _) => {}
        }
        Ok(is_exact)
    }

    fn product_by_differences(&mut self, input: &[f64], output: &mut [f64]) -> Result<(), ProductError> {
        let distance = self.distance(input)?;
        let direction = self.sides(input, distance);
        self.product_along(&direction, input, output).map(|_| ())
    }

    fn hessian_by_differences(&mut self, input: &[f64], output: &mut [f64], kinks: Kinks) -> Result<(), ProductError> {
        let named = self.network.kinks();
        if kinks == Kinks::Refuse && !named.is_empty() {
            return Err(ProductError::Kinks { kinks: named.join(", ") });
        }
        let distance = self.distance(input)?;
        let length = norm(input);
        output.fill(0.0);
        accumulate(output, &self.gradient_difference(input, distance)?, length);
        Ok(())
    }

    /// The distance of differences, calibrated along `input` if it is not yet.
    fn distance(&mut self, input: &[f64]) -> Result<f64, ProductError> {
        if self.tangents.is_none() {
            self.calibrate(input)?;
        }
        match self.tangents {
            Some(Tangents::Differences(calibration)) => Ok(calibration.distance),
            _ => Err(ProductError::NoTangent),
        }
    }

    /// The networks at θ ± `distance` · v̂, which record nothing for a backward pass.
    fn sides(&self, v: &[f64], distance: f64) -> Direction<N> {
        let step = distance / norm(v);
        let at = |step: f64| self.network_at(v, step).no_grad();
        Direction::Sides { plus: at(step), minus: at(-step), inverse_width: 0.5 / step }
    }

    /// The network at θ + `step` · v.
    fn network_at(&self, v: &[f64], step: f64) -> N {
        let parameters = self.parameters.as_deref().unwrap_or_default();
        let values: Vec<f64> = parameters.iter().zip(v).map(|(theta, v)| theta + step * v).collect();
        self.layout.assign(self.network.clone(), &values)
    }

    /// (∇L(θ + hv̂) − ∇L(θ − hv̂)) / 2h.
    fn gradient_difference(&self, v: &[f64], distance: f64) -> Result<Vec<f64>, ProductError> {
        let step = distance / norm(v);
        let at = |step: f64| {
            Ok::<_, ProductError>(self.objective.loss_and_gradient(&self.network_at(v, step), self.layout)?.1)
        };
        let (plus, minus) = (at(step)?, at(-step)?);
        Ok(plus.iter().zip(minus).map(|(plus, minus)| (plus - minus) * (0.5 / distance)).collect())
    }

    /// The tangent of what the matrix is made of: all outputs, or all losses.
    fn tangent_difference(&self, v: &[f64], distance: f64) -> Result<Vec<f64>, ProductError> {
        let (plus, minus) = (self.observed_at(v, distance)?, self.observed_at(v, -distance)?);
        let inverse_width = norm(v) / (2.0 * distance);
        Ok(plus.iter().zip(minus).map(|(plus, minus)| (plus - minus) * inverse_width).collect())
    }

    /// How far second differences of outputs at a distance and at half of it contradict each other: 0 where outputs are
    /// parabolas along v, 0.7 where every bend is a kink at a random place.
    ///
    /// Summed over many examples the jumps of a gradient average out and differences of it settle, on a wrong value; example by
    /// example they do not. Differences that rounding alone explains count as none.
    fn disagreement_of_bends(&self, v: &[f64], distance: f64) -> Result<f64, ProductError> {
        let here = self.observed_at(v, 0.0)?;
        let bend = |distance: f64| {
            let (plus, minus) = (self.observed_at(v, distance)?, self.observed_at(v, -distance)?);
            let terms = here.iter().zip(plus.iter().zip(minus));
            Ok::<Vec<f64>, ProductError>(terms.map(|(here, (plus, minus))| plus - 2.0 * here + minus).collect())
        };
        let (wide, narrow) = (bend(distance)?, bend(distance / 2.0)?);
        let contradiction: Vec<f64> = wide.iter().zip(narrow).map(|(wide, narrow)| wide - 4.0 * narrow).collect();
        let rounding = 64.0 * self.layout.rounding_unit() * norm(&here);
        Ok(if norm(&contradiction) <= rounding { 0.0 } else { norm(&contradiction) / norm(&wide) })
    }

    /// All outputs, or all losses where outputs are not known or not what the matrix is made of, at θ + `distance` · v̂.
    fn observed_at(&self, v: &[f64], distance: f64) -> Result<Vec<f64>, ProductError> {
        let network = self.network_at(v, distance / norm(v)).no_grad();
        let of_losses = matches!(self.curvature, Curvature::GradientCovariance | Curvature::EmpiricalFisher);
        let mut observed = Vec::new();
        for (batch, len) in self.objective.sized_batches() {
            let parts = network.loss(batch).parts(len)?;
            let values = match parts.outputs {
                Some(outputs) if !of_losses => outputs.values.value.flatten(0, 1),
                _ => parts.per_example.value,
            };
            observed.extend(values.into_data().iter::<f64>());
        }
        Ok(observed)
    }

    /// Writes the product; `false` where the network has no tangents to follow the direction with.
    fn product_along(
        &mut self,
        direction: &Direction<N>,
        input: &[f64],
        output: &mut [f64],
    ) -> Result<bool, ProductError> {
        let centre = self.centre(input)?;
        self.draw_targets()?;
        let total = self.objective.num_examples() as f64;
        output.fill(0.0);
        for (index, (batch, len)) in self.objective.sized_batches().enumerate() {
            let point = self.linearisation.as_ref().filter(|_| matches!(direction, Direction::Exact(_)));
            point.inspect(|point| point.begin(index));
            let Some(parts) = self.parts_along(direction, batch, len)? else { return Ok(false) };
            point.map_or(Ok(()), |point| point.end().map_err(|other| self.other_order(other)))?;
            let draws = self.draws.as_ref().and_then(|draws| draws.get(index));
            let scalar = self.scalar(parts, centre, draws)? * (1.0 / len as f64);
            let part = self.layout.gradient(self.network, &mut scalar.backward());
            accumulate(output, &part, len as f64 / total);
        }
        Ok(true)
    }

    fn other_order(&self, OtherOrder { weight }: OtherOrder) -> ProductError {
        let found = self.layout.parts().find(|(_, id, _)| Some(*id) == weight);
        let layer = found.map_or_else(|| "the last layers".to_owned(), |(path, ..)| path.to_owned());
        ProductError::OtherOrder { layer }
    }

    fn parts_along(&self, direction: &Direction<N>, batch: &B, len: usize) -> Result<Option<Parts>, ProductError> {
        match direction {
            Direction::Exact(pass) => {
                let loss = self.network.loss_along(batch, pass);
                match pass.fault() {
                    None => Ok(loss.map(|loss| loss.parts(len)).transpose()?),
                    // Differences need no tangent rules, and do for every matrix but the exact Hessian.
                    Some(PassFault::NoTangentRule { .. }) if self.curvature != Curvature::Hessian => Ok(None),
                    Some(fault) => Err(fault.into()),
                }
            }
            Direction::Sides { plus, minus, inverse_width } => {
                let [plus, minus] = [plus, minus].map(|side| side.loss(batch).parts(len));
                let base = self.network.loss(batch).parts(len)?;
                Ok(Some(with_tangents(base, plus?, minus?, *inverse_width)))
            }
        }
    }

    /// n times the scalar whose gradient is the product on these examples.
    fn scalar(&self, parts: Parts, centre: f64, draws: Option<&Draws>) -> Result<Tensor<1>, ProductError> {
        let curvature = self.curvature;
        match curvature {
            Curvature::Hessian | Curvature::HessianByDifferences { .. } => {
                Ok(parts.per_example.tangent.ok_or(ProductError::NoTangent)?.sum())
            }
            Curvature::GradientCovariance | Curvature::EmpiricalFisher => {
                let tangent = parts.per_example.tangent.ok_or(ProductError::NoTangent)?.detach();
                Ok((parts.per_example.value * (tangent - centre)).sum())
            }
            Curvature::GaussNewton | Curvature::MonteCarloFisher { .. } => {
                let outputs = parts.outputs.ok_or(ProductError::NoOutputs { curvature })?;
                let tangent = outputs.values.tangent.clone().ok_or(ProductError::NoTangent)?.detach();
                let covector = match draws {
                    Some(draws) => draws.second_moment(&outputs, tangent),
                    None => outputs.hessian(tangent),
                };
                Ok((outputs.values.value * covector).sum())
            }
        }
    }

    /// What the tangents of the losses are centred by: ⟨g, v⟩ for the covariance, else nothing.
    fn centre(&mut self, input: &[f64]) -> Result<f64, ProductError> {
        if self.curvature != Curvature::GradientCovariance {
            return Ok(0.0);
        }
        let gradient = match self.mean_gradient.take() {
            Some(gradient) => gradient,
            None => self.objective.loss_and_gradient(self.network, self.layout)?.1,
        };
        let centre = dot(&gradient, input);
        self.mean_gradient = Some(gradient);
        Ok(centre)
    }

    /// Draws the targets of the Monte-Carlo Fisher matrix, once.
    fn draw_targets(&mut self) -> Result<(), ProductError> {
        let Curvature::MonteCarloFisher { samples, seed } = self.curvature else { return Ok(()) };
        if self.draws.is_none() {
            self.draws = Some(Draws::of_all(self.network, self.objective, samples, seed)?);
        }
        Ok(())
    }
}

impl<N: BatchLoss<B>, B> LinearOperator for CurvatureOperator<'_, N, B> {
    type Error = ProductError;

    fn dim(&self) -> usize {
        self.layout.num_params()
    }

    fn apply(&mut self, input: &[f64], output: &mut [f64]) -> Result<(), ProductError> {
        for got in [input.len(), output.len()] {
            if got != self.dim() {
                return Err(ProductError::Length { got, expected: self.dim() });
            }
        }
        if self.objective.num_examples() == 0 {
            return Err(ProductError::TooFewExamples { asked: 1, available: 0 });
        }
        if input.iter().all(|&v| v == 0.0) {
            output.fill(0.0);
            return Ok(());
        }
        if let Curvature::HessianByDifferences { kinks } = self.curvature {
            return self.hessian_by_differences(input, output, kinks);
        }
        let may_be_exact = !matches!(self.tangents, Some(Tangents::Differences(_)));
        if may_be_exact && self.product_by_tangents(input, output)? {
            return Ok(());
        }
        self.product_by_differences(input, output)
    }
}
