//! Operators on modules from elsewhere: closed forms, dense twins, and refusals.
#![allow(clippy::unwrap_used, clippy::panic, unreachable_pub)]

#[path = "../common/mod.rs"]
mod common;

mod closed_forms;
mod dense_twins;
mod examples;
mod gradient_norms;
mod modules;
mod refusals;
mod sharing;
