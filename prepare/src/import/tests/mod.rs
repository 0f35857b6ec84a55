//! Whole imports of a small model made here.

mod damage;
mod sample;

use super::*;
use evenkeel_shared::hf::ModelConfig;
use sample::{Sample, dims};
use serde_json::Value as Json;
use std::fs;
use std::path::Path;
use tokenizers::Tokenizer;

fn import(sample: &Sample, weight_type: WeightType) -> (tempfile::TempDir, Result<Imported, String>) {
    let folder = tempfile::tempdir().unwrap();
    let source = folder.path().join("model.gguf");
    fs::write(&source, sample.bytes()).unwrap();
    let settings = Settings { source, out_dir: folder.path().join("out"), weight_type };
    let imported = import_gguf(&settings, &mut |done, total| assert!(done <= total));
    (folder, imported.map_err(|error| error.to_string()))
}

/// Why the sample is refused; nothing must be left of the attempt.
fn refusal(sample: &Sample) -> String {
    let (folder, imported) = import(sample, WeightType::F32);
    let left: Vec<_> = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["model.gguf"]);
    imported.unwrap_err()
}

fn json(path: &Path) -> Json {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

fn tensor(dir: &Path, name: &str) -> Vec<f32> {
    let bytes = fs::read(dir.join("model.safetensors")).unwrap();
    let file = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    let view = file.tensor(name).unwrap();
    view.data().chunks_exact(4).map(|value| f32::from_le_bytes(value.try_into().unwrap())).collect()
}

#[test]
fn a_model_becomes_a_directory_that_passes_the_check() {
    let (folder, imported) = import(&Sample::new(), WeightType::F32);
    let imported = imported.unwrap();
    let dir = folder.path().join("out");
    assert_eq!((imported.name.as_deref(), imported.pre_tokenizer.as_str()), (Some("tiny"), "smollm"));
    assert!(imported.has_chat_template);
    let config = ModelConfig::load(&dir).unwrap();
    assert_eq!((config.num_heads, config.num_kv_heads, config.head_dim), (2, 1, 16));
    assert!(config.tie_word_embeddings);
    assert_eq!((config.rope_theta, config.max_position_embeddings), (5000.0, 64));
    assert_eq!(config.rms_norm_eps, f64::from(1e-5_f32));
    assert_eq!(config.eos_token_ids, [1]);
    assert_eq!(json(&dir.join("tokenizer_config.json"))["eos_token"], "<|end|>");
    assert_eq!(json(&dir.join("generation_config.json"))["eos_token_id"], 1);
    let checked = check_directory(&dir).unwrap();
    assert_eq!(checked.parameters, imported.parameters);
    assert_eq!(checked.unused_tensors, [] as [&str; 0]);
}

#[test]
fn query_and_key_rows_come_back_in_the_order_of_the_halves() {
    let (folder, imported) = import(&Sample::new(), WeightType::F32);
    imported.unwrap();
    let dir = folder.path().join("out");
    // The sample's query and key weights say, in every column, which row of the Hugging Face matrix they are.
    for (name, rows) in [("q_proj", 32), ("k_proj", 16)] {
        let values = tensor(&dir, &format!("model.layers.0.self_attn.{name}.weight"));
        let expected: Vec<f32> = (0..rows).flat_map(|row: u16| [f32::from(row); 32]).collect();
        assert_eq!(values, expected, "{name}");
    }
    let value = tensor(&dir, "model.layers.0.self_attn.v_proj.weight");
    assert_eq!(value[32], sample::counting(33)[32], "value rows stay where they are");
}

#[test]
fn an_untied_head_is_written() {
    let mut sample = Sample::new();
    sample.push_f32("output.weight", &dims(32, 12));
    let (folder, imported) = import(&sample, WeightType::F32);
    imported.unwrap();
    assert!(!ModelConfig::load(&folder.path().join("out")).unwrap().tie_word_embeddings);
    assert_eq!(tensor(&folder.path().join("out"), "lm_head.weight").len(), 12 * 32);
}

#[test]
fn sixteen_bit_weights_are_rounded_and_never_become_infinite() {
    for (weight_type, name) in [(WeightType::Bf16, "bfloat16"), (WeightType::F16, "float16")] {
        let (folder, imported) = import(&Sample::new(), weight_type);
        imported.unwrap();
        let dir = folder.path().join("out");
        assert_eq!(json(&dir.join("config.json"))["torch_dtype"], name);
        check_directory(&dir).unwrap();
    }
    let mut sample = Sample::new();
    sample.tensor_mut("output_norm.weight").data[..4].copy_from_slice(&1e6_f32.to_le_bytes());
    let (_folder, imported) = import(&sample, WeightType::F16);
    let error = imported.unwrap_err();
    assert!(error.contains("output_norm.weight holds 1000000, which float16 cannot"), "{error}");
}

#[test]
fn text_is_split_as_the_file_says() {
    let ids = |pre: &str, text: &str| {
        let (folder, imported) = import(&Sample::new().with_text("tokenizer.ggml.pre", pre), WeightType::F32);
        imported.unwrap();
        let tokenizer = Tokenizer::from_file(folder.path().join("out/tokenizer.json")).unwrap();
        tokenizer.encode_fast(text, false).unwrap().get_ids().to_vec()
    };
    // Tokens: 0 <|start|>, 1 <|end|>, 2 h, 3 i, 4 hi, 5 Ġ, 6 ĠĠ, 7 1, 8 2, 9 12, 10 Ġhi.
    assert_eq!(ids("gpt-2", "<|start|>hi  12 hi<|end|>"), [0, 4, 5, 5, 9, 10, 1]);
    assert_eq!(ids("smollm", "<|start|>hi  12 hi<|end|>"), [0, 4, 6, 7, 8, 10, 1]);
    assert_eq!(ids("llama-bpe", "hi 12 hi"), [4, 5, 9, 10]);
}

#[test]
fn the_first_token_is_put_in_front_when_the_file_asks_for_it() {
    let (folder, imported) =
        import(&Sample::new().with_flag("tokenizer.ggml.add_bos_token", 1), WeightType::F32);
    imported.unwrap();
    let tokenizer = Tokenizer::from_file(folder.path().join("out/tokenizer.json")).unwrap();
    assert_eq!(tokenizer.encode_fast("hi", true).unwrap().get_ids(), [0, 4]);
    assert_eq!(tokenizer.encode_fast("hi", false).unwrap().get_ids(), [4]);
}

#[test]
fn what_is_not_supported_is_refused_by_name() {
    let check = |sample: Sample, named: &[&str]| {
        let error = refusal(&sample);
        assert!(named.iter().all(|name| error.contains(name)), "{named:?}: {error}");
    };
    let sample = Sample::new;
    check(sample().with_text("general.architecture", "gemma"), &["architecture is gemma", "llama"]);
    check(sample().with_text("tokenizer.ggml.model", "llama"), &["tokenizer model is llama", "gpt2"]);
    check(
        sample().with_text("tokenizer.ggml.pre", "chatglm-bpe"),
        &["pre-tokenizer is chatglm-bpe", "smollm"],
    );
    check(sample().with_text("llama.rope.scaling.type", "yarn"), &["yarn"]);
    check(sample().with_whole("llama.expert_count", 8), &["experts is 8"]);
    check(
        sample().with_whole("llama.rope.dimension_count", 8),
        &["llama.rope.dimension_count is 8, expected 16"],
    );
    check(sample().with_whole("llama.block_count", 2), &["blk.1.attn_norm.weight is missing"]);
    check(sample().with_whole("llama.block_count", u32::MAX >> 1), &["llama.block_count"]);
    check(sample().with_whole("llama.attention.head_count", 0), &["llama.attention.head_count is 0"]);
    check(
        sample().with_whole("llama.feed_forward_length", 64),
        &["ffn_gate.weight has shape [32, 32]", "[64, 32]"],
    );
    check(sample().with_whole("tokenizer.ggml.eos_token_id", 99), &["eos_token_id is 99"]);
    check(sample().with_text("llama.context_length", "long"), &["llama.context_length is the text \"long\""]);
    check(sample().without("llama.embedding_length"), &["llama.embedding_length is missing"]);
    check(sample().without("tokenizer.ggml.tokens"), &["tokenizer.ggml.tokens is missing"]);
    check(sample().with_merges(&["x y"]), &["tokenizer in the metadata is inconsistent"]);
    check(sample().with_merges(&["xy"]), &["\"xy\", expected two tokens"]);
    let mut bias = sample();
    bias.push_f32("blk.0.attn_q.bias", &[32]);
    check(bias, &["blk.0.attn_q.bias is not part of a Llama model"]);
    let mut quantised = sample();
    quantised.tensor_mut("output_norm.weight").kind = 14;
    check(quantised, &["type of tensor output_norm.weight is Q6_K", "Q4_1"]);
    let mut not_a_number = sample();
    not_a_number.tensor_mut("output_norm.weight").data[..4].copy_from_slice(&f32::NAN.to_le_bytes());
    check(not_a_number, &["output_norm.weight holds a value that is not a finite number"]);
}

#[test]
fn an_output_that_exists_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let (source, out_dir) = (folder.path().join("model.gguf"), folder.path().join("out"));
    fs::write(&source, Sample::new().bytes()).unwrap();
    fs::create_dir(&out_dir).unwrap();
    let settings = Settings { source, out_dir: out_dir.clone(), weight_type: WeightType::F32 };
    assert!(matches!(import_gguf(&settings, &mut |_, _| {}), Err(ImportError::OutputExists(_))));
    // A leftover of an interrupted import is not in the way.
    fs::remove_dir(&out_dir).unwrap();
    fs::create_dir(folder.path().join("out.tmp")).unwrap();
    fs::write(folder.path().join("out.tmp/old"), b"x").unwrap();
    let with_slash = Settings { out_dir: folder.path().join("out/"), ..settings };
    import_gguf(&with_slash, &mut |_, _| {}).unwrap();
    assert!(!out_dir.join("old").exists());
}

#[test]
fn the_check_finds_what_would_stop_a_training() {
    let check = |change: &dyn Fn(&Path), named: &str| {
        let (folder, imported) = import(&Sample::new(), WeightType::F32);
        imported.unwrap();
        let dir = folder.path().join("out");
        change(&dir);
        let error = check_directory(&dir).unwrap_err().to_string();
        assert!(error.contains(named), "{named}: {error}");
    };
    let edit = |dir: &Path, file: &str, key: &str, value: Json| {
        let mut content = json(&dir.join(file));
        content[key] = value;
        fs::write(dir.join(file), content.to_string()).unwrap();
    };
    check(&|dir| edit(dir, "config.json", "architectures", serde_json::json!(["OtherModel"])), "OtherModel");
    check(
        &|dir| edit(dir, "config.json", "num_hidden_layers", 2.into()),
        "no tensor model.layers.1.input_layernorm",
    );
    check(&|dir| edit(dir, "config.json", "intermediate_size", 33.into()), "has shape [32, 32], but");
    check(&|dir| edit(dir, "tokenizer_config.json", "chat_template", Json::Null), "no chat template");
    check(&|dir| fs::remove_file(dir.join("tokenizer.json")).unwrap(), "no tokenizer.json");
    check(&|dir| fs::remove_file(dir.join("model.safetensors")).unwrap(), "pytorch_model.bin");
    check(
        &|dir| {
            let path = dir.join("model.safetensors");
            let bytes = fs::read(&path).unwrap();
            fs::write(path, &bytes[..bytes.len() - 1]).unwrap();
        },
        "it is cut off",
    );
    check(
        &|dir| {
            fs::rename(dir.join("model.safetensors"), dir.join("a.safetensors")).unwrap();
            let index = r#"{"weight_map": {"x": "a.safetensors", "y": "../b.safetensors"}}"#;
            fs::write(dir.join("model.safetensors.index.json"), index).unwrap();
        },
        "\"../b.safetensors\", which is not there",
    );
    let missing = check_directory(Path::new("nowhere")).unwrap_err().to_string();
    assert!(missing.contains("there is no model in nowhere"), "{missing}");
}

#[test]
fn a_tokenizer_with_more_ids_than_embeddings_is_refused() {
    let (folder, imported) = import(&Sample::new(), WeightType::F32);
    imported.unwrap();
    let path = folder.path().join("out/tokenizer.json");
    let mut tokenizer = json(&path);
    tokenizer["model"]["vocab"]["many"] = 12.into();
    fs::write(&path, tokenizer.to_string()).unwrap();
    let error = check_directory(&folder.path().join("out")).unwrap_err().to_string();
    assert!(error.contains("ids up to 12, but the model has 12 embeddings"), "{error}");
}
