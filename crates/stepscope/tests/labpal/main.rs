//! LABPAL against closed forms: the fit, its costs and counters, its schedule, refusals, and saving it at any phase.
#![allow(clippy::unwrap_used)]

mod accounting;
mod lines;
mod noise;
mod toy;

use stepscope::types::spec::LabPalProfile;

/// Both profiles.
const PROFILES: [LabPalProfile; 2] = [LabPalProfile::Exact, LabPalProfile::Reference];
