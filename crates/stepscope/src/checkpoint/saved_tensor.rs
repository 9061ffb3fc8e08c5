//! One tensor of a saved state.

use burn::Tensor;
use burn::tensor::{DType, Device, TensorData};

/// The numbers of one tensor with its shape, in the precision of the network.
///
/// Taken from a live network it shares the network's memory until the next step writes: saving costs the training loop the
/// copy that this step then makes, and nothing else. Read from a file it is bytes on the host.
#[derive(Debug, Clone)]
pub struct SavedTensor {
    shape: Vec<usize>,
    numbers: Numbers,
}

#[derive(Debug, Clone)]
enum Numbers {
    /// Flat and plain: records nothing for a backward pass.
    Live(Tensor<1>),
    Host(TensorData),
}

impl SavedTensor {
    /// A tensor of the network, whatever its rank.
    pub fn of<const D: usize>(tensor: Tensor<D>) -> Self {
        let plain = if tensor.is_autodiff() { tensor.inner() } else { tensor };
        let shape: Vec<usize> = plain.dims().to_vec();
        let count: usize = shape.iter().product();
        Self { shape, numbers: Numbers::Live(plain.reshape([count])) }
    }

    /// Little-endian numbers of that precision, as files hold them; `None` where their count is not that of `shape`.
    pub fn from_bytes(shape: Vec<usize>, is_double: bool, bytes: &[u8]) -> Option<Self> {
        let count = shape.iter().try_fold(1_usize, |count, &length| count.checked_mul(length))?;
        let data = if is_double {
            let (numbers, rest) = bytes.as_chunks();
            let numbers: Vec<f64> = numbers.iter().map(|&bytes| f64::from_le_bytes(bytes)).collect();
            (numbers.len() == count && rest.is_empty()).then(|| TensorData::new(numbers, [count]))
        } else {
            let (numbers, rest) = bytes.as_chunks();
            let numbers: Vec<f32> = numbers.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect();
            (numbers.len() == count && rest.is_empty()).then(|| TensorData::new(numbers, [count]))
        }?;
        Some(Self { shape, numbers: Numbers::Host(data) })
    }

    /// Numbers computed on the host, rounded to f32 unless `is_double`.
    pub fn from_numbers(shape: Vec<usize>, is_double: bool, numbers: Vec<f64>) -> Self {
        let count = numbers.len();
        let data = if is_double {
            TensorData::new(numbers, [count])
        } else {
            TensorData::new(numbers.into_iter().map(|number| number as f32).collect::<Vec<f32>>(), [count])
        };
        Self { shape, numbers: Numbers::Host(data) }
    }

    /// Numbers on the host, f32 or f64.
    pub(crate) fn from_data(shape: Vec<usize>, data: TensorData) -> Self {
        Self { shape, numbers: Numbers::Host(data) }
    }

    /// Length along every axis.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// Whether the numbers are f64; else they are f32.
    pub fn is_double(&self) -> bool {
        let dtype = match &self.numbers {
            Numbers::Live(tensor) => tensor.dtype(),
            Numbers::Host(data) => data.dtype(),
        };
        dtype == DType::F64
    }

    /// The numbers as bytes, little-endian, the last axis fastest.
    pub fn to_bytes(&self) -> Vec<u8> {
        let data = self.data();
        match data.as_slice::<f32>() {
            Ok(numbers) => numbers.iter().flat_map(|number| number.to_le_bytes()).collect(),
            Err(_) => data.iter::<f64>().flat_map(f64::to_le_bytes).collect(),
        }
    }

    /// The numbers on the host, widened.
    pub fn to_numbers(&self) -> Vec<f64> {
        self.data().iter::<f64>().collect()
    }

    /// The numbers as a flat tensor on `device`, in the precision they were saved in.
    pub(crate) fn tensor(&self, device: &Device) -> Tensor<1> {
        let data = self.data();
        let dtype = data.dtype();
        Tensor::from_data(data, (device, dtype))
    }

    fn data(&self) -> TensorData {
        match &self.numbers {
            Numbers::Live(tensor) => tensor.to_data(),
            Numbers::Host(data) => data.clone(),
        }
    }
}

/// The same shape and the same bits.
impl PartialEq for SavedTensor {
    fn eq(&self, other: &Self) -> bool {
        self.shape == other.shape && self.is_double() == other.is_double() && self.to_bytes() == other.to_bytes()
    }
}
