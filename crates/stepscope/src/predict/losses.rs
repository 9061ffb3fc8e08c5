//! Losses by the quickest way that is accurate enough: which rung of the ladder answers, and with what error.

use stepscope_theory::{Prediction, QuadraticModel, Schedule, Sgd, Stability, TalbotRefusal, TheoryError, Warning};

use super::advice::PredictAdvice;
use super::settings::SettingsPlan;

/// Nodes times steps up to which every mode is stepped: about a second.
const DIRECT_WORK: f64 = 1.5e9;
/// Nodes times steps beyond which bins are not made finer: some ten seconds.
const LARGEST_WORK: f64 = 1.2e10;
/// A contour integral costs about as much as this many steps of every node.
const CONTOUR_STEPS: f64 = 1000.0;
/// Bins per decade to begin with.
const FIRST_RESOLUTION: u32 = 16;
/// Bins per decade at which refining ends.
const LAST_RESOLUTION: u32 = 512;
/// Times at which contours compare two resolutions.
const NUM_CHECKS: u64 = 16;

/// How losses were computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// The second moments of every mode, stepped: exact.
    Recursion,
    /// The same on log-bins of the spectrum.
    BinnedRecursion,
    /// A contour integral for each time, on log-bins.
    BinnedContour,
}

impl Method {
    /// Its name in results.
    pub fn name(self) -> &'static str {
        match self {
            Self::Recursion => "recursion",
            Self::BinnedRecursion => "binned-recursion",
            Self::BinnedContour => "binned-contour",
        }
    }
}

/// Losses with how they were found.
#[derive(Debug, Clone, PartialEq)]
pub struct PredictedLosses {
    /// E L at each of the times asked for, in the order asked.
    pub loss: Vec<f64>,
    /// The rung that answered.
    pub method: Method,
    /// Nodes that stood for the spectrum.
    pub num_nodes: usize,
    /// Largest relative error at the asked times, from comparing two resolutions; 0 where every mode was stepped.
    pub relative_error: f64,
    /// What the theory has to say.
    pub warnings: Vec<Warning>,
    /// What this choice has to say.
    pub advice: Option<PredictAdvice>,
}

/// E L at `times` under `plan`, to `relative_accuracy`.
///
/// | when | answered by | error |
/// |---|---|---|
/// | modes × steps ≤ 1.5e9 | recursion over every mode | rounding |
/// | few times, constant stable settings | Talbot's contour on bins; times it refuses by the recursion | two resolutions compared |
/// | else | recursion on bins | two resolutions compared |
///
/// Bins are refined until the error is below `relative_accuracy`, or until that would take more than about ten seconds.
/// Source: `loss-prediction`, section 2.
///
/// ```
/// use stepscope::predict::{SettingsPlan, parse_power_law, predict_losses};
/// use stepscope::theory::{Closure, Sgd};
/// let model = parse_power_law("nu=1.5,kappa=3,modes=100000")?.model(Closure::INTERPOLATING)?;
/// let plan = SettingsPlan::Constant(Sgd::from_numbers(0.1, 0.0, 1.0)?);
/// let late = predict_losses(&model, &plan, &[1_000_000], 1e-3)?;
/// assert_eq!(late.method.name(), "binned-contour");
/// assert!(late.relative_error < 1e-3);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// [`TheoryError`] for settings out of range and times that no rung reaches.
pub fn predict_losses(
    model: &QuadraticModel,
    plan: &SettingsPlan,
    times: &[u64],
    relative_accuracy: f64,
) -> Result<PredictedLosses, TheoryError> {
    let steps = times.iter().copied().max().unwrap_or(0);
    let work = model.num_modes() as f64 * steps as f64;
    if work <= DIRECT_WORK {
        return Ok(answer(model.loss_at(plan, times)?, Method::Recursion, model.num_modes(), 0.0));
    }
    let stable = plan.constant().filter(|sgd| Stability::of(model, sgd).is_stable());
    let mut found = match stable {
        Some(sgd) if times.len() as f64 * CONTOUR_STEPS < steps as f64 => {
            let evaluate = |model: &QuadraticModel| model.loss_at_talbot(&sgd, times);
            refine(model, relative_accuracy, Method::BinnedContour, evaluate)?
        }
        Some(sgd) => match checked_resolution(model, &sgd, steps, relative_accuracy)? {
            Some((resolution, error)) => {
                let bins = model.binned(resolution)?;
                answer(bins.loss_at(&sgd, times)?, Method::BinnedRecursion, bins.num_modes(), error)
            }
            None => refine(model, relative_accuracy, Method::BinnedRecursion, |model| model.loss_at(&sgd, times))?,
        },
        None => refine(model, relative_accuracy, Method::BinnedRecursion, |model| model.loss_at(plan, times))?,
    };
    if found.relative_error > relative_accuracy {
        let relative_error = found.relative_error;
        found.advice = Some(PredictAdvice::BinsTooCoarse { relative_error, asked: relative_accuracy });
    }
    Ok(found)
}

fn answer(prediction: Prediction, method: Method, num_nodes: usize, relative_error: f64) -> PredictedLosses {
    let Prediction { loss, warnings, .. } = prediction;
    PredictedLosses { loss, method, num_nodes, relative_error, warnings, advice: None }
}

/// Doubles the resolution until it changes little, or until it takes too long. The error is of order 2 in the bin width, so
/// that of the finer of two is a third of their difference.
fn refine(
    model: &QuadraticModel,
    accuracy: f64,
    method: Method,
    evaluate: impl Fn(&QuadraticModel) -> Result<Prediction, TheoryError>,
) -> Result<PredictedLosses, TheoryError> {
    let mut resolution = FIRST_RESOLUTION;
    let mut coarse = evaluate(&model.binned(resolution)?)?;
    loop {
        resolution *= 2;
        let bins = model.binned(resolution)?;
        let fine = evaluate(&bins)?;
        let error = largest_change(&coarse.loss, &fine.loss) / 3.0;
        let next_work = 2.0 * bins.num_modes() as f64 * stepped(&fine, method) as f64;
        if error <= accuracy || next_work > LARGEST_WORK || resolution >= LAST_RESOLUTION {
            return Ok(answer(fine, method, bins.num_modes(), error));
        }
        coarse = fine;
    }
}

/// How far the recursion had to go.
fn stepped(prediction: &Prediction, method: Method) -> u64 {
    let replaced = |warning: &Warning| match warning {
        Warning::TalbotReplaced { time, .. } => Some(*time),
        _ => None,
    };
    match method {
        Method::BinnedContour => prediction.warnings.iter().filter_map(replaced).max().unwrap_or(0),
        _ => prediction.times.iter().copied().max().unwrap_or(0),
    }
}

/// The coarsest resolution that contours find accurate enough, and its error: so that the long recursion runs once.
///
/// `None` where the contour does not reach the last step, as after the end of a finite spectrum.
fn checked_resolution(
    model: &QuadraticModel,
    sgd: &Sgd,
    steps: u64,
    accuracy: f64,
) -> Result<Option<(u32, f64)>, TheoryError> {
    let first = (400.0 / (1.0 - sgd.momentum.abs())).min(steps as f64);
    let ratio = (steps as f64 / first).powf(1.0 / NUM_CHECKS as f64);
    let times: Vec<u64> = (0..=NUM_CHECKS).map(|k| (first * ratio.powi(k as i32)) as u64).collect();
    let disagrees = |prediction: &Prediction| {
        let refused = |warning: &Warning| {
            matches!(warning, Warning::TalbotReplaced { reason: TalbotRefusal::ContoursDisagree, .. })
        };
        prediction.warnings.iter().any(refused)
    };
    // A coarse model first: where the contour fails, the recursion that replaces it costs little.
    if disagrees(&model.binned(2)?.loss_at_talbot(sgd, &[steps])?) {
        return Ok(None);
    }
    let mut resolution = FIRST_RESOLUTION;
    let mut coarse = model.binned(resolution)?.loss_at_talbot(sgd, &times)?;
    while resolution < LAST_RESOLUTION {
        let fine = model.binned(2 * resolution)?.loss_at_talbot(sgd, &times)?;
        if disagrees(&coarse) || disagrees(&fine) {
            return Ok(None);
        }
        let error = largest_change(&coarse.loss, &fine.loss) * 4.0 / 3.0;
        if error <= accuracy {
            return Ok(Some((resolution, error)));
        }
        resolution *= 2;
        coarse = fine;
    }
    Ok(None)
}

/// Largest relative difference; equal infinities differ by nothing.
fn largest_change(coarse: &[f64], fine: &[f64]) -> f64 {
    let change = |(a, b): (&f64, &f64)| if a == b { 0.0 } else { (a / b - 1.0).abs() };
    coarse.iter().zip(fine).map(change).fold(0.0, f64::max)
}

#[cfg(test)]
mod tests {
    use stepscope_theory::{Closure, PowerLaw};

    use super::*;

    /// A spectrum of few modes, so that every way can be compared with stepping all of them.
    fn case() -> (QuadraticModel, Sgd) {
        let model = PowerLaw::new(1.5, 1.0, 4000.0).unwrap().model(Closure::INTERPOLATING).unwrap();
        (model, Sgd::from_numbers(0.2, 0.3, 0.5).unwrap())
    }

    #[test]
    fn the_stated_error_of_bins_is_the_true_one_or_more() {
        let (model, sgd) = case();
        let times = [10, 300, 3000, 20_000];
        let exact = model.loss_at(&sgd, &times).unwrap();
        for accuracy in [1e-2, 1e-3, 1e-4] {
            let stepped =
                refine(&model, accuracy, Method::BinnedRecursion, |model| model.loss_at(&sgd, &times)).unwrap();
            let contour =
                refine(&model, accuracy, Method::BinnedContour, |model| model.loss_at_talbot(&sgd, &times)).unwrap();
            for found in [stepped, contour] {
                let error = largest_change(&found.loss, &exact.loss);
                assert!(found.relative_error <= accuracy, "{found:?}");
                assert!(error < 1.5 * found.relative_error + 1e-9, "{error:e} against {:e}", found.relative_error);
                assert!(found.num_nodes < 1000);
            }
            let (resolution, stated) = checked_resolution(&model, &sgd, 20_000, accuracy).unwrap().unwrap();
            let bins = model.binned(resolution).unwrap().loss_at(&sgd, &times).unwrap();
            let error = largest_change(&bins.loss, &exact.loss);
            assert!(error < 1.5 * stated + 1e-9 && stated <= accuracy, "{error:e} against {stated:e}");
        }
    }

    #[test]
    fn long_runs_of_large_spectra_are_answered_by_bins_and_say_so() {
        let model = PowerLaw::new(1.5, 1.0, 200_000.0).unwrap().model(Closure::INTERPOLATING).unwrap();
        let sgd = Sgd::from_numbers(0.2, 0.0, 0.5).unwrap();
        let plan = SettingsPlan::Constant(sgd);
        let late = predict_losses(&model, &plan, &[5, 100_000], 1e-3).unwrap();
        assert_eq!(late.method, Method::BinnedContour);
        assert!(
            late.warnings.iter().any(|w| matches!(w, Warning::TalbotReplaced { time: 5, .. })),
            "{:?}",
            late.warnings
        );
        let curve: Vec<u64> = (0..=20_000).collect();
        let stepped = predict_losses(&model, &plan, &curve, 1e-3).unwrap();
        assert_eq!(stepped.method, Method::BinnedRecursion);
        assert!(stepped.relative_error > 0.0 && stepped.relative_error <= 1e-3);
        let shaped = SettingsPlan::parse("anneal=0.5", sgd, 20_000).unwrap();
        let annealed = predict_losses(&model, &shaped, &[20_000], 1e-3).unwrap();
        assert_eq!(annealed.method, Method::BinnedRecursion);
        let finer = model.binned(256).unwrap().loss_at(&shaped, &[20_000]).unwrap();
        assert!((annealed.loss[0] / finer.loss[0] - 1.0).abs() < 1e-3);
        let short = predict_losses(&model, &plan, &[100], 1e-3).unwrap();
        assert_eq!((short.method, short.relative_error, short.num_nodes), (Method::Recursion, 0.0, 200_000));
        assert!((stepped.loss[100] / short.loss[0] - 1.0).abs() < 1e-3);
    }
}
