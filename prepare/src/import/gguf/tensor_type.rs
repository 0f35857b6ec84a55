//! Number formats of GGUF tensors.
//!
//! The quantised ones store blocks of 32 values with a scale `d` (and a minimum `m`) in float16:
//! Q8_0 `d * q`, q a signed byte; Q4_0 `d * (q - 8)`; Q4_1 `d * q + m`; q four bits, the low halves of the 16 bytes being
//! the values 0 to 15, the high halves 16 to 31. Computed in float32 without fused operations, as ggml's own tools do,
//! so that the values are bit for bit theirs. Source: ggml's `ggml-quants.c`.

use half::{bf16, f16};

/// A format that can be imported.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::import) enum TensorType {
    F32,
    F16,
    Bf16,
    Q4_0,
    Q4_1,
    Q8_0,
}

const BLOCK: usize = 32;
const ALL: [TensorType; 6] = [
    TensorType::F32,
    TensorType::F16,
    TensorType::Bf16,
    TensorType::Q8_0,
    TensorType::Q4_0,
    TensorType::Q4_1,
];

impl TensorType {
    /// The format with this number in a GGUF file, or the name of one that is not supported.
    pub(super) fn from_id(id: u32) -> Result<Self, String> {
        let name = match id {
            0 => return Ok(Self::F32),
            1 => return Ok(Self::F16),
            2 => return Ok(Self::Q4_0),
            3 => return Ok(Self::Q4_1),
            8 => return Ok(Self::Q8_0),
            30 => return Ok(Self::Bf16),
            6 => "Q5_0",
            7 => "Q5_1",
            9 => "Q8_1",
            10 => "Q2_K",
            11 => "Q3_K",
            12 => "Q4_K",
            13 => "Q5_K",
            14 => "Q6_K",
            15 => "Q8_K",
            16 => "IQ2_XXS",
            17 => "IQ2_XS",
            18 => "IQ3_XXS",
            19 => "IQ1_S",
            20 => "IQ4_NL",
            21 => "IQ3_S",
            22 => "IQ2_S",
            23 => "IQ4_XS",
            24 => "I8",
            25 => "I16",
            26 => "I32",
            27 => "I64",
            28 => "F64",
            29 => "IQ1_M",
            34 => "TQ1_0",
            35 => "TQ2_0",
            39 => "MXFP4",
            other => return Err(format!("number {other}, which has no known name")),
        };
        Err(name.into())
    }

    pub(super) fn supported() -> String {
        ALL.map(Self::name).join(", ")
    }

    pub(in crate::import) fn name(self) -> &'static str {
        match self {
            Self::F32 => "F32",
            Self::F16 => "F16",
            Self::Bf16 => "BF16",
            Self::Q4_0 => "Q4_0",
            Self::Q4_1 => "Q4_1",
            Self::Q8_0 => "Q8_0",
        }
    }

    /// Values and bytes of the smallest piece.
    fn block(self) -> (usize, usize) {
        match self {
            Self::F32 => (1, 4),
            Self::F16 | Self::Bf16 => (1, 2),
            Self::Q4_0 => (BLOCK, 2 + 16),
            Self::Q4_1 => (BLOCK, 2 + 2 + 16),
            Self::Q8_0 => (BLOCK, 2 + 32),
        }
    }

    /// Bytes of a tensor of this shape, rows first; `None` for a shape that it cannot have.
    pub(super) fn tensor_bytes(self, shape: &[u64]) -> Option<u64> {
        let (values, bytes) = self.block();
        let columns = shape.last().copied()?;
        if shape.contains(&0) || !columns.is_multiple_of(values as u64) {
            return None;
        }
        let count = shape.iter().try_fold(1_u64, |count, &size| count.checked_mul(size))?;
        (count / values as u64).checked_mul(bytes as u64)
    }

    /// The values of whole blocks; `values` is replaced.
    pub(super) fn dequantise(self, raw: &[u8], values: &mut Vec<f32>) {
        values.clear();
        let (_, bytes) = self.block();
        let half_at = |block: &[u8], at: usize| f16::from_le_bytes([block[at], block[at + 1]]).to_f32();
        for block in raw.chunks_exact(bytes) {
            match self {
                Self::F32 => values.push(f32::from_le_bytes([block[0], block[1], block[2], block[3]])),
                Self::F16 => values.push(half_at(block, 0)),
                Self::Bf16 => values.push(bf16::from_le_bytes([block[0], block[1]]).to_f32()),
                Self::Q8_0 => {
                    let scale = half_at(block, 0);
                    values.extend(block[2..].iter().map(|&quant| scale * f32::from(quant.cast_signed())));
                }
                Self::Q4_0 => {
                    let scale = half_at(block, 0);
                    values.extend(nibbles(&block[2..]).map(|quant| scale * (f32::from(quant) - 8.0)));
                }
                Self::Q4_1 => {
                    let (scale, minimum) = (half_at(block, 0), half_at(block, 2));
                    values.extend(nibbles(&block[4..]).map(|quant| scale * f32::from(quant) + minimum));
                }
            }
        }
    }
}

fn nibbles(bytes: &[u8]) -> impl Iterator<Item = u8> + '_ {
    bytes.iter().map(|byte| byte & 15).chain(bytes.iter().map(|byte| byte >> 4))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(kind: TensorType, raw: &[u8]) -> Vec<f32> {
        let mut values = vec![9.0];
        kind.dequantise(raw, &mut values);
        values
    }

    /// A scale of 0.5, a minimum of -3, and quants whose low half is the index and whose high half is 15 - index.
    fn four_bit_block(parts: &[f32]) -> Vec<u8> {
        let halves = parts.iter().flat_map(|&part| f16::from_f32(part).to_le_bytes());
        halves.chain((0..16).map(|index: u8| index | (15 - index) << 4)).collect()
    }

    #[test]
    fn blocks_have_the_values_of_the_specification() {
        let quants = || (0..16).chain((0..16).rev()).map(|quant: u8| f32::from(quant));
        let expected: Vec<f32> = quants().map(|quant| 0.5 * (quant - 8.0)).collect();
        assert_eq!(values(TensorType::Q4_0, &four_bit_block(&[0.5])), expected);
        let expected: Vec<f32> = quants().map(|quant| 0.5 * quant - 3.0).collect();
        assert_eq!(values(TensorType::Q4_1, &four_bit_block(&[0.5, -3.0])), expected);
        let mut raw = f16::from_f32(0.25).to_le_bytes().to_vec();
        raw.extend((0..32).map(|index: u8| index.wrapping_sub(16)));
        let expected: Vec<f32> = (-16..16).map(|quant: i8| 0.25 * f32::from(quant)).collect();
        assert_eq!(values(TensorType::Q8_0, &raw), expected);
        assert_eq!(values(TensorType::F32, &1.5_f32.to_le_bytes()), [1.5]);
        assert_eq!(values(TensorType::F16, &f16::from_f32(-2.5).to_le_bytes()), [-2.5]);
        assert_eq!(values(TensorType::Bf16, &bf16::from_f32(-2.5).to_le_bytes()), [-2.5]);
    }

    #[test]
    fn sizes_are_of_whole_blocks_and_never_overflow() {
        assert_eq!(TensorType::Q4_1.tensor_bytes(&[3, 64]), Some(3 * 2 * 20));
        assert_eq!(TensorType::Q4_1.tensor_bytes(&[3, 33]), None);
        assert_eq!(TensorType::F32.tensor_bytes(&[0, 4]), None);
        assert_eq!(TensorType::F32.tensor_bytes(&[1 << 40, 1 << 40]), None);
        assert_eq!(TensorType::F32.tensor_bytes(&[1 << 31, 1 << 31]), None);
    }

    #[test]
    fn other_formats_are_named() {
        assert_eq!(TensorType::from_id(14), Err("Q6_K".into()));
        assert!(TensorType::from_id(99).is_err_and(|name| name.contains("99")));
    }
}
