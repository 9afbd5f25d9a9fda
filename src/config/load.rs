//! Puts defaults, file, environment and flags together, later over earlier.

use std::path::{Path, PathBuf};

use toml::{Table, Value};

use super::fields::{FIELDS, Field};
use super::settings::Settings;
use crate::error::{Error, Result};

/// What the names of environment variables that hold settings start with.
pub const ENVIRONMENT_PREFIX: &str = "SEGUE_";

/// Variables with the prefix that are not settings: flags' own variables, and tools' that run beside.
const OTHER_VARIABLES: [&str; 3] = ["SEGUE_CONFIG", "SEGUE_ENDPOINT", "SEGUE_SEED"];

/// Settings given as `path=value`, such as `limits.k_max=500`, by flags.
pub type Overrides = Vec<(String, String)>;

/// What [`load`] put together.
#[derive(Debug, Clone, PartialEq)]
pub struct Loaded {
    /// The settings, valid.
    pub settings: Settings,
    /// Environment variables that look like settings and are none. A warning and not an error, because
    /// container platforms put variables such as `SEGUE_PORT` there by themselves when a service is named `segue`.
    pub ignored_variables: Vec<String>,
}

/// Reads the settings: defaults, then `file`, then `environment` (name, value), then `flags`, each over the one before.
///
/// # Errors
/// `InvalidField` with everything that is wrong, one sentence a line; `Io` when the file cannot be read.
pub fn load(
    file: Option<&Path>,
    environment: impl IntoIterator<Item = (String, String)>,
    flags: &Overrides,
) -> Result<Loaded> {
    let mut problems = Vec::new();
    let base = match file {
        Some(path) => read_file(path)?,
        None => Settings::default(),
    };
    let mut table = to_table(&base)?;
    let ignored_variables = apply_environment(&mut table, environment, &mut problems);
    for (path, value) in flags {
        match FIELDS.iter().find(|field| field.path == path) {
            Some(field) => apply(&mut table, field, value, path, &mut problems),
            None => problems.push(format!("{path}: no such setting; docs/CONFIG.md lists them all")),
        }
    }
    // A wrong value is left out of the table, so that the rest is still checked and reported with it.
    match table.try_into::<Settings>() {
        Ok(settings) => {
            problems.extend(settings.validate().err().unwrap_or_default());
            if problems.is_empty() {
                return Ok(Loaded { settings, ignored_variables });
            }
        }
        Err(error) => problems.push(error.to_string().trim().to_owned()),
    }
    Err(Error::invalid("settings", problems.join("\n")))
}

fn read_file(path: &Path) -> Result<Settings> {
    let text = std::fs::read_to_string(path)
        .map_err(|source| Error::io("read the settings file", PathBuf::from(path), source))?;
    toml::from_str(&text).map_err(|error| {
        Error::invalid("config", format!("{}: {}", path.display(), error.to_string().trim()))
    })
}

fn to_table(settings: &Settings) -> Result<Table> {
    Table::try_from(settings).map_err(|error| Error::Internal(format!("settings are not a table: {error}")))
}

/// Applies the variables that are settings; returns those that only look like it.
fn apply_environment(
    table: &mut Table,
    environment: impl IntoIterator<Item = (String, String)>,
    problems: &mut Vec<String>,
) -> Vec<String> {
    let mut ignored = Vec::new();
    let named = environment.into_iter().filter(|(name, _)| name.starts_with(ENVIRONMENT_PREFIX));
    for (name, value) in named {
        match FIELDS.iter().find(|field| field.variable() == name) {
            Some(field) => apply(table, field, &value, &name, problems),
            None if OTHER_VARIABLES.contains(&name.as_str()) => {}
            None => ignored.push(name),
        }
    }
    ignored.sort();
    ignored
}

/// Puts `text` into the table as the type the field has.
fn apply(table: &mut Table, field: &Field, text: &str, origin: &str, problems: &mut Vec<String>) {
    let parsed = match field.find(table) {
        Some(Value::Integer(_)) => {
            text.replace('_', "").parse().map(Value::Integer).map_err(|_| "a whole number")
        }
        Some(Value::Boolean(_)) => text.parse().map(Value::Boolean).map_err(|_| "true or false"),
        Some(Value::Array(_)) => {
            let items = text.split(',').map(str::trim).filter(|item| !item.is_empty());
            Ok(Value::Array(items.map(|item| Value::String(item.to_owned())).collect()))
        }
        _ => Ok(Value::String(text.to_owned())),
    };
    match parsed {
        Ok(value) => set(table, field, value, text, origin, problems),
        Err(expected) => problems.push(format!("{origin}: must be {expected}. value=`{text}`")),
    }
}

fn set(table: &mut Table, field: &Field, value: Value, text: &str, origin: &str, problems: &mut Vec<String>) {
    let before = table.clone();
    let (parents, leaf) = field.split();
    let mut inner = &mut *table;
    for parent in parents {
        let Some(next) = inner.get_mut(parent).and_then(Value::as_table_mut) else { return };
        inner = next;
    }
    inner.insert(leaf.to_owned(), value);
    if let Err(error) = table.clone().try_into::<Settings>() {
        problems.push(format!("{origin}: {}. value=`{text}`", error.message()));
        *table = before;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    fn problem(result: Result<Loaded>) -> String {
        result.expect_err("the settings are wrong").to_string()
    }

    #[test]
    fn a_flag_beats_the_environment_beats_the_file_beats_the_default() {
        let file = tempfile::NamedTempFile::new().expect("a temporary file");
        std::fs::write(file.path(), "[limits]\nk_max = 10\nqueue_max = 20\nbatch_rows_max = 30\n")
            .expect("written");
        let variables = environment(&[
            ("SEGUE_LIMITS_QUEUE_MAX", "200"),
            ("SEGUE_LIMITS_BATCH_ROWS_MAX", "300"),
            ("PATH", "/"),
        ]);
        let flags = vec![("limits.batch_rows_max".to_owned(), "3_000".to_owned())];
        let limits = load(Some(file.path()), variables, &flags).expect("valid").settings.limits;
        assert_eq!((limits.k_max, limits.queue_max, limits.batch_rows_max), (10, 200, 3000));
        assert_eq!(limits.filter_terms_max, 10_000, "the default stays");
    }

    #[test]
    fn a_list_comes_from_the_file_as_one_and_from_a_flag_with_commas() {
        let file = tempfile::NamedTempFile::new().expect("a temporary file");
        std::fs::write(file.path(), "[cluster]\njoin = [\"a:1\", \"b:2\"]\n").expect("written");
        let join = |flags: &Overrides| {
            load(Some(file.path()), environment(&[]), flags).expect("valid").settings.cluster.join
        };
        assert_eq!(join(&vec![]), ["a:1", "b:2"]);
        assert_eq!(join(&vec![("cluster.join".to_owned(), "c:3, d:4,".to_owned())]), ["c:3", "d:4"]);
        assert_eq!(join(&vec![("cluster.join".to_owned(), String::new())]), <[&str; 0]>::default());
    }

    #[test]
    fn all_wrong_values_are_reported_together() {
        let variables = environment(&[("SEGUE_LIMITS_K_MAX", "many"), ("SEGUE_LISTEN", "nowhere")]);
        let flags = vec![
            ("limits.queue".to_owned(), "1".to_owned()),
            ("storage.seal_rows".to_owned(), "1".to_owned()),
        ];
        let text = problem(load(None, variables, &flags));
        for part in [
            "SEGUE_LIMITS_K_MAX",
            "SEGUE_LISTEN",
            "limits.queue: no such setting",
            "storage.seal_rows: must be",
        ] {
            assert!(text.contains(part), "{part} is missing in {text}");
        }
    }

    #[test]
    fn an_unknown_field_of_the_file_is_an_error_with_its_line() {
        let file = tempfile::NamedTempFile::new().expect("a temporary file");
        std::fs::write(file.path(), "[limits]\nkmax = 10\n").expect("written");
        let text = problem(load(Some(file.path()), Vec::new(), &Vec::new()));
        assert!(text.contains("kmax") && text.contains("line 2"), "{text}");
    }

    #[test]
    fn variables_a_platform_sets_are_reported_and_not_fatal() {
        let loaded =
            load(None, environment(&[("SEGUE_SERVICE_HOST", "10.0.0.1")]), &Vec::new()).expect("valid");
        assert_eq!(loaded.ignored_variables, ["SEGUE_SERVICE_HOST"]);
    }
}
