//! Numbers that must not be mistaken for each other.

use serde::{Deserialize, Serialize};
use std::fmt;

macro_rules! id {
    ($(#[$doc:meta])* $name:ident($inner:ty)) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub $inner);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl From<$inner> for $name {
            fn from(value: $inner) -> Self {
                Self(value)
            }
        }
    };
}

id!(
    /// Position of a process in its generation, from 0.
    Rank(u32)
);
id!(
    /// Number of processes in a generation.
    WorldSize(u32)
);
id!(
    /// One set of members with one process group; counted from 1, never reused.
    Generation(u64)
);
id!(
    /// Optimizer steps done.
    Step(u64)
);
id!(
    /// Passes over the data set, from 0.
    Epoch(u32)
);
id!(
    /// A segment's position in the manifest, from 0; also its file name.
    SegmentId(u32)
);
id!(
    /// A source row: the line number in its file minus one, counted on through the list of files.
    RowId(u64)
);
