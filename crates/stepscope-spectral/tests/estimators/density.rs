//! The spectral density against dense eigenvalues, its moments, and the calibration of its errors.

use crate::twin::{diagonal, dot, normal_matrix, outliers_and_bulk, standard_error};
use stepscope_spectral::random::RandomStream;
use stepscope_spectral::{
    Counted, DenseOperator, LanczosError, LinearOperator, SpectralDensity, hutchinson, spectral_density,
};

const DIM: usize = 60;

fn density_of(matrix: &DenseOperator, num_probes: usize, num_steps: usize, seed: u64) -> SpectralDensity {
    spectral_density(&mut matrix.clone(), num_probes, num_steps, &mut RandomStream::new(seed, 1)).unwrap()
}

#[test]
fn weights_are_squared_first_components_so_a_probe_keeps_its_moments_up_to_twice_the_steps() {
    let mut matrix = normal_matrix(DIM, &mut RandomStream::new(1, 0));
    let density = density_of(&matrix, 3, 6, 1);
    assert_eq!(density.num_products(), 18);
    let mut random = RandomStream::new(1, 1);
    for probe in density.probes() {
        let mut vector = vec![0.0; DIM];
        random.fill_rademacher(&mut vector);
        let (mut power, mut image) = (vector.clone(), vector.clone());
        for exponent in 0..12 {
            let expected = dot(&vector, &power) / DIM as f64;
            let moment: f64 = probe.pairs().map(|(node, weight)| weight * node.powi(exponent)).sum();
            assert!((moment - expected).abs() < 1e-11 * 16_f64.powi(exponent), "{exponent}: {moment} {expected}");
            matrix.apply(&power, &mut image).unwrap();
            std::mem::swap(&mut power, &mut image);
        }
    }
}

#[test]
fn weights_of_a_probe_sum_to_one_whatever_the_number_of_steps() {
    // Weights from whole eigenvectors would sum to the number of steps.
    let matrix = normal_matrix(DIM, &mut RandomStream::new(2, 0));
    for num_steps in [1, 2, 7, 59, 60, 200] {
        for probe in density_of(&matrix, 2, num_steps, 2).probes() {
            assert!((probe.coefficients().iter().sum::<f64>() - 1.0).abs() < 1e-12);
            assert_eq!(probe.num_modes(), num_steps.min(DIM));
        }
    }
}

#[test]
fn the_trace_is_that_of_hutchinson_with_the_same_probes() {
    let mut matrix = normal_matrix(DIM, &mut RandomStream::new(3, 0));
    for num_steps in [1, 3, 30] {
        let trace = density_of(&matrix, 8, num_steps, 3).trace("1/learning-rate");
        let direct = hutchinson(&mut matrix, 8, "1", &mut RandomStream::new(3, 1)).unwrap().trace;
        assert!((trace.value - direct.value).abs() < 1e-11, "{} {}", trace.value, direct.value);
        assert!((standard_error(&trace) - standard_error(&direct)).abs() < 1e-11);
        assert_eq!((trace.num_products, trace.unit.as_str()), (8 * num_steps as u64, "1/learning-rate"));
    }
}

#[test]
fn shares_of_the_eigenvalues_converge_to_the_count_with_calibrated_errors() {
    // 12 of 60 are negative, well apart from the rest, so 20 steps resolve the gap.
    let eigenvalues: Vec<f64> =
        (0..60).map(|k| if k < 12 { -1.0 - 0.02 * f64::from(k) } else { 0.02 * f64::from(k) }).collect();
    let matrix = DenseOperator::with_eigenvalues(&eigenvalues, &mut RandomStream::new(4, 0)).unwrap();
    let mut covered = 0;
    for seed in 0..100 {
        let negative = density_of(&matrix, 20, 20, seed).negative_mass();
        assert!((negative.value - 0.2).abs() < 0.08, "{}", negative.value);
        covered += usize::from((negative.value - 0.2).abs() <= 2.0 * standard_error(&negative));
    }
    // 94 % are expected with 19 degrees of freedom.
    assert!(covered >= 84, "{covered}");
    let few = standard_error(&density_of(&matrix, 10, 20, 7).negative_mass());
    let many = standard_error(&density_of(&matrix, 1000, 20, 7).negative_mass());
    assert!((5.0..20.0).contains(&(few / many)), "the error falls with the root of the probes: {few} {many}");
}

#[test]
fn eigenvalues_that_are_zero_to_rounding_are_not_negative() {
    let values: Vec<f64> = (0..100).map(|k| if k < 10 { 1.0 + f64::from(k) } else { -1e-9 * f64::from(k) }).collect();
    let density = spectral_density(&mut diagonal(values), 3, 20, &mut RandomStream::new(5, 0)).unwrap();
    assert_eq!(density.negative_mass().value, 0.0);
    assert!(density.mass_below(0.5).value > 0.5);
}

#[test]
fn the_smoothed_density_integrates_to_one_and_has_the_stated_width() {
    let matrix = DenseOperator::with_eigenvalues(&outliers_and_bulk(&[2.0, -1.0], DIM), &mut RandomStream::new(6, 0));
    let density = density_of(&matrix.unwrap(), 4, 20, 6);
    let width = density.natural_width();
    assert!((width - 3.0 / (19.0 * 2.964_6)).abs() < 0.02 * width, "{width}");
    let grid = density.grid(2001, width);
    let step = grid[1] - grid[0];
    let points = density.smoothed(&grid, width);
    // The three widths beyond the outer nodes leave out a tail of 1/700 of their weight.
    let integral: f64 = points.iter().map(|point| point.density * step).sum();
    assert!((integral - 1.0).abs() < 1e-3, "{integral}");
    let second: f64 = points.iter().map(|point| point.density * step * point.at.powi(2)).sum();
    let expected = density.mean_of(|node| node * node, "1").value + width * width;
    assert!((second - expected).abs() < 1e-2 * expected, "{second} {expected}");
    assert!(points.iter().any(|point| point.error > 0.0));
}

#[test]
fn the_density_per_decade_integrates_to_the_share_of_its_sign_and_bins_share_out_everything() {
    let values: Vec<f64> =
        (0..200).map(|k| 10_f64.powf(-4.0 * f64::from(k) / 200.0) * if k % 5 == 0 { -1.0 } else { 1.0 }).collect();
    let density = spectral_density(&mut diagonal(values), 6, 200, &mut RandomStream::new(7, 0)).unwrap();
    let magnitudes: Vec<f64> = (0..=1000).map(|k| 10_f64.powf(-6.0 + f64::from(k) * 0.008)).collect();
    for (negative, share) in [(false, 0.8), (true, 0.2)] {
        let points = density.per_decade(&magnitudes, 0.2, negative);
        let integral: f64 = points.iter().map(|point| point.density * 0.008).sum();
        assert!((integral - share).abs() < 0.01, "{integral}");
    }
    let bins = density.histogram(&[-2.0, -0.1, 0.0, 1e-3, 1e-2, 0.1, 2.0]);
    assert!((bins.iter().map(|bin| bin.0).sum::<f64>() - 1.0).abs() < 1e-12);
    assert!((bins[3].0 - 0.2).abs() < 0.02, "a quarter of 0.8 in a decade of four: {bins:?}");
}

#[test]
fn products_are_counted_and_settings_refused() {
    let mut counted = Counted::new(normal_matrix(10, &mut RandomStream::new(8, 0)));
    let density = spectral_density(&mut counted, 3, 100, &mut RandomStream::new(8, 1)).unwrap();
    assert_eq!(counted.num_products(), density.num_products());
    assert_eq!(density.num_products(), 30, "no more steps than rows");
    let refused = spectral_density(&mut counted, 1, 100, &mut RandomStream::new(8, 1)).unwrap_err();
    assert!(matches!(refused, LanczosError::Setting { setting: "num_probes", .. }));
    assert!(spectral_density(&mut counted, 2, 0, &mut RandomStream::new(8, 1)).is_err());
}
