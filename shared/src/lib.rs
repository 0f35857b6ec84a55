//! What every part of evenkeel agrees on: ids, configuration, the vectorized data set, the epoch plan, checkpoints.
//!
//! Nothing here needs libtorch or a network.

pub mod checkpoint;
pub mod codec;
pub mod config;
pub mod dataset;
pub mod fsio;
pub mod hf;
pub mod ids;
pub mod metrics;
pub mod plan;
pub mod preflight;
pub mod schedule;
pub mod telemetry;
