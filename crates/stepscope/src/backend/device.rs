//! Which devices this build has, and whether they are there.

use std::panic::{AssertUnwindSafe, catch_unwind, set_hook, take_hook};

use burn::Tensor;
use burn::tensor::{DType, Device};
use stepscope_types::spec::{DeviceKind, Precision};
use thiserror::Error;

/// A device that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum DeviceError {
    /// The build has no code for it.
    #[error(
        "device {device}: this build has no code for it: build with `cargo build --release --features {device}`, or use \
         device cpu"
    )]
    NotBuilt {
        /// The device, which is also the name of the feature.
        device: &'static str,
    },
    /// The driver is missing or shows no device.
    #[error("device {device}: none was found: {driver}, or use device cpu")]
    NotFound {
        /// The device.
        device: &'static str,
        /// Which driver is needed, and how to look for it.
        driver: &'static str,
    },
    /// There is one, and it did not add up two numbers.
    #[error("device {device}: it was found and does not compute ({reason}): {driver}, or use device cpu")]
    Broken {
        /// The device.
        device: &'static str,
        /// What the backend says.
        reason: String,
        /// Which driver is needed, and how to look for it.
        driver: &'static str,
    },
    /// It has no arithmetic in that precision.
    #[error("device {device}: it does not compute in {asked}: expected one of {offered}")]
    NoSuchPrecision {
        /// The device.
        device: &'static str,
        /// What was asked for.
        asked: &'static str,
        /// What there is.
        offered: String,
    },
}

/// What is known about a kind of device on this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceReport {
    /// The kind.
    pub kind: DeviceKind,
    /// What it calls itself; empty where there is none.
    pub name: String,
    /// The precisions that it computes in.
    pub precisions: Vec<Precision>,
    /// Why it cannot be used.
    pub obstacle: Option<DeviceError>,
}

/// Tries every kind of device: opens it and lets it add up two numbers.
pub fn survey() -> Vec<DeviceReport> {
    let report = |kind| match open(kind) {
        Ok(device) => DeviceReport { kind, name: name(kind, &device), precisions: precisions(&device), obstacle: None },
        Err(obstacle) => DeviceReport { kind, name: String::new(), precisions: Vec::new(), obstacle: Some(obstacle) },
    };
    DeviceKind::ALL.map(report).into()
}

/// The device of that kind, which computes.
pub(super) fn open(kind: DeviceKind) -> Result<Device, DeviceError> {
    let device = match kind {
        DeviceKind::Cpu => return Ok(Device::flex()),
        DeviceKind::Cuda => find(kind, cuda),
        DeviceKind::Wgpu => find(kind, wgpu),
    }?;
    let sum = quietly(|| {
        let two = Tensor::<1>::from_data([1.0_f32, 2.0], (&device, DType::F32));
        (two.clone() * two).sum().into_data().iter::<f64>().next()
    });
    match sum {
        Ok(Some(5.0)) => Ok(device),
        Ok(other) => Err(broken(kind, format!("1 + 4 is {other:?} there"))),
        Err(reason) => Err(broken(kind, reason)),
    }
}

/// Refuses a precision that the device does not have.
pub(super) fn check_precision(kind: DeviceKind, device: &Device, precision: Precision) -> Result<(), DeviceError> {
    let offered = precisions(device);
    if offered.contains(&precision) {
        return Ok(());
    }
    let offered = offered.into_iter().map(Precision::word).collect::<Vec<_>>().join(", ");
    Err(DeviceError::NoSuchPrecision { device: kind.word(), asked: precision.word(), offered })
}

/// What the device calls itself.
#[cfg(any(feature = "cuda", feature = "wgpu"))]
pub(super) fn name(kind: DeviceKind, device: &Device) -> String {
    let of_driver = || device.identity().map(|identity| identity.name.to_string());
    match kind {
        DeviceKind::Cpu => CPU.to_owned(),
        _ => quietly(of_driver).ok().flatten().unwrap_or_else(|| "unnamed".to_owned()),
    }
}

/// What the device calls itself.
#[cfg(not(any(feature = "cuda", feature = "wgpu")))]
pub(super) fn name(_: DeviceKind, _: &Device) -> String {
    CPU.to_owned()
}

/// Burn's backend for processors.
const CPU: &str = "flex";

fn precisions(device: &Device) -> Vec<Precision> {
    let has = |precision: &Precision| {
        let dtype = match precision {
            Precision::F32 => DType::F32,
            Precision::F64 => DType::F64,
            Precision::Bf16 => DType::BF16,
        };
        quietly(|| device.supports_dtype(dtype)).unwrap_or(false)
    };
    [Precision::F32, Precision::F64, Precision::Bf16].into_iter().filter(has).collect()
}

/// A device by `search`: no code for it, none there, or a failure of the driver.
fn find(kind: DeviceKind, search: fn() -> Option<Option<Device>>) -> Result<Device, DeviceError> {
    let device = kind.word();
    match quietly(search) {
        Ok(Some(Some(found))) => Ok(found),
        Ok(Some(None)) => Err(DeviceError::NotFound { device, driver: driver(kind) }),
        Ok(None) => Err(DeviceError::NotBuilt { device }),
        Err(reason) => Err(broken(kind, reason)),
    }
}

fn broken(kind: DeviceKind, reason: String) -> DeviceError {
    DeviceError::Broken { device: kind.word(), reason, driver: driver(kind) }
}

fn driver(kind: DeviceKind) -> &'static str {
    match kind {
        DeviceKind::Cpu => "",
        DeviceKind::Cuda => "it needs NVIDIA's driver (libcuda.so) and CUDA toolkit; `nvidia-smi` shows what they see",
        DeviceKind::Wgpu => {
            "it needs a Vulkan, Metal or DirectX 12 driver; `vulkaninfo --summary` shows what Vulkan sees"
        }
    }
}

/// The first CUDA device; `Some(None)` where there is none.
#[cfg(feature = "cuda")]
fn cuda() -> Option<Option<Device>> {
    Some(Device::enumerate(burn::tensor::DeviceType::Cuda).into_iter().next())
}

#[cfg(not(feature = "cuda"))]
fn cuda() -> Option<Option<Device>> {
    None
}

/// The device that wgpu prefers, a graphics card before a processor that imitates one; `Some(None)` where there is none.
#[cfg(feature = "wgpu")]
fn wgpu() -> Option<Option<Device>> {
    let is_there = Device::enumerate(burn::tensor::DeviceType::Wgpu).into_iter().next().is_some();
    Some(is_there.then(|| Device::wgpu(burn::tensor::DeviceKind::DefaultDevice)))
}

#[cfg(not(feature = "wgpu"))]
fn wgpu() -> Option<Option<Device>> {
    None
}

/// What `work` returns, or what it panicked with: drivers that fail while a device is opened reach us in no other way.
fn quietly<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    let hook = take_hook();
    set_hook(Box::new(|_| {}));
    let result = catch_unwind(AssertUnwindSafe(work));
    set_hook(hook);
    result.map_err(|payload| {
        let text = payload.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| payload.downcast_ref::<&str>().copied()).unwrap_or("it gave no reason");
        text.lines().next().unwrap_or_default().to_owned()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_device_is_there_or_says_in_a_message_what_is_missing() {
        let reports = survey();
        assert_eq!(reports.len(), 3);
        for DeviceReport { kind, name, precisions, obstacle } in reports {
            match obstacle {
                None => assert!(!name.is_empty() && precisions.contains(&Precision::F32), "{kind:?}"),
                Some(obstacle) => {
                    let message = obstacle.to_string();
                    let needed = match (&obstacle, kind) {
                        (DeviceError::NotBuilt { .. }, _) => format!("--features {}", kind.word()),
                        (_, DeviceKind::Cuda) => "NVIDIA's driver".to_owned(),
                        _ => "Vulkan".to_owned(),
                    };
                    assert!(message.contains(&needed) && message.contains("device cpu"), "{message}");
                }
            }
        }
    }

    #[test]
    fn a_panic_becomes_its_first_line() {
        #[allow(clippy::panic)]
        let result = quietly(|| -> u8 { panic!("no {}\nmore", "adapter") });
        assert_eq!(result, Err("no adapter".to_owned()));
        assert_eq!(quietly(|| 3), Ok(3));
    }

    #[test]
    fn the_processor_computes_in_every_precision() {
        assert_eq!(precisions(&Device::flex()), [Precision::F32, Precision::F64, Precision::Bf16]);
    }
}
