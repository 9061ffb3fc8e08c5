//! Adapters that plug stepscope into the training loop of burn-train.
//!
//! | to | use |
//! |---|---|
//! | train a network of stepscope with `Learner` | [`Classifier`], [`TrainingBatches`] |
//! | measure a model while `Learner` trains it | [`Probed`] around the model, with a [`Watch`] |
//! | record what `Learner` reports, here and in TensorBoard | [`RecordLogger`] |

mod classifier;
mod metric_logger;
mod probes;

pub use classifier::{Classifier, TrainingBatches};
pub use metric_logger::{LoggerError, RecordLogger};
pub use probes::{Probed, Watch};
