//! The words that come first: stable or not, which regime, where the loss ends, what to change.

use stepscope::theory::{Asymptotics, Regime};
use stepscope_report::number::{count, percent, significant};

use crate::commands::predict::answer::Answer;
use crate::commands::predict::question::Question;

/// Share of the critical learning rate that the largest mode sets alone; above it the batch size cannot help.
const MODE_BOUND: f64 = 0.999;
/// Gain below which a better learning rate is not worth a word.
const WORTH_SAYING: f64 = 1.02;

/// One paragraph a line.
pub(super) fn verdict(question: &Question, answer: &Answer) -> Vec<String> {
    let mut lines = vec![stability(answer), regime(answer)];
    let start = question.problem.model.initial_loss();
    let loss = match answer.final_loss {
        loss if loss.is_finite() => significant(loss),
        _ => "beyond floating point".to_owned(),
    };
    let error = match answer.relative_error {
        0.0 => String::new(),
        error => format!(" (to {error:.0e} of itself: {} on {} nodes)", answer.method, answer.num_nodes),
    };
    lines.push(format!("Loss after {} steps: {loss}{error}, from {}.", count(question.steps), significant(start)));
    lines.extend(advice(answer));
    lines
}

fn stability(answer: &Answer) -> String {
    let analysis = &answer.analysis;
    let critical = significant(analysis.critical_learning_rate);
    let share = analysis.stability.learning_rate / analysis.critical_learning_rate;
    if analysis.stability.is_stable() {
        let gain = significant(analysis.stability.noise_gain);
        return format!(
            "STABLE: the learning rate is {} of the critical {critical}; U(1) = {gain}, its limit is 1.",
            percent(share)
        );
    }
    let growth = match analysis.growth_per_step - 1.0 {
        growth if growth < 10.0 => format!("{} a step", percent(growth)),
        _ => format!("a factor {} a step", significant(analysis.growth_per_step)),
    };
    let remedy = if analysis.critical_learning_rate > MODE_BOUND * analysis.stability.mode_limit {
        "The largest eigenvalue sets that limit: more momentum raises it, a larger batch does not."
    } else {
        "Gradient noise sets that limit: a larger batch raises it."
    };
    format!(
        "UNSTABLE: the mean loss grows by {growth} in the long run. Lower the learning rate below {critical}. {remedy}"
    )
}

fn regime(answer: &Answer) -> String {
    let analysis = &answer.analysis;
    match (analysis.regime, &analysis.asymptotics) {
        (Regime::NotAPowerLaw, _) => {
            "NO POWER LAW: the spectrum follows none, so the curve has no exponent; the numbers below hold all the same.".to_owned()
        }
        (Regime::ImmediateDivergence, _) => {
            "IMMEDIATE DIVERGENCE: with ever more modes the first step already diverges; only the end of the spectrum keeps it finite."
                .to_owned()
        }
        (Regime::EventualDivergence, _) => {
            "EVENTUAL DIVERGENCE: with ever more modes the loss falls first and then grows, at any learning rate.".to_owned()
        }
        (regime, Some(law)) => decay(regime, law),
        (Regime::SignalDominated, None) => "SIGNAL-DOMINATED, once it is stable.".to_owned(),
        (Regime::NoiseDominated, None) => "NOISE-DOMINATED, once it is stable.".to_owned(),
    }
}

fn decay(regime: Regime, law: &Asymptotics) -> String {
    let exponent = significant(law.exponent());
    if regime == Regime::SignalDominated {
        return format!(
            "SIGNAL-DOMINATED: in the long run the loss falls like step^-{exponent}, as full-batch descent does; noise costs a factor {}.",
            significant(1.0 / (1.0 - law.noise_gain))
        );
    }
    let from = match law.transition_time {
        Some(time) if time >= 1.0 => format!(", from about step {} on", count(time.round() as u64)),
        _ => String::new(),
    };
    format!("NOISE-DOMINATED: in the long run gradient noise sets the loss, which falls like step^-{exponent}{from}.")
}

fn advice(answer: &Answer) -> Option<String> {
    if let Some(best) = &answer.optimum {
        let mut text =
            format!("BEST: learning rate {}, momentum {}", significant(best.learning_rate), signed(best.momentum));
        if let Some(batch) = best.batch_size {
            text += &format!(", batch size {}", count(batch));
        }
        if let Some(schedule) = &best.schedule {
            let shape = &schedule.shape;
            text += &format!(", schedule {}", schedule.family);
            if shape.warmup_fraction > 0.0 {
                text += &format!(
                    ", warm-up over {} (power {})",
                    percent(shape.warmup_fraction),
                    significant(shape.warmup_power)
                );
            }
            if shape.anneal_fraction > 0.0 {
                text += &format!(
                    ", anneal over {} (power {})",
                    percent(shape.anneal_fraction),
                    significant(shape.anneal_power)
                );
            }
        }
        let (steps, gain) = (count(best.steps), significant(answer.final_loss / best.loss));
        return Some(format!("{text}: loss {} after {steps} steps, {gain} times lower.", significant(best.loss)));
    }
    let (rate, loss) = answer.hint?;
    let gain = answer.final_loss / loss;
    let is_lower = rate < answer.analysis.stability.learning_rate;
    if gain <= WORTH_SAYING && answer.final_loss.is_finite() {
        return Some(
            "NOTHING TO GAIN: no other constant learning rate is more than 2 % better at this step.".to_owned(),
        );
    }
    let is_stable = answer.analysis.stability.is_stable();
    let gain =
        if gain.is_finite() && is_stable { format!(", {} times lower", significant(gain)) } else { String::new() };
    let direction = if is_lower { "LOWER" } else { "RAISE" };
    Some(format!("{direction} the learning rate to {}: loss {}{gain}.", significant(rate), significant(loss)))
}

/// As [`significant`]; momentum may be negative.
pub(super) fn signed(value: f64) -> String {
    if value < 0.0 { format!("-{}", significant(-value)) } else { significant(value) }
}
