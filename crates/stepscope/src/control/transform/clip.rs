//! Gradients cut to a largest entry or a largest norm.

use crate::models::ParamTensors;

/// g_i ← min(max(g_i, −c), c), then g ← g min(1, C / ‖g‖), with ‖g‖ over all parameters together.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Clip {
    /// c, above 0; `None` for no bound on entries.
    pub value: Option<f64>,
    /// C, above 0; `None` for no bound on the norm.
    pub norm: Option<f64>,
}

impl Clip {
    /// The clipped gradient. The norm costs one reading of the gradient on the host.
    pub fn apply(&self, gradient: ParamTensors) -> ParamTensors {
        let bounded = match self.value {
            Some(bound) => gradient.map(|_, part| part.clamp(-bound, bound)),
            None => gradient,
        };
        let Some(longest) = self.norm else { return bounded };
        let norm = bounded.norm();
        if norm <= longest { bounded } else { bounded.map(|_, part| part * (longest / norm)) }
    }
}
