//! `stepscope run-shard SPEC --shard i/n`: a share of a sweep, for an engine that calls it again until it says 0 or 2.

use crate::args::{Format, RunShardArguments, with_device};
use crate::commands::sweep::{self, RunRow};
use crate::commands::{print, print_json};
use crate::failure::Failure;

pub(super) fn run(arguments: &RunShardArguments) -> Result<(), Failure> {
    let whole = sweep::parse(&arguments.spec, &with_device(&arguments.overrides, arguments.device))?;
    let path = sweep::folder_path(arguments.out.as_deref(), &whole.name);
    let folder = sweep::create(&path, &whole)?;
    let share = arguments.shard.of(&whole.runs);
    let mut ended = sweep::execute(&folder, &whole.name, share, &arguments.limits)?;
    sweep::sort(&mut ended, &whole);
    match arguments.format {
        Format::Json => {
            let rows: Vec<RunRow<'_>> =
                ended.iter().map(|ended| RunRow::new(&ended.run, Some(&ended.ending), None)).collect();
            print_json(&serde_json::json!({
                "name": whole.name, "folder": path, "shard": arguments.shard.to_string(), "runs": rows,
            }))?;
        }
        Format::Text => print(&format!("share {} of {}: {}", arguments.shard, whole.name, sweep::count_line(&ended)))?,
    }
    sweep::status(&ended, "run the same share, or any other, again")
}
