//! Child processes: where their programs are, and how they are kept from outliving their parent.

mod programs;

pub use programs::{Program, find};
