//! The answer for programs.

use std::io::{BufWriter, Write};

use serde::Serialize;
use stepscope::predict::{BatchRow, FamilyRow};
use stepscope::theory::{Regime, Sampling};

use crate::commands::predict::answer::Answer;
use crate::commands::predict::question::Question;
use crate::failure::Failure;

/// The name of a regime in results.
pub(super) fn regime_name(regime: Regime) -> &'static str {
    match regime {
        Regime::ImmediateDivergence => "immediate-divergence",
        Regime::EventualDivergence => "eventual-divergence",
        Regime::SignalDominated => "signal-dominated",
        Regime::NoiseDominated => "noise-dominated",
        Regime::NotAPowerLaw => "not-a-power-law",
    }
}

/// Numbers that are not finite are `null`: an overflown loss, a U(1) past the limit of a mode.
#[derive(Serialize)]
struct Document<'a> {
    /// The asked times; `null` where the losses are those of t = 0, 1, ..., T.
    at: Option<&'a [u64]>,
    loss: &'a [f64],
    u1: f64,
    stable: bool,
    growth_per_step: f64,
    regime: &'static str,
    exponents: Option<Terms>,
    constants: Option<Terms>,
    transition_step: Option<f64>,
    critical_learning_rate: f64,
    effective_learning_rate: f64,
    label_noise_floor: f64,
    averages: Vec<AverageDocument<'a>>,
    optimum: Option<OptimumDocument>,
    monte_carlo: Option<MonteCarloDocument<'a>>,
    method: MethodDocument,
    warnings: &'a [String],
}

/// One number for each term of C_s t^−ζ + C_n t^−(2−1/ν).
#[derive(Serialize)]
struct Terms {
    signal: f64,
    noise: Option<f64>,
}

#[derive(Serialize)]
struct AverageDocument<'a> {
    average: &'a str,
    at: &'a [u64],
    loss: &'a [f64],
    gain: &'a [f64],
}

#[derive(Serialize)]
struct OptimumDocument {
    learning_rate: f64,
    momentum: f64,
    batch_size: Option<u64>,
    examples: Option<u64>,
    steps: u64,
    loss: f64,
    gain: f64,
    batch_doubling_gain: Option<f64>,
    schedule: Option<FamilyDocument>,
    schedules: Vec<FamilyDocument>,
    batch_sizes: Vec<BatchDocument>,
}

#[derive(Serialize)]
struct FamilyDocument {
    family: &'static str,
    peak: f64,
    warmup_fraction: f64,
    warmup_power: f64,
    anneal_fraction: f64,
    anneal_power: f64,
    loss: f64,
    converged: bool,
}

#[derive(Serialize)]
struct BatchDocument {
    batch_size: u64,
    steps: u64,
    learning_rate: f64,
    momentum: f64,
    loss: f64,
}

/// At the times of the losses.
#[derive(Serialize)]
struct MonteCarloDocument<'a> {
    runs: u64,
    seed: u64,
    loss: &'a [f64],
    standard_errors: &'a [f64],
}

#[derive(Serialize)]
struct MethodDocument {
    name: &'static str,
    num_nodes: usize,
    relative_error: f64,
}

/// Prints the answer as it is made, so that a long curve is in memory once.
pub(super) fn print(question: &Question, answer: &Answer) -> Result<(), Failure> {
    let mut out = BufWriter::new(std::io::stdout().lock());
    serde_json::to_writer_pretty(&mut out, &document(question, answer))
        .map_err(std::io::Error::from)
        .and_then(|()| writeln!(out))
        .and_then(|()| out.flush())
        .map_err(Failure::failed)
}

fn document<'a>(question: &Question, answer: &'a Answer) -> Document<'a> {
    let analysis = &answer.analysis;
    let asymptotics = analysis.asymptotics.as_ref();
    let law = analysis.law.filter(|law| law.eigenvalue_exponent > 1.0);
    let average = |average: &'a super::answer::AverageLosses| AverageDocument {
        average: &average.name,
        at: &average.times,
        loss: &average.loss,
        gain: &average.gain,
    };
    Document {
        at: (!question.asked.is_empty()).then_some(&answer.losses.times),
        loss: &answer.losses.loss,
        u1: analysis.stability.noise_gain,
        stable: analysis.stability.is_stable(),
        growth_per_step: analysis.growth_per_step,
        regime: regime_name(analysis.regime),
        exponents: law
            .map(|law| Terms { signal: law.decay_exponent(), noise: Some(2.0 - 1.0 / law.eigenvalue_exponent) }),
        constants: asymptotics.map(|law| Terms { signal: law.signal_constant, noise: law.noise_constant }),
        transition_step: asymptotics.and_then(|law| law.transition_time),
        critical_learning_rate: analysis.critical_learning_rate,
        effective_learning_rate: analysis.effective_learning_rate,
        label_noise_floor: analysis.noise_floor,
        averages: answer.averages.iter().map(average).collect(),
        optimum: optimum(question, answer),
        monte_carlo: answer.sampled.as_ref().map(|(_, sampled)| MonteCarloDocument {
            runs: sampled.runs,
            seed: sampled.seed,
            loss: &sampled.loss,
            standard_errors: &sampled.standard_errors,
        }),
        method: MethodDocument {
            name: answer.method,
            num_nodes: answer.num_nodes,
            relative_error: answer.relative_error,
        },
        warnings: &answer.warnings,
    }
}

fn optimum(question: &Question, answer: &Answer) -> Option<OptimumDocument> {
    let found = answer.optimum.as_ref()?;
    let examples = match question.problem.sampling {
        Sampling::Finite { num_examples } => Some(num_examples),
        Sampling::Stream => None,
    };
    let batch = |row: &BatchRow| {
        let BatchRow { batch_size, steps, learning_rate, momentum, loss } = *row;
        BatchDocument { batch_size, steps, learning_rate, momentum, loss }
    };
    Some(OptimumDocument {
        learning_rate: found.learning_rate,
        momentum: found.momentum,
        batch_size: found.batch_size,
        examples,
        steps: found.steps,
        loss: found.loss,
        gain: answer.final_loss / found.loss,
        batch_doubling_gain: found.doubling_gain,
        schedule: found.schedule.as_ref().map(family),
        schedules: found.families.iter().map(family).collect(),
        batch_sizes: found.batches.iter().map(batch).collect(),
    })
}

fn family(row: &FamilyRow) -> FamilyDocument {
    FamilyDocument {
        family: row.family,
        peak: row.shape.peak,
        warmup_fraction: row.shape.warmup_fraction,
        warmup_power: row.shape.warmup_power,
        anneal_fraction: row.shape.anneal_fraction,
        anneal_power: row.shape.anneal_power,
        loss: row.loss,
        converged: row.converged,
    }
}
