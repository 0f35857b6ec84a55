//! The run's configuration: one TOML file for every command.
//!
//! Layers, the later over the earlier: defaults, the TOML file, the environment (`EVENKEEL_OPTIMIZER__LEARNING_RATE`),
//! `--set optimizer.learning_rate=1e-4`. An unknown key is refused with the nearest known one.

mod error;
mod known;
mod layer;
mod load;
mod origin;
mod render;
mod schema;
mod validate;

#[cfg(test)]
mod tests;

pub use error::{ConfigError, Problem};
pub use load::{Layers, Resolved, load, process_environment, resolve};
pub use origin::{Origin, Origins};
pub use schema::{
    Batch, Checkpoint, Cluster, Config, Data, LongDialogue, Model, Optimizer, Precision, Resume, Run,
    Schedule, Train, Vectorize,
};
