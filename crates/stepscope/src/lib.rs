//! The parts of stepscope that need no tensor library: data, run specifications and run folders.

pub mod data;
pub mod record;
pub mod spec;
