//! `segue generation`.

use std::path::{Path, PathBuf};

use clap::Subcommand;
use serde_json::json;

use super::args::{BackendArgs, OutputArgs, read_text};
use super::backend::Backend;
use super::load::{Source, load_vectors_file, vectors_load_id};
use super::output::{Align, count, print, print_json, table};
use crate::error::{Error, Result};
use crate::ingest::content_id;
use crate::storage::meta::{GenerationInfo, GenerationState, GramData};
use crate::types::{GenerationId, SpaceName};

const EXAMPLES: &str = "\
A generation is the user and track vectors of one training run. Requests use the active one; vectors of different
generations are never compared.

Examples:
  segue train als --plays plays.parquet --out ./model
  segue generation load ./model --data ./segue-data            (creates it and fills it; it stays building)
  segue generation activate 2 --data ./segue-data
  segue generation load ./model --activate --data ./segue-data (all of it at once)
  segue generation rollback --data ./segue-data";

/// Create, fill, activate and roll back embedding generations.
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct GenerationArgs {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    backend: BackendArgs,
}

#[derive(Debug, Clone, Subcommand)]
enum Command {
    /// Open a new generation, to be filled with `segue load vectors --generation`
    Create {
        /// What the trainer left for vectors of new listeners
        #[arg(long, value_name = "FILE")]
        gram: Option<PathBuf>,
        /// Dimension of the vectors [default: the Gram data's]
        #[arg(long, value_name = "N", required_unless_present = "gram")]
        dim: Option<u32>,
    },
    /// Create a generation and fill it from a folder that `segue train` wrote
    Load {
        /// The folder: gram.json, user_cf.parquet, track_cf.parquet
        #[arg(value_name = "DIR")]
        dir: PathBuf,
        /// Make it the one requests use when it is complete
        #[arg(long)]
        activate: bool,
    },
    /// Make a complete generation the one requests use
    Activate {
        /// Its number
        #[arg(value_name = "NUMBER")]
        id: u32,
    },
    /// Go back to the generation that was active before
    Rollback,
    /// All generations, oldest first
    List,
}

impl GenerationArgs {
    /// Runs the command.
    ///
    /// # Errors
    /// Those of the database, of files and of printing.
    pub fn run(self) -> Result<()> {
        let backend = Backend::open(&self.backend)?;
        let generations = match self.command {
            Command::Create { gram, dim } => vec![create(&backend, gram.as_deref(), dim)?],
            Command::Load { dir, activate } => vec![load(&backend, &dir, activate)?],
            Command::Activate { id } => vec![backend.activate_generation(GenerationId(id))?],
            Command::Rollback => vec![backend.rollback_generation()?],
            Command::List => {
                let all = backend.generations()?;
                if self.output.json {
                    print_json(&json!({ "generations": all }))?;
                    return backend.close();
                }
                all
            }
        };
        match generations.as_slice() {
            [one] if self.output.json => print_json(one)?,
            [] => print("no generation yet: `segue generation create` or `segue generation load DIR`\n")?,
            all => print(&text(all))?,
        }
        backend.close()
    }
}

fn read_gram(path: &Path) -> Result<GramData> {
    serde_json::from_str(&read_text(path)?).map_err(|error| {
        Error::invalid(
            "gram",
            format!("is not what `segue train` writes: {error}. path=`{}`", path.display()),
        )
    })
}

fn create(backend: &Backend, gram: Option<&Path>, dim: Option<u32>) -> Result<GenerationInfo> {
    let gram = gram.map(read_gram).transpose()?;
    let dim = dim.or_else(|| gram.as_ref().map(|gram| gram.dim));
    let dim = dim.ok_or_else(|| Error::invalid("dim", "give --dim or --gram"))?;
    backend.create_generation(dim, gram)
}

/// Creates a generation from a training folder, fills it, and activates it if asked to. The same folder again goes on where
/// an earlier attempt stopped, and loads nothing twice; another folder is another generation.
///
/// # Errors
/// `NotFound` when the folder lacks a file; those of the files and of the database.
pub fn load(backend: &Backend, dir: &Path, activate: bool) -> Result<GenerationInfo> {
    let gram = dir.join("gram.json");
    let files = ["user_cf", "track_cf"].map(|space| (space, dir.join(format!("{space}.parquet"))));
    for file in [&gram, &files[0].1, &files[1].1] {
        if !file.is_file() {
            return Err(Error::not_found("file of a training folder", file.display()));
        }
    }
    let gram = read_gram(&gram)?;
    let id = match begun(backend, &files[0].1)? {
        Some(id) => id,
        None => backend.create_generation(gram.dim, Some(gram))?.id,
    };
    for (space, file) in files {
        let space = SpaceName::new(space)?;
        load_vectors_file(backend, Source { path: &file, ids: None, bad_rows_max: 0 }, &space, id)?;
    }
    if activate {
        return backend.activate_generation(id);
    }
    let all = backend.generations()?;
    all.into_iter().find(|info| info.id == id).ok_or_else(|| Error::not_found("generation", id))
}

/// The newest generation that has rows of exactly this file of user vectors. A generation that is merely being built with the
/// same dimension may be another run's, and two runs must never mix.
fn begun(backend: &Backend, user_vectors: &Path) -> Result<Option<GenerationId>> {
    let (content, space) = (content_id(user_vectors)?, SpaceName::new("user_cf")?);
    for info in backend.generations()?.into_iter().rev() {
        if backend.load_progress(&vectors_load_id(&content, &space, info.id))?.rows_done > 0 {
            return Ok(Some(info.id));
        }
    }
    Ok(None)
}

fn text(generations: &[GenerationInfo]) -> String {
    let heading = ["number", "state", "dim", "users", "tracks", "fold-in"].map(str::to_owned).to_vec();
    let row = |info: &GenerationInfo| {
        let state = match info.state {
            GenerationState::Building => "building",
            GenerationState::Active => "active",
            GenerationState::Retired => "retired",
        };
        let fold_in = if info.fold_in { "yes" } else { "no" };
        let (users, tracks) = (count(info.users), count(info.tracks));
        vec![info.id.to_string(), state.to_owned(), info.dim.to_string(), users, tracks, fold_in.to_owned()]
    };
    let rows: Vec<Vec<String>> = std::iter::once(heading).chain(generations.iter().map(row)).collect();
    table(&[Align::Right, Align::Left, Align::Right, Align::Right, Align::Right, Align::Left], &rows)
}
