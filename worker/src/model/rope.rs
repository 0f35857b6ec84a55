//! Rotary position embedding: the angles.

use tch::{Device, Kind, Tensor};

/// Cosines and sines of the rotation angles for the positions of a line of tokens.
#[derive(Debug)]
pub(super) struct Angles {
    /// `[T, head_dim / 2]`, float32.
    pub(super) cos: Tensor,
    /// `[T, head_dim / 2]`, float32.
    pub(super) sin: Tensor,
}

/// The angles of every position up to a length, made once.
///
/// Pair `i` of `head_dim / 2` turns by `position * theta^(-2i / head_dim)` (Su et al. 2021); everything is computed in
/// float32 as transformers does, so that logits agree.
#[derive(Debug)]
pub(super) struct AngleTable {
    cos: Tensor,
    sin: Tensor,
}

impl AngleTable {
    pub(super) fn new(
        head_dim: usize,
        theta: f64,
        positions: usize,
        device: Device,
    ) -> Result<Self, tch::TchError> {
        let even = Tensor::f_arange_start_step(0, head_dim as i64, 2, (Kind::Int64, Device::Cpu))?;
        let exponent = even.f_to_kind(Kind::Float)?.f_div_scalar(head_dim as f64)?;
        let frequency =
            Tensor::f_scalar_tensor(theta, (Kind::Float, Device::Cpu))?.f_pow(&exponent)?.f_reciprocal()?;
        let position =
            Tensor::f_arange(positions as i64, (Kind::Int64, Device::Cpu))?.f_to_kind(Kind::Float)?;
        let angle = position.f_outer(&frequency)?;
        Ok(Self { cos: angle.f_cos()?.f_to_device(device)?, sin: angle.f_sin()?.f_to_device(device)? })
    }

    /// Positions that the table covers.
    pub(super) fn len(&self) -> i64 {
        self.cos.size()[0]
    }

    /// The angles at `positions` (`[T]`, int64).
    pub(super) fn at(&self, positions: &Tensor) -> Result<Angles, tch::TchError> {
        Ok(Angles {
            cos: self.cos.f_index_select(0, positions)?,
            sin: self.sin.f_index_select(0, positions)?,
        })
    }
}
