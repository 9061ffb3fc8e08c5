//! The curve in characters, on logarithmic axes.

use crate::commands::predict::answer::Answer;
use crate::commands::predict::scale::LogScale;

const WIDTH: usize = 66;
const HEIGHT: usize = 15;
/// Room for labels at the left.
const MARGIN: usize = 9;

/// Loss against step, `*` predicted and `o` the mean of sampled runs; empty where nothing can be drawn.
pub(super) fn chart(answer: &Answer) -> String {
    let curve = points(&answer.drawn.times, &answer.drawn.loss);
    let sampled = answer.sampled.as_ref().map(|(times, sampled)| points(times, &sampled.loss)).unwrap_or_default();
    let all = || curve.iter().chain(&sampled);
    let x = LogScale::over(all().map(|point| point.0));
    let y = LogScale::over(all().map(|point| point.1));
    let (Some(x), Some(y)) = (x, y) else { return String::new() };
    let mut cells = vec![vec![' '; WIDTH]; HEIGHT];
    let place = |&(time, loss): &(f64, f64)| Some((row(y.position(loss)?), column(x.position(time)?)));
    for pair in curve.windows(2) {
        let [Some(from), Some(to)] = [pair[0], pair[1]].map(|(time, loss)| x.position(time).zip(y.position(loss)))
        else {
            continue;
        };
        stroke(&mut cells, from, to);
    }
    // A single point has no neighbour to be joined to.
    curve.iter().take(1).filter_map(place).for_each(|(row, column)| cells[row][column] = '*');
    // Means of runs stand on the curve where both agree: a few of them leave it visible.
    let means = sampled.iter().filter_map(place).filter(|(_, column)| column % 6 == 3);
    means.for_each(|(row, column)| cells[row][column] = 'o');
    let title = if sampled.is_empty() { "loss" } else { "loss (* predicted, o mean of the runs of SGD)" };
    format!("{:>MARGIN$}{}\n{}{}", "loss", &title[4..], upright(&cells, y), level(x))
}

/// Joins two points by a mark in every column between them: the first steps lie far apart on a logarithmic axis.
fn stroke(cells: &mut [Vec<char>], from: (f64, f64), to: (f64, f64)) {
    let (first, last) = (column(from.0), column(to.0));
    let place = |at: usize| {
        let share = if last == first { 1.0 } else { (at - first) as f64 / (last - first) as f64 };
        (row(from.1 + share * (to.1 - from.1)), at)
    };
    (first..=last).map(place).for_each(|(row, column)| cells[row][column] = '*');
}

/// (step, loss) for the steps that have a logarithm.
fn points(times: &[u64], loss: &[f64]) -> Vec<(f64, f64)> {
    times.iter().zip(loss).filter(|(time, _)| **time >= 1).map(|(&time, &loss)| (time as f64, loss)).collect()
}

fn column(share: f64) -> usize {
    ((share * (WIDTH - 1) as f64).round() as usize).min(WIDTH - 1)
}

fn row(share: f64) -> usize {
    HEIGHT - 1 - ((share * (HEIGHT - 1) as f64).round() as usize).min(HEIGHT - 1)
}

/// The cells behind the axis of the loss.
fn upright(cells: &[Vec<char>], y: LogScale) -> String {
    let mut labels = vec![String::new(); HEIGHT];
    for tick in y.ticks(7) {
        if let Some(share) = y.position(tick.value) {
            labels[row(share)] = tick.text;
        }
    }
    let mut text = String::new();
    for (cells, label) in cells.iter().zip(&labels) {
        let mark = if label.is_empty() { '|' } else { '+' };
        let cells: String = cells.iter().collect();
        text.push_str(format!("{label:>MARGIN$} {mark}{cells}").trim_end());
        text.push('\n');
    }
    text
}

/// The axis of the steps with its labels.
fn level(x: LogScale) -> String {
    let (mut axis, mut below) = (vec!['-'; WIDTH], vec![' '; WIDTH + MARGIN]);
    let mut free_from = 0;
    for tick in x.ticks(8) {
        let Some(share) = x.position(tick.value) else { continue };
        axis[column(share)] = '+';
        let start = column(share).saturating_sub(tick.text.len() / 2);
        // Labels that would run into each other are left out; their marks stay.
        if start >= free_from {
            below[start..].iter_mut().zip(tick.text.chars()).for_each(|(cell, c)| *cell = c);
            free_from = start + tick.text.len() + 2;
        }
    }
    let (axis, below): (String, String) = (axis.into_iter().collect(), below.into_iter().collect());
    format!("{:MARGIN$} +{axis}\n{:MARGIN$}  {}  step\n", "", "", below.trim_end())
}
