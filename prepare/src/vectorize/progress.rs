//! How a caller follows the work.

/// What is being done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Hashing the files and finding the rows.
    Reading,
    /// Making segments.
    Vectorizing,
}

/// Told about progress from any thread.
pub trait Progress: Sync {
    /// A phase begins that goes over this many bytes of input.
    fn begin(&self, phase: Phase, bytes: u64);
    /// So many more bytes are done.
    fn advance(&self, bytes: u64);
    /// The phase is over.
    fn end(&self);
}

/// Shows nothing.
#[derive(Debug, Clone, Copy)]
pub struct Silent;

impl Progress for Silent {
    fn begin(&self, _phase: Phase, _bytes: u64) {}
    fn advance(&self, _bytes: u64) {}
    fn end(&self) {}
}
