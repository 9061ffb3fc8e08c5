//! `stepscope translate`: one setting in the place of another.

mod equivalence;
mod noise;

use crate::args::TranslateCommand;
use crate::failure::Failure;

pub(super) fn run(command: &TranslateCommand) -> Result<(), Failure> {
    match command {
        TranslateCommand::Average(arguments) => equivalence::of_average(arguments),
        TranslateCommand::Schedule(arguments) => equivalence::of_schedule(arguments),
        TranslateCommand::LearningRate(arguments) => noise::run(noise::Given::LearningRate, arguments),
        TranslateCommand::BatchSize(arguments) => noise::run(noise::Given::BatchSize, arguments),
    }
}
