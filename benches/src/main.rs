//! Side-by-side benchmark: evenkeel and a peer do the same work in turn on the same machine.
//!
//! `make bench` builds everything and runs it. The peer is `benches/peers/ddp.py`: torchrun, DistributedDataParallel and
//! a model of transformers.

mod dataset;
mod evenkeel;
mod machine;
mod peer;
mod process;
mod report;
mod sample;
mod work;

use anyhow::{Context, Result};
use clap::Parser;
use report::{Comparison, Report};
use std::fs;
use std::path::PathBuf;
use work::{Precision, Work};

/// Compares evenkeel with torchrun + DDP + transformers on the same model, sequence length, micro-batch and precision.
#[derive(Parser)]
struct Args {
    #[command(flatten)]
    work: Work,
    /// Runs of each side for each precision, in turn.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..))]
    repeats: u32,
    /// What is compared.
    #[arg(long, value_enum, value_delimiter = ',', default_values = ["fp32", "bf16"])]
    precision: Vec<Precision>,
    /// The peer's Python interpreter.
    #[arg(long, value_name = "PATH")]
    python: PathBuf,
    /// Folder of the three programs.
    #[arg(long, default_value = "target/release", value_name = "DIR")]
    bin: PathBuf,
    /// Folder for data set, runs and logs; emptied first.
    #[arg(long, default_value = "target/bench", value_name = "DIR")]
    scratch: PathBuf,
    /// Where the result goes.
    #[arg(long, default_value = "benches/results/ddp.json", value_name = "PATH")]
    out: PathBuf,
}

fn main() -> Result<()> {
    let args = Args::parse();
    let machine = machine::describe()?;
    if machine.load > 0.5 {
        eprintln!("note: the machine is busy (load {:.1}); figures taken now mean little", machine.load);
    }
    if args.scratch.exists() {
        fs::remove_dir_all(&args.scratch).context("cannot empty the scratch folder")?;
    }
    fs::create_dir_all(&args.scratch).context("cannot create the scratch folder")?;
    let scratch = fs::canonicalize(&args.scratch)?;
    let dataset = dataset::write(&args.work, &scratch.join("dataset"))?;
    let ours = evenkeel::Side { bin: args.bin, dataset, scratch: scratch.clone() };
    let peer = peer::Side { python: args.python, scratch };
    let mut report = Report::begin(machine, &args.work)?;
    for precision in args.precision {
        let mut comparison = Comparison::of(precision);
        for round in 1..=args.repeats {
            comparison.evenkeel.push(ours.run(&args.work, precision, round)?);
            comparison.peer.push(peer.run(&args.work, precision, round)?);
        }
        report.add(&comparison);
    }
    report.save(&args.out)?;
    print!("{}", report.table());
    println!("written to {}", args.out.display());
    Ok(())
}
