//! The reference page of all settings, made from the table.

use std::fmt::Write;

use toml::{Table, Value};

use super::fields::{FIELDS, Field, Range};
use super::settings::Settings;

const HEAD: &str = "# Settings

Every setting of `segue serve`. A later place wins over an earlier one: the default, the TOML file (`--config FILE` or
`SEGUE_CONFIG`), the environment variable, the flag (`--data`, `--listen`, `--http`, or `--set path=value` for any
field). All are checked once at start; a wrong value stops the start, and everything that is wrong is listed at once.
`segue serve --print-config` prints what would be used, as a file that can be used.

This page is made from the table in `src/config/fields.rs`; a test keeps the two equal.
";

/// The text of `docs/CONFIG.md`.
#[must_use]
pub fn reference() -> String {
    let defaults = Table::try_from(Settings::default()).unwrap_or_default();
    let mut page = HEAD.to_owned();
    for field in FIELDS {
        let _ = write!(page, "\n{}", section(field, &defaults));
    }
    page
}

fn section(field: &Field, defaults: &Table) -> String {
    let default = field.find(defaults).map_or_else(String::new, Value::to_string);
    let range = match field.range {
        Range::Whole(min, max) => format!("{min} to {max} {}", field.unit),
        Range::Switch => "true, false".to_owned(),
        Range::OneOf(words) => words.join(", "),
        Range::List => format!("a list of {}", field.unit),
        Range::Text if field.unit.is_empty() => "text".to_owned(),
        Range::Text => field.unit.to_owned(),
    };
    let about = field.about;
    let (path, variable) = (field.path, field.variable());
    format!("## `{path}`\n\n{about}\n\nDefault `{default}`; {range}; variable `{variable}`.\n")
}

#[cfg(test)]
mod tests {
    /// `UPDATE_DOCS=1 cargo test` writes the page instead of comparing it.
    #[test]
    fn the_reference_page_lists_every_setting_as_it_is() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/CONFIG.md");
        let expected = super::reference();
        if std::env::var_os("UPDATE_DOCS").is_some() {
            std::fs::write(path, &expected).expect("docs/CONFIG.md can be written");
        }
        let found = std::fs::read_to_string(path).unwrap_or_default();
        assert!(
            found == expected,
            "docs/CONFIG.md is out of date: run UPDATE_DOCS=1 cargo test reference_page"
        );
    }
}
