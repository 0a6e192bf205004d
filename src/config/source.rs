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
use super::key;

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
                DeValue::Table(table) if key::is_section(&name) && name != "oper" => {
                    for (inner, value) in table {
                        let path = format!("{name}.{}", inner.get_ref());
                        source.put(path, to_value(value.clone())?, place(inner.span().start))?;
                    }
                }
                DeValue::Array(opers) if name == "oper" => {
                    for (index, oper) in opers.iter().enumerate() {
                        let DeValue::Table(table) = oper.get_ref() else {
                            return Err(ConfigError::key(
                                at,
                                "oper",
                                "is not a table; write [[oper]] above each operator",
                            ));
                        };
                        for (inner, value) in table {
                            let path = format!("oper.{index}.{}", inner.get_ref());
                            source.put(path, to_value(value.clone())?, place(inner.span().start))?;
                        }
                    }
                }
                _ if name == "oper" => {
                    return Err(ConfigError::key(at, "oper", "is not a list; write [[oper]] above each operator"));
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
            if path == "oper" {
                self.replace_opers(&text, place)?;
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

    fn replace_opers(&mut self, text: &str, place: Place) -> Result<(), ConfigError> {
        let wrong = || {
            let right = r#"is not a list of operators; write [{name = "alice", password = "…"}]"#;
            ConfigError::key(place.clone(), "oper", right)
        };
        let table = format!("oper = {text}").parse::<toml::Table>().map_err(|_| wrong())?;
        let Some(Value::Array(opers)) = table.get("oper") else { return Err(wrong()) };
        self.values.retain(|path, _| !path.starts_with("oper."));
        for (index, oper) in opers.iter().enumerate() {
            let Value::Table(oper) = oper else { return Err(wrong()) };
            for (inner, value) in oper {
                self.put(format!("oper.{index}.{inner}"), value.clone(), place.clone())?;
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
