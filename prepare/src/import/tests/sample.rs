//! A small Llama model as a GGUF file.

use half::{bf16, f16};

/// One metadata entry: key, and type and value as they stand in the file.
type Entry = (String, Vec<u8>);

/// A tensor: columns first, as in the file.
#[derive(Clone)]
pub(super) struct SampleTensor {
    pub(super) name: String,
    pub(super) dims: Vec<u64>,
    pub(super) kind: u32,
    pub(super) data: Vec<u8>,
}

/// Width 32, 2 heads and 1 key-value head of 16, one layer, 12 tokens; every supported tensor type occurs.
#[derive(Clone)]
pub(super) struct Sample {
    entries: Vec<Entry>,
    tensors: Vec<SampleTensor>,
}

const TOKENS: [&str; 12] =
    ["<|start|>", "<|end|>", "h", "i", "hi", "Ġ", "ĠĠ", "1", "2", "12", "Ġhi", "unused"];

pub(super) fn dims(columns: u64, rows: u64) -> [u64; 2] {
    [columns, rows]
}

/// The values 0, 1, 2, …, 99, 0, …: all exact in every format.
pub(super) fn counting(count: usize) -> Vec<f32> {
    (0..count).map(|index| (index % 100) as f32).collect()
}

impl Sample {
    pub(super) fn new() -> Self {
        let mut sample = Self { entries: Vec::new(), tensors: Vec::new() }
            .with_text("general.architecture", "llama")
            .with_text("general.name", "tiny")
            .with_whole("llama.block_count", 1)
            .with_whole("llama.context_length", 64)
            .with_whole("llama.embedding_length", 32)
            .with_whole("llama.feed_forward_length", 32)
            .with_whole("llama.attention.head_count", 2)
            .with_whole("llama.attention.head_count_kv", 1)
            .with_whole("llama.rope.dimension_count", 16)
            .with_number("llama.rope.freq_base", 5000.0)
            .with_number("llama.attention.layer_norm_rms_epsilon", 1e-5)
            .with_text("tokenizer.ggml.model", "gpt2")
            .with_text("tokenizer.ggml.pre", "smollm")
            .with_flag("tokenizer.ggml.add_bos_token", 0)
            .with_texts("tokenizer.ggml.tokens", &TOKENS)
            .with_token_types(&[3, 3, 1, 1, 1, 1, 1, 1, 1, 1, 1, 5])
            .with_merges(&["h i", "Ġ Ġ", "1 2", "Ġ hi"])
            .with_whole("tokenizer.ggml.bos_token_id", 0)
            .with_whole("tokenizer.ggml.eos_token_id", 1)
            .with_text("tokenizer.chat_template", "{{ messages[0].content }}");
        let f32_bytes =
            |values: &[f32]| values.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<u8>>();
        // Row r of the Hugging Face matrix is stored at r's place among the interleaved halves of its head.
        let interleaved = |heads: u16| {
            (0..heads).flat_map(|head| (0..16).map(move |place: u16| head * 16 + place / 2 + 8 * (place % 2)))
        };
        let rows_of_16_bit = |heads: u16, convert: fn(f32) -> [u8; 2]| {
            interleaved(heads)
                .flat_map(|row| vec![convert(f32::from(row)); 32])
                .flatten()
                .collect::<Vec<u8>>()
        };
        let query = rows_of_16_bit(2, |value| f16::from_f32(value).to_le_bytes());
        let key = rows_of_16_bit(1, |value| bf16::from_f32(value).to_le_bytes());
        sample.push("token_embd.weight", &dims(32, 12), 8, vec![1; 12 * 34]);
        sample.push("output_norm.weight", &[32], 0, f32_bytes(&counting(32)));
        sample.push("blk.0.attn_norm.weight", &[32], 0, f32_bytes(&counting(32)));
        sample.push("blk.0.ffn_norm.weight", &[32], 0, f32_bytes(&counting(32)));
        sample.push("blk.0.attn_q.weight", &dims(32, 32), 1, query);
        sample.push("blk.0.attn_k.weight", &dims(32, 16), 30, key);
        sample.push("blk.0.attn_v.weight", &dims(32, 16), 0, f32_bytes(&counting(32 * 16)));
        sample.push("blk.0.attn_output.weight", &dims(32, 32), 2, vec![2; 32 * 18]);
        sample.push("blk.0.ffn_gate.weight", &dims(32, 32), 3, vec![3; 32 * 20]);
        sample.push("blk.0.ffn_up.weight", &dims(32, 32), 3, vec![4; 32 * 20]);
        sample.push("blk.0.ffn_down.weight", &dims(32, 32), 8, vec![5; 32 * 34]);
        sample
    }

    fn push(&mut self, name: &str, dims: &[u64], kind: u32, data: Vec<u8>) {
        self.tensors.push(SampleTensor { name: name.into(), dims: dims.to_vec(), kind, data });
    }

    pub(super) fn push_f32(&mut self, name: &str, dims: &[u64]) {
        let count = dims.iter().product::<u64>() as usize;
        self.push(name, dims, 0, counting(count).iter().flat_map(|value| value.to_le_bytes()).collect());
    }

    pub(super) fn tensor_mut(&mut self, name: &str) -> &mut SampleTensor {
        self.tensors.iter_mut().find(|tensor| tensor.name == name).unwrap()
    }

    fn with(mut self, key: &str, kind: u32, value: &[u8]) -> Self {
        let encoded = [&kind.to_le_bytes(), value].concat();
        match self.entries.iter_mut().find(|(other, _)| other == key) {
            Some(entry) => entry.1 = encoded,
            None => self.entries.push((key.into(), encoded)),
        }
        self
    }

    pub(super) fn without(mut self, key: &str) -> Self {
        self.entries.retain(|(other, _)| other != key);
        self
    }

    pub(super) fn with_text(self, key: &str, value: &str) -> Self {
        self.with(key, 8, &text(value))
    }

    pub(super) fn with_whole(self, key: &str, value: u32) -> Self {
        self.with(key, 4, &value.to_le_bytes())
    }

    fn with_number(self, key: &str, value: f32) -> Self {
        self.with(key, 6, &value.to_le_bytes())
    }

    pub(super) fn with_flag(self, key: &str, value: u8) -> Self {
        self.with(key, 7, &[value])
    }

    fn with_texts(self, key: &str, values: &[&str]) -> Self {
        let list = values.iter().flat_map(|value| text(value)).collect();
        self.with(key, 9, &[8_u32.to_le_bytes().to_vec(), length(values.len()), list].concat())
    }

    pub(super) fn with_merges(self, merges: &[&str]) -> Self {
        self.with_texts("tokenizer.ggml.merges", merges)
    }

    fn with_token_types(self, types: &[i32]) -> Self {
        let list = types.iter().flat_map(|kind| kind.to_le_bytes()).collect();
        let value = [5_u32.to_le_bytes().to_vec(), length(types.len()), list].concat();
        self.with("tokenizer.ggml.token_type", 9, &value)
    }

    /// The file.
    pub(super) fn bytes(&self) -> Vec<u8> {
        let mut bytes = [b"GGUF".to_vec(), 3_u32.to_le_bytes().to_vec()].concat();
        bytes.extend(length(self.tensors.len()));
        bytes.extend(length(self.entries.len()));
        for (key, value) in &self.entries {
            bytes.extend(text(key));
            bytes.extend(value);
        }
        let mut offset = 0_u64;
        for tensor in &self.tensors {
            bytes.extend(text(&tensor.name));
            bytes.extend((tensor.dims.len() as u32).to_le_bytes());
            bytes.extend(tensor.dims.iter().flat_map(|size| size.to_le_bytes()));
            bytes.extend(tensor.kind.to_le_bytes());
            bytes.extend(offset.to_le_bytes());
            offset += (tensor.data.len() as u64).next_multiple_of(32);
        }
        for tensor in &self.tensors {
            bytes.resize(bytes.len().next_multiple_of(32), 0);
            bytes.extend(&tensor.data);
        }
        bytes
    }
}

fn length(count: usize) -> Vec<u8> {
    (count as u64).to_le_bytes().to_vec()
}

fn text(value: &str) -> Vec<u8> {
    [length(value.len()), value.as_bytes().to_vec()].concat()
}
