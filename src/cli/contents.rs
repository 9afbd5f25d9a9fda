//! `segue list`: what is stored, page by page.

use clap::Subcommand;
use serde_json::json;

use super::args::{BackendArgs, OutputArgs};
use super::backend::Backend;
use super::output::{print, print_json};
use crate::error::{Error, Result};
use crate::types::{GenerationId, SpaceName, Track, User, UserId, VectorRow};

const EXAMPLES: &str = "\
Each page names the next one; hand it back with --page.

Examples:
  segue list tracks --limit 20 --data ./segue-data
  segue list users --json --endpoint http://127.0.0.1:7700
  segue list vectors --space audio --limit 2 --page 41 --json --data ./segue-data";

/// The stored tracks, listeners or vectors, page by page.
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct ListArgs {
    #[command(subcommand)]
    what: What,
    /// Ids a page
    #[arg(long, value_name = "COUNT", default_value_t = 100, global = true)]
    limit: u32,
    /// The next page, as the page before named it [default: the first]
    #[arg(long, value_name = "PAGE", global = true)]
    page: Option<String>,
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    backend: BackendArgs,
}

#[derive(Debug, Clone, Subcommand)]
enum What {
    /// Tracks in the order in which they were first added
    Tracks,
    /// Listeners in key order
    Users,
    /// Vectors of a space, in the order of its tracks or listeners; ids without a vector are left out
    Vectors {
        /// user_cf, track_cf, audio, or another space
        #[arg(long, value_name = "NAME")]
        space: SpaceName,
        /// The embedding generation [default: the active one]
        #[arg(long, value_name = "NUMBER")]
        generation: Option<u32>,
    },
}

/// One page: what is printed.
struct Page {
    /// The key of the rows in the document.
    key: &'static str,
    rows: serde_json::Value,
    /// One a line, for people.
    lines: Vec<String>,
    next: Option<String>,
}

impl ListArgs {
    /// Runs the command.
    ///
    /// # Errors
    /// Those of the database and of printing.
    pub fn run(self) -> Result<()> {
        if self.limit == 0 {
            return Err(Error::invalid("limit", "must be at least 1"));
        }
        let backend = Backend::open(&self.backend)?;
        let page = self.read(&backend)?;
        if self.output.json {
            print_json(&json!({ page.key: page.rows, "next_page": page.next }))?;
        } else {
            let mut text = page.lines.join("\n");
            if let Some(next) = &page.next {
                text.push_str(&format!("\nmore: --page {next}"));
            }
            print(&format!("{text}\n"))?;
        }
        backend.close()
    }

    fn read(&self, backend: &Backend) -> Result<Page> {
        match &self.what {
            What::Tracks => {
                let cursor = self.page.as_deref().map(track_page).transpose()?;
                let (tracks, next) = backend.list_tracks(cursor, self.limit)?;
                page("tracks", &tracks, track_line, next.map(|cursor| cursor.to_string()))
            }
            What::Users => {
                let cursor = self.page.as_deref().map(UserId::new).transpose()?;
                let (users, next) = backend.list_users(cursor, self.limit)?;
                page("users", &users, user_line, next.map(String::from))
            }
            What::Vectors { space, generation } => {
                let generation = generation.map(GenerationId);
                let (rows, next) =
                    backend.list_vectors(space, generation, self.page.as_deref(), self.limit)?;
                page("vectors", &rows, vector_line, next)
            }
        }
    }
}

fn page<T: serde::Serialize>(
    key: &'static str,
    rows: &[T],
    line: fn(&T) -> String,
    next: Option<String>,
) -> Result<Page> {
    let document = serde_json::to_value(rows)
        .map_err(|error| Error::Internal(format!("the page is not JSON: {error}")))?;
    Ok(Page { key, rows: document, lines: rows.iter().map(line).collect(), next })
}

fn track_page(page: &str) -> Result<u64> {
    page.parse().map_err(|_| Error::invalid("page", format!("is not a page of this list. page=`{page}`")))
}

fn track_line(track: &Track) -> String {
    let artists: Vec<&str> = track.artists.iter().map(|artist| artist.name.as_str()).collect();
    format!("{}  {} - {}", track.track_id, track.title, artists.join(", "))
}

fn user_line(user: &User) -> String {
    let region = user.region.map_or_else(|| "--".to_owned(), |region| region.to_string());
    let filter = if user.filter_explicit { ", filters explicit" } else { "" };
    format!("{}  {region}, {} artists blocked{filter}", user.user_id, user.blocked_artists.len())
}

fn vector_line(row: &VectorRow) -> String {
    let shown: Vec<String> = row.vector.iter().take(4).map(|x| format!("{x:.4}")).collect();
    let more = if row.vector.len() > 4 { ", ..." } else { "" };
    format!("{}  [{}{more}] {} d", row.id, shown.join(", "), row.vector.len())
}
