//! A sketch of an operator's range, used leave-one-out: XTrace and XDiag.

use crate::kernels;
use crate::operator::{LinearOperator, ProductError, checked_apply};
use crate::process::rounding_level;
use crate::random::RandomStream;

/// Random-sign probes Ω, their products AΩ = QR, and Z = AQ, grown one probe at a time.
///
/// Leaving probe i out, the sketched space is Q_(i) = Q(I − s sᵀ) with s ∝ R⁻ᵀ e_i: every probe can be the test of a
/// space that the others span, without a product more.
pub(crate) struct Sketch {
    dim: usize,
    probes: Vec<Vec<f64>>,
    basis: Vec<Vec<f64>>,
    /// Column i of R: AΩ e_i in the basis.
    triangle: Vec<Vec<f64>>,
    /// Z, of the first vectors of the basis.
    images: Vec<Vec<f64>>,
    /// ωᵀAω and ‖Aω‖ of every probe: Hutchinson's samples.
    pub(crate) traces: Vec<f64>,
    pub(crate) norms: Vec<f64>,
    num_products: u64,
    /// Whether a product brought nothing new: Q then holds the whole range of A.
    exhausted: bool,
    small: SmallMatrices,
}

/// Inner products between the long vectors.
#[derive(Default)]
struct SmallMatrices {
    /// QᵀZ = QᵀAQ.
    projected: Vec<Vec<f64>>,
    /// ZᵀZ.
    squared: Vec<Vec<f64>>,
    /// QᵀΩ.
    probes: Vec<Vec<f64>>,
    /// ZᵀΩ.
    image_probes: Vec<Vec<f64>>,
}

/// What one probe says about A, given the space of all others.
pub(crate) struct LeaveOneOut {
    /// Estimate of tr A.
    pub(crate) trace: f64,
    /// Estimate of ‖A‖_F².
    pub(crate) square: f64,
}

impl Sketch {
    pub(crate) fn new(dim: usize) -> Self {
        Self {
            dim,
            probes: Vec::new(),
            basis: Vec::new(),
            triangle: Vec::new(),
            images: Vec::new(),
            traces: Vec::new(),
            norms: Vec::new(),
            num_products: 0,
            exhausted: false,
            small: SmallMatrices::default(),
        }
    }

    pub(crate) fn num_products(&self) -> u64 {
        self.num_products
    }

    pub(crate) fn is_exhausted(&self) -> bool {
        self.exhausted
    }

    /// Draws a probe and multiplies it: one product. Nothing happens once the range is exhausted.
    pub(crate) fn add_probe<O: LinearOperator + ?Sized>(
        &mut self,
        operator: &mut O,
        random: &mut RandomStream,
    ) -> Result<(), ProductError<O::Error>> {
        if self.exhausted {
            return Ok(());
        }
        let (mut probe, mut image) = (vec![0.0; self.dim], vec![0.0; self.dim]);
        random.fill_rademacher(&mut probe);
        let norm = checked_apply(operator, &probe, &mut image, self.num_products + 1)?;
        self.num_products += 1;
        self.traces.push(kernels::dot(&probe, &image));
        self.norms.push(norm);
        let rest = kernels::orthogonalise(&self.basis, 0, &mut image, norm);
        if rest.norm <= rounding_level(self.dim, norm) {
            self.exhausted = true;
            return Ok(());
        }
        kernels::divide(&mut image, rest.norm);
        let mut column = rest.coefficients;
        column.push(rest.norm);
        self.triangle.push(column);
        self.basis.push(image);
        self.probes.push(probe);
        Ok(())
    }

    /// Multiplies the basis vectors that have no image yet: a product each.
    pub(crate) fn complete<O: LinearOperator + ?Sized>(
        &mut self,
        operator: &mut O,
    ) -> Result<(), ProductError<O::Error>> {
        while let Some(direction) = self.basis.get(self.images.len()) {
            let mut image = vec![0.0; self.dim];
            checked_apply(operator, direction, &mut image, self.num_products + 1)?;
            self.num_products += 1;
            let count = self.images.len();
            let probe = &self.probes[count];
            let (basis, probes) = (&self.basis[..=count], &self.probes[..count]);
            let small = &mut self.small;
            grow(&mut small.probes, kernels::project(probes, direction), kernels::project(basis, probe));
            grow(&mut small.projected, kernels::project(&self.images, direction), kernels::project(basis, &image));
            let mut along_images = kernels::project(&self.images, probe);
            along_images.push(kernels::dot(&image, probe));
            grow(&mut small.image_probes, kernels::project(probes, &image), along_images);
            let mut squares = kernels::project(&self.images, &image);
            squares.push(kernels::dot(&image, &image));
            grow(&mut small.squared, squares[..count].to_vec(), squares);
            self.images.push(image);
        }
        Ok(())
    }

    /// tr QᵀAQ and ‖AQ‖_F²: everything, once the range is exhausted.
    pub(crate) fn within(&self) -> LeaveOneOut {
        LeaveOneOut { trace: diagonal_sum(&self.small.projected), square: diagonal_sum(&self.small.squared) }
    }

    /// The unit vector s of a probe: orthogonal to every column of R but its own. O(k²).
    fn left_out(&self, probe: usize) -> Vec<f64> {
        let mut solution = vec![0.0; self.images.len()];
        for row in probe..solution.len() {
            let known = kernels::dot(&self.triangle[row][..row], &solution[..row]);
            let right = if row == probe { 1.0 } else { 0.0 };
            solution[row] = (right - known) / self.triangle[row][row];
        }
        let norm = kernels::norm(&solution);
        kernels::divide(&mut solution, norm);
        solution
    }

    /// The column of R of a probe, as long as the basis.
    fn column(&self, probe: usize) -> Vec<f64> {
        let mut column = self.triangle[probe].clone();
        column.resize(self.images.len(), 0.0);
        column
    }

    /// One estimate a probe of a completed sketch: tr(P A) + ωᵀ(I − P)A(I − P)ω and ‖AP‖² + ‖A(I − P)ω‖², where P projects
    /// on the space of the other probes. Unbiased, each; not independent of each other.
    pub(crate) fn leave_one_out(&self) -> Vec<LeaveOneOut> {
        let within = self.within();
        let SmallMatrices { projected, squared, probes, image_probes } = &self.small;
        let estimate = |index: usize| {
            let s = self.left_out(index);
            let column = self.column(index);
            let probe: Vec<f64> = probes.iter().map(|row| row[index]).collect();
            let along_images: Vec<f64> = image_probes.iter().map(|row| row[index]).collect();
            let along = kernels::dot(&s, &probe);
            // c = (I − s sᵀ) Qᵀω, the probe inside the space of the others.
            let mut inside = probe;
            kernels::add_scaled(&mut inside, -along, &s);
            let trace = within.trace - quadratic(projected, &s, &s) + along * kernels::dot(&s, &column)
                - kernels::dot(&along_images, &inside)
                + quadratic(projected, &inside, &inside);
            let square = within.square - quadratic(squared, &s, &s) + kernels::dot(&column, &column)
                - 2.0 * quadratic(projected, &column, &inside)
                + quadratic(squared, &inside, &inside);
            LeaveOneOut { trace, square: square.max(0.0) }
        };
        (0..self.images.len()).map(estimate).collect()
    }

    /// The diagonal of QQᵀA: that of A, once the range is exhausted.
    pub(crate) fn diagonal_within(&self) -> Vec<f64> {
        let mut diagonal = vec![0.0; self.dim];
        for (q, z) in self.basis.iter().zip(&self.images) {
            diagonal.iter_mut().zip(q).zip(z).for_each(|((d, x), y)| *d += x * y);
        }
        diagonal
    }

    /// The leave-one-out estimates of the diagonal, given to `take` one probe after the other:
    /// diag(P A) + ω ⊙ (I − P)Aω.
    pub(crate) fn leave_one_out_diagonals(&self, mut take: impl FnMut(&[f64])) {
        let within = self.diagonal_within();
        for (index, probe) in self.probes[..self.images.len()].iter().enumerate() {
            let s = self.left_out(index);
            let outside = kernels::dot(&s, &self.column(index));
            let (mut direction, mut image) = (vec![0.0; self.dim], vec![0.0; self.dim]);
            kernels::add_combination(&self.basis[..s.len()], &s, &mut direction);
            kernels::add_combination(&self.images, &s, &mut image);
            for ((q, z), (d, sign)) in direction.iter_mut().zip(&image).zip(within.iter().zip(probe)) {
                *q = d - *q * z + sign * *q * outside;
            }
            take(&direction);
        }
    }
}

/// Adds a row and a column to a square matrix; the column brings the corner.
fn grow(matrix: &mut Vec<Vec<f64>>, mut row: Vec<f64>, column: Vec<f64>) {
    for (existing, entry) in matrix.iter_mut().zip(&column) {
        existing.push(*entry);
    }
    row.extend(column.last());
    matrix.push(row);
}

fn diagonal_sum(matrix: &[Vec<f64>]) -> f64 {
    matrix.iter().enumerate().map(|(index, row)| row[index]).sum()
}

/// aᵀ M b.
fn quadratic(matrix: &[Vec<f64>], a: &[f64], b: &[f64]) -> f64 {
    matrix.iter().zip(a).map(|(row, x)| x * kernels::dot(row, b)).sum()
}
