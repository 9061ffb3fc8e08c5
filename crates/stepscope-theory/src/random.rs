//! Normal, uniform and whole-number draws from an explicit seed: the only place that knows the generator.

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// A seeded stream of draws.
#[derive(Debug, Clone)]
pub(crate) struct RandomStream {
    generator: ChaCha8Rng,
    spare_normal: Option<f64>,
}

impl RandomStream {
    pub(crate) fn from_seed(seed: u64) -> Self {
        Self { generator: ChaCha8Rng::seed_from_u64(seed), spare_normal: None }
    }

    /// Uniform on [0, 1), 53 bits.
    pub(crate) fn uniform(&mut self) -> f64 {
        (self.generator.next_u64() >> 11) as f64 * (1.0 / (1_u64 << 53) as f64)
    }

    /// Uniform on 0..limit; the bias of the multiplication is below 2⁻⁵³ · limit.
    pub(crate) fn below(&mut self, limit: usize) -> usize {
        (self.uniform() * limit as f64) as usize
    }

    /// Standard normal, by Marsaglia's polar method.
    pub(crate) fn normal(&mut self) -> f64 {
        if let Some(value) = self.spare_normal.take() {
            return value;
        }
        loop {
            let (u, v) = (2.0 * self.uniform() - 1.0, 2.0 * self.uniform() - 1.0);
            let square = u * u + v * v;
            if square > 0.0 && square < 1.0 {
                let factor = (-2.0 * square.ln() / square).sqrt();
                self.spare_normal = Some(v * factor);
                return u * factor;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draws_have_the_moments_of_their_law() {
        let mut random = RandomStream::from_seed(1);
        let n = 200_000;
        let (mut mean, mut square, mut fourth) = (0.0, 0.0, 0.0);
        for _ in 0..n {
            let x = random.normal();
            mean += x / n as f64;
            square += x * x / n as f64;
            fourth += x.powi(4) / n as f64;
        }
        let sd = 1.0 / (n as f64).sqrt();
        assert!(mean.abs() < 4.5 * sd, "{mean}");
        assert!((square - 1.0).abs() < 4.5 * 2f64.sqrt() * sd, "{square}");
        assert!((fourth - 3.0).abs() < 4.5 * 96f64.sqrt() * sd, "{fourth}");
        let draws: Vec<usize> = (0..60_000).map(|_| random.below(6)).collect();
        for face in 0..6 {
            let share = draws.iter().filter(|&&d| d == face).count() as f64 / 60_000.0;
            assert!((share - 1.0 / 6.0).abs() < 4.5 * (5.0 / 36.0 / 60_000.0_f64).sqrt(), "{face}: {share}");
        }
    }
}
