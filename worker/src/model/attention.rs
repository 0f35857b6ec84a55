//! Keys and values of earlier tokens, kept for generation.

use super::ops;
use tch::Tensor;

/// Keys and values of one decoder block.
#[derive(Debug, Default)]
pub struct KeyValueCache {
    kept: Option<(Tensor, Tensor)>,
}

impl KeyValueCache {
    /// Attention of new tokens over everything before them and themselves.
    ///
    /// `query [T, heads, D]`, `key` and `value [T, kv_heads, D]`; the first call takes a whole prompt, every later one
    /// a single token.
    pub(super) fn attend(
        &mut self,
        query: &Tensor,
        key: &Tensor,
        value: &Tensor,
        scale: f64,
    ) -> Result<Tensor, ops::Error> {
        let Some((keys, values)) = &self.kept else {
            let output = ops::causal_attention(query, key, value, &[0, query.size()[0]], scale)?;
            self.kept = Some((key.shallow_clone(), value.shallow_clone()));
            return Ok(output);
        };
        let keys = Tensor::f_cat(&[keys, key], 0)?;
        let values = Tensor::f_cat(&[values, value], 0)?;
        let output = ops::attention_to_all(query, &keys, &values, scale)?;
        self.kept = Some((keys, values));
        Ok(output)
    }
}
