//! The keys of a specification that take one of a few words.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::LearningRate;

/// The architectures.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ModelKind {
    /// One layer from pixels to classes: logistic regression.
    Linear,
    /// One layer over fixed random nonlinear features of the pixels, `hidden` of them (1024).
    RandomFeatures,
    /// Fully connected layers of any widths.
    Mlp,
    /// Four 3x3 convolutions (32, 32, 64, 64), two max-pools, one dense layer of 128: the network of
    /// *The Break-Even Point* (`curvature`, section 2.5).
    SimpleCnn,
    /// `simple-cnn` with `normalisation = "batch"`, as that paper calls it.
    SimpleCnnBn,
    /// Eight 3x3 convolutions of up to 512 channels, five max-pools and one dense layer; images of at least 32x32.
    #[serde(rename = "vgg-11")]
    Vgg11,
    /// Residual network for small images: 3 stages (16, 32, 64 channels) of one block.
    #[serde(rename = "resnet-8")]
    ResNet8,
    /// Residual network for small images: 3 stages (16, 32, 64 channels) of 3 blocks.
    #[serde(rename = "resnet-20")]
    ResNet20,
    /// Residual network for small images: 3 stages (16, 32, 64 channels) of 5 blocks.
    #[serde(rename = "resnet-32")]
    ResNet32,
    /// Residual network for small images: 3 stages (16, 32, 64 channels) of 9 blocks.
    #[serde(rename = "resnet-56")]
    ResNet56,
    /// Residual network: 4 stages (64, 128, 256, 512 channels) of 2 blocks, without ImageNet's first pooling.
    #[serde(rename = "resnet-18")]
    ResNet18,
    /// Inverted residuals over depthwise convolutions, with strides for small images.
    #[serde(rename = "mobilenet-v2")]
    MobileNetV2,
    /// Small vision transformer: patches, 4 blocks of width 64 with 4 heads.
    #[serde(rename = "vit")]
    VisionTransformer,
    /// Embedding of 128, one LSTM layer of 128, one dense layer; examples are rows of token numbers.
    Lstm,
    /// Two dense layers of `hidden` (1000) features in the scaling of the neural tangent kernel, without biases: weights
    /// start normal with variance 1, whatever `init` says.
    Ntk,
}

/// What outputs are compared with, and by which loss.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum TargetKind {
    /// The class: cross-entropy, in nats.
    #[default]
    Class,
    /// 1 for the class and 0 for the others: half the squared distance.
    OneHot,
    /// The class as a number, with mean 0 and variance 1 over the training examples, for one output: half the squared
    /// difference. Regression, as the theory of kernels has it.
    Number,
}

/// What is normalised between a layer and its nonlinearity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Normalisation {
    /// Nothing.
    None,
    /// Every channel over the batch; running statistics in evaluation.
    Batch,
    /// Groups of channels of one example: 8 groups, or the most up to 8 that divide the channels. Examples stay
    /// independent of each other.
    Group,
    /// All channels of one example together.
    Layer,
}

/// Order of a residual block.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ResidualForm {
    /// Convolution, normalisation, nonlinearity, convolution, normalisation, sum, nonlinearity (He et al. 2015).
    Classic,
    /// Normalisation, nonlinearity, convolution, twice, sum (He et al. 2016).
    PreActivation,
}

/// The nonlinearities.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Activation {
    /// max(x, 0). Kinked: its Hessian exists almost everywhere, and differences of gradients miss it.
    Relu,
    /// tanh(x).
    Tanh,
    /// x Φ(x), with the exact normal distribution function.
    Gelu,
    /// x (1 + tanh(√(2/π) (x + 0.044715 x³))) / 2, the common approximation of gelu.
    GeluTanh,
    /// x σ(x).
    Silu,
    /// σ(x) = 1 / (1 + e⁻ˣ).
    Sigmoid,
    /// log(1 + eˣ).
    Softplus,
}

/// The laws of the initial weights. Biases start at 0 unless the law says otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Initializer {
    /// Uniform in ±√(6 / (fan_in + fan_out)) (Glorot and Bengio 2010).
    GlorotUniform,
    /// Normal with variance 2 / (fan_in + fan_out) (Glorot and Bengio 2010).
    GlorotNormal,
    /// Uniform in ±√(6 / fan_in), variance 2 / fan_in (He et al. 2015).
    HeUniform,
    /// Normal with variance 2 / fan_in (He et al. 2015).
    HeNormal,
    /// Weights and biases uniform in ±1 / √fan_in: what PyTorch's dense and convolution layers start from.
    PytorchDefault,
}

/// Floating-point numbers of weights and activations. Inner products of probes are always f64.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Precision {
    /// 24 bits of significand.
    F32,
    /// 53 bits of significand; about half as fast.
    F64,
    /// As `f32`, but dense and convolution layers multiply numbers of 8 bits in the forward and backward passes of the
    /// training. Weights, updates, losses, normalisation and everything that is measured stay `f32`.
    Bf16,
}

impl Precision {
    /// Its word in a specification.
    pub fn word(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::F64 => "f64",
            Self::Bf16 => "bf16",
        }
    }
}

/// What a run computes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum DeviceKind {
    /// The processor.
    #[default]
    Cpu,
    /// An NVIDIA graphics card, for builds with the feature `cuda`.
    Cuda,
    /// A graphics card through Vulkan, Metal or DirectX 12, for builds with the feature `wgpu`.
    Wgpu,
}

impl DeviceKind {
    /// Every kind.
    pub const ALL: [Self; 3] = [Self::Cpu, Self::Cuda, Self::Wgpu];

    /// Its word in a specification.
    pub fn word(self) -> &'static str {
        match self {
            Self::Cpu => "cpu",
            Self::Cuda => "cuda",
            Self::Wgpu => "wgpu",
        }
    }
}

/// How mini-batches are drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Sampling {
    /// A new permutation every epoch; a last batch that is too small is left out. What most trainers do.
    WithoutReplacement,
    /// Every batch is drawn afresh from the whole set: what the theory assumes.
    WithReplacement,
}

/// What turns gradients into steps.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum OptimizerMethod {
    /// θ ← θ − learning_rate·v for every mini-batch.
    #[default]
    Sgd,
    /// LABPAL&SGD: a learning rate measured over many mini-batches every so many updates, as `[labpal]` says.
    #[serde(rename = "labpal-sgd")]
    LabPalSgd,
    /// LABPAL&NSGD: the same with a measured length of the step along v/‖v‖.
    #[serde(rename = "labpal-nsgd")]
    LabPalNsgd,
    /// Schedule-Free SGD: gradients beside a running mean, which is the model; no schedule is needed.
    ScheduleFree,
    /// SVAG: steps of an l-th of the length with noise amplified to match, each of two batches, as `[svag]` says.
    Svag,
    /// Prodigy: Adam whose learning rate grows with the distance covered.
    Prodigy,
    /// SPS: the stochastic Polyak step, from the batch's loss and slope, as `[polyak]` says.
    Sps,
    /// MoMo: Polyak's step with momentum, as `[polyak]` says.
    Momo,
    /// PAL: a parabola through the loss of the step's own batch, every update anew.
    Pal,
    /// Full-batch PAL: a parabola through the loss of the whole training set every so many updates, as `[pal]` says.
    Fbpal,
    /// SLS: an Armijo search on the step's own batch.
    Sls,
    /// PoNoS: an Armijo search from Polyak's step that is not monotone.
    Ponos,
}

impl OptimizerMethod {
    /// All of them.
    pub const ALL: [Self; 12] = [
        Self::Sgd,
        Self::LabPalSgd,
        Self::LabPalNsgd,
        Self::ScheduleFree,
        Self::Svag,
        Self::Prodigy,
        Self::Sps,
        Self::Momo,
        Self::Pal,
        Self::Fbpal,
        Self::Sls,
        Self::Ponos,
    ];

    /// Whether it holds the loss that comes with a batch's gradient against losses of the same batch elsewhere.
    pub fn compares_own_losses(self) -> bool {
        matches!(self, Self::LabPalSgd | Self::LabPalNsgd | Self::Pal | Self::Sls | Self::Ponos)
    }

    /// Whether `optimizer.learning_rate` says how far a step goes.
    pub fn has_learning_rate(self) -> bool {
        matches!(self, Self::Sgd | Self::ScheduleFree | Self::Svag)
    }

    /// Whether it goes along a direction of its own, and not along that of `optimizer.direction`.
    pub fn has_own_direction(self) -> bool {
        matches!(self, Self::ScheduleFree | Self::Svag | Self::Prodigy | Self::Momo)
    }
}

impl fmt::Display for OptimizerMethod {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Sgd => "sgd",
            Self::LabPalSgd => "labpal-sgd",
            Self::LabPalNsgd => "labpal-nsgd",
            Self::ScheduleFree => "schedule-free",
            Self::Svag => "svag",
            Self::Prodigy => "prodigy",
            Self::Sps => "sps",
            Self::Momo => "momo",
            Self::Pal => "pal",
            Self::Fbpal => "fbpal",
            Self::Sls => "sls",
            Self::Ponos => "ponos",
        })
    }
}

/// A fixed learning rate, or one measured along the step.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum LearningRateSpec {
    /// The same at every step.
    Fixed(LearningRate),
    /// Measured from a parabola of the loss along the step, as `[line_search]` says.
    Measured,
}

const MEASURED: &str = "measured";
const EXPECTED: &str = "a number above 0, or \"measured\"";

impl Serialize for LearningRateSpec {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Fixed(learning_rate) => learning_rate.serialize(serializer),
            Self::Measured => serializer.serialize_str(MEASURED),
        }
    }
}

impl<'de> Deserialize<'de> for LearningRateSpec {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct NumberOrWord;
        impl de::Visitor<'_> for NumberOrWord {
            type Value = LearningRateSpec;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(EXPECTED)
            }
            fn visit_f64<E: de::Error>(self, number: f64) -> Result<LearningRateSpec, E> {
                LearningRate::new(number).map(LearningRateSpec::Fixed).map_err(E::custom)
            }
            fn visit_i64<E: de::Error>(self, number: i64) -> Result<LearningRateSpec, E> {
                self.visit_f64(number as f64)
            }
            fn visit_u64<E: de::Error>(self, number: u64) -> Result<LearningRateSpec, E> {
                self.visit_f64(number as f64)
            }
            fn visit_str<E: de::Error>(self, word: &str) -> Result<LearningRateSpec, E> {
                if word == MEASURED {
                    Ok(LearningRateSpec::Measured)
                } else {
                    Err(E::custom(format!("got \"{word}\", expected {EXPECTED}")))
                }
            }
        }
        deserializer.deserialize_any(NumberOrWord)
    }
}

impl JsonSchema for LearningRateSpec {
    fn schema_name() -> Cow<'static, str> {
        "LearningRateSpec".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "oneOf": [{"type": "number", "exclusiveMinimum": 0}, {"const": MEASURED}],
            "description": "a number above 0, or \"measured\" to measure it along the step",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_method_is_called_as_it_is_written() {
        for method in OptimizerMethod::ALL {
            assert_eq!(serde_json::to_value(method).unwrap(), method.to_string());
        }
    }

    #[test]
    fn a_learning_rate_is_a_number_or_the_word_measured() {
        let parse = serde_json::from_str::<LearningRateSpec>;
        assert_eq!(parse("\"measured\"").unwrap(), LearningRateSpec::Measured);
        assert_eq!(parse("1").unwrap(), parse("1.0").unwrap());
        for bad in ["-1", "0", "\"fast\"", "true", "1e400"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
