//! Training: what the worker's training thread does.

mod checkpoint;
mod error;
mod journal;
mod membership;
mod optimizer;
mod run;
mod step;

pub use error::TrainError;
pub use run::train;
