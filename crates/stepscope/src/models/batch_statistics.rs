//! Means and variances of the layers of a network, collected by a pass and given to another, or to the network itself.

use burn::Tensor;
use burn::module::{Module, ModuleMapper, Param, ParamId};

use super::{NormalisationMode, Pass};

/// Mean and variance of every batch-normalised layer, in the order in which a forward pass reaches them.
///
/// Layers are known by the identities of their parameters: statistics belong to one network and its clones.
#[derive(Debug, Clone, Default)]
pub struct BatchStatistics {
    layers: Vec<LayerStatistics>,
}

/// What one layer saw.
#[derive(Debug, Clone)]
pub(super) struct LayerStatistics {
    /// Identity of the layer's running mean.
    pub(super) mean_id: ParamId,
    /// Identity of the layer's running variance.
    pub(super) variance_id: ParamId,
    /// Share of a batch in the running statistics.
    pub(super) update: f64,
    /// Numbers a channel that mean and variance are over.
    pub(super) count: f64,
    /// `[channels]`, plain.
    pub(super) mean: Tensor<1>,
    /// With divisor `count`; `[channels]`, plain.
    pub(super) variance: Tensor<1>,
}

impl LayerStatistics {
    /// Those of both sets of numbers together.
    fn pooled(&self, other: &Self) -> Self {
        let count = self.count + other.count;
        let (own, others) = (self.count / count, other.count / count);
        let difference = other.mean.clone() - self.mean.clone();
        Self {
            count,
            mean: self.mean.clone() + difference.clone() * others,
            variance: self.variance.clone() * own
                + other.variance.clone() * others
                + difference.square() * (own * others),
            ..*self
        }
    }
}

impl BatchStatistics {
    /// The statistics over all of `num_batches` batches together, with every layer's computed from inputs that were
    /// themselves normalised by such statistics: what one pass over a single batch of all examples would see.
    ///
    /// `forward` evaluates the network on the batch of that index under the given pass. Cost: one forward pass over
    /// everything for a single batch, else one for each normalised layer. Source: `curvature`, section 4.8.
    pub fn over(num_batches: usize, forward: impl Fn(usize, &Pass)) -> Self {
        let mut known = Self::default();
        loop {
            let mut seen = Self::default();
            for batch in 0..num_batches {
                let mode = NormalisationMode::KnownOrBatch(known.clone());
                let pass = Pass::values().with_normalisation(mode);
                forward(batch, &pass);
                seen.pool(pass.statistics());
            }
            if num_batches <= 1 {
                return seen;
            }
            // Only the first unknown layer had inputs that do not depend on how the examples fall into batches.
            match seen.layers.into_iter().next() {
                Some(layer) => known.layers.push(layer),
                None => return known,
            }
        }
    }

    /// The statistics of `num_batches` batches pooled, where every layer's inputs were normalised by their own batch: a
    /// quick stand-in for [`BatchStatistics::over`], off by about one part in a batch's size.
    ///
    /// Cost: one forward pass over everything, or over the first batch where the network has no batch normalisation.
    pub fn by_batches(num_batches: usize, forward: impl Fn(usize, &Pass)) -> Self {
        let mut seen = Self::default();
        for batch in 0..num_batches {
            let pass = Pass::values().with_normalisation(NormalisationMode::TrainBatch);
            forward(batch, &pass);
            if pass.statistics().is_empty() {
                break;
            }
            seen.pool(pass.statistics());
        }
        seen
    }

    /// Whether no layer is known: the network has no batch normalisation, or the pass collected nothing.
    pub fn is_empty(&self) -> bool {
        self.layers.is_empty()
    }

    /// Number of layers.
    pub fn len(&self) -> usize {
        self.layers.len()
    }

    /// The network whose running statistics have moved towards these: r ← (1 − u) r + u s, with u the layer's share and
    /// the variance s taken with divisor n − 1, as PyTorch does.
    pub fn absorb_into<M: Module>(&self, network: M) -> M {
        if self.is_empty() { network } else { network.map(&mut Move { statistics: self, replace: false }) }
    }

    /// The network whose running statistics are these: evaluation then equals evaluation with frozen statistics.
    pub fn assign_to<M: Module>(&self, network: M) -> M {
        if self.is_empty() { network } else { network.map(&mut Move { statistics: self, replace: true }) }
    }

    pub(super) fn get(&self, mean_id: ParamId) -> Option<&LayerStatistics> {
        self.layers.iter().find(|layer| layer.mean_id == mean_id)
    }

    pub(super) fn take_in(&mut self, layer: LayerStatistics) {
        match self.layers.iter_mut().find(|known| known.mean_id == layer.mean_id) {
            Some(known) => *known = known.pooled(&layer),
            None => self.layers.push(layer),
        }
    }

    fn pool(&mut self, other: Self) {
        other.layers.into_iter().for_each(|layer| self.take_in(layer));
    }

    /// What belongs to that parameter, with the share u, if it is a running mean or variance.
    fn part(&self, id: ParamId, replace: bool) -> Option<(Tensor<1>, f64)> {
        let layer = self.layers.iter().find(|layer| layer.mean_id == id || layer.variance_id == id)?;
        let share = if replace { 1.0 } else { layer.update };
        if layer.mean_id == id {
            return Some((layer.mean.clone(), share));
        }
        let unbiased = if replace { 1.0 } else { layer.count / (layer.count - 1.0).max(1.0) };
        Some((layer.variance.clone() * unbiased, share))
    }
}

struct Move<'a> {
    statistics: &'a BatchStatistics,
    replace: bool,
}

impl ModuleMapper for Move<'_> {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let Some((part, share)) = self.statistics.part(param.id, self.replace) else { return param };
        param.map(|old| {
            let tracked = old.is_autodiff();
            let plain = if tracked { old.inner() } else { old };
            let part = part.reshape(plain.shape());
            let new = if share == 1.0 { part } else { plain * (1.0 - share) + part * share };
            if tracked { Tensor::from_inner(new) } else { new }
        })
    }
}
