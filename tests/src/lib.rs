//! What end-to-end tests need: the built programs, small random models and data sets, runs that can be watched and
//! killed, and ways to compare what they leave behind.
//!
//! Everything is made from seeds, without libtorch, and lives in a temporary folder. The programs are those of the
//! profile that the tests are built with: run `cargo build --workspace` before `cargo test -p evenkeel-tests`.

mod dataset;
mod metrics;
mod model;
mod processes;
mod programs;
mod random;
mod run;
mod sandbox;
mod tensors;
mod wait;

pub use dataset::{DatasetShape, write_dataset};
pub use metrics::{losses, read_metrics};
pub use model::{ModelShape, VOCABULARY, write_model};
pub use processes::Process;
pub use run::{Finished, Running};
pub use sandbox::Sandbox;
pub use tensors::{Tensors, checkpoint_tensors};
pub use wait::{DEADLINE, wait_until};
