//! Reading the layers.

use super::known::Known;
use super::layer::{self, Setting, in_words};
use super::{Config, ConfigError, Origins, Problem, validate};
use figment::Figment;
use figment::error::{Kind as FigmentKind, OneOf};
use figment::providers::Serialized;
use std::path::PathBuf;

/// Where a configuration comes from, besides the defaults and the environment.
#[derive(Debug, Clone, Default)]
pub struct Layers {
    /// The TOML file, when there is one.
    pub file: Option<PathBuf>,
    /// `key=value` pairs from `--set`.
    pub set: Vec<String>,
}

/// A checked configuration that knows where its values come from.
#[derive(Debug, Clone, PartialEq)]
pub struct Resolved {
    /// The values.
    pub config: Config,
    /// Their origins.
    pub origins: Origins,
}

/// Reads the layers, with this process's environment, into a checked configuration.
///
/// # Errors
/// A missing file, a syntax error, an unknown key, a value of the wrong type or out of range.
pub fn load(layers: &Layers) -> Result<Config, ConfigError> {
    Ok(resolve(layers, process_environment())?.config)
}

/// The variables of this process's environment that are UTF-8; no setting has another name or value.
pub fn process_environment() -> impl Iterator<Item = (String, String)> {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
}

/// Reads the layers, with the given environment, into a checked configuration and the origin of each value.
///
/// # Errors
/// As [`load`].
pub fn resolve(
    layers: &Layers,
    environment: impl IntoIterator<Item = (String, String)>,
) -> Result<Resolved, ConfigError> {
    let known = Known::new();
    let mut settings = match &layers.file {
        Some(file) => layer::from_file(file)?,
        None => Vec::new(),
    };
    settings.extend(layer::from_environment(environment, &known));
    settings.extend(layer::from_command_line(&layers.set, &known)?);

    let problems: Vec<Problem> =
        settings.iter().filter_map(|setting| layer::unknown(setting, &known)).collect();
    if !problems.is_empty() {
        return Err(ConfigError::Invalid { problems });
    }
    let config = merge(&settings, &known)?;
    let origins = Origins(settings.into_iter().map(|setting| (setting.key, setting.origin)).collect());
    let problems: Vec<Problem> = validate::problems(&config)
        .into_iter()
        .map(|problem| Problem { origin: Some(origins.of(&problem.key)), ..problem })
        .collect();
    if !problems.is_empty() {
        return Err(ConfigError::Invalid { problems });
    }
    Ok(Resolved { config, origins })
}

/// Lays the settings over the defaults, the later over the earlier.
fn merge(settings: &[Setting], known: &Known) -> Result<Config, ConfigError> {
    let defaults = Figment::from(Serialized::defaults(Config::default()));
    let figment = settings
        .iter()
        .fold(defaults, |figment, setting| figment.merge(Serialized::default(&setting.key, &setting.value)));
    figment.extract().map_err(|errors| {
        let problems = errors.into_iter().map(|error| type_problem(&error, settings, known)).collect();
        ConfigError::Invalid { problems }
    })
}

/// A value that does not fit its setting, in plain words.
fn type_problem(error: &figment::Error, settings: &[Setting], known: &Known) -> Problem {
    let path = error.path.join(".");
    // An element of a list has its index behind the key.
    let setting = settings.iter().rev().find(|setting| {
        path.strip_prefix(&setting.key).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    });
    let key = setting.map_or(path.clone(), |setting| setting.key.clone());
    let found = setting.map_or_else(String::new, |setting| format!(", found {}", in_words(&setting.value)));
    let what = match (&error.kind, known.kind(&key)) {
        (FigmentKind::UnknownVariant(_, allowed), _) => format!("has to be one of {}{found}", OneOf(allowed)),
        (FigmentKind::InvalidType(..) | FigmentKind::InvalidValue(..), Some(kind)) => {
            format!("has to be {}{found}", kind.in_words())
        }
        (kind, _) => format!("cannot be used: {kind}{found}"),
    };
    Problem { key, what, origin: setting.map(|setting| setting.origin.clone()) }
}
