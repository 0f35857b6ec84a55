//! Commands that another program carries out: it takes this process's place, so that signals and the exit code are its own.

use crate::process::{Program, find};
use anyhow::{Context, Result};
use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::process::Command;

/// Everything after the command's name goes to the other program as it is.
#[derive(clap::Args, Debug)]
#[command(disable_help_flag = true)]
pub struct Args {
    /// Arguments of the program; `--help` lists them.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "ARGUMENTS")]
    arguments: Vec<OsString>,
}

pub fn coordinator(args: Args) -> Result<()> {
    become_program(Program::Coordinator, args.arguments)
}

fn become_program(program: Program, arguments: impl IntoIterator<Item = OsString>) -> Result<()> {
    let path = find(program)?;
    // Only returns when the program cannot be started.
    let error = Command::new(&path).args(arguments).exec();
    Err(error).with_context(|| format!("cannot start {}", path.display()))
}
