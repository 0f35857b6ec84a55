//! A dialogue to text and assistant spans.

use super::generation;
use super::message::{Message, Role};
use super::skeleton::{SkeletonCache, answer_start};
use super::template::{ChatTemplate, Prompt, RenderError, value};
use minijinja::value::Value;
use std::ops::Range;

/// How spans were found; it decides about the white space behind the end-of-turn token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SpanRule {
    /// By rendering beginnings. A span reaches up to the next turn, so white space that the template puts behind
    /// the end-of-turn token is in it, although nobody generates it.
    Beginnings,
    /// By `{% generation %}`: exactly what the template's author marked.
    Marked,
}

/// A dialogue as text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rendered {
    /// What the template wrote.
    pub text: String,
    /// What the assistant wrote, in bytes of `text`; rising and disjoint.
    pub spans: Vec<Range<usize>>,
    /// How the spans were found.
    pub rule: SpanRule,
}

/// Renders dialogues; each thread has its own.
#[derive(Debug)]
pub struct Renderer<'t> {
    template: &'t ChatTemplate,
    skeletons: SkeletonCache,
}

impl<'t> Renderer<'t> {
    /// A renderer with an empty cache.
    #[must_use]
    pub fn new(template: &'t ChatTemplate) -> Self {
        Self { template, skeletons: SkeletonCache::default() }
    }

    /// The text of a dialogue and the assistant's spans in it. An assistant message that opens the dialogue answers
    /// nothing and has no span.
    ///
    /// # Errors
    /// When the template refuses the dialogue or rewrites earlier turns.
    pub fn render(&mut self, messages: &[Message]) -> Result<Rendered, RenderError> {
        let values: Vec<Value> =
            messages.iter().map(|message| value(message.role, &message.content)).collect();
        if self.template.marks_generation() {
            return self.render_marked(messages, &values);
        }
        let text = self.template.render(&values, Prompt::None)?;
        let roles: Vec<Role> = messages.iter().map(|message| message.role).collect();
        let contents = || messages.iter().map(|message| message.content.as_str());
        let spans = self.skeletons.get(self.template, &roles).and_then(|skeleton| {
            // Many templates strip the contents.
            let stripped = || skeleton.spans_in(&text, contents().map(str::trim));
            skeleton.spans_in(&text, contents()).or_else(stripped)
        });
        let spans = match spans {
            Some(spans) => spans,
            None => self.spans_by_beginnings(&text, &roles, &values)?,
        };
        Ok(Rendered { text, spans, rule: SpanRule::Beginnings })
    }

    /// The rule itself, without the short cut.
    fn spans_by_beginnings(
        &self,
        text: &str,
        roles: &[Role],
        values: &[Value],
    ) -> Result<Vec<Range<usize>>, RenderError> {
        let mut spans: Vec<Range<usize>> = Vec::new();
        for message in (1..roles.len()).filter(|&index| roles[index] == Role::Assistant) {
            let rewritten = RenderError::RewritesHistory { message };
            let done = self.template.render(&values[..=message], Prompt::None)?;
            let start = answer_start(self.template, &values[..message], text).ok_or(rewritten.clone())?;
            let previous = spans.last().map_or(0, |span| span.end);
            if !text.starts_with(&done) || start < previous || done.len() < start {
                return Err(rewritten);
            }
            spans.push(start..done.len());
        }
        Ok(spans)
    }

    /// As [`Renderer::render`], never by the short cut.
    #[cfg(test)]
    pub(super) fn by_beginnings(&self, messages: &[Message]) -> Result<Rendered, RenderError> {
        let values: Vec<Value> =
            messages.iter().map(|message| value(message.role, &message.content)).collect();
        let text = self.template.render(&values, Prompt::None)?;
        let roles: Vec<Role> = messages.iter().map(|message| message.role).collect();
        let spans = self.spans_by_beginnings(&text, &roles, &values)?;
        Ok(Rendered { text, spans, rule: SpanRule::Beginnings })
    }

    fn render_marked(&self, messages: &[Message], values: &[Value]) -> Result<Rendered, RenderError> {
        if messages.iter().any(|message| generation::has_marks(&message.content)) {
            return Err(RenderError::Marks);
        }
        let marked = self.template.render_marked(values)?;
        let (text, spans) = generation::take_out(&marked).ok_or(RenderError::Generation)?;
        // Marks could change what the template does with the text later, such as stripping it.
        if text != self.template.render(values, Prompt::None)? {
            return Err(RenderError::Generation);
        }
        Ok(Rendered { text, spans, rule: SpanRule::Marked })
    }
}
