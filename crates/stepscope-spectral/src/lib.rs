//! Matrix-free linear algebra of stepscope: what can be learnt about a symmetric operator from its products with
//! vectors.
//!
//! | question | answer |
//! |---|---|
//! | the largest or smallest eigenvalue, with its vector | [`Lanczos`] |
//! | several at one or both ends, within a fixed memory | [`Eigensolver`], along a run [`EigenTracker`] |
//! | the density of eigenvalues, negative mass | [`spectral_density`] |
//! | how much of a vector lies along every eigenvalue | [`spectral_measure`] |
//! | trace and Frobenius norm, by budget or by method | [`estimate_trace`]; [`hutchinson`], [`hutch_plus_plus`], [`xtrace`] |
//! | the diagonal, entry by entry | [`diagonal`](diagonal()), [`diagonal_by_sketch`] |
//! | the covariance of a few gradients, from their inner products | [`GramSpectrum`] |
//! | is the operator symmetric at all | [`symmetry_defect`] |
//! | sums, shifts, layers, preconditioned steps | [`Sum`], [`Affine`], [`Restricted`], [`Preconditioned`], [`LowRank`] |
//!
//! An operator implements [`LinearOperator`]; every estimator takes it by `&mut`, counts its products and returns its
//! own doubt (a residual, a standard error). Nothing here knows networks, reads a file or a clock; what is random
//! comes from a [`random::RandomStream`] that the caller passes in.

mod block_krylov;
mod compose;
mod dense;
mod density;
mod diagonal;
mod eigensolver;
mod gram;
mod kernels;
mod krylov;
mod lanczos;
mod operator;
mod process;
pub mod random;
mod sketch;
mod statistics;
mod symmetric;
mod trace;
mod trace_budget;
mod tracking;
mod tridiagonal;

pub use compose::{Affine, ComposeError, LowRank, Preconditioned, Restricted, Sum};
pub use dense::{DenseOperator, DenseOperatorError};
pub use density::{DensityPoint, SpectralDensity, spectral_density};
pub use diagonal::{DiagonalOutcome, diagonal, diagonal_by_sketch};
pub use eigensolver::{EigenOutcome, Eigensolver, EigensolverConfig, StartBlock};
pub use gram::{GradientSample, GramError, GramSpectrum};
pub use krylov::{SpectralMeasure, spectral_measure};
pub use lanczos::{Lanczos, LanczosConfig, LanczosOutcome, StartVector, TopEigenpair, Which};
pub use operator::{ClosureOperator, Counted, LinearOperator, ProductError, symmetry_defect};
pub use process::LanczosError;
pub use trace::{TraceError, TraceMethod, TraceOutcome, hutch_plus_plus, hutchinson, xtrace};
pub use trace_budget::{TraceConfig, estimate_trace};
pub use tracking::{EigenTracker, Tracked};
pub use tridiagonal::{Tridiagonal, TridiagonalError};
