//! How the optimizer turns a gradient into a step, as far as measurements depend on it.

use crate::models::ParamTensors;

/// The optimizer's rule and what it remembers: v ← βv + g, θ ← θ − ηv, or Nesterov's form θ ← θ − η(βv + g) with the new v.
///
/// The default is plain SGD at rest.
#[derive(Debug, Clone, Copy, Default)]
pub struct Motion<'a> {
    /// β, between −1 and 1.
    pub momentum: f64,
    /// Whether the step is Nesterov's.
    pub nesterov: bool,
    /// v, where it is not zero.
    pub velocity: Option<&'a ParamTensors>,
}

impl Motion<'_> {
    /// The largest ηλ at which full-batch steps on a quadratic of curvature λ stay bounded: 2(1 + β) for heavy ball,
    /// 2(1 + β)/(1 + 2β) for Nesterov (above β = −1/3; below it, as for heavy ball, another root of the step leaves the unit
    /// circle first).
    ///
    /// Source: `curvature`, section 3.2, claim C8.
    ///
    /// ```
    /// use stepscope::measure::Motion;
    /// assert_eq!(Motion::default().stability_threshold(), 2.0);
    /// let heavy_ball = Motion { momentum: 0.9, ..Motion::default() };
    /// assert_eq!(heavy_ball.stability_threshold(), 3.8);
    /// ```
    pub fn stability_threshold(&self) -> f64 {
        let heavy_ball = 2.0 * (1.0 + self.momentum);
        if !self.nesterov {
            return heavy_ball;
        }
        // Of z² − (1 + β)(1 − ηλ)z + β(1 − ηλ): at z = −1, and where the product of the roots reaches 1.
        let at_minus_one = heavy_ball / (1.0 + 2.0 * self.momentum);
        let product_of_roots = 1.0 - 1.0 / self.momentum;
        let bounds = [at_minus_one, product_of_roots];
        bounds.into_iter().filter(|&bound| bound > 0.0).fold(f64::INFINITY, f64::min)
    }

    /// The direction of the coming step, θ ← θ − η·direction, if its batch has this gradient.
    pub fn direction(&self, gradient: ParamTensors) -> ParamTensors {
        let accelerated = self.accelerated(gradient.clone());
        if self.nesterov {
            let mut direction = accelerated;
            direction.scale_and_add(self.momentum, 1.0, &gradient);
            direction
        } else {
            accelerated
        }
    }

    fn accelerated(&self, gradient: ParamTensors) -> ParamTensors {
        match self.velocity {
            Some(velocity) if self.momentum != 0.0 => {
                let mut sum = velocity.clone();
                sum.scale_and_add(self.momentum, 1.0, &gradient);
                sum
            }
            _ => gradient,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether the iteration on ½λx² stays bounded, brute force.
    fn stays(momentum: f64, nesterov: bool, rate: f64) -> bool {
        let (mut x, mut v) = (1.0_f64, 0.0);
        for _ in 0..4000 {
            v = momentum * v + x;
            let direction = if nesterov { momentum * v + x } else { v };
            x -= rate * direction;
        }
        x.abs() < 1.0
    }

    #[test]
    fn just_below_the_threshold_steps_contract_and_just_above_they_grow() {
        for nesterov in [false, true] {
            for momentum in [-0.7, -0.45, -0.2, 0.0, 0.3, 0.9] {
                let threshold = Motion { momentum, nesterov, velocity: None }.stability_threshold();
                assert!(stays(momentum, nesterov, 0.98 * threshold), "{momentum} {nesterov} {threshold}");
                assert!(!stays(momentum, nesterov, 1.02 * threshold), "{momentum} {nesterov} {threshold}");
            }
        }
    }
}
