//! The settings there are, taken from the schema's defaults so that they are listed nowhere else.

use super::Config;
use serde_json::Value as Json;

/// What kind of value a setting takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Text,
    WholeNumber,
    Number,
    List,
}

impl Kind {
    pub(super) fn in_words(self) -> &'static str {
        match self {
            Self::Text => "text in quotes",
            Self::WholeNumber => "a whole number that is not negative",
            Self::Number => "a number",
            Self::List => "a list of texts such as [\"a.jsonl\", \"b.jsonl\"]",
        }
    }
}

/// All settings, `section.key`, in the order of the schema.
#[derive(Debug)]
pub(super) struct Known(Vec<(String, Kind)>);

impl Known {
    pub(super) fn new() -> Self {
        let settings = sections(&Config::default()).into_iter().flat_map(|(section, settings)| {
            settings
                .into_iter()
                .filter_map(move |(key, value)| Some((format!("{section}.{key}"), kind_of(&value)?)))
        });
        Self(settings.collect())
    }

    pub(super) fn kind(&self, key: &str) -> Option<Kind> {
        self.0.iter().find(|(known, _)| known == key).map(|(_, kind)| *kind)
    }

    pub(super) fn is_section(&self, name: &str) -> bool {
        self.0.iter().any(|(known, _)| known.split_once('.').is_some_and(|(section, _)| section == name))
    }

    /// The known setting that is written most like `key`.
    pub(super) fn nearest(&self, key: &str) -> Option<&str> {
        let name_of = |key: &str| key.rsplit_once('.').map_or(key.to_owned(), |(_, name)| name.to_owned());
        let likeness = |known: &str| {
            // Somebody may have the right name in the wrong section, or without one.
            strsim::jaro_winkler(known, key).max(0.95 * strsim::jaro_winkler(&name_of(known), &name_of(key)))
        };
        let best = self.0.iter().max_by(|(a, _), (b, _)| likeness(a).total_cmp(&likeness(b)))?;
        (likeness(&best.0) > 0.7).then_some(best.0.as_str())
    }
}

/// The configuration's sections and settings in the order of the schema.
pub(super) fn sections(config: &Config) -> Vec<(String, Vec<(String, Json)>)> {
    // A configuration is plain structs of numbers and texts: it always serialises.
    let Ok(Json::Object(sections)) = serde_json::to_value(config) else { return Vec::new() };
    let settings = |section: Json| match section {
        Json::Object(settings) => settings.into_iter().collect(),
        _ => Vec::new(),
    };
    sections.into_iter().map(|(name, section)| (name, settings(section))).collect()
}

fn kind_of(value: &Json) -> Option<Kind> {
    match value {
        Json::String(_) => Some(Kind::Text),
        Json::Number(number) if number.is_f64() => Some(Kind::Number),
        Json::Number(_) => Some(Kind::WholeNumber),
        Json::Array(_) => Some(Kind::List),
        Json::Bool(_) | Json::Null | Json::Object(_) => None,
    }
}
