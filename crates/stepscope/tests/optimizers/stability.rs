//! The sharpness that an optimizer feels.

use stepscope::control::Direction;
use stepscope::control::transform::{GradientTransform, ParamGroups, Rule};
use stepscope::measure::{
    Curvature, CurvatureOperator, Measured, Objective, Probe, ProbePoint, Scaling, SharpnessProbe,
};
use stepscope::models::{Model, ParamLayout, ParamTensors};
use stepscope::spectral::LinearOperator;
use stepscope::spectral::random::RandomStream;
use stepscope::types::quantity::{self, Quantity};
use stepscope::types::spec::{
    Activation, AdamSpec, MeasureSpec, ModelKind, ParamGroupSpec, Precision, WeightDecayForm,
};
use stepscope::types::{Reading, Step};

use super::common::{digits, dot, model, norm, objective};

fn measure(rule: &GradientTransform, network: &Model, layout: &ParamLayout, examples: Objective) -> Vec<Measured> {
    let spec = MeasureSpec { tolerance: 1e-9, max_products: 60, ..MeasureSpec::default() };
    let mut probe = SharpnessProbe::new(examples, &spec, RandomStream::named(1, "sharpness"));
    let at = ProbePoint { motion: rule.motion(), ..ProbePoint::new(network, layout, Step(0), 0.1) };
    probe.measure(&at).unwrap()
}

fn value(measured: &[Measured], quantity: &Quantity) -> Option<f64> {
    let found = measured.iter().find(|measured| measured.quantity == quantity)?;
    found.reading.estimate().map(|estimate| estimate.value)
}

/// λ₁ of D(H + δ) by power iteration on the shifted operator, over plain numbers: no symmetric square roots, no Lanczos.
fn by_power_iteration(
    network: &Model,
    layout: &ParamLayout,
    examples: &Objective,
    diagonal: &[f64],
    decay: f64,
) -> f64 {
    let mut hessian = CurvatureOperator::new(network, examples, layout, Curvature::Hessian);
    let mut product = |x: &[f64]| {
        let mut image = vec![0.0; x.len()];
        hessian.apply(x, &mut image).unwrap();
        image.iter().zip(x).zip(diagonal).map(|((h, x), d)| d * (h + decay * x)).collect::<Vec<f64>>()
    };
    let mut x: Vec<f64> = super::common::random_vector(diagonal.len(), 5);
    let mut eigenvalue = 0.0;
    for _ in 0..400 {
        let image = product(&x);
        eigenvalue = dot(&x, &image);
        let length = norm(&image);
        x = image.into_iter().map(|y| y / length).collect();
    }
    eigenvalue
}

#[test]
fn adam_and_groups_are_held_against_the_top_eigenvalue_of_the_scaled_hessian() {
    let dataset = digits();
    let network = model(ModelKind::Mlp, Activation::Tanh, Precision::F64, &dataset);
    let layout = ParamLayout::of(&network);
    let examples = || objective(&dataset, 32, Precision::F64);
    let gradient = || {
        let batch = objective(&dataset, 32, Precision::F64);
        let (batch, _) = batch.micro_batches().next().unwrap();
        let pass = stepscope::models::Pass::values();
        let loss = stepscope::measure::objective::mean_loss(&network, batch, &pass).value;
        ParamTensors::gradient(&network, &mut loss.backward())
    };
    let groups = [ParamGroupSpec { names: "*.bias".into(), learning_rate_factor: 4.0, weight_decay: true }];
    let groups = ParamGroups::of_spec(&groups, &layout).unwrap();
    let adam = Rule::adam(AdamSpec { epsilon: 1e-2, ..AdamSpec::default() });
    for (what, rule, decay, threshold) in [
        ("adam", GradientTransform::new(adam.clone()), 0.0, 38.0),
        ("adam and groups", GradientTransform::new(adam).with_groups(groups.clone()), 0.0, 38.0),
        (
            "groups and decay",
            GradientTransform::new(Rule::heavy_ball(0.9))
                .with_groups(groups)
                .with_weight_decay(0.3, WeightDecayForm::Coupled),
            0.3,
            3.8,
        ),
    ] {
        let mut rule = rule;
        let before = measure(&rule, &network, &layout, examples());
        if what.starts_with("adam") {
            assert_eq!(value(&before, &quantity::STABILITY_POSITION), None, "nothing is known before the first step");
            let reason = before.iter().find(|m| m.quantity == &quantity::STABILITY_POSITION).unwrap();
            assert!(matches!(&reason.reading, Reading::Unresolved { reason, .. } if reason.contains("first step")));
        }
        rule.direction(gradient(), &|| ParamTensors::values(&network));
        let measured = measure(&rule, &network, &layout, examples());
        let Scaling::Diagonal(diagonal) = rule.motion().scaling(&network) else { panic!("{what}") };
        let diagonal = layout.vector(&diagonal);
        let truth = by_power_iteration(&network, &layout, &examples(), &diagonal, decay);
        let felt = value(&measured, &quantity::PRECONDITIONED_TOP_EIGENVALUE).unwrap();
        assert!((felt / truth - 1.0).abs() < 1e-5, "{what}: {felt} {truth}");
        let position = value(&measured, &quantity::STABILITY_POSITION).unwrap();
        assert!((position - 0.1 * felt / threshold).abs() < 1e-12 * position, "{what}: {position}");
        let plain = value(&measured, &quantity::HESSIAN_TOP_EIGENVALUE).unwrap();
        assert!((plain / felt - 1.0).abs() > 0.05, "{what}: {plain} {felt}");
    }
}
