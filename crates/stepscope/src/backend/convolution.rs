//! The convolution of `stepscope-kernels` as an operation of Burn, with its gradients.

use burn::Tensor;
use burn::backend::autodiff::NodeId;
use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::flex::FlexTensor;
use burn::backend::ops::ModuleOps;
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, Dispatch, Flex, TensorMetadata, backend_extension};
use burn::tensor::DType;
use burn::tensor::ops::ConvOptions;
use stepscope_kernels::{Convolution, Element};

use super::flex_float::{FlexFloat, in_float_of, layout, ready};
use super::is_ours;
use super::kept::Kept;

/// y = x * W + b of images x `[n, in, rows, columns]` and weights W `[out, in, rows, columns]`: on the processor by
/// [`Convolution`], with what is kept of it, where there is one group and no dilation; else by Burn.
pub(crate) fn conv2d(
    images: Tensor<4>,
    weights: Tensor<4>,
    bias: Option<Tensor<1>>,
    options: ConvOptions<2>,
    kept: &Kept,
) -> Tensor<4> {
    let even = options.padding.iter().all(|(begin, end)| begin == end);
    let simple = options.groups == 1 && options.dilation == [1, 1] && even;
    if !simple || !is_ours(&images) {
        return burn::tensor::module::conv2d(images, weights, bias, options);
    }
    let (stride, padding) = (options.stride, options.padding.map(|(begin, _)| begin));
    let zeros = || Tensor::zeros([weights.dims()[0]], (&images.device(), images.dtype()));
    let bias = bias.unwrap_or_else(zeros).into_dispatch();
    let (images, weights) = (images.into_dispatch(), weights.into_dispatch());
    let out = <Dispatch as ConvolutionOps>::correlate(images, weights, bias, stride, padding, kept.clone());
    Tensor::from_dispatch(out)
}

/// A convolution in one group without dilation, and its gradients. A backend without an implementation of its own uses Burn's.
#[backend_extension(Flex, Autodiff)]
pub(crate) trait ConvolutionOps: Backend {
    /// x * W + b. What is to be kept is, where there is a graph.
    fn correlate(
        images: FloatTensor<Self>,
        weights: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        stride: [usize; 2],
        padding: [usize; 2],
        _kept: Kept,
    ) -> FloatTensor<Self> {
        Self::conv2d(images, weights, Some(bias), options(stride, padding))
    }

    /// The gradient with respect to x, from that with respect to the output.
    fn correlate_images_backward(
        images: FloatTensor<Self>,
        weights: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
        stride: [usize; 2],
        padding: [usize; 2],
    ) -> FloatTensor<Self> {
        Self::conv2d_x_backward(images, weights, gradient, options(stride, padding))
    }

    /// The gradient with respect to W, from that with respect to the output.
    fn correlate_weights_backward(
        images: FloatTensor<Self>,
        weights: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
        stride: [usize; 2],
        padding: [usize; 2],
    ) -> FloatTensor<Self> {
        Self::conv2d_weight_backward(images, weights, gradient, options(stride, padding))
    }

    /// The sum of each channel: the gradient with respect to b, from that with respect to the output.
    fn channel_sums(gradient: FloatTensor<Self>) -> FloatTensor<Self> {
        let channels = gradient.shape()[1];
        let sums = [3, 2, 0].into_iter().fold(gradient, Self::float_sum_dim);
        Self::float_reshape(sums, [channels].into())
    }
}

fn options(stride: [usize; 2], padding: [usize; 2]) -> ConvOptions<2> {
    ConvOptions::new(stride, padding, [1, 1], 1)
}

impl ConvolutionOps for Flex {
    fn correlate(
        images: FlexTensor,
        weights: FlexTensor,
        bias: FlexTensor,
        stride: [usize; 2],
        padding: [usize; 2],
        _kept: Kept,
    ) -> FlexTensor {
        let shape = Shapes::new(&images, &weights, stride, padding);
        match (shape, images.dtype()) {
            (Some(shape), DType::F32) => shape.forward::<f32>(&images, &weights, &bias),
            (Some(shape), DType::F64) => shape.forward::<f64>(&images, &weights, &bias),
            _ => Self::conv2d(images, weights, Some(bias), options(stride, padding)),
        }
    }

    fn correlate_images_backward(
        images: FlexTensor,
        weights: FlexTensor,
        gradient: FlexTensor,
        stride: [usize; 2],
        padding: [usize; 2],
    ) -> FlexTensor {
        let shape = Shapes::new(&images, &weights, stride, padding);
        match (shape, images.dtype()) {
            (Some(shape), DType::F32) => shape.image_gradient::<f32>(&weights, &gradient),
            (Some(shape), DType::F64) => shape.image_gradient::<f64>(&weights, &gradient),
            _ => Self::conv2d_x_backward(images, weights, gradient, options(stride, padding)),
        }
    }

    fn correlate_weights_backward(
        images: FlexTensor,
        weights: FlexTensor,
        gradient: FlexTensor,
        stride: [usize; 2],
        padding: [usize; 2],
    ) -> FlexTensor {
        let shape = Shapes::new(&images, &weights, stride, padding);
        match (shape, images.dtype()) {
            (Some(shape), DType::F32) => shape.weight_gradient::<f32>(&images, &gradient),
            (Some(shape), DType::F64) => shape.weight_gradient::<f64>(&images, &gradient),
            _ => Self::conv2d_weight_backward(images, weights, gradient, options(stride, padding)),
        }
    }

    fn channel_sums(gradient: FlexTensor) -> FlexTensor {
        in_float_of!(gradient, E => {
            let gradient = ready::<E>(gradient);
            let layout = layout(&gradient);
            let sums = layout.sums(E::read(&gradient), E::read(&gradient), &[], None);
            E::tensor(sums.iter().map(|(sum, _)| E::narrow(*sum)).collect(), &[layout.channels])
        })
    }
}

/// A convolution with the shapes of its tensors.
struct Shapes {
    convolution: Convolution,
    images: [usize; 4],
    weights: [usize; 4],
}

impl Shapes {
    /// `None` where the tensors are none of a convolution: Burn then says what is wrong.
    fn new(images: &FlexTensor, weights: &FlexTensor, stride: [usize; 2], padding: [usize; 2]) -> Option<Self> {
        let images: [usize; 4] = images.shape().to_vec().try_into().ok()?;
        let weights: [usize; 4] = weights.shape().to_vec().try_into().ok()?;
        let [_, channels, rows, columns] = images;
        let [channels_out, channels_in, kernel_rows, kernel_columns] = weights;
        let kernel = [kernel_rows, kernel_columns];
        let convolution = Convolution::new([channels, rows, columns], channels_out, kernel, stride, padding).ok()?;
        (channels == channels_in).then_some(Self { convolution, images, weights })
    }

    fn forward<E: FlexFloat>(&self, images: &FlexTensor, weights: &FlexTensor, bias: &FlexTensor) -> FlexTensor {
        let [images, weights, bias] = [images, weights, bias].map(FlexTensor::to_contiguous);
        let out = self.convolution.forward(E::read(&images), E::read(&weights), Some(E::read(&bias)));
        let [rows, columns] = self.convolution.output_size();
        E::tensor(out, &[self.images[0], self.weights[0], rows, columns])
    }

    fn image_gradient<E: FlexFloat>(&self, weights: &FlexTensor, gradient: &FlexTensor) -> FlexTensor {
        let [weights, gradient] = [weights, gradient].map(FlexTensor::to_contiguous);
        E::tensor(self.convolution.image_gradient(E::read(&weights), E::read(&gradient)), &self.images)
    }

    fn weight_gradient<E: FlexFloat>(&self, images: &FlexTensor, gradient: &FlexTensor) -> FlexTensor {
        let [images, gradient] = [images, gradient].map(FlexTensor::to_contiguous);
        E::tensor(self.convolution.weight_gradient(E::read(&images), E::read(&gradient)), &self.weights)
    }
}

impl<B: ConvolutionOps, C: CheckpointStrategy> ConvolutionOps for Autodiff<B, C> {
    fn correlate(
        images: FloatTensor<Self>,
        weights: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        stride: [usize; 2],
        padding: [usize; 2],
        kept: Kept,
    ) -> FloatTensor<Self> {
        let nodes = [images.node(), weights.node(), bias.node()];
        let prep = Correlate.prepare::<C>(nodes).compute_bound().stateful();
        let run = |images: FloatTensor<Self>, weights: FloatTensor<Self>| {
            let (images, weights, bias) = (images.into_primitive(), weights.into_primitive(), bias.into_primitive());
            kept.output(|| B::correlate(images, weights, bias, stride, padding, Kept::default()))
        };
        match prep {
            OpsKind::Tracked(mut prep) => {
                let (images_node, weights_node) = (prep.checkpoint(&images), prep.checkpoint(&weights));
                let output = run(images, weights);
                prep.finish(Parts { images: images_node, weights: weights_node, stride, padding, kept }, output)
            }
            OpsKind::UnTracked(prep) => prep.finish(run(images, weights)),
        }
    }
}

/// x * W + b in a graph.
#[derive(Debug)]
struct Correlate;

/// What a backward pass needs.
#[derive(Debug, Clone)]
struct Parts {
    images: NodeId,
    weights: NodeId,
    stride: [usize; 2],
    padding: [usize; 2],
    kept: Kept,
}

impl Parts {
    /// Registers the gradients of x and W where they are asked for.
    fn backward<B: ConvolutionOps>(
        self,
        [images_id, weights_id]: [Option<NodeId>; 2],
        gradient: FloatTensor<B>,
        gradients: &mut Gradients,
        checkpointer: &mut Checkpointer,
    ) {
        let Self { stride, padding, kept, .. } = self;
        let images = checkpointer.retrieve_node_output::<FloatTensor<B>>(self.images);
        let weights = checkpointer.retrieve_node_output::<FloatTensor<B>>(self.weights);
        if let Some(id) = images_id {
            let (images, weights, gradient) = (images.clone(), weights.clone(), gradient.clone());
            let of_images =
                kept.input_gradient(|| B::correlate_images_backward(images, weights, gradient, stride, padding));
            gradients.register::<B>(id, of_images);
        }
        if let Some(id) = weights_id {
            gradients.register::<B>(id, B::correlate_weights_backward(images, weights, gradient, stride, padding));
        }
    }
}

impl<B: ConvolutionOps> Backward<B, 3> for Correlate {
    type State = Parts;

    fn backward(self, ops: Ops<Parts, 3>, gradients: &mut Gradients, checkpointer: &mut Checkpointer) {
        let [images, weights, bias] = ops.parents.map(|parent| parent.map(|node| node.id));
        let gradient = gradients.consume::<B>(&ops.node);
        if let Some(id) = bias {
            gradients.register::<B>(id, B::channel_sums(gradient.clone()));
        }
        ops.state.backward::<B>([images, weights], gradient, gradients, checkpointer);
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::{Device, TensorData};

    use super::*;

    fn tensor<const D: usize>(shape: [usize; D], seed: usize, device: &Device) -> Tensor<D> {
        let count = shape.iter().product::<usize>();
        let values: Vec<f64> = (0..count).map(|i| ((i * 7919 + seed) % 1013) as f64 / 500.0 - 1.0).collect();
        Tensor::from_data(TensorData::new(values, shape), (device, DType::F64)).require_grad()
    }

    fn ours(x: Tensor<4>, weights: Tensor<4>, bias: Option<Tensor<1>>, options: ConvOptions<2>) -> Tensor<4> {
        conv2d(x, weights, bias, options, &Kept::default())
    }

    /// Output and gradients of Σ y² by either convolution.
    fn by(
        convolve: fn(Tensor<4>, Tensor<4>, Option<Tensor<1>>, ConvOptions<2>) -> Tensor<4>,
        with_bias: bool,
        options: ConvOptions<2>,
    ) -> Vec<Vec<f64>> {
        let device = Device::flex().autodiff();
        let images = tensor([3, 4, 8, 7], 1, &device);
        let weights = tensor([5, 4 / options.groups, 3, 2], 2, &device);
        let bias = tensor([5], 3, &device);
        let out = convolve(images.clone(), weights.clone(), with_bias.then(|| bias.clone()), options);
        let gradients = out.clone().powi_scalar(2).sum().backward();
        let numbers = |data: TensorData| data.iter::<f64>().collect::<Vec<f64>>();
        let mut all = vec![numbers(out.into_data())];
        all.extend(images.grad(&gradients).map(|gradient| numbers(gradient.into_data())));
        all.extend(weights.grad(&gradients).map(|gradient| numbers(gradient.into_data())));
        all.extend(bias.grad(&gradients).map(|gradient| numbers(gradient.into_data())));
        all
    }

    #[test]
    fn outputs_and_gradients_are_those_of_burn() {
        for (stride, padding) in [([1, 1], [0, 0]), ([1, 1], [1, 1]), ([2, 1], [2, 0]), ([2, 3], [1, 1])] {
            for with_bias in [false, true] {
                let ours = by(ours, with_bias, options(stride, padding));
                let burns = by(burn::tensor::module::conv2d, with_bias, options(stride, padding));
                assert_eq!(ours.len(), if with_bias { 4 } else { 3 });
                for (ours, burns) in ours.iter().zip(&burns) {
                    let scale = burns.iter().fold(1.0_f64, |most, value| most.max(value.abs()));
                    assert_eq!(ours.len(), burns.len());
                    assert!(ours.iter().zip(burns).all(|(a, b)| (a - b).abs() < 1e-12 * scale));
                }
            }
        }
    }

    #[test]
    fn what_the_kernels_do_not_do_is_done_by_burn() {
        let dilated = ConvOptions::new([1, 1], [1, 1], [2, 2], 1);
        assert_eq!(by(ours, true, dilated.clone()), by(burn::tensor::module::conv2d, true, dilated));
    }
}
