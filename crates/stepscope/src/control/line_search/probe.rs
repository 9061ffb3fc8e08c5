//! Looking along a direction without leaving a trace.

use burn::module::Module;
use thiserror::Error;

use super::line_fit::LineFit;
use super::parabola::ParabolaError;
use crate::control::method::Context;
use crate::control::oracle::LossOracle;
use crate::control::reduce::OneRank;
use crate::control::statistics::Statistics;
use crate::models::ParamTensors;

/// A direction that cannot be measured along.
#[derive(Debug, Clone, PartialEq, Error)]
pub enum MeasureError {
    /// The direction has no length.
    #[error("the direction's norm is {norm}: a line needs a direction with a finite norm above 0")]
    Direction {
        /// ‖v‖.
        norm: f64,
    },
    /// The oracle does not give the same loss twice.
    #[error(
        "the loss of the first batch is {first} and, evaluated again at the same weights with the same seed, {second}: an \
         oracle must draw everything random from its seed and leave the model as it is"
    )]
    NotRepeatable {
        /// The first time.
        first: f64,
        /// The second time.
        second: f64,
    },
    /// No parabola goes through the losses.
    #[error(transparent)]
    Parabola(#[from] ParabolaError),
}

/// The parabola of the loss of `batches` along θ − s v/‖v‖: the learning rate now, for whatever optimizer gave v.
///
/// Nothing changes: the model is borrowed, displaced copies share its memory, running statistics are put back. The
/// batches should not be those that gave v, whose own loss has its minimum too far out (`line-search`, section 1.2, O3).
/// `points` are two lengths, 0 < h < μ, in the norm of the weights: 0.000177 and 0.01 in [`LabPal`](crate::control::LabPal)
/// with 24 bits of precision or more. `seed` seeds every batch's dropout.
///
/// Cost: 3 n + 1 forward passes of n batches, the last to find out whether the oracle repeats itself; one copy of the
/// weights.
///
/// # Errors
/// [`MeasureError`] for fewer than two batches, points out of order, a direction without length, an oracle that does not repeat
/// itself, losses that are not finite. A line without a minimum is no error: [`LineFit::minimum`] says why.
///
/// ```
/// use burn::Tensor;
/// use burn::module::{Module, Param};
/// use stepscope::backend::Backend;
/// use stepscope::control::LossOracle;
/// use stepscope::control::line_search::measure;
/// use stepscope::types::spec::Precision;
///
/// #[derive(Module, Debug)]
/// struct Weight {
///     value: Param<Tensor<1>>,
/// }
///
/// let device = Backend::cpu(Precision::F32).tracked();
/// let model = Weight { value: Param::from_tensor(Tensor::from_floats([3.0], &device)) };
/// // (θ − x)² has its minimum at the mean of x.
/// let mut oracle = |model: &Weight, x: &f64, _seed: u64| (model.value.val() - *x).square();
/// let (_, gradient) = oracle.loss_and_gradient(&model, &1.0, 0);
/// let fit = measure(&mut oracle, &model, &gradient, &[0.5, 1.0, 1.5], [0.1, 0.3], 7)?;
/// let rate = fit.learning_rate()?;
/// assert!((rate.position - 0.5).abs() < 1e-4, "half the gradient leads to the minimum");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn measure<M: Module, B>(
    oracle: &mut dyn LossOracle<M, B>,
    model: &M,
    direction: &ParamTensors,
    batches: &[B],
    points: [f64; 2],
    seed: u64,
) -> Result<LineFit, MeasureError> {
    let norm = direction.norm();
    if !(norm.is_finite() && norm > 0.0) {
        return Err(MeasureError::Direction { norm });
    }
    let [near, far] = points;
    if batches.len() < 2 || !(near > 0.0 && far > near && far.is_finite()) {
        return Err(ParabolaError::TooLittle { batches: batches.len(), points }.into());
    }
    let mut context = Context::new(oracle, seed);
    let seeded: Vec<(&B, u64)> =
        (0..).map(|number| context.seed_of(number, 0)).zip(batches).map(|(s, b)| (b, s)).collect();
    let mut at = |point: f64, batches: &[(&B, u64)]| losses_at(&mut context, model, direction, point / norm, batches);
    let columns = [at(0.0, &seeded), at(near, &seeded), at(far, &seeded)];
    let (first, second) = (columns[0][0], at(0.0, &seeded[..1])[0]);
    if !is_repeated(first, second) {
        return Err(MeasureError::NotRepeatable { first, second });
    }
    let rows: Vec<[f64; 3]> = (0..batches.len()).map(|batch| [0, 1, 2].map(|point| columns[point][batch])).collect();
    Ok(LineFit::new(points, &rows, norm, &mut OneRank)?)
}

/// The losses of batches, each with its seed, at θ − `learning_rate` · v. Running statistics are put back.
pub(in crate::control) fn losses_at<M: Module, B>(
    context: &mut Context<'_, M, B>,
    model: &M,
    direction: &ParamTensors,
    learning_rate: f64,
    batches: &[(&B, u64)],
) -> Vec<f64> {
    let statistics = Statistics::of(model);
    let displaced;
    let at = if learning_rate == 0.0 {
        model
    } else {
        displaced = direction.displace(model.clone(), -learning_rate);
        &displaced
    };
    let losses = batches.iter().map(|(batch, seed)| context.loss(at, batch, *seed)).collect();
    drop(statistics.restore(model.clone()));
    losses
}

/// Whether two evaluations of one loss agree. Devices that add in any order may differ in the last bits; another dropout
/// mask, or other statistics, differ by far more.
pub(in crate::control) fn is_repeated(first: f64, second: f64) -> bool {
    let same_kind = first.is_finite() == second.is_finite();
    same_kind && (!first.is_finite() || (first - second).abs() <= 1e-5 * first.abs().max(1e-3))
}
