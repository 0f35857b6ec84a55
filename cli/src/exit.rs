//! Exit codes, and how an error is shown.
//!
//! 0: done. 1: the run or the command failed. 2: wrong usage or configuration. 128 + N: ended by signal N (130 for
//! Ctrl-C, 143 for SIGTERM), also when the checkpoint was saved, so that a script does not go on as if all were done.

use evenkeel_shared::config::ConfigError;
use std::fmt;
use std::io::Write;
use std::process::ExitCode;

/// The command failed.
pub const FAILED: u8 = 1;
/// The command line or the configuration cannot be used.
pub const USAGE: u8 = 2;

/// Ends the command with this code without another message: everything has been said already.
#[derive(Debug)]
pub struct Exit(pub u8);

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "exit code {}", self.0)
    }
}

impl std::error::Error for Exit {}

/// A mistake on the command line or in the configuration, in a sentence.
#[derive(Debug)]
pub struct Usage(pub String);

impl fmt::Display for Usage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl std::error::Error for Usage {}

/// Prints the error as one paragraph and says with which code to end.
pub fn report(error: &anyhow::Error) -> ExitCode {
    if let Some(Exit(code)) = error.downcast_ref::<Exit>() {
        return ExitCode::from(*code);
    }
    // Not `eprintln!`, which panics when nobody reads any more.
    let _ = writeln!(std::io::stderr(), "error: {}", paragraph(error));
    let is_usage = error.chain().any(|cause| cause.is::<ConfigError>() || cause.is::<Usage>());
    ExitCode::from(if is_usage { USAGE } else { FAILED })
}

/// The error and its causes in one line of text; a cause that the sentence before it already contains is left out.
fn paragraph(error: &anyhow::Error) -> String {
    let mut text = String::new();
    for cause in error.chain() {
        let sentence = cause.to_string();
        if text.contains(&sentence) {
            continue;
        }
        if !text.is_empty() {
            text.push_str(": ");
        }
        text.push_str(sentence.trim_end());
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::Context;

    #[test]
    fn causes_follow_and_are_not_repeated() {
        let error =
            anyhow::anyhow!("no such file").context("cannot read a.toml: no such file").context("train");
        assert_eq!(paragraph(&error), "train: cannot read a.toml: no such file");
    }

    #[test]
    fn a_configuration_error_below_other_words_is_still_one_of_usage() {
        let result: Result<(), _> = Err(ConfigError::NoEquals { text: "run.seed".into() });
        let error = result.context("in run.toml").unwrap_err();
        assert_eq!(report(&error), ExitCode::from(USAGE));
        assert_eq!(report(&anyhow::anyhow!("x")), ExitCode::from(FAILED));
        assert_eq!(report(&anyhow::Error::new(Exit(7))), ExitCode::from(7));
    }
}
