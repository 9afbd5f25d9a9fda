//! Length, unsafe code, unfinished places, names, module docs, and what may not be committed.

use std::path::Path;
use std::process::Command;

use crate::lexer::words;
use crate::repository::{Repository, Source, root};

/// The longest a source file may be, tests included.
const LINES_MAX: usize = 400;
/// The longest a `mod.rs` may be.
const MODULE_LINES_MAX: usize = 220;
/// Files that may be longer, each with its reason.
const LONGER: &[(&str, &str)] = &[
    ("src/storage/track_shard/apply.rs", "all that changes a track shard, to be read as one"),
    (
        "src/storage/track_shard/segment.rs",
        "a segment in memory, as columns, and the way between, side by side",
    ),
    ("src/cli/backend.rs", "one method an operation, of a server and of a directory side by side"),
    ("tests/it/user_shards.rs", "what is asked of one database and of several shards, and compared"),
    ("tests/it/cluster/placed.rs", "one long history of a cluster, and what is asked on the way"),
    ("tests/it/bad_input.rs", "every wrong request of the public interface, a table a kind"),
    ("src/api/convert/tests.rs", "a generator for each domain type, and what must come back"),
];

/// The largest file that may be committed, in bytes.
const COMMITTED_BYTES_MAX: u64 = 512 * 1024;
/// Endings of bulk data, which is generated or comes from elsewhere.
const DATA_ENDINGS: [&str; 7] = ["parquet", "npy", "npz", "csv", "arrow", "fvecs", "bin"];

/// Files over [`LINES_MAX`], and exceptions that are none any more.
pub fn length(repository: &Repository) -> Vec<String> {
    let mut violations = Vec::new();
    for source in &repository.sources {
        let lines = source.text.lines().count();
        let reason = LONGER.iter().find(|(path, _)| *path == source.path);
        if lines > LINES_MAX && reason.is_none() {
            violations.push(format!(
                "{}: {lines} lines, at most {LINES_MAX}; split by meaning, or move the tests into a file beside it",
                source.path
            ));
        }
        if lines <= LINES_MAX && reason.is_some() {
            violations
                .push(format!("{}: short again; remove it from LONGER in tests/tidy/rules.rs", source.path));
        }
    }
    violations
}

/// `unsafe` without a `SAFETY:` comment, in a module that does not say so, or missing from docs/UNSAFE.md.
pub fn unsafe_blocks(repository: &Repository) -> Vec<String> {
    let listed = std::fs::read_to_string(root().join("docs/UNSAFE.md")).unwrap_or_default();
    let mut violations = Vec::new();
    for source in &repository.sources {
        let uses: Vec<usize> = unsafe_lines(source);
        for &line in &uses {
            if !explained(source, line) {
                violations.push(format!(
                    "{}: put `// SAFETY: why this holds` directly above (`# Safety` in the docs of an unsafe fn)",
                    source.at(line)
                ));
            }
        }
        if !uses.is_empty() && !listed.contains(&format!("`{}`", source.path)) {
            violations.push(format!("{}: list the file and each function in docs/UNSAFE.md", source.path));
        }
    }
    for path in listed.split('`').filter(|word| word.ends_with(".rs")) {
        if !repository.sources.iter().any(|source| source.path == path && !unsafe_lines(source).is_empty()) {
            violations
                .push(format!("docs/UNSAFE.md: `{path}` has no unsafe code (any more); remove its row"));
        }
    }
    violations
}

/// Lines with unsafe blocks, implementations, or functions that others may call.
fn unsafe_lines(source: &Source) -> Vec<usize> {
    let has = |code: &String| {
        let mut words = words(code).into_iter().map(|(_, word)| word).peekable();
        let mut public = false;
        while let Some(word) = words.next() {
            let private_function =
                !public && words.peek().is_some_and(|next| matches!(*next, "fn" | "extern"));
            if word == "unsafe" && !private_function {
                return true;
            }
            public |= word == "pub";
        }
        false
    };
    let code = source.lines.code.iter().enumerate();
    code.filter(|(_, code)| has(code)).map(|(line, _)| line).collect()
}

/// A `SAFETY:` comment on the line or in the comment block (attributes may stand between) above the statement.
fn explained(source: &Source, line: usize) -> bool {
    let says = |line: usize| {
        let comment = &source.lines.comments[line];
        comment.contains("SAFETY:") || comment.contains("# Safety")
    };
    if says(line) {
        return true;
    }
    for above in (line.saturating_sub(60)..line).rev() {
        if says(above) {
            return true;
        }
        let code = source.lines.code[above].trim();
        let continues = code.is_empty() || code.starts_with("#[") || !(code.ends_with([';', '}', '{']));
        if !continues {
            return false;
        }
    }
    false
}

/// Macros that stand for work not done. Lints deny them in builds; this covers every target and feature.
pub fn unfinished(repository: &Repository) -> Vec<String> {
    let mut violations = Vec::new();
    for source in &repository.sources {
        for (line, code) in source.lines.code.iter().enumerate() {
            for (column, word) in words(code) {
                let is_macro = code[column + word.len()..].starts_with('!');
                if is_macro && matches!(word, "todo" | "unimplemented" | "dbg") {
                    violations.push(format!(
                        "{}: finish it, or return an error that says what to do",
                        source.at(line)
                    ));
                }
            }
        }
        for (line, comment) in source.lines.comments.iter().enumerate() {
            if words(comment).iter().any(|(_, word)| matches!(*word, "TODO" | "FIXME" | "XXX")) {
                violations.push(format!("{}: do it now or write it down in docs/STATUS.md", source.at(line)));
            }
        }
    }
    violations
}

/// Tests nobody knows how to run: ignored, and not among the measurements of docs/TESTING.md.
pub fn ignored_tests(repository: &Repository) -> Vec<String> {
    let listed = std::fs::read_to_string(root().join("docs/TESTING.md")).unwrap_or_default();
    let mut violations = Vec::new();
    for source in repository.sources.iter().filter(|source| !listed.contains(&format!("`{}`", source.path))) {
        for (line, code) in source.lines.code.iter().enumerate() {
            if code.trim_start().starts_with("#[ignore") {
                violations.push(format!(
                    "{}: make it short by default and long by an environment variable; a measurement may stay, with its \
                     command in docs/TESTING.md",
                    source.at(line)
                ));
            }
        }
    }
    violations
}

/// Identifiers with letters outside ASCII.
pub fn ascii(repository: &Repository) -> Vec<String> {
    let mut violations = Vec::new();
    for source in &repository.sources {
        for (line, code) in source.lines.code.iter().enumerate() {
            for (_, word) in words(code).into_iter().filter(|(_, word)| !word.is_ascii()) {
                violations.push(format!("{}: `{word}`: write names in ASCII", source.at(line)));
            }
        }
    }
    violations
}

/// Files that do not begin with `//!`.
pub fn module_docs(repository: &Repository) -> Vec<String> {
    let missing = |source: &&Source| !source.text.starts_with("//!") && !source.is_test();
    let sources = repository.sources.iter().filter(missing);
    sources
        .map(|source| {
            format!(
                "{}: begin with `//!`: what it is, its invariants, what is absent on purpose",
                source.path
            )
        })
        .collect()
}

/// `mod.rs` files that are more than a map of their folder and its main steps.
pub fn thin_modules(repository: &Repository) -> Vec<String> {
    let mut violations = Vec::new();
    for source in
        repository.sources.iter().filter(|source| source.path.ends_with("/mod.rs") && !source.is_test())
    {
        let lines = source.text.lines().count();
        if lines > MODULE_LINES_MAX {
            violations.push(format!(
                "{}: {lines} lines, at most {MODULE_LINES_MAX}: a mod.rs shows what is in the folder and the order of its \
                 steps; move the work into files of its own",
                source.path
            ));
        }
    }
    violations
}

/// Bulk data and large files among the tracked files. Skips, and says so, outside a git checkout.
pub fn committed_data() -> Vec<String> {
    let output = Command::new("git").args(["ls-files", "-z"]).current_dir(root()).output();
    let Some(output) = output.ok().filter(|output| output.status.success()) else {
        eprintln!("SKIPPED: not a git checkout, so what is committed cannot be told");
        return Vec::new();
    };
    let names = String::from_utf8_lossy(&output.stdout).into_owned();
    names.split('\0').filter(|name| !name.is_empty()).filter_map(unwanted).collect()
}

fn unwanted(name: &str) -> Option<String> {
    let path = Path::new(name);
    let ending = path.extension().and_then(|ending| ending.to_str()).unwrap_or_default();
    if DATA_ENDINGS.contains(&ending) {
        return Some(format!(
            "{name}: bulk data is generated (`segue generate`) or stays outside; git rm --cached it"
        ));
    }
    let bytes = std::fs::symlink_metadata(root().join(name)).map_or(0, |meta| meta.len());
    (bytes > COMMITTED_BYTES_MAX).then(|| {
        format!("{name}: {bytes} bytes, at most {COMMITTED_BYTES_MAX}; generate it in the test instead")
    })
}

/// Relative links of the documents that lead to no file.
pub fn links() -> Vec<String> {
    let mut documents =
        vec![root().join("README.md"), root().join("CONTRIBUTING.md"), root().join("CHANGELOG.md")];
    for folder in ["docs", "docs/adr", "storage-format", "cluster"] {
        let Ok(entries) = std::fs::read_dir(root().join(folder)) else { continue };
        documents.extend(entries.flatten().map(|entry| entry.path()));
    }
    documents.retain(|path| path.extension().is_some_and(|ending| ending == "md"));
    documents.iter().flat_map(|path| broken_links(path)).collect()
}

fn broken_links(document: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(document).unwrap_or_default();
    let folder = document.parent().unwrap_or(root());
    let targets = text.split("](").skip(1).filter_map(|rest| rest.split(')').next());
    let outside = |target: &str| target.contains("://") || target.starts_with('#') || target.is_empty();
    let exists = |target: &str| folder.join(target.split('#').next().unwrap_or(target)).exists();
    let name = document.strip_prefix(root()).unwrap_or(document).display();
    targets
        .filter(|target| !outside(target) && !exists(target))
        .map(|target| format!("{name}: `{target}` leads nowhere; correct the path or write the file"))
        .collect()
}
