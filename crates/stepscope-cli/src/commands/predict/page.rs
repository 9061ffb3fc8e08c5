//! The answer for people: what was asked, the verdict, the curve, the numbers with their meaning, advice.

use std::path::Path;

use stepscope_report::number::{count, significant, with_error};
use stepscope_report::{Align, Table};

use crate::commands::predict::answer::Answer;
use crate::commands::predict::chart::chart;
use crate::commands::predict::question::Question;
use crate::commands::predict::verdict::{signed, verdict};
use crate::wrap::wrap;

/// The page.
pub(super) fn render(question: &Question, answer: &Answer, plot: Option<&Path>) -> String {
    let mut parts = vec![format!("SGD on {}\n{}", question.source, question.settings())];
    parts.push(verdict(question, answer).iter().map(|line| wrap(line)).collect::<Vec<_>>().join("\n"));
    parts.push(chart(answer));
    parts.push(numbers(answer).to_string());
    if !question.asked.is_empty() {
        parts.push(losses(answer).to_string());
    }
    parts.extend(averages(answer).map(|table| table.to_string()));
    parts.extend(searched(answer).map(|table| table.to_string()));
    parts.extend(sampled(question, answer).map(|line| wrap(&line)));
    if !answer.warnings.is_empty() {
        let lines: Vec<String> = answer.warnings.iter().map(|warning| point(warning)).collect();
        parts.push(format!("Good to know\n{}", lines.join("\n")));
    }
    parts.extend(plot.map(|path| format!("Drawn in {}", path.display())));
    parts.retain(|part| !part.is_empty());
    parts.iter().map(|part| part.trim_end()).collect::<Vec<_>>().join("\n\n")
}

/// A point of a list; lines after the first are indented.
fn point(text: &str) -> String {
    wrap(&format!("- {text}")).replace('\n', "\n  ")
}

fn numbers(answer: &Answer) -> Table {
    let analysis = &answer.analysis;
    let mut rows: Vec<(&str, String, &str)> = vec![
        (
            "U(1)",
            significant(analysis.stability.noise_gain),
            "loss that gradient noise brings back for each unit; stable below 1",
        ),
        ("critical learning rate", significant(analysis.critical_learning_rate), "from here on the mean loss diverges"),
        (
            "limit of the largest mode",
            significant(analysis.stability.mode_limit),
            "the same without noise between modes",
        ),
        ("effective learning rate", significant(analysis.effective_learning_rate), "learning rate / (1 - momentum)"),
    ];
    if analysis.growth_per_step > 1.0 {
        rows.push((
            "growth per step",
            format!("{:.6}", analysis.growth_per_step),
            "factor of the mean loss in the long run",
        ));
    }
    if let Some(batch) = analysis.balanced_batch_size {
        rows.push(("balanced batch size", significant(batch), "larger batches buy no larger learning rate"));
    }
    if let Some(law) = &analysis.asymptotics {
        let term = |constant: f64, exponent: f64| format!("{} t^-{}", significant(constant), significant(exponent));
        rows.push(("signal term", term(law.signal_constant, law.signal_exponent), "what is still to be learned"));
        if let Some(constant) = law.noise_constant.filter(|constant| *constant > 0.0) {
            rows.push(("noise term", term(constant, law.noise_exponent), "what gradient noise keeps up"));
        }
        if let Some(time) = law.transition_time {
            rows.push(("transition step", significant(time), "where the two terms are equal"));
        }
    }
    if analysis.noise_floor > 0.0 {
        rows.push(("label-noise floor", significant(analysis.noise_floor), "loss that label noise keeps up for ever"));
    }
    if let Some(gain) = answer.optimum.as_ref().and_then(|best| best.doubling_gain) {
        rows.push(("one more batch doubling", significant(gain), "factor on the best loss after as many steps"));
    }
    let table = Table::new().column("number", Align::Left).column("value", Align::Right).column("meaning", Align::Left);
    rows.into_iter().fold(table, |table, (name, value, meaning)| table.row([name, value.as_str(), meaning]))
}

fn losses(answer: &Answer) -> Table {
    let table = Table::new().column("step", Align::Right).column("loss", Align::Right);
    let rows = answer.losses.times.iter().zip(&answer.losses.loss);
    rows.fold(table, |table, (&time, loss)| table.row([count(time), format!("{loss:.6e}")]))
}

fn averages(answer: &Answer) -> Option<Table> {
    let table = Table::new()
        .column("average", Align::Left)
        .column("step", Align::Right)
        .column("loss", Align::Right)
        .column("lower than the last weights by a factor", Align::Right);
    let mut rows = Vec::new();
    for average in &answer.averages {
        for ((&time, &loss), &gain) in average.times.iter().zip(&average.loss).zip(&average.gain) {
            rows.push([average.name.clone(), count(time), significant(loss), significant(gain)]);
        }
    }
    (!rows.is_empty()).then(|| rows.into_iter().fold(table, Table::row))
}

fn searched(answer: &Answer) -> Option<Table> {
    let best = answer.optimum.as_ref()?;
    if !best.batches.is_empty() {
        let titles = ["batch size", "steps", "learning rate", "momentum", "loss"];
        let table = titles.into_iter().fold(Table::new(), |table, title| table.column(title, Align::Right));
        return Some(best.batches.iter().fold(table, |table, row| {
            let numbers = [significant(row.learning_rate), signed(row.momentum), significant(row.loss)];
            table.row([count(row.batch_size), count(row.steps)].into_iter().chain(numbers))
        }));
    }
    let table = Table::new().column("schedule", Align::Left).column("peak", Align::Right);
    let table = table.column("warm-up", Align::Right).column("anneal", Align::Right).column("loss", Align::Right);
    (!best.families.is_empty()).then(|| {
        best.families.iter().fold(table, |table, row| {
            let part = |fraction: f64, power: f64| match fraction {
                0.0 => "none".to_owned(),
                _ => format!("{} ^ {}", significant(fraction), significant(power)),
            };
            let warmup = part(row.shape.warmup_fraction, row.shape.warmup_power);
            let anneal = part(row.shape.anneal_fraction, row.shape.anneal_power);
            table.row([row.family.to_owned(), significant(row.shape.peak), warmup, anneal, significant(row.loss)])
        })
    })
}

/// How the mean of the runs compares with the prediction, at the step where they differ most.
fn sampled(question: &Question, answer: &Answer) -> Option<String> {
    let (times, sampled) = answer.sampled.as_ref()?;
    let last = sampled.loss.len().checked_sub(1)?;
    let predicted = &answer.drawn;
    let mut worst = (0.0_f64, 0);
    for (index, time) in times.iter().enumerate() {
        let Ok(place) = predicted.times.binary_search(time) else { continue };
        let (mean, error) = (sampled.loss[index], sampled.standard_errors[index]);
        // All runs begin at the same loss: there the error is rounding.
        let z = (mean - predicted.loss[place]) / error;
        if z.is_finite() && error > 1e-9 * mean && z.abs() > worst.0.abs() {
            worst = (z, *time);
        }
    }
    Some(format!(
        "SGD itself, {} runs (seed {}): mean loss {} after {} steps, predicted {}; of {} drawn steps the largest \
         difference is {:.1} standard errors, at step {}.",
        count(sampled.runs),
        sampled.seed,
        with_error(sampled.loss[last], sampled.standard_errors[last]),
        count(question.steps),
        significant(answer.final_loss),
        times.len(),
        worst.0.abs(),
        count(worst.1)
    ))
}
