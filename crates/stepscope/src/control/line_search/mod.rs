//! Learning rates from the loss along the step.

mod backtracking;
mod line_fit;
mod measured;
mod pace;
mod parabola;
mod parabolic;
mod polyak;
mod probe;

pub use backtracking::{
    ArmijoSearch, ArmijoSettings, MAX_TRIES, NonMonotoneSearch, NonMonotoneSettings, Reset, SMALLEST_RATE,
};
pub use line_fit::LineFit;
pub use measured::MeasuredLearningRate;
pub use parabola::{Minimum, NoMinimum, Parabola, ParabolaError};
pub use parabolic::{FullBatchParabolicSearch, ParabolicSearch, ParabolicSettings};
pub use polyak::{PolyakSettings, PolyakStep};
pub use probe::{MeasureError, measure};

pub(super) use pace::{Pace, average};
pub(super) use probe::{is_repeated, losses_at};
