//! `evenkeel vectorize`: dialogues to a data set.

use super::ConfigFile;
use crate::view::{Marking, duration, sample};
use anyhow::Result;
use comfy_table::presets::UTF8_BORDERS_ONLY;
use comfy_table::{ContentArrangement, Table};
use evenkeel_prepare::sample::Inspector;
use evenkeel_prepare::vectorize::{self, Existing, Options, Outcome, Phase, Progress, Report};
use evenkeel_shared::config::Config;
use evenkeel_shared::ids::SegmentId;
use indicatif::{ProgressBar, ProgressStyle};
use std::io::{IsTerminal, Write, stdout};
use std::sync::Mutex;

/// Turns dialogues into the data set that `train` reads. Interrupted, the same command goes on where it stopped.
#[derive(clap::Args, Debug)]
pub struct Args {
    #[command(flatten)]
    config: ConfigFile,
    /// Replaces a data set in `data.dataset` that was made with other inputs.
    #[arg(long)]
    overwrite: bool,
}

pub fn run(args: Args) -> Result<()> {
    let config = args.config.load()?;
    let existing = if args.overwrite { Existing::Overwrite } else { Existing::Keep };
    let report = vectorize::run(&config, Options { existing }, &Bar::default())?;
    let mut out = stdout().lock();
    if report.outcome == Outcome::UpToDate {
        let dataset = report.dataset.display();
        writeln!(out, "nothing to do: {dataset} was made from the same inputs with the same settings")?;
    }
    writeln!(out, "{}", table(&report))?;
    if report.outcome != Outcome::UpToDate {
        let marking = if out.is_terminal() { Marking::Colour } else { Marking::Brackets };
        out.write_all(first_sample(&config, &report, marking)?.as_bytes())?;
    }
    Ok(())
}

/// The shortest pack-mate of the first pack: a whole dialogue that is likely to fit on a screen.
fn first_sample(config: &Config, report: &Report, marking: Marking) -> Result<String> {
    let Some(segment) = report.manifest.segments.iter().position(|segment| segment.packs > 0) else {
        return Ok(String::new());
    };
    let inspector = Inspector::open(&report.dataset, &config.model.path)?;
    let mut shown = inspector.pack(SegmentId(segment as u32), 0)?;
    shown.documents.sort_by_key(|document| document.tokens);
    shown.documents.truncate(1);
    let legend = match marking {
        Marking::Colour => "a sample; what is trained on is green",
        Marking::Brackets => "a sample; what is trained on is between « and »",
    };
    Ok(format!("\n{legend}\n{}", sample(&shown, marking)))
}

fn table(report: &Report) -> Table {
    let manifest = &report.manifest;
    let by_role = |counts: &std::collections::BTreeMap<String, u64>| {
        counts
            .iter()
            .map(|(role, &count)| format!("{role} {}", grouped(count)))
            .collect::<Vec<_>>()
            .join(", ")
    };
    let mut table = Table::new();
    table.load_style(UTF8_BORDERS_ONLY).set_content_arrangement(ContentArrangement::Dynamic);
    let mut row = |name: &str, value: String| {
        table.add_row([name.to_owned(), value]);
    };
    row("data set", report.dataset.display().to_string());
    row("rows", grouped(manifest.rows));
    if manifest.rejected_rows > 0 {
        let list = report.rejected_list.display();
        row("rejected", format!("{}, see {list}", grouped(manifest.rejected_rows)));
    }
    row("messages", by_role(&manifest.messages_by_role));
    row("tokens", format!("{} in {} dialogues", grouped(manifest.tokens), grouped(manifest.documents)));
    let share = 100.0 * manifest.target_tokens as f64 / manifest.tokens.max(1) as f64;
    row("trained tokens", format!("{} ({share:.1} %)", by_role(&manifest.target_tokens_by_role)));
    let losses = manifest.truncation;
    if losses.dialogues > 0 {
        let text = format!(
            "{} dialogues, which lost {} messages, {} tokens, {} of them to be trained",
            grouped(losses.dialogues),
            grouped(losses.messages),
            grouped(losses.tokens),
            grouped(losses.target_tokens)
        );
        row("shortened", text);
    }
    let segments = manifest.segments.len();
    row(
        "packs",
        format!("{} of {} tokens, in {segments} segments", grouped(manifest.packs()), manifest.max_length),
    );
    row("fill", format!("{:.2} %", 100.0 * manifest.fill()));
    if let Outcome::Made { continued } = report.outcome {
        if continued > 0 {
            row("taken over", format!("{continued} segments of an interrupted run"));
        }
        let speed = report.megabytes_per_second().map_or(String::new(), |speed| format!(", {speed:.2} MB/s"));
        let threads = report.threads;
        row("time", format!("{}{speed}, {threads} threads", duration(report.elapsed.as_secs_f64())));
    }
    table
}

/// 1234567 as 1,234,567.
fn grouped(value: u64) -> String {
    let digits = value.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// A bar with the time left on stderr; indicatif shows nothing when that is no terminal.
#[derive(Default)]
struct Bar(Mutex<Option<ProgressBar>>);

impl Bar {
    fn with(&self, act: impl FnOnce(&ProgressBar)) {
        let bar = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some(bar) = bar.as_ref() {
            act(bar);
        }
    }
}

impl Progress for Bar {
    fn begin(&self, phase: Phase, bytes: u64) {
        let style = ProgressStyle::with_template(
            "{msg:11} {wide_bar} {bytes}/{total_bytes} {bytes_per_sec} ETA {eta}",
        )
        .unwrap_or_else(|_| ProgressStyle::default_bar());
        let message = match phase {
            Phase::Reading => "reading",
            Phase::Vectorizing => "vectorizing",
        };
        let bar = ProgressBar::new(bytes).with_style(style).with_message(message);
        *self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = Some(bar);
    }

    fn advance(&self, bytes: u64) {
        self.with(|bar| bar.inc(bytes));
    }

    fn end(&self) {
        self.with(ProgressBar::finish_and_clear);
    }
}

#[cfg(test)]
mod tests {
    use super::grouped;

    #[test]
    fn thousands_are_grouped() {
        assert_eq!([0, 999, 1000, 1_234_567].map(grouped), ["0", "999", "1,000", "1,234,567"]);
    }
}
