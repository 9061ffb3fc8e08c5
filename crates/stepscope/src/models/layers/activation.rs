//! The nonlinearities, each with its derivative.

use std::f64::consts::{FRAC_1_SQRT_2, PI};

use burn::Tensor;
use burn::tensor::activation;
use stepscope_types::spec::Activation;

use crate::models::Dual;

/// Applies `activation` to every element.
pub fn apply<const D: usize>(activation: Activation, x: Dual<D>) -> Dual<D> {
    match activation {
        Activation::Relu => relu(x),
        Activation::Tanh => x.elementwise(Tensor::tanh, |_, y| y.square().neg().add_scalar(1.0)),
        Activation::Gelu => x.elementwise(|x| x.clone() * normal_cdf(x), |x, _| gelu_derivative(x)),
        Activation::Softplus => x.elementwise(softplus, |x, _| activation::sigmoid(x)),
    }
}

/// The name of the activation, if its derivative jumps somewhere.
pub fn kink(activation: Activation) -> Option<&'static str> {
    match activation {
        Activation::Relu => Some("relu"),
        Activation::Tanh | Activation::Gelu | Activation::Softplus => None,
    }
}

/// max(x, 0), with derivative 0 at 0. The mask is a constant: the second derivative vanishes almost everywhere.
fn relu<const D: usize>(x: Dual<D>) -> Dual<D> {
    match x.tangent {
        None => Dual::constant(activation::relu(x.value)),
        Some(tangent) => {
            let off = x.value.clone().lower_equal_elem(0.0);
            Dual { value: activation::relu(x.value), tangent: Some(tangent.mask_fill(off, 0.0)) }
        }
    }
}

/// log(1 + eˣ) as max(x, 0) + log(1 + e^−|x|), which cannot overflow.
fn softplus<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    activation::relu(x.clone()) + x.abs().neg().exp().log1p()
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
