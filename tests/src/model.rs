//! A small random Llama with a byte-level tokenizer and a chat template, as a Hugging Face directory.

use crate::random::Random;
use anyhow::Result;
use safetensors::tensor::{Dtype, TensorView, serialize_to_file};
use serde_json::{Map, Value, json};
use std::fs;
use std::path::Path;

/// 256 bytes and three special tokens, rounded up.
pub const VOCABULARY: u32 = 264;
const SPECIAL: [&str; 3] = ["<|start|>", "<|end|>", "<|text_end|>"];
const TEMPLATE: &str = "{% for message in messages %}{{ '<|start|>' + message['role'] + '\\n' + message['content'] + \
    '<|end|>' + '\\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<|start|>assistant\\n' }}{% endif %}";

/// Sizes of the model.
#[derive(Debug, Clone, Copy)]
pub struct ModelShape {
    /// Width of the residual stream; a multiple of `heads`.
    pub hidden: usize,
    /// Decoder blocks.
    pub layers: usize,
    /// Query heads; half as many key and value heads.
    pub heads: usize,
    /// Whether the head shares the embedding's weights.
    pub tied: bool,
}

impl Default for ModelShape {
    fn default() -> Self {
        Self { hidden: 32, layers: 2, heads: 4, tied: false }
    }
}

/// Writes config, weights and tokenizer files; the weights depend on the seed only.
///
/// # Errors
/// When a file cannot be written.
pub fn write_model(folder: &Path, shape: ModelShape, seed: u64) -> Result<()> {
    fs::create_dir_all(folder)?;
    write_json(folder, "config.json", &config(shape))?;
    write_weights(&folder.join("model.safetensors"), shape, seed)?;
    write_json(folder, "tokenizer.json", &tokenizer())?;
    let tokenizer_config = json!({
        "tokenizer_class": "PreTrainedTokenizerFast",
        "chat_template": TEMPLATE,
        "bos_token": SPECIAL[2],
        "eos_token": SPECIAL[1],
    });
    write_json(folder, "tokenizer_config.json", &tokenizer_config)
}

fn write_json(folder: &Path, name: &str, value: &Value) -> Result<()> {
    Ok(fs::write(folder.join(name), serde_json::to_vec_pretty(value)?)?)
}

fn config(shape: ModelShape) -> Value {
    json!({
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "hidden_act": "silu",
        "hidden_size": shape.hidden,
        "intermediate_size": shape.hidden * 2,
        "num_hidden_layers": shape.layers,
        "num_attention_heads": shape.heads,
        "num_key_value_heads": shape.heads / 2,
        "max_position_embeddings": 512,
        "rms_norm_eps": 1e-5,
        "rope_theta": 10000.0,
        "tie_word_embeddings": shape.tied,
        "vocab_size": VOCABULARY,
        "bos_token_id": 258,
        "eos_token_id": 257,
        "torch_dtype": "float32",
    })
}

fn write_weights(path: &Path, shape: ModelShape, seed: u64) -> Result<()> {
    let (hidden, middle, vocabulary) = (shape.hidden, shape.hidden * 2, VOCABULARY as usize);
    let mut matrices = vec![("model.embed_tokens.weight".to_owned(), vocabulary, hidden)];
    let mut norms = vec!["model.norm.weight".to_owned()];
    for layer in 0..shape.layers {
        let block = format!("model.layers.{layer}");
        let sizes = [
            ("self_attn.q_proj", hidden, hidden),
            ("self_attn.k_proj", hidden / 2, hidden),
            ("self_attn.v_proj", hidden / 2, hidden),
            ("self_attn.o_proj", hidden, hidden),
            ("mlp.gate_proj", middle, hidden),
            ("mlp.up_proj", middle, hidden),
            ("mlp.down_proj", hidden, middle),
        ];
        matrices.extend(sizes.map(|(name, rows, columns)| (format!("{block}.{name}.weight"), rows, columns)));
        norms.extend(
            ["input_layernorm", "post_attention_layernorm"].map(|name| format!("{block}.{name}.weight")),
        );
    }
    if !shape.tied {
        matrices.push(("lm_head.weight".to_owned(), vocabulary, hidden));
    }
    let mut random = Random(seed);
    let mut tensors: Vec<(String, Vec<usize>, Vec<u8>)> = Vec::new();
    for (name, rows, columns) in matrices {
        let values = (0..rows * columns).flat_map(|_| (random.signed() * 0.1).to_le_bytes()).collect();
        tensors.push((name, vec![rows, columns], values));
    }
    for name in norms {
        let values = (0..hidden).flat_map(|_| (1.0 + random.signed() * 0.1).to_le_bytes()).collect();
        tensors.push((name, vec![hidden], values));
    }
    let views = tensors
        .iter()
        .map(|(name, shape, bytes)| Ok((name.clone(), TensorView::new(Dtype::F32, shape.clone(), bytes)?)))
        .collect::<Result<Vec<_>>>()?;
    Ok(serialize_to_file(views, None, path)?)
}

/// Byte-level BPE without merges: one token a byte.
fn tokenizer() -> Value {
    let mut vocabulary: Map<String, Value> =
        (0..=255u8).map(|byte| (letter_of(byte).to_string(), byte.into())).collect();
    let special = SPECIAL.iter().zip(256u32..);
    vocabulary.extend(special.clone().map(|(token, id)| ((*token).to_owned(), id.into())));
    let added: Vec<Value> = special
        .map(|(token, id)| {
            json!({"id": id, "content": token, "single_word": false, "lstrip": false, "rstrip": false,
                   "normalized": false, "special": true})
        })
        .collect();
    let byte_level =
        json!({"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true});
    json!({
        "version": "1.0",
        "truncation": null,
        "padding": null,
        "added_tokens": added,
        "normalizer": null,
        "pre_tokenizer": byte_level,
        "post_processor": null,
        "decoder": byte_level,
        "model": {"type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": null,
                  "end_of_word_suffix": null, "fuse_unk": false, "byte_fallback": false, "ignore_merges": false,
                  "vocab": vocabulary, "merges": []},
    })
}

/// The letter that byte-level BPE writes a byte as: itself where it is printable, else the next free one from U+0100.
fn letter_of(byte: u8) -> char {
    let printable = |b: u8| matches!(b, 33..=126 | 161..=172 | 174..=255);
    if printable(byte) {
        return char::from(byte);
    }
    let before = (0..byte).filter(|&b| !printable(b)).count() as u32;
    char::from_u32(256 + before).unwrap_or_default()
}
