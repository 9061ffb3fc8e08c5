//! Complex numbers, as far as the contour needs them.

use std::ops::{Add, Div, Mul, Neg, Sub};

#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Complex {
    pub(crate) re: f64,
    pub(crate) im: f64,
}

impl Complex {
    pub(crate) const ZERO: Self = Self { re: 0.0, im: 0.0 };

    pub(crate) fn new(re: f64, im: f64) -> Self {
        Self { re, im }
    }

    pub(crate) fn real(re: f64) -> Self {
        Self { re, im: 0.0 }
    }

    pub(crate) fn exp(self) -> Self {
        let scale = self.re.exp();
        Self { re: scale * self.im.cos(), im: scale * self.im.sin() }
    }

    /// e^z − 1 without cancellation for small z.
    pub(crate) fn exp_m1(self) -> Self {
        let half_sine = (0.5 * self.im).sin();
        Self { re: self.re.exp_m1() * self.im.cos() - 2.0 * half_sine * half_sine, im: self.re.exp() * self.im.sin() }
    }
}

impl Add for Complex {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Self { re: self.re + other.re, im: self.im + other.im }
    }
}

impl Add<f64> for Complex {
    type Output = Self;
    fn add(self, other: f64) -> Self {
        Self { re: self.re + other, im: self.im }
    }
}

impl Sub for Complex {
    type Output = Self;
    fn sub(self, other: Self) -> Self {
        Self { re: self.re - other.re, im: self.im - other.im }
    }
}

impl Neg for Complex {
    type Output = Self;
    fn neg(self) -> Self {
        Self { re: -self.re, im: -self.im }
    }
}

impl Mul for Complex {
    type Output = Self;
    fn mul(self, other: Self) -> Self {
        Self { re: self.re * other.re - self.im * other.im, im: self.re * other.im + self.im * other.re }
    }
}

impl Mul<f64> for Complex {
    type Output = Self;
    fn mul(self, other: f64) -> Self {
        Self { re: self.re * other, im: self.im * other }
    }
}

impl Div for Complex {
    type Output = Self;
    fn div(self, other: Self) -> Self {
        let scale = 1.0 / (other.re * other.re + other.im * other.im);
        self * Self { re: other.re * scale, im: -other.im * scale }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn division_undoes_multiplication_and_small_exponentials_keep_their_digits() {
        let (a, b) = (Complex::new(0.3, -2.0), Complex::new(-1.5, 0.25));
        let back = a * b / b;
        assert!((back.re - a.re).abs() < 1e-15 && (back.im - a.im).abs() < 1e-15);
        let z = Complex::new(1e-12, 2e-12);
        let (e, second) = (z.exp_m1(), z + z * z * 0.5);
        assert!((e.re - second.re).abs() < 1e-27 && (e.im - second.im).abs() < 1e-27, "{e:?}");
        let far = Complex::new(0.5, 1.0);
        assert!((far.exp().re - 1.0 - far.exp_m1().re).abs() < 1e-15);
    }
}
