//! Child processes: where their programs are, and how they are kept from outliving their parent.

mod child;
mod programs;
mod signals;
mod tail;

pub use child::{Child, Ending};
pub use programs::{Program, find};
pub use signals::{Interrupt, Interrupts};
