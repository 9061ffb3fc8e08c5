//! The answer as comma-separated values: one line a time.

use std::io::{BufWriter, Write};

use crate::commands::predict::answer::Answer;
use crate::commands::predict::question::Question;
use crate::failure::Failure;

/// Prints `step,loss` with a column for each average at asked times, and two for sampled runs. Numbers have all their digits.
pub(super) fn print(question: &Question, answer: &Answer) -> Result<(), Failure> {
    let mut out = BufWriter::new(std::io::stdout().lock());
    write(&mut out, question, answer).and_then(|()| out.flush()).map_err(Failure::failed)
}

fn write(out: &mut impl Write, question: &Question, answer: &Answer) -> std::io::Result<()> {
    // Without asked times averages are known at the last step only, and a column of one number is none.
    let averages = if question.asked.is_empty() { &[] } else { answer.averages.as_slice() };
    let sampled = answer.sampled.as_ref().map(|(_, sampled)| sampled);
    write!(out, "step,loss")?;
    for average in averages {
        write!(out, ",{}", average.name)?;
    }
    writeln!(out, "{}", if sampled.is_some() { ",monte_carlo_loss,monte_carlo_standard_error" } else { "" })?;
    for (index, (time, loss)) in answer.losses.times.iter().zip(&answer.losses.loss).enumerate() {
        write!(out, "{time},{loss:e}")?;
        for average in averages {
            write!(out, ",{:e}", average.loss[index])?;
        }
        if let Some(sampled) = sampled {
            write!(out, ",{:e},{:e}", sampled.loss[index], sampled.standard_errors[index])?;
        }
        writeln!(out)?;
    }
    Ok(())
}
