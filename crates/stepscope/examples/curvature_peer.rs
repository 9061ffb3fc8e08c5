//! Our side of `benches/peers/curvature.py`: measures one operation at a time, on request, so that the other side can be
//! timed in between.
//!
//! `curvature_peer mlp|cnn FOLDER` reads commands from standard input, one a line, and answers each with one line of
//! numbers. Vectors are files in FOLDER of little-endian f32 (labels: bytes), in the order of the network's parameters.
#![allow(clippy::print_stdout)]

use std::error::Error;
use std::fs;
use std::io::BufRead;
use std::path::{Path, PathBuf};
use std::time::Instant;

use burn::Tensor;
use burn::tensor::TensorData;
use stepscope::backend::Backend;
use stepscope::data::{Batch, Target};
use stepscope::measure::{Curvature, CurvatureOperator, Objective};
use stepscope::models::{Model, ParamLayout, Sharing};
use stepscope::spectral::random::RandomStream;
use stepscope::spectral::{
    EigenTracker, EigensolverConfig, Lanczos, LanczosConfig, LinearOperator, StartVector, Tridiagonal,
};
use stepscope::types::spec::{ModelKind, ModelSpec, Precision};

// As in the program.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

type Failure = Box<dyn Error>;

/// Examples in one pass through memory, on both sides.
const MICRO_BATCH: usize = 512;

fn main() -> Result<(), Failure> {
    let mut arguments = std::env::args().skip(1);
    let (Some(name), Some(folder)) = (arguments.next(), arguments.next()) else {
        return Err("usage: curvature_peer mlp|cnn FOLDER".into());
    };
    let (spec, shape) = match name.as_str() {
        "mlp" => (ModelSpec { hidden: Some(vec![500, 300]), ..ModelSpec::default() }, [1, 28, 28]),
        _ => (ModelSpec { kind: ModelKind::SimpleCnn, ..ModelSpec::default() }, [3, 32, 32]),
    };
    let backend = Backend::cpu(Precision::F32);
    let network = Model::new(&spec, shape, 10, RandomStream::named(1, "weights"), &backend)?;
    let layout = ParamLayout::of(&network);
    let mut peer = Peer {
        folder: folder.into(),
        backend,
        shape,
        network,
        layout,
        objective: Objective::from_batches([], Batch::len),
    };
    for line in std::io::stdin().lock().lines() {
        let answer = peer.answer(line?.trim())?;
        println!("{}", answer.iter().map(f64::to_string).collect::<Vec<_>>().join(" "));
    }
    Ok(())
}

struct Peer {
    folder: PathBuf,
    backend: Backend,
    shape: [usize; 3],
    network: Model,
    layout: ParamLayout,
    objective: Objective,
}

impl Peer {
    fn answer(&mut self, command: &str) -> Result<Vec<f64>, Failure> {
        match command {
            "init" => {
                write(&self.folder.join("weights.f32"), &self.layout.values(&self.network))?;
                Ok(vec![self.layout.num_params() as f64])
            }
            "load" => self.load(),
            "gradient" => {
                self.timed("gradient.f32", || Ok(self.objective.loss_and_gradient(&self.network, &self.layout)?.1))
            }
            "hessian" => self.product("hessian.f32", self.operator(&self.objective, Curvature::Hessian)),
            "gauss-newton" => self.product("gauss_newton.f32", self.operator(&self.objective, Curvature::GaussNewton)),
            "shared-hessian" => {
                let mut operator = self.operator(&self.objective, Curvature::Hessian).sharing(Sharing::default());
                // What a first product at a point leaves to those that follow.
                operator.apply(&self.direction()?, &mut vec![0.0; self.layout.num_params()])?;
                self.product("shared_hessian.f32", operator)
            }
            other => match other.split_once(' ') {
                Some(("lanczos", seed)) => self.lanczos(seed.parse()?),
                Some(("scouted", seed)) => self.scouted(seed.parse()?),
                _ => Err(format!("unknown command {other:?}").into()),
            },
        }
    }

    fn load(&mut self) -> Result<Vec<f64>, Failure> {
        let images = read(&self.folder.join("images.f32"))?;
        let labels = fs::read(self.folder.join("labels.u8"))?;
        let weights: Vec<f64> = read(&self.folder.join("weights.f32"))?.into_iter().map(f64::from).collect();
        self.network = self.layout.assign(self.network.clone(), &weights);
        let [channels, rows, columns] = self.shape;
        let device = self.backend.tracked();
        let pixels = channels * rows * columns;
        let batches = images.chunks(MICRO_BATCH * pixels).zip(labels.chunks(MICRO_BATCH)).map(|(images, labels)| {
            let images = TensorData::new(images.to_vec(), [labels.len(), channels, rows, columns]);
            let labels: Vec<i64> = labels.iter().map(|label| i64::from(*label)).collect();
            let labels = TensorData::new(labels.clone(), [labels.len()]);
            Batch {
                images: Tensor::from_data(images, (&device, self.backend.dtype())),
                labels: Tensor::from_data(labels, &device),
                first_example: 0,
                target: Target::Class,
            }
        });
        self.objective = Objective::from_batches(batches, Batch::len);
        Ok(vec![self.objective.num_examples() as f64])
    }

    fn operator<'a>(&'a self, objective: &'a Objective, curvature: Curvature) -> CurvatureOperator<'a, Model> {
        CurvatureOperator::new(&self.network, objective, &self.layout, curvature)
    }

    fn direction(&self) -> Result<Vec<f64>, Failure> {
        Ok(read(&self.folder.join("direction.f32"))?.into_iter().map(f64::from).collect())
    }

    fn product(&self, file: &str, mut operator: CurvatureOperator<'_, Model>) -> Result<Vec<f64>, Failure> {
        let (direction, mut image) = (self.direction()?, vec![0.0; self.layout.num_params()]);
        self.timed(file, || {
            operator.apply(&direction, &mut image)?;
            Ok(image)
        })
    }

    /// Seconds that `work` takes; its result goes into a file.
    fn timed(&self, file: &str, work: impl FnOnce() -> Result<Vec<f64>, Failure>) -> Result<Vec<f64>, Failure> {
        let start = Instant::now();
        let result = work()?;
        let seconds = start.elapsed().as_secs_f64();
        write(&self.folder.join(file), &result)?;
        Ok(vec![seconds])
    }

    /// Products over all examples, products over the scout, the scout's share of the examples, and the value, of a cold start as
    /// the sharpness probe makes it.
    fn scouted(&self, seed: u64) -> Result<Vec<f64>, Failure> {
        let Some((batch, _)) = self.objective.micro_batches().next() else { return Err("nothing is loaded".into()) };
        let total = self.objective.num_examples();
        let count = (total / 8).min(batch.len());
        let scout = Objective::of_batch(batch.slice(0..count));
        let shared = |objective| self.operator(objective, Curvature::Hessian).sharing(Sharing::default());
        let (mut all, mut some) = (shared(&self.objective), shared(&scout));
        let tolerance = 1e-2;
        let config =
            EigensolverConfig { num_largest: 1, num_smallest: 0, max_products: 20, tolerance, ..Default::default() };
        let random = &mut RandomStream::named(seed, "start");
        let found = EigenTracker::new(config, 0).measure_scouted(&mut all, &mut some, random)?;
        let share = count as f64 / total as f64;
        let value = found.outcome.largest[0].eigenvalue;
        Ok(vec![found.outcome.num_products as f64, found.num_scout_products as f64, share, value])
    }

    /// Products and value of runs stopped at residuals of 10⁻² and 10⁻⁴ of the eigenvalue, then the top Ritz value after
    /// 1, 2, ... products of a longer run from the same start.
    fn lanczos(&self, seed: u64) -> Result<Vec<f64>, Failure> {
        let run = |config| {
            let mut hessian = self.operator(&self.objective, Curvature::Hessian).sharing(Sharing::default());
            Lanczos::new(config).run(&mut hessian, StartVector::Random, &mut RandomStream::named(seed, "start"))
        };
        let long = run(LanczosConfig { tolerance: 0.0, ..LanczosConfig::default() })?;
        let mut numbers = Vec::new();
        for tolerance in [1e-2, 1e-4] {
            let stopped = run(LanczosConfig { tolerance, ..LanczosConfig::default() })?;
            numbers.extend([stopped.num_products as f64, stopped.eigenpairs[0].eigenvalue]);
        }
        let (alpha, beta) = (long.tridiagonal.diagonal(), long.tridiagonal.off_diagonal());
        for size in 1..=alpha.len() {
            let leading = Tridiagonal::new(alpha[..size].to_vec(), beta[..size - 1].to_vec())?;
            numbers.push(leading.eigenvalues()?[0]);
        }
        Ok(numbers)
    }
}

fn read(path: &Path) -> Result<Vec<f32>, Failure> {
    let bytes = fs::read(path).map_err(|error| format!("{}: {error}", path.display()))?;
    Ok(bytes.as_chunks().0.iter().map(|number| f32::from_le_bytes(*number)).collect())
}

fn write(path: &Path, values: &[f64]) -> Result<(), Failure> {
    let bytes: Vec<u8> = values.iter().flat_map(|value| (*value as f32).to_le_bytes()).collect();
    Ok(fs::write(path, bytes)?)
}
