//! A configuration as TOML, for people.

use super::known::sections;
use super::{Origin, Resolved};
use serde_json::Value as Json;
use std::fmt::Write;

impl Resolved {
    /// The whole configuration as a TOML file in the order of the schema. A setting that some layer has set is followed
    /// by a comment that says which.
    #[must_use]
    pub fn to_toml(&self) -> String {
        let mut text = String::new();
        for (section, settings) in sections(&self.config) {
            let separator = if text.is_empty() { "" } else { "\n" };
            // Writing to a String cannot fail.
            let _ = writeln!(text, "{separator}[{section}]");
            for (key, value) in settings {
                let _ = write!(text, "{key} = {}", toml_of(&value));
                match self.origins.of(&format!("{section}.{key}")) {
                    Origin::Default => text.push('\n'),
                    origin => {
                        let _ = writeln!(text, "  # {origin}");
                    }
                }
            }
        }
        text
    }
}

fn toml_of(value: &Json) -> String {
    toml::Value::try_from(value).map_or_else(|_| value.to_string(), |value| value.to_string())
}
