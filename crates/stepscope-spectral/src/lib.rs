//! Matrix-free linear algebra of stepscope: what can be learnt about a symmetric operator from its products with
//! vectors.
//!
//! | question | answer |
//! |---|---|
//! | the largest or smallest eigenvalues, with vectors | [`Lanczos`] |
//! | how much of a vector lies along every eigenvalue | [`spectral_measure`] |
//! | trace and Frobenius norm | [`hutchinson`] |
//! | is the operator symmetric at all | [`symmetry_defect`] |
//!
//! An operator implements [`LinearOperator`]; every estimator takes it by `&mut`, counts its products and returns its
//! own doubt (a residual, a standard error). Nothing here knows networks, reads a file or a clock; what is random
//! comes from a [`random::RandomStream`] that the caller passes in.

mod dense;
mod kernels;
mod krylov;
mod lanczos;
mod operator;
mod process;
pub mod random;
mod trace;
mod tridiagonal;

pub use dense::{DenseOperator, DenseOperatorError};
pub use krylov::{SpectralMeasure, spectral_measure};
pub use lanczos::{Lanczos, LanczosConfig, LanczosOutcome, StartVector, TopEigenpair, Which};
pub use operator::{ClosureOperator, Counted, LinearOperator, ProductError, symmetry_defect};
pub use process::LanczosError;
pub use trace::{TraceError, TraceOutcome, hutchinson};
pub use tridiagonal::{Tridiagonal, TridiagonalError};
