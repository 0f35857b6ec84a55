//! Numbers and states as a person reads them.

mod format;
mod sample;
mod state;

pub use format::{age, count, duration};
pub use sample::{Marking, sample};
pub use state::{is_over, name_of};
