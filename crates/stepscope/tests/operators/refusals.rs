//! What cannot be measured is refused with the cause, its place, and what to do instead.

use burn::Tensor;
use burn::module::{Module, Param};
use stepscope::measure::{BatchLoss, Curvature, CurvatureOperator, Kinks, Loss, LossError, Objective, ProductError};
use stepscope::models::ParamLayout;
use stepscope::spectral::LinearOperator;
use stepscope::spectral::random::RandomStream;
use stepscope::types::spec::{Activation, ModelKind, Precision};

use crate::common::{digits, model, objective, random_vector};
use crate::modules::{Kind, Rows, Rules, TwoLayers, in_micro_batches, parameter, product, rows};

fn refusal<N: BatchLoss<B>, B>(network: &N, objective: &Objective<B>, curvature: Curvature) -> ProductError {
    let layout = ParamLayout::of(network);
    let mut image = vec![0.0; layout.num_params()];
    let v = random_vector(layout.num_params(), 1);
    CurvatureOperator::new(network, objective, &layout, curvature).apply(&v, &mut image).unwrap_err()
}

fn preflight<N: BatchLoss<B>, B>(
    network: &N,
    objective: &Objective<B>,
    curvature: Curvature,
) -> Result<stepscope::measure::Preflight, ProductError> {
    let layout = ParamLayout::of(network);
    CurvatureOperator::new(network, objective, &layout, curvature).preflight(&mut RandomStream::new(1, 0))
}

#[test]
fn differences_of_gradients_are_refused_across_kinks_that_are_named_and_kinks_that_are_not() {
    let dataset = digits();
    let refuse = Curvature::HessianByDifferences { kinks: Kinks::Refuse };
    let named = model(ModelKind::Mlp, Activation::Relu, Precision::F32, &dataset);
    let on_digits = objective(&dataset, 200, Precision::F32);
    let error = refusal(&named, &on_digits, refuse);
    assert_eq!(error, ProductError::Kinks { kinks: "relu".into() });
    assert!(error.to_string().contains("use Curvature::GaussNewton"), "{error}");

    // A module that does not say so is found out by measuring, and a smooth one is not taken for it.
    let mut silent = TwoLayers::new(Kind::CrossEntropy, Rules::None, Precision::F32);
    let many = in_micro_batches(&rows(3000, Precision::F32), 3000);
    for activation in [Activation::Tanh, Activation::Gelu, Activation::Softplus] {
        silent.activation = activation;
        let v = random_vector(ParamLayout::of(&silent).num_params(), 1);
        product(&silent, &many, refuse, &v);
    }
    silent.activation = Activation::Relu;
    let error = refusal(&silent, &many, refuse);
    assert!(matches!(error, ProductError::NotSmooth { disagreement } if disagreement > 0.4), "{error}");
    assert!(error.to_string().contains("relu, max-pool, abs"), "{error}");

    let accept = Curvature::HessianByDifferences { kinks: Kinks::Accept };
    let v = random_vector(ParamLayout::of(&silent).num_params(), 1);
    assert!(
        product(&silent, &many, accept, &v).iter().all(|entry| entry.is_finite()),
        "asked for by name, it is given"
    );
}

#[test]
fn a_loss_that_depends_on_hidden_state_is_found_and_its_first_layer_named() {
    let objective = in_micro_batches(&rows(9, Precision::F64), 9);
    for (rules, curvature) in [
        (Rules::All, Curvature::Hessian),
        (Rules::None, Curvature::GaussNewton),
        (Rules::All, Curvature::GradientCovariance),
    ] {
        let mut network = TwoLayers::new(Kind::CrossEntropy, rules, Precision::F64);
        let found = preflight(&network, &objective, curvature).unwrap();
        assert!(found.symmetry_defect < 1e-6, "{found:?}");
        network.has_hidden_state = true;
        let error = preflight(&network, &objective, curvature).unwrap_err();
        assert_eq!(error, ProductError::HiddenState { layer: "first".into() });
        assert!(error.to_string().contains("dropout with a new mask"), "{error}");
    }
}

#[test]
fn a_layer_without_a_tangent_rule_is_named() {
    let objective = in_micro_batches(&rows(9, Precision::F64), 9);
    let network = TwoLayers::new(Kind::CrossEntropy, Rules::FirstOnly, Precision::F64);
    for curvature in [Curvature::Hessian, Curvature::GaussNewton] {
        let error = preflight(&network, &objective, curvature).unwrap_err();
        assert!(matches!(&error, ProductError::WrongTangent { layer, .. } if layer == "second"), "{error}");
        assert!(error.to_string().contains("Pass::param"), "{error}");
    }
    let without = TwoLayers::new(Kind::CrossEntropy, Rules::None, Precision::F64);
    assert_eq!(refusal(&without, &objective, Curvature::Hessian), ProductError::NoTangent);
}

#[test]
fn what_the_loss_does_not_tell_is_refused_with_the_constructor_that_would() {
    let objective = in_micro_batches(&rows(9, Precision::F64), 9);
    let fisher = Curvature::MonteCarloFisher { samples: 1, seed: 0 };
    let network = TwoLayers::new(Kind::Custom { with_hessian: false }, Rules::All, Precision::F64);
    for curvature in [Curvature::GaussNewton, fisher] {
        let error = refusal(&network, &objective, curvature);
        assert_eq!(error, ProductError::NoOutputs { curvature });
        assert!(error.to_string().contains("Loss::with_output_hessian"), "{error}");
    }
    let network = TwoLayers::new(Kind::Custom { with_hessian: true }, Rules::All, Precision::F64);
    assert_eq!(refusal(&network, &objective, fisher), ProductError::NoDistribution);
}

/// Forgets that losses are of examples.
#[derive(Module, Debug)]
struct Averaging {
    weight: Param<Tensor<1>>,
    #[module(skip)]
    has_too_few_targets: bool,
}

impl BatchLoss<Rows> for Averaging {
    fn loss(&self, batch: &Rows) -> Loss {
        let outputs = batch.features.clone() * self.weight.val().unsqueeze::<2>();
        if self.has_too_few_targets {
            return Loss::mean_squared_error(outputs, batch.targets.clone());
        }
        Loss::per_example(outputs.square().mean())
    }
}

#[test]
fn a_mean_in_place_of_losses_and_targets_of_another_shape_are_refused_with_both_shapes() {
    let objective = in_micro_batches(&rows(9, Precision::F64), 9);
    let mut network = Averaging { weight: parameter([5], Precision::F64, 8), has_too_few_targets: false };
    let error = refusal(&network, &objective, Curvature::GradientCovariance);
    assert_eq!(error, LossError::NotPerExample { got: 1, expected: 9 }.into());
    network.has_too_few_targets = true;
    let error = objective.per_example_losses(&network).unwrap_err().to_string();
    assert!(error.contains("[9, 5]") && error.contains("[9, 3]"), "{error}");
}

#[test]
fn fewer_examples_than_asked_are_refused_with_both_numbers() {
    let three = || in_micro_batches(&rows(3, Precision::F64), 2);
    assert_eq!(three().with_at_least(3).unwrap().num_examples(), 3);
    let error = three().with_at_least(4).unwrap_err();
    assert_eq!(error, ProductError::TooFewExamples { asked: 4, available: 3 });
    let network = TwoLayers::new(Kind::CrossEntropy, Rules::All, Precision::F64);
    let none = Objective::<Rows>::from_batches([], |_| 0);
    assert_eq!(refusal(&network, &none, Curvature::Hessian), ProductError::TooFewExamples { asked: 1, available: 0 });
}

#[test]
fn a_product_that_does_not_fit_in_memory_is_refused_with_a_size_that_does() {
    let dataset = digits();
    let network = model(ModelKind::Mlp, Activation::Tanh, Precision::F32, &dataset);
    let (objective, layout) = (objective(&dataset, 64, Precision::F32), ParamLayout::of(&network));
    let operator = CurvatureOperator::new(&network, &objective, &layout, Curvature::Hessian);
    let Some(need) = operator.check_memory(None).unwrap() else {
        println!("skipped: the system does not tell how much memory a process has");
        return;
    };
    assert!(need.peak < need.limit, "{need:?}");
    let error = operator.check_memory(Some(need.peak + need.peak / 2)).unwrap_err();
    assert!(matches!(error, ProductError::Memory { examples: 64, suggested: 0 | 1, .. }), "{error}");
    assert!(error.to_string().contains("micro-batches of at most"), "{error}");
}
