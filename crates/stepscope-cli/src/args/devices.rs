//! The flags of `stepscope devices`, and the words for devices.

use clap::Args;
use stepscope::types::spec::DeviceKind;

use super::Format;

#[derive(Debug, Args)]
pub(crate) struct DevicesArguments {
    /// Train eight small networks on the processor and on every other device that is here, and compare
    #[arg(long)]
    pub(crate) check: bool,
    /// Only this device: cpu, cuda, wgpu
    #[arg(long, value_name = "NAME", value_parser = device)]
    pub(crate) device: Option<DeviceKind>,
    /// How the result is printed
    #[arg(long, value_enum, default_value_t)]
    pub(crate) format: Format,
}

/// Changes of a specification, with the device as the last of them.
pub(crate) fn with_device(overrides: &[String], device: Option<DeviceKind>) -> Vec<String> {
    let device = device.map(|device| format!("train.device={}", device.word()));
    overrides.iter().cloned().chain(device).collect()
}

/// A device by its word.
pub(crate) fn device(text: &str) -> Result<DeviceKind, String> {
    let found = DeviceKind::ALL.into_iter().find(|kind| kind.word() == text.trim());
    found.ok_or_else(|| "expected cpu, cuda or wgpu".to_owned())
}
