//! What a template writes around the contents, found once for each sequence of roles.
//!
//! Rendering every beginning of every dialogue costs time with the square of its turns. Most templates only put fixed
//! text around contents that they copy. So the beginnings are rendered once for each sequence of roles, with a
//! placeholder for each content; a dialogue then needs one rendering, and its spans hold if that text is exactly the
//! fixed pieces with its contents in between. Where it is not, the caller renders the beginnings after all.

use super::message::Role;
use super::template::{ChatTemplate, Prompt, value};
use minijinja::value::Value;
use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

/// Placeholder `i` is this noncharacter, the number, and the next noncharacter.
const OPEN: char = '\u{FDD2}';
const CLOSE: char = '\u{FDD3}';

/// Text that one cache keeps, in bytes; when it is full it is emptied.
const CACHE_BYTES: usize = 32 << 20;

/// A place in the fixed text.
#[derive(Debug, Clone, Copy)]
struct Anchor {
    piece: usize,
    offset: usize,
}

/// The rendering of placeholders in place of contents.
#[derive(Debug)]
pub(super) struct Skeleton {
    text: String,
    /// Byte ranges of `text`: before the first placeholder, between two, behind the last.
    pieces: Vec<Range<usize>>,
    spans: Vec<(Anchor, Anchor)>,
}

impl Skeleton {
    /// Renders `roles`. `parent` is the skeleton of the roles up to the assistant turn before the last one, and must
    /// be a beginning of this one; `None` when there is no such turn, or when the template does not work this way.
    fn grow(template: &ChatTemplate, roles: &[Role], parent: Option<&Self>) -> Option<Self> {
        let messages: Vec<Value> =
            roles.iter().enumerate().map(|(index, &role)| value(role, &placeholder(index))).collect();
        let text = template.render(&messages, Prompt::None).ok()?;
        if parent.is_some_and(|parent| !text.starts_with(&parent.text)) {
            return None;
        }
        let pieces = pieces(&text, roles.len())?;
        let mut spans = parent.map(|parent| parent.spans.clone()).unwrap_or_default();
        let last = roles.len().checked_sub(1)?;
        // An assistant that opens the dialogue answers nothing: there is no beginning that could end where it starts.
        if roles[last] == Role::Assistant && last > 0 {
            let start = answer_start(template, &messages[..last], &text)?;
            let offset = start.checked_sub(pieces[last].start)?;
            if offset > pieces[last].len() {
                return None;
            }
            let end = Anchor { piece: last + 1, offset: pieces[last + 1].len() };
            spans.push((Anchor { piece: last, offset }, end));
        }
        Some(Self { text, pieces, spans })
    }

    /// The assistant's spans in `text`, in bytes, when it is these pieces with the contents in between.
    pub(super) fn spans_in<'a>(
        &self,
        text: &str,
        contents: impl Iterator<Item = &'a str>,
    ) -> Option<Vec<Range<usize>>> {
        let mut starts = Vec::with_capacity(self.pieces.len());
        let mut position = 0;
        let mut contents = contents;
        for piece in &self.pieces {
            starts.push(position);
            let piece = &self.text[piece.clone()];
            let content = contents.next().unwrap_or_default();
            let rest = text.get(position..)?.strip_prefix(piece)?.strip_prefix(content)?;
            position = text.len() - rest.len();
        }
        if position != text.len() {
            return None;
        }
        let at = |anchor: &Anchor| starts[anchor.piece] + anchor.offset;
        Some(self.spans.iter().map(|(start, end)| at(start)..at(end)).collect())
    }
}

/// Where the answer to these messages begins in `text`: behind the generation prompt, or, where the template asks
/// with other words than it writes down later, behind the messages themselves.
pub(super) fn answer_start(template: &ChatTemplate, before: &[Value], text: &str) -> Option<usize> {
    [Prompt::Generation, Prompt::None].into_iter().find_map(|prompt| {
        let beginning = template.render(before, prompt).ok()?;
        (!beginning.is_empty() && text.starts_with(&beginning)).then_some(beginning.len())
    })
}

fn placeholder(index: usize) -> String {
    format!("{OPEN}{index}{CLOSE}")
}

/// The text around the placeholders, when each occurs once and in order.
fn pieces(text: &str, count: usize) -> Option<Vec<Range<usize>>> {
    if text.matches(OPEN).count() != count {
        return None;
    }
    let mut pieces = Vec::with_capacity(count + 1);
    let mut start = 0;
    for index in 0..count {
        let placeholder = placeholder(index);
        let at = start + text[start..].find(&placeholder)?;
        pieces.push(start..at);
        start = at + placeholder.len();
    }
    pieces.push(start..text.len());
    Some(pieces)
}

/// Skeletons by sequence of roles; one for each thread.
#[derive(Debug, Default)]
pub(super) struct SkeletonCache {
    /// `None`: the template does not work this way for these roles.
    known: HashMap<Vec<Role>, Option<Arc<Skeleton>>>,
    bytes: usize,
}

impl SkeletonCache {
    /// The skeleton of `roles`, made from that of the longest beginning that is known.
    pub(super) fn get(&mut self, template: &ChatTemplate, roles: &[Role]) -> Option<Arc<Skeleton>> {
        if let Some(known) = self.known.get(roles) {
            return known.clone();
        }
        let before = roles.len().checked_sub(1)?;
        let mut lengths: Vec<usize> =
            (0..before).filter(|&index| roles[index] == Role::Assistant).map(|index| index + 1).collect();
        lengths.push(roles.len());
        let known = lengths.iter().rposition(|&length| self.known.contains_key(&roles[..length]));
        let mut parent = match known {
            Some(position) => Some(self.known.get(&roles[..lengths[position]]).cloned().flatten()?),
            None => None,
        };
        for &length in &lengths[known.map_or(0, |position| position + 1)..] {
            let skeleton = Skeleton::grow(template, &roles[..length], parent.as_deref()).map(Arc::new);
            self.remember(&roles[..length], skeleton.clone());
            parent = Some(skeleton?);
        }
        parent
    }

    fn remember(&mut self, roles: &[Role], skeleton: Option<Arc<Skeleton>>) {
        let bytes = roles.len() + skeleton.as_ref().map_or(0, |s| s.text.len() + 16 * s.pieces.len());
        if self.bytes + bytes > CACHE_BYTES {
            self.known.clear();
            self.bytes = 0;
        }
        self.bytes += bytes;
        self.known.insert(roles.to_vec(), skeleton);
    }
}
