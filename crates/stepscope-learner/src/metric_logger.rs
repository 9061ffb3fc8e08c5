//! What burn-train's loop reports, as records.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use burn_train::logger::MetricLogger;
use burn_train::metric::store::{EpochSummary, MetricsUpdate, Split};
use burn_train::metric::{MetricAttributes, MetricDefinition, MetricId, NumericEntry};
use stepscope::record::{RecordError, RecordWriter, RunFolder, SystemFiles};
use stepscope::types::{Estimate, Measurement, Record, Step, Timing, Uncertainty};
use stepscope_export::tensorboard::TensorBoardSink;
use stepscope_export::{ExportError, RecordSink};

/// Records wait no longer than this for others.
const LONGEST_WAIT: Duration = Duration::from_millis(100);

/// Writes the numeric metrics of a `Learner` to `metrics.jsonl` and to a TensorBoard event file in one folder.
///
/// | what `Learner` reports | becomes |
/// |---|---|
/// | a metric of a training batch, e.g. "Loss" | `train/batch_loss` at the step of the batch |
/// | its mean over the epoch, while the weights moved | `train/epoch_loss` at the epoch's end |
/// | a metric over the whole validation set | `valid/loss` |
/// | a metric of an evaluator's test set named "noisy" | `test/noisy/loss` |
///
/// Percentages become shares of 1, so that accuracies agree with those that stepscope measures. The step of a record is the
/// number of training batches before it, its epoch that of whole epochs.
///
/// Values are taken as burn-train computes them, as exact values of its definitions: its loss over a set is the mean over
/// batches, to which a smaller last batch counts as much as the others. How many examples a value rests on burn-train does not
/// say, and the records say 0.
///
/// `Learner` has no way to be told that a logger failed: [`RecordLogger::failure`] is.
///
/// ```no_run
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let logger = stepscope_learner::RecordLogger::create("runs/first".as_ref())?;
/// let failure = logger.failure();
/// // SupervisedTraining::new(...).with_metric_logger(logger).launch(learner);
/// assert_eq!(failure.get(), None);
/// # Ok(())
/// # }
/// ```
pub struct RecordLogger {
    records: RecordWriter,
    events: TensorBoardSink,
    started: Instant,
    last_flush: Instant,
    metrics: HashMap<MetricId, Metric>,
    /// Training batches so far.
    step: u64,
    /// The latest mean of each metric of the split, by split and name, until its epoch ends.
    running: BTreeMap<(String, String), (MetricId, f64)>,
    /// What [`MetricLogger::read_numeric`] answers: one mean for each metric, split and epoch.
    means: HashMap<(String, String, usize), Mean>,
    failure: Arc<OnceLock<String>>,
}

/// A metric as records have it.
#[derive(Debug, Clone)]
struct Metric {
    name: Arc<String>,
    slug: String,
    unit: String,
    factor: f64,
}

#[derive(Debug, Clone, Copy, Default)]
struct Mean {
    sum: f64,
    count: usize,
    /// The epoch's own last word, where it has one.
    last_word: Option<f64>,
}

/// Why the logger cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum LoggerError {
    /// The record file.
    #[error(transparent)]
    Records(#[from] RecordError),
    /// The event file.
    #[error(transparent)]
    Events(#[from] ExportError),
}

impl RecordLogger {
    /// A logger into a folder that holds no run; it is created with its parents.
    ///
    /// # Errors
    /// [`LoggerError`].
    pub fn create(folder: &Path) -> Result<Self, LoggerError> {
        let folder = RunFolder::create(folder, false)?;
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Ok(Self {
            records: RecordWriter::create(&SystemFiles, &folder.records_path())?,
            events: TensorBoardSink::without_manifest(folder.path(), since.as_secs_f64(), Step(0))?,
            started: Instant::now(),
            last_flush: Instant::now(),
            metrics: HashMap::new(),
            step: 0,
            running: BTreeMap::new(),
            means: HashMap::new(),
            failure: Arc::default(),
        })
    }

    /// Empty as long as everything was recorded; otherwise the first thing that went wrong.
    pub fn failure(&self) -> Arc<OnceLock<String>> {
        Arc::clone(&self.failure)
    }

    fn record(&mut self, id: &MetricId, prefix: &str, epoch: usize, value: f64) {
        let Some(metric) = self.metrics.get(id) else { return };
        let name = format!("{prefix}{}", metric.slug);
        let estimate = Estimate::new(value * metric.factor, metric.unit.as_str(), Uncertainty::Exact);
        let timing = Timing { wall_seconds: self.started.elapsed().as_secs_f64(), cost_seconds: None };
        let measurement = Measurement::new(Step(self.step), epoch as f64, name, estimate.into());
        let record = Record::Measurement(Measurement { timing: Some(timing), ..measurement });
        self.records.push(&record);
        let event = self.events.record(&record).map_err(|error| error.to_string());
        self.note(event);
        if self.last_flush.elapsed() >= LONGEST_WAIT {
            self.flush();
        }
    }

    fn flush(&mut self) {
        self.last_flush = Instant::now();
        let records = self.records.flush().map_err(|error| error.to_string());
        self.note(records);
        let events = self.events.flush().map_err(|error| error.to_string());
        self.note(events);
    }

    fn note(&self, outcome: Result<(), String>) {
        if let Err(message) = outcome {
            // The first one is kept: the others follow from it.
            let _ = self.failure.set(message);
        }
    }

    /// Records the means of a split, or of all.
    fn end(&mut self, epoch: usize, split: Option<&str>) {
        let is_over = |of: &str| split.is_none_or(|split| of == split);
        let ended: Vec<_> = self.running.extract_if(.., |(of, _), _| is_over(of)).collect();
        for ((split, _), (id, value)) in ended {
            let prefix = if split == "train" { "train/epoch_".to_owned() } else { format!("{split}/") };
            self.record(&id, &prefix, epoch, value);
        }
        self.flush();
    }
}

impl MetricLogger for RecordLogger {
    fn log(&mut self, update: MetricsUpdate, epoch: usize, split: &Split) {
        let split_name = name_of(split);
        let is_last_word = |entry: &NumericEntry| matches!(entry, NumericEntry::Final(_));
        let entries = update.entries_numeric.iter();
        let is_batch = entries.filter_map(|one| one.numeric_entry.as_ref()).any(|entry| !is_last_word(entry));
        for numeric in &update.entries_numeric {
            let id = &numeric.entry.metric_id;
            let Some(name) = self.metrics.get(id).map(|metric| metric.name.to_string()) else { continue };
            let place = (split_name.clone(), name.clone());
            if let Some(entry) = &numeric.numeric_entry {
                self.means.entry((name, split_name.clone(), epoch)).or_default().add(entry);
                if is_last_word(entry) {
                    self.running.insert(place.clone(), (id.clone(), entry.current()));
                } else if *split == Split::Train {
                    self.record(id, "train/batch_", epoch.saturating_sub(1), entry.current());
                }
            }
            if let Some(running) = &numeric.running_entry {
                self.running.insert(place, (id.clone(), running.current()));
            }
        }
        self.step += u64::from(is_batch && *split == Split::Train);
    }

    fn read_numeric(&mut self, name: &str, epoch: usize, split: &Split) -> Result<Vec<NumericEntry>, String> {
        let mean = self.means.get(&(name.to_owned(), name_of(split), epoch));
        Ok(mean.map(Mean::entry).into_iter().collect())
    }

    fn log_metric_definition(&mut self, definition: MetricDefinition) {
        let unit = match &definition.attributes {
            MetricAttributes::Numeric(numeric) => numeric.unit.clone(),
            MetricAttributes::None => None,
        };
        let (unit, factor) = match unit.as_deref() {
            Some("%") => ("1", 0.01),
            Some(unit) => (unit, 1.0),
            None => ("1", 1.0),
        };
        let name = Arc::clone(&definition.name);
        let metric = Metric { slug: slug(&name), name, unit: unit.to_owned(), factor };
        self.metrics.insert(definition.metric_id, metric);
    }

    fn log_epoch_summary(&mut self, summary: EpochSummary) {
        self.end(summary.epoch_number, Some(&name_of(&summary.split)));
    }
}

impl Drop for RecordLogger {
    /// An evaluator ends without an epoch.
    fn drop(&mut self) {
        self.end(0, None);
    }
}

impl Mean {
    fn add(&mut self, entry: &NumericEntry) {
        match entry {
            NumericEntry::Final(value) => self.last_word = Some(*value),
            NumericEntry::Value(value) => (self.sum, self.count) = (self.sum + value, self.count + 1),
            NumericEntry::Aggregated { aggregated_value, count } => {
                self.sum += aggregated_value * *count as f64;
                self.count += count;
            }
        }
    }

    fn entry(&self) -> NumericEntry {
        match self.last_word {
            Some(value) => NumericEntry::Final(value),
            None => NumericEntry::Aggregated { aggregated_value: self.sum / self.count as f64, count: self.count },
        }
    }
}

fn name_of(split: &Split) -> String {
    match split {
        Split::Test(Some(tag)) => format!("test/{}", slug(tag)),
        other => other.to_string(),
    }
}

/// A metric's name as records have names: `Top-K Accuracy @ k(2)` is `top_k_accuracy_k_2`.
fn slug(name: &str) -> String {
    let words = name.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty());
    words.map(str::to_lowercase).collect::<Vec<_>>().join("_")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_no_blanks_and_no_slashes() {
        assert_eq!(slug("Loss"), "loss");
        assert_eq!(slug("Top-K Accuracy @ k(2)"), "top_k_accuracy_k_2");
        assert_eq!(slug("a/b"), "a_b");
    }
}
