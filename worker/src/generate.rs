//! Text generation over token ids: prompt in, one id at a time out. Text and templates are the command line's concern.

use crate::device;
use crate::model::{self, KeyValueCache, Llama, Numerics, TokenLine};
use anyhow::{Context, bail, ensure};
use evenkeel_shared::config::Precision;
use serde::{Deserialize, Serialize};
use std::io::{BufRead, Write};
use std::path::PathBuf;
use tch::{Device, Kind, Tensor};

/// Command line of `evenkeel-worker generate`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Hugging Face model directory.
    #[arg(long, value_name = "DIR")]
    model: PathBuf,
    /// Where to compute: cpu, or cuda:N.
    #[arg(long, default_value = "cpu", value_name = "DEVICE")]
    device: String,
    /// Threads for CPU work.
    #[arg(long, default_value_t = 1, value_name = "N")]
    threads: u32,
}

/// One line of JSON on standard input.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// Token ids to continue; at least one.
    pub prompt_ids: Vec<i64>,
    /// Most ids to generate.
    pub max_new_tokens: usize,
    /// 0 takes the most likely id; otherwise logits are divided by it.
    pub temperature: f64,
    /// Samples among the most likely ids that together have this probability.
    pub top_p: f64,
    /// Seeds the sampling.
    pub seed: i64,
    /// Ids that end the answer, besides those of `config.json`.
    #[serde(default)]
    pub stop_ids: Vec<i64>,
}

/// One line of JSON on standard output.
#[derive(Debug, Serialize)]
struct Generated {
    id: i64,
}

/// Serves requests from standard input until it ends: for each a line per generated id, then `{"end":"stop"}` or
/// `{"end":"length"}`.
///
/// # Errors
/// A model that cannot be loaded, a malformed request, a prompt longer than the model takes.
pub fn run(args: &Args) -> anyhow::Result<()> {
    let device = device::parse(&args.device)?;
    device::set_threads(args.threads);
    let model = model::load(&args.model, Numerics::from(Precision::Fp32), device, |_| Ok(None))?;
    let mut output = std::io::stdout().lock();
    for line in std::io::stdin().lock().lines() {
        let request: Request =
            serde_json::from_str(&line?).context("expected a generation request in JSON")?;
        let end = generate(&model, &request, device, |id| {
            writeln!(output, "{}", serde_json::to_string(&Generated { id })?)?;
            Ok(output.flush()?)
        })?;
        writeln!(output, "{{\"end\":\"{end}\"}}")?;
        output.flush()?;
    }
    Ok(())
}

/// Generates ids one after the other; says why it ended: "stop" (an end id, which is not given out) or "length".
///
/// # Errors
/// An id outside the vocabulary, a prompt that is empty or too long, whatever `take` returns.
pub fn generate(
    model: &Llama,
    request: &Request,
    device: Device,
    mut take: impl FnMut(i64) -> anyhow::Result<()>,
) -> anyhow::Result<&'static str> {
    let vocabulary = model.config().vocab_size as i64;
    ensure!(!request.prompt_ids.is_empty(), "expected a prompt of at least one token, found none");
    if let Some(id) = request.prompt_ids.iter().find(|&&id| !(0..vocabulary).contains(&id)) {
        bail!(
            "token id {id} of the prompt is outside the model's vocabulary of {vocabulary}: is the tokenizer another model's?"
        );
    }
    ensure!(request.temperature >= 0.0, "expected a temperature of 0 or more, found {}", request.temperature);
    ensure!(
        request.top_p > 0.0 && request.top_p <= 1.0,
        "expected top-p above 0 and at most 1, found {}",
        request.top_p
    );
    let room = model.max_length() - request.prompt_ids.len() as i64;
    ensure!(
        room > 0,
        "the prompt has {} tokens, the model takes {}",
        request.prompt_ids.len(),
        model.max_length()
    );

    let _no_grad = tch::no_grad_guard();
    tch::manual_seed(request.seed);
    let mut caches = model.empty_caches();
    let mut next = request.prompt_ids.clone();
    let mut position = 0;
    for _ in 0..request.max_new_tokens.min(room as usize) {
        let logits = forward(model, &next, position, &mut caches, device)?;
        position += next.len() as i64;
        let id = choose(&logits, request)?;
        if request.stop_ids.contains(&id) || model.config().eos_token_ids.contains(&id) {
            return Ok("stop");
        }
        take(id)?;
        next = vec![id];
    }
    Ok("length")
}

fn forward(
    model: &Llama,
    ids: &[i64],
    position: i64,
    caches: &mut [KeyValueCache],
    device: Device,
) -> anyhow::Result<Tensor> {
    let count = ids.len() as i64;
    let line = TokenLine {
        tokens: Tensor::f_from_slice(ids)?.f_to_device(device)?,
        positions: Tensor::f_arange_start(position, position + count, (Kind::Int64, device))?,
        bounds: vec![0, count],
    };
    Ok(model.next_logits(&line, caches)?)
}

/// Greedy, or by temperature and nucleus (Holtzman et al. 2020).
fn choose(logits: &Tensor, request: &Request) -> anyhow::Result<i64> {
    let logits = logits.f_to_kind(Kind::Float)?;
    if request.temperature == 0.0 {
        return Ok(logits.f_argmax(-1, false)?.f_int64_value(&[])?);
    }
    let probabilities = logits.f_div_scalar(request.temperature)?.f_softmax(-1, Kind::Float)?;
    let (sorted, order) = probabilities.f_sort(-1, true)?;
    // An id stays when the more likely ones before it have not reached top-p yet, so that one always stays.
    let before = sorted.f_cumsum(-1, Kind::Float)?.f_sub(&sorted)?;
    let kept = sorted.f_masked_fill(&before.f_ge(request.top_p)?, 0.0)?;
    let place = kept.f_multinomial(1, true)?;
    Ok(order.f_index_select(0, &place)?.f_int64_value(&[0])?)
}
