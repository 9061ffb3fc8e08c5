//! `stepscope data`: which data sets there are.

use stepscope::data::embedded;
use stepscope_report::{Align, Table, number};

use crate::args::Format;
use crate::commands::{print, print_json};
use crate::failure::Failure;

pub(super) fn list(format: Format) -> Result<(), Failure> {
    match format {
        Format::Json => {
            let rows: Vec<serde_json::Value> = embedded::ALL
                .iter()
                .map(|data| {
                    serde_json::json!({
                        "name": data.name,
                        "description": data.description,
                        "num_train_examples": data.num_train_examples,
                        "num_test_examples": data.num_test_examples,
                        "num_classes": data.num_classes,
                        "source": data.source,
                        "licence": data.licence,
                    })
                })
                .collect();
            print_json(&rows)
        }
        Format::Text => {
            let mut table = Table::new()
                .column("name", Align::Left)
                .column("train", Align::Right)
                .column("test", Align::Right)
                .column("licence", Align::Left)
                .column("what", Align::Left);
            for data in embedded::ALL {
                table = table.row([
                    data.name.to_owned(),
                    number::count(data.num_train_examples as u64),
                    number::count(data.num_test_examples as u64),
                    data.licence.to_owned(),
                    data.description.to_owned(),
                ]);
            }
            print(&format!(
                "{}\n\nAny folder with the four IDX files of MNIST's layout works too: --data FOLDER, or data.name in a specification.",
                table.to_string().trim_end()
            ))
        }
    }
}
