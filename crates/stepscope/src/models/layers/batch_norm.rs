//! Batch normalisation.

use burn::Tensor;
use burn::module::{Module, Param};

use super::normalise::{by_channel, inverse_root, scale_and_shift, standardise};
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
        let values = match pass.normalisation() {
            NormalisationMode::Eval => fixed(x, self.running_mean.val(), self.running_variance.val()),
            NormalisationMode::TrainBatch => self.by_batch(x, pass),
            NormalisationMode::FrozenFull(statistics) => match statistics.get(self.running_mean.id) {
                Some(layer) => given(x, layer),
                None => {
                    pass.report(PassFault::NoStatistics { channels: shape[1] });
                    // Not a number, so that no one who does not ask for faults takes this for a result.
                    x.linear(|x| x.full_like(f64::NAN))
                }
            },
            NormalisationMode::KnownOrBatch(statistics) => match statistics.get(self.running_mean.id) {
                Some(layer) => given(x, layer),
                None => self.by_batch(x, pass),
            },
        };
        let y = scale_and_shift(values, &self.gamma, &self.beta, [1, shape[1], 1], pass);
        y.linear(|y| y.reshape(shape))
    }

    fn by_batch(&self, x: Dual<3>, pass: &Pass) -> Dual<3> {
        let [batch, channels, rest] = x.value.dims();
        let standardised = standardise(x);
        let flat = |moment: Tensor<3>| {
            let moment = moment.reshape([channels]);
            if moment.is_autodiff() { moment.inner() } else { moment }
        };
        pass.collect(LayerStatistics {
            mean_id: self.running_mean.id,
            variance_id: self.running_variance.id,
            update: self.update,
            count: (batch * rest) as f64,
            mean: flat(standardised.mean),
            variance: flat(standardised.variance),
        });
        standardised.values
    }
}

fn given(x: Dual<3>, layer: &LayerStatistics) -> Dual<3> {
    let like_x = |t: &Tensor<1>| if x.value.is_autodiff() { Tensor::from_inner(t.clone()) } else { t.clone() };
    let (mean, variance) = (like_x(&layer.mean), like_x(&layer.variance));
    fixed(x, mean, variance)
}

/// Standardisation by constants.
fn fixed(x: Dual<3>, mean: Tensor<1>, variance: Tensor<1>) -> Dual<3> {
    let constant = |t: Tensor<1>| Dual::constant(t.reshape([1, -1, 1]));
    (x - constant(mean)) * constant(inverse_root(variance))
}
