//! Curvature and gradient noise of any Burn module, from its losses alone:
//! `cargo run --release --workspace --example any_module`.
#![allow(clippy::print_stdout)]

use burn::module::{Module, Param};
use burn::tensor::{Int, Tensor, activation::relu};
use stepscope::backend::Backend;
use stepscope::data::{Batch, Dataset};
use stepscope::measure::{BatchLoss, Curvature, CurvatureOperator, Loss, Objective};
use stepscope::models::{ParamLayout, init::WeightInit};
use stepscope::spectral::{Lanczos, LanczosConfig, StartVector, random::RandomStream};
use stepscope::types::spec::{DataSpec, ModelSpec, Precision};

/// A module as one finds it: its own parameters, its own forward pass, no tangent rules.
#[derive(Module, Debug)]
struct Perceptron {
    hidden: Param<Tensor<2>>,
    output: Param<Tensor<2>>,
}

/// The batch is of any type, too.
struct Digits {
    pixels: Tensor<2>,
    labels: Tensor<1, Int>,
}

impl BatchLoss<Digits> for Perceptron {
    fn loss(&self, batch: &Digits) -> Loss {
        let hidden = relu(batch.pixels.clone().matmul(self.hidden.val()));
        Loss::cross_entropy(hidden.matmul(self.output.val()), batch.labels.clone())
    }
}

pub(crate) fn main() -> Result<(), Box<dyn std::error::Error>> {
    let backend = Backend::cpu(Precision::F32);
    let mut init = WeightInit::new(&ModelSpec::default(), RandomStream::named(1, "weights"), &backend);
    let model = Perceptron { hidden: init.weight([64, 32], 64, 32), output: init.weight([32, 10], 32, 10) };

    let dataset = Dataset::load(&DataSpec::default())?;
    let indices: Vec<u32> = (0..1024).collect();
    let batches = indices.chunks(256).map(|chunk| {
        let batch = Batch::gather(&dataset.train, dataset.shape, chunk, &backend.tracked(), backend.dtype());
        Digits { pixels: batch.images.flatten(1, 3), labels: batch.labels }
    });
    let objective = Objective::from_batches(batches, |batch| batch.labels.dims()[0]);

    let layout = ParamLayout::of(&model);
    let mut random = RandomStream::named(1, "lanczos");
    for curvature in [Curvature::GaussNewton, Curvature::GradientCovariance] {
        let mut operator = CurvatureOperator::new(&model, &objective, &layout, curvature);
        operator.preflight(&mut random)?;
        let found = Lanczos::new(LanczosConfig::default()).run(&mut operator, StartVector::Random, &mut random)?;
        for top in found.eigenpairs {
            println!("{curvature:?}: largest eigenvalue {:.4} ± {:.0e}", top.eigenvalue, top.residual);
        }
    }
    Ok(())
}
