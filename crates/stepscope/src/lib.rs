//! stepscope measures, predicts and controls what the step does in mini-batch SGD: learning rate, batch size,
//! momentum, averaging. It stands on Burn.
//!
//! | to | use |
//! |---|---|
//! | run a specification | [`spec::parse`], [`data::Dataset::load`], [`train::Run`] |
//! | measure any Burn module | implement [`measure::BatchLoss`], then a [`measure::CurvatureOperator`] |
//! | measure it with exact Hessians | implement [`models::Network`], then that or a [`measure::Probe`] |
//! | find a learning rate along the step | [`control::line_search`] |
//! | average weights | [`control::average`] |
//! | average the snapshots of a run after it ended | [`posthoc`] |
//! | predict | [`theory`]; on a live run [`predict`] |
//! | run many specifications, by any number of processes | [`sweep::Sweep`], [`sweep::SweepFolder`] |
//! | keep records | [`record::RunFolder`]; any [`train::Sink`] |
//!
//! ```
//! use stepscope::data::Dataset;
//! use stepscope::train::{MemorySink, Run};
//!
//! let text = "
//!     optimizer.learning_rate = \"measured\"
//!     train.duration = \"40st\"
//!     measure.every = \"20st\"
//! ";
//! let spec = stepscope::spec::parse(text, "example", &[])?;
//! let dataset = Dataset::load(&spec.data)?;
//! let mut records = MemorySink::default();
//! let outcome = Run::prepare(&spec, &dataset)?.train(Vec::new(), &mut records)?;
//! assert_eq!(outcome.step.0, 40);
//! assert!(records.records.iter().any(|record| format!("{record:?}").contains("hessian_top_eigenvalue")));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub mod backend;
pub mod checkpoint;
pub mod control;
pub mod data;
pub mod measure;
pub mod models;
pub mod posthoc;
pub mod predict;
pub mod record;
pub mod spec;
pub mod sweep;
pub mod train;

pub use stepscope_spectral as spectral;
pub use stepscope_theory as theory;
pub use stepscope_types as types;
