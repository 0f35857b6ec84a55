//! A model directory and a data set that are complete and tiny, with a configuration for them.

use evenkeel_shared::checkpoint::{self, CheckpointManifest};
use evenkeel_shared::config::Config;
use evenkeel_shared::dataset::{
    DocumentTokens, FORMAT_VERSION, Fingerprint, Manifest, SEGMENTS_FOLDER, SegmentBuilder, TruncationLosses,
};
use evenkeel_shared::hf::tokenizer_files::TokenizerFiles;
use evenkeel_shared::ids::{Epoch, RowId, Step, WorldSize};
use evenkeel_shared::plan::Cursor;
use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use tempfile::TempDir;

/// Packs of each of the two segments.
pub const PACKS_PER_SEGMENT: u32 = 3;

const VOCAB_SIZE: u32 = 10;
const MAX_LENGTH: u32 = 4;

pub struct SmallRun {
    pub folder: TempDir,
    pub config: Config,
}

impl SmallRun {
    /// Two segments of three packs, two workers, a batch of one pack a lane: three steps an epoch.
    pub fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let mut config = Config::default();
        config.run.dir = at("run");
        config.model.path = at("model");
        config.data.dataset = at("dataset");
        config.vectorize.max_length = MAX_LENGTH;
        config.batch.global_tokens = u64::from(MAX_LENGTH) * 2;
        config.cluster.workers = 2;
        let run = Self { folder, config };
        run.write_model();
        run.write_dataset();
        run
    }

    /// The configuration as a file.
    #[allow(dead_code, reason = "not every test program needs it")]
    pub fn write_toml(&self) -> PathBuf {
        let path = self.folder.path().join("run.toml");
        let Config { run, model, data, vectorize, batch, cluster, .. } = &self.config;
        let text = format!(
            "[run]\ndir = {:?}\n[model]\npath = {:?}\n[data]\ndataset = {:?}\n[vectorize]\nmax_length = {}\n\
             [batch]\nglobal_tokens = {}\n[cluster]\nworkers = {}\nlisten = {:?}\n",
            run.dir,
            model.path,
            data.dataset,
            vectorize.max_length,
            batch.global_tokens,
            cluster.workers,
            cluster.listen
        );
        fs::write(&path, text).unwrap();
        path
    }

    fn write_model(&self) {
        let model = &self.config.model.path;
        fs::create_dir(model).unwrap();
        let config = format!(
            r#"{{"architectures": ["LlamaForCausalLM"], "model_type": "llama", "vocab_size": {VOCAB_SIZE},
                "hidden_size": 8, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2,
                "num_key_value_heads": 1, "rms_norm_eps": 1e-5, "rope_theta": 10000.0, "hidden_act": "silu",
                "tie_word_embeddings": true, "max_position_embeddings": 64, "eos_token_id": 1}}"#
        );
        let files = [
            ("config.json", config.as_str()),
            ("tokenizer.json", "{}"),
            ("chat_template.jinja", "{{ messages }}"),
            ("model.safetensors", ""),
        ];
        for (name, content) in files {
            fs::write(model.join(name), content).unwrap();
        }
    }

    fn write_dataset(&self) {
        let dataset = &self.config.data.dataset;
        fs::create_dir_all(dataset.join(SEGMENTS_FOLDER)).unwrap();
        let mut segments = Vec::new();
        for segment in 0..2 {
            let mut builder = SegmentBuilder::new(VOCAB_SIZE, MAX_LENGTH);
            for row in 0..PACKS_PER_SEGMENT {
                let row = RowId(u64::from(segment * PACKS_PER_SEGMENT + row));
                let document = DocumentTokens { row, tokens: &[1, 2, 3], targets: &[false, true, true] };
                builder.push_pack(&[document]).unwrap();
            }
            let name = format!("{SEGMENTS_FOLDER}/{segment:06}.seg");
            segments.push(builder.write(&dataset.join(&name), &name).unwrap());
        }
        let documents = u64::from(2 * PACKS_PER_SEGMENT);
        let files = TokenizerFiles::load(&self.config.model.path).unwrap();
        let manifest = Manifest {
            format_version: FORMAT_VERSION,
            fingerprint: Fingerprint::new(&self.config, &files, Vec::new()),
            vocab_size: VOCAB_SIZE,
            max_length: MAX_LENGTH,
            rows: documents,
            rejected_rows: 0,
            documents,
            tokens: documents * 3,
            target_tokens: documents * 2,
            target_tokens_by_role: BTreeMap::new(),
            messages_by_role: BTreeMap::new(),
            truncation: TruncationLosses::default(),
            segments,
        };
        manifest.save(dataset).unwrap();
    }

    /// A complete checkpoint after `step` steps of the first epoch.
    #[allow(dead_code, reason = "not every test program needs it")]
    pub fn write_checkpoint(&self, step: u64) -> PathBuf {
        let manifest = Manifest::load(&self.config.data.dataset).unwrap();
        let cursor = Cursor { lanes: 2, taken: step, ..Cursor::start(Epoch(0), &manifest.pack_counts()) };
        let checkpoint = CheckpointManifest {
            format_version: checkpoint::CHECKPOINT_FORMAT_VERSION,
            step: Step(step),
            cursor,
            tokens: step * 6,
            target_tokens: step * 4,
            world_size: WorldSize(2),
            dataset_fingerprint: manifest.fingerprint.digest(),
            precision: self.config.train.precision,
            loss: Some(1.0),
            grad_norm: Some(1.0),
            loss_scale: 1.0,
            learning_rate: 0.1,
            created_unix: 0,
            config: serde_json::to_value(&self.config).unwrap(),
            files: Vec::new(),
        };
        let temporary = checkpoint::begin(&self.config.run.dir, Step(step)).unwrap();
        fs::write(temporary.join("optimizer.safetensors"), "state").unwrap();
        fs::create_dir(temporary.join("model")).unwrap();
        fs::copy(self.config.model.path.join("config.json"), temporary.join("model/config.json")).unwrap();
        checkpoint::seal(&temporary, checkpoint).unwrap()
    }
}
