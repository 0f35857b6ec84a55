//! evenkeel's control plane: lets workers in, forms generations, hands out ranks and the plan, watches the run.
//!
//! The coordinator never sees a tensor and needs no libtorch. All decisions are made by the pure machine in [`state`]; one
//! task owns it, and everything else carries messages to and from that task.

pub mod address;
pub mod args;
pub mod daemon;
mod owner;
pub mod server;
mod services;
pub mod setup;
pub mod signals;
pub mod state;
pub mod wire;
