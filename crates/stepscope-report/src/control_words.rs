//! What a run's gauges and controller say of its learning rate, in words.

use stepscope_types::Verdict;
use stepscope_types::quantity::{self, CHORD_GAUGE, Quantity};

use crate::Run;
use crate::number::significant;

/// Decisions with their reasons, the verdict of the last gauges, and the estimates of what a cooldown removes, side by side. `None` for a run
/// that measured none of them.
pub(crate) fn about_control(run: &Run) -> Option<String> {
    let mut sentences: Vec<String> = run
        .decisions()
        .iter()
        .map(|(step, verdict, because)| {
            format!("At step {step} the controller decided to {}: {because}.", words(*verdict))
        })
        .collect();
    if sentences.is_empty() {
        sentences.extend(gauges(run));
    }
    sentences.extend(excess(run));
    (!sentences.is_empty()).then(|| sentences.join(" "))
}

fn words(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Raise => "keep the rate, which could be larger",
        Verdict::Keep => "keep the rate",
        Verdict::KeepAndAverage => "keep the rate and average for evaluation",
        Verdict::CoolDown => "cool down",
        Verdict::Stop => "stop",
    }
}

/// The last value of a quantity with its interval.
fn last(run: &Run, quantity: &Quantity) -> Option<(f64, (f64, f64))> {
    let (point, value) = run.series(quantity.name).last()?;
    Some((value, point.interval.unwrap_or((value, value))))
}

fn gauges(run: &Run) -> Option<String> {
    let (lag, (value, many)) = CHORD_GAUGE.iter().rev().find_map(|(lag, name)| Some((*lag, last(run, name)?)))?;
    let one =
        last(run, &quantity::ONE_STEP_GAUGE).or_else(|| last(run, &CHORD_GAUGE[0].1)).map(|(_, interval)| interval);
    let verdict = Verdict::of(one, Some(many))?;
    let advice = match verdict {
        Verdict::Raise => "a larger rate would descend faster",
        Verdict::Keep => "the loss still falls: keep the rate",
        Verdict::KeepAndAverage => {
            "single steps are dominated by noise but many together still descend: keep the rate, and evaluate an average"
        }
        Verdict::CoolDown | Verdict::Stop => "nothing descends at this rate any more: cool down or stop",
    };
    Some(format!(
        "The half-rate gauge over {lag} steps ended at {} [{}, {}]: {advice}.",
        significant(value),
        significant(many.0),
        significant(many.1)
    ))
}

fn excess(run: &Run) -> Option<String> {
    let estimates = [
        (&quantity::EXCESS_TWO_POINTS, "from the two-point curve"),
        (&quantity::EXCESS_NOISE, "from gradient noise"),
        (&quantity::EXCESS_REALISED, "removed by the change of the rate so far"),
    ];
    let one = |(quantity, name): (&'static Quantity, &str)| {
        let (value, (low, high)) = last(run, quantity)?;
        Some(format!("{} nat {name} [{}, {}]", significant(value), significant(low), significant(high)))
    };
    let found: Vec<String> = estimates.into_iter().filter_map(one).collect();
    (!found.is_empty()).then(|| format!("Loss that a cooldown removes: {}.", found.join("; ")))
}

#[cfg(test)]
mod tests {
    use stepscope_types::{Estimate, EventKind, EventRecord, Measurement, Record, Step, Uncertainty};

    use super::*;
    use crate::synthetic;

    fn measured(step: u64, quantity: &Quantity, value: f64) -> Record {
        let error = Uncertainty::Interval { low: value - 0.02, high: value + 0.02, level: 0.95 };
        Record::Measurement(Measurement::new(
            Step(step),
            0.0,
            quantity.name,
            Estimate::new(value, quantity.unit, error).into(),
        ))
    }

    #[test]
    fn gauges_give_a_verdict_and_the_estimates_stand_side_by_side() {
        let records = vec![
            measured(10, &CHORD_GAUGE[0].1, 0.5),
            measured(10, &CHORD_GAUGE[4].1, 0.7),
            measured(10, &quantity::EXCESS_TWO_POINTS, 0.25),
            measured(10, &quantity::EXCESS_NOISE, 0.21),
        ];
        let words = about_control(&Run::from_records(synthetic::manifest("run", 0.1), records)).unwrap();
        assert!(words.contains("over 100 steps ended at 0.7") && words.contains("evaluate an average"), "{words}");
        assert!(
            words.contains("0.250 nat from the two-point curve [0.230, 0.270]; 0.210 nat from gradient noise"),
            "{words}"
        );
        assert_eq!(about_control(&Run::from_records(synthetic::manifest("run", 0.1), Vec::new())), None);
    }

    #[test]
    fn decisions_are_told_with_their_reasons() {
        let kind = EventKind::Decided { verdict: Verdict::CoolDown, because: "v is 0.49".to_owned() };
        let event = Record::Event(EventRecord { step: Step(40), epoch: 1.0, kind, timing: None });
        let words = about_control(&Run::from_records(synthetic::manifest("run", 0.1), vec![event])).unwrap();
        assert_eq!(words, "At step 40 the controller decided to cool down: v is 0.49.");
    }
}
