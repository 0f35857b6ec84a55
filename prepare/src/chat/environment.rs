//! Jinja as transformers sets it up for chat templates.

use super::template::TemplateError;
use minijinja::syntax::SyntaxConfig;
use minijinja::value::{Kwargs, Value};
use minijinja::{AutoEscape, Environment, Error, ErrorKind};
use serde::Serialize;
use serde_json::ser::{CompactFormatter, Formatter, PrettyFormatter, Serializer};
use std::io;

/// The name under which the environment holds the template.
pub(super) const NAME: &str = "chat template";

/// An environment with one template in it.
///
/// Block tags swallow their line (trim_blocks, lstrip_blocks), Python's string and map methods work, `tojson` writes
/// what Python's `json.dumps(ensure_ascii=False)` writes, and `raise_exception` refuses a dialogue. `strftime_now` is
/// left out on purpose: a text with today's date in it could never be made again. Templates that ask whether it is
/// defined take their fixed date then, the others fail with "unknown function".
///
/// # Errors
/// A syntax error in the template.
pub(super) fn environment(template: String) -> Result<Environment<'static>, TemplateError> {
    let mut environment = Environment::new();
    let syntax = SyntaxConfig::builder()
        .trim_blocks(true)
        .lstrip_blocks(true)
        .build()
        .map_err(|error| TemplateError::Syntax(error.to_string()))?;
    environment.set_syntax(syntax);
    environment.set_auto_escape_callback(|_| AutoEscape::None);
    environment.set_unknown_method_callback(minijinja_contrib::pycompat::unknown_method_callback);
    environment.add_function("raise_exception", raise_exception);
    environment.add_filter("tojson", tojson);
    environment
        .add_template_owned(NAME, template)
        .map_err(|error| TemplateError::Syntax(describe(&error)))?;
    Ok(environment)
}

/// The error in a sentence, without minijinja's excerpt of the template.
pub(super) fn describe(error: &Error) -> String {
    let reason = error.detail().map_or_else(|| error.kind().to_string(), str::to_owned);
    match (error.kind(), error.line()) {
        // The template's author wrote this sentence for the user.
        (ErrorKind::InvalidOperation, _) if error.detail().is_some_and(|d| d.starts_with(RAISED)) => {
            reason.trim_start_matches(RAISED).to_owned()
        }
        (kind, Some(line)) if error.detail().is_some() => format!("line {line}: {kind}: {reason}"),
        (_, Some(line)) => format!("line {line}: {reason}"),
        (_, None) => reason,
    }
}

const RAISED: &str = "raised: ";

fn raise_exception(message: String) -> Result<String, Error> {
    Err(Error::new(ErrorKind::InvalidOperation, format!("{RAISED}{message}")))
}

fn tojson(value: &Value, indent: Option<usize>, options: Kwargs) -> Result<String, Error> {
    let indent = match indent {
        Some(indent) => Some(indent),
        None => options.get::<Option<usize>>("indent")?,
    };
    // These do not change the text of what templates pass.
    let _ = options.get::<Option<bool>>("ensure_ascii")?;
    options.assert_all_used()?;
    let written = match indent {
        Some(width) => json(value, PrettyFormatter::with_indent(" ".repeat(width).as_bytes())),
        None => json(value, Spaced(CompactFormatter)),
    };
    written.map_err(|error| Error::new(ErrorKind::BadSerialization, error.to_string()))
}

fn json(value: &Value, formatter: impl Formatter) -> serde_json::Result<String> {
    let mut bytes = Vec::new();
    value.serialize(&mut Serializer::with_formatter(&mut bytes, formatter))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Python's default separators: a space after each comma and colon.
struct Spaced(CompactFormatter);

impl Formatter for Spaced {
    fn begin_array_value<W: ?Sized + io::Write>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        if first { Ok(()) } else { writer.write_all(b", ") }
    }

    fn begin_object_key<W: ?Sized + io::Write>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        if first { Ok(()) } else { writer.write_all(b", ") }
    }

    fn begin_object_value<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        writer.write_all(b": ")
    }
}
