//! A trained tensor and the copy of it that the matrix products use.

use super::ops;
use evenkeel_shared::config::Precision;
use tch::{Kind, Tensor};

/// Which number formats a model computes with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Numerics {
    /// Format of weights and activations in the forward pass.
    pub compute: Kind,
}

impl From<Precision> for Numerics {
    fn from(precision: Precision) -> Self {
        match precision {
            Precision::Fp32 => Self { compute: Kind::Float },
            Precision::Bf16 => Self { compute: Kind::BFloat16 },
        }
    }
}

/// A trained tensor.
///
/// The master is a float32 leaf of the autograd graph: gradients, clipping, weight decay and the optimizer work on it. With
/// bf16 numerics the forward pass reads a bf16 copy, refreshed once after every optimizer step rather than at every use.
#[derive(Debug)]
pub struct Parameter {
    name: String,
    master: Tensor,
    copy: Option<Tensor>,
}

impl Parameter {
    /// Takes over a float32 tensor.
    pub(super) fn new(name: String, master: Tensor, numerics: Numerics) -> Result<Self, tch::TchError> {
        let copy = match numerics.compute {
            Kind::Float => None,
            kind => Some(master.f_to_kind(kind)?),
        };
        let master = master.f_set_requires_grad(true)?;
        Ok(Self { name, master, copy })
    }

    /// The tensor's name in Hugging Face checkpoints.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The float32 leaf.
    pub fn master(&self) -> &Tensor {
        &self.master
    }

    /// The copy in the compute format, when that is not float32.
    #[must_use]
    pub fn copy(&self) -> Option<&Tensor> {
        self.copy.as_ref()
    }

    /// What an exported model holds: the compute format's values.
    pub fn exported(&self) -> &Tensor {
        self.copy.as_ref().unwrap_or(&self.master)
    }

    /// Weight decay applies to matrices only: norms' gains must not be pulled to zero.
    #[must_use]
    pub fn is_decayed(&self) -> bool {
        self.master.dim() >= 2
    }

    /// The weight for a forward pass, connected to the master in the autograd graph.
    pub(super) fn weight(&self) -> Result<Tensor, ops::Error> {
        match &self.copy {
            Some(copy) => ops::cast_parameter(&self.master, copy),
            None => Ok(self.master.shallow_clone()),
        }
    }
}
