//! Prints the files of a data directory that the bytes layer does not know: identity, mark of an orderly shutdown, log,
//! staged rows, tables of the user store.

use std::path::Path;

use segue_cluster::{FileDamage, describe_file};
use segue_storage_format::VerifyReport;
use segue_storage_format::verify::Damage;

use super::open::open_error;
use super::stage::Stage;
use crate::error::{Error, Result};
use crate::storage::user_shard::UserShard;

/// What a file holds, in words.
#[derive(Debug)]
pub struct FileText {
    /// What it is.
    pub kind: &'static str,
    /// Names and values in the order of the file.
    pub fields: Vec<(String, String)>,
    /// What is wrong with it.
    pub damage: Vec<Damage>,
}

/// Describes a file; `None` when it is none of these.
///
/// # Errors
/// Disk errors.
pub fn describe(path: &Path) -> Result<Option<FileText>> {
    if let Some(found) = describe_file(path).map_err(open_error)? {
        let damage = found.damage.into_iter();
        let damage = damage.map(|FileDamage { file, offset, what }| Damage { file, offset, what }).collect();
        return Ok(Some(FileText { kind: found.kind, fields: found.fields, damage }));
    }
    if Stage::is_one(path) {
        return stage(path).map(Some);
    }
    user_file(path)
}

fn stage(path: &Path) -> Result<FileText> {
    let mut text = FileText { kind: "stage", fields: Vec::new(), damage: Vec::new() };
    let found = Stage::check(path)?;
    if let Some(header) = found.header {
        text.field("load_id", header.load_id);
        text.field("space", header.space);
        text.field("generation", header.generation);
        text.field("dim", header.dim);
    }
    text.field("rows", found.rows);
    if found.torn_bytes > 0 {
        text.field("bytes of a last write that was cut short", found.torn_bytes);
    }
    let damage = found.damage.map(|(at, what)| Damage { file: path.to_owned(), offset: Some(at), what });
    text.damage.extend(damage);
    Ok(text)
}

/// A file of a user store, known by where it lies: `users-N/tree/{current,vN,tables/N}`.
fn user_file(path: &Path) -> Result<Option<FileText>> {
    let path = std::fs::canonicalize(path).map_err(|source| Error::io("read the file", path, source))?;
    let store =
        path.ancestors().skip(1).take(3).find(|folder| folder.file_name().is_some_and(|name| name == "tree"));
    let Some(store) = store.and_then(Path::parent) else { return Ok(None) };
    if !store.file_name().is_some_and(|name| name.to_string_lossy().starts_with("users-")) {
        return Ok(None);
    }
    let kind = if path.parent().is_some_and(|folder| folder.ends_with("tables")) {
        "table of a user store"
    } else {
        "list of the tables of a user store"
    };
    let mut text = FileText { kind, fields: Vec::new(), damage: Vec::new() };
    let length = path.metadata().map_err(|source| Error::io("read the file", &path, source))?.len();
    text.field("length_bytes", length);
    let mut report = VerifyReport::default();
    UserShard::check_files(store, &mut report);
    text.damage = report.damage.into_iter().filter(|damage| damage.file == path).collect();
    if text.kind.starts_with("list") {
        for (table, checksum) in UserShard::tables(store) {
            text.field(&format!("table {table}"), format!("checksum {checksum:032x}"));
        }
    }
    Ok(Some(text))
}

impl FileText {
    fn field(&mut self, name: &str, value: impl std::fmt::Display) {
        self.fields.push((name.to_owned(), value.to_string()));
    }
}
