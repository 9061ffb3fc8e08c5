//! `stepscope spec`: what a specification can say.

use crate::args::SpecArguments;
use crate::commands::print;
use crate::failure::Failure;

pub(super) fn run(arguments: &SpecArguments) -> Result<(), Failure> {
    let text = if arguments.schema { stepscope::spec::json_schema() } else { stepscope::spec::example() };
    print(&text)
}
