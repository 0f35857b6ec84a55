//! The run's configuration: one TOML file for every command.
//!
//! Layers, the later over the earlier: defaults, the TOML file, the environment (`EVENKEEL_OPTIMIZER__LEARNING_RATE`),
//! `--set optimizer.learning_rate=1e-4`. An unknown key is refused with the nearest known one.

mod load;
mod schema;

pub use load::{ConfigError, Layers, load};
pub use schema::{
    Batch, Checkpoint, Cluster, Config, Data, LongDialogue, Model, Optimizer, Precision, Resume, Run, Schedule, Train,
    Vectorize,
};
