//! Which folder may import which (DESIGN: `api → pipeline → index, filter → storage → storage-format`).

use crate::lexer::{Lines, words};
use crate::repository::{Repository, Source};

/// What every layer may use, and what may use nothing else: plain nouns, errors, settings, logging.
const COMMON: [&str; 4] = ["types", "error", "config", "telemetry"];

/// A folder of `src/` and the folders it may import besides itself and [`COMMON`].
const LAYERS: &[(&str, &[&str])] = &[
    ("storage", &[]),
    ("filter", &["storage"]),
    // Folding a new listener in solves the very row that training solves.
    ("pipeline", &["filter", "storage", "train"]),
    ("maintenance", &["storage"]),
    // Bulk files, training and the generator know files and nouns, not the database; the trainer also writes the
    // document that a generation is created from.
    ("ingest", &[]),
    ("train", &["ingest", "storage"]),
    ("generate", &["ingest", "train"]),
    // Wires everything.
    ("node", &["pipeline", "filter", "maintenance", "storage"]),
    // Measures a database from outside, by its public operations.
    ("eval", &["node", "pipeline", "ingest", "storage", "train"]),
    // Serves the engine: `node::Segue` and the plain structs of its signatures.
    ("api", &["node", "pipeline", "storage"]),
    (
        "cli",
        &[
            "api",
            "node",
            "pipeline",
            "storage",
            "ingest",
            "train",
            "generate",
            "eval",
            "maintenance",
            "filter",
        ],
    ),
];

/// An outside crate and the only places of the workspace that may name it.
const CRATES: &[(&str, &[&str])] = &[
    ("segue_cluster", &["src/node/", "cluster/"]),
    ("tonic", &["src/api/", "cluster/src/net/", "proto/"]),
    ("tonic_health", &["src/api/"]),
    ("tonic_reflection", &["src/api/"]),
    ("prost", &["src/api/", "cluster/src/net/", "proto/"]),
    ("axum", &["src/api/"]),
    ("raft", &["cluster/"]),
    ("raft_engine", &["cluster/"]),
    ("fjall", &["src/storage/"]),
    ("lsm_tree", &["src/storage/"]),
    ("sfa", &["src/storage/"]),
    ("segue_index", &["src/types/", "src/pipeline/", "src/maintenance/", "src/cli/", "index/"]),
    ("memmap2", &["storage-format/"]),
    ("clap", &["src/cli/", "src/config/", "src/main.rs"]),
    ("indicatif", &["src/cli/"]),
    ("parquet", &["src/ingest/"]),
];

/// Imports of `src/` against [`LAYERS`]. Tests may look upwards.
pub fn imports(repository: &Repository) -> Vec<String> {
    let mut violations = Vec::new();
    for source in repository.sources.iter().filter(|source| !source.is_test()) {
        let Some(layer) = source.layer().filter(|layer| !matches!(*layer, "main" | "lib")) else { continue };
        for (line, target) in targets(source) {
            if let Some(problem) = judge(layer, &target) {
                violations.push(format!("{}: {problem}", source.at(line)));
            }
        }
    }
    violations
}

fn judge(layer: &str, target: &str) -> Option<String> {
    if layer == target || COMMON.contains(&target) {
        return None;
    }
    let known = |name: &str| COMMON.contains(&name) || LAYERS.iter().any(|(folder, _)| *folder == name);
    if !known(target) {
        // A name that lib.rs re-exports (`crate::Result`), or a macro.
        return None;
    }
    if COMMON.contains(&layer) {
        return Some(format!(
            "`{layer}` is used by every layer and may not import `{target}`; move what is shared into src/types"
        ));
    }
    match LAYERS.iter().find(|(folder, _)| *folder == layer) {
        None => Some(format!(
            "`{layer}` is a new folder: give it a row in tests/tidy/layers.rs and docs/ARCHITECTURE.md"
        )),
        Some((_, allowed)) if allowed.contains(&target) => None,
        Some(_) => Some(format!(
            "`{layer}` may not import `{target}`; pass what it needs as an argument, or move the shared noun into src/types"
        )),
    }
}

/// The top-level modules a source names, by line: after `crate::`, and after enough `super::` to reach the root.
fn targets(source: &Source) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    let depth =
        source.path.matches('/').count().saturating_sub(usize::from(source.path.ends_with("/mod.rs")));
    for (line, code) in joined(&source.lines) {
        let words = words(&code);
        for (at, &(column, word)) in words.iter().enumerate() {
            let supers = words[..at].iter().rev().take_while(|(_, word)| *word == "super").count();
            let after_crate = at > 0 && words[at - 1].1 == "crate";
            let after_root = supers > 0 && supers >= depth && word != "super";
            if (after_crate || after_root) && code[..column].ends_with("::") {
                found.push((line, word.to_owned()));
            } else if word == "crate" && code[column + 5..].starts_with("::{") {
                found.extend(group(&code[column + 8..]).into_iter().map(|name| (line, name)));
            }
        }
    }
    found
}

/// Lines of code, where a `use crate::{` that is broken over lines is joined into its first.
fn joined(lines: &Lines) -> Vec<(usize, String)> {
    let mut joined: Vec<(usize, String)> = Vec::new();
    let mut open = false;
    for (at, code) in lines.code.iter().enumerate() {
        match joined.last_mut().filter(|_| open) {
            Some((_, text)) => text.push_str(code),
            None => joined.push((at, code.clone())),
        }
        let text = joined.last().map_or("", |(_, text)| text.as_str());
        open = text.trim_start().contains("use crate::{") && !text.contains(';');
    }
    joined
}

/// The first names of each part of `a::b, c::{d, e}}`.
fn group(text: &str) -> Vec<String> {
    let (mut names, mut depth, mut part) = (Vec::new(), 0_i32, String::new());
    for c in text.chars() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => names.push(std::mem::take(&mut part)),
            _ => {}
        }
        if !(c == ',' && depth == 0) {
            part.push(c);
        }
    }
    names.push(part);
    let first = |part: String| part.trim().split("::").next().unwrap_or_default().to_owned();
    names.into_iter().map(first).filter(|name| !name.is_empty()).collect()
}

/// Crates named outside their places. Tests may use any.
pub fn crates(repository: &Repository) -> Vec<String> {
    let mut violations = Vec::new();
    for source in repository.sources.iter().filter(|source| !source.is_test()) {
        for (line, code) in source.lines.code.iter().enumerate() {
            for (column, word) in words(code) {
                let path = code[column + word.len()..].starts_with("::") && !code[..column].ends_with("::");
                let Some((_, places)) = CRATES.iter().find(|(name, _)| path && *name == word) else {
                    continue;
                };
                if !places.iter().any(|place| source.path.starts_with(place)) {
                    let at = source.at(line);
                    violations
                        .push(format!("{at}: `{word}` belongs to {}; wrap it there", places.join(", ")));
                }
            }
        }
    }
    violations
}

/// Files opened by the index, which is given bytes.
pub fn files_in_index(repository: &Repository) -> Vec<String> {
    let in_index = |source: &&Source| source.path.starts_with("index/") && !source.is_test();
    let mut violations = Vec::new();
    for source in repository.sources.iter().filter(in_index) {
        for (line, code) in source.lines.code.iter().enumerate() {
            let words: Vec<&str> = words(code).into_iter().map(|(_, word)| word).collect();
            if words.iter().any(|word| matches!(*word, "fs" | "File" | "OpenOptions" | "PathBuf")) {
                violations.push(format!(
                    "{}: the index opens no file: take bytes or a view from storage-format instead",
                    source.at(line)
                ));
            }
        }
    }
    violations
}

/// gRPC codes named outside the one file that maps errors to them.
pub fn grpc_codes(repository: &Repository) -> Vec<String> {
    let mut violations = Vec::new();
    for source in
        repository.sources.iter().filter(|source| source.path.starts_with("src/") && !source.is_test())
    {
        // The second names codes as labels of metrics and maps no error.
        if matches!(source.path.as_str(), "src/api/status.rs" | "src/api/observe.rs") {
            continue;
        }
        for (line, code) in source.lines.code.iter().enumerate() {
            if code.contains("Code::") && words(code).iter().any(|(_, word)| *word == "Code")
                || code.contains("tonic::Code")
            {
                violations.push(format!("{}: map errors and codes in src/api/status.rs", source.at(line)));
            }
        }
    }
    violations
}

#[test]
fn a_group_of_imports_is_taken_apart() {
    assert_eq!(group("error::{Error, Result}, types::Track}; rest"), ["error", "types"]);
    assert!(judge("storage", "filter").is_some());
    assert_eq!(judge("pipeline", "filter"), None);
    assert!(judge("types", "storage").is_some());
}
