//! The coming step's batch and gradient, lent to probes and taken back by the step.

use std::cell::{Cell, OnceCell, RefCell};
use std::time::Instant;

use super::run_loop::TrainingLoop;
use crate::control::{LossOracle, NetworkOracle};
use crate::data::Batch;
use crate::measure::ComingStep;
use crate::models::{InMode, Network, ParamTensors};

/// A batch that was drawn before its step, with the oracle that may have evaluated it already.
#[derive(Debug)]
pub(super) struct Drawn {
    pub(super) batch: Batch,
    pub(super) oracle: NetworkOracle,
}

/// What probes see of the coming step.
#[derive(Debug)]
pub(super) struct Lender<'n, N> {
    network: &'n N,
    batch: Batch,
    /// Of the step's own pass.
    seed: u64,
    oracle: RefCell<NetworkOracle>,
    found: OnceCell<(f64, ParamTensors)>,
    seconds: Cell<f64>,
}

impl<'n, N: Network> Lender<'n, N> {
    /// Lends the step at `network` over the batch, whose pass the training seeds with `seed`.
    pub(super) fn new(network: &'n N, Drawn { batch, oracle }: Drawn, seed: u64) -> Self {
        Self { network, batch, seed, oracle: RefCell::new(oracle), found: OnceCell::new(), seconds: Cell::new(0.0) }
    }

    /// Seconds that went into what the step takes over: they are none of a reading's.
    pub(super) fn seconds(&self) -> f64 {
        self.seconds.get()
    }

    /// What the step is to go on with.
    pub(super) fn take_back(self) -> Drawn {
        let mut oracle = self.oracle.into_inner();
        if let Some((loss, gradient)) = self.found.into_inner() {
            oracle.remember(self.seed, loss, gradient);
        }
        Drawn { batch: self.batch, oracle }
    }
}

impl<N: Network> TrainingLoop<'_, N> {
    /// The batch of the coming step, and what will evaluate it.
    pub(super) fn draw(&mut self) -> Drawn {
        let oracle = NetworkOracle::default()
            .in_micro_batches(self.micro_batch_size)
            .with_products_in(self.product_dtype)
            .with_narrow_losses(self.narrow_losses);
        Drawn { batch: self.loader.next_batch(&self.device, self.dtype), oracle }
    }
}

impl<N: Network> ComingStep<InMode<N>> for Lender<'_, N> {
    fn num_examples(&self) -> usize {
        self.batch.len()
    }

    fn loss_and_gradient(&self) -> (f64, ParamTensors) {
        let evaluate = || {
            let started = Instant::now();
            let found = self.oracle.borrow_mut().loss_and_gradient(self.network, &self.batch, self.seed);
            self.seconds.set(started.elapsed().as_secs_f64());
            found
        };
        self.found.get_or_init(evaluate).clone()
    }

    fn loss(&self, network: &InMode<N>) -> f64 {
        self.oracle.borrow_mut().loss(network, &self.batch, self.seed)
    }
}
