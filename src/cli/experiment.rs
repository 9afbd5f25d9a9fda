//! `segue experiment`.

use std::path::PathBuf;

use clap::Subcommand;
use serde_json::json;

use super::args::{BackendArgs, OutputArgs, read_text};
use super::backend::Backend;
use super::output::{Align, print, print_json, table};
use crate::error::{Error, Result};
use crate::pipeline::experiment::{Experiment, ExperimentReport, ShadowReport};
use crate::types::Surface;

const EXAMPLES: &str = "\
An experiment gives each listener of a surface the recipe of one arm, by a hash of their id, and may ask another recipe in
the shadow of what is served, whose lists nobody is shown. Requests that name a recipe are left alone. One runs on a surface
at a time; putting another takes its place. A file of two arms and a shadow:

  {\"surface\": \"radio\", \"name\": \"arc\",
   \"arms\": [{\"name\": \"now\", \"recipe\": \"radio@1\", \"weight\": 9},
            {\"name\": \"new\", \"recipe\": \"radio@2\", \"weight\": 1}],
   \"shadow\": {\"recipe\": \"radio@3\", \"share\": 0.05}}

What `show` counts is of the node that is asked, since it began to serve that version. What the arms brought in:
segue eval split, with the experiment's salt (its name, unless the file gives one).

Examples:
  segue experiment put arc.json --endpoint http://127.0.0.1:7700
  segue experiment list --endpoint http://127.0.0.1:7700
  segue experiment show radio --json --endpoint http://127.0.0.1:7700
  segue experiment stop radio --endpoint http://127.0.0.1:7700
  segue eval split --salt arc --share 0.1 --surface radio --data ./segue-data";

/// Begin, list, watch and stop experiments.
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct ExperimentArgs {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    backend: BackendArgs,
}

#[derive(Debug, Clone, Subcommand)]
enum Command {
    /// Check an experiment, store it as the next version of its surface's, and begin it
    Put {
        /// JSON or TOML
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
    /// All versions of all surfaces
    List,
    /// The experiment of a surface: lists and listeners by arm, whether their numbers are sound, how the shadow compares
    Show {
        /// The surface
        #[arg(value_name = "SURFACE")]
        surface: Surface,
    },
    /// End the experiment of a surface
    Stop {
        /// The surface
        #[arg(value_name = "SURFACE")]
        surface: Surface,
    },
}

impl ExperimentArgs {
    /// Runs the command.
    ///
    /// # Errors
    /// Those of the database, of files and of printing.
    pub fn run(self) -> Result<()> {
        let backend = Backend::open(&self.backend)?;
        let json = self.output.json;
        match self.command {
            Command::Put { file } => {
                let experiment = backend.put_experiment(parse(&file)?)?;
                let text = format!("{} runs on {}\n", experiment.reference(), experiment.surface);
                if json { print_json(&experiment)? } else { print(&text)? }
            }
            Command::List => print_all(&backend.experiments()?, json)?,
            Command::Show { surface } => {
                let report = backend.experiment_report(&surface)?;
                if json { print_json(&report)? } else { print(&text(&report))? }
            }
            Command::Stop { surface } => {
                let experiment = backend.stop_experiment(&surface)?;
                let text =
                    format!("no experiment runs on {surface}; the last was {}\n", experiment.reference());
                if json { print_json(&experiment)? } else { print(&text)? }
            }
        }
        backend.close()
    }
}

fn parse(file: &std::path::Path) -> Result<Experiment> {
    let text = read_text(file)?;
    let wrong = |error: String| Error::invalid("experiment", format!("{error}. path=`{}`", file.display()));
    let experiment: Experiment = if file.extension().is_some_and(|extension| extension == "toml") {
        toml::from_str(&text).map_err(|error| wrong(error.to_string()))?
    } else {
        serde_json::from_str(&text).map_err(|error| wrong(error.to_string()))?
    };
    experiment.validate()?;
    Ok(experiment)
}

fn print_all(experiments: &[(Experiment, bool)], json: bool) -> Result<()> {
    if json {
        let one = |(experiment, running): &(Experiment, bool)| json!({ "experiment": experiment, "running": running });
        return print_json(&json!({ "experiments": experiments.iter().map(one).collect::<Vec<_>>() }));
    }
    if experiments.is_empty() {
        return print("no surface has an experiment\n");
    }
    let heading = ["surface", "experiment", "runs", "arms", "shadow"].map(str::to_owned).to_vec();
    let row = |(experiment, running): &(Experiment, bool)| {
        let arms: Vec<String> =
            experiment.arms.iter().map(|arm| format!("{}:{}={}", arm.name, arm.weight, arm.recipe)).collect();
        let shadow = experiment.shadow.as_ref();
        let shadow =
            shadow.map_or_else(String::new, |shadow| format!("{} of {}", shadow.share, shadow.recipe));
        let runs = if *running { "yes" } else { "" };
        let surface = experiment.surface.to_string();
        vec![surface, experiment.reference(), runs.to_owned(), arms.join(" "), shadow]
    };
    let rows: Vec<Vec<String>> = std::iter::once(heading).chain(experiments.iter().map(row)).collect();
    print(&table(&[Align::Left; 5], &rows))
}

fn text(report: &ExperimentReport) -> String {
    let experiment = &report.experiment;
    let state = if report.is_running { "runs" } else { "stopped" };
    let mut text = format!("{} on {}: {state}\n", experiment.reference(), experiment.surface);
    if !report.arms.is_empty() {
        let heading = ["arm", "recipe", "share", "lists", "listeners"].map(str::to_owned).to_vec();
        let arms = report.arms.iter().map(|arm| {
            let share = format!("{:.2} %", 100.0 * arm.share);
            vec![
                arm.arm.clone(),
                arm.recipe.clone(),
                share,
                arm.requests.to_string(),
                arm.listeners.to_string(),
            ]
        });
        let rows: Vec<Vec<String>> = std::iter::once(heading).chain(arms).collect();
        let right = Align::Right;
        text.push_str(&format!("\n{}", table(&[Align::Left, Align::Left, right, right, right], &rows)));
        if report.listener_share < 1.0 {
            text.push_str(&format!("listeners are counted in a sample of {}\n", report.listener_share));
        }
        let nothing_yet = report.arms.iter().all(|arm| arm.requests == 0);
        text.push_str(&if nothing_yet {
            "no list was asked for yet\n".to_owned()
        } else if report.is_sound {
            format!("the arms have the listeners they should have (p={:.3})\n", report.ratio_p)
        } else {
            format!(
                "WARNING: the arms do not have the listeners they should have: do not compare them (p={:.2e})\n",
                report.ratio_p
            )
        });
    }
    if let Some(shadow) = &report.shadow {
        text.push_str(&shadow_text(shadow));
    }
    for node in &report.missing_nodes {
        text.push_str(&format!("WARNING: counts of a node are missing. node={node}\n"));
    }
    text
}

fn shadow_text(shadow: &ShadowReport) -> String {
    let number = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), |value| format!("{value:.4}"));
    let rows = [
        ("shadow", shadow.recipe.clone()),
        ("lists", shadow.lists.to_string()),
        ("dropped", shadow.dropped.to_string()),
        ("failed", shadow.failed.to_string()),
        ("same lists", shadow.same.to_string()),
        ("overlap", format!("{} in the first {}", number(shadow.overlap), shadow.k)),
        ("rank-biased", number(shadow.rank_biased_overlap)),
    ];
    let rows: Vec<Vec<String>> = rows.map(|(name, value)| vec![name.to_owned(), value]).to_vec();
    format!("\n{}", table(&[Align::Left, Align::Left], &rows))
}
