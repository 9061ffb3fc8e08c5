//! Examples to choose an average by, apart from those that the choice is judged on.

use burn::tensor::{DType, Device};
use stepscope_types::RunSpec;

use super::PosthocError;
use crate::data::{Dataset, probe_subset};
use crate::measure::Objective;

/// So many unused training examples are enough to choose by.
const ENOUGH: usize = 500;
/// More than so many are not looked at.
const MOST: u64 = 10_000;

/// Where averages are chosen, and where the choice is judged.
#[derive(Debug)]
pub struct HeldOut {
    /// The examples to choose by.
    pub selection: Objective,
    /// The examples that had no part in the choice.
    pub judgement: Objective,
    /// Which they are, in a sentence.
    pub words: String,
}

impl HeldOut {
    /// Training examples that the run left out with `data.train_examples`, where there are 500 at least, and the whole test set
    /// to judge; else a random half of the test set each, drawn from the probe seed.
    ///
    /// # Errors
    /// [`PosthocError::Data`], [`PosthocError::Sampling`] for a test set of one example.
    pub fn new(spec: &RunSpec, dataset: &Dataset, device: &Device, dtype: DType) -> Result<Self, PosthocError> {
        let of = |split, indices: &[u32]| Objective::new(split, dataset.shape, indices, device, dtype);
        let seed = spec.seeds.probe_seed();
        if let Some(unused) = Dataset::load_unused(&spec.data)?.filter(|unused| unused.num_examples() >= ENOUGH) {
            let count = unused.num_examples();
            let chosen = probe_subset(count, MOST.min(count as u64), seed)?;
            let words = format!(
                "Chosen by the loss on {} training examples that the run did not use; judged on the whole test set.",
                chosen.len()
            );
            let judgement = Objective::whole(&dataset.test, dataset.shape, device, dtype);
            return Ok(Self { selection: of(&unused, &chosen), judgement, words });
        }
        let count = dataset.test.num_examples();
        let chosen = probe_subset(count, count as u64 / 2, seed)?;
        let others: Vec<u32> = (0..count as u32).filter(|index| chosen.binary_search(index).is_err()).collect();
        let words = format!(
            "Chosen by the loss on a random half of the test set ({} examples); judged on the other half ({}).",
            chosen.len(),
            others.len()
        );
        Ok(Self { selection: of(&dataset.test, &chosen), judgement: of(&dataset.test, &others), words })
    }
}
