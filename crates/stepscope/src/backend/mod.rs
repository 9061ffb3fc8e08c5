//! Devices and number types: the only folder that names a Burn backend.

mod batch_norm;
mod channel_affine;
mod convolution;
mod dense;
mod device;
mod flex_float;
mod graph;
mod hyperbolic;
mod kept;
mod pooling;
mod rectifier;
mod threads;
#[cfg(test)]
mod twins;
mod update;

use burn::Tensor;
use burn::tensor::{DType, Device};
use stepscope_types::spec::{DeviceKind, Precision};

pub use device::{DeviceError, DeviceReport, survey};
pub use threads::compute_on_this_thread;

pub(crate) use batch_norm::batch_norm;
pub(crate) use channel_affine::channel_affine;
pub(crate) use convolution::conv2d;
pub(crate) use dense::dense;
pub(crate) use hyperbolic::{tanh, tanh_slope};
pub(crate) use kept::{Allowance, Kept, Slot};
pub(crate) use pooling::max_pool2d;
pub(crate) use rectifier::{gate, rectify, rectify_sum};
pub(crate) use update::scale_and_add;

/// Whether operations of our own apply to the tensor: they are for the processor.
fn is_ours<const D: usize>(tensor: &Tensor<D>) -> bool {
    tensor.device() == Device::flex() && matches!(tensor.dtype(), DType::F32 | DType::F64)
}

/// Where tensors live and in which floating-point numbers.
///
/// Two handles to one device: [`Backend::plain`] computes values only, [`Backend::tracked`] records what a
/// backward pass needs. Mixing tensors of the two in one expression is a programming error that Burn reports.
#[derive(Debug, Clone)]
pub struct Backend {
    kind: DeviceKind,
    device: Device,
    precision: Precision,
}

impl Backend {
    /// The processor, through Burn's flex backend.
    ///
    /// ```
    /// use stepscope::{backend::Backend, types::spec::Precision};
    /// assert_eq!(Backend::cpu(Precision::F64).description(), "cpu (flex), f64");
    /// ```
    pub fn cpu(precision: Precision) -> Self {
        Self { kind: DeviceKind::Cpu, device: Device::flex(), precision }
    }

    /// The device of that kind, after it has shown that it computes in that precision.
    ///
    /// # Errors
    /// [`DeviceError`] for a device that the build has no code for, one without a driver, one that does not compute, and a
    /// precision that it does not have.
    pub fn open(kind: DeviceKind, precision: Precision) -> Result<Self, DeviceError> {
        let device = device::open(kind)?;
        device::check_precision(kind, &device, precision)?;
        Ok(Self { kind, device, precision })
    }

    /// The device for values without derivatives.
    pub fn plain(&self) -> Device {
        self.device.clone()
    }

    /// The device whose tensors record what a backward pass needs.
    pub fn tracked(&self) -> Device {
        self.device.clone().autodiff()
    }

    /// The floating-point type of weights and activations.
    pub fn dtype(&self) -> DType {
        match self.precision {
            Precision::F32 | Precision::Bf16 => DType::F32,
            Precision::F64 => DType::F64,
        }
    }

    /// The narrower type in which training multiplies, where it does: see [`Pass::with_products_in`](crate::models::Pass::with_products_in).
    pub fn product_dtype(&self) -> Option<DType> {
        (self.precision == Precision::Bf16).then_some(DType::BF16)
    }

    /// Whether what is computed here in training is what `other` computes for measurements.
    pub fn computes_like(&self, other: &Self) -> bool {
        self.dtype() == other.dtype() && self.product_dtype().is_none()
    }

    /// The same device in another precision.
    ///
    /// # Errors
    /// [`DeviceError::NoSuchPrecision`] where the device has no arithmetic in it.
    pub fn in_precision(&self, precision: Precision) -> Result<Self, DeviceError> {
        device::check_precision(self.kind, &self.device, precision)?;
        Ok(Self { precision, ..self.clone() })
    }

    /// Device and precision in words, for the manifest.
    pub fn description(&self) -> String {
        format!("{} ({}), {}", self.kind.word(), device::name(self.kind, &self.device), self.precision.word())
    }

    /// Threads the backend may use: as many as `RAYON_NUM_THREADS` says, or as there are cores.
    pub fn threads(&self) -> u64 {
        let asked =
            std::env::var("RAYON_NUM_THREADS").ok().and_then(|text| text.parse().ok()).filter(|&count| count > 0);
        asked.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, |n| n.get() as u64))
    }
}

/// The version of Burn this build stands on, for the manifest.
pub const BURN_VERSION: &str = "0.22.1";
