//! `segue search`.

use super::args::{BackendArgs, FilterArgs, OutputArgs, ReadArgs};
use super::backend::Backend;
use super::list::print_list;
use crate::error::Result;
use crate::pipeline::request::SearchRequest;
use crate::types::{GenerationId, Metric, SpaceName};

const EXAMPLES: &str = "\
Examples:
  segue search --text \"blue moon\" --data ./segue-data
  segue search --genre jazz --released 1955-01-01..1965-12-31 --region SE --k 20
  segue search --space audio --vector '[0.1, -0.2, ...]' --metric cosine --json";

/// The most popular tracks under a filter, or those nearest to a vector.
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct SearchArgs {
    /// Only tracks whose title or artists contain all these words
    #[arg(long, value_name = "WORDS")]
    text: Option<String>,
    /// The query, a JSON list of numbers of the space's dimension [default: order by popularity]
    #[arg(long, value_name = "JSON", value_parser = vector)]
    vector: Option<Vector>,
    /// The space of the vector
    #[arg(long, value_name = "NAME", default_value = "track_cf")]
    space: SpaceName,
    /// ip, cosine or l2 [default: the space's first]
    #[arg(long, value_name = "NAME", requires = "vector")]
    metric: Option<Metric>,
    /// How many
    #[arg(long, short = 'k', visible_alias = "n", value_name = "COUNT", default_value_t = 10)]
    k: u32,
    /// Effort of the graph search: nodes it follows on average [default: chosen from k]
    #[arg(long, value_name = "COUNT")]
    ef: Option<u32>,
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

/// A query given as one flag (a bare `Vec` would mean a repeatable flag).
#[derive(Debug, Clone)]
struct Vector(Vec<f32>);

fn vector(text: &str) -> std::result::Result<Vector, String> {
    serde_json::from_str(text).map(Vector).map_err(|error| error.to_string())
}

impl SearchArgs {
    /// Runs the command.
    ///
    /// # Errors
    /// Those of the database and of printing.
    pub fn run(self) -> Result<()> {
        let backend = Backend::open(&self.backend)?;
        let list = backend.search(SearchRequest {
            space: self.space,
            vector: self.vector.map(|Vector(components)| components),
            metric: self.metric,
            text: self.text,
            k: self.k,
            ef: self.ef,
            filter: self.filter.into(),
            exact: self.exact,
            generation: self.generation.map(GenerationId),
            deadline: self.read.deadline(),
            min_token: self.read.min_token,
        })?;
        print_list(&list, self.output.json)?;
        backend.close()
    }
}
