//! `segue recommend`.

use super::args::{BackendArgs, FilterArgs, OutputArgs, ReadArgs};
use super::backend::Backend;
use super::list::print_list;
use crate::error::Result;
use crate::pipeline::recipe::RecipePatch;
use crate::pipeline::request::{RecommendRequest, RequestContext};
use crate::types::{GenerationId, Surface, Timestamp, TrackId, UserId};

const EXAMPLES: &str = "\
Examples:
  segue recommend --user u1 --surface discover_weekly --data ./segue-data
  segue recommend --user u1 --surface radio --seed t42 --n 20 --json --endpoint http://127.0.0.1:7700
  segue recommend --user u1 --surface home --recipe daily_mix@2 --overrides '{\"mmr_lambda\": 0.8}' --explain";

/// The request, shared with `explain`.
#[derive(Debug, Clone, clap::Args)]
pub struct RequestArgs {
    /// For whom
    #[arg(long, value_name = "ID")]
    pub user: UserId,
    /// Where it will be shown: radio, top_mixes, daily_mix, discover_weekly, release_radar, made_for_you, or any name
    #[arg(long, value_name = "NAME")]
    pub surface: Surface,
    /// List length [default: the recipe's]
    #[arg(long, value_name = "COUNT")]
    pub n: Option<u32>,
    /// The time of the request, such as 2026-11-01T00:00:00Z [default: now]
    #[arg(long, value_name = "RFC3339")]
    pub as_of: Option<Timestamp>,
    /// NAME or NAME@VERSION instead of the surface's recipe
    #[arg(long, value_name = "NAME")]
    pub recipe: Option<String>,
    /// Fields of the recipe to override, as JSON
    #[arg(long, value_name = "JSON", value_parser = overrides)]
    pub overrides: Option<RecipePatch>,
    /// Decides every random choice: the same id on the same state gives the same list [default: made up]
    #[arg(long, value_name = "ID")]
    pub request_id: Option<String>,
    /// Track to start from, for seeded surfaces such as radio (repeatable)
    #[arg(long = "seed", value_name = "TRACK")]
    pub seeds: Vec<TrackId>,
    /// Minutes to add to UTC for the listener's local time
    #[arg(long, value_name = "MINUTES", default_value_t = 0, allow_negative_numbers = true)]
    pub utc_offset: i32,
    /// For example phone, speaker, car
    #[arg(long, value_name = "NAME")]
    pub device: Option<String>,
    /// For example gym, focus, sleep
    #[arg(long, value_name = "NAME")]
    pub activity: Option<String>,
    /// Search exactly instead of through the graph
    #[arg(long)]
    pub exact: bool,
    /// The embedding generation to use [default: the active one]
    #[arg(long, value_name = "NUMBER")]
    pub generation: Option<u32>,
    #[command(flatten)]
    pub read: ReadArgs,
    #[command(flatten)]
    pub filter: FilterArgs,
}

fn overrides(text: &str) -> std::result::Result<RecipePatch, String> {
    serde_json::from_str(text).map_err(|error| error.to_string())
}

impl From<RequestArgs> for RecommendRequest {
    fn from(args: RequestArgs) -> Self {
        Self {
            n: args.n,
            as_of: args.as_of,
            recipe: args.recipe,
            overrides: args.overrides.unwrap_or_default(),
            request_id: args.request_id,
            filter: args.filter.into(),
            seeds: args.seeds,
            context: RequestContext {
                utc_offset_min: args.utc_offset,
                device: args.device,
                activity: args.activity,
            },
            exact: args.exact,
            generation: args.generation.map(GenerationId),
            deadline: args.read.deadline(),
            min_token: args.read.min_token,
            ..Self::new(args.user, args.surface)
        }
    }
}

/// A finished list for one listener.
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct RecommendArgs {
    #[command(flatten)]
    request: RequestArgs,
    /// Show the numbers behind each track
    #[arg(long)]
    explain: bool,
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    backend: BackendArgs,
}

impl RecommendArgs {
    /// The request as given.
    #[must_use]
    pub fn request(&self) -> &RequestArgs {
        &self.request
    }

    /// Runs the command.
    ///
    /// # Errors
    /// Those of the database and of printing.
    pub fn run(self) -> Result<()> {
        let backend = Backend::open(&self.backend)?;
        let request = RecommendRequest { explain: self.explain, ..self.request.into() };
        let list = backend.recommend(request)?;
        print_list(&list, self.output.json)?;
        backend.close()
    }
}
