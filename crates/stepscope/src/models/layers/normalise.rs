//! What the normalising layers share: standardisation over two of three axes, then a factor and a shift a channel.

use burn::Tensor;
use burn::module::Param;

use crate::models::{Dual, Pass, Tap};

/// The usual number added to a variance before its root is taken.
pub(super) const EPSILON: f64 = 1e-5;

/// x̂ = (x − m) / √(s² + ε), with the mean m and the variance s² that were used.
pub(super) struct Standardised {
    /// x̂, of the shape of x.
    pub(super) values: Dual<3>,
    /// m, `[1, rows, 1]`.
    pub(super) mean: Tensor<3>,
    /// s², with divisor n, `[1, rows, 1]`.
    pub(super) variance: Tensor<3>,
}

/// Standardises every row of x `[a, rows, b]` over its a · b numbers.
///
/// Tangent: with c = x − m and r = (s² + ε)^(−1/2), ċ = ẋ − mean ẋ, (s²)˙ = 2 mean(c ċ), ṙ = −½ r³ (s²)˙ and
/// x̂˙ = ċ r + c ṙ.
pub(super) fn standardise(x: Dual<3>) -> Standardised {
    let mean_of = |x: Dual<3>| x.linear(|x| x.mean_dim(2).mean_dim(0));
    let mean = mean_of(x.clone());
    let centred = x - mean.clone();
    let squared = centred.clone().elementwise(|c| c.square(), |c, _| c.mul_scalar(2.0));
    let variance = mean_of(squared);
    let inverse_root =
        variance.clone().elementwise(inverse_root, |_, root| root.clone() * root.square().mul_scalar(-0.5));
    Standardised { values: centred * inverse_root, mean: mean.value, variance: variance.value }
}

/// (s² + ε)^(−1/2).
pub(super) fn inverse_root<const D: usize>(variance: Tensor<D>) -> Tensor<D> {
    variance.add_scalar(EPSILON).sqrt().recip()
}

/// γ x + β, with γ and β along the axis of `shape` that is not 1.
pub(super) fn scale_and_shift(
    x: Dual<3>,
    gamma: &Param<Tensor<1>>,
    beta: &Param<Tensor<1>>,
    shape: [usize; 3],
    pass: &Pass,
) -> Dual<3> {
    let input = x.value.clone();
    let y = x * pass.param(gamma).linear(|gamma| gamma.reshape(shape))
        + pass.param(beta).linear(|beta| beta.reshape(shape));
    if shape[0] != 1 || shape[2] != 1 || shape[1] != input.dims()[1] {
        return y;
    }
    let params = [gamma.id, beta.id];
    pass.tap(&input, y, |input, zeros| Tap::Scale { params, input, zeros })
}

/// `[batch, channels, everything else]`.
pub(super) fn by_channel<const D: usize>(x: Dual<D>) -> Dual<3> {
    let dims = x.value.dims();
    let rest = dims.iter().skip(2).product();
    x.linear(|x| x.reshape([dims[0], dims[1], rest]))
}
