//! The affine map that gives the training pixels mean 0 and variance 1, channel by channel.

/// Of one channel: pixel -> (pixel − `mean`) / `standard_deviation`, in units of raw pixel values.
///
/// The two numbers come from the training images in use. The test images, and every later batch, go through the same map, so
/// that nothing of the test set enters training.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Normalisation {
    /// Mean of the training pixels of the channel.
    pub mean: f64,
    /// Standard deviation of the training pixels of the channel, with divisor n; above 0.
    pub standard_deviation: f64,
}

impl Normalisation {
    /// The map that normalises these pixels; `None` where they are all equal.
    ///
    /// Exact: sums run over the 256 values with their counts.
    ///
    /// ```
    /// use stepscope::data::Normalisation;
    /// let normalisation = Normalisation::of([0, 4, 0, 4]).unwrap();
    /// assert_eq!((normalisation.mean, normalisation.standard_deviation), (2.0, 2.0));
    /// assert!(Normalisation::of([7, 7]).is_none());
    /// ```
    pub fn of(pixels: impl IntoIterator<Item = u8>) -> Option<Self> {
        let mut counts = [0_u64; 256];
        for pixel in pixels {
            counts[usize::from(pixel)] += 1;
        }
        if counts.iter().filter(|&&count| count > 0).count() < 2 {
            return None;
        }
        let num_pixels = counts.iter().sum::<u64>() as f64;
        let mean_of = |f: &dyn Fn(f64) -> f64| {
            counts.iter().enumerate().map(|(value, &count)| count as f64 * f(value as f64)).sum::<f64>() / num_pixels
        };
        let mean = mean_of(&|value| value);
        let variance = mean_of(&|value| (value - mean).powi(2));
        Some(Self { mean, standard_deviation: variance.sqrt() })
    }

    /// The normalised value of each of the 256 pixel values.
    pub fn table(&self) -> [f32; 256] {
        std::array::from_fn(|value| ((value as f64 - self.mean) / self.standard_deviation) as f32)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn normalised_pixels_have_mean_0_and_variance_1() {
        let pixels: Vec<u8> = (0..10_000_u32).map(|i| (i * i % 251) as u8).collect();
        let table = Normalisation::of(pixels.iter().copied()).unwrap().table();
        let normalised: Vec<f64> = pixels.iter().map(|&pixel| f64::from(table[usize::from(pixel)])).collect();
        let n = normalised.len() as f64;
        let mean = normalised.iter().sum::<f64>() / n;
        let variance = normalised.iter().map(|&v| (v - mean).powi(2)).sum::<f64>() / n;
        assert!(mean.abs() < 1e-6, "{mean}");
        assert!((variance - 1.0).abs() < 1e-6, "{variance}");
    }

    #[test]
    fn constant_and_empty_pixels_have_no_scale() {
        assert_eq!(Normalisation::of([]), None);
        assert_eq!(Normalisation::of([3; 100]), None);
    }
}
