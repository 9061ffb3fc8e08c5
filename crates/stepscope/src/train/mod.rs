//! The training loop, its events, and what it needs.

mod afford;
mod averaging;
mod budget;
mod clock;
mod device_check;
mod divergence;
mod event;
mod interrupt;
mod lending;
mod measured_mode;
mod plan;
mod probes;
mod range_test;
mod readings;
mod run;
mod run_loop;
mod saved;
mod schedule;
mod steering;

pub use averaging::AverageSetup;
pub(crate) use averaging::{SAVED_BANK, bank, paired_gain, statistics_of};
pub use budget::Claim;
pub use device_check::{DeviceCheck, check_device};
pub use divergence::DivergenceWatch;
pub use event::{Event, FanOut, MemorySink, RecordRef, Sink, SinkError, Snapshot};
pub use interrupt::Interrupt;
pub use measured_mode::MeasuredMode;
pub use plan::{Plan, PlanError};
pub use range_test::{OverSweeps, RangePoint, RangeSweep, RangeTest, RangeTestError, RangeTestSettings};
pub use run::{Run, RunError, RunProbe};
pub use run_loop::{Outcome, ResumeFrom, ScheduledProbe, TrainError, TrainingLoop};
pub use saved::InstrumentReading;
pub use schedule::Due;
