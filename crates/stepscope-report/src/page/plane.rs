//! A plane through weight space as a map: colours for the loss, lines of equal loss over them.

use std::fmt::Write;

use stepscope_types::SectionPoint;

use crate::number;
use crate::page::axis::{self, Axis};

/// Size of a drawing, and of the map in it, in pixels.
const WIDTH: f64 = 460.0;
const HEIGHT: f64 = 372.0;
const MAP: [f64; 4] = [52.0, 8.0, 378.0, 334.0];
/// Left and right end of the scale of colours beside it.
const SCALE: [f64; 2] = [394.0, 408.0];
/// Lines of equal loss.
const NUM_LEVELS: usize = 9;
/// Cells a side beyond which some are left out of the picture.
const MOST_CELLS: usize = 81;

/// The points on a grid, the second position changing first.
struct Grid<'a> {
    x: Vec<f64>,
    y: Vec<f64>,
    points: Vec<&'a SectionPoint>,
}

impl<'a> Grid<'a> {
    /// The points as a grid; `None` where they are none.
    fn of(points: &'a [SectionPoint]) -> Option<Self> {
        let first = points.first()?.position.first()?;
        let num_y = points.iter().take_while(|point| point.position.first() == Some(first)).count();
        let is_grid = num_y > 1 && points.len().is_multiple_of(num_y) && points.len() > num_y;
        if !is_grid || points.iter().any(|point| point.position.len() != 2) {
            return None;
        }
        let num_x = points.len() / num_y;
        let every = (num_x.max(num_y) - 1).div_ceil(MOST_CELLS - 1).max(1);
        let kept = |count: usize| (0..count).step_by(every);
        Some(Self {
            x: kept(num_x).map(|i| points[i * num_y].position[0]).collect(),
            y: kept(num_y).map(|j| points[j].position[1]).collect(),
            points: kept(num_x).flat_map(|i| kept(num_y).map(move |j| &points[i * num_y + j])).collect(),
        })
    }

    fn loss(&self, i: usize, j: usize) -> f64 {
        self.points[i * self.y.len() + j].loss
    }
}

/// The map; nothing where the points are no grid or have no finite loss.
pub(super) fn drawing(points: &[SectionPoint], title: &str) -> String {
    let Some(grid) = Grid::of(points) else { return String::new() };
    let [left, top, right, bottom] = MAP;
    let losses = || points.iter().map(|point| point.loss);
    let axes = Axis::linear(grid.x.iter().copied(), [left, right])
        .zip(Axis::linear(grid.y.iter().copied(), [bottom, top]))
        .zip(Axis::log(losses(), [bottom, top]).or_else(|| Axis::linear(losses(), [bottom, top])));
    let Some(((x, y), colour)) = axes else { return String::new() };
    // Half a cell of room, so that cells stand around their points.
    let half = |count: usize| 0.5 / (count as f64 - 1.0);
    let (x, y) = (x.with_room(half(grid.x.len())), y.with_room(half(grid.y.len())));
    let mut svg = format!("<svg class=\"map\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"{title}\">");
    // Writing into a String cannot fail.
    let _ =
        write!(svg, "<rect class=\"outside\" x=\"{left}\" y=\"{top}\" width=\"{0}\" height=\"{0}\"/>", right - left);
    cells(&mut svg, &grid, &colour);
    for level in 1..=NUM_LEVELS {
        let value = colour.value(level as f64 / (NUM_LEVELS + 1) as f64);
        let _ = write!(svg, "<path class=\"level\" d=\"{}\"/>", contour(&grid, &x, &y, &colour, value));
    }
    marks(&mut svg, &grid, &x, &y);
    ticks(&mut svg, &x, &y);
    scale(&mut svg, &colour);
    svg + "</svg>"
}

/// A coloured rectangle for every point with a finite loss.
fn cells(svg: &mut String, grid: &Grid<'_>, colour: &Axis) {
    let [left, top, right, bottom] = MAP;
    let (width, height) = ((right - left) / grid.x.len() as f64, (bottom - top) / grid.y.len() as f64);
    for (index, point) in grid.points.iter().enumerate().filter(|(_, point)| point.loss.is_finite()) {
        let (i, j) = (index / grid.y.len(), index % grid.y.len());
        let _ = write!(
            svg,
            "<rect class=\"cell\" style=\"--t:{:.0}%\" x=\"{:.1}\" y=\"{:.1}\" width=\"{:.1}\" height=\"{:.1}\">\
             <title>{} at {}, {}; accuracy {}</title></rect>",
            100.0 * colour.share(point.loss).clamp(0.0, 1.0),
            left + i as f64 * width,
            bottom - (j + 1) as f64 * height,
            // A hair more than a cell, so that no seam shows.
            width + 0.4,
            height + 0.4,
            number::significant(point.loss),
            axis::label(point.position[0]),
            axis::label(point.position[1]),
            number::percent(point.accuracy)
        );
    }
}

/// Where the loss crosses `value`, cell by cell: straight pieces between the sides of squares of four points.
fn contour(grid: &Grid<'_>, x: &Axis, y: &Axis, colour: &Axis, value: f64) -> String {
    let target = colour.share(value);
    let mut path = String::new();
    for i in 0..grid.x.len() - 1 {
        for j in 0..grid.y.len() - 1 {
            let corners = [(i, j), (i + 1, j), (i + 1, j + 1), (i, j + 1)];
            let heights = corners.map(|(i, j)| colour.share(grid.loss(i, j)) - target);
            if heights.iter().any(|height| !height.is_finite()) {
                continue;
            }
            let crossings: Vec<(f64, f64)> = (0..4)
                .filter_map(|side| {
                    let (a, b) = (heights[side], heights[(side + 1) % 4]);
                    let ((i0, j0), (i1, j1)) = (corners[side], corners[(side + 1) % 4]);
                    let t = a / (a - b);
                    let between = |from: f64, to: f64| from + t * (to - from);
                    ((a < 0.0) != (b < 0.0)).then(|| (between(grid.x[i0], grid.x[i1]), between(grid.y[j0], grid.y[j1])))
                })
                .collect();
            // Two crossings are one piece; four, at a saddle, two.
            for piece in crossings.chunks_exact(2) {
                let place = |(a, b): (f64, f64)| x.at(a).zip(y.at(b));
                if let Some(((x0, y0), (x1, y1))) = place(piece[0]).zip(place(piece[1])) {
                    let _ = write!(path, "M{x0:.1} {y0:.1}L{x1:.1} {y1:.1}");
                }
            }
        }
    }
    path
}

/// The weights themselves, and the lowest point.
fn marks(svg: &mut String, grid: &Grid<'_>, x: &Axis, y: &Axis) {
    if let Some((x, y)) = x.at(0.0).zip(y.at(0.0)) {
        let _ = write!(
            svg,
            "<path class=\"here\" d=\"M{:.1} {y:.1}h14M{x:.1} {:.1}v14\"><title>the weights</title></path>",
            x - 7.0,
            y - 7.0
        );
    }
    let finite = grid.points.iter().filter(|point| point.loss.is_finite());
    let lowest = finite.min_by(|a, b| a.loss.total_cmp(&b.loss));
    if let Some((lowest, (x, y))) =
        lowest.and_then(|point| Some((point, x.at(point.position[0]).zip(y.at(point.position[1]))?)))
    {
        let text = number::significant(lowest.loss);
        let _ = write!(
            svg,
            "<circle class=\"lowest\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"5\"><title>lowest: {text}</title></circle>"
        );
    }
}

fn ticks(svg: &mut String, x: &Axis, y: &Axis) {
    let [left, _, _, bottom] = MAP;
    for (value, text) in x.ticks(5) {
        if let Some(x) = x.at(value) {
            let _ = write!(svg, "<text x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{text}</text>", bottom + 15.0);
        }
    }
    for (value, text) in y.ticks(5) {
        if let Some(y) = y.at(value) {
            let _ = write!(svg, "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{text}</text>", left - 7.0, y + 4.0);
        }
    }
}

/// What the colours mean.
fn scale(svg: &mut String, colour: &Axis) {
    let ([_, top, _, bottom], [left, right], pieces) = (MAP, SCALE, 48);
    let height = (bottom - top) / f64::from(pieces);
    for piece in 0..pieces {
        let _ = write!(
            svg,
            "<rect class=\"cell\" style=\"--t:{:.0}%\" x=\"{left}\" y=\"{:.1}\" width=\"{}\" height=\"{:.1}\"/>",
            100.0 * (f64::from(piece) + 0.5) / f64::from(pieces),
            bottom - f64::from(piece + 1) * height,
            right - left,
            height + 0.4
        );
    }
    for (value, text) in colour.ticks(6) {
        if let Some(y) = colour.at(value) {
            let _ = write!(svg, "<text x=\"{:.1}\" y=\"{:.1}\">{text}</text>", right + 6.0, y + 4.0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bowl(side: usize, loss: impl Fn(f64, f64) -> f64) -> Vec<SectionPoint> {
        let at = |k: usize| 2.0 * k as f64 / (side - 1) as f64 - 1.0;
        (0..side * side)
            .map(|index| {
                let (x, y) = (at(index / side), at(index % side));
                SectionPoint { position: vec![x, y], loss: loss(x, y), loss_error: 0.0, accuracy: 0.5 }
            })
            .collect()
    }

    #[test]
    fn a_level_of_a_bowl_is_a_circle() {
        let points = bowl(41, |x, y| x * x + y * y);
        let grid = Grid::of(&points).unwrap();
        let unit = |values: &[f64]| Axis::linear(values.iter().copied(), [-1.0, 1.0]).unwrap();
        let (x, y) = (unit(&grid.x), unit(&grid.y));
        let colour = Axis::linear([0.0, 2.0].into_iter(), [0.0, 1.0]).unwrap();
        let path = contour(&grid, &x, &y, &colour, 0.49);
        let numbers: Vec<f64> = path.split(['M', 'L', ' ']).filter_map(|text| text.parse().ok()).collect();
        assert!(numbers.len() > 200, "{path}");
        for place in numbers.chunks_exact(2) {
            // Written with one decimal of a unit.
            assert!((place[0].hypot(place[1]) - 0.7).abs() < 0.08, "{place:?}");
        }
    }

    #[test]
    fn every_finite_point_is_a_cell_and_the_lowest_is_marked() {
        let points = bowl(5, |x, y| if x < -0.9 && y < -0.9 { f64::INFINITY } else { 1.0 + (x - 0.5).powi(2) + y * y });
        let svg = drawing(&points, "map");
        assert_eq!(svg.matches("accuracy").count(), 24, "one of 25 has no finite loss");
        assert!(svg.contains("<title>lowest: 1.00</title>"), "{svg}");
        assert!(!svg.contains("NaN") && !svg.contains("inf"));
    }

    #[test]
    fn large_grids_are_thinned_and_what_is_no_grid_is_not_drawn() {
        let svg = drawing(&bowl(161, |x, y| x * x + y * y + 1.0), "map");
        assert_eq!(svg.matches("accuracy").count(), 81 * 81);
        assert_eq!(drawing(&bowl(5, |_, _| f64::NAN), "map"), "");
        assert_eq!(drawing(&bowl(5, |x, _| x)[..7], "map"), "");
        assert_eq!(drawing(&[], "map"), "");
    }
}
