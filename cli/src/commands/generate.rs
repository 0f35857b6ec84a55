//! `evenkeel generate`: the tokenizer's side of a conversation; the worker computes.

use crate::exit::Exit;
use crate::process::{Program, find};
use anyhow::{Context, Result, anyhow};
use evenkeel_prepare::chat::{Message, Role};
use evenkeel_prepare::prompt::PromptCodec;
use serde::Deserialize;
use serde_json::json;
use std::io::{BufRead, BufReader, IsTerminal, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

/// A model's answer to a prompt, or a conversation with it when no prompt is given.
#[derive(clap::Args, Debug)]
#[command(after_help = "Examples:\n  \
    evenkeel generate --model runs/mine/checkpoints/step-00000100/model --prompt 'Hello!'\n  \
    evenkeel generate --model DIR --temperature 0            (asks for your side of the conversation, line by line)")]
pub struct Args {
    /// Hugging Face model directory; a checkpoint's `model` folder is one.
    #[arg(long, value_name = "DIR")]
    model: PathBuf,
    /// What you say; without it every line of standard input is a turn of one conversation.
    #[arg(long, value_name = "TEXT")]
    prompt: Option<String>,
    /// The system message.
    #[arg(long, value_name = "TEXT")]
    system: Option<String>,
    /// Continue the prompt as it stands, without the chat template.
    #[arg(long, requires = "prompt", conflicts_with = "system")]
    raw: bool,
    /// Longest answer, in tokens.
    #[arg(long, default_value_t = 256, value_name = "N")]
    max_tokens: usize,
    /// 0 takes the most likely token each time.
    #[arg(long, default_value_t = 0.7, value_name = "T")]
    temperature: f64,
    /// Sample among the most likely tokens that together have this probability.
    #[arg(long, default_value_t = 0.95, value_name = "P")]
    top_p: f64,
    /// Seeds the sampling.
    #[arg(long, default_value_t = 0, value_name = "SEED")]
    seed: i64,
    /// Where to compute: cpu, or cuda:N.
    #[arg(long, default_value = "cpu", value_name = "DEVICE")]
    device: String,
}

/// A line from the worker.
#[derive(Deserialize)]
#[serde(untagged)]
enum Answer {
    Id { id: u32 },
    End { end: String },
}

pub fn run(args: Args) -> Result<()> {
    let codec = PromptCodec::load(&args.model)?;
    let mut worker = Worker::start(&args)?;
    let mut messages: Vec<Message> = Vec::new();
    messages.extend(args.system.iter().map(|text| message(Role::System, text)));
    if let Some(prompt) = &args.prompt {
        let ids = if args.raw {
            codec.encode_text(prompt)?
        } else {
            messages.push(message(Role::User, prompt));
            codec.encode_messages(&messages)?
        };
        worker.answer(&codec, &args, &ids)?;
        return Ok(());
    }
    let is_terminal = std::io::stdin().is_terminal();
    let mut lines = std::io::stdin().lock().lines();
    loop {
        if is_terminal {
            print!("> ");
            std::io::stdout().flush()?;
        }
        let Some(line) = lines.next() else { return Ok(()) };
        messages.push(message(Role::User, &line?));
        let answer = worker.answer(&codec, &args, &codec.encode_messages(&messages)?)?;
        messages.push(message(Role::Assistant, &answer));
    }
}

fn message(role: Role, content: &str) -> Message {
    Message { role, content: content.to_string() }
}

/// The process that has the model in memory; ends with its standard input.
struct Worker {
    process: Child,
    requests: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Worker {
    fn start(args: &Args) -> Result<Self> {
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        let mut process = Command::new(find(Program::Worker)?)
            .args(["generate", "--device", &args.device, "--threads", &threads.to_string(), "--model"])
            .arg(&args.model)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("cannot start the worker")?;
        let missing = || anyhow!("the worker has no standard input or output");
        let requests = process.stdin.take().ok_or_else(missing)?;
        let answers = BufReader::new(process.stdout.take().ok_or_else(missing)?);
        Ok(Self { process, requests, answers })
    }

    /// Asks for a continuation and prints it as it comes.
    fn answer(&mut self, codec: &PromptCodec, args: &Args, prompt_ids: &[u32]) -> Result<String> {
        let request = json!({
            "prompt_ids": prompt_ids,
            "max_new_tokens": args.max_tokens,
            "temperature": args.temperature,
            "top_p": args.top_p,
            "seed": args.seed,
            "stop_ids": codec.end_of_turn().into_iter().collect::<Vec<_>>(),
        });
        if writeln!(self.requests, "{request}").and_then(|()| self.requests.flush()).is_err() {
            return Err(self.failure());
        }
        let mut decode = codec.decoder();
        let mut text = String::new();
        let mut output = std::io::stdout().lock();
        loop {
            let mut line = String::new();
            if self.answers.read_line(&mut line)? == 0 {
                return Err(self.failure());
            }
            match serde_json::from_str(&line).context("what the worker says is not understood")? {
                Answer::Id { id } => {
                    if let Some(piece) = decode(id)? {
                        output.write_all(piece.as_bytes())?;
                        output.flush()?;
                        text.push_str(&piece);
                    }
                }
                Answer::End { end } => {
                    let note = if end == "length" { " […]" } else { "" };
                    writeln!(output, "{note}")?;
                    return Ok(text);
                }
            }
        }
    }

    /// The worker has ended and said why on stderr.
    fn failure(&mut self) -> anyhow::Error {
        match self.process.wait() {
            Ok(status) if status.code().is_some() => Exit(crate::exit::FAILED).into(),
            Ok(status) => anyhow!("the worker ended: {status}"),
            Err(error) => anyhow!("the worker ended: {error}"),
        }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        // It would end by itself with its standard input; a long answer that nobody reads need not be finished.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
