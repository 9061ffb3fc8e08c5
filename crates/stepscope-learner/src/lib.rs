//! Adapters that plug stepscope into the training loop of burn-train.
//!
//! | to | use |
//! |---|---|
//! | train a network of stepscope with `Learner` | [`Classifier`], [`TrainingBatches`] |
//! | measure a model while `Learner` trains it | [`Probed`] around the model, with a [`Watch`] |
//! | give `Learner` one of stepscope's schedules | [`ScheduledLearningRate`] |
//! | use a measured learning rate with Burn's optimizers | [`MeasuredLr`], one of Burn's schedulers |
//! | record what `Learner` reports, here and in TensorBoard | [`RecordLogger`] |

mod classifier;
mod lr_scheduler;
mod measured_lr;
mod metric_logger;
mod probes;

pub use classifier::{Classifier, TrainingBatches};
pub use lr_scheduler::ScheduledLearningRate;
pub use measured_lr::MeasuredLr;
pub use metric_logger::{LoggerError, RecordLogger};
pub use probes::{Probed, Watch};
