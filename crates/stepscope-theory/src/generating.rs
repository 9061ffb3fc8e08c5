//! The generating functions U~(z) and V~(z) of a model under constant settings.

use crate::complex::Complex;
use crate::model::QuadraticModel;
use crate::sgd::Sgd;

/// Both sums at one z.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sums {
    /// U~/τ1 = γ Σ a²λ²(1 + bz)/S_k: the loss that one unit of drive τ1·S + σ² gives.
    pub(crate) response: Complex,
    /// V~ = Σ λC₀(1 − bz − b²z + b³z² + 2abλz)/S_k: the loss without noise.
    pub(crate) signal: Complex,
    /// Whether every S_k has a positive real part: no pole passed on the way from z = 0.
    pub(crate) before_poles: bool,
}

/// S_k = (1 − bz)[(1 − z)(1 − b²z) + z·aλ(2(1 + b) − aλ)] + γτ2 a²λ² z(1 + bz).
///
/// `one_minus_z` is passed on its own: near z = 1 it must not be formed by subtraction (`loss-prediction`, section 2).
pub(crate) fn denominator(sgd: &Sgd, gamma_tau2: f64, z: Complex, one_minus_z: Complex, eigenvalue: f64) -> Complex {
    let (a, b) = (sgd.learning_rate, sgd.momentum);
    let rate = a * eigenvalue;
    let free = one_minus_z * (-(z * (b * b)) + 1.0) + z * (rate * (2.0 * (1.0 + b) - rate));
    (-(z * b) + 1.0) * free + z * (z * b + 1.0) * (gamma_tau2 * rate * rate)
}

/// Evaluates both sums over the positive modes. O(modes).
pub(crate) fn sums(model: &QuadraticModel, sgd: &Sgd, z: Complex, one_minus_z: Complex) -> Sums {
    let (a, b) = (sgd.learning_rate, sgd.momentum);
    let gamma_tau2 = sgd.noise_factor * model.closure().tau2();
    let plus = z * b + 1.0;
    let free = -(z * (b + b * b)) + z * z * (b * b * b) + 1.0;
    let (mut response, mut signal, mut before_poles) = (Complex::ZERO, Complex::ZERO, true);
    for (eigenvalue, noise_weight, initial) in model.modes.nodes() {
        let denominator = denominator(sgd, gamma_tau2, z, one_minus_z, eigenvalue);
        before_poles &= denominator.re > 0.0;
        let inverse = Complex::real(1.0) / denominator;
        response = response + inverse * noise_weight;
        signal = signal + (free + z * (2.0 * a * b * eigenvalue)) * inverse * initial;
    }
    Sums { response: plus * response * (sgd.noise_factor * a * a), signal, before_poles }
}

/// L~(z) = ½ (V~ + zσ²·U~/(τ1(1 − z)))/(1 − zU~), without floor and negative modes.
pub(crate) fn loss(model: &QuadraticModel, sgd: &Sgd, z: Complex, one_minus_z: Complex) -> Complex {
    let sums = sums(model, sgd, z, one_minus_z);
    let forced = z * sums.response * model.label_noise() / one_minus_z;
    (sums.signal + forced) * 0.5 / (-(z * sums.response * model.closure().tau1()) + 1.0)
}

/// U~ at a real z in (0, 1], and whether z lies before every pole.
pub(crate) fn noise_gain_at(model: &QuadraticModel, sgd: &Sgd, z: f64, one_minus_z: f64) -> (f64, bool) {
    let sums = sums(model, sgd, Complex::real(z), Complex::real(one_minus_z));
    (model.closure().tau1() * sums.response.re, sums.before_poles)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::RandomStream;

    /// Claim 6 of `loss-prediction`.
    #[test]
    fn the_denominator_stays_positive_and_the_noise_gain_rises_on_the_unit_interval() {
        let mut random = RandomStream::from_seed(6);
        let mut checked = 0;
        while checked < 100_000 {
            let momentum = 2.0 * random.uniform() - 1.0;
            let gamma_tau2 = random.uniform();
            let rate = 2.0 * (1.0 + momentum) * random.uniform().powi(3);
            let damping = (1.0 - momentum) - gamma_tau2 * (1.0 + momentum);
            if rate <= 0.0 || (damping > 0.0 && rate * damping >= 2.0 * (1.0 - momentum * momentum)) {
                continue;
            }
            let sgd = Sgd { learning_rate: rate, momentum, noise_factor: 1.0 };
            let term = |z: f64| {
                let value = denominator(&sgd, gamma_tau2, Complex::real(z), Complex::real(1.0 - z), 1.0).re;
                assert!(value > 0.0, "S = {value} at z = {z}, b = {momentum}, aλ = {rate}, γτ2 = {gamma_tau2}");
                z * (1.0 + momentum * z) / value
            };
            let (one, other) = (random.uniform(), random.uniform());
            let (low, high) = (term(one.min(other)), term(one.max(other)));
            assert!(high >= low, "zU falls from {low} to {high}: {one} {other}, b = {momentum}, aλ = {rate}");
            checked += 1;
        }
    }
}
