//! Exact products against independent twins: central differences of f64 gradients, differences of logits, f32
//! against f64, symmetry, and the size of micro-batches.
#![allow(clippy::unwrap_used)]

mod common;

use common::{ACTIVATIONS, OwnNetwork, digits, dot, fashion, model, norm, objective, random_vector, relative_error};
use stepscope::measure::{Curvature, CurvatureOperator, Objective, ProductError};
use stepscope::models::{Dual, Network, ParamLayout, Pass};
use stepscope::spectral::LinearOperator;
use stepscope::types::spec::{Activation, ModelKind, Precision};

const BOTH: [Curvature; 2] = [Curvature::Hessian, Curvature::GaussNewton];

fn product<N: Network>(network: &N, objective: &Objective, curvature: Curvature, v: &[f64]) -> Vec<f64> {
    let layout = ParamLayout::of(network);
    let mut out = vec![0.0; layout.num_params()];
    CurvatureOperator::new(network, objective, &layout, curvature).apply(v, &mut out).unwrap();
    out
}

/// (∇L(θ + εv) − ∇L(θ − εv)) / 2ε.
fn difference_of_gradients<N: Network>(network: &N, objective: &Objective, v: &[f64], epsilon: f64) -> Vec<f64> {
    let layout = ParamLayout::of(network);
    let at = |sign: f64| {
        let values: Vec<f64> =
            layout.values(network).iter().zip(v).map(|(theta, v)| theta + sign * epsilon * v).collect();
        objective.loss_and_gradient(&layout.assign(network.clone(), &values), &layout).unwrap().1
    };
    at(1.0).iter().zip(at(-1.0)).map(|(plus, minus)| (plus - minus) / (2.0 * epsilon)).collect()
}

/// A network with examples, of whatever type.
trait Subject {
    fn name(&self) -> &str;
    fn num_params(&self) -> usize;
    fn product(&self, curvature: Curvature, v: &[f64]) -> Vec<f64>;
    fn difference(&self, v: &[f64], epsilon: f64) -> Vec<f64>;
}

struct On<N> {
    name: String,
    network: N,
    objective: Objective,
}

impl<N: Network> Subject for On<N> {
    fn name(&self) -> &str {
        &self.name
    }

    fn num_params(&self) -> usize {
        ParamLayout::of(&self.network).num_params()
    }

    fn product(&self, curvature: Curvature, v: &[f64]) -> Vec<f64> {
        product(&self.network, &self.objective, curvature, v)
    }

    fn difference(&self, v: &[f64], epsilon: f64) -> Vec<f64> {
        difference_of_gradients(&self.network, &self.objective, v, epsilon)
    }
}

/// Every activation, dense and convolutional, and a user's own network, in f64.
fn subjects() -> Vec<Box<dyn Subject>> {
    let (digits, fashion, precision) = (digits(), fashion(), Precision::F64);
    let mut subjects: Vec<Box<dyn Subject>> = Vec::new();
    for activation in ACTIVATIONS {
        let network = model(ModelKind::Mlp, activation, precision, &digits);
        let objective = objective(&digits, 24, precision);
        subjects.push(Box::new(On { name: format!("mlp {activation:?}"), network, objective: objective.clone() }));
        let network = OwnNetwork::new(activation, precision);
        subjects.push(Box::new(On { name: format!("own {activation:?}"), network, objective }));
    }
    for activation in [Activation::Relu, Activation::Tanh] {
        let network = model(ModelKind::SimpleCnn, activation, precision, &fashion);
        let objective = objective(&fashion, 24, precision);
        subjects.push(Box::new(On { name: format!("simple-cnn {activation:?}"), network, objective }));
    }
    subjects
}

#[test]
fn the_f64_hessian_product_is_the_derivative_of_the_gradient() {
    for subject in subjects() {
        let v = random_vector(subject.num_params(), 1);
        let exact = subject.product(Curvature::Hessian, &v);
        // The difference is the less accurate side: truncation falls with ε, rounding grows. The better of two is taken,
        // and kinked networks need the small one so that no unit crosses its kink.
        let error = [1e-5, 2e-6].map(|epsilon| relative_error(&exact, &subject.difference(&v, epsilon)));
        let error = error[0].min(error[1]);
        println!("{}: {error:.1e}", subject.name());
        assert!(error <= 1e-7, "{}: relative error {error:.2e}", subject.name());
    }
}

#[test]
fn the_f64_hessian_is_symmetric() {
    for subject in subjects() {
        let (u, v) = (random_vector(subject.num_params(), 1), random_vector(subject.num_params(), 2));
        for curvature in BOTH {
            let (hu, hv) = (subject.product(curvature, &u), subject.product(curvature, &v));
            let defect = (dot(&u, &hv) - dot(&hu, &v)).abs() / (norm(&hu) * norm(&hv)).sqrt();
            assert!(defect <= 1e-12, "{} {curvature:?}: {defect:.2e}", subject.name());
        }
    }
}

#[test]
fn f32_products_agree_with_f64_products() {
    let (digits, fashion) = (digits(), fashion());
    for (kind, activation, dataset) in [
        (ModelKind::Mlp, Activation::Relu, &digits),
        (ModelKind::Mlp, Activation::Tanh, &digits),
        (ModelKind::Mlp, Activation::Gelu, &digits),
        (ModelKind::Mlp, Activation::Softplus, &digits),
        (ModelKind::SimpleCnn, Activation::Relu, &fashion),
    ] {
        for curvature in BOTH {
            let at = |precision| {
                let network = model(kind, activation, precision, dataset);
                // The same point in both precisions: the f32 weights, widened.
                let narrow = model(kind, activation, Precision::F32, dataset);
                let values = ParamLayout::of(&narrow).values(&narrow);
                let network = ParamLayout::of(&network).assign(network, &values);
                // A direction that f32 holds exactly, so that only the product's own rounding is compared.
                let v: Vec<f64> = random_vector(values.len(), 1).iter().map(|&v| f64::from(v as f32)).collect();
                product(&network, &objective(dataset, 64, precision), curvature, &v)
            };
            let error = relative_error(&at(Precision::F32), &at(Precision::F64));
            println!("{kind:?} {activation:?} {curvature:?}: {error:.1e}");
            assert!(error <= 1e-5, "{kind:?} {activation:?} {curvature:?}: {error:.2e}");
        }
    }
}

#[test]
fn the_gauss_newton_product_is_that_of_differenced_logits() {
    let dataset = digits();
    for activation in ACTIVATIONS {
        let network = model(ModelKind::Mlp, activation, Precision::F64, &dataset);
        let objective = objective(&dataset, 24, Precision::F64);
        let layout = ParamLayout::of(&network);
        let (u, v) = (random_vector(layout.num_params(), 1), random_vector(layout.num_params(), 2));
        let logits = |direction: &[f64], epsilon: f64| -> Vec<f64> {
            let values: Vec<f64> =
                layout.values(&network).iter().zip(direction).map(|(theta, d)| theta + epsilon * d).collect();
            let moved = layout.assign(network.clone(), &values);
            let (batch, _) = objective.micro_batches().next().unwrap();
            moved
                .logits(Dual::constant(batch.images.clone()), &Pass::values())
                .value
                .into_data()
                .iter::<f64>()
                .collect()
        };
        let jvp = |d: &[f64]| -> Vec<f64> {
            let epsilon = 1e-6;
            logits(d, epsilon).iter().zip(logits(d, -epsilon)).map(|(p, m)| (p - m) / (2.0 * epsilon)).collect()
        };
        // ⟨u, Gv⟩ = (1/n) Σ_i Juᵢᵀ (diag p − p pᵀ) Jvᵢ, written out.
        let (z, ju, jv) = (logits(&u, 0.0), jvp(&u), jvp(&v));
        let expected: f64 = (0..24)
            .map(|i| {
                let row = |values: &[f64]| values[10 * i..10 * (i + 1)].to_vec();
                let (z, a, b) = (row(&z), row(&ju), row(&jv));
                let total: f64 = z.iter().map(|z| z.exp()).sum();
                let p: Vec<f64> = z.iter().map(|z| z.exp() / total).collect();
                let mean = |values: &[f64]| dot(&p, values);
                let products: Vec<f64> = a.iter().zip(&b).map(|(a, b)| a * b).collect();
                mean(&products) - mean(&a) * mean(&b)
            })
            .sum::<f64>()
            / 24.0;
        let got = dot(&u, &product(&network, &objective, Curvature::GaussNewton, &v));
        assert!((got - expected).abs() <= 1e-7 * expected.abs().max(1e-3), "{activation:?}: {got} {expected}");
    }
}

#[test]
fn the_size_of_the_micro_batches_never_changes_the_result() {
    let dataset = digits();
    let network = model(ModelKind::Mlp, Activation::Tanh, Precision::F64, &dataset);
    let v = random_vector(ParamLayout::of(&network).num_params(), 1);
    let backend = stepscope::backend::Backend::cpu(Precision::F64);
    let indices: Vec<u32> = (0..50).collect();
    let at = |size| {
        let (device, dtype) = (backend.tracked(), backend.dtype());
        Objective::with_micro_batch_size(&dataset.train, dataset.shape, &indices, &device, dtype, size)
    };
    for curvature in BOTH {
        let whole = product(&network, &at(50), curvature, &v);
        for size in [1, 7, 49, 1000] {
            let error = relative_error(&product(&network, &at(size), curvature, &v), &whole);
            assert!(error <= 1e-13, "{curvature:?}, micro-batches of {size}: {error:.2e}");
        }
    }
}

#[test]
fn a_vector_of_the_wrong_length_and_a_network_without_tangents_are_named() {
    let dataset = digits();
    let network = model(ModelKind::Mlp, Activation::Relu, Precision::F64, &dataset);
    let objective = objective(&dataset, 4, Precision::F64);
    let layout = ParamLayout::of(&network);
    let mut operator = CurvatureOperator::new(&network, &objective, &layout, Curvature::Hessian);
    let mut out = vec![0.0; layout.num_params()];
    let error = operator.apply(&[1.0], &mut out).unwrap_err();
    assert_eq!(error, ProductError::Length { got: 1, expected: layout.num_params() });
    assert!(ProductError::NoTangent.to_string().contains("stepscope::models::layers"));
}
