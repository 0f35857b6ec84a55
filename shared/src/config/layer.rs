//! One layer of settings: the TOML file, the environment, or `--set`.

use super::known::{Kind, Known};
use super::{ConfigError, Origin, Problem};
use std::fs;
use std::io;
use std::path::Path;
use toml::de::{DeTable, DeValue};

/// A value that a layer gives to a setting.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Setting {
    /// `section.key`.
    pub(super) key: String,
    pub(super) value: toml::Value,
    pub(super) origin: Origin,
}

/// The settings of a TOML file, in no particular order.
pub(super) fn from_file(path: &Path) -> Result<Vec<Setting>, ConfigError> {
    let text = fs::read_to_string(path).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => ConfigError::MissingFile { path: path.to_path_buf() },
        _ => ConfigError::Unreadable { path: path.to_path_buf(), reason: error.to_string() },
    })?;
    let line_of =
        |offset: usize| 1 + text.as_bytes().iter().take(offset).filter(|&&byte| byte == b'\n').count();
    let syntax = |error: toml::de::Error| ConfigError::Syntax {
        path: path.to_path_buf(),
        line: line_of(error.span().map_or(0, |span| span.start)),
        reason: error.message().to_owned(),
    };
    // Parsed twice: once for the positions, once for the values.
    let positions = DeTable::parse(&text).map_err(syntax)?;
    let values: toml::Table = toml::from_str(&text).map_err(syntax)?;
    let mut settings = Vec::new();
    let mut at = |key: String, value: &toml::Value, offset: usize| {
        let origin = Origin::File { path: path.to_path_buf(), line: line_of(offset) };
        settings.push(Setting { key, value: value.clone(), origin });
    };
    for (name, section) in positions.get_ref() {
        let Some(section_value) = values.get(name.get_ref().as_ref()) else { continue };
        let (DeValue::Table(keys), toml::Value::Table(key_values)) = (section.get_ref(), section_value)
        else {
            at(name.get_ref().to_string(), section_value, name.span().start);
            continue;
        };
        for key in keys.keys() {
            let Some(value) = key_values.get(key.get_ref().as_ref()) else { continue };
            at(format!("{}.{}", name.get_ref(), key.get_ref()), value, key.span().start);
        }
    }
    Ok(settings)
}

/// The settings of variables named `EVENKEEL_SECTION__KEY`.
///
/// A variable without the double underscore, such as `EVENKEEL_LOG`, is not a setting and is passed over.
pub(super) fn from_environment(
    variables: impl IntoIterator<Item = (String, String)>,
    known: &Known,
) -> Vec<Setting> {
    let mut settings: Vec<Setting> = variables
        .into_iter()
        .filter_map(|(variable, text)| {
            let (section, key) = variable.strip_prefix("EVENKEEL_")?.split_once("__")?;
            let key = format!("{}.{}", section.to_lowercase(), key.to_lowercase());
            let value = parse_value(&text, known.kind(&key));
            Some(Setting { key, value, origin: Origin::Environment { variable } })
        })
        .collect();
    settings.sort_by(|a, b| a.key.cmp(&b.key));
    settings
}

/// The settings of `--set key=value`, the later ones winning.
pub(super) fn from_command_line(pairs: &[String], known: &Known) -> Result<Vec<Setting>, ConfigError> {
    let setting = |pair: &String| {
        let (key, text) = pair.split_once('=').ok_or_else(|| ConfigError::NoEquals { text: pair.clone() })?;
        let key = key.trim().to_owned();
        let value = parse_value(text.trim(), known.kind(&key));
        Ok(Setting { key, value, origin: Origin::CommandLine })
    };
    pairs.iter().map(setting).collect()
}

/// A TOML value, or the text itself where a text is wanted or it is no TOML: a run named 7 needs no quotes.
fn parse_value(text: &str, kind: Option<Kind>) -> toml::Value {
    let plain = || toml::Value::String(text.to_owned());
    match text.parse::<toml::Value>() {
        Ok(value) if kind == Some(Kind::Text) && !value.is_str() => plain(),
        Ok(value) => value,
        Err(_) => plain(),
    }
}

/// Why a setting is not one of the schema's, if so.
pub(super) fn unknown(setting: &Setting, known: &Known) -> Option<Problem> {
    if known.kind(&setting.key).is_some() {
        return None;
    }
    let what = if known.is_section(&setting.key) {
        format!("is a section, not a setting: expected keys inside it, found {}", in_words(&setting.value))
    } else {
        match known.nearest(&setting.key) {
            Some(nearest) => format!("is not a known setting; did you mean {nearest}?"),
            None => "is not a known setting; `evenkeel config` shows all of them".into(),
        }
    };
    Some(Problem { key: setting.key.clone(), what, origin: Some(setting.origin.clone()) })
}

/// A value for an error message: what it is and how it was written, shortened.
pub(super) fn in_words(value: &toml::Value) -> String {
    let written: String = value.to_string().chars().take(80).collect();
    match value {
        toml::Value::String(_) => format!("the text {written}"),
        toml::Value::Integer(_) | toml::Value::Float(_) => format!("the number {written}"),
        toml::Value::Boolean(_) => written,
        toml::Value::Datetime(_) => format!("the date {written}"),
        toml::Value::Array(_) => format!("the list {written}"),
        toml::Value::Table(_) => "a table".into(),
    }
}
