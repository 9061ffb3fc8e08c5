//! A tensor with its tangent: the value that forward-mode differentiation carries through a network.

use burn::Tensor;

/// A value y(θ) and, where a direction v is followed, its tangent ẏ = dy(θ + εv)/dε at ε = 0.
///
/// `tangent: None` means the derivative is zero and costs nothing: a plain forward pass carries no tangents, and
/// the input of a network has none even when the weights have.
///
/// Both parts are ordinary Burn tensors. On a tracked device a backward pass through the tangent of the loss
/// gives the gradient of ⟨∇L, v⟩, which is the exact Hessian-vector product (`curvature`, section 4.2).
#[derive(Debug, Clone)]
pub struct Dual<const D: usize> {
    /// y(θ).
    pub value: Tensor<D>,
    /// ẏ, of the same shape, or `None` for zero.
    pub tangent: Option<Tensor<D>>,
}

impl<const D: usize> Dual<D> {
    /// A value that does not depend on the weights.
    pub fn constant(value: Tensor<D>) -> Self {
        Self { value, tangent: None }
    }

    /// Applies a linear map to value and tangent alike: reshape, transpose, pad, sum, average pooling.
    pub fn linear<const D2: usize>(self, map: impl Fn(Tensor<D>) -> Tensor<D2>) -> Dual<D2> {
        Dual { tangent: self.tangent.map(&map), value: map(self.value) }
    }

    /// Applies an elementwise function f whose derivative is known: ẏ = f′(x) ẋ.
    ///
    /// `derivative` gets (x, f(x)) so that functions whose derivative is cheap in terms of their value
    /// (tanh: 1 − y²) need not compute twice. It is not called when there is no tangent.
    pub fn elementwise(
        self,
        function: impl FnOnce(Tensor<D>) -> Tensor<D>,
        derivative: impl FnOnce(Tensor<D>, Tensor<D>) -> Tensor<D>,
    ) -> Self {
        match self.tangent {
            None => Self::constant(function(self.value)),
            Some(tangent) => {
                let value = function(self.value.clone());
                Self { tangent: Some(derivative(self.value, value.clone()) * tangent), value }
            }
        }
    }

    /// The bilinear product y = f(a, b): ẏ = f(ȧ, b) + f(a, ḃ), leaving out what is zero.
    pub fn bilinear<const D1: usize, const D2: usize>(
        a: Dual<D1>,
        b: Dual<D2>,
        product: impl Fn(Tensor<D1>, Tensor<D2>) -> Tensor<D>,
    ) -> Self {
        let from_a = a.tangent.map(|tangent| product(tangent, b.value.clone()));
        let from_b = b.tangent.map(|tangent| product(a.value.clone(), tangent));
        Self { value: product(a.value, b.value), tangent: add(from_a, from_b) }
    }
}

impl<const D: usize> From<Tensor<D>> for Dual<D> {
    fn from(value: Tensor<D>) -> Self {
        Self::constant(value)
    }
}

/// Sizes of 1 are spread over the other's, in the tangent as in the value.
impl<const D: usize> std::ops::Add for Dual<D> {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        let value = self.value + other.value;
        let tangent = add(self.tangent, other.tangent).map(|tangent| spread(tangent, &value));
        Self { value, tangent }
    }
}

impl<const D: usize> std::ops::Neg for Dual<D> {
    type Output = Self;

    fn neg(self) -> Self {
        self.linear(Tensor::neg)
    }
}

impl<const D: usize> std::ops::Sub for Dual<D> {
    type Output = Self;

    fn sub(self, other: Self) -> Self {
        self + -other
    }
}

/// Element by element; sizes of 1 are spread over the other's.
impl<const D: usize> std::ops::Mul for Dual<D> {
    type Output = Self;

    fn mul(self, other: Self) -> Self {
        let mut product = Self::bilinear(self, other, |a, b| a * b);
        product.tangent = product.tangent.map(|tangent| spread(tangent, &product.value));
        product
    }
}

/// A tangent that is the same for all of what `value` was spread over.
fn spread<const D: usize>(tangent: Tensor<D>, value: &Tensor<D>) -> Tensor<D> {
    if tangent.dims() == value.dims() { tangent } else { tangent.expand(value.dims()) }
}

/// The sum of two tangents that may be zero.
pub(super) fn add<const D: usize>(a: Option<Tensor<D>>, b: Option<Tensor<D>>) -> Option<Tensor<D>> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a + b),
        (a, b) => a.or(b),
    }
}
