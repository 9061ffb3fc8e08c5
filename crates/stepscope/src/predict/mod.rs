//! PREDICT, with files and live runs: what `stepscope-theory` computes in plain numbers meets spectra, features, power laws
//! and the records of a run.
//!
//! | to | use |
//! |---|---|
//! | read a spectrum (CSV, JSON Lines, `.npy`) | [`read_spectrum`], [`read_spectrum_pair`] |
//! | read features and targets (`.npy`) | [`read_features`] |
//! | get the kernel of a network's tangents | [`tangent_problem`] |
//! | read a power law from text | [`parse_power_law`] |
//! | get losses by the quickest way that is accurate enough | [`predict_losses`] |
//! | know stability, regime, exponents, limits | [`Analysis`] |
//! | find the best settings for a horizon | [`search`] |
//! | run SGD itself many times, on all cores | [`sample_losses`] |
//! | forecast a live run from its measured quadratics | [`predict_run`] |

mod advice;
mod analysis;
mod csv_rows;
mod density_file;
mod error;
mod features;
mod forecast;
mod json_rows;
mod lines;
mod literal;
mod losses;
mod mode_table;
mod npy;
mod npy_header;
mod sampled;
mod search;
mod settings;
mod spectrum_file;
mod tangent;

pub use advice::PredictAdvice;
pub use analysis::Analysis;
pub use error::SourceError;
pub use features::read_features;
pub use forecast::{PredictError, PredictedRun, predict_run};
pub use literal::{Tail, parse_assignments, parse_power_law, parse_tail};
pub use losses::{Method, PredictedLosses, predict_losses};
pub use mode_table::{MAX_MODES, ModeTable};
pub use npy::{NpyArray, read_npy};
pub use sampled::{LARGEST_TRAJECTORY, SampledLosses, sample_losses};
pub use search::{BatchRow, FamilyRow, Freedom, Optimum, SearchError, search};
pub use settings::{InWords, ScheduleWords, ScheduledSettings, SettingsPlan, read_settings};
pub use spectrum_file::{read_spectrum, read_spectrum_pair};
pub use tangent::{TangentError, tangent_problem};
