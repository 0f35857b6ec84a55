//! Random tokens as a data set: what the peer draws in its loop, evenkeel reads from segments.

use crate::work::Work;
use anyhow::{Context, Result};
use evenkeel_shared::config::Config;
use evenkeel_shared::dataset::{
    DocumentTokens, FORMAT_VERSION, Fingerprint, Manifest, SEGMENTS_FOLDER, SegmentBuilder, Source,
    TruncationLosses,
};
use evenkeel_shared::hf::ModelConfig;
use evenkeel_shared::hf::tokenizer_files::TokenizerFiles;
use evenkeel_shared::ids::RowId;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// One segment a rank, so that a rank has one open as in a real run.
///
/// Every pack is one document of `sequence_length` tokens, and every token but the first is a target: the work is
/// exactly the peer's, and no attention is saved by document boundaries.
///
/// # Errors
/// When the model's files cannot be read or the data set cannot be written.
pub fn write(work: &Work, folder: &Path) -> Result<PathBuf> {
    let model = ModelConfig::load(&work.model)?;
    let files = TokenizerFiles::load(&work.model)?;
    let vocab_size = u32::try_from(model.vocab_size)?;
    fs::create_dir_all(folder.join(SEGMENTS_FOLDER))?;
    let mut tokens = RandomTokens::below(vocab_size);
    let mut targets = vec![true; work.sequence_length as usize];
    targets[0] = false;
    let mut segments = Vec::new();
    let mut rows = 0..work.sequences();
    for segment in 0..work.ranks {
        let mut builder = SegmentBuilder::new(vocab_size, work.sequence_length);
        for row in rows.by_ref().take((work.sequences() / u64::from(work.ranks)) as usize) {
            let sequence = tokens.take(work.sequence_length as usize);
            builder.push_pack(&[DocumentTokens { row: RowId(row), tokens: &sequence, targets: &targets }])?;
        }
        let name = format!("{SEGMENTS_FOLDER}/{segment:06}.seg");
        segments.push(builder.write(&folder.join(&name), &name)?);
    }
    let target_tokens = segments.iter().map(|segment| segment.target_tokens).sum();
    let manifest = Manifest {
        format_version: FORMAT_VERSION,
        fingerprint: Fingerprint::new(&config(work), &files, Vec::<Source>::new()),
        vocab_size,
        max_length: work.sequence_length,
        rows: work.sequences(),
        rejected_rows: 0,
        documents: work.sequences(),
        tokens: segments.iter().map(|segment| segment.tokens).sum(),
        target_tokens,
        target_tokens_by_role: BTreeMap::from([("assistant".to_owned(), target_tokens)]),
        messages_by_role: BTreeMap::new(),
        truncation: TruncationLosses::default(),
        segments,
    };
    manifest.save(folder).context("cannot write the benchmark's data set")?;
    Ok(folder.to_path_buf())
}

/// The settings that shape a data set; the run's configuration starts from the same.
pub fn config(work: &Work) -> Config {
    let mut config = Config::default();
    config.model.path.clone_from(&work.model);
    config.vectorize.max_length = work.sequence_length;
    config
}

/// Uniform token ids from BLAKE3's output stream: the same on every machine.
struct RandomTokens {
    stream: blake3::OutputReader,
    vocab_size: u32,
}

impl RandomTokens {
    fn below(vocab_size: u32) -> Self {
        Self { stream: blake3::Hasher::new().update(b"evenkeel benchmark").finalize_xof(), vocab_size }
    }

    fn take(&mut self, count: usize) -> Vec<u32> {
        let mut bytes = vec![0; count * 8];
        self.stream.fill(&mut bytes);
        let ids = bytes.chunks_exact(8).map(|chunk| {
            let mut word = [0; 8];
            word.copy_from_slice(chunk);
            // 64 random bits against a vocabulary below 2^32: the bias of the remainder is below 2^-32.
            (u64::from_le_bytes(word) % u64::from(self.vocab_size)) as u32
        });
        ids.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use evenkeel_shared::ids::SegmentId;

    #[test]
    fn every_token_but_the_first_of_a_full_pack_is_a_target() {
        let folder = tempfile::tempdir().unwrap();
        let model = folder.path().join("model");
        fs::create_dir(&model).unwrap();
        let config_json = r#"{"architectures":["LlamaForCausalLM"],"model_type":"llama","vocab_size":300,"hidden_size":8,
            "intermediate_size":16,"num_hidden_layers":1,"num_attention_heads":2,"num_key_value_heads":1,
            "rms_norm_eps":1e-5,"rope_theta":10000.0,"tie_word_embeddings":true,"max_position_embeddings":64,
            "hidden_act":"silu","eos_token_id":2}"#;
        fs::write(model.join("config.json"), config_json).unwrap();
        fs::write(model.join("tokenizer.json"), "{}").unwrap();
        fs::write(model.join("tokenizer_config.json"), r#"{"chat_template":"t"}"#).unwrap();
        let work =
            Work { model, ranks: 2, threads: 1, sequence_length: 8, micro_batch: 1, steps: 3, warmup: 1 };
        let dataset = write(&work, &folder.path().join("dataset")).unwrap();

        let manifest = Manifest::load(&dataset).unwrap();
        assert_eq!(manifest.pack_counts(), [3, 3]);
        assert_eq!((manifest.tokens, manifest.target_tokens), (6 * 8, 6 * 7));
        assert_eq!(manifest.fill(), 1.0);
        let segment = manifest.open_segment(&dataset, SegmentId(1)).unwrap();
        let pack = segment.pack(2).unwrap();
        assert_eq!((pack.len(), pack.target_count(), pack.is_target(0)), (8, 7, false));
        // What a run that is asked to train on it checks first.
        let mut config = config(&work);
        config.data.dataset = dataset;
        manifest.check_config(&config).unwrap();
    }
}
