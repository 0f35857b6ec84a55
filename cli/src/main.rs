//! `evenkeel`: what a person types. Everything here parses arguments, calls the other crates and shows their answers.

mod agent;
mod client;
mod commands;
mod exit;
mod process;
mod runtime;
mod view;

use clap::Parser;
use std::process::ExitCode;

fn main() -> ExitCode {
    let cli = commands::Cli::parse();
    evenkeel_shared::telemetry::init("warn");
    match cli.command.run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => exit::report(&error),
    }
}
