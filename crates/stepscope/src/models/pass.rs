//! What a forward pass needs beside the weights: the direction it follows, and how layers that can be evaluated in more
//! than one way are.

use std::cell::RefCell;
use std::sync::Arc;

use burn::Tensor;
use burn::module::{Param, ParamId};
use burn::tensor::DType;
use stepscope_types::Mode;
use thiserror::Error;

use super::linearisation::{KeptByLayer, Linearisation, Sharing};
use super::precision::cast_to;
use super::taps::{Tap, plain};
use super::{BatchStatistics, Dual, ParamTensors};

/// The context of a forward pass.
///
/// A layer asks it for its parameters with [`Pass::param`]. A pass of [`Pass::values`] hands out values, a pass
/// along a direction of [`Pass::along`] hands out
/// values with tangents, so one definition of a network serves both.
///
/// A forward pass never changes the network. What it learns on the way, the statistics of its batch and the faults of
/// layers that cannot take part, stays here until it is asked for.
#[derive(Debug, Clone, Default)]
pub struct Pass {
    direction: Option<ParamTensors>,
    origin: Option<(Arc<ParamTensors>, Follow)>,
    normalisation: NormalisationMode,
    dropout: DropoutMode,
    first_example: u64,
    products: Option<DType>,
    is_tapped: bool,
    linearisation: Option<Linearisation>,
    found: RefCell<Found>,
}

#[derive(Debug, Clone, Default)]
struct Found {
    statistics: BatchStatistics,
    fault: Option<PassFault>,
    multiplications: Multiplications,
    taps: Vec<Tap>,
}

/// Multiplications with a weight, in the layers that are mostly such: fully connected and convolutional ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Multiplications {
    /// In layers whose input does not depend on parameters, so that no gradient has to reach it.
    pub first: u64,
    /// In all others.
    pub inner: u64,
    /// Those that an exact Hessian product need not repeat where it shares its linearisation ([`Sharing`]).
    pub shared: u64,
    /// Numbers that are kept for that.
    pub kept: u64,
}

/// What parameters' tangents are in a pass at other weights than the network's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Follow {
    /// From those weights to the network's: the parameter minus its value there.
    Displacement,
    /// The pass's own direction.
    Direction,
}

/// Where batch normalisation takes its mean and variance from (`curvature`, section 4.8).
#[derive(Debug, Clone, Default)]
pub enum NormalisationMode {
    /// The running statistics of the network: deterministic, examples independent of each other.
    #[default]
    Eval,
    /// The batch's own, differentiated through, as in a training step. A Hessian then depends on the size of the batch,
    /// and per-example gradients do not exist.
    TrainBatch,
    /// Given, and held constant: those of the full data at these weights, from [`BatchStatistics::over`].
    FrozenFull(BatchStatistics),
    /// Given where they are known and the batch's own elsewhere: how [`BatchStatistics::over`] finds them a layer after
    /// the other.
    KnownOrBatch(BatchStatistics),
}

/// Whether features are dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum DropoutMode {
    /// Nothing is dropped.
    #[default]
    Off,
    /// A mask that is a function of the seed, the layer, the example's place and the feature: the same at every
    /// evaluation, as products of one Hessian need it.
    FixedMask {
        /// Another seed is another mask.
        seed: u64,
    },
}

/// Why a forward pass means less than it seems to.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum PassFault {
    /// A layer was reached that has no tangent rule.
    #[error(
        "the layer {layer} has no tangent rule, so products that need tangents would leave out what it does: use the \
         layers of stepscope::models::layers in its place, or a product by differences"
    )]
    NoTangentRule {
        /// The layer as it calls itself.
        layer: String,
    },
    /// Frozen statistics were given, but not for this layer.
    #[error(
        "the frozen statistics hold nothing for a batch normalisation over {channels} channels: compute them with \
         BatchStatistics::over on this very network"
    )]
    NoStatistics {
        /// Channels of the layer.
        channels: usize,
    },
}

impl Pass {
    /// A plain forward pass: running statistics, no dropout.
    pub fn values() -> Self {
        Self::default()
    }

    /// A forward pass along `direction`: every parameter comes with its part as its tangent.
    pub fn along(direction: ParamTensors) -> Self {
        Self { direction: Some(direction), ..Self::default() }
    }

    /// A plain forward pass on which layers keep what the norms of the examples' gradients are made of.
    pub(crate) fn tapped() -> Self {
        Self { is_tapped: true, ..Self::default() }
    }

    /// The pass of a training step: batch statistics, dropout by the mask of `dropout_seed`.
    pub fn training(dropout_seed: u64) -> Self {
        Self::values()
            .with_normalisation(NormalisationMode::TrainBatch)
            .with_dropout(DropoutMode::FixedMask { seed: dropout_seed })
    }

    /// The same pass with another source of statistics.
    pub fn with_normalisation(mut self, normalisation: NormalisationMode) -> Self {
        self.normalisation = normalisation;
        self
    }

    /// The same pass with or without dropout.
    pub fn with_dropout(mut self, dropout: DropoutMode) -> Self {
        self.dropout = dropout;
        self
    }

    /// The same pass with the operands of dense and convolution layers rounded to a narrower type, and their products widened
    /// again: everything between them keeps the type of the weights.
    pub fn with_products_in(mut self, narrow: Option<DType>) -> Self {
        self.products = narrow;
        self
    }

    /// A factor in the type of this pass's products.
    pub fn operand<const D: usize>(&self, factor: Tensor<D>) -> Tensor<D> {
        match self.products {
            Some(narrow) => cast_to(factor, narrow),
            None => factor,
        }
    }

    /// `product` of two factors in the type of this pass's products, in `a`'s own type.
    pub fn multiply<const D1: usize, const D2: usize, const D: usize>(
        &self,
        a: Tensor<D1>,
        b: Tensor<D2>,
        product: impl Fn(Tensor<D1>, Tensor<D2>) -> Tensor<D>,
    ) -> Tensor<D> {
        let own = a.dtype();
        cast_to(product(self.operand(a), self.operand(b)), own)
    }

    /// The same pass for a micro-batch that begins at this example of the whole: its dropout masks are then those that
    /// the whole would have had there.
    pub fn with_first_example(mut self, first_example: u64) -> Self {
        self.first_example = first_example;
        self
    }

    /// The same pass with every parameter at its value in `origin`; those that it leaves out stay where they are.
    ///
    /// It shares no linearisation: the loss of a linearised network depends on tangents in another way than linearly.
    pub(super) fn at_origin(&self, origin: Arc<ParamTensors>, follow: Follow) -> Self {
        Self { origin: Some((origin, follow)), linearisation: None, ..self.clone() }
    }

    /// The same pass with what earlier ones kept at this point, and leave to it.
    pub(crate) fn at_point(mut self, linearisation: Option<Linearisation>) -> Self {
        self.linearisation = linearisation;
        self
    }

    /// What the layer with these weights keeps of its products, applied to `x`. `multiplications`: what a number of its output takes,
    /// and one of its input's gradient.
    pub(super) fn kept<const D: usize>(
        &self,
        weight: ParamId,
        x: &Tensor<D>,
        multiplications: [usize; 2],
    ) -> KeptByLayer {
        let next = |point: &Linearisation| point.next_layer(weight, &x.dims(), multiplications);
        self.linearisation.as_ref().map(next).unwrap_or_default()
    }

    /// Whether this pass follows a direction.
    pub fn has_direction(&self) -> bool {
        self.direction.is_some()
    }

    /// The parameter, with its tangent if this pass follows a direction.
    pub fn param<const D: usize>(&self, param: &Param<Tensor<D>>) -> Dual<D> {
        let value = param.val();
        let shape = value.shape();
        let origin = self.origin.as_ref().and_then(|(origin, follow)| Some((origin.get(param.id)?, *follow)));
        let own = |flat: &Tensor<1>| flat.clone().reshape(shape.clone());
        let direction = || self.direction.as_ref().and_then(|direction| direction.get(param.id)).map(own);
        let Some((at, follow)) = origin else { return Dual { tangent: direction(), value } };
        // Vectors in weight space are plain; what meets a tracked parameter must be tracked, as a constant.
        let at = cast_to(own(at), value.dtype());
        let at = if value.is_autodiff() && !at.is_autodiff() { Tensor::from_inner(at) } else { at };
        let tangent = match follow {
            Follow::Displacement => Some(value - at.clone()),
            Follow::Direction => direction(),
        };
        Dual { value: at, tangent }
    }

    /// How the network is evaluated, in the word that is recorded with every value.
    pub fn mode(&self) -> Mode {
        let dropout = self.dropout != DropoutMode::Off;
        match (&self.normalisation, dropout) {
            (NormalisationMode::Eval, false) => Mode::Eval,
            (NormalisationMode::Eval, true) => Mode::EvalWithDropout,
            (NormalisationMode::TrainBatch | NormalisationMode::KnownOrBatch(_), false) => Mode::TrainBatch,
            (NormalisationMode::TrainBatch | NormalisationMode::KnownOrBatch(_), true) => Mode::Train,
            (NormalisationMode::FrozenFull(_), false) => Mode::FrozenFull,
            (NormalisationMode::FrozenFull(_), true) => Mode::FrozenFullWithDropout,
        }
    }

    /// Where statistics come from.
    pub fn normalisation(&self) -> &NormalisationMode {
        &self.normalisation
    }

    /// Whether features are dropped.
    pub fn dropout(&self) -> DropoutMode {
        self.dropout
    }

    /// Place of the first example of the batch in the whole.
    pub fn first_example(&self) -> u64 {
        self.first_example
    }

    /// Applies a layer that has no tangent rule.
    ///
    /// On a pass along a direction the layer is remembered, and [`Pass::fault`] names it: products then fail instead of
    /// leaving out what it does.
    pub fn without_rule<const D1: usize, const D2: usize>(
        &self,
        layer: &str,
        x: Dual<D1>,
        forward: impl FnOnce(Tensor<D1>) -> Tensor<D2>,
    ) -> Dual<D2> {
        if self.direction.is_some() {
            self.report(PassFault::NoTangentRule { layer: layer.to_owned() });
        }
        Dual::constant(forward(x.value))
    }

    /// The first fault that a layer reported to this pass.
    pub fn fault(&self) -> Option<PassFault> {
        self.found.borrow().fault.clone()
    }

    /// The statistics of everything that went through this pass in a mode with batch statistics; empty otherwise.
    pub fn statistics(&self) -> BatchStatistics {
        self.found.borrow().statistics.clone()
    }

    /// What the values of everything that went through this pass took. First layers are told from inner ones on a pass
    /// along a direction only.
    pub fn multiplications(&self) -> Multiplications {
        self.found.borrow().multiplications
    }

    /// Counts the multiplications of a layer applied to `x`, in all and as [`Pass::kept`] takes them.
    pub(super) fn count<const D: usize>(&self, x: &Dual<D>, multiplications: usize, by_number: [usize; 2]) {
        let mut found = self.found.borrow_mut();
        let counted = &mut found.multiplications;
        let is_inner = x.tangent.is_some();
        let place = if is_inner { &mut counted.inner } else { &mut counted.first };
        *place += multiplications as u64;
        let [of_output, of_input] = by_number.map(|multiplications| multiplications >= Sharing::WORTH_KEEPING);
        let [by_output, by_input] = by_number.map(|multiplications| multiplications.max(1));
        let shared = [(of_output, by_output), (is_inner && of_input, by_input)];
        for (_, by_number) in shared.into_iter().filter(|(is_shared, _)| *is_shared) {
            counted.shared += multiplications as u64;
            counted.kept += (multiplications / by_number) as u64;
        }
    }

    /// Takes over what a clone of this pass has seen since, and before.
    pub(crate) fn take_over(&self, clone: &Self) {
        *self.found.borrow_mut() = clone.found.borrow().clone();
    }

    /// What layers kept on a tapped pass, in the order in which it reached them.
    pub(crate) fn taps(&self) -> Vec<Tap> {
        self.found.borrow().taps.clone()
    }

    /// The output `y` of a layer applied to `x`; on a tapped pass with zeros added, which `tap` keeps together with the input.
    pub(super) fn tap<const D: usize, const E: usize>(
        &self,
        x: &Tensor<D>,
        y: Dual<E>,
        tap: impl FnOnce(Tensor<D>, Tensor<E>) -> Tap,
    ) -> Dual<E> {
        if !self.is_tapped {
            return y;
        }
        let (device, dtype) = (y.value.device(), y.value.dtype());
        let zeros: Tensor<E> = Tensor::zeros(y.value.dims(), (&device, dtype)).require_grad();
        self.found.borrow_mut().taps.push(tap(plain(x), zeros.clone()));
        Dual { value: y.value + zeros, tangent: y.tangent }
    }

    pub(crate) fn report(&self, fault: PassFault) {
        self.found.borrow_mut().fault.get_or_insert(fault);
    }

    pub(super) fn collect(&self, layer: super::batch_statistics::LayerStatistics) {
        self.found.borrow_mut().statistics.take_in(layer);
    }
}
