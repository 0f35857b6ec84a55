//! What a person gets wrong: one paragraph that says what and where, an exit code, and nothing half-written.

use anyhow::Result;
use evenkeel_tests::Sandbox;
use serde_json::{Value, json};
use std::fs::{self, OpenOptions};
use std::net::TcpListener;
use std::path::Path;

/// Trains, and gives the one error; nothing must have been written.
#[track_caller]
fn refused(sandbox: &Sandbox, code: i32) -> String {
    let message = sandbox.train().expect("evenkeel starts").finish().refused(code);
    assert!(!sandbox.run_dir().exists(), "a run's folder was left behind by: {message}");
    message
}

#[track_caller]
fn assert_says(message: &str, words: &[&str]) {
    for word in words {
        assert!(message.contains(word), "{word:?} is missing in: {message}");
    }
}

fn edit_json(path: &Path, edit: impl FnOnce(&mut Value)) -> Result<()> {
    let mut value = serde_json::from_slice(&fs::read(path)?)?;
    edit(&mut value);
    Ok(fs::write(path, serde_json::to_vec(&value)?)?)
}

#[test]
fn a_missing_model_folder() -> Result<()> {
    let mut sandbox = Sandbox::new()?;
    sandbox.set("model.path", "\"nowhere\"");
    assert_says(&refused(&sandbox, 1), &["nowhere", "model.path"]);
    Ok(())
}

#[test]
fn an_unsupported_architecture_is_named() -> Result<()> {
    let sandbox = Sandbox::new()?;
    edit_json(&sandbox.folder().join("model/config.json"), |config| {
        config["architectures"] = json!(["MambaForCausalLM"]);
        config["model_type"] = json!("mamba");
    })?;
    assert_says(&refused(&sandbox, 1), &["MambaForCausalLM", "LlamaForCausalLM"]);
    Ok(())
}

#[test]
fn a_tokenizer_without_a_template() -> Result<()> {
    let mut sandbox = Sandbox::new()?;
    edit_json(&sandbox.folder().join("model/tokenizer_config.json"), |config| {
        config.as_object_mut().expect("an object").remove("chat_template");
    })?;
    fs::write(
        sandbox.folder().join("rows.jsonl"),
        "{\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}]}\n",
    )?;
    sandbox.set("data.train", "[\"rows.jsonl\"]").set("data.dataset", "\"new\"");
    let message = sandbox.start(&["vectorize", "run.toml"])?.finish().refused(1);
    assert_says(&message, &["chat template", "model"]);
    assert!(!sandbox.folder().join("new/manifest.json").exists());
    Ok(())
}

#[test]
fn more_workers_than_packs() -> Result<()> {
    let mut sandbox = Sandbox::new()?;
    sandbox.set("data.lanes", 0).set("cluster.workers", 97);
    assert_says(&refused(&sandbox, 1), &["97", "96 packs", "cluster.workers"]);
    Ok(())
}

#[test]
fn a_number_format_that_does_not_exist() -> Result<()> {
    let mut sandbox = Sandbox::new()?;
    sandbox.set("train.precision", "\"int4\"");
    assert_says(&refused(&sandbox, 2), &["train.precision", "int4", "fp32", "bf16"]);
    Ok(())
}

#[test]
fn an_unknown_key_names_its_neighbour() -> Result<()> {
    let mut sandbox = Sandbox::new()?;
    sandbox.set("optimizer.learning_rat", "1e-3");
    assert_says(&refused(&sandbox, 2), &["learning_rat", "optimizer.learning_rate"]);
    Ok(())
}

#[test]
fn a_missing_configuration_file() -> Result<()> {
    let sandbox = Sandbox::new()?;
    assert_says(&sandbox.start(&["train", "other.toml"])?.finish().refused(2), &["other.toml"]);
    Ok(())
}

#[test]
fn no_vectorized_data_set() -> Result<()> {
    let mut sandbox = Sandbox::new()?;
    sandbox.set("data.dataset", "\"none\"");
    assert_says(&refused(&sandbox, 1), &["none", "evenkeel vectorize"]);
    Ok(())
}

#[test]
fn a_truncated_segment() -> Result<()> {
    let sandbox = Sandbox::new()?;
    let segment =
        OpenOptions::new().write(true).open(sandbox.folder().join("dataset/segments/000002.seg"))?;
    segment.set_len(segment.metadata()?.len() - 5)?;
    assert_says(&refused(&sandbox, 1), &["000002.seg", "length"]);
    Ok(())
}

#[test]
fn a_segment_whose_content_has_changed() -> Result<()> {
    let sandbox = Sandbox::new()?;
    for index in 0..4 {
        let path = sandbox.folder().join(format!("dataset/segments/{index:06}.seg"));
        let mut bytes = fs::read(&path)?;
        let last = bytes.len() - 1;
        bytes[last] ^= 1;
        fs::write(&path, bytes)?;
    }
    // Only whoever reads a segment checks its content, so this one is found by a worker.
    let message = sandbox.train()?.finish().refused(1);
    assert_says(&message, &[".seg"]);
    assert!(!sandbox.run_dir().join("checkpoints/step-00000020").exists());
    Ok(())
}

#[test]
fn a_data_set_of_another_tokenizer() -> Result<()> {
    let sandbox = Sandbox::new()?;
    edit_json(&sandbox.folder().join("model/tokenizer.json"), |tokenizer| {
        tokenizer["added_tokens"][0]["lstrip"] = json!(true);
    })?;
    assert_says(&refused(&sandbox, 1), &["tokenizer", "ectorize"]);
    Ok(())
}

#[test]
fn a_port_that_is_taken() -> Result<()> {
    let mut sandbox = Sandbox::new()?;
    let taken = TcpListener::bind("127.0.0.1:0")?;
    let address = taken.local_addr()?.to_string();
    sandbox.set("cluster.listen", format!("\"{address}\""));
    let message = sandbox.train()?.finish().refused(1);
    assert_says(&message, &[&address]);
    assert!(!sandbox.run_dir().join("coordinator.address").exists());
    assert!(!sandbox.run_dir().join("checkpoints").exists());
    Ok(())
}
