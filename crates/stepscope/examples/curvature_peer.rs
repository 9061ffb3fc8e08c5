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
use stepscope::models::{Model, ParamLayout};
use stepscope::spectral::random::RandomStream;
use stepscope::spectral::{
    ClosureOperator, EigenTracker, EigensolverConfig, Lanczos, LanczosConfig, LinearOperator, StartVector, Tridiagonal,
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
    let mut peer = Peer { folder: folder.into(), backend, shape, network, layout, parts: Vec::new() };
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
    /// Micro-batches of equal size: the loss is their mean.
    parts: Vec<Objective>,
}

impl Peer {
    fn answer(&mut self, command: &str) -> Result<Vec<f64>, Failure> {
        match command {
            "init" => {
                write(&self.folder.join("weights.f32"), &self.layout.values(&self.network))?;
                Ok(vec![self.layout.num_params() as f64])
            }
            "load" => self.load(),
            "gradient" => self.timed("gradient.f32", Self::gradient),
            "hessian" => self.timed("hessian.f32", |peer| peer.product(Curvature::Hessian)),
            "gauss-newton" => self.timed("gauss_newton.f32", |peer| peer.product(Curvature::GaussNewton)),
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
        self.parts = images
            .chunks(MICRO_BATCH * pixels)
            .zip(labels.chunks(MICRO_BATCH))
            .map(|(images, labels)| {
                let images = TensorData::new(images.to_vec(), [labels.len(), channels, rows, columns]);
                let labels: Vec<i64> = labels.iter().map(|label| i64::from(*label)).collect();
                let labels = TensorData::new(labels.clone(), [labels.len()]);
                Objective::of_batch(Batch {
                    images: Tensor::from_data(images, (&device, self.backend.dtype())),
                    labels: Tensor::from_data(labels, &device),
                    first_example: 0,
                    target: Target::Class,
                })
            })
            .collect();
        Ok(vec![self.parts.len() as f64])
    }

    /// Seconds that `work` takes; its result goes into a file.
    fn timed(&self, file: &str, work: impl FnOnce(&Self) -> Result<Vec<f64>, Failure>) -> Result<Vec<f64>, Failure> {
        let start = Instant::now();
        let result = work(self)?;
        let seconds = start.elapsed().as_secs_f64();
        write(&self.folder.join(file), &result)?;
        Ok(vec![seconds])
    }

    fn gradient(&self) -> Result<Vec<f64>, Failure> {
        let mut sum = vec![0.0; self.layout.num_params()];
        for part in &self.parts {
            let (_, gradient) = part.loss_and_gradient(&self.network, &self.layout)?;
            add(&mut sum, &gradient, self.parts.len());
        }
        Ok(sum)
    }

    fn product(&self, curvature: Curvature) -> Result<Vec<f64>, Failure> {
        let direction: Vec<f64> = read(&self.folder.join("direction.f32"))?.into_iter().map(f64::from).collect();
        let mut sum = vec![0.0; direction.len()];
        self.apply(&self.parts, curvature, &direction, &mut sum)?;
        Ok(sum)
    }

    fn apply(
        &self,
        parts: &[Objective],
        curvature: Curvature,
        input: &[f64],
        output: &mut [f64],
    ) -> Result<(), stepscope::measure::ProductError> {
        output.fill(0.0);
        let mut image = vec![0.0; input.len()];
        for part in parts {
            CurvatureOperator::new(&self.network, part, &self.layout, curvature).apply(input, &mut image)?;
            add(output, &image, parts.len());
        }
        Ok(())
    }

    /// Products over all examples, products over the scout, the scout's share of the examples, and the value, of a cold start as
    /// the sharpness probe makes it.
    fn scouted(&self, seed: u64) -> Result<Vec<f64>, Failure> {
        let Some((batch, _)) = self.parts.first().and_then(|part| part.micro_batches().next()) else {
            return Err("nothing is loaded".into());
        };
        let total: usize = self.parts.iter().map(Objective::num_examples).sum();
        let count = (total / 8).min(batch.len());
        let scouts = [Objective::of_batch(batch.slice(0..count))];
        let dim = self.layout.num_params();
        let mut all = ClosureOperator::new(dim, |input: &[f64], output: &mut [f64]| {
            self.apply(&self.parts, Curvature::Hessian, input, output)
        });
        let mut some = ClosureOperator::new(dim, |input: &[f64], output: &mut [f64]| {
            self.apply(&scouts, Curvature::Hessian, input, output)
        });
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
            let mut hessian = ClosureOperator::new(self.layout.num_params(), |input: &[f64], output: &mut [f64]| {
                self.apply(&self.parts, Curvature::Hessian, input, output)
            });
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

fn add(sum: &mut [f64], part: &[f64], count: usize) {
    sum.iter_mut().zip(part).for_each(|(total, x)| *total += x / count as f64);
}

fn read(path: &Path) -> Result<Vec<f32>, Failure> {
    let bytes = fs::read(path).map_err(|error| format!("{}: {error}", path.display()))?;
    Ok(bytes.as_chunks().0.iter().map(|number| f32::from_le_bytes(*number)).collect())
}

fn write(path: &Path, values: &[f64]) -> Result<(), Failure> {
    let bytes: Vec<u8> = values.iter().flat_map(|value| (*value as f32).to_le_bytes()).collect();
    Ok(fs::write(path, bytes)?)
}
