//! The nonlinearities, each with its derivative.

use std::f64::consts::{FRAC_1_SQRT_2, PI};

use burn::Tensor;
use burn::tensor::activation;
use stepscope_types::spec::Activation;

use crate::backend;
use crate::models::Dual;

/// Applies `activation` to every element.
pub fn apply<const D: usize>(activation: Activation, x: Dual<D>) -> Dual<D> {
    match activation {
        Activation::Relu => relu(x),
        Activation::Tanh => tanh(x),
        Activation::Gelu => x.elementwise(|x| x.clone() * normal_cdf(x), |x, _| gelu_derivative(x)),
        Activation::GeluTanh => x.elementwise(gelu_tanh, |x, _| gelu_tanh_derivative(x)),
        Activation::Silu => x.elementwise(activation::silu, |x, _| silu_derivative(x)),
        Activation::Sigmoid => sigmoid(x),
        Activation::Softplus => x.elementwise(softplus, |x, _| activation::sigmoid(x)),
    }
}

/// tanh x, with derivative 1 − tanh² x.
pub fn tanh<const D: usize>(x: Dual<D>) -> Dual<D> {
    let value = backend::tanh(x.value);
    Dual { tangent: x.tangent.map(|tangent| backend::tanh_slope(tangent, value.clone())), value }
}

/// σ(x) = 1 / (1 + e⁻ˣ), with derivative σ (1 − σ).
pub fn sigmoid<const D: usize>(x: Dual<D>) -> Dual<D> {
    x.elementwise(activation::sigmoid, |_, y| y.clone() * y.neg().add_scalar(1.0))
}

/// The name of the activation, if its derivative jumps somewhere.
pub fn kink(activation: Activation) -> Option<&'static str> {
    match activation {
        Activation::Relu => Some("relu"),
        Activation::Tanh
        | Activation::Gelu
        | Activation::GeluTanh
        | Activation::Silu
        | Activation::Sigmoid
        | Activation::Softplus => None,
    }
}

/// max(x, 0), with derivative 0 at 0. The mask is a constant: the second derivative vanishes almost everywhere.
pub(super) fn relu<const D: usize>(x: Dual<D>) -> Dual<D> {
    let value = backend::rectify(x.value);
    Dual { tangent: x.tangent.map(|tangent| backend::gate(tangent, value.clone())), value }
}

/// `activation` of a + b, the end of a residual block.
pub fn apply_to_sum<const D: usize>(activation: Activation, a: Dual<D>, b: Dual<D>) -> Dual<D> {
    match (activation, &a.tangent, &b.tangent) {
        (Activation::Relu, None, None) => Dual::constant(backend::rectify_sum(a.value, b.value)),
        _ => apply(activation, a + b),
    }
}

/// log(1 + eˣ) as max(x, 0) + log(1 + e^−|x|), which cannot overflow.
fn softplus<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    activation::relu(x.clone()) + x.abs().neg().exp().log1p()
}

/// d/dx x σ(x) = σ (1 + x (1 − σ)).
fn silu_derivative<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    let sigmoid = activation::sigmoid(x.clone());
    sigmoid.clone() * (x * sigmoid.neg().add_scalar(1.0)).add_scalar(1.0)
}

/// Φ(x), the normal distribution function.
fn normal_cdf<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    x.mul_scalar(FRAC_1_SQRT_2).erf().add_scalar(1.0).mul_scalar(0.5)
}

/// d/dx x Φ(x) = Φ(x) + x φ(x).
fn gelu_derivative<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    let density = x.clone().square().mul_scalar(-0.5).exp().mul_scalar(1.0 / (2.0 * PI).sqrt());
    normal_cdf(x.clone()) + x * density
}

/// The factor of x³ within the approximation of gelu.
const CUBIC: f64 = 0.044_715;

/// t = tanh(√(2/π) (x + 0.044715 x³)).
fn gelu_inner<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    let cubic = x.clone().square().mul_scalar(CUBIC).add_scalar(1.0);
    backend::tanh((x * cubic).mul_scalar((2.0 / PI).sqrt()))
}

/// x (1 + t) / 2.
fn gelu_tanh<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    x.clone() * gelu_inner(x).add_scalar(1.0).mul_scalar(0.5)
}

/// (1 + t) / 2 + x (1 − t²) √(2/π) (1 + 3 · 0.044715 x²) / 2.
fn gelu_tanh_derivative<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    let t = gelu_inner(x.clone());
    let slope = x.clone().square().mul_scalar(3.0 * CUBIC).add_scalar(1.0).mul_scalar(0.5 * (2.0 / PI).sqrt());
    t.clone().add_scalar(1.0).mul_scalar(0.5) + x * t.square().neg().add_scalar(1.0) * slope
}
