//! The runs of the quickstart.

use stepscope::train::{Due, Plan};
use stepscope::types::spec::LearningRateSpec;
use stepscope::types::{LearningRate, RunSpec, Seeds};

/// Name of the run whose learning rate was set well by hand.
pub(super) const GOOD: &str = "good";
/// Name of the predicted run.
pub(super) const PREDICTED: &str = "good-predicted";

/// Three learning rates set by hand - too small, good, past the stability limit - and one that is measured, all with the
/// same seeds, so that they differ in nothing else.
pub(super) fn specs(data: &str, seed: u64) -> Vec<RunSpec> {
    let spec = |name: &str, learning_rate: LearningRateSpec| {
        let mut spec = RunSpec::with_learning_rate(learning_rate);
        name.clone_into(&mut spec.name);
        data.clone_into(&mut spec.data.name);
        // Under a minute in all: it is begun again, not gone on with.
        spec.checkpoint.enabled = false;
        spec.seeds = Seeds::from_root(seed);
        spec
    };
    let by_hand = [("too-small", 0.01), (GOOD, 0.1), ("too-large", 2.0)];
    let mut specs: Vec<RunSpec> = by_hand
        .into_iter()
        .filter_map(|(name, rate)| Some(spec(name, LearningRateSpec::Fixed(LearningRate::new(rate).ok()?))))
        .collect();
    specs.push(spec("measured", LearningRateSpec::Measured));
    specs
}

/// When the quadratics are measured that forecast the next stretch: at every other reading from the second on, when the
/// first fast change is over.
pub(super) fn forecast_from(lengths: &Plan) -> Due {
    Due::From { start: lengths.measure_every, every: 2 * lengths.measure_every }
}
