//! The Rust sources of the workspace, read once a test.

use std::path::{Path, PathBuf};

use crate::lexer::{Lines, split};

/// One source file.
pub struct Source {
    /// Path from the root of the repository, with `/`.
    pub path: String,
    /// The text as it stands.
    pub text: String,
    /// The text taken apart.
    pub lines: Lines,
}

impl Source {
    /// The folder (or file) of `src/` it belongs to, `None` outside the root package: `src/filter/bits.rs` → `filter`.
    pub fn layer(&self) -> Option<&str> {
        let rest = self.path.strip_prefix("src/")?;
        Some(rest.split('/').next().unwrap_or(rest).trim_end_matches(".rs"))
    }

    /// Whether the file consists of tests, examples or benchmarks.
    pub fn is_test(&self) -> bool {
        let name = self.path.rsplit('/').next().unwrap_or_default();
        self.path.contains("/tests/")
            || ["tests/", "examples/", "benches/"].iter().any(|folder| self.path.starts_with(folder))
            || self.path.contains("/examples/")
            || self.path.contains("/benches/")
            || name == "tests.rs"
            || name.ends_with("_tests.rs")
    }

    /// `path:line` of a 0-based line.
    pub fn at(&self, line: usize) -> String {
        format!("{}:{}", self.path, line + 1)
    }
}

/// All Rust sources.
pub struct Repository {
    pub sources: Vec<Source>,
}

/// The root of the repository.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

impl Repository {
    /// Reads every `.rs` file of the workspace.
    pub fn read() -> Self {
        let mut paths = Vec::new();
        for folder in ["src", "proto", "storage-format", "index", "cluster", "tests", "benches", "examples"] {
            walk(&root().join(folder), &mut paths);
        }
        paths.sort();
        let sources: Vec<Source> = paths.iter().map(|path| read(path)).collect();
        assert!(sources.len() > 50, "the sources were not found: only {} files", sources.len());
        Self { sources }
    }
}

fn read(path: &Path) -> Source {
    let text = std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let relative = path.strip_prefix(root()).unwrap_or(path).to_string_lossy().replace('\\', "/");
    Source { path: relative, lines: split(&text), text }
}

fn walk(folder: &Path, paths: &mut Vec<PathBuf>) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        let path = entry.path();
        if path.is_dir() && path.file_name().is_some_and(|name| name != "target") {
            walk(&path, paths);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            paths.push(path);
        }
    }
}
