//! JSON as indented text.

use std::fmt;

use serde_json::Value;

/// Writes `value` with two spaces of indentation per level; short lists on one line.
pub(super) fn tree(f: &mut fmt::Formatter<'_>, value: &Value, depth: usize) -> fmt::Result {
    let indent = "  ".repeat(depth);
    match value {
        Value::Object(fields) => fields.iter().try_for_each(|(name, value)| {
            if is_flat(value) {
                return writeln!(f, "{indent}{name}: {}", flat(value));
            }
            writeln!(f, "{indent}{name}:")?;
            tree(f, value, depth + 1)
        }),
        Value::Array(items) if !is_flat(value) => items.iter().try_for_each(|item| {
            if is_flat(item) {
                return writeln!(f, "{indent}- {}", flat(item));
            }
            writeln!(f, "{indent}-")?;
            tree(f, item, depth + 1)
        }),
        flat_value => writeln!(f, "{indent}{}", flat(flat_value)),
    }
}

/// True for what fits on one line: a plain value, or a list of plain values.
fn is_flat(value: &Value) -> bool {
    match value {
        Value::Object(_) => false,
        Value::Array(items) => items.iter().all(|item| !item.is_object() && !item.is_array()),
        _ => true,
    }
}

fn flat(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}
