//! What a reading costs, counted and not timed.

use std::iter::Sum;
use std::ops::{Add, Mul};

use serde::{Deserialize, Serialize};

/// A cost in example gradients: 1 is one forward and backward pass of one example.
///
/// Counted from what an algorithm does, so that decisions which rest on it are the same on every machine and every day. The
/// factors are those of matrix products (`curvature`, sections 4.2 and 4.9): a gradient has 3 of them per layer and example, a
/// forward pass 1, one that carries a tangent 3, a Hessian product 8, a Gauss-Newton or covariance product 5.
///
/// ```
/// use stepscope::measure::Cost;
/// let reading = Cost::gradients(128) + Cost::forwards(128) * 6.0;
/// assert_eq!(reading.example_gradients(), 384.0);
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Cost {
    example_gradients: f64,
}

impl Cost {
    /// Nothing.
    pub const ZERO: Self = Self { example_gradients: 0.0 };

    /// Gradients of so many examples.
    pub fn gradients(num_examples: usize) -> Self {
        Self { example_gradients: num_examples as f64 }
    }

    /// Forward passes of so many examples.
    pub fn forwards(num_examples: usize) -> Self {
        Self::gradients(num_examples) * (1.0 / 3.0)
    }

    /// Forward passes with a tangent.
    pub fn tangents(num_examples: usize) -> Self {
        Self::gradients(num_examples)
    }

    /// Exact Hessian products.
    pub fn hessian_products(num_examples: usize) -> Self {
        Self::gradients(num_examples) * (8.0 / 3.0)
    }

    /// Products with a matrix JᵀMJ: Gauss-Newton, Fisher, gradient covariance.
    pub fn outer_products(num_examples: usize) -> Self {
        Self::gradients(num_examples) * (5.0 / 3.0)
    }

    /// Passes over vectors of the network's size on the host: sums, norms, copies between tensors and f64.
    ///
    /// On dense networks one takes as long as about 6 example gradients (85,000 parameters, batches of 128, two threads of a
    /// server's processor: 1.7 ms a step, 0.1 ms a pass), on convolutional ones fewer: 8 errs on the safe side.
    pub fn passes(count: usize) -> Self {
        Self { example_gradients: 8.0 * count as f64 }
    }

    /// The cost in example gradients.
    pub fn example_gradients(self) -> f64 {
        self.example_gradients
    }
}

impl Add for Cost {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self { example_gradients: self.example_gradients + other.example_gradients }
    }
}

impl Mul<f64> for Cost {
    type Output = Self;

    fn mul(self, factor: f64) -> Self {
        Self { example_gradients: self.example_gradients * factor }
    }
}

impl Sum for Cost {
    fn sum<I: Iterator<Item = Self>>(costs: I) -> Self {
        costs.fold(Self::ZERO, Add::add)
    }
}
