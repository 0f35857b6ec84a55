//! The model: a Llama-family decoder over flat token streams.
//!
//! There is no batch dimension and no padding. A micro-batch is one line of `T` tokens in which documents stand one after
//! the other; attention stays inside each document and positions restart with each.

mod attention;
mod llama;
mod load;
pub mod ops;
mod parameter;
mod rope;

pub use attention::KeyValueCache;
pub use llama::{Llama, TokenLine};
pub use load::{LoadError, load};
pub use parameter::{Numerics, Parameter};
