//! `tokenizer.json` and its companions from a GGUF file's metadata.

use super::ImportError;
use super::gguf::Metadata;
use serde_json::{Map, Value as Json, json};
use tokenizers::Tokenizer;

/// Token types of the format: a control token never comes from text, a user-defined one is matched whole.
const CONTROL: i64 = 3;
const USER_DEFINED: i64 = 4;

/// The tokenizer files of a Hugging Face directory.
#[derive(Debug)]
pub(super) struct TokenizerFiles {
    pub(super) tokenizer: Json,
    pub(super) config: Json,
    pub(super) special_tokens_map: Json,
    pub(super) has_chat_template: bool,
    /// Names of the rules by which text is split, for the report.
    pub(super) pre_tokenizer: String,
}

/// How text is split before byte-pair merges, by the name that the file gives.
struct Splitting {
    pre_tokenizer: Json,
    /// A pre-token that is a whole entry of the vocabulary is taken without merging.
    ignore_merges: bool,
}

/// Makes the tokenizer files for a model with `vocab_size` embeddings.
pub(super) fn tokenizer_files(metadata: &Metadata, vocab_size: u64) -> Result<TokenizerFiles, ImportError> {
    let inconsistent =
        |reason: String| ImportError::Tokenizer { path: metadata.path().to_path_buf(), reason };
    let unsupported = |what: &str, found: &str, supported: &str| ImportError::Unsupported {
        path: metadata.path().to_path_buf(),
        what: what.into(),
        found: found.into(),
        supported: supported.into(),
    };
    let model = metadata.text("tokenizer.ggml.model")?;
    if model != "gpt2" {
        return Err(unsupported("the tokenizer model", model, "gpt2 (byte-level BPE)"));
    }
    let name = metadata.text("tokenizer.ggml.pre")?;
    let Some(splitting) = splitting(name) else {
        return Err(unsupported("the tokenizer's pre-tokenizer", name, "smollm, gpt-2, llama-bpe"));
    };
    let tokens = metadata.texts("tokenizer.ggml.tokens")?;
    if tokens.len() as u64 > vocab_size {
        return Err(inconsistent(format!("it has {} tokens for {vocab_size} embeddings", tokens.len())));
    }
    let vocab: Map<String, Json> =
        tokens.iter().enumerate().map(|(id, token)| (token.clone(), Json::from(id))).collect();
    if vocab.len() < tokens.len() {
        return Err(inconsistent(format!("{} of its tokens are there twice", tokens.len() - vocab.len())));
    }
    let tokenizer = json!({
        "version": "1.0",
        "truncation": null,
        "padding": null,
        "added_tokens": added_tokens(metadata, tokens)?,
        "normalizer": null,
        "pre_tokenizer": splitting.pre_tokenizer,
        "post_processor": post_processor(metadata, tokens)?,
        "decoder": {"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true, "use_regex": true},
        "model": {
            "type": "BPE",
            "dropout": null,
            "unk_token": null,
            "continuing_subword_prefix": "",
            "end_of_word_suffix": "",
            "fuse_unk": false,
            "byte_fallback": false,
            "ignore_merges": splitting.ignore_merges,
            "vocab": vocab,
            "merges": merges(metadata)?,
        },
    });
    // Whatever is still wrong with it (a merge of an unknown token, say) is better found now than by the first user.
    let text = tokenizer.to_string();
    text.parse::<Tokenizer>().map_err(|error| inconsistent(error.to_string()))?;

    let special = special_tokens(metadata, tokens)?;
    let chat_template = metadata.optional_text("tokenizer.chat_template")?;
    let mut config = json!({
        "tokenizer_class": "PreTrainedTokenizerFast",
        "clean_up_tokenization_spaces": false,
        "model_max_length": metadata.whole("llama.context_length")?,
    });
    for (key, token) in &special {
        config[key] = token.clone();
    }
    if let Some(template) = chat_template {
        config["chat_template"] = template.into();
    }
    let (has_chat_template, pre_tokenizer) = (chat_template.is_some(), name.to_owned());
    Ok(TokenizerFiles {
        tokenizer,
        config,
        special_tokens_map: special.into(),
        has_chat_template,
        pre_tokenizer,
    })
}

/// The rules behind a name in `tokenizer.ggml.pre`; `None` for a name that is not supported.
fn splitting(name: &str) -> Option<Splitting> {
    let gpt2 =
        json!({"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true});
    let sequence = |first: Json, second: Json| json!({"type": "Sequence", "pretokenizers": [first, second]});
    match name {
        "gpt-2" => Some(Splitting { pre_tokenizer: gpt2, ignore_merges: false }),
        // SmolLM's own tokenizer.json: every digit by itself, then GPT-2's rules. Loaders that ignore the name lose the
        // first rule and give other ids where several spaces or line breaks come before a digit.
        "smollm" => {
            let digits = json!({"type": "Digits", "individual_digits": true});
            Some(Splitting { pre_tokenizer: sequence(digits, gpt2), ignore_merges: false })
        }
        // Llama 3: contractions, words, up to three digits, punctuation, white space.
        "llama-bpe" => {
            let pattern = "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}\
                           | ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";
            let split = json!({"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": false});
            let bytes = json!({"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": false});
            Some(Splitting { pre_tokenizer: sequence(split, bytes), ignore_merges: true })
        }
        _ => None,
    }
}

fn added_tokens(metadata: &Metadata, tokens: &[String]) -> Result<Vec<Json>, ImportError> {
    let key = "tokenizer.ggml.token_type";
    let types = metadata.optional_wholes(key)?.unwrap_or(&[]);
    if !types.is_empty() && types.len() != tokens.len() {
        let problem = format!("has {} entries for {} tokens", types.len(), tokens.len());
        return Err(metadata.problem(key, problem));
    }
    let added = types
        .iter()
        .zip(tokens)
        .enumerate()
        .filter(|(_, (kind, _))| matches!(**kind, CONTROL | USER_DEFINED))
        .map(|(id, (&kind, token))| {
            json!({
                "id": id, "content": token, "single_word": false, "lstrip": false, "rstrip": false,
                "normalized": false, "special": kind == CONTROL,
            })
        });
    Ok(added.collect())
}

/// Each merge is two tokens with a space between them, which neither contains.
fn merges(metadata: &Metadata) -> Result<Vec<Json>, ImportError> {
    let key = "tokenizer.ggml.merges";
    let pair = |merge: &String| match merge.split_once(' ') {
        Some((left, right)) => Ok(json!([left, right])),
        None => {
            Err(metadata.problem(key, format!("has the entry {merge:?}, expected two tokens and a space")))
        }
    };
    metadata.texts(key)?.iter().map(pair).collect()
}

/// Puts the first token of a text in front where the file asks for it.
fn post_processor(metadata: &Metadata, tokens: &[String]) -> Result<Json, ImportError> {
    if !metadata.flag("tokenizer.ggml.add_bos_token")? {
        return Ok(Json::Null);
    }
    let (id, bos) = special_token(metadata, tokens, "bos")?.ok_or_else(|| {
        metadata.problem("tokenizer.ggml.bos_token_id", "is missing, but add_bos_token is true")
    })?;
    let (token, a) =
        (json!({"SpecialToken": {"id": bos, "type_id": 0}}), json!({"Sequence": {"id": "A", "type_id": 0}}));
    Ok(json!({
        "type": "TemplateProcessing",
        "single": [token, a],
        "pair": [token, a, {"Sequence": {"id": "B", "type_id": 1}}],
        "special_tokens": {bos: {"id": bos, "ids": [id], "tokens": [bos]}},
    }))
}

fn special_tokens(metadata: &Metadata, tokens: &[String]) -> Result<Map<String, Json>, ImportError> {
    let mut special = Map::new();
    for (name, key) in
        [("bos", "bos_token"), ("eos", "eos_token"), ("unknown", "unk_token"), ("padding", "pad_token")]
    {
        if let Some((_, token)) = special_token(metadata, tokens, name)? {
            special.insert(key.into(), token.into());
        }
    }
    Ok(special)
}

fn special_token<'a>(
    metadata: &Metadata,
    tokens: &'a [String],
    name: &str,
) -> Result<Option<(u64, &'a str)>, ImportError> {
    let key = format!("tokenizer.ggml.{name}_token_id");
    let Some(id) = metadata.optional_whole(&key)? else { return Ok(None) };
    let token = usize::try_from(id).ok().and_then(|index| tokens.get(index));
    let beyond = || metadata.problem(&key, format!("is {id}, expected an id below {}", tokens.len()));
    Ok(Some((id, token.ok_or_else(beyond)?)))
}
