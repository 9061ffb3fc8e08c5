//! The page in a real browser: curves drawn, no error, hostile names inert. Skipped where there is no Chromium.

#![allow(clippy::unwrap_used, reason = "in a test a panic is the message, also in what its functions call")]

#[path = "common/mod.rs"]
mod synthetic;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use stepscope_report::{Align, Page, Run, Story, Table, number};

const HOSTILE: &str = "<script>window.pwned=1</script><img src=x onerror=\"window.pwned=2\">";

/// The first Chromium on the path.
fn chromium() -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    let names = ["chromium", "chromium-browser", "google-chrome"];
    let candidates: Vec<PathBuf> =
        std::env::split_paths(&path).flat_map(|folder| names.map(|name| folder.join(name))).collect();
    candidates.into_iter().find(|candidate| candidate.is_file())
}

/// The page's elements after its scripts have run.
fn dump_dom(browser: &Path, page: &Path) -> String {
    let profile = tempfile::tempdir().unwrap();
    let output = Command::new(browser)
        .args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"])
        .args(["--disable-background-networking", "--disable-component-update", "--disable-sync"])
        .arg(format!("--user-data-dir={}", profile.path().display()))
        .args(["--window-size=1280,2400", "--virtual-time-budget=5000", "--dump-dom"])
        .arg(format!("file://{}", page.display()))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn attribute<'a>(dom: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = dom.split_once(&format!("{name}=\""))?;
    rest.split_once('"').map(|(value, _)| value)
}

/// Writes the runs to folders, reads them back and renders them, as the program does.
fn render(raw: Vec<synthetic::RawRun>, name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    fs::create_dir_all(&folder).unwrap();
    let mut runs = Vec::new();
    for (index, (manifest, records)) in raw.into_iter().enumerate() {
        let run = folder.join(format!("run-{index}"));
        fs::create_dir_all(&run).unwrap();
        fs::write(run.join("run.json"), serde_json::to_string(&manifest).unwrap()).unwrap();
        let lines: String = records.iter().map(|record| serde_json::to_string(record).unwrap() + "\n").collect();
        fs::write(run.join("metrics.jsonl"), lines).unwrap();
        runs.push(Run::load(&run).unwrap());
    }
    let page = folder.join("report.html");
    let html = Page::new("What the learning rate does to optdigits")
        .story(story())
        .runs(&runs)
        .references([
            "LABPAL: Using a one dimensional parabolic model of the full-batch loss (2021)",
            "The Break-Even Point (2020)",
        ])
        .render();
    fs::write(&page, html).unwrap();
    page
}

fn story() -> Story {
    let table = Table::new()
        .column("learning rate", Align::Left)
        .column("test loss", Align::Right)
        .column("against the measured one", Align::Right)
        .row(["measured, 0.09 to 0.19", "0.0865 ± 0.0058", ""])
        .row(["0.08", "0.112 ± 0.007", "+0.026 ± 0.004"])
        .row(["0.005", "0.580 ± 0.015", "+0.494 ± 0.014"])
        .row(["0.8", "diverged at step 214", ""]);
    Story::new(
        "The learning rate measured along the step ended with the lowest test loss, 0.0865 ± 0.0058, without being tuned.",
    )
    .paragraph(
        "Three rates were set by hand. At 0.005 the run had covered a sixteenth of the way of the run at 0.08 when the \
         steps were used up; at 0.8 it left the stable region, where learning rate times sharpness stays below 2, and \
         diverged after 193 good steps.",
    )
    .paragraph(
        "What to do: keep the measured rate, or set 0.14, its median over the second half. The noise scale grew from 10 \
         to 190 examples: from about step 900 on, a larger batch would have been used well.",
    )
    .table(table)
}

#[test]
fn every_curve_is_drawn_without_an_error() {
    let page = render(synthetic::quickstart(), "report");
    let Some(browser) = chromium() else { return println!("skipped: no chromium") };
    let dom = dump_dom(&browser, &page);
    assert_eq!(attribute(&dom, "data-errors"), Some("0"), "{:?}", attribute(&dom, "data-last-error"));
    // Twelve quantities of every run, the three of each of two averages, and prediction over measurement.
    assert_eq!(attribute(&dom, "data-panels-drawn"), Some("19"));
    // Training loss has a prediction; the minimum along the line belongs to one run; averages to the three long ones.
    assert_eq!(attribute(&dom, "data-curves-drawn"), Some("65"));
    assert!(dom.matches("<canvas").count() >= 19);
}

/// A run whose readings are hard to write: next to a power of ten, tiny, huge, zero, with errors of all sizes.
fn awkward_run() -> synthetic::RawRun {
    use stepscope_types::Uncertainty::{Exact, Interval, StandardError};
    let readings = [
        (9.6, Exact),
        (9.996, Exact),
        (0.0, Exact),
        (-0.0123, Exact),
        (999_999.9, Exact),
        (12_345.6, StandardError(678.0)),
        (1.23456e-7, StandardError(2.0e-9)),
        (0.5, StandardError(0.0096)),
        (0.001, StandardError(250.0)),
        (3.0, StandardError(0.999)),
        (2.0e6, Interval { low: 9.996e5, high: 9.0e6, level: 0.95 }),
    ];
    let named = readings.iter().enumerate().flat_map(|(index, &(value, error))| {
        // Fewer than four readings are no curve.
        (0..4).map(move |step| {
            let mut record = synthetic::measure(&stepscope_types::quantity::EFFECTIVE_SHARPNESS, step, value, error);
            if let stepscope_types::Record::Measurement(measurement) = &mut record {
                measurement.name = format!("awkward/{index}");
            }
            record
        })
    });
    (synthetic::manifest("awkward", 0.1), named.collect())
}

#[test]
fn the_script_writes_numbers_as_the_tables_do() {
    let mut raw = synthetic::quickstart();
    raw.push(awkward_run());
    let runs: Vec<Run> = raw.iter().cloned().map(|(manifest, records)| Run::from_records(manifest, records)).collect();
    let page = render(raw, "numbers");
    let Some(browser) = chromium() else { return println!("skipped: no chromium") };
    let dom = dump_dom(&browser, &page);
    let mut num_compared = 0;
    for (run, name) in runs.iter().flat_map(|run| run.names().map(move |name| (run, name))) {
        let Some((point, value)) = run.series(name).last() else { continue };
        // A page shows the last readings until the cursor enters a panel.
        let shown = format!("class=\"value\">{}", number::reading(name, value, point.error));
        assert!(dom.contains(&shown), "{}: {name}: no {shown}", run.name());
        num_compared += 1;
    }
    assert_eq!(num_compared, 64 + 11, "every curve has a last reading");
}

#[test]
fn hostile_names_are_text() {
    let mut raw = synthetic::quickstart();
    raw[1].0.name = HOSTILE.to_owned();
    raw[1].0.spec.name = HOSTILE.to_owned();
    let page = render(raw, "hostile");
    let Some(browser) = chromium() else { return println!("skipped: no chromium") };
    // The page has no hook for this: a second file around the same text reports what the name did.
    let html = fs::read_to_string(&page).unwrap();
    let probe = "<script>document.documentElement.dataset.pwned = String(window.pwned)</script></body>";
    fs::write(&page, html.replace("</body>", probe)).unwrap();
    let dom = dump_dom(&browser, &page);
    assert_eq!(attribute(&dom, "data-pwned"), Some("undefined"));
    assert_eq!(attribute(&dom, "data-errors"), Some("0"));
    assert!(dom.contains("&lt;script&gt;window.pwned=1"), "the name is shown as it is");
}

#[test]
fn a_page_without_runs_and_a_run_without_records_are_pages_too() {
    for (raw, name) in [(vec![], "empty"), (vec![(synthetic::manifest("alone", 0.1), vec![])], "alone")] {
        let page = render(raw, name);
        let Some(browser) = chromium() else { return println!("skipped: no chromium") };
        let dom = dump_dom(&browser, &page);
        assert_eq!(attribute(&dom, "data-errors"), Some("0"), "{name}: {:?}", attribute(&dom, "data-last-error"));
        assert_eq!(attribute(&dom, "data-panels-drawn"), Some("0"), "{name}");
    }
}

#[test]
fn one_reading_and_readings_without_a_logarithm_are_drawn() {
    let manifest = synthetic::manifest("odd", 0.1);
    let mut records: Vec<_> =
        [-1.0, 0.0, 2.0, 1e-9, 1e9].iter().zip(0..).map(|(&v, k)| synthetic::loss(k, v)).collect();
    let exact = stepscope_types::Uncertainty::Exact;
    records.push(synthetic::measure(&stepscope_types::quantity::TEST_LOSS, 0, 1.0, exact));
    let page = render(vec![(manifest, records)], "odd");
    let Some(browser) = chromium() else { return println!("skipped: no chromium") };
    let dom = dump_dom(&browser, &page);
    assert_eq!(attribute(&dom, "data-errors"), Some("0"), "{:?}", attribute(&dom, "data-last-error"));
    assert_eq!(attribute(&dom, "data-panels-drawn"), Some("2"));
}
