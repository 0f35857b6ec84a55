//! The model against transformers: see fixtures/make_fixtures.py.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use evenkeel_worker::generate::{self, Request};
use evenkeel_worker::model::{self, Llama, Numerics, TokenLine};
use serde::Deserialize;
use std::path::{Path, PathBuf};
use tch::{Device, Kind, Tensor};

/// Allowed difference, relative to the largest logit.
const TOLERANCE: f64 = 1e-4;

#[derive(Deserialize)]
struct TinyReference {
    ids: Vec<i64>,
    logits: Vec<Vec<f32>>,
}

#[derive(Deserialize)]
struct StridedReference {
    ids: Vec<i64>,
    stride: i64,
    logits: Vec<f32>,
}

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)
}

fn read_json<T: serde::de::DeserializeOwned>(path: &Path) -> T {
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

fn load(folder: &Path) -> Llama {
    let numerics = Numerics { compute: Kind::Float };
    model::load(folder, numerics, Device::Cpu, |_| Ok(None)).unwrap()
}

/// Documents one after the other, as a pack has them.
fn line(documents: &[&[i64]]) -> TokenLine {
    let mut bounds = vec![0];
    let mut positions = Vec::new();
    for document in documents {
        positions.extend(0..document.len() as i64);
        bounds.push(positions.len() as i64);
    }
    TokenLine {
        tokens: Tensor::from_slice(&documents.concat()),
        positions: Tensor::from_slice(&positions),
        bounds,
    }
}

fn assert_close(found: &Tensor, expected: &Tensor, what: &str) {
    assert_eq!(found.size(), expected.size(), "{what}");
    let difference = (found - expected).abs().max().double_value(&[]);
    let scale = expected.abs().max().double_value(&[]);
    assert!(difference <= TOLERANCE * scale, "{what}: differs by {difference:e}, largest logit {scale}");
}

#[test]
fn logits_equal_transformers_for_an_untied_model_with_grouped_queries() {
    let model = load(&fixture("tiny_llama"));
    let references: Vec<TinyReference> = read_json(&fixture("tiny_llama/logits.json"));
    let expected = |reference: &TinyReference| {
        let width = reference.logits[0].len() as i64;
        Tensor::from_slice(&reference.logits.concat()).view([-1, width])
    };
    for reference in &references {
        let found = model.logits(&line(&[&reference.ids])).unwrap();
        assert_close(&found, &expected(reference), "one document");
    }
    // In one pack neither document sees the other.
    let documents: Vec<&[i64]> = references.iter().map(|reference| reference.ids.as_slice()).collect();
    let found = model.logits(&line(&documents)).unwrap();
    let all: Vec<Tensor> = references.iter().map(expected).collect();
    assert_close(&found, &Tensor::cat(&all, 0), "a pack of two documents");
}

#[test]
fn logits_equal_transformers_for_smollm2() {
    let folder = std::env::var_os("EVENKEEL_TEST_MODEL").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../.deps/models/smollm2-135m-instruct"),
        PathBuf::from,
    );
    assert!(
        folder.join("config.json").exists(),
        "no model in {}: `make test` puts it there",
        folder.display()
    );
    let model = load(&folder);
    let references: Vec<StridedReference> = read_json(&fixture("smollm2_logits.json"));
    for reference in &references {
        let found = model.logits(&line(&[&reference.ids])).unwrap();
        let found = found.get(-1).slice(0, 0, None, reference.stride);
        assert_close(&found, &Tensor::from_slice(&reference.logits), "last position");
    }
}

#[test]
fn the_loss_of_a_pack_is_the_sum_over_its_documents() {
    let model = load(&fixture("tiny_llama"));
    let documents: [&[i64]; 3] = [&[5, 17, 3, 60, 22, 9, 41], &[8, 8, 30, 2, 11], &[1, 2]];
    let loss_and_gradient = |documents: &[&[i64]]| {
        let line = line(documents);
        let (mut sources, mut targets) = (Vec::new(), Vec::new());
        let mut start = 0;
        for document in documents {
            sources.extend(start..start + document.len() as i64 - 1);
            targets.extend_from_slice(&document[1..]);
            start += document.len() as i64;
        }
        let loss =
            model.loss_sum(&line, &Tensor::from_slice(&sources), &Tensor::from_slice(&targets)).unwrap();
        let masters: Vec<&Tensor> = model.parameters().iter().map(|parameter| parameter.master()).collect();
        let gradients = Tensor::run_backward(&[&loss], &masters, false, false);
        let flat: Vec<Tensor> = gradients.iter().map(|gradient| gradient.flatten(0, -1)).collect();
        (loss.detach(), Tensor::cat(&flat, 0))
    };
    let (packed, packed_gradient) = loss_and_gradient(&documents);
    let (mut sum, mut gradient_sum) = (Tensor::from(0f32), Tensor::zeros_like(&packed_gradient));
    for document in documents {
        let (loss, gradient) = loss_and_gradient(&[document]);
        sum += loss;
        gradient_sum += gradient;
    }
    assert_close(&packed, &sum, "loss");
    assert_close(&packed_gradient, &gradient_sum, "gradient");
}

#[test]
fn a_line_without_targets_changes_nothing() {
    let model = load(&fixture("tiny_llama"));
    let none = Tensor::zeros([0], (Kind::Int64, Device::Cpu));
    let loss = model.loss_sum(&line(&[&[4, 5, 6]]), &none, &none).unwrap();
    assert_eq!(loss.double_value(&[]), 0.0);
    loss.f_backward().unwrap();
    for parameter in model.parameters() {
        let gradient = parameter.master().grad();
        // The head's is not even made.
        let is_zero = !gradient.defined() || gradient.abs().max().double_value(&[]) == 0.0;
        assert!(is_zero, "{}", parameter.name());
    }
}

#[test]
fn generation_with_a_cache_equals_generation_without() {
    let model = load(&fixture("tiny_llama"));
    let request = Request {
        prompt_ids: vec![5, 17, 3],
        max_new_tokens: 12,
        temperature: 0.0,
        top_p: 1.0,
        seed: 0,
        stop_ids: Vec::new(),
    };
    let mut cached = Vec::new();
    let end = generate::generate(&model, &request, Device::Cpu, |id| {
        cached.push(id);
        Ok(())
    })
    .unwrap();

    let mut ids = request.prompt_ids.clone();
    let stops = &model.config().eos_token_ids;
    let mut end_without = "length";
    for _ in 0..request.max_new_tokens {
        let logits = model.logits(&line(&[&ids])).unwrap();
        let id = logits.get(-1).argmax(-1, false).int64_value(&[]);
        if stops.contains(&id) {
            end_without = "stop";
            break;
        }
        ids.push(id);
    }
    assert_eq!((cached.as_slice(), end), (&ids[3..], end_without));
}

#[test]
fn sampling_is_repeatable_and_stays_inside_the_nucleus() {
    let model = load(&fixture("tiny_llama"));
    let sample = |seed: i64, top_p: f64| {
        let mut ids = Vec::new();
        let request = Request {
            prompt_ids: vec![5, 17, 3],
            max_new_tokens: 12,
            temperature: 1.0,
            top_p,
            seed,
            stop_ids: Vec::new(),
        };
        let take = |id| {
            ids.push(id);
            Ok(())
        };
        generate::generate(&model, &request, Device::Cpu, take).unwrap();
        ids
    };
    assert_eq!(sample(1, 0.9), sample(1, 0.9));
    // A nucleus smaller than any probability leaves the most likely id only, whatever the seed.
    assert_eq!(sample(1, 1e-9), sample(2, 1e-9));
}

#[test]
fn a_token_that_occurs_often_gets_its_whole_gradient_in_bf16() {
    let gradient = |compute: Kind| {
        let numerics = Numerics { compute };
        let model = model::load(&fixture("tiny_llama"), numerics, Device::Cpu, |_| Ok(None)).unwrap();
        // Documents of two equal tokens: the gradients of all of them point the same way.
        let document: &[i64] = &[5, 7];
        let documents = vec![document; 2000];
        let sources: Vec<i64> = (0..2000).map(|index| 2 * index).collect();
        let line = line(&documents);
        let loss = model.loss_sum(&line, &Tensor::from_slice(&sources), &Tensor::from_slice(&[7i64; 2000]));
        loss.unwrap().f_backward().unwrap();
        model.parameters()[0].master().grad().get(5)
    };
    let (narrow, exact) = (gradient(Kind::BFloat16), gradient(Kind::Float));
    let difference = (narrow - &exact).norm().double_value(&[]);
    let scale = exact.norm().double_value(&[]);
    assert!(scale > 0.0 && difference < 0.1 * scale, "differs by {difference}, its norm is {scale}");
}
