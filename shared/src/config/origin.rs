//! Where a value comes from.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

/// The layer that a setting's value was taken from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// `schema.rs`.
    Default,
    /// The TOML file.
    File {
        /// The file, as it was given.
        path: PathBuf,
        /// Line, from 1.
        line: usize,
    },
    /// An environment variable.
    Environment {
        /// Its name.
        variable: String,
    },
    /// `--set`.
    CommandLine,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File { path, line } => write!(f, "{}:{line}", path.display()),
            Self::Environment { variable } => write!(f, "environment variable {variable}"),
            Self::CommandLine => f.write_str("--set"),
        }
    }
}

/// The origin of every setting that is not left at its default.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Origins(pub(super) BTreeMap<String, Origin>);

impl Origins {
    /// Where the value of `section.key` comes from.
    #[must_use]
    pub fn of(&self, key: &str) -> Origin {
        self.0.get(key).cloned().unwrap_or(Origin::Default)
    }
}
