//! The LSTM layer.

use burn::Tensor;
use burn::module::{Module, Param};

use super::{Linear, activation};
use crate::models::init::WeightInit;
use crate::models::{Dual, Pass};

/// A row of features a time step, read in order; the state after the last one.
///
/// With z = x_t W + b + h U split into four, i = σ(z₁), f = σ(z₂), g = tanh z₃, o = σ(z₄):
/// c ← f c + i g, h ← o tanh c, from h = c = 0. The forget gate's bias starts at 1. Tangents follow from those of the
/// parts. Cost grows with the number of time steps, one after the other. Source: Hochreiter and Schmidhuber 1997, with
/// the forget gate of Gers et al. 2000.
#[derive(Module, Debug)]
pub struct Lstm {
    input: Linear,
    /// U, `[width, 4 width]`.
    recurrent: Param<Tensor<2>>,
    width: usize,
}

impl Lstm {
    /// A layer from `inputs` features to a state of `width`.
    pub fn new(inputs: usize, width: usize, init: &mut WeightInit) -> Self {
        let mut input = Linear::new(inputs, 4 * width, init);
        input.bias = input.bias.map(|bias| {
            let forget = bias.clone().slice(width..2 * width).add_scalar(1.0);
            bias.slice_assign(width..2 * width, forget).detach().require_grad()
        });
        Self { input, recurrent: init.weight([width, 4 * width], width, 4 * width), width }
    }

    /// h after the last step of `x`, `[batch, time, inputs]`: `[batch, width]`.
    pub fn forward(&self, x: Dual<3>, pass: &Pass) -> Dual<2> {
        let [batch, time, _] = x.value.dims();
        let width = self.width;
        let projected = self.input.forward_tokens(x, pass);
        let recurrent = pass.param(&self.recurrent);
        let mut state: Option<(Dual<2>, Dual<2>)> = None;
        for step in 0..time {
            let z = projected.clone().linear(|z| z.narrow(1, step, 1).reshape([batch, 4 * width]));
            let z = match &state {
                Some((h, _)) => z + Dual::bilinear(h.clone(), recurrent.clone(), Tensor::matmul),
                None => z,
            };
            let part = |index: usize| z.clone().linear(|z| z.narrow(1, index * width, width));
            let input = activation::sigmoid(part(0)) * activation::tanh(part(2));
            let cell = match state {
                Some((_, cell)) => activation::sigmoid(part(1)) * cell + input,
                None => input,
            };
            state = Some((activation::sigmoid(part(3)) * activation::tanh(cell.clone()), cell));
        }
        match state {
            Some((h, _)) => h,
            // No time step: the state that it starts from.
            None => projected.linear(|z| z.zeros_like().reshape([batch as i32, -1])),
        }
    }
}
