//! `config.json`: the shape of a Llama-family decoder.
//!
//! A field that would change the result and is not supported is refused by name, never ignored: a model that computes
//! something else than its authors meant is worse than none.

use crate::fsio::{PathError, WithPath};
use serde_json::{Map, Value};
use std::fs;
use std::path::{Path, PathBuf};

/// Largest value accepted for any size: far above every known model, far below what would overflow a product.
const LARGEST_SIZE: u64 = 1 << 31;

/// Why a `config.json` cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ModelConfigError {
    /// The file cannot be read.
    #[error(transparent)]
    Io(#[from] PathError),
    /// The folder is not a Hugging Face model directory.
    #[error(
        "there is no model in {}: expected a Hugging Face directory with config.json, found no such file. \
         Set model.path to one, or make one from a GGUF file with `evenkeel import`",
        .0.display()
    )]
    Missing(PathBuf),
    /// The file is not a JSON object.
    #[error("{} is not a model configuration: {reason}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// An architecture that evenkeel has no implementation of.
    #[error(
        "{} says architecture {found}, which evenkeel does not support: expected LlamaForCausalLM \
         (Llama, SmolLM2 and others of the same form)",
        path.display()
    )]
    Architecture {
        /// The file.
        path: PathBuf,
        /// The architecture it names.
        found: String,
    },
    /// A field that is missing or has a value that evenkeel cannot honour.
    #[error("{}: {field} is {found}, expected {expected}", path.display())]
    Field {
        /// The file.
        path: PathBuf,
        /// The field's name.
        field: &'static str,
        /// Its value as JSON, or "missing".
        found: String,
        /// What is supported.
        expected: String,
    },
}

/// The shape of a Llama-family model.
#[derive(Debug, Clone, PartialEq)]
pub struct ModelConfig {
    /// Number of token ids.
    pub vocab_size: usize,
    /// Width of the residual stream.
    pub hidden_size: usize,
    /// Width inside the feed-forward block.
    pub intermediate_size: usize,
    /// Decoder blocks.
    pub num_layers: usize,
    /// Query heads.
    pub num_heads: usize,
    /// Key and value heads; divides `num_heads`.
    pub num_kv_heads: usize,
    /// Width of one head; even.
    pub head_dim: usize,
    /// Added to the variance in RMSNorm.
    pub rms_norm_eps: f64,
    /// Base of the rotary position embedding.
    pub rope_theta: f64,
    /// The head shares the embedding's weights.
    pub tie_word_embeddings: bool,
    /// Longest position that the model was made for.
    pub max_position_embeddings: usize,
    /// Ids that end a generated answer.
    pub eos_token_ids: Vec<i64>,
    raw: Map<String, Value>,
}

impl ModelConfig {
    /// Reads `config.json` of a model directory.
    ///
    /// # Errors
    /// A missing or malformed file, an unsupported architecture (named), an unsupported field (named).
    pub fn load(model_dir: &Path) -> Result<Self, ModelConfigError> {
        let path = model_dir.join("config.json");
        if !path.is_file() {
            return Err(ModelConfigError::Missing(model_dir.to_path_buf()));
        }
        let text = fs::read_to_string(&path).with_path("read", &path)?;
        Self::parse(&path, &text)
    }

    /// Checks the text of a `config.json`; `path` is for error messages only.
    ///
    /// # Errors
    /// As [`ModelConfig::load`].
    pub fn parse(path: &Path, text: &str) -> Result<Self, ModelConfigError> {
        let malformed = |reason: String| ModelConfigError::Malformed { path: path.to_path_buf(), reason };
        let value: Value = serde_json::from_str(text).map_err(|error| malformed(error.to_string()))?;
        let Value::Object(raw) = value else {
            return Err(malformed("expected a JSON object".into()));
        };
        let fields = Fields { path, raw: &raw };
        fields.check_architecture()?;
        fields.refuse_unsupported()?;
        let hidden_size = fields.size("hidden_size")?;
        let num_heads = fields.size("num_attention_heads")?;
        let num_kv_heads = fields.optional_size("num_key_value_heads")?.unwrap_or(num_heads);
        if !num_heads.is_multiple_of(num_kv_heads) {
            return Err(fields.error("num_key_value_heads", format!("a divisor of {num_heads} query heads")));
        }
        let head_dim = match fields.optional_size("head_dim")? {
            Some(size) => size,
            None if hidden_size.is_multiple_of(num_heads) => hidden_size / num_heads,
            None => return Err(fields.error("num_attention_heads", format!("a divisor of {hidden_size}"))),
        };
        if !head_dim.is_multiple_of(2) {
            return Err(fields.error("head_dim", "an even number (rotary embeddings pair its halves)".into()));
        }
        Ok(Self {
            vocab_size: fields.size("vocab_size")?,
            hidden_size,
            intermediate_size: fields.size("intermediate_size")?,
            num_layers: fields.size("num_hidden_layers")?,
            num_heads,
            num_kv_heads,
            head_dim,
            rms_norm_eps: fields.positive("rms_norm_eps")?.unwrap_or(1e-6),
            rope_theta: fields.rope_theta()?,
            tie_word_embeddings: fields.flag("tie_word_embeddings")?,
            max_position_embeddings: fields.optional_size("max_position_embeddings")?.unwrap_or(2048),
            eos_token_ids: fields.eos_token_ids()?,
            raw: raw.clone(),
        })
    }

    /// The configuration as it was read, with the weights' number format replaced: what an exported model gets.
    ///
    /// `dtype` is a name of transformers: "float32", "bfloat16".
    #[must_use]
    pub fn to_json(&self, dtype: &str) -> Value {
        let mut raw = self.raw.clone();
        // transformers 5 writes `dtype`; earlier versions read `torch_dtype` only.
        let key = if raw.contains_key("dtype") { "dtype" } else { "torch_dtype" };
        raw.insert(key.into(), dtype.into());
        Value::Object(raw)
    }

    /// Name and shape of every tensor in the model's safetensors files, in forward order.
    #[must_use]
    pub fn tensors(&self) -> Vec<(String, Vec<usize>)> {
        let (hidden, inner) = (self.hidden_size, self.intermediate_size);
        let (query, key_value) = (self.num_heads * self.head_dim, self.num_kv_heads * self.head_dim);
        let mut tensors = vec![("model.embed_tokens.weight".to_string(), vec![self.vocab_size, hidden])];
        for layer in 0..self.num_layers {
            for (part, shape) in [
                ("input_layernorm", vec![hidden]),
                ("self_attn.q_proj", vec![query, hidden]),
                ("self_attn.k_proj", vec![key_value, hidden]),
                ("self_attn.v_proj", vec![key_value, hidden]),
                ("self_attn.o_proj", vec![hidden, query]),
                ("post_attention_layernorm", vec![hidden]),
                ("mlp.gate_proj", vec![inner, hidden]),
                ("mlp.up_proj", vec![inner, hidden]),
                ("mlp.down_proj", vec![hidden, inner]),
            ] {
                tensors.push((format!("model.layers.{layer}.{part}.weight"), shape));
            }
        }
        tensors.push(("model.norm.weight".to_string(), vec![hidden]));
        if !self.tie_word_embeddings {
            tensors.push(("lm_head.weight".to_string(), vec![self.vocab_size, hidden]));
        }
        tensors
    }

    /// Number of trained parameters.
    #[must_use]
    pub fn parameter_count(&self) -> usize {
        self.tensors().iter().map(|(_, shape)| shape.iter().product::<usize>()).sum()
    }
}

/// The object with the path that its errors name.
struct Fields<'a> {
    path: &'a Path,
    raw: &'a Map<String, Value>,
}

impl Fields<'_> {
    fn error(&self, field: &'static str, expected: String) -> ModelConfigError {
        let found = self.raw.get(field).map_or_else(|| "missing".to_string(), Value::to_string);
        ModelConfigError::Field { path: self.path.to_path_buf(), field, found, expected }
    }

    fn present(&self, field: &str) -> Option<&Value> {
        self.raw.get(field).filter(|value| !value.is_null())
    }

    fn check_architecture(&self) -> Result<(), ModelConfigError> {
        let named = self
            .present("architectures")
            .and_then(Value::as_array)
            .and_then(|list| list.first())
            .and_then(Value::as_str);
        let model_type = self.present("model_type").and_then(Value::as_str);
        match (named, model_type) {
            (Some("LlamaForCausalLM"), _) | (None, Some("llama")) => Ok(()),
            (Some(found), _) | (None, Some(found)) => Err(ModelConfigError::Architecture {
                path: self.path.to_path_buf(),
                found: found.to_string(),
            }),
            (None, None) => Err(self.error("architectures", "[\"LlamaForCausalLM\"]".into())),
        }
    }

    fn refuse_unsupported(&self) -> Result<(), ModelConfigError> {
        for field in ["attention_bias", "mlp_bias"] {
            if self.flag(field)? {
                return Err(self.error(field, "false (biases in dense layers are not supported)".into()));
            }
        }
        if let Some(activation) = self.present("hidden_act")
            && activation.as_str() != Some("silu")
        {
            return Err(self.error("hidden_act", "\"silu\"".into()));
        }
        for field in ["rope_scaling", "rope_parameters"] {
            let Some(scaling) = self.present(field) else { continue };
            let kind = scaling.get("rope_type").or_else(|| scaling.get("type")).and_then(Value::as_str);
            if !matches!(kind, None | Some("default")) {
                return Err(
                    self.error(field, "rope_type \"default\" (scaled variants are not supported)".into())
                );
            }
        }
        if self.present("sliding_window").is_some()
            && self.present("use_sliding_window") != Some(&Value::Bool(false))
        {
            return Err(self.error("sliding_window", "null (attention over the whole document)".into()));
        }
        if self.present("quantization_config").is_some() {
            return Err(self
                .error("quantization_config", "no quantisation (train from full-precision weights)".into()));
        }
        Ok(())
    }

    fn size(&self, field: &'static str) -> Result<usize, ModelConfigError> {
        self.optional_size(field)?.ok_or_else(|| self.error(field, "a positive whole number".into()))
    }

    fn optional_size(&self, field: &'static str) -> Result<Option<usize>, ModelConfigError> {
        let Some(value) = self.present(field) else { return Ok(None) };
        match value.as_u64() {
            Some(number) if (1..LARGEST_SIZE).contains(&number) => Ok(Some(number as usize)),
            _ => Err(self.error(field, "a positive whole number".into())),
        }
    }

    fn positive(&self, field: &'static str) -> Result<Option<f64>, ModelConfigError> {
        let Some(value) = self.present(field) else { return Ok(None) };
        match value.as_f64() {
            Some(number) if number > 0.0 && number.is_finite() => Ok(Some(number)),
            _ => Err(self.error(field, "a positive number".into())),
        }
    }

    fn flag(&self, field: &'static str) -> Result<bool, ModelConfigError> {
        match self.present(field) {
            None => Ok(false),
            Some(value) => value.as_bool().ok_or_else(|| self.error(field, "true or false".into())),
        }
    }

    /// `rope_theta` stands at the top, or since transformers 5 inside `rope_parameters`.
    fn rope_theta(&self) -> Result<f64, ModelConfigError> {
        if let Some(theta) = self.positive("rope_theta")? {
            return Ok(theta);
        }
        match self.present("rope_parameters").and_then(|parameters| parameters.get("rope_theta")) {
            None => Ok(10_000.0),
            Some(value) => value
                .as_f64()
                .filter(|number| *number > 0.0 && number.is_finite())
                .ok_or_else(|| self.error("rope_parameters", "a positive rope_theta".into())),
        }
    }

    fn eos_token_ids(&self) -> Result<Vec<i64>, ModelConfigError> {
        let expected = || self.error("eos_token_id", "a token id or a list of them".into());
        match self.present("eos_token_id") {
            None => Ok(Vec::new()),
            Some(Value::Array(list)) => list.iter().map(|id| id.as_i64().ok_or_else(expected)).collect(),
            Some(value) => Ok(vec![value.as_i64().ok_or_else(expected)?]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMALL: &str = r#"{"architectures": ["LlamaForCausalLM"], "hidden_size": 64, "intermediate_size": 96,
        "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2, "vocab_size": 100,
        "rms_norm_eps": 1e-5, "eos_token_id": [1, 2], "rope_parameters": {"rope_theta": 5000.0, "rope_type": "default"}}"#;

    fn parse(change: &str) -> Result<ModelConfig, String> {
        let mut value: Value = serde_json::from_str(SMALL).unwrap();
        let change: Value = serde_json::from_str(change).unwrap();
        for (key, new) in change.as_object().unwrap() {
            value[key] = new.clone();
        }
        ModelConfig::parse(Path::new("config.json"), &value.to_string()).map_err(|error| error.to_string())
    }

    #[test]
    fn reads_both_generations_of_the_format() {
        let config = parse("{}").unwrap();
        assert_eq!((config.head_dim, config.rope_theta, config.tie_word_embeddings), (16, 5000.0, false));
        assert_eq!(config.eos_token_ids, [1, 2]);
        assert_eq!(parse(r#"{"rope_theta": 7.0}"#).unwrap().rope_theta, 7.0);
        assert_eq!(config.to_json("bfloat16")["torch_dtype"], "bfloat16");
    }

    #[test]
    fn what_would_change_the_result_is_refused_by_name() {
        for (change, named) in [
            (r#"{"architectures": ["GPT2LMHeadModel"]}"#, "GPT2LMHeadModel"),
            (r#"{"attention_bias": true}"#, "attention_bias"),
            (r#"{"hidden_act": "gelu"}"#, "hidden_act"),
            (r#"{"rope_scaling": {"rope_type": "yarn"}}"#, "rope_scaling"),
            (r#"{"num_key_value_heads": 3}"#, "num_key_value_heads"),
            (r#"{"num_attention_heads": 7}"#, "num_key_value_heads"),
            (r#"{"head_dim": 15}"#, "head_dim"),
            (r#"{"vocab_size": -1}"#, "vocab_size"),
            (r#"{"vocab_size": null}"#, "vocab_size"),
            (r#"{"rms_norm_eps": "small"}"#, "rms_norm_eps"),
            (r#"{"quantization_config": {}}"#, "quantization_config"),
        ] {
            let error = parse(change).unwrap_err();
            assert!(error.contains(named), "{change}: {error}");
        }
    }
}
