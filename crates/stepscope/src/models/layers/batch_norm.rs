//! Batch normalisation.

use burn::Tensor;
use burn::module::{Module, Param};

use super::activation::relu;
use super::normalise::{EPSILON, by_channel, inverse_root, scale_and_shift, standardise};
use crate::backend::{batch_norm, channel_affine};
use crate::models::batch_statistics::LayerStatistics;
use crate::models::init::WeightInit;
use crate::models::{Dual, NormalisationMode, Pass, PassFault};

/// y = γ (x − m) / √(s² + ε) + β for every channel of x `[batch, channels]` or `[batch, channels, rows, columns]`;
/// ε = 10⁻⁵.
///
/// The pass says where m and s² come from ([`NormalisationMode`]). Batch statistics are differentiated through, in the
/// tangent as in the gradient; running and frozen ones are constants, and the layer is then linear in x.
///
/// The running statistics are buffers and never change in a forward pass: the pass collects those of its batch, and
/// [`BatchStatistics::absorb_into`](crate::models::BatchStatistics::absorb_into) moves the running ones towards them.
/// Source: Ioffe and Szegedy 2015; modes `curvature`, section 4.8.
#[derive(Module, Debug)]
pub struct BatchNorm {
    /// γ, `[channels]`, at first 1.
    pub gamma: Param<Tensor<1>>,
    /// β, `[channels]`, at first 0.
    pub beta: Param<Tensor<1>>,
    /// `[channels]`, at first 0.
    pub running_mean: Param<Tensor<1>>,
    /// `[channels]`, at first 1.
    pub running_variance: Param<Tensor<1>>,
    update: f64,
}

impl BatchNorm {
    /// A layer over that many channels, of whose running statistics a batch makes a tenth.
    pub fn new(channels: usize, init: &WeightInit) -> Self {
        Self {
            gamma: init.constant([channels], 1.0),
            beta: init.zeros([channels]),
            running_mean: init.zeros([channels]).set_require_grad(false),
            running_variance: init.constant([channels], 1.0).set_require_grad(false),
            update: 0.1,
        }
    }

    /// The share u of a batch in the running statistics, r ← (1 − u) r + u s; 0.1 unless said otherwise.
    pub fn with_update(mut self, update: f64) -> Self {
        self.update = update;
        self
    }

    /// The layer applied to `x`.
    pub fn forward<const D: usize>(&self, x: Dual<D>, pass: &Pass) -> Dual<D> {
        let shape = x.value.dims();
        let x = by_channel(x);
        match self.in_one_pass(&x, pass, false) {
            Some(y) => y.linear(|y| y.reshape(shape)),
            None => self.part_by_part(x, pass).linear(|y| y.reshape(shape)),
        }
    }

    /// max(y, 0) of the layer applied to `x`.
    pub fn forward_rectified<const D: usize>(&self, x: Dual<D>, pass: &Pass) -> Dual<D> {
        let shape = x.value.dims();
        let x = by_channel(x);
        match self.in_one_pass(&x, pass, true) {
            Some(y) => y.linear(|y| y.reshape(shape)),
            None => relu(self.part_by_part(x, pass)).linear(|y| y.reshape(shape)),
        }
    }

    /// The training step's case, by an operation of its own: batch statistics and no tangents.
    fn in_one_pass(&self, x: &Dual<3>, pass: &Pass, rectify: bool) -> Option<Dual<3>> {
        let (gamma, beta) = (pass.param(&self.gamma), pass.param(&self.beta));
        let has_tangents = x.tangent.is_some() || gamma.tangent.is_some() || beta.tangent.is_some();
        if has_tangents || !matches!(pass.normalisation(), NormalisationMode::TrainBatch) {
            return None;
        }
        let normed = batch_norm(&x.value, gamma.value, beta.value, EPSILON, rectify)?;
        self.collect(x.value.dims(), normed.mean, normed.variance, pass);
        Some(Dual::constant(normed.output))
    }

    fn part_by_part(&self, x: Dual<3>, pass: &Pass) -> Dual<3> {
        match pass.normalisation() {
            NormalisationMode::Eval => self.fixed(x, self.running_mean.val(), self.running_variance.val(), pass),
            NormalisationMode::TrainBatch => self.by_batch(x, pass),
            NormalisationMode::FrozenFull(statistics) => match statistics.get(self.running_mean.id) {
                Some(layer) => self.given(x, layer, pass),
                None => {
                    pass.report(PassFault::NoStatistics { channels: x.value.dims()[1] });
                    // Not a number, so that no one who does not ask for faults takes this for a result.
                    x.linear(|x| x.full_like(f64::NAN))
                }
            },
            NormalisationMode::KnownOrBatch(statistics) => match statistics.get(self.running_mean.id) {
                Some(layer) => self.given(x, layer, pass),
                None => self.by_batch(x, pass),
            },
        }
    }

    fn by_batch(&self, x: Dual<3>, pass: &Pass) -> Dual<3> {
        let shape = x.value.dims();
        let standardised = standardise(x);
        let flat = |moment: Tensor<3>| moment.reshape([shape[1]]);
        self.collect(shape, flat(standardised.mean), flat(standardised.variance), pass);
        scale_and_shift(standardised.values, &self.gamma, &self.beta, [1, shape[1], 1], pass)
    }

    fn collect(&self, [batch, _, rest]: [usize; 3], mean: Tensor<1>, variance: Tensor<1>, pass: &Pass) {
        let plain = |moment: Tensor<1>| if moment.is_autodiff() { moment.inner() } else { moment };
        pass.collect(LayerStatistics {
            mean_id: self.running_mean.id,
            variance_id: self.running_variance.id,
            update: self.update,
            count: (batch * rest) as f64,
            mean: plain(mean),
            variance: plain(variance),
        });
    }

    fn given(&self, x: Dual<3>, layer: &LayerStatistics, pass: &Pass) -> Dual<3> {
        let like_x = |t: &Tensor<1>| if x.value.is_autodiff() { Tensor::from_inner(t.clone()) } else { t.clone() };
        let (mean, variance) = (like_x(&layer.mean), like_x(&layer.variance));
        self.fixed(x, mean, variance, pass)
    }

    /// With constants for m and s² the layer is s x + t with s = γ r, t = β − s m; tangent s ẋ + ṡ x + ṫ.
    fn fixed(&self, x: Dual<3>, mean: Tensor<1>, variance: Tensor<1>, pass: &Pass) -> Dual<3> {
        let scale = pass.param(&self.gamma) * Dual::constant(inverse_root(variance));
        let shift = pass.param(&self.beta) - scale.clone() * Dual::constant(mean);
        let zeros = || scale.value.zeros_like();
        let from_parameters = (scale.tangent.is_some() || shift.tangent.is_some()).then(|| {
            let [scale, shift] = [&scale, &shift].map(|part| part.tangent.clone().unwrap_or_else(zeros));
            channel_affine(x.value.clone(), scale, shift)
        });
        let from_x = x.tangent.map(|x| channel_affine(x, scale.value.clone(), zeros()));
        let tangent = match (from_parameters, from_x) {
            (Some(a), Some(b)) => Some(a + b),
            (a, b) => a.or(b),
        };
        Dual { value: channel_affine(x.value, scale.value, shift.value), tangent }
    }
}
