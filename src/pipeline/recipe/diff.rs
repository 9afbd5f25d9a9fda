//! What two recipes say differently, field by field.

use serde::Serialize;
use serde_json::Value;

use super::document::Recipe;

/// A field that differs.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Change {
    /// Path of the field; sources and rules by name, such as `sources.audio.depth`.
    pub field: String,
    /// What the first says; null when it has no such part.
    pub from: Value,
    /// What the second says.
    pub to: Value,
}

/// The differences in order of fields; names and versions are none.
#[must_use]
pub fn diff(from: &Recipe, to: &Recipe) -> Vec<Change> {
    let plain = |recipe: &Recipe| {
        let mut value = serde_json::to_value(recipe).unwrap_or_default();
        if let Value::Object(fields) = &mut value {
            fields.remove("name");
            fields.remove("version");
        }
        by_name(value)
    };
    let mut changes = Vec::new();
    walk("", &plain(from), &plain(to), &mut changes);
    changes
}

/// Lists whose members have names become objects, so that members are compared by name and not by place.
fn by_name(value: Value) -> Value {
    match value {
        Value::Object(fields) => {
            Value::Object(fields.into_iter().map(|(name, value)| (name, by_name(value))).collect())
        }
        Value::Array(members) => {
            let name = |member: &Value| {
                ["source", "name"].iter().find_map(|field| member.get(field)?.as_str().map(str::to_owned))
            };
            let names: Vec<String> = members.iter().filter_map(name).collect();
            if members.is_empty() || names.len() < members.len() {
                return Value::Array(members);
            }
            Value::Object(
                names.into_iter().zip(members).map(|(name, member)| (name, by_name(member))).collect(),
            )
        }
        other => other,
    }
}

fn walk(path: &str, from: &Value, to: &Value, changes: &mut Vec<Change>) {
    if from == to {
        return;
    }
    if let (Value::Object(a), Value::Object(b)) = (from, to) {
        let names: std::collections::BTreeSet<&String> = a.keys().chain(b.keys()).collect();
        for name in names {
            let field = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
            walk(&field, a.get(name).unwrap_or(&Value::Null), b.get(name).unwrap_or(&Value::Null), changes);
        }
        return;
    }
    changes.push(Change { field: path.to_owned(), from: from.clone(), to: to.clone() });
}

#[cfg(test)]
mod tests {
    use super::super::{Source, built_in};
    use super::*;

    #[test]
    fn differences_are_named_by_field_and_source() {
        let recipe = built_in().swap_remove(0);
        assert!(diff(&recipe, &Recipe { version: 9, ..recipe.clone() }).is_empty());
        let mut other = Recipe { n: 40, ..recipe.clone() };
        other.sources.retain(|spec| spec.source != Source::Content);
        other.sources.reverse();
        let depth = |spec: &mut super::super::SourceSpec| spec.depth += 1;
        other.sources.iter_mut().filter(|spec| spec.source == Source::Audio).for_each(depth);
        let fields: Vec<String> = diff(&recipe, &other).into_iter().map(|change| change.field).collect();
        assert_eq!(fields, ["n", "sources.audio.depth", "sources.content"]);
    }
}
