//! Parameters that are treated on their own, by the pattern of their names.

use std::collections::HashMap;

use burn::module::ParamId;
use stepscope_types::spec::ParamGroupSpec;

use crate::models::{ParamLayout, ParamTensors, PatternError};

/// How the parameters of a group are treated.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Treatment {
    /// Factor on the learning rate, above 0.
    pub learning_rate_factor: f64,
    /// Whether weight decay acts.
    pub decays: bool,
}

/// The treatment of every parameter that is in a group; the others have factor 1 and decay.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ParamGroups {
    treatments: HashMap<ParamId, Treatment>,
}

impl Treatment {
    /// That of parameters in no group.
    pub const USUAL: Self = Self { learning_rate_factor: 1.0, decays: true };
}

impl ParamGroups {
    /// The groups of `specs`; a parameter belongs to the first whose pattern matches its name.
    ///
    /// # Errors
    /// [`PatternError`] for what is no pattern, and for one that matches no parameter, with the names that there are.
    pub fn of_spec(specs: &[ParamGroupSpec], layout: &ParamLayout) -> Result<Self, PatternError> {
        let mut treatments = HashMap::new();
        for group in specs {
            let treatment = Treatment { learning_rate_factor: group.learning_rate_factor, decays: group.weight_decay };
            let matching = layout.matching(&group.names)?;
            for (_, id, range) in layout.parts() {
                // Neighbours are joined in what matches, so a parameter lies inside one of the ranges.
                if matching.iter().any(|joined| joined.start <= range.start && range.end <= joined.end) {
                    treatments.entry(id).or_insert(treatment);
                }
            }
        }
        Ok(Self { treatments })
    }

    /// The treatment of a parameter.
    pub fn of(&self, id: ParamId) -> Treatment {
        self.treatments.get(&id).copied().unwrap_or(Treatment::USUAL)
    }

    /// Whether a parameter has a learning rate of its own.
    pub fn have_factors(&self) -> bool {
        self.treatments.values().any(|treatment| treatment.learning_rate_factor != 1.0)
    }

    /// Each parameter's part times its factor.
    pub(super) fn scale(&self, direction: ParamTensors) -> ParamTensors {
        if !self.have_factors() {
            return direction;
        }
        direction.map(|id, part| match self.of(id).learning_rate_factor {
            1.0 => part,
            factor => part * factor,
        })
    }

    /// `factor` times the values of the parameters that decay.
    pub(super) fn decaying(&self, values: ParamTensors, factor: f64) -> ParamTensors {
        values.filter(|id| self.of(id).decays).map(|_, part| part * factor)
    }
}
