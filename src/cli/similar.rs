//! `segue similar`.

use super::args::{BackendArgs, FilterArgs, OutputArgs, ReadArgs, weighted_seed};
use super::backend::Backend;
use super::list::print_list;
use crate::error::Result;
use crate::pipeline::request::SimilarRequest;
use crate::types::{GenerationId, SpaceName, Timestamp, TrackId, UserId};

const EXAMPLES: &str = "\
Examples:
  segue similar --track t42 --data ./segue-data
  segue similar --track t42 --track t43=-0.5 --space audio --k 20 --endpoint http://127.0.0.1:7700 --json
  segue similar --track t42 --user u1 --region SE        (obeys the rules of listener u1)";

/// Tracks like some tracks.
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct SimilarArgs {
    /// A seed, with a weight if given; a negative weight pushes away (repeatable, at most 50)
    #[arg(long = "track", value_name = "ID[=WEIGHT]", required = true, value_parser = weighted_seed)]
    tracks: Vec<(TrackId, f32)>,
    /// The space to compare in: track_cf, audio, or any other track space [default: track_cf]
    #[arg(long, value_name = "NAME")]
    space: Option<SpaceName>,
    /// How many
    #[arg(long, short = 'k', visible_alias = "n", value_name = "COUNT", default_value_t = 10)]
    k: u32,
    /// Whose rules to obey
    #[arg(long, value_name = "ID")]
    user: Option<UserId>,
    /// The time of the request [default: now]
    #[arg(long, value_name = "RFC3339")]
    as_of: Option<Timestamp>,
    /// Search exactly instead of through the graph
    #[arg(long)]
    exact: bool,
    /// The embedding generation to use [default: the active one]
    #[arg(long, value_name = "NUMBER")]
    generation: Option<u32>,
    #[command(flatten)]
    read: ReadArgs,
    #[command(flatten)]
    filter: FilterArgs,
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    backend: BackendArgs,
}

impl SimilarArgs {
    /// Runs the command.
    ///
    /// # Errors
    /// Those of the database and of printing.
    pub fn run(self) -> Result<()> {
        let backend = Backend::open(&self.backend)?;
        let list = backend.similar(SimilarRequest {
            seeds: self.tracks,
            space: self.space,
            k: self.k,
            filter: self.filter.into(),
            user_id: self.user,
            as_of: self.as_of,
            exact: self.exact,
            generation: self.generation.map(GenerationId),
            deadline: self.read.deadline(),
            min_token: self.read.min_token,
        })?;
        print_list(&list, self.output.json)?;
        backend.close()
    }
}
