//! What can be wrong with a configuration, in words that say where and what to do.

use super::Origin;
use std::fmt;
use std::path::PathBuf;

/// A configuration that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// The file is not there.
    #[error(
        "there is no configuration file {}; give the path of a TOML file (`evenkeel config` without a file shows every \
         setting with its default)", path.display()
    )]
    MissingFile {
        /// The path that was given.
        path: PathBuf,
    },
    /// The file is there but cannot be read.
    #[error("cannot read configuration file {}: {reason}", path.display())]
    Unreadable {
        /// The path that was given.
        path: PathBuf,
        /// The operating system's answer.
        reason: String,
    },
    /// The file is not TOML.
    #[error("{}:{line}: this is not valid TOML: {reason}", path.display())]
    Syntax {
        /// The file.
        path: PathBuf,
        /// Line, from 1.
        line: usize,
        /// What the parser says.
        reason: String,
    },
    /// `--set` without `=`.
    #[error(
        "--set {text:?} has no '='; write --set key=value, for example --set optimizer.learning_rate=1e-4"
    )]
    NoEquals {
        /// What was given.
        text: String,
    },
    /// Settings that are unknown, of the wrong type or out of range: all of them, so that they can be mended at once.
    #[error("{}", lines(problems))]
    Invalid {
        /// At least one.
        problems: Vec<Problem>,
    },
}

/// One setting that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The setting, `section.key`.
    pub key: String,
    /// What is wrong with it, as the rest of a sentence that begins with the key.
    pub what: String,
    /// Where its value comes from; `None` for a configuration that was not read from layers.
    pub origin: Option<Origin>,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(origin) = &self.origin {
            write!(f, "{origin}: ")?;
        }
        write!(f, "{} {}", self.key, self.what)
    }
}

fn lines(problems: &[Problem]) -> String {
    problems.iter().map(Problem::to_string).collect::<Vec<_>>().join("\n")
}
