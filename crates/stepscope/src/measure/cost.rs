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
