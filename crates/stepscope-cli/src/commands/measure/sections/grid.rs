//! Where a section is evaluated.

use anyhow::anyhow;
use stepscope::measure::Section;
use stepscope::models::Model;

use crate::args::{Direction, MeasureArguments};
use crate::failure::Failure;

/// The positions on every side.
pub(super) struct Grid {
    low: f64,
    high: f64,
    count: usize,
    is_plane: bool,
}

impl Grid {
    pub(super) fn of(arguments: &MeasureArguments) -> Result<Self, Failure> {
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

    /// Between two neighbours.
    pub(super) fn spacing(&self) -> f64 {
        (self.high - self.low) / (self.count - 1) as f64
    }

    pub(super) fn positions(&self) -> Vec<Vec<f64>> {
        let side = self.side();
        if self.is_plane {
            side.iter().flat_map(|&x| side.iter().map(move |&y| vec![x, y])).collect()
        } else {
            side.into_iter().map(|x| vec![x]).collect()
        }
    }
}
