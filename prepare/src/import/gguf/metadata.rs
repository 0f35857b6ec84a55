//! The key-value pairs in front of the tensors.

use super::source::Source;
use crate::import::ImportError;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Bytes of the shortest entry: key length, type, a one-byte value.
pub(super) const MIN_ENTRY_BYTES: u64 = 8 + 4 + 1;

/// A value, as far as an import needs it.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::import) enum Value {
    Whole(i128),
    Number(f64),
    Flag(bool),
    Text(String),
    Texts(Vec<String>),
    Wholes(Vec<i64>),
    /// A list that no import needs: of numbers with a fraction, or of flags.
    OtherList(u64),
}

/// All entries of a file.
#[derive(Debug)]
pub(in crate::import) struct Metadata {
    path: PathBuf,
    entries: BTreeMap<String, Value>,
}

impl Metadata {
    pub(super) fn read(source: &mut Source, count: u64) -> Result<Self, ImportError> {
        let mut entries = BTreeMap::new();
        for _ in 0..count {
            let key = source.text("a metadata key")?;
            let value = read_value(source, &key)?;
            if entries.insert(key.clone(), value).is_some() {
                return Err(source.damaged(format!("metadata {key} is given twice")));
            }
        }
        Ok(Self { path: source.path().to_path_buf(), entries })
    }

    pub(in crate::import) fn path(&self) -> &Path {
        &self.path
    }

    pub(in crate::import) fn get(&self, key: &str) -> Option<&Value> {
        self.entries.get(key)
    }

    pub(in crate::import) fn problem(&self, key: &str, problem: impl Into<String>) -> ImportError {
        ImportError::Metadata { path: self.path.clone(), key: key.into(), problem: problem.into() }
    }

    /// The value that `read` takes from an entry; `None` when there is no such entry.
    fn optional<'a, T>(
        &'a self,
        key: &str,
        expected: &str,
        read: impl FnOnce(&'a Value) -> Option<T>,
    ) -> Result<Option<T>, ImportError> {
        let Some(value) = self.entries.get(key) else { return Ok(None) };
        let wrong = || self.problem(key, format!("is {}, expected {expected}", in_words(value)));
        read(value).ok_or_else(wrong).map(Some)
    }

    fn required<T>(&self, key: &str, value: Option<T>) -> Result<T, ImportError> {
        value.ok_or_else(|| self.problem(key, "is missing"))
    }

    pub(in crate::import) fn optional_whole(&self, key: &str) -> Result<Option<u64>, ImportError> {
        self.optional(key, "a whole number that is not negative", |value| match value {
            Value::Whole(number) => u64::try_from(*number).ok(),
            _ => None,
        })
    }

    pub(in crate::import) fn whole(&self, key: &str) -> Result<u64, ImportError> {
        self.required(key, self.optional_whole(key)?)
    }

    pub(in crate::import) fn optional_number(&self, key: &str) -> Result<Option<f64>, ImportError> {
        self.optional(key, "a number", |value| match value {
            Value::Number(number) => Some(*number),
            _ => None,
        })
    }

    pub(in crate::import) fn optional_text(&self, key: &str) -> Result<Option<&str>, ImportError> {
        self.optional(key, "a text", |value| match value {
            Value::Text(text) => Some(text.as_str()),
            _ => None,
        })
    }

    pub(in crate::import) fn text(&self, key: &str) -> Result<&str, ImportError> {
        self.required(key, self.optional_text(key)?)
    }

    pub(in crate::import) fn flag(&self, key: &str) -> Result<bool, ImportError> {
        let flag = self.optional(key, "true or false", |value| match value {
            Value::Flag(flag) => Some(*flag),
            _ => None,
        })?;
        Ok(flag.unwrap_or(false))
    }

    pub(in crate::import) fn texts(&self, key: &str) -> Result<&[String], ImportError> {
        let texts = self.optional(key, "a list of texts", |value| match value {
            Value::Texts(texts) => Some(texts.as_slice()),
            _ => None,
        })?;
        self.required(key, texts)
    }

    pub(in crate::import) fn optional_wholes(&self, key: &str) -> Result<Option<&[i64]>, ImportError> {
        self.optional(key, "a list of whole numbers", |value| match value {
            Value::Wholes(numbers) => Some(numbers.as_slice()),
            _ => None,
        })
    }
}

fn in_words(value: &Value) -> String {
    match value {
        Value::Whole(number) => number.to_string(),
        Value::Number(number) => number.to_string(),
        Value::Flag(flag) => flag.to_string(),
        Value::Text(text) => format!("the text {:?}", text.chars().take(40).collect::<String>()),
        Value::Texts(texts) => format!("a list of {} texts", texts.len()),
        Value::Wholes(numbers) => format!("a list of {} whole numbers", numbers.len()),
        Value::OtherList(count) => format!("a list of {count} values"),
    }
}

const TEXT: u32 = 8;
const LIST: u32 = 9;

fn read_value(source: &mut Source, key: &str) -> Result<Value, ImportError> {
    match source.u32("the type of a metadata value")? {
        TEXT => Ok(Value::Text(source.text(key)?)),
        LIST => read_list(source, key),
        kind => read_scalar(source, key, kind),
    }
}

/// Type numbers 0 to 7 and 10 to 12 of the specification.
fn read_scalar(source: &mut Source, key: &str, kind: u32) -> Result<Value, ImportError> {
    Ok(match kind {
        0 => Value::Whole(u8::from_le_bytes(source.bytes(key)?).into()),
        1 => Value::Whole(i8::from_le_bytes(source.bytes(key)?).into()),
        2 => Value::Whole(u16::from_le_bytes(source.bytes(key)?).into()),
        3 => Value::Whole(i16::from_le_bytes(source.bytes(key)?).into()),
        4 => Value::Whole(u32::from_le_bytes(source.bytes(key)?).into()),
        5 => Value::Whole(i32::from_le_bytes(source.bytes(key)?).into()),
        6 => Value::Number(f32::from_le_bytes(source.bytes(key)?).into()),
        7 => Value::Flag(source.bytes::<1>(key)? != [0]),
        10 => Value::Whole(u64::from_le_bytes(source.bytes(key)?).into()),
        11 => Value::Whole(i64::from_le_bytes(source.bytes(key)?).into()),
        12 => Value::Number(f64::from_le_bytes(source.bytes(key)?)),
        other => return Err(source.damaged(format!("metadata {key} has the unknown type {other}"))),
    })
}

fn read_list(source: &mut Source, key: &str) -> Result<Value, ImportError> {
    let kind = source.u32("the type of a list")?;
    if kind == LIST {
        return Err(source.damaged(format!("metadata {key} is a list of lists, which no model needs")));
    }
    let min_bytes = if kind == TEXT { 8 } else { 1 };
    let count = source.count(key, min_bytes)?;
    if kind == TEXT {
        let mut texts = Vec::new();
        for _ in 0..count {
            texts.push(source.text(key)?);
        }
        return Ok(Value::Texts(texts));
    }
    let mut wholes = Vec::new();
    for _ in 0..count {
        if let Value::Whole(number) = read_scalar(source, key, kind)? {
            let number = i64::try_from(number);
            wholes.push(
                number.map_err(|_| source.damaged(format!("metadata {key} has a number beyond 2^63")))?,
            );
        }
    }
    Ok(if wholes.len() as u64 == count { Value::Wholes(wholes) } else { Value::OtherList(count) })
}
