//! Between the wire's messages and the coordinator's own types. Lengths and numbers from the wire are checked here and
//! nowhere else.

mod inbound;
mod limits;
mod outbound;

pub use inbound::{Hello, event, hello};
pub use limits::{MAX_MESSAGE_BYTES, Malformed, text};
pub use outbound::{order, run_status, status_of};
