//! Will a product fit in memory? Measured on small micro-batches, refused before large ones are tried.

use std::fs;

use stepscope_spectral::LinearOperator;

use super::batch_loss::BatchLoss;
use super::curvature::CurvatureOperator;
use super::error::ProductError;
use super::objective::Objective;
use crate::data::Batch;

/// Memory of the process with a product over its largest micro-batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MemoryNeed {
    /// The largest resident set that the process had so far, in bytes.
    pub peak: u64,
    /// Bytes that it may have.
    pub limit: u64,
}

impl<N: BatchLoss<Batch>> CurvatureOperator<'_, N, Batch> {
    /// Forms products over 1, 2, 4, ... examples of the largest micro-batch, and refuses before a size that may need more
    /// than `limit` bytes for the whole process; `None` is what the system grants ([`memory_limit`]).
    ///
    /// Doubling the examples at most doubles the process, which holds other things too, so what is predicted is an upper
    /// bound and nothing is tried that may not fit. `None` is returned where the system does not tell: everywhere but on
    /// Linux.
    ///
    /// What products [share](CurvatureOperator::sharing) is counted at its full size over all examples.
    ///
    /// Cost: two products over the largest micro-batch.
    ///
    /// # Errors
    /// [`ProductError::Memory`] with the bytes needed and granted and a micro-batch size that fits;
    /// [`ProductError::SharedMemory`] with bytes that may be shared; or as for a product.
    pub fn check_memory(&self, limit: Option<u64>) -> Result<Option<MemoryNeed>, ProductError> {
        let largest = self.objective.sized_batches().max_by_key(|(_, len)| *len);
        let (Some((batch, examples)), Some(limit)) = (largest, limit.or_else(memory_limit)) else { return Ok(None) };
        let Some(now) = status("VmHWM:") else { return Ok(None) };
        let (input, mut output) = (vec![1.0; self.dim()], vec![0.0; self.dim()]);
        let mut kept = 0;
        let peak = climb(examples, limit, now, |size| {
            let objective = Objective::of_batch(batch.slice(0..size));
            let mut operator = CurvatureOperator::new(self.network, &objective, self.layout, self.curvature());
            operator = self.sharing_of().into_iter().fold(operator, CurvatureOperator::sharing);
            operator.apply(&input, &mut output)?;
            kept = operator.bytes_shared();
            Ok(status("VmHWM:").unwrap_or(now))
        })?;
        let most = self.sharing_of().map_or(0, |sharing| sharing.max_bytes);
        let peak = with_shared(peak, kept, self.objective.num_examples() as f64 / examples as f64, most, limit)?;
        Ok(Some(MemoryNeed { peak, limit }))
    }
}

/// The peak with what products over all examples share, at most `most` bytes, where those over a micro-batch share `kept` of the
/// `peak` and all examples are `times` as many.
fn with_shared(peak: u64, kept: u64, times: f64, most: u64, limit: u64) -> Result<u64, ProductError> {
    let shared = ((kept as f64 * times).ceil() as u64).min(most).max(kept);
    let rest = peak.saturating_sub(kept);
    let needed = rest + shared;
    if needed <= limit {
        return Ok(needed);
    }
    Err(ProductError::SharedMemory { needed, shared, available: limit, suggested: limit.saturating_sub(rest) })
}

/// Doubles the size up to `examples` while twice the peak stays within `limit`; the last peak.
fn climb(
    examples: usize,
    limit: u64,
    now: u64,
    mut peak_at: impl FnMut(usize) -> Result<u64, ProductError>,
) -> Result<u64, ProductError> {
    let (mut done, mut peak, mut growth) = (0, now, 0);
    while done < examples {
        let size = (2 * done).clamp(1, examples);
        // A first example meets what the process already has; from then on, a doubling at most doubles it.
        let bound = if done == 0 { peak } else { 2 * peak };
        if bound > limit {
            let rest = (examples - done) as u64;
            let needed = bound.max(peak + growth * rest / done.max(1) as u64);
            return Err(ProductError::Memory { examples, needed, available: limit, suggested: done });
        }
        let reached = peak_at(size)?;
        // Growth from half the size: what `size` examples alone need, twice over.
        growth = 2 * reached.saturating_sub(peak);
        (done, peak) = (size, reached.max(peak));
    }
    Ok(peak)
}

/// Bytes that this process may use: what it has, and what the machine and its control group still grant. Linux only.
pub fn memory_limit() -> Option<u64> {
    let resident = status("VmRSS:")?;
    let machine = kilobytes(&fs::read_to_string("/proc/meminfo").ok()?, "MemAvailable:")?;
    let number = |path| fs::read_to_string(path).ok()?.trim().parse::<u64>().ok();
    let group = number("/sys/fs/cgroup/memory.max").zip(number("/sys/fs/cgroup/memory.current"));
    let granted = group.map_or(machine, |(most, used)| machine.min(most.saturating_sub(used)));
    Some(resident + granted)
}

fn status(field: &str) -> Option<u64> {
    kilobytes(&fs::read_to_string("/proc/self/status").ok()?, field)
}

fn kilobytes(text: &str, field: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(field))?;
    Some(line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()? * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_double_while_twice_the_peak_fits_and_the_last_that_fitted_is_suggested() {
        let mut tried = Vec::new();
        let need = |size: usize| 100 + 10 * size as u64;
        let error = climb(64, 500, 100, |size| {
            tried.push(size);
            Ok(need(size))
        });
        assert_eq!(tried, [1, 2, 4, 8, 16], "32 may need 2 x 260");
        let Err(ProductError::Memory { examples: 64, needed, available: 500, suggested: 16 }) = error else {
            panic!("{error:?}")
        };
        assert_eq!(needed, need(64), "a linear need is extrapolated as it is");
        assert_eq!(climb(64, 2000, 100, |size| Ok(need(size))), Ok(need(64)));
        assert_eq!(climb(20, 10_000, 100, |size| Ok(need(size))), Ok(need(20)), "the last size is the whole");
    }

    #[test]
    fn what_is_shared_over_all_examples_is_part_of_the_need() {
        assert_eq!(with_shared(100, 0, 8.0, 1000, 100), Ok(100), "nothing is shared");
        assert_eq!(with_shared(100, 10, 8.0, 1000, 200), Ok(90 + 80));
        assert_eq!(with_shared(100, 10, 8.0, 50, 150), Ok(90 + 50), "no more than may be");
        let error = with_shared(100, 10, 8.0, 1000, 150);
        assert_eq!(error, Err(ProductError::SharedMemory { needed: 170, shared: 80, available: 150, suggested: 60 }));
        assert_eq!(with_shared(100, 10, 8.0, 60, 150), Ok(150), "and what is suggested fits");
    }

    #[test]
    fn a_process_beyond_its_limit_does_not_try_a_single_example() {
        let error = climb(8, 50, 100, |_| panic!("tried"));
        assert!(matches!(error, Err(ProductError::Memory { suggested: 0, needed: 100, .. })), "{error:?}");
    }

    #[test]
    fn fields_of_the_system_are_read_in_bytes() {
        assert_eq!(kilobytes("VmPeak:\t 9 kB\nVmHWM:\t  1234 kB\n", "VmHWM:"), Some(1234 * 1024));
        assert_eq!(kilobytes("VmHWM: many", "VmHWM:"), None);
    }
}
