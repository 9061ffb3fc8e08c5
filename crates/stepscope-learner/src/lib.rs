//! Adapters that plug stepscope into the training loop of burn-train.
//!
//! | to | use |
//! |---|---|
//! | train a network of stepscope with `Learner` | [`Classifier`], [`TrainingBatches`] |
//! | measure a model while `Learner` trains it | [`Probed`] around the model, with a [`Watch`] |

mod classifier;
mod probes;

pub use classifier::{Classifier, TrainingBatches};
pub use probes::{Probed, Watch};
