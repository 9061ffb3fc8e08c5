//! A run on the host, and what it is judged on.

use burn::module::Module;
use stepscope::backend::Backend;
use stepscope::data::{Batch, Dataset, Sampler, WithReplacement};
use stepscope::measure::{BatchSource, Objective};
use stepscope::models::{Model, ParamLayout};
use stepscope::spectral::random::RandomStream;
use stepscope::types::BatchSize;

use crate::{EXAMPLES, Failure};

/// Examples a batch.
pub(crate) const BATCH: u64 = 32;
const WEIGHT_DECAY: f64 = 5e-4;
/// Test examples that accuracies are taken over, at most.
const TEST_EXAMPLES: usize = 2000;

/// A network, its data, and the losses over them.
pub(crate) struct Problem<'a> {
    dataset: &'a Dataset,
    backend: &'a Backend,
    pub(crate) network: &'a Model,
    pub(crate) layout: &'a ParamLayout,
    seed: u64,
    full: Objective,
    test: Objective,
}

impl<'a> Problem<'a> {
    pub(crate) fn new(
        dataset: &'a Dataset,
        backend: &'a Backend,
        network: &'a Model,
        layout: &'a ParamLayout,
        seed: u64,
    ) -> Self {
        let tested: Vec<u32> = (0..dataset.test.num_examples().min(TEST_EXAMPLES) as u32).collect();
        let test = Objective::new(&dataset.test, dataset.shape, &tested, &backend.tracked(), backend.dtype());
        let full = examples(dataset, backend, seed);
        Self { dataset, backend, network, layout, seed, full, test }
    }

    /// The examples of the full loss: a random subset of the training set.
    pub(crate) fn examples(&self) -> Objective {
        examples(self.dataset, self.backend, self.seed)
    }

    /// Batches for a probe.
    pub(crate) fn batches(&self, name: &str) -> BatchSource<'a> {
        let random = RandomStream::named(self.seed, name);
        BatchSource::new(self.dataset, BATCH, self.backend.tracked(), self.backend.dtype(), random)
    }

    pub(crate) fn at(&self, theta: &[f64]) -> Model {
        self.layout.assign(self.network.clone(), theta)
    }

    /// The full loss.
    pub(crate) fn loss(&self, theta: &[f64]) -> Result<f64, Failure> {
        Ok(self.full.mean_loss(&self.at(theta).no_grad())?)
    }

    pub(crate) fn full_gradient(&self, theta: &[f64]) -> Result<Vec<f64>, Failure> {
        Ok(self.full.loss_and_gradient(&self.at(theta), self.layout)?.1)
    }

    pub(crate) fn test_accuracy(&self, theta: &[f64]) -> f64 {
        self.test.evaluate(&self.at(theta).no_grad()).accuracy()
    }
}

fn examples(dataset: &Dataset, backend: &Backend, seed: u64) -> Objective {
    let mut indices: Vec<u32> = (0..dataset.train.num_examples() as u32).collect();
    RandomStream::named(seed, "examples").shuffle(&mut indices);
    indices.truncate(EXAMPLES);
    Objective::new(&dataset.train, dataset.shape, &indices, &backend.tracked(), backend.dtype())
}

/// Heavy ball in f64, with coupled weight decay.
pub(crate) struct Trainer<'a> {
    pub(crate) problem: &'a Problem<'a>,
    sampler: WithReplacement,
    pub(crate) momentum: f64,
    pub(crate) steps: u64,
    pub(crate) theta: Vec<f64>,
    velocity: Vec<f64>,
    /// Of the last batch, without decay.
    pub(crate) gradient: Vec<f64>,
}

impl<'a> Trainer<'a> {
    pub(crate) fn new(problem: &'a Problem<'a>, momentum: f64, seed: u64) -> Result<Self, Failure> {
        let theta = problem.layout.values(problem.network);
        Ok(Self {
            problem,
            sampler: sampler(problem, seed)?,
            momentum,
            steps: 0,
            velocity: vec![0.0; theta.len()],
            gradient: vec![0.0; theta.len()],
            theta,
        })
    }

    pub(crate) fn step(&mut self, rate: f64) -> Result<(), Failure> {
        let Problem { dataset, backend, layout, .. } = *self.problem;
        let indices = self.sampler.next_batch();
        let batch = Batch::gather(&dataset.train, dataset.shape, indices, &backend.tracked(), backend.dtype());
        self.gradient = Objective::of_batch(batch).loss_and_gradient(&self.problem.at(&self.theta), layout)?.1;
        for ((theta, v), g) in self.theta.iter_mut().zip(&mut self.velocity).zip(&self.gradient) {
            *v = self.momentum * *v + g + WEIGHT_DECAY * *theta;
            *theta -= rate * *v;
        }
        self.steps += 1;
        Ok(())
    }

    /// The same state, which draws other batches from here on.
    pub(crate) fn branch(&self, seed: u64) -> Result<Self, Failure> {
        Ok(Self {
            sampler: sampler(self.problem, seed)?,
            theta: self.theta.clone(),
            velocity: self.velocity.clone(),
            gradient: self.gradient.clone(),
            ..*self
        })
    }
}

fn sampler(problem: &Problem<'_>, seed: u64) -> Result<WithReplacement, Failure> {
    Ok(WithReplacement::new(problem.dataset.train.num_examples(), BatchSize::new(BATCH)?, seed)?)
}

pub(crate) fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

pub(crate) fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len().max(1) as f64
}

pub(crate) fn middle(a: &[f64], b: &[f64]) -> Vec<f64> {
    a.iter().zip(b).map(|(a, b)| 0.5 * (a + b)).collect()
}

pub(crate) fn distance(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| (a - b) * (a - b)).sum::<f64>().sqrt()
}

/// The mean of the latest iterates, or an exponential one.
pub(crate) enum Average {
    Ema { half_life: u64, value: Vec<f64> },
    Window { length: usize, latest: std::collections::VecDeque<Vec<f64>> },
}

impl Average {
    pub(crate) fn ema(half_life: u64, theta: &[f64]) -> Self {
        Self::Ema { half_life, value: theta.to_vec() }
    }

    pub(crate) fn window(length: usize) -> Self {
        Self::Window { length, latest: std::collections::VecDeque::new() }
    }

    pub(crate) fn name(&self) -> String {
        match self {
            Self::Ema { half_life, .. } => format!("ema/{half_life}"),
            Self::Window { length, .. } => format!("window/{length}"),
        }
    }

    pub(crate) fn take(&mut self, theta: &[f64]) {
        match self {
            Self::Ema { half_life, value } => {
                let keep = (-std::f64::consts::LN_2 / *half_life as f64).exp();
                value.iter_mut().zip(theta).for_each(|(value, theta)| *value = keep * *value + (1.0 - keep) * theta);
            }
            Self::Window { length, latest } => {
                latest.push_back(theta.to_vec());
                if latest.len() > *length {
                    latest.pop_front();
                }
            }
        }
    }

    pub(crate) fn value(&self) -> Vec<f64> {
        match self {
            Self::Ema { value, .. } => value.clone(),
            Self::Window { latest, .. } => {
                let mut mean = vec![0.0; latest.front().map_or(0, Vec::len)];
                for theta in latest {
                    mean.iter_mut().zip(theta).for_each(|(sum, value)| *sum += value / latest.len() as f64);
                }
                mean
            }
        }
    }
}
