//! The loop: determinism, the optimizer against its definition, divergence, what probes leave behind, failing sinks.
#![allow(clippy::unwrap_used)]

mod common;

use std::num::NonZeroU64;

use common::{digits, fashion, model, norm, objective, relative_error};
use stepscope::backend::Backend;
use stepscope::control::Direction;
use stepscope::control::transform::GradientTransform;
use stepscope::data::{Dataset, probe_subset};
use stepscope::measure::{
    BatchSharpnessProbe, BatchSource, BreakEvenMeter, ChordPlan, CriticalSharpnessProbe, DistanceProbe,
    FixedBatchesProbe, GradientCovarianceProbe, GradientNoise, HalfRateGaugeProbe, HessianSpectrumProbe,
    LocalQuadraticProbe, LossProbe, NoiseProbe, Objective, OneStepProbe, Probe, ProbePoint, SharpnessProbe,
    TwoPointProbe,
};
use stepscope::models::{Model, ParamLayout, ParamTensors};
use stepscope::spectral::random::RandomStream;
use stepscope::theory::Sampling;
use stepscope::train::{
    Claim, Due, Event, MemorySink, Outcome, Run, RunError, ScheduledProbe, Sink, SinkError, TrainError,
};
use stepscope::types::spec::{Activation, LearningRateSpec, ModelKind, Precision};
use stepscope::types::{
    BatchSize, LearningRate, Momentum, Record, RunSpec, Seeds, Step, StopReason, TrainingDuration, quantity,
};

fn spec(learning_rate: f64) -> RunSpec {
    let rate = LearningRateSpec::Fixed(LearningRate::new(learning_rate).unwrap());
    let mut spec = RunSpec::with_learning_rate(rate);
    spec.model.hidden = Some(vec![16]);
    spec.train.duration = TrainingDuration::Steps(60);
    spec.measure.every = TrainingDuration::Steps(20);
    spec.measure.examples = 128;
    spec.measure.noise_batches = 8;
    spec
}

fn train(spec: &RunSpec, dataset: &Dataset) -> (Outcome<Model>, Vec<Record>) {
    let mut sink = MemorySink::default();
    let outcome = Run::prepare(spec, dataset).unwrap().train(Vec::new(), &mut sink).unwrap();
    (outcome, sink.records)
}

fn text(records: Vec<Record>) -> String {
    records.into_iter().map(|record| serde_json::to_string(&record.without_timing()).unwrap() + "\n").collect()
}

fn values(records: &[Record], name: &str) -> Vec<(u64, f64)> {
    records
        .iter()
        .filter_map(|record| match record {
            Record::Measurement(m) if m.name == name => Some((m.step.0, m.value?)),
            _ => None,
        })
        .collect()
}

#[test]
fn the_same_spec_and_seed_give_the_same_bytes_twice_and_another_seed_gives_others() {
    let dataset = digits();
    let mut measured = spec(0.1);
    measured.optimizer.learning_rate = Some(LearningRateSpec::Measured);
    measured.optimizer.momentum = Momentum::new(0.5).unwrap();
    for spec in [spec(0.1), measured] {
        let first = text(train(&spec, &dataset).1);
        assert_eq!(first, text(train(&spec, &dataset).1));
        let other = RunSpec { seeds: Seeds::from_root(1), ..spec };
        assert_ne!(first, text(train(&other, &dataset).1));
    }
}

#[test]
fn measuring_changes_nothing_about_the_training() {
    let dataset = digits();
    let measured = spec(0.1);
    let mut silent = measured.clone();
    silent.measure.enabled = false;
    silent.average.enabled = false;
    let ((a, with), (b, without)) = (train(&measured, &dataset), train(&silent, &dataset));
    let layout = |network: &Model| ParamLayout::of(network).values(network);
    assert_eq!(layout(&a.network), layout(&b.network), "bit for bit");
    let batch_losses = |records: &[Record]| values(records, quantity::BATCH_LOSS.name);
    assert_eq!(batch_losses(&with), batch_losses(&without));
}

#[test]
fn every_probe_leaves_the_network_bit_for_bit_as_it_was() {
    let dataset = fashion();
    let backend = Backend::cpu(Precision::F32);
    let (tracked, dtype) = (backend.tracked(), backend.dtype());
    let network = model(ModelKind::SimpleCnn, Activation::Relu, Precision::F32, &dataset);
    let layout = ParamLayout::of(&network);
    let before = layout.values(&network);
    let on = |device| Objective::new(&dataset.train, dataset.shape, &[0, 1, 2, 3, 4, 5, 6, 7], device, dtype);
    let random = |name| RandomStream::named(1, name);
    let measure = spec(0.1).measure;
    let batches = |name| BatchSource::new(&dataset, 4, tracked.clone(), dtype, random(name));
    let noise = |name| NoiseProbe::new(batches(name), measure.noise_batches as usize);
    let meter = BreakEvenMeter::new(Sampling::Stream, BatchSize::new(4).unwrap(), 100);
    let mut probes: Vec<Box<dyn Probe<Model> + '_>> = vec![
        Box::new(LossProbe::new(on(&tracked), on(&tracked))),
        Box::new(SharpnessProbe::new(on(&tracked), &measure, random("a"))),
        Box::new(noise("b")),
        Box::new(LocalQuadraticProbe::new(on(&tracked), noise("c"))),
        Box::new(SharpnessProbe::new(on(&tracked), &measure, random("d")).with_break_even(meter)),
        Box::new(noise("e").with_tests(Sampling::Stream, BatchSize::new(10).unwrap())),
        Box::new(CriticalSharpnessProbe::new(batches("f"), on(&tracked))),
        Box::new(BatchSharpnessProbe::new(batches("g"), 8, 0.5)),
        Box::new(DistanceProbe::new(1)),
        Box::new(FixedBatchesProbe::new(batches("h"), 2, random("i"))),
        Box::new(OneStepProbe::new(batches("j"), on(&tracked), 2)),
        Box::new(HalfRateGaugeProbe::new(batches("k"), on(&tracked), 3)),
        Box::new(HessianSpectrumProbe::new(on(&tracked), 4, 0.1, random("l"))),
        Box::new(GradientCovarianceProbe::new(on(&tracked), 4, 0.1, random("m"))),
        Box::new(TwoPointProbe::new(
            batches("n"),
            stepscope::types::spec::Sampling::WithReplacement,
            on(&tracked),
            ChordPlan::of_steps(30),
            vec![1.0],
        )),
    ];
    let at = ProbePoint::new(&network, &layout, Step(0), 0.1);
    for probe in &mut probes {
        // Twice: what is remembered from a reading must not reach the network either.
        for _ in 0..2 {
            probe.measure(&at).unwrap();
            assert_eq!(layout.values(&network), before, "{}", probe.name());
        }
    }
}

#[test]
fn the_update_is_heavy_ball_without_dampening_whatever_the_sign_of_the_momentum() {
    let dataset = digits();
    for momentum in [0.0, 0.9, -0.4] {
        let mut network = model(ModelKind::Mlp, Activation::Tanh, Precision::F64, &dataset);
        let layout = ParamLayout::of(&network);
        let objective = objective(&dataset, 32, Precision::F64);
        let mut optimizer = GradientTransform::heavy_ball(Momentum::new(momentum).unwrap());
        let (mut theta, mut v) = (layout.values(&network), vec![0.0; layout.num_params()]);
        for _ in 0..5 {
            let by_hand = objective.loss_and_gradient(&layout.assign(network.clone(), &theta), &layout).unwrap().1;
            for (v, g) in v.iter_mut().zip(&by_hand) {
                *v = momentum * *v + g;
            }
            theta.iter_mut().zip(&v).for_each(|(theta, v)| *theta -= 0.3 * v);
            let (batch, _) = objective.micro_batches().next().unwrap();
            let pass = stepscope::models::Pass::values();
            let loss = stepscope::measure::objective::mean_loss(&network, batch, &pass).value;
            let gradient = ParamTensors::gradient(&network, &mut loss.backward());
            network = optimizer.direction(gradient, &ParamTensors::default).displace(network, -0.3);
            let error = relative_error(&layout.values(&network), &theta);
            assert!(error < 1e-14, "momentum {momentum}: {error:.1e}");
        }
    }
}

#[test]
fn a_run_past_the_stability_limit_ends_with_a_reason_and_the_last_good_step() {
    let dataset = fashion();
    let (outcome, records) = train(&spec(50.0), &dataset);
    let StopReason::Diverged { last_good_step, message } = &outcome.reason else {
        panic!("{:?}", outcome.reason);
    };
    assert!(last_good_step.0 < 60 && message.contains("learning rate 50"), "{last_good_step} {message}");
    let last = serde_json::to_string(&records.last().unwrap().clone().without_timing()).unwrap();
    assert!(last.contains("run-ended") && last.contains("diverged"), "{last}");
}

#[test]
fn a_finished_run_records_what_it_should_at_the_steps_it_should() {
    let (outcome, records) = train(&spec(0.1), &digits());
    assert_eq!((outcome.step, &outcome.reason), (Step(60), &StopReason::Finished));
    let steps = |name: &str| values(&records, name).iter().map(|v| v.0).collect::<Vec<u64>>();
    for name in [
        quantity::TRAIN_LOSS.name,
        quantity::TEST_ACCURACY.name,
        quantity::GRADIENT_NORM.name,
        quantity::HESSIAN_TOP_EIGENVALUE.name,
        quantity::EFFECTIVE_SHARPNESS.name,
        quantity::NOISE_TRACE.name,
    ] {
        assert_eq!(steps(name), [0, 20, 40, 60], "{name}");
    }
    assert_eq!(steps(quantity::BATCH_LOSS.name), (0..60).collect::<Vec<u64>>());
    assert_eq!(steps(quantity::LEARNING_RATE.name), [0, 59], "first and last of a fixed rate");
    for name in [quantity::EMA_LOSS_GAIN.name, quantity::TWO_POINT_LOSS_GAIN.name] {
        assert_eq!(steps(name), [60], "{name}");
    }
    let loss = values(&records, quantity::TRAIN_LOSS.name);
    assert!(loss[3].1 < 0.5 * loss[0].1, "training helps: {loss:?}");
}

#[test]
fn the_effective_sharpness_is_the_learning_rate_times_the_sharpness() {
    let (_, records) = train(&spec(0.1), &digits());
    let (sharpness, effective) =
        (values(&records, quantity::HESSIAN_TOP_EIGENVALUE.name), values(&records, quantity::EFFECTIVE_SHARPNESS.name));
    for (sharpness, effective) in sharpness.iter().zip(&effective) {
        assert!((0.1 * sharpness.1 - effective.1).abs() < 1e-12 * effective.1);
    }
}

#[test]
fn a_sink_that_fails_ends_the_run_with_its_error() {
    struct Full(u32);
    impl Sink for Full {
        fn receive(&mut self, _: &Event) -> Result<(), SinkError> {
            self.0 += 1;
            if self.0 > 10 { Err(SinkError("the disk is full".into())) } else { Ok(()) }
        }
    }
    let dataset = digits();
    let (spec, mut sink) = (spec(0.1), Full(0));
    let error = Run::prepare(&spec, &dataset).unwrap().train(Vec::new(), &mut sink).unwrap_err();
    assert!(matches!(&error, RunError::Train(TrainError::Sink(_))), "{error:?}");
    assert!(!error.is_bad_input());
    assert_eq!((error.to_string().as_str(), sink.0), ("the disk is full", 11), "nothing is sent after the failure");
}

#[test]
fn specifications_that_the_data_cannot_serve_are_refused_before_anything_runs() {
    let dataset = digits();
    let refused = |change: fn(&mut RunSpec)| {
        let mut spec = spec(0.1);
        change(&mut spec);
        let error = Run::prepare(&spec, &dataset).unwrap_err();
        assert!(error.is_bad_input());
        error.to_string()
    };
    let message = refused(|spec| spec.train.batch_size = BatchSize::new(5000).unwrap());
    assert!(message.contains("train.batch_size") && message.contains("3823"), "{message}");
    let message = refused(|spec| spec.measure.examples = 4000);
    assert!(message.contains("measure.examples") && message.contains("3823"), "{message}");
    let message = refused(|spec| (spec.model.kind, spec.model.hidden) = (ModelKind::SimpleCnn, None));
    assert!(message.contains("8x8") && message.contains("mlp"), "{message}");
}

#[test]
fn averages_are_read_where_the_specification_says_and_change_nothing_else() {
    let dataset = digits();
    let mut spec = spec(0.1);
    let records = |spec: &RunSpec| {
        let measured = |record: Record| match record {
            Record::Measurement(measurement) => Some(measurement),
            Record::Event(_) => None,
        };
        train(spec, &dataset).1.into_iter().filter_map(measured).collect::<Vec<_>>()
    };
    let plain = records(&spec);
    spec.average.more_ema_half_lives = vec![TrainingDuration::Steps(10)];
    spec.average.window = Some(TrainingDuration::Steps(12));
    spec.average.swa_every = Some(TrainingDuration::Steps(3));
    spec.average.two_point_gap = TrainingDuration::Steps(5);
    spec.average.power_widths = vec![0.05, 0.1];
    spec.average.evaluate_every = Some(TrainingDuration::Steps(20));
    let full = records(&spec);
    let steps_of = |name: &str| -> Vec<u64> {
        full.iter().filter(|measurement| measurement.name == name).map(|measurement| measurement.step.0).collect()
    };
    for kind in ["ema", "ema_2", "two_point", "window", "swa", "power_1", "power_2"] {
        for end in ["test_loss", "test_accuracy", "test_loss_gain"] {
            assert_eq!(steps_of(&format!("average/{kind}/{end}")), [40, 60], "{kind} {end}");
        }
        assert!(steps_of(&format!("average/{kind}/statistics_gain")).is_empty(), "an MLP has no statistics");
    }
    let others = |records: &[stepscope::types::Measurement]| -> Vec<String> {
        let others = records.iter().filter(|measurement| !measurement.name.starts_with("average/"));
        others.map(|m| format!("{} {} {:?}", m.step, m.name, m.value)).collect()
    };
    assert_eq!(others(&plain), others(&full));
}

#[test]
fn the_noise_scale_of_a_network_is_that_of_its_per_example_gradients() {
    let dataset = digits();
    let backend = Backend::cpu(Precision::F64);
    let network = model(ModelKind::Mlp, Activation::Tanh, Precision::F64, &dataset);
    let layout = ParamLayout::of(&network);
    // The truth from every single example's gradient.
    let num_examples = dataset.train.num_examples() as u32;
    let per_example: Vec<Vec<f64>> = (0..num_examples)
        .map(|index| {
            let (device, dtype) = (backend.tracked(), backend.dtype());
            let one = Objective::new(&dataset.train, dataset.shape, &[index], &device, dtype);
            one.loss_and_gradient(&network, &layout).unwrap().1
        })
        .collect();
    let count = f64::from(num_examples);
    let mut mean = vec![0.0; layout.num_params()];
    per_example.iter().for_each(|g| mean.iter_mut().zip(g).for_each(|(mean, g)| *mean += g / count));
    let second_moment = per_example.iter().map(|g| norm(g).powi(2)).sum::<f64>() / count;
    let (signal, trace) = (norm(&mean).powi(2), second_moment - norm(&mean).powi(2));

    let mut random = RandomStream::new(8, 0);
    let batches: Vec<Vec<f64>> = (0..200)
        .map(|_| {
            let mut batch = vec![0.0; layout.num_params()];
            for _ in 0..16 {
                let index = random.u64_below(NonZeroU64::new(u64::from(num_examples)).unwrap());
                batch.iter_mut().zip(&per_example[index as usize]).for_each(|(batch, g)| *batch += g / 16.0);
            }
            batch
        })
        .collect();
    let noise = GradientNoise::from_gradients(&batches, 16);
    let z_trace = (noise.covariance_trace - trace) / noise.covariance_trace_error;
    let z_signal = (noise.gradient_norm_squared - signal) / noise.gradient_norm_squared_error;
    assert!(z_trace.abs() < 4.5 && z_signal.abs() < 4.5, "z {z_trace} {z_signal}");
    let scale = noise.noise_scale.unwrap();
    assert!(scale.low <= trace / signal && trace / signal <= scale.high, "{scale:?}, truth {}", trace / signal);
}

#[test]
fn the_sharpness_is_that_of_the_dense_hessian() {
    let dataset = digits();
    let mut run = spec(0.1);
    run.model.hidden = Some(vec![3]);
    run.model.precision = Precision::F64;
    run.measure.tolerance = 1e-9;
    run.measure.max_products = 200;
    run.train.duration = TrainingDuration::Steps(1);
    let (_, records) = train(&run, &dataset);
    let lanczos = values(&records, quantity::HESSIAN_TOP_EIGENVALUE.name)[0].1;

    // The same network and examples again, and power iteration on products shifted to be positive definite.
    let backend = Backend::cpu(Precision::F64);
    let random = RandomStream::named(run.seeds.init_seed(), "initial weights");
    let network = Model::new(&run.model, dataset.shape, dataset.num_classes, random, &backend).unwrap();
    let subset = probe_subset(dataset.train.num_examples(), 128, run.seeds.probe_seed()).unwrap();
    let objective = Objective::new(&dataset.train, dataset.shape, &subset, &backend.tracked(), backend.dtype());
    let layout = ParamLayout::of(&network);
    let hessian = |v: &[f64]| {
        let mut out = vec![0.0; v.len()];
        let curvature = stepscope::measure::Curvature::Hessian;
        let mut operator = stepscope::measure::CurvatureOperator::new(&network, &objective, &layout, curvature);
        stepscope::spectral::LinearOperator::apply(&mut operator, v, &mut out).unwrap();
        out
    };
    let (mut v, shift) = (common::random_vector(layout.num_params(), 5), 20.0);
    let mut eigenvalue = 0.0;
    for _ in 0..4000 {
        let product = hessian(&v);
        eigenvalue = common::dot(&v, &product);
        v.iter_mut().zip(&product).for_each(|(v, p)| *v = p + shift * *v);
        let length = norm(&v);
        v.iter_mut().for_each(|v| *v /= length);
    }
    assert!((lanczos / eigenvalue - 1.0).abs() < 1e-8, "Lanczos {lanczos}, power iteration {eigenvalue}");
}

#[test]
fn a_forecast_starts_at_the_measured_loss_and_follows_a_short_stretch() {
    let dataset = fashion();
    let mut run = spec(0.02);
    run.train.duration = TrainingDuration::Steps(60);
    run.measure.every = TrainingDuration::Steps(10);
    let mut probe = LocalQuadraticProbe::on_training_set(&run, &dataset).unwrap();
    let prepared = Run::prepare(&run, &dataset).unwrap();
    let (manifest, plan) = (prepared.manifest(0), prepared.plan().clone());
    let mut sink = MemorySink::default();
    let extra =
        vec![ScheduledProbe { probe: &mut probe, due: Due::From { start: 20, every: 20 }, claim: Claim::Shares(1.0) }];
    prepared.train(extra, &mut sink).unwrap();
    let steps: Vec<u64> = probe.quadratics().iter().map(|(step, _)| step.0).collect();
    assert_eq!(steps, [20, 40]);
    let predicted = stepscope::predict::predict_run("ahead", &manifest, &plan, probe.quadratics()).unwrap();
    assert_eq!((predicted.manifest.process.as_str(), predicted.manifest.name.as_str()), ("theory", "ahead"));
    let name = quantity::TRAIN_LOSS.name;
    let measured = values(&sink.records, name);
    for (step, forecast) in values(&predicted.records, name) {
        let (_, loss) = measured.iter().find(|(other, _)| *other == step).unwrap();
        // The start is the same loss measured twice, in f32; a stretch of 20 steps is forecast to a few percent.
        let allowed = if step == 20 { 1e-5 } else { 0.08 };
        assert!((forecast / loss - 1.0).abs() < allowed, "step {step}: forecast {forecast}, measured {loss}");
    }
}
