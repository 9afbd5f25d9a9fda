//! `segue batch`: lists for all listeners, a file a partition, resumable.

use std::path::{Path, PathBuf};
use std::time::Instant;

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::args::{BackendArgs, OutputArgs};
use super::backend::Backend;
use super::output::{print, print_json};
use super::progress::Progress;
use super::read_first::read_first;
use crate::error::{Error, Result};
use crate::ingest::{ListRow, ListTable, TableWriter, remove_half_written, write_atomically};
use crate::pipeline::batch::BatchRequest;
use crate::pipeline::request::{Recommendation, RecommendedTrack};
use crate::types::{Part, SLOTS, Surface, Timestamp, User};

const EXAMPLES: &str = "\
Listeners are split by the hash of their id. Each partition becomes one Parquet file, written whole or not at all, and a
run that was interrupted goes on where it stopped: no listener is missed or doubled. The same surface and ISO week give
the same request ids, so a list that was made twice is the same list.

Examples:
  segue batch --surface discover_weekly --out ./lists --data ./segue-data
  segue batch --surface daily_mix --recipe daily_mix@2 --as-of 2026-11-01T00:00:00Z --out ./lists --data ./segue-data

Several machines share the work by parts of the partitions; together they make every list once, and each goes on by itself:
  segue batch --surface daily_mix --as-of 2026-11-01T00:00:00Z --part 1/2 --out ./lists-1 --endpoint http://10.0.0.1:7700
  segue batch --surface daily_mix --as-of 2026-11-01T00:00:00Z --part 2/2 --out ./lists-2 --endpoint http://10.0.0.2:7700";

/// The file that says what a folder of lists is.
const MANIFEST: &str = "batch.json";
/// Listeners read at a time.
const PAGE: u32 = 1_000;

/// Lists of one surface for all listeners.
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct BatchArgs {
    /// Which lists
    #[arg(long, value_name = "NAME")]
    surface: Surface,
    /// Folder of the files; made when absent
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// NAME or NAME@VERSION instead of the surface's recipe
    #[arg(long, value_name = "NAME")]
    recipe: Option<String>,
    /// The time of all lists [default: now; an interrupted run keeps its own]
    #[arg(long, value_name = "RFC3339")]
    as_of: Option<Timestamp>,
    /// Files, a power of two up to 4,096
    #[arg(long, value_name = "COUNT", default_value_t = 64)]
    partitions: u16,
    /// Only part I of N of the partitions, into a folder of its own; all parts have the same time and number of partitions
    #[arg(long, value_name = "I/N", requires = "as_of")]
    part: Option<Part>,
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    backend: BackendArgs,
}

/// What a folder of lists is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Manifest {
    surface: Surface,
    week: String,
    as_of: Timestamp,
    recipe: Option<String>,
    partitions: u16,
    /// Which part of the partitions, as `I/N`; all when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    part: Option<String>,
}

/// What a run did.
#[derive(Debug, Clone, Default, Serialize)]
struct Summary {
    week: String,
    users: u64,
    tracks: u64,
    /// Lists shorter than the recipe's length, and lists that relaxed something.
    short_lists: u64,
    relaxed_lists: u64,
    partitions: u16,
    /// Of these, written by an earlier run.
    partitions_before: u16,
    seconds: f64,
    /// Of these, before the first list: files of a database in this process were read.
    reading_seconds: f64,
    /// While lists were made.
    users_per_s: f64,
}

impl BatchArgs {
    /// Runs the command.
    ///
    /// # Errors
    /// Those of the database and of files; `Conflict` when the folder holds other lists.
    pub fn run(self) -> Result<()> {
        if !self.partitions.is_power_of_two() || self.partitions > SLOTS {
            return Err(Error::invalid("partitions", format!("must be a power of two up to {SLOTS}")));
        }
        let part = self.part.unwrap_or(Part::WHOLE);
        if part.of() > self.partitions {
            let reason =
                format!("there are fewer partitions. part=`{part}`, partitions=`{}`", self.partitions);
            return Err(Error::invalid("part", reason));
        }
        let backend = Backend::open(&self.backend)?;
        let manifest = self.manifest()?;
        let lists = BatchRequest {
            surface: manifest.surface.clone(),
            as_of: manifest.as_of,
            recipe: manifest.recipe.clone(),
            part,
        };
        let summary = Run { backend: &backend, folder: &self.out, manifest, lists }.all()?;
        if self.output.json {
            print_json(&summary)?;
        } else {
            print(&summary.text())?;
        }
        backend.close()
    }

    /// The folder's manifest: the one that is there, when it is of the same lists, else a new one.
    fn manifest(&self) -> Result<Manifest> {
        std::fs::create_dir_all(&self.out).map_err(|error| Error::io("make the folder", &self.out, error))?;
        let path = self.out.join(MANIFEST);
        let as_of = self.as_of.unwrap_or_else(Timestamp::now);
        let mut wanted = Manifest {
            surface: self.surface.clone(),
            week: as_of.iso_week(),
            as_of,
            recipe: self.recipe.clone(),
            partitions: self.partitions,
            part: self.part.map(|part| part.to_string()),
        };
        if path.exists() {
            let text = super::args::read_text(&path)?;
            let found: Manifest = serde_json::from_str(&text)
                .map_err(|error| Error::Corrupt(format!("{MANIFEST} cannot be read: {error}")))?;
            if self.as_of.is_none() && found.week == wanted.week {
                wanted.as_of = found.as_of;
            }
            if found != wanted {
                return Err(self.other_lists(&found, wanted));
            }
            return Ok(found);
        }
        let text = serde_json::to_vec_pretty(&wanted).map_err(|error| Error::Internal(error.to_string()))?;
        write_atomically(&path, &text)?;
        Ok(wanted)
    }
}

impl BatchArgs {
    /// Why a folder is not gone on with, and how it can be.
    fn other_lists(&self, found: &Manifest, wanted: Manifest) -> Error {
        let (surface, week, path) = (found.surface.as_str(), &found.week, self.out.display());
        let of_another_time = Manifest { week: found.week.clone(), as_of: found.as_of, ..wanted } == *found;
        let advice = if of_another_time {
            format!(
                "the folder holds lists of another time: go on with them by --as-of {}, or take another folder",
                found.as_of
            )
        } else {
            "the folder holds other lists: take another".to_owned()
        };
        Error::Conflict(format!("{advice}. surface=`{surface}`, week=`{week}`, path=`{path}`"))
    }
}

impl Summary {
    /// One line.
    fn text(&self) -> String {
        let Self { users, week, tracks, partitions, users_per_s, short_lists, relaxed_lists, .. } = self;
        if self.partitions_before == *partitions {
            return format!("all {users} lists of {week} were there already, in {partitions} files\n");
        }
        format!(
            "{users} lists of {week} ({tracks} tracks) in {partitions} files, {users_per_s:.1} users/s; {short_lists} short, {relaxed_lists} relaxed\n"
        )
    }
}

struct Run<'a> {
    backend: &'a Backend,
    folder: &'a Path,
    manifest: Manifest,
    lists: BatchRequest,
}

impl Run<'_> {
    fn all(&self) -> Result<Summary> {
        let started = Instant::now();
        remove_half_written(self.folder)?;
        let mine = self.partitions();
        let partitions = u16::try_from(mine.len()).unwrap_or(u16::MAX);
        let mut summary = Summary { week: self.manifest.week.clone(), partitions, ..Summary::default() };
        let mut made = 0_u64;
        if mine.iter().any(|partition| !self.path(*partition).exists()) {
            summary.reading_seconds = read_first(self.backend, self.lists.part)?;
        }
        let progress = Progress::files("batch", partitions);
        for (done, partition) in (1..).zip(mine) {
            let path = self.path(partition);
            let is_there = path.exists();
            summary.partitions_before += u16::from(is_there);
            let mut writer = if is_there { None } else { Some(TableWriter::create(&path, ListTable)?) };
            let mut after = None;
            loop {
                let (members, next) = self.backend.list_users_in(self.part_of(partition)?, after, PAGE)?;
                match &mut writer {
                    None => summary.users += members.len() as u64,
                    Some(writer) => {
                        let lists: Vec<Recommendation> = members
                            .par_iter()
                            .filter_map(|user| self.list(user).transpose())
                            .collect::<Result<_>>()?;
                        lists.iter().try_for_each(|list| writer.write(&rows(list)))?;
                        summary.add(&lists);
                        made += lists.len() as u64;
                        progress.made(made);
                    }
                }
                after = next;
                if after.is_none() {
                    break;
                }
            }
            if let Some(writer) = writer {
                writer.finish()?;
            }
            progress.at_file(done);
        }
        summary.seconds = started.elapsed().as_secs_f64();
        summary.users_per_s = made as f64 / (summary.seconds - summary.reading_seconds).max(1e-9);
        Ok(summary)
    }

    /// The partitions of this run's part, in order.
    fn partitions(&self) -> Vec<u16> {
        let (part, all) = (self.lists.part, u32::from(self.manifest.partitions));
        let is_mine = |partition: &u16| {
            u32::from(*partition) * u32::from(part.of()) / all == u32::from(part.number()) - 1
        };
        (0..self.manifest.partitions).filter(is_mine).collect()
    }

    /// The listeners of a partition.
    fn part_of(&self, partition: u16) -> Result<Part> {
        Part::new(u32::from(partition) + 1, self.manifest.partitions.into())
            .map_err(|reason| Error::invalid("partitions", reason))
    }

    fn path(&self, partition: u16) -> PathBuf {
        self.folder.join(format!("part-{partition:04}-of-{:04}.parquet", self.manifest.partitions))
    }

    /// A listener's list; `None` when they are gone since they were read.
    fn list(&self, user: &User) -> Result<Option<Recommendation>> {
        match self.backend.recommend(self.lists.request_for(&user.user_id)) {
            Ok(list) => Ok(Some(list)),
            Err(Error::NotFound { what, .. }) if what == "user" => Ok(None),
            Err(error) => Err(error),
        }
    }
}

impl Summary {
    fn add(&mut self, lists: &[Recommendation]) {
        let is_short = |list: &&Recommendation| list.degraded.iter().any(|word| word.contains(" tracks: "));
        self.users += lists.len() as u64;
        self.tracks += lists.iter().map(|list| list.tracks.len() as u64).sum::<u64>();
        self.short_lists += lists.iter().filter(is_short).count() as u64;
        self.relaxed_lists += lists.iter().filter(|list| !list.relaxed.is_empty()).count() as u64;
    }
}

/// A list as rows of its file.
fn rows(list: &Recommendation) -> Vec<ListRow> {
    let row = |(position, track): (u32, &RecommendedTrack)| ListRow {
        user_id: list.user_id.as_ref().map_or_else(String::new, ToString::to_string),
        position,
        track_id: track.track_id.to_string(),
        score: track.score,
        explored: track.explored,
        reason: track.reason.clone(),
        recipe: list.recipe.clone(),
        impression: list.impression.clone(),
    };
    (0..).zip(&list.tracks).map(row).collect()
}
