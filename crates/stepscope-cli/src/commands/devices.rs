//! `stepscope devices`: what this build can compute on, and whether it computes the same there.

use anyhow::anyhow;
use serde::Serialize;
use stepscope::backend::{DeviceReport, survey};
use stepscope::train::{DeviceCheck, check_device};
use stepscope::types::spec::{DeviceKind, Precision};
use stepscope_report::{Align, Table, number};

use crate::args::{DevicesArguments, Format};
use crate::commands::{print, print_json};
use crate::failure::Failure;
use crate::progress::Busy;

/// A device for programs.
#[derive(Serialize)]
struct Row {
    device: DeviceKind,
    available: bool,
    name: String,
    precisions: Vec<Precision>,
    /// Why it cannot be used.
    reason: Option<String>,
    /// With `--check`: one entry a network, none where the check was skipped.
    #[serde(skip_serializing_if = "Option::is_none")]
    check: Option<Vec<CheckRow>>,
}

#[derive(Serialize)]
struct CheckRow {
    network: String,
    loss_difference: f64,
    product_difference: f64,
    /// What both may be.
    loss_bound: f64,
    product_bound: f64,
    passes: bool,
}

impl Row {
    fn new(report: DeviceReport) -> Self {
        Self {
            device: report.kind,
            available: report.obstacle.is_none(),
            name: report.name,
            precisions: report.precisions,
            reason: report.obstacle.map(|obstacle| obstacle.to_string()),
            check: None,
        }
    }

    /// Runs the check where there is a device to check: the processor is what the others are compared with.
    fn with_check(mut self) -> Result<Self, Failure> {
        if self.available && self.device != DeviceKind::Cpu {
            let busy = Busy::new(&format!("checking {}", self.device.word()));
            let checks = check_device(self.device).map_err(Failure::failed)?;
            drop(busy);
            let row = |check: DeviceCheck| CheckRow {
                passes: check.passes(),
                network: check.network,
                loss_difference: check.loss_difference,
                product_difference: check.product_difference,
                loss_bound: check.loss_bound,
                product_bound: check.product_bound,
            };
            self.check = Some(checks.into_iter().map(row).collect());
        }
        Ok(self)
    }

    fn fails(&self) -> bool {
        self.check.iter().flatten().any(|check| !check.passes)
    }
}

pub(super) fn run(arguments: &DevicesArguments) -> Result<(), Failure> {
    let asked = |report: &DeviceReport| arguments.device.is_none_or(|device| report.kind == device);
    let mut rows: Vec<Row> = survey().into_iter().filter(asked).map(Row::new).collect();
    if arguments.check {
        rows = rows.into_iter().map(Row::with_check).collect::<Result<_, Failure>>()?;
    }
    match arguments.format {
        Format::Json => print_json(&rows)?,
        Format::Text => print(&text(&rows, arguments.check))?,
    }
    let failing: Vec<&str> = rows.iter().filter(|row| row.fails()).map(|row| row.device.word()).collect();
    if failing.is_empty() {
        return Ok(());
    }
    Err(Failure::failed(anyhow!("{} does not compute what the processor computes", failing.join(" and "))))
}

fn text(rows: &[Row], with_check: bool) -> String {
    let mut table =
        Table::new().column("device", Align::Left).column("what", Align::Left).column("precisions", Align::Left);
    for row in rows {
        let precisions: Vec<&str> = row.precisions.iter().map(|precision| precision.word()).collect();
        let what = if row.available { row.name.clone() } else { "not available".to_owned() };
        table = table.row([row.device.word().to_owned(), what, precisions.join(", ")]);
    }
    let mut text = table.to_string();
    let reasons = rows.iter().filter_map(|row| row.reason.as_deref());
    reasons.for_each(|reason| text.push_str(&format!("\n{reason}.")));
    if with_check {
        text.push_str(&check_text(rows));
    }
    text
}

fn check_text(rows: &[Row]) -> String {
    let mut text = format!(
        "\n\n{} steps in f32, beside the processor. Losses may differ by {:e} nat and Hessian products by {:e} of their norm; with \
         ReLU by {} times as much as f32 and f64 on the processor, where that is more:\n",
        DeviceCheck::STEPS,
        DeviceCheck::LOSS_TOLERANCE,
        DeviceCheck::PRODUCT_TOLERANCE,
        DeviceCheck::KINKED_FACTOR
    );
    for row in rows.iter().filter(|row| row.device != DeviceKind::Cpu) {
        match &row.check {
            None => text.push_str(&format!("\n{}: skipped, there is none", row.device.word())),
            Some(checks) => checks.iter().for_each(|check| {
                let verdict = if check.passes { "same" } else { "DIFFERENT" };
                let of = |difference, bound| {
                    format!("{} of {}", number::significant(difference), number::significant(bound))
                };
                text.push_str(&format!(
                    "\n{}: {}: {verdict} (loss {}, product {})",
                    row.device.word(),
                    check.network,
                    of(check.loss_difference, check.loss_bound),
                    of(check.product_difference, check.product_bound)
                ));
            }),
        }
    }
    text
}
