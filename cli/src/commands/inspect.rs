//! `evenkeel inspect`: what is in a data set, as text.

use crate::view::{Marking, sample};
use anyhow::Result;
use evenkeel_prepare::sample::Inspector;
use evenkeel_shared::ids::{RowId, SegmentId};
use std::io::{IsTerminal, Write, stdout};
use std::path::PathBuf;

/// Shows a sample of a vectorized data set as text, with the trained tokens marked.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// The data set's folder.
    dataset: PathBuf,
    /// The model that it was vectorized for: its tokenizer turns ids back into text.
    #[arg(long, value_name = "DIR")]
    model: PathBuf,
    /// The dialogue of this source row, counted from 0 through all source files.
    #[arg(long, value_name = "N", conflicts_with_all = ["segment", "pack"])]
    row: Option<u64>,
    /// The segment that the pack is in.
    #[arg(long, value_name = "S", default_value_t = 0)]
    segment: u32,
    /// The pack to show when no row is given.
    #[arg(long, value_name = "P", default_value_t = 0)]
    pack: usize,
}

pub fn run(args: Args) -> Result<()> {
    let inspector = Inspector::open(&args.dataset, &args.model)?;
    let shown = match args.row {
        Some(row) => inspector.row(RowId(row))?,
        None => inspector.pack(SegmentId(args.segment), args.pack)?,
    };
    let mut out = stdout().lock();
    let marking = if out.is_terminal() { Marking::Colour } else { Marking::Brackets };
    out.write_all(sample(&shown, marking).as_bytes())?;
    Ok(())
}
