//! A compiled chat template.

use super::environment::{NAME, describe, environment};
use super::generation;
use super::message::{Message, Role};
use super::render::Renderer;
use evenkeel_shared::hf::tokenizer_files::TokenizerFiles;
use minijinja::value::Value;
use minijinja::{Environment, context};
use std::collections::BTreeMap;

/// A template that cannot be used for any dialogue.
#[derive(Debug, thiserror::Error)]
pub enum TemplateError {
    /// Jinja does not understand it.
    #[error("the chat template cannot be compiled: {0}")]
    Syntax(String),
    /// A plain dialogue of two exchanges cannot be rendered, or its assistant turns cannot be found.
    #[error(
        "the chat template cannot be used for training: a plain dialogue of two exchanges (user, assistant, user, \
         assistant) fails: {0}. Put {{% generation %}} and {{% endgeneration %}} around what the assistant writes in \
         chat_template.jinja, or use a template that leaves earlier turns as they are"
    )]
    Unusable(#[source] RenderError),
}

/// A dialogue that this template cannot render, or whose assistant turns cannot be found.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RenderError {
    /// The template failed or refused.
    #[error("the chat template refuses it: {0}")]
    Refused(String),
    /// The first `message + 1` messages are rendered in another way when more follow.
    #[error(
        "the chat template rewrites message {message} when other messages follow, so its tokens cannot be marked"
    )]
    RewritesHistory {
        /// Position of the message, from 0.
        message: usize,
    },
    /// The template has `{% generation %}` blocks that write nothing.
    #[error("the template marks nothing as the assistant's text")]
    NoSpans,
    /// The text has the characters that mark `{% generation %}` spans.
    #[error("it contains the noncharacter U+FDD0 or U+FDD1")]
    Marks,
    /// The marks do not pair, or change what the template writes.
    #[error("the template's {{% generation %}} blocks are nested, or their text is changed afterwards")]
    Generation,
}

/// Whether the text ends with the words that ask the model for its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Prompt {
    None,
    Generation,
}

/// A compiled chat template with its special tokens; shared by all threads.
#[derive(Debug)]
pub struct ChatTemplate {
    plain: Environment<'static>,
    /// Only where the template has `{% generation %}`: the same with marks.
    marked: Option<Environment<'static>>,
    variables: BTreeMap<String, Value>,
}

impl ChatTemplate {
    /// Compiles the template.
    ///
    /// # Errors
    /// When it does not compile.
    pub fn compile(files: &TokenizerFiles) -> Result<Self, TemplateError> {
        let rewritten = generation::rewrite(&files.chat_template);
        let mut plain = environment(rewritten.clone().unwrap_or_else(|| files.chat_template.clone()))?;
        plain.add_filter(generation::FILTER, |text: String| text);
        let marked = match rewritten {
            Some(text) => {
                let mut marked = environment(text)?;
                marked.add_filter(generation::FILTER, generation::mark);
                Some(marked)
            }
            None => None,
        };
        let mut variables: BTreeMap<String, Value> = files
            .special_tokens
            .iter()
            .map(|(name, token)| (name.clone(), Value::from(token.as_str())))
            .collect();
        // transformers passes these two as None.
        variables.insert("tools".into(), Value::from(()));
        variables.insert("documents".into(), Value::from(()));
        Ok(Self { plain, marked, variables })
    }

    /// Proves on a small dialogue that assistant turns can be found, so that a data set is refused at once and not
    /// row by row.
    ///
    /// # Errors
    /// When the small dialogue fails.
    pub fn check_trainable(&self) -> Result<(), TemplateError> {
        let say = |role, content: &str| Message { role, content: content.to_owned() };
        let dialogue = [
            say(Role::User, "How are you?"),
            say(Role::Assistant, "I am well."),
            say(Role::User, "And now?"),
            say(Role::Assistant, "Still well."),
        ];
        match Renderer::new(self).render(&dialogue) {
            Ok(rendered) if rendered.spans.is_empty() => Err(TemplateError::Unusable(RenderError::NoSpans)),
            Ok(_) => Ok(()),
            Err(error) => Err(TemplateError::Unusable(error)),
        }
    }

    /// The text of these messages with the words that ask for the assistant's answer at its end.
    ///
    /// # Errors
    /// When the template fails or refuses.
    pub fn prompt(&self, messages: &[Message]) -> Result<String, RenderError> {
        let values: Vec<Value> =
            messages.iter().map(|message| value(message.role, &message.content)).collect();
        self.render(&values, Prompt::Generation)
    }

    /// Whether the template marks the assistant's text itself.
    pub(super) fn marks_generation(&self) -> bool {
        self.marked.is_some()
    }

    /// The text of these messages.
    ///
    /// # Errors
    /// When the template fails or refuses.
    pub(super) fn render(&self, messages: &[Value], prompt: Prompt) -> Result<String, RenderError> {
        self.render_in(&self.plain, messages, prompt)
    }

    /// The text with marks around the assistant's spans; without such blocks in the template, the plain text.
    pub(super) fn render_marked(&self, messages: &[Value]) -> Result<String, RenderError> {
        self.render_in(self.marked.as_ref().unwrap_or(&self.plain), messages, Prompt::None)
    }

    fn render_in(
        &self,
        environment: &Environment<'static>,
        messages: &[Value],
        prompt: Prompt,
    ) -> Result<String, RenderError> {
        let mut context = self.variables.clone();
        context.insert("messages".into(), Value::from(messages.to_vec()));
        context.insert("add_generation_prompt".into(), Value::from(prompt == Prompt::Generation));
        environment
            .get_template(NAME)
            .and_then(|template| template.render(Value::from(context)))
            .map_err(|error| RenderError::Refused(describe(&error)))
    }
}

/// A message as the template sees it.
pub(super) fn value(role: Role, content: &str) -> Value {
    context! { role => role.as_str(), content => content }
}
