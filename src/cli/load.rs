//! `segue load`: reads a file on one thread and sends its rows from another.
//!
//! A load is named by the file's content and what it is loaded as, so that the same command again goes on where the
//! last one stopped, and does nothing once it is finished. Rows are numbered among the good rows of the file (which
//! rows are bad depends on the file alone), so that bad rows leave no gap.

use std::path::{Path, PathBuf};
use std::time::Instant;

use clap::ValueEnum;
use serde_json::json;

use super::args::{BackendArgs, OutputArgs};
use super::backend::Backend;
use super::load_npy::NpyRows;
use super::load_run::{Job, Summary};
use super::output::{count, print, print_json};
use crate::api::Batch;
use crate::error::{Error, Result};
use crate::ingest::{PlayRows, Rows, Table, TrackRows, UserRows, VectorRows, content_id};
use crate::node::LoadKind;
use crate::storage::meta::GenerationState;
use crate::types::{Entity, GenerationId, SpaceName, SpaceSpec};

const EXAMPLES: &str = "\
Files are Parquet; docs/DATA.md lists the columns. The command returns when the rows are durable and searchable. Run it
again after any failure: it goes on where it stopped.

Examples:
  segue load tracks tracks.parquet --endpoint http://127.0.0.1:7700
  segue load plays plays.parquet --max-bad-rows 100 --data ./segue-data
  segue load vectors track_audio.parquet --space audio --data ./segue-data
  segue load vectors user_cf.parquet --space user_cf --generation 2 --data ./segue-data";

/// Rows of a batch: enough to share a disk write, few enough to acknowledge often.
const BATCH_ROWS: usize = 8_192;
/// Bytes of a batch of vectors.
const BATCH_BYTES: usize = 4 << 20;

/// Load a Parquet file of tracks, users, plays or vectors.
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct LoadArgs {
    /// What the file holds
    #[arg(value_enum, value_name = "KIND")]
    kind: Kind,
    /// The file
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// The space of the vectors: user_cf, track_cf, audio, or any other
    #[arg(long, value_name = "NAME", required_if_eq("kind", "vectors"))]
    space: Option<SpaceName>,
    /// The generation of the vectors [default: the one being built]
    #[arg(long, value_name = "NUMBER")]
    generation: Option<u32>,
    /// Ids of the rows of an .npy file, one a line
    #[arg(long, value_name = "FILE")]
    ids: Option<PathBuf>,
    /// Bad rows to leave out before the load stops
    #[arg(long, value_name = "COUNT", default_value_t = 0)]
    max_bad_rows: u64,
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    backend: BackendArgs,
}

/// What a file holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Kind {
    /// Catalogue rows
    Tracks,
    /// Listener rows
    Users,
    /// Listening events
    Plays,
    /// Vectors of one space
    Vectors,
}

/// A file and how much may be wrong with it.
#[derive(Debug, Clone, Copy)]
pub struct Source<'a> {
    /// The file.
    pub path: &'a Path,
    /// Ids of the rows, for files that hold none.
    pub ids: Option<&'a Path>,
    /// Bad rows to leave out.
    pub bad_rows_max: u64,
}

impl LoadArgs {
    /// Runs the command.
    ///
    /// # Errors
    /// Those of the file and of the database; too many bad rows.
    pub fn run(self) -> Result<()> {
        let backend = Backend::open(&self.backend)?;
        let start = Instant::now();
        let source = Source { path: &self.file, ids: self.ids.as_deref(), bad_rows_max: self.max_bad_rows };
        let summary = match (self.kind, &self.space) {
            (Kind::Vectors, Some(space)) => {
                let generation = generation(&backend, space, self.generation)?;
                load_vectors_file(&backend, source, space, generation)?
            }
            (kind, _) => load_rows_file(&backend, source, kind)?,
        };
        report(&summary, start.elapsed().as_secs_f64(), self.output.json)?;
        backend.close()
    }
}

/// The generation vectors go to: the one given, the one being built, or none for spaces without.
fn generation(backend: &Backend, space: &SpaceName, given: Option<u32>) -> Result<GenerationId> {
    let spec = SpaceSpec::built_in().into_iter().find(|spec| spec.name == *space);
    match (given, spec.is_some_and(|spec| spec.generational)) {
        (Some(number), _) => Ok(GenerationId(number)),
        (None, false) => Ok(GenerationId::STATIC),
        (None, true) => {
            let building = |state| state == GenerationState::Building;
            let newest = backend.generations()?.into_iter().rev().find(|info| building(info.state));
            newest.map(|info| info.id).ok_or_else(|| {
                Error::invalid(
                    "generation",
                    "none is being built: run `segue generation create --dim N` first",
                )
            })
        }
    }
}

/// Loads a Parquet file of tracks, users or plays.
///
/// # Errors
/// Those of the file and of the database; `InvalidField` for vectors, which need a space.
pub fn load_rows_file(backend: &Backend, source: Source<'_>, kind: Kind) -> Result<Summary> {
    match kind {
        Kind::Tracks => load_rows(backend, source, LoadKind::Tracks, TrackRows::open, Batch::Tracks),
        Kind::Users => load_rows(backend, source, LoadKind::Users, UserRows::open, Batch::Users),
        Kind::Plays => load_rows(backend, source, LoadKind::Plays, PlayRows::open, Batch::Plays),
        Kind::Vectors => Err(Error::invalid("space", "must be given with vectors")),
    }
}

fn load_rows<T, F>(
    backend: &Backend,
    source: Source<'_>,
    kind: LoadKind,
    open: fn(&Path) -> Result<Rows<T>>,
    to_batch: F,
) -> Result<Summary>
where
    T: Table,
    Rows<T>: Send,
    T::Row: Send,
    F: Fn(Vec<T::Row>) -> Batch,
{
    let mut rows = open(source.path)?;
    let name = match kind {
        LoadKind::Tracks => "tracks",
        LoadKind::Users => "users",
        LoadKind::Plays => "plays",
        LoadKind::Vectors => "vectors",
    };
    let job = Job {
        backend,
        path: source.path,
        load_id: load_id(source.path, name, None)?,
        label: name.to_owned(),
        kind,
        total_rows: rows.total_rows(),
        bad_rows_max: source.bad_rows_max,
        unread_columns: rows.unread_columns().to_vec(),
    };
    job.run(move || rows.next_batch(BATCH_ROWS), to_batch)
}

/// Loads a file of vectors into a space and generation.
///
/// # Errors
/// Those of the file and of the database; `InvalidField` when the file's ids are not of the space's kind.
pub fn load_vectors_file(
    backend: &Backend,
    source: Source<'_>,
    space: &SpaceName,
    generation: GenerationId,
) -> Result<Summary> {
    let mut job = Job {
        backend,
        path: source.path,
        load_id: load_id(source.path, "vectors", Some((space, generation, source.ids)))?,
        label: space.to_string(),
        kind: LoadKind::Vectors,
        total_rows: 0,
        bad_rows_max: source.bad_rows_max,
        unread_columns: Vec::new(),
    };
    let to_batch = |rows| Batch::Vectors(space.clone(), generation, rows);
    if source.path.extension().is_some_and(|extension| extension == "npy") {
        let ids = source
            .ids
            .ok_or_else(|| Error::invalid("ids", "an .npy file needs --ids FILE, one id a line"))?;
        let mut rows = NpyRows::open(source.path, ids)?;
        job.total_rows = rows.total_rows();
        let batch_rows = batch_rows(rows.dim());
        return job.run(move || Ok(rows.next_batch(batch_rows)), to_batch);
    }
    let mut rows = VectorRows::open(source.path)?;
    check_entity(space, rows.table().entity())?;
    job.total_rows = rows.total_rows();
    job.unread_columns = rows.unread_columns().to_vec();
    let batch_rows = batch_rows(rows.table().dim().unwrap_or(256));
    job.run(move || rows.next_batch(batch_rows), to_batch)
}

/// As many vectors as make up [`BATCH_BYTES`].
fn batch_rows(dim: usize) -> usize {
    (BATCH_BYTES / (4 * dim.max(1))).clamp(64, BATCH_ROWS)
}

fn check_entity(space: &SpaceName, found: Entity) -> Result<()> {
    let expected = SpaceSpec::built_in().into_iter().find(|spec| spec.name == *space).map(|spec| spec.entity);
    match expected {
        Some(expected) if expected != found => {
            let name = |entity| if entity == Entity::User { "user_id" } else { "track_id" };
            let reason = format!("needs a file with the column {}, not {}", name(expected), name(found));
            Err(Error::invalid("space", format!("{space} {reason}")))
        }
        _ => Ok(()),
    }
}

/// The load's name: the same content loaded as the same thing is the same load.
fn load_id(
    path: &Path,
    kind: &str,
    vectors: Option<(&SpaceName, GenerationId, Option<&Path>)>,
) -> Result<String> {
    let content = content_id(path)?;
    let Some((space, generation, ids)) = vectors else {
        return Ok(load_name(kind, &format!("{kind}:{content}")));
    };
    let ids = ids.map(content_id).transpose()?.unwrap_or_default();
    Ok(load_name(kind, &format!("{kind}:{content}:{space}:{generation}:{ids}")))
}

/// The name of the load of a Parquet file of vectors, by its [`content_id`].
pub fn vectors_load_id(content: &str, space: &SpaceName, generation: GenerationId) -> String {
    load_name("vectors", &format!("vectors:{content}:{space}:{generation}:"))
}

fn load_name(kind: &str, identity: &str) -> String {
    format!("{kind}-{}", &blake3::hash(identity.as_bytes()).to_hex()[..32])
}

fn report(summary: &Summary, seconds: f64, json: bool) -> Result<()> {
    let sent = summary.rows - summary.rows_before;
    let rows_per_s = if summary.sending_s > 0.0 { (sent as f64 / summary.sending_s).round() } else { 0.0 };
    if json {
        return print_json(&json!({
            "load_id": summary.load_id,
            "rows": summary.rows,
            "rows_before": summary.rows_before,
            "bad_rows": summary.bad_rows,
            "unread_columns": summary.unread_columns,
            "rows_per_s": rows_per_s,
            "sending_s": summary.sending_s,
            "indexing_s": summary.indexing_s,
            "seconds": seconds,
            "token": summary.token,
        }));
    }
    if summary.was_finished {
        return print(&format!(
            "{}: loaded before, {} rows; nothing to do\n",
            summary.label,
            count(summary.rows)
        ));
    }
    if !summary.unread_columns.is_empty() {
        let names = summary.unread_columns.join(", ");
        print(&format!(
            "{}: columns not read, since Segue knows none of these names (docs/DATA.md lists them): {names}\n",
            summary.label
        ))?;
    }
    print(&format!(
        "{}: {} rows in {seconds:.1} s ({} rows/s sent, then {:.1} s indexing), {} there before, {} bad rows left out\n",
        summary.label,
        count(summary.rows),
        count(rows_per_s as u64),
        summary.indexing_s,
        count(summary.rows_before),
        count(summary.bad_rows),
    ))
}
