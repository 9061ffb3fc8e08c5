//! Pixels from bytes to numbers of mean 0 and variance 1.

/// The affine map that was applied to every pixel: (pixel − mean) / standard deviation.
///
/// Both numbers are taken over all pixels of the training examples that are used (divisor: their number), in
/// the units of the file, 0 to 255. The test examples go through the same map.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Normalisation {
    /// Mean of the training pixels.
    pub mean: f64,
    /// Standard deviation of the training pixels, above 0.
    pub standard_deviation: f64,
}

impl Normalisation {
    /// Mean and standard deviation of bytes; `None` where all are equal (or there are none), since then there
    /// is nothing to divide by.
    ///
    /// The sums run over the 256 values with their counts, so that they are exact to rounding for any number
    /// of pixels.
    ///
    /// ```
    /// use stepscope::data::Normalisation;
    /// let normalisation = Normalisation::of(&[0, 4]).expect("two different pixels");
    /// assert_eq!((normalisation.mean, normalisation.standard_deviation), (2.0, 2.0));
    /// assert!(Normalisation::of(&[7, 7]).is_none());
    /// ```
    pub fn of(pixels: &[u8]) -> Option<Self> {
        let mut counts = [0_u64; 256];
        for &pixel in pixels {
            counts[usize::from(pixel)] += 1;
        }
        if counts.iter().filter(|&&count| count > 0).count() < 2 {
            return None;
        }
        let num_pixels = pixels.len() as f64;
        let mean_of = |f: &dyn Fn(f64) -> f64| {
            counts.iter().enumerate().map(|(value, &count)| count as f64 * f(value as f64)).sum::<f64>() / num_pixels
        };
        let mean = mean_of(&|value| value);
        let variance = mean_of(&|value| (value - mean).powi(2));
        Some(Self { mean, standard_deviation: variance.sqrt() })
    }

    /// The normalised pixels.
    pub fn apply(&self, pixels: &[u8]) -> Vec<f32> {
        let table: [f32; 256] =
            std::array::from_fn(|value| ((value as f64 - self.mean) / self.standard_deviation) as f32);
        pixels.iter().map(|&pixel| table[usize::from(pixel)]).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn normalised_pixels_have_mean_0_and_variance_1() {
        let pixels: Vec<u8> = (0..10_000_u32).map(|i| (i * i % 251) as u8).collect();
        let normalised = Normalisation::of(&pixels).unwrap().apply(&pixels);
        let n = normalised.len() as f64;
        let mean = normalised.iter().map(|&v| f64::from(v)).sum::<f64>() / n;
        let variance = normalised.iter().map(|&v| (f64::from(v) - mean).powi(2)).sum::<f64>() / n;
        assert!(mean.abs() < 1e-6, "{mean}");
        assert!((variance - 1.0).abs() < 1e-6, "{variance}");
    }

    #[test]
    fn constant_and_empty_pixels_have_no_scale() {
        assert_eq!(Normalisation::of(&[]), None);
        assert_eq!(Normalisation::of(&[3; 100]), None);
    }
}
