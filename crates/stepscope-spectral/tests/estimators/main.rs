//! The estimators against independent twins, as a user of the crate sees them.

#[cfg(test)]
mod compose;
#[cfg(test)]
mod density;
#[cfg(test)]
mod eigensolver;
#[cfg(test)]
mod faults;
#[cfg(test)]
mod gram;
#[cfg(test)]
mod krylov;
#[cfg(test)]
mod lanczos;
#[cfg(test)]
mod sketches;
#[cfg(test)]
mod trace;
#[cfg(test)]
mod tracking;
#[cfg(test)]
mod twin;
