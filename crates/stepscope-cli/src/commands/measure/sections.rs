//! The loss along lines and planes through the weights.

use anyhow::anyhow;
use serde::Serialize;
use stepscope::backend::Backend;
use stepscope::data::{Split, probe_subset};
use stepscope::measure::{Curvature, CurvatureOperator, Objective, Section, SectionPoint};
use stepscope::models::{Model, ParamLayout};
use stepscope::spectral::random::RandomStream;
use stepscope::spectral::{Lanczos, LanczosConfig, StartVector};
use stepscope::types::spec::LearningRateSpec;
use stepscope_report::{Align, Table, number};

use super::{SavedPoint, write_csv};
use crate::args::{Direction, Format, MeasureArguments};
use crate::commands::{print, print_json};
use crate::failure::Failure;
use crate::progress::Busy;

/// What is printed.
#[derive(Serialize)]
struct Answer {
    from: String,
    directions: Vec<String>,
    /// Euclidean lengths of the directions.
    lengths: Vec<f64>,
    /// Curvature of the training loss at the positions 0 and 1 of a line between runs, per squared length.
    #[serde(skip_serializing_if = "Option::is_none")]
    curvature_at_ends: Option<[f64; 2]>,
    train: Vec<SectionPoint>,
    test: Vec<SectionPoint>,
}

pub(super) fn run(arguments: &MeasureArguments, point: &SavedPoint) -> Result<(), Failure> {
    let grid = Grid::of(arguments)?;
    let busy = Busy::new("measuring");
    let run = point.run()?;
    let network = run.network();
    let layout = ParamLayout::of(network);
    let bench = Bench::new(point)?;
    let (section, names) = match &arguments.between {
        Some(other) => {
            let other = SavedPoint::load(other, arguments.between_step, &[])?;
            let end = other.run()?;
            let same = other.spec.model.kind == point.spec.model.kind
                && ParamLayout::of(end.network()).ranges().eq(layout.ranges());
            if !same {
                return Err(Failure::BadInput(anyhow!(
                    "{} and {} have different networks: there is no line between their weights",
                    point.description(),
                    other.description()
                )));
            }
            let values = layout.values(end.network());
            (Section::between(network, &layout, &values), vec![format!("to {}", other.description())])
        }
        None => {
            let wanted: Vec<Direction> = arguments.line.into_iter().chain(arguments.plane.iter().copied()).collect();
            let directions = wanted
                .iter()
                .enumerate()
                .map(|(index, direction)| bench.direction(*direction, index, network, &layout, point))
                .collect::<Result<Vec<_>, Failure>>()?;
            let names = wanted.iter().map(|direction| words(*direction).to_owned()).collect();
            (Section::new(network, &layout, directions), names)
        }
    };
    let evaluate = |objective: &Objective| section.evaluate(grid.positions(), objective, |network| network);
    let (train, test) = (evaluate(&bench.train), evaluate(&bench.test));
    drop(busy);
    let curvature_at_ends = arguments.between.is_some().then(|| {
        // Five points around each end where the spacing allows it.
        let reach = 2.0 * grid.spacing();
        [0.0, 1.0].map(|end| SectionPoint::curvature(&train, end, reach, section.length(0)))
    });
    let lengths = (0..names.len()).map(|index| section.length(index)).collect();
    show(arguments, Answer { from: point.description(), directions: names, lengths, curvature_at_ends, train, test })
}

fn words(direction: Direction) -> &'static str {
    match direction {
        Direction::Gradient => "down the gradient, in steps of the learning rate",
        Direction::Sharpest => "the sharpest direction, of length 1",
        Direction::Random => "a random direction, each layer's part as long as its weights",
    }
}

/// The positions on every side.
struct Grid {
    low: f64,
    high: f64,
    count: usize,
    is_plane: bool,
}

impl Grid {
    fn of(arguments: &MeasureArguments) -> Result<Self, Failure> {
        let is_plane = !arguments.plane.is_empty();
        if is_plane && arguments.plane.len() != 2 {
            let count = arguments.plane.len();
            return Err(Failure::BadInput(anyhow!(
                "--plane: got {count} directions, expected two, such as sharpest,random"
            )));
        }
        let far = match (&arguments.between, arguments.line) {
            (Some(_), _) => 2.0,
            (None, Some(Direction::Gradient)) => 4.0,
            _ => 1.0,
        };
        let (low, high) = (arguments.from.unwrap_or(-1.0), arguments.to.unwrap_or(far));
        if !(low.is_finite() && high.is_finite() && low < high) {
            return Err(Failure::BadInput(anyhow!(
                "--from {low} --to {high}: expected finite positions, the first below the last"
            )));
        }
        let count = arguments.points.unwrap_or(if is_plane { 21 } else { 61 }) as usize;
        Ok(Self { low, high, count, is_plane })
    }

    fn side(&self) -> Vec<f64> {
        Section::<Model>::positions(self.low, self.high, self.count)
    }

    fn spacing(&self) -> f64 {
        (self.high - self.low) / (self.count - 1) as f64
    }

    fn positions(&self) -> Vec<Vec<f64>> {
        let side = self.side();
        if self.is_plane {
            side.iter().flat_map(|&x| side.iter().map(move |&y| vec![x, y])).collect()
        } else {
            side.into_iter().map(|x| vec![x]).collect()
        }
    }
}

/// The examples: the probe examples of the run, and as many of the test set.
struct Bench {
    backend: Backend,
    tracked: Objective,
    train: Objective,
    test: Objective,
}

impl Bench {
    fn new(point: &SavedPoint) -> Result<Self, Failure> {
        let (spec, dataset) = (&point.spec, &point.dataset);
        let backend = Backend::cpu(spec.model.precision);
        let subset = |split: &Split| {
            let count = split.num_examples();
            probe_subset(count, spec.measure.examples.min(count as u64), spec.seeds.probe_seed())
                .map_err(Failure::bad_input)
        };
        let (of_train, of_test) = (subset(&dataset.train)?, subset(&dataset.test)?);
        let plain = |split: &Split, indices: &[u32]| {
            Objective::new(split, dataset.shape, indices, &backend.plain(), backend.dtype())
        };
        let (train, test) = (plain(&dataset.train, &of_train), plain(&dataset.test, &of_test));
        let tracked = Objective::new(&dataset.train, dataset.shape, &of_train, &backend.tracked(), backend.dtype());
        Ok(Self { backend, tracked, train, test })
    }

    fn direction(
        &self,
        direction: Direction,
        index: usize,
        network: &Model,
        layout: &ParamLayout,
        point: &SavedPoint,
    ) -> Result<Vec<f64>, Failure> {
        let name = format!("section direction {index}");
        let mut random = RandomStream::named(point.spec.seeds.probe_seed(), &name);
        match direction {
            Direction::Random => Ok(Section::normalised_direction(network, layout, &mut random)),
            Direction::Gradient => {
                let rate = match point.spec.optimizer.learning_rate {
                    Some(LearningRateSpec::Fixed(rate)) => rate.get(),
                    // Between measurements no one rate is the run's: the first one gives the scale.
                    _ => point.spec.line_search.initial_learning_rate.get(),
                };
                let (_, gradient) = self.tracked.loss_and_gradient(network, layout).map_err(Failure::failed)?;
                Ok(gradient.into_iter().map(|g| -rate * g).collect())
            }
            Direction::Sharpest => {
                let mut operator = CurvatureOperator::new(network, &self.tracked, layout, Curvature::Hessian);
                let lanczos = Lanczos::new(LanczosConfig::default());
                let outcome = lanczos.run(&mut operator, StartVector::Random, &mut random).map_err(Failure::failed)?;
                let top = outcome.eigenpairs.into_iter().next().map(|pair| pair.eigenvector);
                top.ok_or_else(|| {
                    Failure::Failed(anyhow!(
                        "no eigenvector of the Hessian was found on {}",
                        self.backend.description()
                    ))
                })
            }
        }
    }
}

fn show(arguments: &MeasureArguments, answer: Answer) -> Result<(), Failure> {
    let rows = || answer.train.iter().zip(&answer.test);
    let header = ["x", "y", "train_loss", "train_accuracy", "test_loss", "test_accuracy"];
    let skip = usize::from(answer.directions.len() == 1);
    let header: Vec<&str> = header[..1].iter().chain(&header[1 + skip..]).copied().collect();
    let csv = rows().map(|(train, test)| {
        let values = [train.loss, train.accuracy, test.loss, test.accuracy];
        train.position.iter().chain(&values).map(f64::to_string).collect()
    });
    write_csv(arguments.out.as_deref(), &header, csv)?;
    if arguments.format == Format::Json {
        return print_json(&answer);
    }
    let mut text = format!("{}, {}\n\n", answer.from, answer.directions.join(" and "));
    if answer.directions.len() == 1 {
        let titles = ["position", "training loss", "training accuracy", "test loss", "test accuracy"];
        let table = titles.into_iter().fold(Table::new(), |table, title| table.column(title, Align::Right));
        let table = rows().fold(table, |table, (train, test)| {
            table.row([
                number::significant(train.position[0]),
                number::significant(train.loss),
                number::percent(train.accuracy),
                number::with_error(test.loss, test.loss_error),
                number::percent(test.accuracy),
            ])
        });
        text.push_str(&table.to_string());
    } else if let Some(lowest) = answer.train.iter().min_by(|a, b| a.loss.total_cmp(&b.loss)) {
        text.push_str(&format!(
            "lowest training loss {} at {}, {}; --out FILE or --format json gives all {} points\n",
            number::significant(lowest.loss),
            number::significant(lowest.position[0]),
            number::significant(lowest.position[1]),
            answer.train.len()
        ));
    }
    if let Some([start, end]) = answer.curvature_at_ends {
        text.push_str(&format!(
            "\nCurvature of the training loss along the line: {} at 0, {} at 1; the ends are {} apart.\n",
            number::significant(start),
            number::significant(end),
            number::significant(answer.lengths[0])
        ));
    }
    print(&text)
}
