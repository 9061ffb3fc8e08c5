//! The seam between a training loop and whatever turns its batches into updates.

use burn::module::Module;
use stepscope_spectral::random::RandomStream;
use stepscope_types::Step;

use super::halt::Halt;
use super::labpal::Refusal;
use super::line_search::LineFit;
use super::oracle::LossOracle;
use super::reduce::{OneRank, Reduce, reduce_gradient};
use super::schedule::Decision;
use crate::checkpoint::WeightState;
use crate::measure::{Measured, Motion};
use crate::models::{ParamLayout, ParamTensors};

/// An optimizer as a training loop sees it: one call takes in one mini-batch.
///
/// Most methods take an update a call. Those that gather several batches first (gradient accumulation, a line measured
/// over many batches) return the model as it was until they have them, so that every method costs the same number of
/// examples a call.
///
/// Implement it where gradients are taken somewhere else than at θ, or where an update needs several batches. Otherwise
/// give a [`Direction`](super::Direction) and a [`StepLength`](super::StepLength) to [`Stepwise`](super::Stepwise).
pub trait Method<M, B>: WeightState {
    /// Takes a batch in; the model after it, and what happened.
    ///
    /// A batch that [`Context::loss_and_gradient`] does not admit changes nothing.
    fn take(&mut self, model: M, batch: Numbered<B>, context: &mut Context<'_, M, B>) -> (M, StepReport);

    /// The learning rate that the next update will start from; `None` while the method has not found one.
    fn learning_rate(&self) -> Option<f64>;

    /// The rule of the coming update, with what it remembers.
    fn motion(&self) -> Motion<'_>;

    /// The momentum of the coming updates, where it follows a schedule.
    fn set_momentum(&mut self, momentum: f64);

    /// Decides about the rest of the run on what was measured before `step`; says what was decided, if it is new.
    fn decide(&mut self, _step: Step, _measured: &[Measured]) -> Option<Decision> {
        None
    }

    /// The step at which the run ends, where that is decided along the way.
    fn end(&self) -> Option<u64> {
        None
    }

    /// Gets back, by their numbers, the batches that were held when the state that was loaded was saved.
    fn restore_held(&mut self, _batch: &mut dyn FnMut(u64) -> B) {}

    /// Whether gradients are taken somewhere else than at the model that is handed out. What normalisation layers saw is then
    /// not what they would see at that model, and its running statistics have to be computed anew before it is evaluated.
    fn trains_elsewhere(&self) -> bool {
        false
    }
}

/// A batch with its place in the training.
#[derive(Debug, Clone)]
pub struct Numbered<B> {
    /// Batches of the training before this one. Seeds are derived from it.
    pub number: u64,
    /// The examples.
    pub batch: B,
}

/// What happened with a batch.
#[derive(Debug, Clone, Default)]
pub struct StepReport {
    /// Mean loss of the batch before anything moved; over all ranks.
    pub loss: f64,
    /// ‖v‖ of the direction that this call formed; 0 where it formed none.
    pub norm: f64,
    /// Whether the weights moved.
    pub updated: bool,
    /// The learning rate of the update, where there was one: the factor on the direction.
    pub learning_rate: Option<f64>,
    /// The Euclidean length of the update, where it is known.
    pub step_length: Option<f64>,
    /// What the method is doing after this call.
    pub phase: Phase,
    /// Batches that make an update.
    pub batches_per_update: u64,
    /// The line that this call finished measuring.
    pub fit: Option<LineFit>,
    /// Why a line was not measured, or not used.
    pub refusal: Option<Refusal>,
    /// Why the method cannot go on: later calls would change nothing for the better.
    pub halt: Option<Halt>,
    /// Forward and backward passes of this call.
    pub passes: Passes,
    /// For the record.
    pub measured: Vec<Measured>,
}

/// What a method is doing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum Phase {
    /// Taking updates, or gathering batches for one.
    #[default]
    Training,
    /// Looking along a line.
    Measuring {
        /// Batches seen of those that it looks at.
        batches: u64,
    },
}

/// Loss and gradient of a batch.
#[derive(Debug, Clone)]
pub struct Evaluated {
    /// The loss on this rank.
    pub own_loss: f64,
    /// The mean loss over all ranks.
    pub loss: f64,
    /// The mean gradient over all ranks.
    pub gradient: ParamTensors,
}

/// Counted work, each over one mini-batch.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Passes {
    /// Forward passes, those of gradients among them.
    pub forward: u64,
    /// Backward passes.
    pub backward: u64,
}

impl std::ops::Sub for Passes {
    type Output = Self;

    fn sub(self, before: Self) -> Self {
        Self { forward: self.forward - before.forward, backward: self.backward - before.backward }
    }
}

impl std::ops::AddAssign for Passes {
    fn add_assign(&mut self, other: Self) {
        self.forward += other.forward;
        self.backward += other.backward;
    }
}

/// What a method sees beside the model and its batch. Losses and gradients are asked for here, so that they are counted
/// and are those of all ranks.
pub struct Context<'a, M, B> {
    oracle: &'a mut dyn LossOracle<M, B>,
    seed: u64,
    held_out: Option<&'a mut dyn FnMut() -> B>,
    reduce: Option<&'a mut dyn Reduce>,
    admit: Option<&'a mut dyn FnMut(f64) -> bool>,
    alone: OneRank,
    passes: Passes,
}

impl<'a, M: Module, B> Context<'a, M, B> {
    /// A context on one rank, without held-out batches. `seed` is the training's, for dropout masks.
    pub fn new(oracle: &'a mut dyn LossOracle<M, B>, seed: u64) -> Self {
        Self { oracle, seed, held_out: None, reduce: None, admit: None, alone: OneRank, passes: Passes::default() }
    }

    /// With a source of batches that are drawn apart from those that are trained on.
    #[must_use]
    pub fn with_held_out(mut self, held_out: &'a mut dyn FnMut() -> B) -> Self {
        self.held_out = Some(held_out);
        self
    }

    /// On one of several ranks.
    #[must_use]
    pub fn with_reduce(mut self, reduce: &'a mut dyn Reduce) -> Self {
        self.reduce = Some(reduce);
        self
    }

    /// With a say over whether a batch of this loss may move the weights.
    #[must_use]
    pub fn with_admission(mut self, admit: &'a mut dyn FnMut(f64) -> bool) -> Self {
        self.admit = Some(admit);
        self
    }

    /// The seed of every forward pass over the batch of that number, wherever on a line: a function of the training's seed
    /// and the number alone. `draw` tells batches apart that were drawn for one number; 0 is the batch itself.
    pub fn seed_of(&self, number: u64, draw: u64) -> u64 {
        pass_seed(self.seed, number, draw)
    }

    /// The next held-out batch, if there is a source of them.
    pub fn held_out(&mut self) -> Option<B> {
        self.held_out.as_mut().map(|draw| draw())
    }

    /// The mean loss of a batch on this rank. One forward pass.
    pub fn loss(&mut self, model: &M, batch: &B, seed: u64) -> f64 {
        self.passes.forward += 1;
        self.oracle.loss(model, batch, seed)
    }

    /// Loss and gradient of a batch; the gradient is `None` where the loss is not finite or is not admitted. One forward and one
    /// backward pass.
    pub fn loss_and_gradient(&mut self, model: &M, batch: &B, seed: u64) -> (f64, Option<ParamTensors>) {
        let Evaluated { loss, gradient, .. } = self.evaluate(model, batch, seed);
        let admitted = self.admit(loss);
        (loss, admitted.then_some(gradient))
    }

    /// Loss and gradient of a batch, whatever the loss; ask [`Context::admit`] before anything moves. One forward and one
    /// backward pass.
    pub fn evaluate(&mut self, model: &M, batch: &B, seed: u64) -> Evaluated {
        self.passes.forward += 1;
        self.passes.backward += 1;
        let (own_loss, mut gradient) = self.oracle.loss_and_gradient(model, batch, seed);
        let mut losses = [own_loss];
        self.reduce().mean_over_ranks(&mut losses);
        if self.reduce().num_ranks() > 1 {
            gradient = reduce_gradient(self.reduce(), gradient, &ParamLayout::of(model));
        }
        let [loss] = losses;
        Evaluated { own_loss, loss, gradient }
    }

    /// Whether a batch of this loss may move the weights.
    pub fn admit(&mut self, loss: f64) -> bool {
        // Asked in any case: whoever watches wants to see the loss that ends the run.
        let admitted = self.admit.as_mut().is_none_or(|admit| admit(loss));
        admitted && loss.is_finite()
    }

    /// The mean over ranks.
    pub fn reduce(&mut self) -> &mut dyn Reduce {
        match &mut self.reduce {
            Some(reduce) => *reduce,
            None => &mut self.alone,
        }
    }

    /// Whether losses are computed in numbers of less than 24 bits.
    pub fn is_short(&self) -> bool {
        self.oracle.is_short()
    }

    /// Passes since the context was made.
    pub fn passes(&self) -> Passes {
        self.passes
    }
}

/// [`Context::seed_of`] for a training of that seed.
pub(crate) fn pass_seed(training_seed: u64, number: u64, draw: u64) -> u64 {
    const ODD: u64 = 0x9E37_79B9_7F4A_7C15;
    RandomStream::new(training_seed.wrapping_add(draw.wrapping_mul(ODD)), number).next_word()
}
