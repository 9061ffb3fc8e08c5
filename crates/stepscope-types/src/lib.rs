//! The words that every crate of stepscope shares: units, estimates, records, run specifications,
//! spectra, manifests and seeds.
//!
//! Nothing here reads a file or knows Burn, and nothing computes but a [`schedule`] its values. A type belongs here when two crates of the
//! workspace must agree on it; [`quantity`] lists the names and units of everything that is recorded.

mod duration;
mod estimate;
mod manifest;
pub mod quantity;
mod record;
mod saved_spectrum;
pub mod schedule;
mod section;
mod seeds;
pub mod spec;
mod spectrum;
mod units;
mod verdict;

pub use duration::{ParseDurationError, TrainingDuration};
pub use estimate::{Estimate, Mode, Reading, Uncertainty};
pub use manifest::{DataManifest, Manifest, ModelManifest, Software};
pub use record::{EventKind, EventRecord, LeftOut, Measurement, Record, StopReason, Timing};
pub use saved_spectrum::{GradientMeasure, SavedSpectrum, SpectrumKind};
pub use section::{OtherRun, SavedSection, SectionCurvature, SectionDirection, SectionPoint};
pub use seeds::Seeds;
pub use spec::RunSpec;
pub use spectrum::{Spectrum, SpectrumError};
pub use units::{BatchSize, InvalidUnit, LearningRate, Momentum, Step};
pub use verdict::Verdict;
