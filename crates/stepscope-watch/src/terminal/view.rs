//! What the terminal shows.

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style, Stylize};
use ratatui::symbols::Marker;
use ratatui::text::{Line, Span};
use ratatui::widgets::{Axis, Block, Cell, Chart, Dataset, Gauge, GraphType, Paragraph, Row, Table};
use stepscope_report::{Run, RunSummary, Series, number};
use stepscope_types::quantity::{self, Quantity};

/// Colours of the runs, in turn.
const COLOURS: [Color; 6] = [Color::Cyan, Color::Yellow, Color::Green, Color::Magenta, Color::Blue, Color::Red];

/// Points of a curve: more than a terminal has columns.
const MOST_POINTS: usize = 600;

/// Quantities of the table, in order; those that a run has no reading of are left out.
const SHOWN: [Quantity; 9] = [
    quantity::TRAIN_LOSS,
    quantity::TEST_LOSS,
    quantity::TEST_ACCURACY,
    quantity::BATCH_LOSS,
    quantity::LEARNING_RATE,
    quantity::HESSIAN_TOP_EIGENVALUE,
    quantity::EFFECTIVE_SHARPNESS,
    quantity::NOISE_SCALE,
    quantity::GRADIENT_NORM,
];

/// Runs as charts and tables, and what was chosen with the keys.
#[derive(Debug)]
pub struct View {
    title: String,
    runs: Vec<Run>,
    problem: Option<String>,
    selected: usize,
    log: bool,
}

/// A curve ready to be drawn.
struct Curve {
    name: String,
    colour: Color,
    points: Vec<(f64, f64)>,
}

impl View {
    /// A view of `runs`; the loss is on a logarithmic axis at first.
    pub fn new(title: String, runs: Vec<Run>) -> Self {
        let mut view = Self { title, runs: Vec::new(), problem: None, selected: 0, log: true };
        view.take(runs, None);
        view
    }

    /// Takes in the runs as they are now, and what cannot be read.
    pub fn take(&mut self, runs: Vec<Run>, problem: Option<String>) {
        self.runs = runs.into_iter().filter(|run| !run.is_prediction()).collect();
        self.problem = problem;
        self.selected = self.selected.min(self.runs.len().saturating_sub(1));
    }

    /// Selects the run so many places further, around the end.
    pub fn select(&mut self, places: isize) {
        let num_runs = self.runs.len().max(1) as isize;
        self.selected = (self.selected as isize + places).rem_euclid(num_runs) as usize;
    }

    /// Changes between a logarithmic and a linear axis of the loss.
    pub fn toggle_log(&mut self) {
        self.log = !self.log;
    }

    /// Draws everything; a terminal too small for all of it shows what matters most.
    pub fn draw(&self, frame: &mut Frame) {
        let [head, body, foot] =
            Layout::vertical([Constraint::Length(1), Constraint::Fill(1), Constraint::Length(1)]).areas(frame.area());
        let title = Line::from(vec![Span::from(" stepscope ").bold(), Span::from(printable(&self.title))]);
        frame.render_widget(title, head);
        let keys = self.problem.as_ref().map_or_else(
            || Line::from(" q quit   l log or linear loss   arrows choose a run").dim(),
            |problem| Line::from(format!(" not shown: {}", printable(problem))).yellow(),
        );
        frame.render_widget(keys, foot);
        let Some(run) = self.runs.get(self.selected) else {
            frame.render_widget(Paragraph::new("\n  No run yet: the first one is shown as soon as it begins."), body);
            return;
        };
        let is_narrow = body.width < 90;
        let sides = if is_narrow {
            Layout::vertical([Constraint::Fill(1), Constraint::Length(table_height(run).min(body.height / 2))])
                .split(body)
        } else {
            Layout::horizontal([Constraint::Fill(1), Constraint::Length(52)]).split(body)
        };
        let [loss, sharpness] = Layout::vertical([Constraint::Fill(3), Constraint::Fill(2)]).areas(sides[0]);
        self.draw_loss(frame, loss);
        self.draw_sharpness(frame, sharpness, run);
        self.draw_run(frame, sides[1], run);
    }

    fn colour(&self, index: usize) -> Color {
        COLOURS[index % COLOURS.len()]
    }

    /// Every run's curve of the first of these quantities that it has; the selected run lies on top.
    fn curves(&self, quantities: &[Quantity]) -> Vec<Curve> {
        let mut order: Vec<usize> = (0..self.runs.len()).filter(|&index| index != self.selected).collect();
        order.push(self.selected);
        let curve = |index: usize| {
            let run = self.runs.get(index)?;
            let series =
                quantities.iter().map(|quantity| run.series(quantity.name)).find(|series| series.first().is_some())?;
            Some(Curve { name: printable(run.name()), colour: self.colour(index), points: points(series) })
        };
        order.into_iter().filter_map(curve).collect()
    }

    fn draw_loss(&self, frame: &mut Frame, area: Rect) {
        let mut curves = self.curves(&[quantity::TRAIN_LOSS, quantity::BATCH_LOSS]);
        let log = self.log && curves.iter().flat_map(|curve| &curve.points).all(|(_, loss)| *loss > 0.0);
        if log {
            curves.iter_mut().flat_map(|curve| &mut curve.points).for_each(|(_, loss)| *loss = loss.log10());
        }
        let title = if log { "Training loss, logarithmic" } else { "Training loss" };
        draw_chart(frame, area, title, &curves, None, log);
    }

    fn draw_sharpness(&self, frame: &mut Frame, area: Rect, run: &Run) {
        let curves = self.curves(&[quantity::EFFECTIVE_SHARPNESS]);
        let limit = RunSummary::of(run).stability_limit;
        let title = format!("Learning rate x sharpness; the limit is {limit}");
        draw_chart(frame, area, &title, &curves, Some(limit), false);
    }

    fn draw_run(&self, frame: &mut Frame, area: Rect, run: &Run) {
        let name = format!(" {} ({} of {}) ", printable(run.name()), self.selected + 1, self.runs.len());
        let block =
            Block::bordered().border_style(Style::new().dim()).title(Span::from(name).fg(self.colour(self.selected)));
        let inner = block.inner(area);
        frame.render_widget(block, area);
        let [bar, _, table] =
            Layout::vertical([Constraint::Length(1), Constraint::Length(1), Constraint::Fill(1)]).areas(inner);
        let gauge = Gauge::default()
            .ratio(run.progress())
            .label(progress(run))
            .gauge_style(Style::new().fg(Color::Cyan).bg(Color::DarkGray));
        frame.render_widget(gauge, bar);
        frame.render_widget(Table::new(rows(run), [Constraint::Fill(1), Constraint::Length(24)]), table);
    }
}

/// `step 1190, 84 %, 3 min 20 s left`, or how the run ended.
fn progress(run: &Run) -> String {
    let step = format!("step {}", number::count(run.last_step().0));
    match RunSummary::of(run).outcome {
        "unfinished" => {
            let left = run.seconds_left().map_or(String::new(), |left| format!(", {} left", number::duration(left)));
            format!("{step}, {:.0} %{left}", 100.0 * run.progress())
        }
        ended => format!("{ended} at {step}"),
    }
}

fn table_height(run: &Run) -> u16 {
    rows(run).len() as u16 + 4
}

/// The last reading of everything that matters, and of gauges.
fn rows(run: &Run) -> Vec<Row<'static>> {
    let known = SHOWN.iter().map(|quantity| quantity.name);
    let gauges: Vec<&str> = run.names().filter(|name| name.ends_with("gauge")).collect();
    let limit = RunSummary::of(run).stability_limit;
    let row = |name: &str| {
        let (point, value) = run.series(name).last()?;
        let text = number::reading(name, value, point.error);
        let title = quantity::by_name(name).map_or(name, |quantity| quantity.title).to_owned();
        let is_past = name == quantity::EFFECTIVE_SHARPNESS.name && value > limit;
        let style = if is_past { Style::new().fg(Color::Red).add_modifier(Modifier::BOLD) } else { Style::new() };
        Some(Row::new([Cell::from(printable(&title)), Cell::from(text)]).style(style))
    };
    known.chain(gauges).filter_map(row).collect()
}

fn points(series: &Series) -> Vec<(f64, f64)> {
    let thinned = series.thinned(MOST_POINTS);
    thinned.into_iter().filter_map(|point| Some((point.step.0 as f64, point.value?))).collect()
}

/// Text that cannot move the cursor: a run's name is free.
fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c }).collect()
}

fn draw_chart(frame: &mut Frame, area: Rect, title: &str, curves: &[Curve], limit: Option<f64>, log: bool) {
    let block = Block::bordered().border_style(Style::new().dim()).title(format!(" {title} "));
    let points = || curves.iter().flat_map(|curve| &curve.points);
    if points().next().is_none() {
        frame.render_widget(Paragraph::new("no reading yet").block(block), area);
        return;
    }
    let span = |values: &mut dyn Iterator<Item = f64>| {
        let (low, high) = values.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), v| (low.min(v), high.max(v)));
        if high > low { [low, high] } else { [low - 0.5, high + 0.5] }
    };
    let x = span(&mut points().map(|(step, _)| *step));
    let mut y = span(&mut points().map(|(_, value)| *value).chain(limit));
    if limit.is_some() {
        y[0] = y[0].min(0.0);
    }
    let limit_line: Vec<(f64, f64)> = limit.map_or(Vec::new(), |limit| vec![(x[0], limit), (x[1], limit)]);
    let dataset = |data, colour| {
        Dataset::default().marker(Marker::Braille).graph_type(GraphType::Line).style(Style::new().fg(colour)).data(data)
    };
    let mut datasets = vec![dataset(&limit_line, Color::Gray)];
    datasets.extend(curves.iter().map(|curve| {
        let named = dataset(&curve.points, curve.colour);
        if curves.len() > 1 { named.name(curve.name.clone()) } else { named }
    }));
    let value = |value: f64| number::significant(if log { 10f64.powf(value) } else { value });
    let axis =
        |bounds: [f64; 2], labels: Vec<String>| Axis::default().bounds(bounds).labels(labels).style(Style::new().dim());
    let steps = x.map(|step| number::count(step.max(0.0) as u64));
    let values = vec![value(y[0]), value(f64::midpoint(y[0], y[1])), value(y[1])];
    let chart = Chart::new(datasets).block(block).x_axis(axis(x, steps.into())).y_axis(axis(y, values));
    frame.render_widget(chart, area);
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "in a test a panic is the message")]

    use super::*;
    use crate::server::synthetic;
    use ratatui::Terminal;
    use ratatui::backend::TestBackend;

    fn runs() -> Vec<Run> {
        synthetic::quickstart().into_iter().map(|(manifest, records)| Run::from_records(manifest, records)).collect()
    }

    /// What the terminal shows, line by line.
    fn drawn(view: &View, width: u16, height: u16) -> String {
        let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
        terminal.draw(|frame| view.draw(frame)).unwrap();
        let buffer = terminal.backend().buffer().clone();
        let line = |y| (0..width).map(|x| buffer[(x, y)].symbol()).collect::<String>();
        (0..height).map(line).collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn curves_limit_readings_and_outcome_are_shown() {
        let mut view = View::new("quickstart".to_owned(), runs());
        view.select(1);
        let screen = drawn(&view, 140, 40);
        for text in [
            "quickstart",
            "rate 0.08 (2 of 4)",
            "finished at step 1500",
            "Training loss, logarithmic",
            "the limit is 2",
            "Gradient noise scale",
            "1500",
        ] {
            assert!(screen.contains(text), "{text} is missing in\n{screen}");
        }
        let num_dots = screen.chars().filter(|c| ('\u{2801}'..='\u{28ff}').contains(c)).count();
        assert!(num_dots > 200, "{num_dots} cells of curves in\n{screen}");
        assert!(!screen.contains("predicted"), "predictions have no place here");
    }

    #[test]
    fn a_run_under_way_says_how_long_it_will_take() {
        let manifest = synthetic::manifest("under way", 0.1);
        let mut record = synthetic::loss(597, 0.5);
        *record.timing_mut() = Some(stepscope_types::Timing { wall_seconds: 60.0, cost_seconds: None });
        if let stepscope_types::Record::Measurement(measurement) = &mut record {
            measurement.epoch = 5.0;
        }
        let screen = drawn(&View::new("x".to_owned(), vec![Run::from_records(manifest, [record])]), 120, 30);
        assert!(screen.contains("step 597, 50 %, 1 min 0 s left"), "{screen}");
    }

    #[test]
    fn selecting_goes_around_and_survives_runs_that_vanish() {
        let mut view = View::new("x".to_owned(), runs());
        view.select(-1);
        assert!(drawn(&view, 120, 30).contains("measured (4 of 4)"));
        view.select(1);
        assert!(drawn(&view, 120, 30).contains("(1 of 4)"));
        view.select(3);
        view.take(runs().into_iter().take(2).collect(), None);
        assert!(drawn(&view, 120, 30).contains("(2 of 2)"));
        view.take(Vec::new(), Some("a: broken".to_owned()));
        view.select(1);
        let screen = drawn(&view, 120, 30);
        assert!(screen.contains("No run yet") && screen.contains("not shown: a: broken"), "{screen}");
    }

    #[test]
    fn no_size_and_no_name_breaks_the_screen() {
        let mut raw = synthetic::quickstart();
        raw[0].0.name = "\u{1b}[31mred\nline".to_owned();
        let runs: Vec<Run> = raw.into_iter().map(|(manifest, records)| Run::from_records(manifest, records)).collect();
        let mut view = View::new("x".to_owned(), runs);
        for log in [true, false] {
            for (width, height) in [(1, 1), (10, 3), (40, 12), (80, 24), (89, 50), (200, 60)] {
                assert!(!drawn(&view, width, height).contains('\u{1b}'), "{width} x {height}");
            }
            assert_eq!(drawn(&view, 140, 40).contains("logarithmic"), log);
            view.toggle_log();
        }
        let zero =
            Run::from_records(synthetic::manifest("zero", 0.1), [synthetic::loss(0, 0.0), synthetic::loss(1, 0.0)]);
        assert!(!drawn(&View::new("x".to_owned(), vec![zero]), 100, 30).contains("logarithmic"), "0 has no logarithm");
    }
}
