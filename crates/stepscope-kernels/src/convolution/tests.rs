//! Against the definitions, written as six nested loops in f64.

use proptest::prelude::*;

use super::Convolution;

/// Calls `visit(output index, weight index, image index)` for every product of the definition.
fn visit(c: &Convolution, num_images: usize, mut visit: impl FnMut(usize, usize, usize)) {
    let [rows, columns] = c.output_size();
    for n in 0..num_images {
        for o in 0..c.channels_out {
            for (r, q) in (0..rows).flat_map(|r| (0..columns).map(move |q| (r, q))) {
                for i in 0..c.channels_in {
                    for (a, b) in (0..c.kernel[0]).flat_map(|a| (0..c.kernel[1]).map(move |b| (a, b))) {
                        let row = (r * c.stride[0] + a).wrapping_sub(c.padding[0]);
                        let column = (q * c.stride[1] + b).wrapping_sub(c.padding[1]);
                        if row < c.size[0] && column < c.size[1] {
                            visit(
                                ((n * c.channels_out + o) * rows + r) * columns + q,
                                c.weight_index(o, i, a, b),
                                ((n * c.channels_in + i) * c.size[0] + row) * c.size[1] + column,
                            );
                        }
                    }
                }
            }
        }
    }
}

fn numbers(count: usize, seed: usize) -> Vec<f64> {
    (0..count).map(|i| ((i * 7919 + seed * 104_729) % 1009) as f64 / 504.5 - 1.0).collect()
}

struct Case {
    convolution: Convolution,
    images: Vec<f64>,
    weights: Vec<f64>,
    bias: Vec<f64>,
    gradient: Vec<f64>,
}

impl Case {
    fn new(convolution: Convolution, num_images: usize) -> Self {
        Self {
            convolution,
            images: numbers(num_images * convolution.image_length(), 1),
            weights: numbers(convolution.channels_out * convolution.num_taps(), 2),
            bias: numbers(convolution.channels_out, 3),
            gradient: numbers(num_images * convolution.output_length(), 4),
        }
    }

    /// Outputs, image gradient and weight gradient by the definition.
    fn expected(&self) -> [Vec<f64>; 3] {
        let num_images = self.images.len() / self.convolution.image_length();
        let pixels = self.convolution.output_length() / self.convolution.channels_out;
        let mut outputs: Vec<f64> =
            (0..self.gradient.len()).map(|index| self.bias[index / pixels % self.convolution.channels_out]).collect();
        let mut images = vec![0.0; self.images.len()];
        let mut weights = vec![0.0; self.weights.len()];
        visit(&self.convolution, num_images, |output, weight, image| {
            outputs[output] += self.weights[weight] * self.images[image];
            images[image] += self.weights[weight] * self.gradient[output];
            weights[weight] += self.images[image] * self.gradient[output];
        });
        [outputs, images, weights]
    }

    fn computed(&self) -> [Vec<f64>; 3] {
        let c = &self.convolution;
        [
            c.forward(&self.images, &self.weights, Some(&self.bias)),
            c.image_gradient(&self.weights, &self.gradient),
            c.weight_gradient(&self.images, &self.gradient),
        ]
    }
}

fn assert_close(computed: &[f64], expected: &[f64], tolerance: f64) {
    assert_eq!(computed.len(), expected.len());
    let scale = expected.iter().fold(1.0_f64, |most, value| most.max(value.abs()));
    for (index, (a, b)) in computed.iter().zip(expected).enumerate() {
        assert!((a - b).abs() <= tolerance * scale, "{index}: {a} and {b}");
    }
}

#[test]
fn the_shapes_of_real_networks_agree_with_the_definition() {
    for (image, channels_out, kernel, stride, padding, num_images) in [
        ([3, 32, 32], 32, 3, 1, 1, 3),
        ([32, 13, 13], 9, 3, 1, 0, 2),
        ([16, 16, 16], 32, 3, 2, 1, 3),
        ([16, 16, 16], 8, 1, 2, 0, 3),
        ([64, 4, 4], 17, 3, 1, 1, 70),
        ([5, 2, 2], 3, 2, 2, 0, 7),
        ([1, 28, 28], 6, 5, 1, 2, 2),
        // No gap between images, and a last group that does not fill its vectors: what an earlier group left must not count.
        ([5, 3, 3], 4, 1, 1, 0, 150),
        // Two rows at a time: an odd number of rows, groups that are not full, another number of columns in the kernel is below.
        ([6, 3, 3], 5, 3, 1, 1, 151),
        ([16, 8, 8], 16, 3, 1, 1, 37),
    ] {
        let c = Convolution::new(image, channels_out, [kernel; 2], [stride; 2], [padding; 2]).unwrap();
        let case = Case::new(c, num_images);
        for (computed, expected) in case.computed().iter().zip(case.expected()) {
            assert_close(computed, &expected, 1e-13);
        }
    }
}

#[test]
fn f32_agrees_to_its_rounding() {
    let c = Convolution::new([8, 9, 11], 10, [3, 3], [1, 1], [1, 1]).unwrap();
    let case = Case::new(c, 5);
    let narrow = |values: &[f64]| values.iter().map(|&value| value as f32).collect::<Vec<f32>>();
    let widen = |values: Vec<f32>| values.into_iter().map(f64::from).collect::<Vec<f64>>();
    let (images, weights, bias, gradient) =
        (narrow(&case.images), narrow(&case.weights), narrow(&case.bias), narrow(&case.gradient));
    let [outputs, image_gradient, weight_gradient] = case.expected();
    assert_close(&widen(c.forward(&images, &weights, Some(&bias))), &outputs, 1e-5);
    assert_close(&widen(c.image_gradient(&weights, &gradient)), &image_gradient, 1e-5);
    assert_close(&widen(c.weight_gradient(&images, &gradient)), &weight_gradient, 1e-5);
}

#[test]
fn a_result_is_the_same_to_the_bit_on_every_call() {
    let c = Convolution::new([7, 10, 10], 5, [3, 3], [1, 1], [1, 1]).unwrap();
    let case = Case::new(c, 37);
    assert_eq!(case.computed(), case.computed());
}

#[test]
fn no_images_give_nothing_and_impossible_sizes_are_refused() {
    let c = Convolution::new([2, 4, 4], 3, [3, 3], [1, 1], [0, 0]).unwrap();
    assert!(c.forward::<f32>(&[], &[0.0; 54], None).is_empty());
    assert_eq!(c.weight_gradient::<f32>(&[], &[]), [0.0; 54]);
    for (image, out, kernel, stride) in
        [([0, 4, 4], 1, 3, 1), ([1, 4, 4], 0, 3, 1), ([1, 4, 4], 1, 0, 1), ([1, 4, 4], 1, 3, 0), ([1, 2, 4], 1, 3, 1)]
    {
        assert!(Convolution::new(image, out, [kernel; 2], [stride; 2], [0; 2]).is_err());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]
    #[test]
    fn any_sizes_agree_with_the_definition(
        image in [1..4_usize, 1..9, 1..9],
        channels_out in 1..10_usize,
        kernel in [1..4_usize, 1..4],
        stride in [1..4_usize, 1..4],
        padding in [0..3_usize, 0..3],
        num_images in 1..5_usize,
    ) {
        let Ok(c) = Convolution::new(image, channels_out, kernel, stride, padding) else { return Ok(()) };
        let case = Case::new(c, num_images);
        for (computed, expected) in case.computed().iter().zip(case.expected()) {
            assert_close(computed, &expected, 1e-13);
        }
    }
}
