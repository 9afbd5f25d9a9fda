//! The three steps before anybody is recommended anything: generate, train, load.

use std::time::Instant;

use super::place::Place;
use super::show::{self, Row};
use crate::Segue;
use crate::cli::backend::Backend;
use crate::cli::generate;
use crate::cli::generation;
use crate::cli::load::{Kind, Source, load_rows_file, load_vectors_file};
use crate::cli::load_run::Summary;
use crate::cli::output::{count, print};
use crate::cli::progress::Progress;
use crate::error::{Error, Result};
use crate::generate::{Catalogue, GenerateParams, WriteOptions};
use crate::train::{AlsParams, Durations, WeightParams, read_interactions, train_als};
use crate::types::{GenerationId, SpaceName, UserId};

/// What stands when everything is loaded.
pub struct Built {
    /// What was made up.
    pub catalogue: Catalogue,
    /// The database, for commands.
    pub backend: Backend,
    /// The same database, as a library.
    pub db: Segue,
}

impl Built {
    /// The id of a listener by place in the order of ids.
    pub fn user_id(&self, number: u32) -> Result<UserId> {
        let user = self.catalogue.users().nth(number as usize).map(|user| user.user_id);
        user.ok_or_else(|| Error::not_found("listener", number))
    }
}

/// Generates, trains and loads.
pub fn build(params: &GenerateParams, place: &Place) -> Result<Built> {
    let catalogue = made_up(params, place)?;
    trained(params, place)?;
    let (backend, db) = loaded(place)?;
    Ok(Built { catalogue, backend, db })
}

fn made_up(params: &GenerateParams, place: &Place) -> Result<Catalogue> {
    print(&show::step(1, "A made-up catalogue", "segue generate"))?;
    let start = Instant::now();
    let catalogue = crate::generate::generate(params)?;
    generate::write(&catalogue, &place.files(), WriteOptions::default())?;
    let size = |number: u64, what: &str| format!("{} {what}", count(number));
    let what = format!(
        "{} by {} in {}, {}, {}",
        size(u64::from(params.tracks), "tracks"),
        size(catalogue.artist_count() as u64, "artists"),
        size(u64::from(params.genres), "genres"),
        size(u64::from(params.listeners), "listeners"),
        size(params.plays, "plays"),
    );
    print(&show::done(&what, start.elapsed()))?;
    Ok(catalogue)
}

fn trained(params: &GenerateParams, place: &Place) -> Result<()> {
    print(&show::step(2, "Vectors, trained from the plays", "segue train als"))?;
    let start = Instant::now();
    let als = AlsParams::default();
    let bar = Progress::sweeps("training", als.sweeps);
    let files = place.files();
    let durations = Durations::read(&files.join("tracks.parquet"))?;
    let half_life = WeightParams::HALF_LIFE_DAYS_DEFAULT;
    let (_, data) =
        read_interactions(&files.join("plays.parquet"), &durations, half_life, Some(params.as_of))?;
    let mut losses = Vec::new();
    let model = train_als(&data, &als, &mut |report| {
        losses.push(report.loss);
        bar.at_sweep(report.sweep);
    })?;
    model.write(&place.model())?;
    drop(bar);
    let loss = |loss: Option<&f64>| count(loss.copied().unwrap_or_default() as u64);
    let what = format!(
        "{} dimensions, {} pairs, {} sweeps of implicit ALS; loss {} to {}",
        als.dim,
        count(data.pairs() as u64),
        als.sweeps,
        loss(losses.first()),
        loss(losses.last()),
    );
    print(&show::done(&what, start.elapsed()))
}

fn loaded(place: &Place) -> Result<(Backend, Segue)> {
    print(&show::step(3, "A database, opened and loaded", "segue load, segue generation load"))?;
    let backend = Backend::local(place.database())?;
    let Backend::Local(db) = backend.clone() else {
        return Err(Error::Internal("a directory was opened as a server".to_owned()));
    };
    let files = place.files();
    for (name, kind) in [("tracks", Kind::Tracks), ("users", Kind::Users), ("plays", Kind::Plays)] {
        let path = files.join(format!("{name}.parquet"));
        let source = Source { path: &path, ids: None, bad_rows_max: 0 };
        timed(|| load_rows_file(&backend, source, kind))?;
    }
    let path = files.join("track_audio.parquet");
    let source = Source { path: &path, ids: None, bad_rows_max: 0 };
    let audio = SpaceName::new("audio")?;
    timed(|| load_vectors_file(&backend, source, &audio, GenerationId::STATIC))?;
    let start = Instant::now();
    let info = generation::load(&backend, &place.model(), true)?;
    let what = format!("generation {}: user and track vectors, active", info.id);
    print(&show::row(&Row { what, rows: info.users + info.tracks, elapsed: start.elapsed() }))?;
    Ok((backend, db))
}

fn timed(load: impl FnOnce() -> Result<Summary>) -> Result<()> {
    let start = Instant::now();
    let summary = load()?;
    print(&show::row(&Row { what: summary.label, rows: summary.rows, elapsed: start.elapsed() }))
}
