//! Where values come from: a TOML file and the environment, each value with its place, so that an
//! error can name it.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::sync::Arc;

use serde::Deserialize as _;
use toml::Value;
use toml::de::{DeTable, DeValue, ValueDeserializer};

use super::ConfigError;
use super::key::{self, List};

/// Where a value was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// In this file, at this line, counted from 1.
    File(Arc<str>, usize),
    /// In this environment variable.
    Environment(Box<str>),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::File(file, line) => write!(f, "{file}:{line}"),
            Place::Environment(variable) => write!(f, "{variable}"),
        }
    }
}

/// Values by path (`server.name`, `oper.0.name`), each checked by its key.
#[derive(Debug)]
pub(super) struct Source {
    /// What the values were read from, for people.
    pub file: Arc<str>,
    pub values: BTreeMap<String, (Value, Place)>,
}

impl Source {
    /// Reads a file.
    pub(super) fn file(path: &Path) -> Result<Source, ConfigError> {
        let file: Arc<str> = path.display().to_string().into();
        match std::fs::read_to_string(path) {
            Ok(text) => Source::text(&text, file),
            Err(cause) => Err(ConfigError::Unreadable { file, cause: cause.to_string().into() }),
        }
    }

    /// Takes the text of a file.
    pub(super) fn text(text: &str, file: Arc<str>) -> Result<Source, ConfigError> {
        let place = |at: usize| {
            let before = text.as_bytes().iter().take(at);
            Place::File(file.clone(), 1 + before.filter(|byte| **byte == b'\n').count())
        };
        let document = DeTable::parse(text).map_err(|error| ConfigError::Syntax {
            place: place(error.span().map_or(0, |span| span.start)),
            problem: error.message().lines().collect::<Vec<_>>().join("; ").into(),
        })?;
        let mut source = Source { file: file.clone(), values: BTreeMap::new() };
        for (name, value) in document.into_inner() {
            let at = place(name.span().start);
            let name = name.into_inner();
            match value.get_ref() {
                list if List::at(&name).is_some() => source.put_list(&name, list, at, &place)?,
                DeValue::Table(table) if key::is_section(&name) => {
                    for (inner, value) in table {
                        let path = format!("{name}.{}", inner.get_ref());
                        let at = place(inner.span().start);
                        if List::at(&path).is_some() {
                            source.put_list(&path, value.get_ref(), at, &place)?;
                        } else {
                            source.put(path, to_value(value.clone())?, at)?;
                        }
                    }
                }
                _ if key::is_section(&name) => {
                    return Err(ConfigError::key(
                        at,
                        &name,
                        &format!("is a section; write [{name}] and its keys below"),
                    ));
                }
                DeValue::Table(table) => {
                    // Name a key of the unknown section, for that is what tells which section was meant.
                    let inner = table.keys().next().map(|inner| format!("{name}.{}", inner.get_ref()));
                    return Err(ConfigError::unknown(at, &inner.unwrap_or_else(|| name.into_owned())));
                }
                _ => source.put(name.into_owned(), to_value(value.clone())?, at)?,
            }
        }
        Ok(source)
    }

    /// Lets every variable `ROOST__SECTION__KEY` replace a value.
    pub(super) fn override_from(
        &mut self,
        environment: impl Iterator<Item = (String, String)>,
    ) -> Result<(), ConfigError> {
        // Sorted, so that ROOST__OPER comes before ROOST__OPER__0__NAME.
        let variables: BTreeMap<String, String> = environment.collect();
        for (variable, text) in variables {
            let Some(rest) = variable.strip_prefix("ROOST__") else { continue };
            let place = Place::Environment(variable.clone().into());
            let path = rest.to_ascii_lowercase().replace("__", ".");
            if let Some(list) = List::at(&path) {
                self.replace_list(list, &text, place)?;
                continue;
            }
            // Variables are written in capitals; `ROOST__Server__name` is a slip as well.
            let known = if rest == rest.to_ascii_uppercase() { key::find(&path) } else { None };
            let Some(key) = known else { return Err(ConfigError::unknown(place, &path)) };
            let value = key.kind.parse(&text).map_err(|problem| ConfigError::key(place.clone(), &path, &problem))?;
            self.put(path, value, place)?;
        }
        Ok(())
    }

    fn put_list(
        &mut self,
        path: &str,
        entries: &DeValue<'_>,
        at: Place,
        place: &impl Fn(usize) -> Place,
    ) -> Result<(), ConfigError> {
        let wrong = |what| ConfigError::key(at.clone(), path, &format!("is not a {what}; write [[{path}]] above each"));
        let DeValue::Array(entries) = entries else { return Err(wrong("list")) };
        for (index, entry) in entries.iter().enumerate() {
            let DeValue::Table(table) = entry.get_ref() else { return Err(wrong("table")) };
            for (inner, value) in table {
                let path = format!("{path}.{index}.{}", inner.get_ref());
                self.put(path, to_value(value.clone())?, place(inner.span().start))?;
            }
        }
        Ok(())
    }

    fn replace_list(&mut self, list: &List, text: &str, place: Place) -> Result<(), ConfigError> {
        let path = list.path;
        let wrong = || {
            let right = format!("is not a list of {}; write {}", list.entries, list.example);
            ConfigError::key(place.clone(), path, &right)
        };
        let table = format!("list = {text}").parse::<toml::Table>().map_err(|_| wrong())?;
        let Some(Value::Array(entries)) = table.get("list") else { return Err(wrong()) };
        self.values.retain(|other, _| List::entry(other).is_none_or(|(of, ..)| of.path != path));
        for (index, entry) in entries.iter().enumerate() {
            let Value::Table(entry) = entry else { return Err(wrong()) };
            for (inner, value) in entry {
                self.put(format!("{path}.{index}.{inner}"), value.clone(), place.clone())?;
            }
        }
        Ok(())
    }

    fn put(&mut self, path: String, value: Value, place: Place) -> Result<(), ConfigError> {
        let Some(key) = key::find(&path) else { return Err(ConfigError::unknown(place, &path)) };
        match key.kind.check(value) {
            Ok(value) => {
                self.values.insert(path, (value, place));
                Ok(())
            }
            Err(problem) => Err(ConfigError::key(place, &path, &problem)),
        }
    }
}

fn to_value(value: toml::Spanned<DeValue<'_>>) -> Result<Value, ConfigError> {
    Value::deserialize(ValueDeserializer::from(value)).map_err(ConfigError::from_serde)
}
