//! The quantile of Student's t that 95 % intervals use.

/// t such that a Student variable with `freedom` degrees of freedom lies within ±t with probability 0.95.
///
/// Cornish-Fisher expansion about the normal quantile, to third order: within 0.1 % from 7 degrees of freedom on.
pub(super) fn student_quantile_95(freedom: f64) -> f64 {
    let z: f64 = 1.959_963_985;
    let (z3, z5, z7) = (z.powi(3), z.powi(5), z.powi(7));
    let first = (z3 + z) / 4.0;
    let second = (5.0 * z5 + 16.0 * z3 + 3.0 * z) / 96.0;
    let third = (3.0 * z7 + 19.0 * z5 + 17.0 * z3 - 15.0 * z) / 384.0;
    z + first / freedom + second / freedom.powi(2) + third / freedom.powi(3)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_agrees_with_the_printed_tables() {
        // Two-sided 95 % points of any table of Student's t.
        for (freedom, table) in [(7.0, 2.365), (10.0, 2.228), (15.0, 2.131), (31.0, 2.040), (1e6, 1.960)] {
            let got = student_quantile_95(freedom);
            assert!((got / table - 1.0).abs() < 1e-3, "{freedom}: {got} {table}");
        }
    }
}
