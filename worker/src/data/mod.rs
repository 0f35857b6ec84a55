//! From the plan to micro-batches: the packs of this rank, one segment open per lane.

mod feed;
mod micro_batch;

pub use feed::{Feed, FeedError, Share, StepPacks};
pub use micro_batch::MicroBatch;
