//! The loss around a point as a quadratic, measured: what prediction starts from.

use stepscope_spectral::random::RandomStream;
use stepscope_spectral::{LinearOperator, spectral_measure};
use stepscope_theory::MeasuredQuadratic;
use stepscope_types::{RunSpec, Spectrum, Step};

use super::batches::BatchSource;
use super::cost::Cost;
use super::gradient_noise::NoiseProbe;
use super::objective::Objective;
use super::operators::{BatchLoss, Curvature, CurvatureOperator};
use super::probe::{Measured, Probe, ProbeError, ProbePoint};
use crate::backend::{Backend, DeviceError};
use crate::checkpoint::{State, StateError, Stateful};
use crate::data::{Batch, Dataset};
use crate::models::Sharing;

/// Measures, at every step it is scheduled for, how gradient and gradient noise lie along the curvatures.
///
/// Gauss quadrature from Lanczos steps on the Gauss-Newton matrix: one run from the gradient, one from each of a few
/// mini-batch deviations gᵢ − g, whose measures are averaged. The Gauss-Newton matrix is the curvature of the network's
/// linearisation, without negative directions.
///
/// Cost: `num_products` · (1 + number of deviations) products and one gradient over the objective. Source: quadrature `curvature`, section 4.5; the
/// use of it, ours.
#[derive(Debug)]
pub struct LocalQuadraticProbe<'a, B = Batch> {
    objective: Objective<B>,
    noise: NoiseProbe<'a, B>,
    num_products: usize,
    num_deviations: usize,
    measured: Vec<(Step, MeasuredQuadratic)>,
}

impl<'a, B> LocalQuadraticProbe<'a, B> {
    /// Lanczos steps a measure: enough for the spread of curvatures that a few hundred steps of training resolve.
    pub const NUM_PRODUCTS: usize = 16;
    /// Mini-batch deviations whose measures are averaged.
    pub const NUM_DEVIATIONS: usize = 4;

    /// A probe of the loss over `objective`, whose tensors are on the tracked device, with deviations drawn by
    /// `noise`.
    pub fn new(objective: Objective<B>, noise: NoiseProbe<'a, B>) -> Self {
        Self {
            objective,
            noise,
            num_products: Self::NUM_PRODUCTS,
            num_deviations: Self::NUM_DEVIATIONS,
            measured: Vec::new(),
        }
    }

    /// The quadratics measured so far, each with its step, in order.
    pub fn quadratics(&self) -> &[(Step, MeasuredQuadratic)] {
        &self.measured
    }
}

impl<'a> LocalQuadraticProbe<'a> {
    /// A probe of the loss over the whole training set, for a run of `spec`.
    ///
    /// # Errors
    /// [`DeviceError`] where the device of the run cannot be used.
    pub fn on_training_set(spec: &RunSpec, dataset: &'a Dataset) -> Result<Self, DeviceError> {
        let backend = Backend::open(spec.train.device, spec.measure.chosen_precision(spec.model.precision))?;
        let (tracked, dtype) = (backend.tracked(), backend.dtype());
        let objective = Objective::whole(&dataset.train, dataset.shape, &tracked, dtype);
        let random = RandomStream::named(spec.seeds.probe_seed(), "local quadratic");
        let batches = BatchSource::new(dataset, spec.measure.noise_batch_size.get(), tracked, dtype, random);
        Ok(Self::new(objective, NoiseProbe::new(batches, spec.measure.noise_batches as usize)))
    }
}

impl<N: BatchLoss<B>, B> Probe<N> for LocalQuadraticProbe<'_, B> {
    fn name(&self) -> &'static str {
        "local-quadratic"
    }

    fn cost(&self) -> Cost {
        let num_examples = self.objective.num_examples();
        let num_products = self.num_products * (1 + self.num_deviations);
        Cost::gradients(num_examples)
            + Cost::outer_products(num_examples) * num_products as f64
            + Probe::<N>::cost(&self.noise)
    }

    fn measure(&mut self, at: &ProbePoint<'_, N>) -> Result<Vec<Measured>, ProbeError> {
        let (loss, gradient) = self.objective.loss_and_gradient(at.network, at.layout)?;
        let deviations: Vec<Vec<f64>> = self
            .noise
            .draw_gradients(at)?
            .into_iter()
            .take(self.num_deviations)
            .map(|batch| batch.iter().zip(&gradient).map(|(batch, full)| batch - full).collect())
            .collect();
        let mut operator = CurvatureOperator::new(at.network, &self.objective, at.layout, Curvature::GaussNewton)
            .sharing(Sharing::default());
        let along_gradient = spectral_measure(&mut operator, &gradient, self.num_products)?.spectrum;
        // A deviation of a batch of b has covariance Σ / b; the measure is that of Σ.
        let share = self.noise.batch_size() as f64 / deviations.len().max(1) as f64;
        let along_noise = mean_measure(&mut operator, &deviations, self.num_products, share)?;
        self.measured.push((at.step, MeasuredQuadratic::new(loss, along_gradient, along_noise)));
        Ok(Vec::new())
    }
}

impl<B> Stateful for LocalQuadraticProbe<'_, B> {
    fn save_state(&self, state: &mut State) {
        state.nest("noise", &self.noise);
        let measured: Vec<(Step, f64, &Spectrum, &Spectrum)> = self
            .measured
            .iter()
            .map(|(step, quadratic)| (*step, quadratic.loss(), quadratic.gradient(), quadratic.noise()))
            .collect();
        state.put("measured", &measured);
    }

    fn load_state(&mut self, state: &State) -> Result<(), StateError> {
        state.restore("noise", &mut self.noise)?;
        let measured: Vec<(Step, f64, Spectrum, Spectrum)> = state.get("measured")?;
        self.measured = measured
            .into_iter()
            .map(|(step, loss, gradient, noise)| (step, MeasuredQuadratic::new(loss, gradient, noise)))
            .collect();
        Ok(())
    }
}

/// Σ of the vectors' spectral measures, each times `share`.
fn mean_measure<O>(
    operator: &mut O,
    vectors: &[Vec<f64>],
    num_products: usize,
    share: f64,
) -> Result<Spectrum, ProbeError>
where
    O: LinearOperator<Error = super::ProductError>,
{
    let (mut nodes, mut weights) = (Vec::new(), Vec::new());
    for vector in vectors {
        for (node, weight) in spectral_measure(operator, vector, num_products)?.spectrum.pairs() {
            nodes.push(node);
            weights.push(share * weight);
        }
    }
    Ok(Spectrum::new(nodes, weights).map_err(stepscope_spectral::LanczosError::from)?)
}
