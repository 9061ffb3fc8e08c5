//! A block Krylov decomposition that can be restarted: the basis of [`Eigensolver`](crate::Eigensolver).

use crate::kernels;
use crate::operator::{LinearOperator, ProductError, checked_apply};
use crate::process::rounding_level;
use crate::random::RandomStream;
use crate::symmetric::symmetric_eigenpairs;
use crate::tridiagonal::{TridiagonalError, TridiagonalPair};

/// A Q = (Q F) G with (Q F) orthonormal.
///
/// Q has been multiplied, the pending directions F have not. Every residual A Q y − θ Q y is a combination of both with
/// coefficients G y − θ y, so residual norms need no product and no long vector, and hold for an operator that is not
/// symmetric as well. With one pending direction this is Lanczos.
pub(crate) struct BlockKrylov {
    /// Q, then F.
    vectors: Vec<Vec<f64>>,
    /// Columns of Q that have a column in `columns`.
    num_expanded: usize,
    /// G: entry i of column j is the component of A q_j along vector i.
    columns: Vec<Vec<f64>>,
    /// What a restart dropped of A q_j: nothing but rounding for a symmetric operator.
    dropped: Vec<f64>,
    operator_norm: f64,
    num_products: u64,
    /// Independent directions that the space was grown from.
    num_starts: usize,
    /// First column of what has grown since the space was last invariant.
    block_start: usize,
    symmetry_defect: f64,
}

impl BlockKrylov {
    /// A decomposition that starts from the span of `start`; vectors that depend on earlier ones are left out.
    pub(crate) fn new(start: Vec<Vec<f64>>) -> Self {
        let mut vectors: Vec<Vec<f64>> = Vec::with_capacity(start.len());
        for mut vector in start {
            push_direction(&mut vectors, &mut vector);
        }
        Self {
            num_starts: vectors.len(),
            vectors,
            num_expanded: 0,
            columns: Vec::new(),
            dropped: Vec::new(),
            operator_norm: 0.0,
            num_products: 0,
            block_start: 0,
            symmetry_defect: 0.0,
        }
    }

    pub(crate) fn num_products(&self) -> u64 {
        self.num_products
    }

    pub(crate) fn num_expanded(&self) -> usize {
        self.num_expanded
    }

    pub(crate) fn num_pending(&self) -> usize {
        self.vectors.len() - self.num_expanded
    }

    pub(crate) fn num_starts(&self) -> usize {
        self.num_starts
    }

    pub(crate) fn block_start(&self) -> usize {
        self.block_start
    }

    /// ‖H − Hᵀ‖_F / ‖H‖_F of the projected operator, the largest since the beginning.
    pub(crate) fn symmetry_defect(&self) -> f64 {
        self.symmetry_defect.max(self.present_defect())
    }

    /// Norms below this are rounding errors of products and inner products.
    pub(crate) fn rounding_level(&self) -> f64 {
        rounding_level(self.vectors.first().map_or(0, Vec::len), self.operator_norm)
    }

    /// Multiplies the pending direction along `direction`, coefficients over the pending ones (none: the first).
    ///
    /// One product. Nothing happens where nothing is pending.
    pub(crate) fn expand<O: LinearOperator + ?Sized>(
        &mut self,
        operator: &mut O,
        direction: Option<&[f64]>,
    ) -> Result<(), ProductError<O::Error>> {
        if self.num_pending() == 0 {
            return Ok(());
        }
        if let Some(direction) = direction {
            self.turn_pending(direction);
        }
        let num_expected = 2 * self.num_pending();
        let mut image = vec![0.0; self.vectors[self.num_expanded].len()];
        let norm = checked_apply(operator, &self.vectors[self.num_expanded], &mut image, self.num_products + 1)?;
        self.num_products += 1;
        self.num_expanded += 1;
        self.operator_norm = self.operator_norm.max(norm);
        let rest = kernels::orthogonalise(&self.vectors, num_expected, &mut image, norm);
        self.columns.push(rest.coefficients);
        self.dropped.push(0.0);
        if self.vectors.len() < image.len() && rest.norm > self.rounding_level() {
            kernels::divide(&mut image, rest.norm);
            self.vectors.push(image);
            self.columns.iter_mut().for_each(|column| column.push(0.0));
            if let Some(entry) = self.columns.last_mut().and_then(|column| column.last_mut()) {
                *entry = rest.norm;
            }
        }
        Ok(())
    }

    /// Reflects the pending directions so that the first one points along `direction`.
    fn turn_pending(&mut self, direction: &[f64]) {
        if direction.len() < 2 {
            return;
        }
        let mut mirror = direction.to_vec();
        mirror[0] += kernels::norm(direction).copysign(direction[0]);
        let to_unit = kernels::norm(&mirror) * std::f64::consts::FRAC_1_SQRT_2;
        kernels::divide(&mut mirror, to_unit);
        let mut along = vec![0.0; self.vectors[0].len()];
        kernels::add_combination(&self.vectors[self.num_expanded..], &mirror, &mut along);
        for (vector, factor) in self.vectors[self.num_expanded..].iter_mut().zip(&mirror) {
            kernels::add_scaled(vector, -factor, &along);
        }
        for column in &mut self.columns {
            let pending = &mut column[self.num_expanded..];
            let along = kernels::dot(pending, &mirror);
            kernels::add_scaled(pending, -along, &mirror);
        }
    }

    /// Adds a random direction orthogonal to everything; false where there is none.
    pub(crate) fn add_random(&mut self, random: &mut RandomStream) -> bool {
        let dim = self.vectors.first().map_or(0, Vec::len);
        if self.vectors.len() >= dim {
            return false;
        }
        let mut direction = vec![0.0; dim];
        random.fill_normal(&mut direction);
        if !self.add(direction) {
            return false;
        }
        self.block_start = self.num_expanded;
        self.num_starts += 1;
        true
    }

    /// Adds what is orthogonal to everything of a direction as the last pending one; false where that is nothing.
    pub(crate) fn add(&mut self, mut direction: Vec<f64>) -> bool {
        let is_new = push_direction(&mut self.vectors, &mut direction);
        if is_new {
            self.columns.iter_mut().for_each(|column| column.push(0.0));
        }
        is_new
    }

    /// The eigenpairs of the projected operator from row `first` on, descending.
    pub(crate) fn ritz_pairs(&self, first: usize) -> Result<Vec<TridiagonalPair>, TridiagonalError> {
        symmetric_eigenpairs(self.num_expanded - first, |i, j| self.columns[j + first][i + first])
    }

    /// Components of A Q y − θ Q y along the basis and the pending directions.
    fn rest(&self, pair: &TridiagonalPair) -> Vec<f64> {
        let first = self.num_expanded - pair.components.len();
        let mut rest = vec![0.0; self.vectors.len()];
        for (index, y) in pair.components.iter().enumerate() {
            kernels::add_scaled(&mut rest, *y, &self.columns[first + index]);
            rest[first + index] -= pair.eigenvalue * y;
        }
        rest
    }

    /// ‖A Q y − θ Q y‖ of an eigenpair of the projected operator (or of its last rows).
    pub(crate) fn residual(&self, pair: &TridiagonalPair) -> f64 {
        let first = self.num_expanded - pair.components.len();
        let dropped: f64 = pair.components.iter().zip(&self.dropped[first..]).map(|(y, lost)| y.abs() * lost).sum();
        kernels::norm(&self.rest(pair)) + dropped
    }

    /// Direction of the residual among the pending directions; none where it has no part there.
    pub(crate) fn residual_direction(&self, pair: &TridiagonalPair) -> Option<Vec<f64>> {
        let pending = self.rest(pair).split_off(self.num_expanded);
        (kernels::norm(&pending) > 0.0).then_some(pending)
    }

    /// Q y.
    pub(crate) fn combine(&self, coefficients: &[f64]) -> Vec<f64> {
        let mut vector = vec![0.0; self.vectors.first().map_or(0, Vec::len)];
        kernels::add_combination(&self.vectors[..self.num_expanded], coefficients, &mut vector);
        vector
    }

    /// Replaces the basis by the Ritz vectors of `kept`; the pending directions stay.
    pub(crate) fn restart(&mut self, kept: &[&TridiagonalPair]) {
        self.symmetry_defect = self.symmetry_defect();
        let mut columns = Vec::with_capacity(kept.len());
        let mut dropped = Vec::with_capacity(kept.len());
        for pair in kept {
            let mut rest = self.rest(pair);
            let pending = rest.split_off(self.num_expanded);
            // Nothing is left along the old basis but for asymmetry.
            dropped.push(
                kernels::norm(&rest)
                    + pair.components.iter().zip(&self.dropped).map(|(y, lost)| y.abs() * lost).sum::<f64>(),
            );
            let mut column = vec![0.0; kept.len()];
            column[columns.len()] = pair.eigenvalue;
            column.extend(pending);
            columns.push(column);
        }
        let coefficients: Vec<&[f64]> = kept.iter().map(|pair| pair.components.as_slice()).collect();
        kernels::replace_by_combinations(&mut self.vectors[..self.num_expanded], &coefficients);
        self.vectors.drain(kept.len()..self.num_expanded);
        (self.columns, self.dropped) = (columns, dropped);
        self.num_expanded = kept.len();
        self.block_start = 0;
    }

    fn present_defect(&self) -> f64 {
        let (mut entries, mut differences) = (Vec::new(), Vec::new());
        for (j, column) in self.columns.iter().enumerate() {
            for (i, entry) in column[..self.num_expanded].iter().enumerate() {
                entries.push(*entry);
                differences.push(entry - self.columns[i][j]);
            }
        }
        let scale = kernels::norm(&entries);
        if scale == 0.0 { 0.0 } else { kernels::norm(&differences) / scale }
    }
}

/// Adds the part of `vector` orthogonal to `vectors`, made a unit vector; false where rounding is all of it.
fn push_direction(vectors: &mut Vec<Vec<f64>>, vector: &mut Vec<f64>) -> bool {
    let norm = kernels::norm(vector);
    let rest = kernels::orthogonalise(vectors, 0, vector, norm).norm;
    // What lies almost inside the span would not be orthogonal to it after two passes.
    if norm == 0.0 || rest <= 1e-8 * norm {
        return false;
    }
    kernels::divide(vector, rest);
    vectors.push(std::mem::take(vector));
    true
}
