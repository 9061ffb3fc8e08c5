//! Non-negative least squares for a handful of unknowns.

use faer::Mat;
use faer::linalg::solvers::SolveLstsq;

/// min ‖Ax − b‖ over x ≥ 0 by active sets (Lawson and Hanson 1974, chapter 23); `columns[j]` is column j of A.
///
/// Exact in finitely many rounds; a round solves one least-squares problem of the columns in use.
pub(crate) fn non_negative(columns: &[Vec<f64>], right: &[f64]) -> Vec<f64> {
    let count = columns.len();
    let mut solution = vec![0.0; count];
    let mut used: Vec<usize> = Vec::new();
    let scale = dot(right, right).sqrt();
    for _ in 0..10 * count {
        let residual = residual(columns, right, &solution);
        let slope = |j: usize| dot(&columns[j], &residual);
        let candidates = (0..count).filter(|j| !used.contains(j));
        let Some(entering) = candidates.max_by(|&i, &j| slope(i).total_cmp(&slope(j))) else { break };
        if slope(entering) <= 1e-12 * scale * dot(&columns[entering], &columns[entering]).sqrt() {
            break;
        }
        used.push(entering);
        if !settle(columns, right, &mut used, &mut solution) {
            break;
        }
    }
    solution
}

/// Solves on the used columns, dropping those that turn negative on the way; false where nothing moved.
fn settle(columns: &[Vec<f64>], right: &[f64], used: &mut Vec<usize>, solution: &mut [f64]) -> bool {
    let before = solution.to_vec();
    while !used.is_empty() {
        let trial = free_solution(columns, right, used);
        let blocked = used.iter().zip(&trial).filter(|(_, value)| **value <= 0.0);
        let share = blocked.map(|(&j, value)| solution[j] / (solution[j] - value)).fold(1.0_f64, f64::min);
        for (&j, value) in used.iter().zip(&trial) {
            solution[j] += share * (value - solution[j]);
        }
        if share >= 1.0 {
            break;
        }
        used.retain(|&j| {
            let kept = solution[j] > 1e-14;
            if !kept {
                solution[j] = 0.0;
            }
            kept
        });
    }
    solution.iter().zip(&before).any(|(a, b)| a != b)
}

fn free_solution(columns: &[Vec<f64>], right: &[f64], used: &[usize]) -> Vec<f64> {
    let rows = right.len();
    // A trace of regularisation keeps neighbouring columns, which are nearly parallel, apart.
    let ridge = 1e-10 * used.iter().map(|&j| dot(&columns[j], &columns[j])).fold(0.0, f64::max).sqrt();
    let matrix = Mat::from_fn(rows + used.len(), used.len(), |i, j| {
        if i < rows {
            columns[used[j]][i]
        } else if i - rows == j {
            ridge
        } else {
            0.0
        }
    });
    let target = Mat::from_fn(rows + used.len(), 1, |i, _| right.get(i).copied().unwrap_or(0.0));
    let solved = matrix.qr().solve_lstsq(&target);
    (0..used.len()).map(|j| solved[(j, 0)]).collect()
}

fn residual(columns: &[Vec<f64>], right: &[f64], solution: &[f64]) -> Vec<f64> {
    let mut residual = right.to_vec();
    for (column, &weight) in columns.iter().zip(solution).filter(|(_, weight)| **weight != 0.0) {
        residual.iter_mut().zip(column).for_each(|(r, c)| *r -= weight * c);
    }
    residual
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(x, y)| x * y).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_constrained_minimum_satisfies_its_conditions() {
        let columns: Vec<Vec<f64>> =
            (0..6).map(|j| (0..8).map(|i| f64::from((i * i + 3 * j * i + 7 * j) % 11) - 4.0).collect()).collect();
        let right: Vec<f64> = (0..8).map(|i| f64::from((5 * i + 2) % 7) - 3.0).collect();
        let solution = non_negative(&columns, &right);
        let residual = residual(&columns, &right, &solution);
        assert!(solution.iter().any(|x| *x > 0.0) && solution.contains(&0.0), "{solution:?}");
        for (column, &value) in columns.iter().zip(&solution) {
            let slope = dot(column, &residual);
            assert!(value >= 0.0 && slope < 1e-7 && (value == 0.0 || slope.abs() < 1e-7), "{value} {slope}");
        }
    }
}
