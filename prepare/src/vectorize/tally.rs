//! Counts that are added up over segments.

use crate::chat::{Message, Role};
use evenkeel_shared::dataset::TruncationLosses;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What became of the rows of a segment, or of all.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Tally {
    pub rows: u64,
    pub rejected_rows: u64,
    pub messages_by_role: BTreeMap<Role, u64>,
    pub target_tokens: u64,
    pub truncation: TruncationLosses,
}

impl Tally {
    /// Counts a dialogue that was taken.
    pub(super) fn take(&mut self, messages: &[Message], targets: usize, losses: TruncationLosses) {
        for message in messages {
            *self.messages_by_role.entry(message.role).or_default() += 1;
        }
        self.target_tokens += targets as u64;
        self.add_losses(losses);
    }

    /// Adds another tally.
    pub(super) fn add(&mut self, other: &Self) {
        self.rows += other.rows;
        self.rejected_rows += other.rejected_rows;
        for (&role, count) in &other.messages_by_role {
            *self.messages_by_role.entry(role).or_default() += count;
        }
        self.target_tokens += other.target_tokens;
        self.add_losses(other.truncation);
    }

    fn add_losses(&mut self, losses: TruncationLosses) {
        self.truncation.dialogues += losses.dialogues;
        self.truncation.messages += losses.messages;
        self.truncation.tokens += losses.tokens;
        self.truncation.target_tokens += losses.target_tokens;
    }
}
