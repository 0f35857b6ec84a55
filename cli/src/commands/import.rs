//! `evenkeel import`: a GGUF file becomes a Hugging Face directory; a Hugging Face directory is checked.

use anyhow::bail;
use evenkeel_prepare::import::{Checked, Imported, Settings, WeightType, check_directory, import_gguf};
use indicatif::{ProgressBar, ProgressStyle};
use std::path::{Path, PathBuf};

/// Makes a Hugging Face directory from a GGUF file, or checks one that exists.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// A GGUF file of the Llama family (F32, F16, BF16, Q8_0, Q4_0, Q4_1), or a Hugging Face directory to check.
    #[arg(value_name = "SOURCE")]
    source: PathBuf,
    /// The directory to make; needed for a GGUF file.
    #[arg(value_name = "OUT_DIR")]
    out_dir: Option<PathBuf>,
    /// Number format of the written weights. Only f32 holds every dequantised value exactly.
    #[arg(long, value_enum, default_value_t = Dtype::F32)]
    dtype: Dtype,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Dtype {
    F32,
    Bf16,
    F16,
}

impl From<Dtype> for WeightType {
    fn from(dtype: Dtype) -> Self {
        match dtype {
            Dtype::F32 => Self::F32,
            Dtype::Bf16 => Self::Bf16,
            Dtype::F16 => Self::F16,
        }
    }
}

/// Imports or checks, and says what was found.
pub fn run(args: Args) -> anyhow::Result<()> {
    if args.source.is_dir() {
        if let Some(out_dir) = args.out_dir {
            bail!(
                "{} is a directory, so there is nothing to convert into {}; leave OUT_DIR out to check the directory",
                args.source.display(),
                out_dir.display()
            );
        }
        let checked = check_directory(&args.source)?;
        report_check(&args.source, &checked);
        return Ok(());
    }
    let Some(out_dir) = args.out_dir else {
        bail!("where to? Name the directory to make: evenkeel import {} OUT_DIR", args.source.display());
    };
    let settings = Settings { source: args.source, out_dir, weight_type: args.dtype.into() };
    let bar = ProgressBar::new(0);
    if let Ok(style) = ProgressStyle::with_template("{bar:40} {percent}% of the parameters, {eta} left") {
        bar.set_style(style);
    }
    let imported = import_gguf(&settings, &mut |done, total| {
        bar.set_length(total);
        bar.set_position(done);
    });
    bar.finish_and_clear();
    report_import(&settings.out_dir, &imported?);
    Ok(())
}

fn report_import(out_dir: &Path, imported: &Imported) {
    let name = imported.name.as_deref().unwrap_or("a model without a name");
    let types: Vec<String> =
        imported.tensor_types.iter().map(|(kind, count)| format!("{count} {kind}")).collect();
    println!("imported {name} into {}", out_dir.display());
    println!("  parameters {:.1} M, tensors {}", imported.parameters as f64 / 1e6, types.join(", "));
    println!("  tokenizer byte-level BPE, text split as in {}", imported.pre_tokenizer);
    if !imported.has_chat_template {
        println!(
            "  no chat template in the file: put one into chat_template.jinja before `evenkeel vectorize`"
        );
    }
}

fn report_check(dir: &Path, checked: &Checked) {
    let dtypes: Vec<String> =
        checked.dtypes.iter().map(|(dtype, count)| format!("{count} {dtype}")).collect();
    println!("{} can be trained", dir.display());
    println!("  parameters {:.1} M, tensors {}", checked.parameters as f64 / 1e6, dtypes.join(", "));
    println!(
        "  tokenizer {} tokens, embedding {} rows, chat template found",
        checked.tokens, checked.vocab_size
    );
    if !checked.unused_tensors.is_empty() {
        println!("  not used: {}", checked.unused_tensors.join(", "));
    }
}
