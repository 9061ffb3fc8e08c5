//! The network of a specification: an architecture, or its tangent at the initial weights.

use std::sync::Arc;

use burn::module::{Content, Devices, Module, ModuleDisplay, ModuleDisplayDefault, ModuleMapper, ModuleVisitor};
use burn::tensor::Device;
use stepscope_spectral::random::RandomStream;
use stepscope_types::spec::ModelSpec;

use super::architecture::{Architecture, ModelError};
use super::init::WeightInit;
use super::pass::Follow;
use super::{Dual, Network, ParamTensors, Pass};
use crate::backend::Backend;

/// The network of a specification.
///
/// A linearised one computes f₀(x) + J(x) (θ − θ₀), value and Jacobian at the initial weights θ₀, through exact Jacobian
/// products: linear in θ, so that under squared error its loss is a quadratic. Its forward pass costs that of a pass with
/// tangents, and along a direction twice that.
///
/// Parameters, buffers and their names are the architecture's own.
#[derive(Debug, Clone)]
pub struct Model {
    architecture: Architecture,
    /// θ₀, where the network is linearised.
    origin: Option<Arc<ParamTensors>>,
}

impl Model {
    /// The network of `spec` for images `[channels, rows, columns]` and that many outputs, with initial weights
    /// from `random`.
    ///
    /// # Errors
    /// [`ModelError`] where the images do not fit the architecture.
    pub fn new(
        spec: &ModelSpec,
        shape: [usize; 3],
        outputs: usize,
        random: RandomStream,
        backend: &Backend,
    ) -> Result<Self, ModelError> {
        let architecture = Architecture::new(spec, shape, outputs, &mut WeightInit::new(spec, random, backend))?;
        let network = Self { architecture, origin: None };
        Ok(if spec.linearised { network.linearised() } else { network })
    }

    /// The tangent of the network at its present weights.
    #[must_use]
    pub fn linearised(self) -> Self {
        let origin = Some(Arc::new(ParamTensors::values(&self.architecture)));
        Self { origin, ..self }
    }

    /// Whether this is a tangent.
    pub fn is_linearised(&self) -> bool {
        self.origin.is_some()
    }

    /// The architecture.
    pub fn architecture(&self) -> &Architecture {
        &self.architecture
    }
}

impl Network for Model {
    fn logits(&self, images: Dual<4>, pass: &Pass) -> Dual<2> {
        let Some(origin) = &self.origin else { return self.architecture.logits(images, pass) };
        let at_origin = |follow| {
            let pass_there = pass.at_origin(Arc::clone(origin), follow);
            let outputs = self.architecture.logits(images.clone(), &pass_there);
            if let Some(fault) = pass_there.fault() {
                pass.report(fault);
            }
            outputs
        };
        let displaced = at_origin(Follow::Displacement);
        let value = match displaced.tangent {
            Some(change) => displaced.value + change,
            None => displaced.value,
        };
        let tangent = pass.has_direction().then(|| at_origin(Follow::Direction).tangent);
        Dual { value, tangent: tangent.flatten() }
    }

    fn kinks(&self) -> Vec<&'static str> {
        if self.is_linearised() { Vec::new() } else { self.architecture.kinks() }
    }
}

/// The architecture's, with nothing added: a derived module would put a name of its own before every parameter's.
impl Module for Model {
    fn collect_devices(&self, devices: Devices) -> Devices {
        self.architecture.collect_devices(devices)
    }

    fn fork(self, device: &Device) -> Self {
        Self { architecture: self.architecture.fork(device), ..self }
    }

    fn to_device(self, device: &Device) -> Self {
        Self { architecture: self.architecture.to_device(device), ..self }
    }

    fn train(self) -> Self {
        Self { architecture: self.architecture.train(), ..self }
    }

    fn valid(&self) -> Self {
        Self { architecture: self.architecture.valid(), origin: self.origin.clone() }
    }

    fn materialize(self) -> Self {
        Self { architecture: self.architecture.materialize(), ..self }
    }

    fn visit<Visitor: ModuleVisitor>(&self, visitor: &mut Visitor) {
        self.architecture.visit(visitor);
    }

    fn map<Mapper: ModuleMapper>(self, mapper: &mut Mapper) -> Self {
        Self { architecture: self.architecture.map(mapper), ..self }
    }
}

impl ModuleDisplay for Model {}

impl ModuleDisplayDefault for Model {
    fn content(&self, content: Content) -> Option<Content> {
        self.architecture.content(content)
    }

    fn num_params(&self) -> usize {
        Module::num_params(&self.architecture)
    }
}
