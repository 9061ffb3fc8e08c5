//! What a report of a sweep costs: 100 runs of 10,000 records are written as training writes them, read, and rendered.
//! `cargo bench -p stepscope-report` prints the times; the page it leaves can be opened to see how long it takes to show:
//! its root element says so in `data-shown-after`, in milliseconds.

#![allow(clippy::print_stdout, clippy::unwrap_used, reason = "a benchmark prints, and its runs are those of the tests")]

use std::error::Error;
use std::fs;
use std::path::PathBuf;
use std::time::Instant;

use stepscope_report::advice::advise;
use stepscope_report::{Page, Run};
use stepscope_types::Record;

#[path = "../tests/common/mod.rs"]
#[allow(unused, reason = "the tests use the rest")]
mod synthetic;

const NUM_RUNS: u64 = 100;
const NUM_RECORDS: u64 = 10_000;
const QUANTITIES: [&str; 10] = [
    "train/loss",
    "train/batch_loss",
    "test/loss",
    "test/accuracy",
    "control/learning_rate",
    "train/gradient_norm",
    "curvature/hessian_top_eigenvalue",
    "curvature/effective_sharpness",
    "noise/gradient_noise_scale",
    "noise/gradient_covariance_trace",
];
const ROUNDS: usize = 5;

fn main() -> Result<(), Box<dyn Error>> {
    let folder = std::env::temp_dir().join("stepscope-report-bench");
    let folders = write_runs(&folder)?;
    let mut rows = Vec::new();
    for _ in 0..ROUNDS {
        let begun = Instant::now();
        let runs = Run::load_all(&folders).into_iter().collect::<Result<Vec<_>, _>>()?;
        let read = begun.elapsed();
        let advice = advise(&runs);
        let html = Page::new("100 runs").story(advice.story).runs(&runs).references(advice.references).render();
        let rendered = begun.elapsed();
        fs::write(folder.join("report.html"), &html)?;
        rows.push((read, rendered, begun.elapsed(), html.len()));
    }
    rows.sort_by_key(|row| row.2);
    let (read, rendered, written, length) = rows[ROUNDS / 2];
    println!("{NUM_RUNS} runs of {NUM_RECORDS} records, median of {ROUNDS} rounds:");
    println!(
        "read {read:.2?}, rendered after {rendered:.2?}, written after {written:.2?}, {:.1} MB",
        length as f64 / 1e6
    );
    println!("{}", folder.join("report.html").display());
    Ok(())
}

/// The runs, each with its own learning rate and noise.
fn write_runs(folder: &std::path::Path) -> Result<Vec<PathBuf>, Box<dyn Error>> {
    let mut folders = Vec::new();
    for index in 0..NUM_RUNS {
        let run = folder.join(format!("run-{index:03}"));
        fs::create_dir_all(&run)?;
        let manifest = synthetic::manifest(&format!("rate {index}"), 0.001 * (index + 1) as f64);
        fs::write(run.join("run.json"), serde_json::to_string(&manifest)?)?;
        let mut noise = synthetic::Noise::seeded(index);
        let mut lines = String::new();
        for step in 0..NUM_RECORDS / QUANTITIES.len() as u64 {
            for (place, name) in QUANTITIES.into_iter().enumerate() {
                let value = (place + 1) as f64 / (1.0 + step as f64 * 0.001 * (index + 1) as f64)
                    * (0.1 * noise.normal()).exp();
                let mut record = synthetic::loss(step, value);
                if let Record::Measurement(measurement) = &mut record {
                    name.clone_into(&mut measurement.name);
                }
                lines += &serde_json::to_string(&record)?;
                lines.push('\n');
            }
        }
        fs::write(run.join("metrics.jsonl"), lines)?;
        folders.push(run);
    }
    Ok(folders)
}
