//! Tokens and masks against transformers: `tests/fixtures/make_fixtures.py` says how the expected values were made.

use super::{Encoder, Ending};
use crate::chat::{Renderer, Row};
use crate::fixtures;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::fs;

#[derive(Deserialize)]
struct Expected {
    text: String,
    ids: Vec<u32>,
    mask: Vec<u8>,
}

#[test]
fn text_ids_and_masks_are_those_of_transformers() {
    let dialogues = fs::read_to_string(fixtures::path("dialogues.jsonl")).unwrap();
    let expected: BTreeMap<String, Vec<Option<Expected>>> =
        serde_json::from_slice(&fs::read(fixtures::path("expected.json")).unwrap()).unwrap();
    assert_eq!(expected.len(), 3);
    for (name, cases) in expected {
        let files = fixtures::files(&name);
        let template = fixtures::template(&name);
        template.check_trainable().unwrap();
        let encoder = Encoder::new(&files).unwrap();
        let mut renderer = Renderer::new(&template);
        assert_eq!(dialogues.lines().count(), cases.len());
        for (line, case) in dialogues.lines().zip(cases) {
            let rendered = renderer.render(&Row::parse(line.as_bytes()).unwrap().messages);
            let Some(case) = case else {
                let message = rendered.unwrap_err().to_string();
                assert!(message.contains("may speak, not tool"), "{message}");
                continue;
            };
            let rendered = rendered.unwrap();
            assert_eq!(rendered.text, case.text, "{name}");
            let tokens = encoder.encode(&rendered, Ending::Whole).unwrap();
            assert_eq!(tokens.ids, case.ids, "{name}: {line}");
            let mask: Vec<u8> = tokens.targets.iter().map(|&target| target.into()).collect();
            assert_eq!(mask, case.mask, "{name}: {line}");
            assert_eq!(encoder.decode(&tokens.ids).unwrap(), case.text);
        }
    }
}

#[test]
fn the_vocabulary_reaches_up_to_the_largest_id() {
    let encoder = Encoder::new(&fixtures::files("chatml")).unwrap();
    assert_eq!(encoder.vocab_size(), 480);
}

#[test]
fn a_broken_tokenizer_is_an_error() {
    let mut files = fixtures::files("chatml");
    files.tokenizer_json.truncate(100);
    assert!(Encoder::new(&files).unwrap_err().to_string().contains("tokenizer.json cannot be used"));
}
