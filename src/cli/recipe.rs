//! `segue recipe`.

use std::path::PathBuf;

use clap::Subcommand;
use serde_json::json;

use super::args::{BackendArgs, OutputArgs, read_text};
use super::backend::Backend;
use super::output::{Align, print, print_json, table};
use crate::error::{Error, Result};
use crate::pipeline::recipe::{Change, Recipe, diff};

const EXAMPLES: &str = "\
A recipe says how lists of one kind are made. Versions never change: storing makes a new one, which is used once it is
activated.

Examples:
  segue recipe list --data ./segue-data
  segue recipe show daily_mix --json --data ./segue-data > daily_mix.json
  segue recipe put daily_mix.json --data ./segue-data
  segue recipe diff daily_mix@1 daily_mix@2 --data ./segue-data
  segue recipe activate daily_mix@2 --data ./segue-data";

/// List, show, store and activate recipes.
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct RecipeArgs {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    backend: BackendArgs,
}

#[derive(Debug, Clone, Subcommand)]
enum Command {
    /// All versions, built-in ones included
    List,
    /// One recipe, whole
    Show {
        /// NAME (the active version) or NAME@VERSION
        #[arg(value_name = "NAME[@VERSION]")]
        name: String,
    },
    /// Check a recipe and store it as the next version of its name
    Put {
        /// JSON or TOML, as `segue recipe show --json` prints it
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
    /// What one recipe says otherwise than another
    Diff {
        /// NAME or NAME@VERSION
        #[arg(value_name = "NAME[@VERSION]")]
        from: String,
        /// NAME or NAME@VERSION
        #[arg(value_name = "NAME[@VERSION]")]
        to: String,
    },
    /// Make a version the one requests use
    Activate {
        /// NAME@VERSION
        #[arg(value_name = "NAME@VERSION", value_parser = versioned)]
        recipe: (String, u32),
    },
}

fn versioned(text: &str) -> std::result::Result<(String, u32), String> {
    let (name, version) = text.rsplit_once('@').ok_or("expected NAME@VERSION, such as daily_mix@2")?;
    let version = version.parse().map_err(|_| format!("version must be a number. version=`{version}`"))?;
    Ok((name.to_owned(), version))
}

impl RecipeArgs {
    /// Runs the command.
    ///
    /// # Errors
    /// Those of the database, of files and of printing.
    pub fn run(self) -> Result<()> {
        let backend = Backend::open(&self.backend)?;
        let json = self.output.json;
        match self.command {
            Command::List => print_all(&backend.recipes()?, json)?,
            Command::Show { name } => print_one(&show(&backend, &name)?, json)?,
            Command::Diff { from, to } => {
                let changes = diff(&show(&backend, &from)?, &show(&backend, &to)?);
                if json { print_json(&changes)? } else { print(&changes_text(&changes))? }
            }
            Command::Put { file } => {
                let recipe = backend.put_recipe(parse(&file)?)?;
                let next =
                    format!("stored as {0}; `segue recipe activate {0}` puts it to use", recipe.reference());
                if json { print_json(&recipe)? } else { print(&format!("{next}\n"))? }
            }
            Command::Activate { recipe: (name, version) } => {
                let recipe = backend.activate_recipe(&name, version)?;
                if json {
                    print_json(&recipe)?
                } else {
                    print(&format!("{} is active\n", recipe.reference()))?
                }
            }
        }
        backend.close()
    }
}

fn show(backend: &Backend, name: &str) -> Result<Recipe> {
    let version = if name.contains('@') {
        Some(versioned(name).map_err(|reason| Error::invalid("recipe", reason))?)
    } else {
        None
    };
    let wanted = |recipe: &Recipe, active: bool| match &version {
        Some((name, version)) => recipe.name == *name && recipe.version == *version,
        None => recipe.name == name && active,
    };
    let found = backend.recipes()?.into_iter().find(|(recipe, active)| wanted(recipe, *active));
    found.map(|(recipe, _)| recipe).ok_or_else(|| Error::not_found("recipe", name))
}

fn parse(file: &std::path::Path) -> Result<Recipe> {
    let text = read_text(file)?;
    let wrong =
        |error: String| Error::invalid("recipe", format!("{}. path=`{}`", error.trim_end(), file.display()));
    let recipe: Recipe = if file.extension().is_some_and(|extension| extension == "toml") {
        toml::from_str(&text).map_err(|error| wrong(error.to_string()))?
    } else {
        serde_json::from_str(&text).map_err(|error| wrong(error.to_string()))?
    };
    recipe.validate()?;
    Ok(recipe)
}

fn changes_text(changes: &[Change]) -> String {
    if changes.is_empty() {
        return "no difference\n".to_owned();
    }
    changes.iter().map(|change| format!("{}: {} -> {}\n", change.field, change.from, change.to)).collect()
}

fn print_one(recipe: &Recipe, json: bool) -> Result<()> {
    if json {
        return print_json(recipe);
    }
    let text = toml::to_string_pretty(recipe)
        .map_err(|error| Error::Internal(format!("the recipe cannot be printed: {error}")))?;
    print(&text)
}

fn print_all(recipes: &[(Recipe, bool)], json: bool) -> Result<()> {
    if json {
        let all: Vec<_> =
            recipes.iter().map(|(recipe, active)| json!({ "recipe": recipe, "active": active })).collect();
        return print_json(&json!({ "recipes": all }));
    }
    let heading = ["recipe", "active", "tracks", "explored", "sources"].map(str::to_owned).to_vec();
    let row = |(recipe, active): &(Recipe, bool)| {
        let sources: Vec<&str> = recipe.sources.iter().map(|spec| spec.source.as_str()).collect();
        let active = if *active { "yes" } else { "" };
        let explored = format!("{:.1} %", 100.0 * recipe.exploration_rate);
        vec![recipe.reference(), active.to_owned(), recipe.n.to_string(), explored, sources.join(" ")]
    };
    let rows: Vec<Vec<String>> = std::iter::once(heading).chain(recipes.iter().map(row)).collect();
    print(&table(&[Align::Left, Align::Left, Align::Right, Align::Right, Align::Left], &rows))
}
