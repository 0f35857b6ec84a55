//! Shape and tensors of a Llama model in a GGUF file.

use super::gguf::{Gguf, Metadata, TensorInfo, Value};
use super::{ImportError, WeightType};
use evenkeel_shared::hf::ModelConfig;
use serde_json::{Value as Json, json};

/// How a tensor's rows are stored in the GGUF file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rows {
    /// As in the Hugging Face directory.
    AsIs,
    /// For rotary embeddings of neighbouring pairs: inside each of `heads` heads the two halves are interleaved.
    Interleaved {
        /// Heads of this matrix.
        heads: u64,
    },
}

/// A tensor to write, and where it comes from.
#[derive(Debug, Clone)]
pub(super) struct Mapped {
    /// Name in the Hugging Face directory.
    pub(super) name: String,
    /// Name in the GGUF file.
    pub(super) source: String,
    pub(super) info: TensorInfo,
    pub(super) rows: Rows,
}

/// `config.json` of the model.
pub(super) fn config_json(gguf: &Gguf, weight_type: WeightType) -> Result<Json, ImportError> {
    let metadata = &gguf.metadata;
    refuse_what_is_not_llama(metadata)?;
    let embedding = gguf.tensors.get("token_embd.weight").ok_or_else(|| ImportError::Tensor {
        path: gguf.path().to_path_buf(),
        name: "token_embd.weight".into(),
        problem: "is missing".into(),
    })?;
    let hidden = metadata.whole("llama.embedding_length")?;
    let heads = metadata.whole("llama.attention.head_count")?;
    let kv_heads = metadata.optional_whole("llama.attention.head_count_kv")?.unwrap_or(heads);
    let head_dim = match metadata.optional_whole("llama.attention.key_length")? {
        Some(size) => size,
        None if heads > 0 && hidden.is_multiple_of(heads) => hidden / heads,
        None => {
            let problem = format!("is {heads}, which does not divide the embedding length {hidden}");
            return Err(metadata.problem("llama.attention.head_count", problem));
        }
    };
    let rotary = metadata.optional_whole("llama.rope.dimension_count")?.unwrap_or(head_dim);
    if rotary != head_dim {
        let problem = format!("is {rotary}, expected {head_dim}: rotary embeddings over whole heads only");
        return Err(metadata.problem("llama.rope.dimension_count", problem));
    }
    let eps = "llama.attention.layer_norm_rms_epsilon";
    let eps = metadata.optional_number(eps)?.ok_or_else(|| metadata.problem(eps, "is missing"))?;
    let mut config = json!({
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "attention_bias": false,
        "mlp_bias": false,
        "head_dim": head_dim,
        "hidden_act": "silu",
        "hidden_size": hidden,
        "intermediate_size": metadata.whole("llama.feed_forward_length")?,
        "max_position_embeddings": metadata.whole("llama.context_length")?,
        "num_attention_heads": heads,
        "num_hidden_layers": metadata.whole("llama.block_count")?,
        "num_key_value_heads": kv_heads,
        "rms_norm_eps": eps,
        "rope_theta": metadata.optional_number("llama.rope.freq_base")?.unwrap_or(10_000.0),
        "tie_word_embeddings": !gguf.tensors.contains_key("output.weight"),
        "torch_dtype": weight_type.transformers_name(),
        "use_cache": true,
        "vocab_size": embedding.rows(),
    });
    for (key, id) in token_ids(metadata, embedding.rows())? {
        config[key] = id.into();
    }
    Ok(config)
}

/// `generation_config.json` of the model.
pub(super) fn generation_config_json(metadata: &Metadata, vocab_size: u64) -> Result<Json, ImportError> {
    let ids = token_ids(metadata, vocab_size)?;
    Ok(ids
        .into_iter()
        .map(|(key, id)| (key.to_owned(), Json::from(id)))
        .collect::<serde_json::Map<_, _>>()
        .into())
}

/// The special token ids that the file names.
fn token_ids(metadata: &Metadata, vocab_size: u64) -> Result<Vec<(&'static str, u64)>, ImportError> {
    let mut ids = Vec::new();
    for (name, key) in [("bos", "bos_token_id"), ("eos", "eos_token_id"), ("padding", "pad_token_id")] {
        let entry = format!("tokenizer.ggml.{name}_token_id");
        let Some(id) = metadata.optional_whole(&entry)? else { continue };
        if id >= vocab_size {
            return Err(metadata.problem(&entry, format!("is {id}, expected an id below {vocab_size}")));
        }
        ids.push((key, id));
    }
    Ok(ids)
}

fn refuse_what_is_not_llama(metadata: &Metadata) -> Result<(), ImportError> {
    let unsupported = |what: &str, found: String, supported: &str| ImportError::Unsupported {
        path: metadata.path().to_path_buf(),
        what: what.into(),
        found,
        supported: supported.into(),
    };
    let architecture = metadata.text("general.architecture")?;
    if architecture != "llama" {
        return Err(unsupported("the architecture", architecture.into(), "llama (Llama, SmolLM2, …)"));
    }
    if let Some(scaling) = metadata.optional_text("llama.rope.scaling.type")?
        && scaling != "none"
    {
        return Err(unsupported("the scaling of rotary embeddings", scaling.into(), "none"));
    }
    if let Some(Value::Whole(experts)) = metadata.get("llama.expert_count")
        && *experts > 0
    {
        return Err(unsupported("the number of experts", experts.to_string(), "dense models"));
    }
    Ok(())
}

/// The tensors of the configuration with their places in the file, in the order that they are to be written.
pub(super) fn map_tensors(gguf: &Gguf, config: &ModelConfig) -> Result<Vec<Mapped>, ImportError> {
    let problem = |name: &str, problem: String| ImportError::Tensor {
        path: gguf.path().to_path_buf(),
        name: name.into(),
        problem,
    };
    let mut mapped = Vec::new();
    // A layer has nine tensors: a file that claims more layers than that is refused before names are made for them.
    if config.num_layers > gguf.tensors.len() {
        let (layers, found) = (config.num_layers, gguf.tensors.len());
        let what = format!("is {layers}, but the file has only {found} tensors");
        return Err(gguf.metadata.problem("llama.block_count", what));
    }
    for (name, shape) in config.tensors() {
        let (source, rows) = source_of(&name, config);
        let info = gguf.tensors.get(&source).ok_or_else(|| problem(&source, "is missing".into()))?;
        if !info.shape.iter().copied().eq(shape.iter().map(|&size| size as u64)) {
            let found = &info.shape;
            return Err(problem(&source, format!("has shape {found:?}, the metadata demand {shape:?}")));
        }
        mapped.push(Mapped { name, source, info: info.clone(), rows });
    }
    if let Some(extra) = gguf.tensors.keys().find(|name| !mapped.iter().any(|tensor| tensor.source == **name))
    {
        let reason = match extra.as_str() {
            "rope_freqs.weight" => {
                "scales the rotary embeddings (Llama 3.1 and later), which is not supported"
            }
            _ => "is not part of a Llama model without biases",
        };
        return Err(problem(extra, reason.into()));
    }
    Ok(mapped)
}

/// The name in a GGUF file of a tensor of a Hugging Face directory.
fn source_of(name: &str, config: &ModelConfig) -> (String, Rows) {
    match name {
        "model.embed_tokens.weight" => return ("token_embd.weight".into(), Rows::AsIs),
        "model.norm.weight" => return ("output_norm.weight".into(), Rows::AsIs),
        "lm_head.weight" => return ("output.weight".into(), Rows::AsIs),
        _ => {}
    }
    let inside = name.strip_prefix("model.layers.").and_then(|rest| rest.split_once('.'));
    let Some((layer, part)) = inside else { return (name.into(), Rows::AsIs) };
    let (part, rows) = match part {
        "input_layernorm.weight" => ("attn_norm.weight", Rows::AsIs),
        "self_attn.q_proj.weight" => ("attn_q.weight", Rows::Interleaved { heads: config.num_heads as u64 }),
        "self_attn.k_proj.weight" => {
            ("attn_k.weight", Rows::Interleaved { heads: config.num_kv_heads as u64 })
        }
        "self_attn.v_proj.weight" => ("attn_v.weight", Rows::AsIs),
        "self_attn.o_proj.weight" => ("attn_output.weight", Rows::AsIs),
        "post_attention_layernorm.weight" => ("ffn_norm.weight", Rows::AsIs),
        "mlp.gate_proj.weight" => ("ffn_gate.weight", Rows::AsIs),
        "mlp.up_proj.weight" => ("ffn_up.weight", Rows::AsIs),
        "mlp.down_proj.weight" => ("ffn_down.weight", Rows::AsIs),
        other => (other, Rows::AsIs),
    };
    (format!("blk.{layer}.{part}"), rows)
}
