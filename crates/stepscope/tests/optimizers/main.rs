//! Optimizers against slow twins written over plain numbers, and against PyTorch's numbers.
#![allow(clippy::unwrap_used)]

#[path = "../common/mod.rs"]
mod common;
mod directions;
mod learning_rate_free;
mod point;
mod runs;
mod searches;
mod stability;
