//! A row of the input.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::fmt;

/// Who speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Instructions for the whole dialogue.
    System,
    /// The person.
    User,
    /// The model: what it says is trained on.
    Assistant,
    /// The answer of a tool.
    Tool,
}

impl Role {
    /// As the template sees it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::System => "system",
            Self::User => "user",
            Self::Assistant => "assistant",
            Self::Tool => "tool",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_str().fmt(f)
    }
}

/// One turn of a dialogue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Who speaks.
    pub role: Role,
    /// The text.
    pub content: String,
}

/// A line of the input: `{"messages": [{"role": "user", "content": "…"}, …]}`. Other keys are ignored, but for those
/// that would change what the template writes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// The dialogue, at least one message.
    pub messages: Vec<Message>,
}

/// A line that is not such a row.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct RowError(String);

#[derive(Deserialize)]
struct RawRow {
    messages: Vec<RawMessage>,
    #[serde(default)]
    tools: Value,
}

#[derive(Deserialize)]
struct RawMessage {
    role: Role,
    content: String,
    #[serde(default)]
    tool_calls: Value,
}

impl Row {
    /// Parses a line.
    ///
    /// # Errors
    /// Broken JSON or UTF-8, no messages, a content that is not a string, an unknown role, tool definitions or calls
    /// (templates write them into the text, and this program does not hand them over yet: silently leaving them
    /// out would train on another dialogue than the one written down).
    pub fn parse(line: &[u8]) -> Result<Self, RowError> {
        // serde would also take an array for a struct, its fields by position.
        if line.trim_ascii_start().first() != Some(&b'{') {
            return Err(RowError("expected a JSON object with a `messages` list".into()));
        }
        let row: RawRow = serde_json::from_slice(line).map_err(|error| RowError(error.to_string()))?;
        if row.messages.is_empty() {
            return Err(RowError("`messages` is empty".into()));
        }
        let calls = row.messages.iter().any(|message| is_given(&message.tool_calls));
        if calls || is_given(&row.tools) {
            return Err(RowError("`tools` and `tool_calls` are not supported yet".into()));
        }
        let messages = row
            .messages
            .into_iter()
            .map(|message| Message { role: message.role, content: message.content })
            .collect();
        Ok(Self { messages })
    }
}

fn is_given(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Array(list) => !list.is_empty(),
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_a_list_of_messages() {
        let line =
            r#"{"id": 7, "messages": [{"role": "user", "content": "你好\n", "name": "x"}], "tools": []}"#;
        let row = Row::parse(line.as_bytes()).unwrap();
        assert_eq!(row.messages, [Message { role: Role::User, content: "你好\n".into() }]);
    }

    #[test]
    fn what_is_wrong_with_a_row_is_said() {
        let refused = |line: &str, part: &str| {
            let message = Row::parse(line.as_bytes()).unwrap_err().to_string();
            assert!(message.contains(part), "{line}: {message}");
        };
        refused("{\"messages\": [", "EOF");
        refused("[]", "expected a JSON object");
        refused("{}", "missing field `messages`");
        refused(r#"{"messages": []}"#, "empty");
        refused(r#"{"messages": [{"role": "bot", "content": ""}]}"#, "unknown variant `bot`");
        refused(r#"{"messages": [{"role": "user"}]}"#, "missing field `content`");
        refused(r#"{"messages": [{"role": "user", "content": null}]}"#, "expected a string");
        refused(r#"{"messages": [{"role": "user", "content": "a"}], "tools": [1]}"#, "not supported");
        refused(
            r#"{"messages": [{"role": "assistant", "content": "", "tool_calls": [{}]}]}"#,
            "not supported",
        );
        assert!(Row::parse(b"{\"messages\": [{\"role\": \"user\", \"content\": \"\xff\"}]}").is_err());
        refused(r#"{"messages": [{"role": "user", "content": "\ud800"}]}"#, "hex escape");
    }
}
