//! Norms of the examples' gradients, exact and projected.

use stepscope::measure::Objective;
use stepscope::models::{Model, ParamLayout};
use stepscope::spectral::random::RandomStream;
use stepscope::types::spec::{Activation, ModelKind, ModelSpec, Normalisation, Precision};

use crate::common::{digits, fashion, model, norm, objective};

#[test]
fn norms_are_those_of_gradients_over_single_examples_dense_and_convolutional() {
    for (kind, dataset) in [(ModelKind::Mlp, digits()), (ModelKind::SimpleCnn, fashion())] {
        let network = model(kind, Activation::Relu, Precision::F64, &dataset);
        let layout = ParamLayout::of(&network);
        let together = objective(&dataset, 7, Precision::F64);
        let norms = together.gradient_norms_one_by_one(&network, &layout).unwrap();
        let (batch, _) = together.micro_batches().next().unwrap();
        let alone = Objective::from_batches((0..7).map(|example| batch.slice(example..example + 1)), |_| 1);
        let (mut by_hand, mut mean) = (Vec::new(), vec![0.0; layout.num_params()]);
        let visit = |len: usize, gradient: Vec<f64>| {
            assert_eq!(len, 1);
            by_hand.push(norm(&gradient));
            mean.iter_mut().zip(&gradient).for_each(|(mean, g)| *mean += g / 7.0);
        };
        alone.visit_gradients(&network, &layout, visit).unwrap();
        assert_eq!(norms, by_hand);
        // Their mean is the gradient: no example was taken twice.
        let (_, gradient) = together.loss_and_gradient(&network, &layout).unwrap();
        assert!(crate::common::relative_error(&mean, &gradient) < 1e-12, "{kind:?}");
    }
}

#[test]
fn norms_from_one_backward_pass_are_those_of_one_by_one() {
    let narrow = |kind, normalisation| ModelSpec {
        hidden: (kind == ModelKind::Mlp).then(|| vec![12, 9]),
        precision: Precision::F64,
        normalisation,
        kind,
        ..ModelSpec::default()
    };
    let fashion = fashion();
    // The last one uses weights several times, so its norms are taken one by one on either side.
    for spec in [
        narrow(ModelKind::Mlp, None),
        narrow(ModelKind::SimpleCnn, None),
        narrow(ModelKind::Mlp, Some(Normalisation::Batch)),
        narrow(ModelKind::ResNet8, None),
        narrow(ModelKind::SimpleCnn, Some(Normalisation::Group)),
        narrow(ModelKind::VisionTransformer, None),
    ] {
        let backend = stepscope::backend::Backend::cpu(Precision::F64);
        let random = RandomStream::new(3, 0);
        let network = Model::new(&spec, fashion.shape, fashion.num_classes, random, &backend).unwrap();
        let layout = ParamLayout::of(&network);
        let objective = objective(&fashion, 5, Precision::F64);
        let fast = objective.gradient_norms(&network, &layout).unwrap();
        let slow = objective.gradient_norms_one_by_one(&network, &layout).unwrap();
        let error = crate::common::relative_error(&fast, &slow);
        assert!(error < 1e-10, "{:?} {:?}: {error:.1e}", spec.kind, spec.normalisation);
    }
}

#[test]
fn projected_norms_err_as_they_say_and_less_with_more_directions() {
    let dataset = digits();
    let network = model(ModelKind::Mlp, Activation::Tanh, Precision::F64, &dataset);
    let layout = ParamLayout::of(&network);
    let backend = stepscope::backend::Backend::cpu(Precision::F64);
    let indices: Vec<u32> = (0..40).collect();
    let (device, dtype) = (backend.tracked(), backend.dtype());
    let objective = Objective::with_micro_batch_size(&dataset.train, dataset.shape, &indices, &device, dtype, 16);
    let exact = objective.gradient_norms(&network, &layout).unwrap();
    for num_directions in [8, 128] {
        let mut random = RandomStream::new(5, 0);
        let found = objective.projected_gradient_norms(&network, &layout, num_directions, &mut random).unwrap();
        assert_eq!(found.squared_norms.len(), 40);
        let relative = found.squared_norms.iter().zip(&exact).map(|(found, exact)| found / (exact * exact) - 1.0);
        let error = (relative.map(|error| error * error).sum::<f64>() / 40.0).sqrt();
        // Gradients of examples share directions, so forty errors are fewer than forty independent ones.
        assert!((0.4..2.0).contains(&(error / found.relative_error)), "{num_directions}: {error:.3}");
    }
}
