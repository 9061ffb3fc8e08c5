//! Several eigenpairs at one or both ends of the spectrum within a fixed memory: block Lanczos, thick restarts.

use stepscope_types::{Estimate, Uncertainty};

use crate::block_krylov::BlockKrylov;
use crate::kernels;
use crate::lanczos::{TopEigenpair, checked_start_norm, perturbed};
use crate::operator::LinearOperator;
use crate::process::LanczosError;
use crate::random::RandomStream;
use crate::tridiagonal::{TridiagonalError, TridiagonalPair};

/// Where an [`Eigensolver`] starts.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum StartBlock<'a> {
    /// This many random directions. One needs the fewest products; b show up to b copies of a repeated eigenvalue.
    Random(usize),
    /// Vectors close to the wanted eigenvectors, usually those of an earlier measurement. Each gets a random component
    /// of 10⁻³ of its norm, so that an eigenvalue that has overtaken is found. Costs a product a vector before
    /// anything new is learnt.
    Warm(&'a [Vec<f64>]),
}

/// Settings of [`Eigensolver`].
///
/// The default is the five largest eigenpairs and the smallest to a relative residual of 10⁻⁴, within 100 products and a
/// basis of 40 vectors.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct EigensolverConfig {
    /// Eigenpairs wanted at the top; may be 0 if some are wanted at the bottom.
    pub num_largest: usize,
    /// Eigenpairs wanted at the bottom.
    pub num_smallest: usize,
    /// Products allowed, at least 1. Fewer than eigenpairs wanted give as many eigenpairs as products.
    pub max_products: usize,
    /// Vectors kept at a time: the memory bound. At least two for each eigenpair wanted and two for each start
    /// vector, and 4 more; when it is reached the outer half of the Ritz vectors is kept and the rest dropped.
    pub max_basis: usize,
    /// An eigenpair has converged when its residual is at most `tolerance`·|λ|: 0 or more.
    pub tolerance: f64,
}

impl Default for EigensolverConfig {
    fn default() -> Self {
        Self { num_largest: 5, num_smallest: 1, max_products: 100, max_basis: 40, tolerance: 1e-4 }
    }
}

/// What an [`Eigensolver`] found.
#[derive(Debug, Clone, PartialEq)]
pub struct EigenOutcome {
    /// The largest eigenvalues wanted, descending.
    pub largest: Vec<TopEigenpair>,
    /// The smallest eigenvalues wanted, ascending.
    pub smallest: Vec<TopEigenpair>,
    /// Whether every eigenpair wanted is there and met the tolerance. If not, those given still hold with their
    /// residuals; allow more products, a larger basis or a larger tolerance.
    pub converged: bool,
    /// Matrix-vector products spent.
    pub num_products: u64,
    /// How often the basis was full.
    pub num_restarts: u64,
    /// ‖H − Hᵀ‖_F / ‖H‖_F of the projected operator: as for [`LanczosOutcome`](crate::LanczosOutcome).
    pub symmetry_defect: f64,
}

impl EigenOutcome {
    /// The eigenvalue number `index` from the top as an estimate, with its residual and the products of the whole run.
    pub fn largest_estimate(&self, index: usize, unit: &str) -> Option<Estimate> {
        self.largest.get(index).map(|pair| self.estimate(pair, unit))
    }

    /// The eigenvalue number `index` from the bottom as an estimate.
    pub fn smallest_estimate(&self, index: usize, unit: &str) -> Option<Estimate> {
        self.smallest.get(index).map(|pair| self.estimate(pair, unit))
    }

    fn estimate(&self, pair: &TopEigenpair, unit: &str) -> Estimate {
        Estimate::new(pair.eigenvalue, unit, Uncertainty::Residual(pair.residual)).with_products(self.num_products)
    }

    /// Every eigenvector found, largest first: the start block of the next measurement.
    pub fn eigenvectors(&self) -> Vec<Vec<f64>> {
        self.largest.iter().chain(&self.smallest).map(|pair| pair.eigenvector.clone()).collect()
    }
}

/// Outer eigenpairs of a symmetric operator: block Lanczos with full reorthogonalisation and thick restarts.
///
/// The basis Q grows by one product at a time, along the residual of the wanted Ritz pair (λ, v = Qy) that is farthest
/// from its tolerance. From one start vector all residuals are parallel and this is Lanczos, product for product; from
/// a block each residual is a direction of its own. When the basis is full, the outer Ritz vectors are kept with the
/// pending residual directions: the space so restarted is again a Krylov space, so little is lost (Wu and Simon 2000).
/// Both ends come from the same products, largest and smallest *algebraically*: the largest in magnitude is never
/// asked for.
///
/// The run stops when every wanted residual is at most `tolerance`·|λ| or rounding error, though not before 3 products
/// more than start vectors or wanted eigenpairs; when `max_products` are spent; or when the space is exhausted.
/// Where it is invariant before it holds as many start directions as copies could be wanted, a random direction joins.
///
/// Cost: a product and about 4·m·n operations a step, m the basis; n·(m + wanted + 1) numbers of memory
/// ([`Eigensolver::memory_bytes`]). For one eigenpair without a memory bound [`Lanczos`](crate::Lanczos) does the same.
///
/// Invalid when the operator changes between products: see [`EigenOutcome::symmetry_defect`]. Copies of a repeated
/// eigenvalue are found from a start block of as many directions; from fewer only once the space is invariant.
///
/// Source: `curvature`, section 4.4.
///
/// ```
/// use stepscope_spectral::random::RandomStream;
/// use stepscope_spectral::{DenseOperator, Eigensolver, EigensolverConfig, StartBlock};
/// let mut random = RandomStream::named(1, "example");
/// let mut matrix = DenseOperator::with_eigenvalues(&[-9.0, 4.0, 3.0, 0.5, 0.1, 0.0], &mut random)?;
/// let config = EigensolverConfig { num_largest: 2, num_smallest: 1, ..EigensolverConfig::default() };
/// let outcome = Eigensolver::new(config).run(&mut matrix, StartBlock::Random(1), &mut random)?;
/// assert!(outcome.converged);
/// assert!((outcome.largest[1].eigenvalue - 3.0).abs() <= outcome.largest[1].residual + 1e-12);
/// assert!((outcome.smallest[0].eigenvalue + 9.0).abs() <= outcome.smallest[0].residual + 1e-12);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Eigensolver {
    config: EigensolverConfig,
}

/// The eigenvector that a search elsewhere found next to the wanted ones.
#[derive(Debug, Clone)]
pub(crate) struct RunnerUp {
    pub(crate) vector: Vec<f64>,
    /// The most that its eigenvalue may be here.
    pub(crate) bound: f64,
}

/// Products spent at least, beyond one for each start vector: as in [`Lanczos`](crate::Lanczos).
const NUM_EXTRA_PRODUCTS: usize = 3;

impl Eigensolver {
    /// A solver with these settings; they are checked when it runs.
    pub fn new(config: EigensolverConfig) -> Self {
        Self { config }
    }

    /// Memory that a run on an operator of dimension `dim` can take at most, in bytes.
    pub fn memory_bytes(&self, dim: usize) -> u64 {
        let num_vectors = self.config.max_basis.min(dim).saturating_add(self.num_wanted()) as u64 + 1;
        num_vectors.saturating_mul(dim as u64).saturating_mul(size_of::<f64>() as u64)
    }

    fn num_wanted(&self) -> usize {
        self.config.num_largest.saturating_add(self.config.num_smallest)
    }

    /// Runs on `operator`. `random` gives random starts, the random part of warm ones, and new directions after an
    /// invariant subspace.
    ///
    /// # Errors
    /// [`LanczosError`] for settings out of range, start vectors of the wrong length or without direction, and
    /// products that fail or are not finite. Not converging is no error.
    pub fn run<O: LinearOperator + ?Sized>(
        &self,
        operator: &mut O,
        start: StartBlock<'_>,
        random: &mut RandomStream,
    ) -> Result<EigenOutcome, LanczosError<O::Error>> {
        self.grow(operator, start, NUM_EXTRA_PRODUCTS, None, random)
    }

    /// Runs from vectors that a search elsewhere has found, so that none but the runner-up of that search could be missed: stops without
    /// products beyond those that residuals ask for, and multiplies the runner-up before, where it could be on top here.
    pub(crate) fn run_scouted<O: LinearOperator + ?Sized>(
        &self,
        operator: &mut O,
        start: &[Vec<f64>],
        runner_up: Option<RunnerUp>,
        random: &mut RandomStream,
    ) -> Result<EigenOutcome, LanczosError<O::Error>> {
        self.grow(operator, StartBlock::Warm(start), 0, runner_up, random)
    }

    fn grow<O: LinearOperator + ?Sized>(
        &self,
        operator: &mut O,
        start: StartBlock<'_>,
        num_extra: usize,
        mut runner_up: Option<RunnerUp>,
        random: &mut RandomStream,
    ) -> Result<EigenOutcome, LanczosError<O::Error>> {
        let dim = operator.dim();
        let block = start_block(start, dim, random)?;
        self.check(dim, block.len())?;
        let mut krylov = BlockKrylov::new(block);
        let num_start = krylov.num_starts();
        let num_least = num_start.max(self.num_wanted()) + num_extra;
        let (mut num_restarts, mut direction) = (0, None);
        loop {
            krylov.expand(operator, direction.as_deref())?;
            let pairs = krylov.ritz_pairs(0)?;
            let spent = krylov.num_products() as usize;
            let is_spent = spent >= self.config.max_products;
            let is_settled = self.is_settled(&krylov, &pairs, num_least)?;
            let challenger = runner_up
                .take_if(|runner_up| is_settled && !is_spent && runner_up.bound >= self.last_of_largest(&pairs));
            if let Some(challenger) = challenger
                && krylov.add(challenger.vector)
            {
                let mut along = vec![0.0; krylov.num_pending()];
                along.last_mut().into_iter().for_each(|last| *last = 1.0);
                direction = Some(along);
            } else if is_spent || is_settled || (krylov.num_pending() == 0 && !krylov.add_random(random)) {
                return Ok(self.outcome(&krylov, &pairs, start, num_restarts));
            } else {
                direction = if spent < num_start { None } else { self.direction(&krylov, &pairs) };
            }
            // A product takes one pending direction away and brings one.
            let num_vectors = krylov.num_expanded() + krylov.num_pending();
            if num_vectors >= self.config.max_basis && num_vectors < dim {
                krylov.restart(&self.kept(&pairs, krylov.num_pending()));
                num_restarts += 1;
            }
        }
    }

    fn check<E: std::error::Error + 'static>(&self, dim: usize, num_start: usize) -> Result<(), LanczosError<E>> {
        let refuse = |setting, got, expected| Err(LanczosError::Setting { setting, got, expected });
        let EigensolverConfig { max_products, max_basis, tolerance, .. } = self.config;
        let wanted = self.num_wanted();
        if wanted == 0 || wanted > dim {
            refuse("num_largest + num_smallest", wanted as f64, "from 1 to the dimension of the operator")
        } else if max_products == 0 {
            refuse("max_products", 0.0, "at least 1")
        } else if max_basis < (2 * (wanted + num_start) + 4).min(dim + 1) {
            let expected =
                "at least 2 for each eigenpair wanted, 2 for each start vector, and 4 (or more than the dimension)";
            refuse("max_basis", max_basis as f64, expected)
        } else if !(tolerance >= 0.0 && tolerance.is_finite()) {
            refuse("tolerance", tolerance, "a finite number of at least 0")
        } else {
            Ok(())
        }
    }

    /// The wanted pairs among `pairs` (descending), from the outside inwards; fewer where there are fewer.
    fn wanted<'p>(&self, pairs: &'p [TridiagonalPair]) -> (Vec<&'p TridiagonalPair>, Vec<&'p TridiagonalPair>) {
        let num_largest = self.config.num_largest.min(pairs.len());
        let num_smallest = self.config.num_smallest.min(pairs.len() - num_largest);
        (pairs[..num_largest].iter().collect(), pairs.iter().rev().take(num_smallest).collect())
    }

    /// The smallest of the largest eigenvalues wanted, which another one must exceed to take its place.
    fn last_of_largest(&self, pairs: &[TridiagonalPair]) -> f64 {
        let last = self.config.num_largest.min(pairs.len()).checked_sub(1);
        last.and_then(|last| pairs.get(last)).map_or(f64::INFINITY, |pair| pair.eigenvalue)
    }

    fn accepts(&self, krylov: &BlockKrylov, pair: &TridiagonalPair) -> bool {
        krylov.residual(pair) <= self.bound(krylov, pair)
    }

    fn bound(&self, krylov: &BlockKrylov, pair: &TridiagonalPair) -> f64 {
        (self.config.tolerance * pair.eigenvalue.abs()).max(krylov.rounding_level())
    }

    /// Whether more products could not change the answer beyond the tolerance.
    fn is_settled(
        &self,
        krylov: &BlockKrylov,
        pairs: &[TridiagonalPair],
        num_least: usize,
    ) -> Result<bool, TridiagonalError> {
        let (largest, smallest) = self.wanted(pairs);
        if largest.len() + smallest.len() < self.num_wanted() {
            return Ok(false);
        }
        if krylov.num_pending() == 0 {
            let copies = self.config.num_largest.max(self.config.num_smallest);
            return Ok(krylov.num_starts() >= copies);
        }
        if (krylov.num_products() as usize) < num_least
            || !largest.iter().chain(&smallest).all(|pair| self.accepts(krylov, pair))
        {
            return Ok(false);
        }
        if krylov.block_start() == 0 {
            return Ok(true);
        }
        // After an invariant subspace the best that the growing one has to offer must be known as well.
        let growing = krylov.ritz_pairs(krylov.block_start())?;
        let ends = [(self.config.num_largest, growing.first()), (self.config.num_smallest, growing.last())];
        Ok(ends.into_iter().all(|(num, pair)| num == 0 || pair.is_some_and(|pair| self.accepts(krylov, pair))))
    }

    /// The residual direction of the wanted pair that is farthest from its tolerance.
    fn direction(&self, krylov: &BlockKrylov, pairs: &[TridiagonalPair]) -> Option<Vec<f64>> {
        let (largest, smallest) = self.wanted(pairs);
        let excess = |pair: &TridiagonalPair| {
            let (residual, bound) = (krylov.residual(pair), self.bound(krylov, pair));
            if residual == 0.0 { 0.0 } else { residual / bound }
        };
        let worst = largest.into_iter().chain(smallest).max_by(|a, b| excess(a).total_cmp(&excess(b)))?;
        krylov.residual_direction(worst)
    }

    /// What survives a restart: the wanted pairs and half of the room that is left, shared out between the ends asked for.
    fn kept<'p>(&self, pairs: &'p [TridiagonalPair], num_pending: usize) -> Vec<&'p TridiagonalPair> {
        let room = pairs.len().saturating_sub(num_pending + self.num_wanted());
        let total = (self.num_wanted() + room / 2).min(pairs.len().saturating_sub(1)).max(1);
        let num_smallest = total * self.config.num_smallest / self.num_wanted();
        let num_smallest = num_smallest.max(self.config.num_smallest.min(total));
        let num_largest = total - num_smallest;
        pairs[..num_largest].iter().chain(&pairs[pairs.len() - num_smallest..]).collect()
    }

    fn outcome(
        &self,
        krylov: &BlockKrylov,
        pairs: &[TridiagonalPair],
        start: StartBlock<'_>,
        num_restarts: u64,
    ) -> EigenOutcome {
        let eigenpair = |pair: &TridiagonalPair| {
            let mut eigenvector = krylov.combine(&pair.components);
            align(&mut eigenvector, start);
            TopEigenpair { eigenvalue: pair.eigenvalue, eigenvector, residual: krylov.residual(pair) }
        };
        let (largest, smallest) = self.wanted(pairs);
        EigenOutcome {
            converged: largest.len() + smallest.len() == self.num_wanted()
                && largest.iter().chain(&smallest).all(|pair| self.accepts(krylov, pair)),
            largest: largest.into_iter().map(eigenpair).collect(),
            smallest: smallest.into_iter().map(eigenpair).collect(),
            num_products: krylov.num_products(),
            num_restarts,
            symmetry_defect: krylov.symmetry_defect(),
        }
    }
}

/// Of the two signs of an eigenvector, the one along the start vector it has most in common with.
fn align(eigenvector: &mut [f64], start: StartBlock<'_>) {
    if let StartBlock::Warm(vectors) = start {
        let overlaps = vectors.iter().map(|vector| kernels::dot(vector, eigenvector) / kernels::norm(vector));
        if overlaps.max_by(|a, b| a.abs().total_cmp(&b.abs())).is_some_and(|overlap| overlap < 0.0) {
            eigenvector.iter_mut().for_each(|x| *x = -*x);
        }
    }
}

fn start_block<E: std::error::Error + 'static>(
    start: StartBlock<'_>,
    dim: usize,
    random: &mut RandomStream,
) -> Result<Vec<Vec<f64>>, LanczosError<E>> {
    if dim == 0 {
        return Err(LanczosError::EmptyOperator);
    }
    let size = match start {
        StartBlock::Random(size) => size,
        StartBlock::Warm(vectors) => vectors.len(),
    };
    if size == 0 || size > dim {
        let expected = "from 1 to the dimension of the operator";
        return Err(LanczosError::Setting { setting: "start vectors", got: size as f64, expected });
    }
    match start {
        StartBlock::Random(size) => Ok((0..size)
            .map(|_| {
                let mut vector = vec![0.0; dim];
                random.fill_normal(&mut vector);
                vector
            })
            .collect()),
        StartBlock::Warm(vectors) => {
            vectors.iter().map(|vector| Ok(perturbed(vector, checked_start_norm(vector, dim)?, random))).collect()
        }
    }
}
