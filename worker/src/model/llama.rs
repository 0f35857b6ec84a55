//! The decoder: pre-RMSNorm, rotary embeddings, grouped-query attention, SwiGLU, no biases (Touvron et al. 2023).

use super::attention::KeyValueCache;
use super::ops::{self, Error};
use super::parameter::Parameter;
use super::rope::{AngleTable, Angles};
use evenkeel_shared::hf::ModelConfig;
use tch::Tensor;

/// A line of tokens: documents one after the other, without padding.
#[derive(Debug)]
pub struct TokenLine {
    /// Token ids, `[T]` int64.
    pub tokens: Tensor,
    /// Position of each token in its document, `[T]` int64.
    pub positions: Tensor,
    /// Starts of the documents and, last, `T`.
    pub bounds: Vec<i64>,
}

#[derive(Debug)]
pub(super) struct Block {
    pub(super) attention_norm: Parameter,
    pub(super) query: Parameter,
    pub(super) key: Parameter,
    pub(super) value: Parameter,
    pub(super) output: Parameter,
    pub(super) mlp_norm: Parameter,
    pub(super) gate: Parameter,
    pub(super) up: Parameter,
    pub(super) down: Parameter,
}

/// A Llama-family causal language model.
#[derive(Debug)]
pub struct Llama {
    pub(super) config: ModelConfig,
    pub(super) angles: AngleTable,
    pub(super) embedding: Parameter,
    pub(super) blocks: Vec<Block>,
    pub(super) norm: Parameter,
    /// Absent when the head shares the embedding's weights.
    pub(super) head: Option<Parameter>,
}

impl Llama {
    /// The shape.
    #[must_use]
    pub fn config(&self) -> &ModelConfig {
        &self.config
    }

    /// Longest document that the model takes, in tokens.
    #[must_use]
    pub fn max_length(&self) -> i64 {
        self.angles.len()
    }

    /// All trained tensors in forward order.
    #[must_use]
    pub fn parameters(&self) -> Vec<&Parameter> {
        let mut all = vec![&self.embedding];
        for block in &self.blocks {
            all.extend([
                &block.attention_norm,
                &block.query,
                &block.key,
                &block.value,
                &block.output,
                &block.mlp_norm,
                &block.gate,
                &block.up,
                &block.down,
            ]);
        }
        all.push(&self.norm);
        all.extend(&self.head);
        all
    }

    /// Sum of the cross-entropies at the target tokens, in nats; a float32 scalar.
    ///
    /// `sources [K]` are the places in the line from which a target is predicted (the token before it), `targets [K]` the
    /// ids to predict. Logits exist at these places only. With `K = 0` the sum is zero and nothing is added to
    /// any gradient.
    ///
    /// # Errors
    /// libtorch's, for instance out of memory.
    pub fn loss_sum(&self, line: &TokenLine, sources: &Tensor, targets: &Tensor) -> Result<Tensor, Error> {
        let hidden = self.hidden(line)?.f_index_select(0, sources)?;
        let hidden = ops::rms_norm(&hidden, &self.norm.weight()?, self.config.rms_norm_eps)?;
        ops::linear_cross_entropy(&hidden, self.head(), targets)
    }

    /// Logits of every token of the line, `[T, V]`.
    ///
    /// # Errors
    /// libtorch's.
    pub fn logits(&self, line: &TokenLine) -> Result<Tensor, Error> {
        let hidden = self.hidden(line)?;
        self.project(&hidden)
    }

    /// Logits of the last of some new tokens, `[V]`, given what the caches hold; the caches take the new tokens in.
    ///
    /// `caches` has one entry a block; the first call gives a whole prompt, every later one a single token.
    ///
    /// # Errors
    /// libtorch's.
    pub fn next_logits(&self, line: &TokenLine, caches: &mut [KeyValueCache]) -> Result<Tensor, Error> {
        let angles = self.angles.at(&line.positions)?;
        let mut x = self.embed(&line.tokens)?;
        for (block, cache) in self.blocks.iter().zip(caches) {
            x = self.block(block, &x, &angles, |q, k, v, scale| cache.attend(q, k, v, scale))?;
        }
        let last = x.f_narrow(0, x.size()[0] - 1, 1)?;
        Ok(self.project(&last)?.f_squeeze_dim(0)?)
    }

    /// Empty caches, one a block.
    #[must_use]
    pub fn empty_caches(&self) -> Vec<KeyValueCache> {
        self.blocks.iter().map(|_| KeyValueCache::default()).collect()
    }

    /// The residual stream after the last block, `[T, H]`.
    fn hidden(&self, line: &TokenLine) -> Result<Tensor, Error> {
        let angles = self.angles.at(&line.positions)?;
        let mut x = self.embed(&line.tokens)?;
        for block in &self.blocks {
            x = self.block(block, &x, &angles, |q, k, v, scale| {
                ops::causal_attention(q, k, v, &line.bounds, scale)
            })?;
        }
        Ok(x)
    }

    /// The rows of the embedding for the tokens, `[T, H]`, in the compute format.
    ///
    /// Taken from the float32 master and rounded afterwards: equal to the copy's rows, but the gradients of a token that
    /// occurs a thousand times are added up in float32. In bf16 such a sum stops growing at 256 times its addends.
    fn embed(&self, tokens: &Tensor) -> Result<Tensor, Error> {
        let rows = Tensor::f_embedding(self.embedding.master(), tokens, -1, false, false)?;
        Ok(rows.f_to_kind(self.embedding.exported().f_kind()?)?)
    }

    fn project(&self, hidden: &Tensor) -> Result<Tensor, Error> {
        let hidden = ops::rms_norm(hidden, &self.norm.weight()?, self.config.rms_norm_eps)?;
        Ok(hidden.f_linear(&self.head().weight()?, None::<Tensor>)?)
    }

    fn head(&self) -> &Parameter {
        self.head.as_ref().unwrap_or(&self.embedding)
    }

    fn block(
        &self,
        block: &Block,
        x: &Tensor,
        angles: &Angles,
        attend: impl FnOnce(&Tensor, &Tensor, &Tensor, f64) -> Result<Tensor, Error>,
    ) -> Result<Tensor, Error> {
        let config = &self.config;
        let normed = ops::rms_norm(x, &block.attention_norm.weight()?, config.rms_norm_eps)?;
        let heads = |projection: &Parameter, count: usize| -> Result<Tensor, Error> {
            let flat = linear(&normed, projection)?;
            Ok(flat.f_view([-1, count as i64, config.head_dim as i64])?)
        };
        let query = ops::rope(&heads(&block.query, config.num_heads)?, &angles.cos, &angles.sin)?;
        let key = ops::rope(&heads(&block.key, config.num_kv_heads)?, &angles.cos, &angles.sin)?;
        let value = heads(&block.value, config.num_kv_heads)?;
        let scale = (config.head_dim as f64).powf(-0.5);
        let attended = attend(&query, &key, &value, scale)?.f_flatten(1, 2)?;
        let x = x.f_add(&linear(&attended, &block.output)?)?;

        let normed = ops::rms_norm(&x, &block.mlp_norm.weight()?, config.rms_norm_eps)?;
        let (gate, up) = (linear(&normed, &block.gate)?, linear(&normed, &block.up)?);
        Ok(x.f_add(&ops::swiglu_linear(&gate, &up, &block.down.weight()?)?)?)
    }
}

fn linear(x: &Tensor, weight: &Parameter) -> Result<Tensor, Error> {
    Ok(x.f_linear(&weight.weight()?, None::<Tensor>)?)
}
