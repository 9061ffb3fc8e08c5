//! `stepscope predict`: the loss curve of mini-batch SGD before it is run.

mod answer;
mod chart;
mod drawing;
mod json;
mod page;
mod question;
pub(in crate::commands) mod scale;
mod table;
mod verdict;

use answer::Answer;
use question::Question;
use stepscope::predict::SearchError;
use stepscope::theory::TheoryError;

use crate::args::{PredictArguments, PredictFormat};
use crate::commands::{print, write_whole};
use crate::failure::Failure;

pub(super) fn run(arguments: &PredictArguments) -> Result<(), Failure> {
    let question = Question::read(arguments)?;
    let answer = Answer::find(&question, arguments)?;
    if let Some(path) = &arguments.plot {
        write_whole(path, &drawing::svg(&question, &answer))?;
    }
    match arguments.format {
        PredictFormat::Text => print(&page::render(&question, &answer, arguments.plot.as_deref())),
        PredictFormat::Json => json::print(&question, &answer),
        PredictFormat::Csv => table::print(&question, &answer),
    }
}

/// A refusal of the theory: bad input where the question cannot be answered as it was put, a failure where the computation
/// ended without an answer.
fn refused(error: TheoryError) -> Failure {
    match error {
        TheoryError::OutOfReach { .. } | TheoryError::NoDecomposition { .. } => Failure::failed(error),
        _ => Failure::bad_input(error),
    }
}

fn search_refused(error: SearchError) -> Failure {
    match error {
        SearchError::Theory(error) => refused(error),
        SearchError::NoBatchSize => {
            Failure::bad_input(anyhow::Error::new(error).context("--optimize batch-size: give --batch-size"))
        }
        SearchError::TooLong { .. } => Failure::bad_input(anyhow::Error::new(error).context("--optimize schedule")),
    }
}
