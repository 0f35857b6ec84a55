//! evenkeel's training process: one per device.
//!
//! [`session`] speaks with the coordinator, [`train`] runs on a thread of its own; between them are bounded queues.

pub mod data;
pub mod device;
pub mod generate;
pub mod model;
pub mod session;
pub mod tensor_file;
pub mod train;
