//! What `Learner` reports, found again in the record file and in the event file.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use burn::data::dataloader::DataLoaderBuilder;
use burn::data::dataset::InMemDataset;
use burn_optim::SgdConfig;
use burn_train::logger::{InMemoryMetricLogger, MetricLogger};
use burn_train::metric::store::{EpochSummary, MetricsUpdate, NumericMetricUpdate, Split};
use burn_train::metric::{
    AccuracyMetric, LossMetric, MetricDefinition, MetricEntry, MetricId, NumericEntry, SerializedEntry,
};
use burn_train::{Learner, SupervisedTraining};
use stepscope::backend::Backend;
use stepscope::data::Dataset;
use stepscope::models::{Mlp, init::WeightInit};
use stepscope::record::read_records;
use stepscope::spectral::random::RandomStream;
use stepscope::types::spec::{Activation, DataSpec, ModelSpec, Precision};
use stepscope::types::{Measurement, Record};
use stepscope_export::tensorboard::{LoggedData, read_event_file};
use stepscope_learner::{Classifier, RecordLogger, TrainingBatches};

fn measurements(folder: &std::path::Path) -> Vec<Measurement> {
    let records = read_records(&folder.join("metrics.jsonl")).unwrap();
    records
        .into_iter()
        .filter_map(|record| if let Record::Measurement(measurement) = record { Some(measurement) } else { None })
        .collect()
}

fn named<'a>(all: &'a [Measurement], name: &str) -> Vec<&'a Measurement> {
    all.iter().filter(|measurement| measurement.name == name).collect()
}

#[test]
fn two_epochs_of_a_learner_are_recorded_by_batch_and_by_epoch() {
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path().join("run");
    let dataset = Arc::new(Dataset::load(&DataSpec::default()).unwrap());
    let backend = Backend::cpu(Precision::F32);
    let loader = |examples: std::ops::Range<u32>| {
        let batches = TrainingBatches::new(Arc::clone(&dataset), backend.dtype());
        DataLoaderBuilder::new(batches).batch_size(32).build(InMemDataset::new(examples.collect()))
    };
    let mut init = WeightInit::new(&ModelSpec::default(), RandomStream::new(1, 0), &backend);
    let model = Classifier::new(Mlp::new(64, &[8], 10, Activation::Tanh, &mut init));
    let logger = RecordLogger::create(&run).unwrap();
    let failure = logger.failure();
    SupervisedTraining::new(folder.path().join("burn"), loader(0..320), loader(320..400))
        .num_epochs(2)
        .metrics((LossMetric::new(), AccuracyMetric::new()))
        .with_metric_logger(logger)
        .with_application_logger(None)
        .launch(Learner::new(model, SgdConfig::new().init(), 0.1));
    assert_eq!(failure.get(), None);

    let all = measurements(&run);
    let losses = named(&all, "train/batch_loss");
    assert!(losses.iter().map(|loss| loss.step.0).eq(0..20), "ten batches an epoch");
    let epochs = named(&all, "train/epoch_loss");
    assert_eq!(epochs.iter().map(|loss| (loss.step.0, loss.epoch)).collect::<Vec<_>>(), [(10, 1.0), (20, 2.0)]);
    // The batches are of one size, so that the mean of their losses is that of the epoch.
    let mean = |losses: &[&Measurement]| losses.iter().filter_map(|loss| loss.value).sum::<f64>() / losses.len() as f64;
    assert!((mean(&losses[..10]) - epochs[0].value.unwrap()).abs() < 1e-6);
    let valid = named(&all, "valid/loss");
    assert_eq!(valid.iter().map(|loss| (loss.step.0, loss.epoch)).collect::<Vec<_>>(), [(10, 1.0), (20, 2.0)]);
    let accuracies = named(&all, "valid/accuracy");
    assert!(accuracies.iter().all(|share| share.unit == "1" && (0.0..=1.0).contains(&share.value.unwrap())));
    // 80 examples: their share is a multiple of 1/80.
    let correct = accuracies[1].value.unwrap() * 80.0;
    assert!((correct - correct.round()).abs() < 1e-4, "{correct}");

    let event_file = std::fs::read_dir(&run).unwrap().map(|entry| entry.unwrap().path());
    let event_file = event_file.into_iter().find(|path| path.to_str().unwrap().contains("tfevents")).unwrap();
    let logged = read_event_file(&event_file).unwrap();
    let steps = logged
        .iter()
        .filter(|event| matches!(&event.data, LoggedData::Scalar { tag, .. } if tag == "train/batch_loss"));
    assert!(steps.map(|event| event.step).eq(0..20));
}

#[test]
fn what_early_stopping_reads_is_what_burns_own_logger_answers() {
    let folder = tempfile::tempdir().unwrap();
    let (mut ours, mut theirs) = (RecordLogger::create(folder.path()).unwrap(), InMemoryMetricLogger::new());
    let id = MetricId::new(Arc::new("Loss".to_owned()));
    let definition = MetricDefinition::new(id.clone(), &LossMetric::new());
    ours.log_metric_definition(definition.clone());
    theirs.log_metric_definition(definition);
    for epoch in 1..=2 {
        for (value, count) in [(1.0, 4), (0.5, 4), (3.0, 1)] {
            let entry = NumericEntry::Aggregated { aggregated_value: value / epoch as f64, count };
            let text = SerializedEntry::new(String::new(), entry.serialize());
            let numeric = NumericMetricUpdate::new(MetricEntry::new(id.clone(), text), Some(entry), None);
            let update = MetricsUpdate::new(Vec::new(), vec![numeric]);
            ours.log(update.clone(), epoch, &Split::Valid);
            theirs.log(update, epoch, &Split::Valid);
        }
        ours.log_epoch_summary(EpochSummary::new(epoch, Split::Valid));
    }
    // As burn-train takes means: every value with the number of its examples.
    let mean = |entries: Vec<NumericEntry>| {
        let (sum, count) = entries.iter().fold((0.0, 0), |(sum, all), entry| match entry {
            NumericEntry::Aggregated { aggregated_value, count } => {
                (sum + aggregated_value * *count as f64, all + count)
            }
            other => (sum + other.current(), all + 1),
        });
        sum / count as f64
    };
    for epoch in 1..=2 {
        let answer = mean(ours.read_numeric("Loss", epoch, &Split::Valid).unwrap());
        // Burn's own logger files values in memory under the name with its split.
        let twin = mean(theirs.read_numeric("Loss", epoch, &Split::Valid).unwrap());
        assert!((answer - twin).abs() < 1e-12, "{answer} {twin}");
    }
    assert!(ours.read_numeric("Loss", 3, &Split::Valid).unwrap().is_empty(), "this ends burn-train's search");
}
