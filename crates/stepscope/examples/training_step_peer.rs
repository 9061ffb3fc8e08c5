//! Our side of `benches/peers/training_step.py`: a run of the program's own training loop that waits for the other side between
//! steps, then exact Hessian products on request.
//!
//! `training_step_peer SPEC FOLDER` writes what the run starts from into FOLDER (`weights.f32`, `images.f32`, `labels.u8`,
//! `batches.u32`: the examples of every step), reads commands from standard input, one a line, and answers each with one line of
//! numbers. Files hold little-endian numbers.
#![allow(clippy::print_stdout)]

use std::error::Error;
use std::fs;
use std::io::{BufRead, Stdin};
use std::path::{Path, PathBuf};
use std::time::Instant;

use stepscope::backend::{Backend, compute_on_this_thread};
use stepscope::data::{Batch, Dataset, sampler};
use stepscope::measure::{Curvature, CurvatureOperator, Objective};
use stepscope::models::{Model, ParamLayout, buffers};
use stepscope::spectral::LinearOperator;
use stepscope::spectral::random::RandomStream;
use stepscope::train::{Event, Run, Sink, SinkError};
use stepscope::types::RunSpec;

// As in the program.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

type Failure = Box<dyn Error + Send + Sync>;

fn main() -> Result<(), Failure> {
    let mut arguments = std::env::args().skip(1);
    let (Some(file), Some(folder)) = (arguments.next(), arguments.next()) else {
        return Err("usage: training_step_peer SPEC FOLDER".into());
    };
    // As in the program.
    compute_on_this_thread();
    let (spec, folder) = (stepscope::spec::parse(&fs::read_to_string(&file)?, &file, &[])?, PathBuf::from(folder));
    let dataset = Dataset::load(&spec.data)?;
    let run = Run::prepare(&spec, &dataset)?;
    let num_steps = run.plan().num_steps;
    let backend = Backend::cpu(spec.model.precision);
    write_start(&folder, &spec, &dataset, num_steps, &backend)?;
    println!("{num_steps}");
    let mut pacer =
        Pacer { commands: std::io::stdin(), num_steps, left: 0, asked_at: Instant::now(), losses: Vec::new() };
    let network = run.train(Vec::new(), &mut pacer)?.network;
    answer_products(&pacer.commands, &folder, &network, &dataset, &backend)
}

/// The weights, the examples and the order in which the run sees them.
fn write_start(
    folder: &Path,
    spec: &RunSpec,
    dataset: &Dataset,
    num_steps: u64,
    backend: &Backend,
) -> Result<(), Failure> {
    let random = RandomStream::named(spec.seeds.init_seed(), "initial weights");
    let network = Model::new(&spec.model, dataset.shape, dataset.num_classes, random, backend)?;
    write(&folder.join("weights.f32"), ParamLayout::of(&network).values(&network))?;
    let train = &dataset.train;
    let all: Vec<u32> = (0..train.num_examples() as u32).collect();
    let (mut images, mut labels) = (Vec::new(), Vec::new());
    train.gather(&all, &mut images, &mut labels);
    write(&folder.join("images.f32"), images.into_iter().map(f64::from))?;
    fs::write(folder.join("labels.u8"), labels)?;
    let mut sampler =
        sampler(spec.train.sampling, train.num_examples(), spec.train.batch_size, spec.seeds.data_seed())?;
    let batches = (0..num_steps).flat_map(|_| sampler.next_batch().to_vec());
    Ok(fs::write(folder.join("batches.u32"), batches.flat_map(u32::to_le_bytes).collect::<Vec<u8>>())?)
}

/// Lets the run take as many steps as `steps N` asks for, and answers with the seconds of all and the losses.
struct Pacer {
    commands: Stdin,
    num_steps: u64,
    left: u64,
    asked_at: Instant,
    losses: Vec<f64>,
}

impl Pacer {
    fn wait(&mut self) -> Result<(), Failure> {
        let mut line = String::new();
        self.commands.lock().read_line(&mut line)?;
        let count = line.trim().strip_prefix("steps ").ok_or_else(|| format!("expected steps N, got {line:?}"))?;
        (self.left, self.asked_at) = (count.parse()?, Instant::now());
        Ok(())
    }
}

impl Sink for Pacer {
    fn receive(&mut self, event: &Event) -> Result<(), SinkError> {
        match event {
            Event::RunStarted { .. } => self.wait().map_err(SinkError),
            Event::StepTaken { batch_loss, .. } => {
                self.losses.push(batch_loss.value.unwrap_or(f64::NAN));
                self.left -= 1;
                if self.left == 0 {
                    let seconds = self.asked_at.elapsed().as_secs_f64();
                    answer(std::iter::once(seconds).chain(self.losses.drain(..)));
                    if batch_loss.step.0 + 1 < self.num_steps {
                        return self.wait().map_err(SinkError);
                    }
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }
}

/// Products with the Hessian of the mean loss over the first examples, in the mode of evaluation.
fn answer_products(
    commands: &Stdin,
    folder: &Path,
    network: &Model,
    dataset: &Dataset,
    backend: &Backend,
) -> Result<(), Failure> {
    let layout = ParamLayout::of(network);
    write(&folder.join("weights.f32"), layout.values(network))?;
    write(&folder.join("buffers.f32"), buffers::list(network).into_iter().flat_map(|(_, values)| values))?;
    let first: Vec<u32> = (0..128).collect();
    let batch = Batch::gather(&dataset.train, dataset.shape, &first, &backend.tracked(), backend.dtype());
    let objective = Objective::of_batch(batch);
    let mut product = vec![0.0; layout.num_params()];
    for line in commands.lock().lines() {
        if line?.trim() != "hessian" {
            return Err("expected hessian".into());
        }
        let direction = read(&folder.join("direction.f32"))?;
        let asked_at = Instant::now();
        CurvatureOperator::new(network, &objective, &layout, Curvature::Hessian).apply(&direction, &mut product)?;
        let seconds = asked_at.elapsed().as_secs_f64();
        write(&folder.join("hessian.f32"), product.iter().copied())?;
        answer([seconds]);
    }
    Ok(())
}

fn answer(numbers: impl IntoIterator<Item = f64>) {
    println!("{}", numbers.into_iter().map(|number| number.to_string()).collect::<Vec<_>>().join(" "));
}

fn read(path: &Path) -> Result<Vec<f64>, Failure> {
    let bytes = fs::read(path).map_err(|error| format!("{}: {error}", path.display()))?;
    Ok(bytes.as_chunks().0.iter().map(|number| f64::from(f32::from_le_bytes(*number))).collect())
}

fn write(path: &Path, values: impl IntoIterator<Item = f64>) -> Result<(), Failure> {
    let bytes: Vec<u8> = values.into_iter().flat_map(|value| (value as f32).to_le_bytes()).collect();
    Ok(fs::write(path, bytes)?)
}
