//! The figures of the reference data; skipped, loudly, where it is not installed.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

use rayon::prelude::*;

use super::*;
use crate::eval::hold_out::HoldOut;
use crate::eval::metrics::{RankingEval, RankingReport, top_k};
use crate::ingest::VectorRows;

/// A file of the reference data (in `SEGUE_DATA`, as for `.ci/real-data`), or `None` (said loudly) where it is not installed.
fn shared(file: &str) -> Option<PathBuf> {
    let folder = std::env::var_os("SEGUE_DATA")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data"), PathBuf::from);
    let path = folder.join(file);
    if !path.exists() {
        eprintln!("SKIPPED: reference data is absent. path=`{}`", path.display());
        return None;
    }
    Some(path)
}

fn read(path: &Path) -> Interactions {
    read_interactions(path, &Durations::default(), 62.4, None).unwrap().1
}

/// Items of each user.
type Sets = HashMap<String, HashSet<String>>;

fn sets(data: &Interactions) -> Sets {
    let of = |user: usize| data.of_user(user).map(|(item, ..)| data.items()[item].clone()).collect();
    data.users().iter().enumerate().map(|(user, id)| (id.clone(), of(user))).collect()
}

/// Ranks all items but the masked ones by exact inner product and judges the first ten.
fn judge(model: &AlsModel, masked: &Sets, held_out: &Sets) -> RankingReport {
    let none = HashSet::new();
    let lists: Vec<(Vec<String>, &HashSet<String>)> = (0..model.user_ids.len())
        .into_par_iter()
        .filter_map(|user| {
            let id = &model.user_ids[user];
            let (held_out, masked) = (held_out.get(id)?, masked.get(id).unwrap_or(&none));
            let x = model.user(user);
            let scored = model
                .track_ids
                .iter()
                .enumerate()
                .filter(|(_, id)| !masked.contains(*id))
                .map(|(at, id)| (id, x.iter().zip(model.track(at)).map(|(a, b)| a * b).sum()));
            Some((top_k(scored, 10).into_iter().cloned().collect(), held_out))
        })
        .collect();
    let mut eval = RankingEval::new(10);
    for (list, held_out) in &lists {
        eval.add(list, held_out);
    }
    eval.report(model.track_ids.len())
}

#[test]
fn lastfm_reaches_its_reference_with_the_reference_parameters_and_with_the_defaults() {
    let Some(path) = shared("lastfm/user_artists.parquet") else { return };
    let data = read(&path).with_listeners(5).unwrap();
    assert_eq!((data.pairs(), data.users().len(), data.items().len()), (71_426, 1_881, 2_828));
    let parts = HoldOut::split(&data).unwrap();
    let ndcg = |params: AlsParams| {
        let model = train_als(&parts.train, &params, &mut |_| {}).unwrap();
        let report = parts.judge(&model, 10);
        eprintln!("lastfm {params:?}: {report:?}");
        report.ndcg
    };
    let reference = AlsParams { alpha0: 0.05, lambda: 0.03, alpha: 0.0, ..AlsParams::default() };
    let (reference, default) = (ndcg(reference), ndcg(AlsParams::default()));
    assert!((reference - 0.2812).abs() < 0.004, "reference parameters: {reference}");
    assert!(default >= 0.27, "defaults: {default}");
}

#[test]
fn the_protocol_gives_the_known_figure_for_the_given_vectors() {
    let Some(users) = shared("catalog/user_cf.parquet") else { return };
    let (user_ids, users) = vectors(&users);
    let (track_ids, tracks) = vectors(&shared("catalog/track_cf.parquet").unwrap());
    let gram = crate::storage::meta::GramData {
        dim: 64,
        gram: Vec::new(),
        alpha0: 0.05,
        lambda: 0.02,
        nu: 1.0,
        alpha: 0.0,
        tracks: 0,
        half_life_days: 62.4,
        reference_time: NOW,
    };
    let given = AlsModel { user_ids, users, track_ids, tracks, gram };
    let report = judge(&given, &catalog_sets("split_train"), &catalog_sets("split_test"));
    eprintln!("given vectors: {report:?}");
    assert_eq!(report.users, 1_873);
    assert!((report.ndcg - 0.2296).abs() < 5e-5, "{}", report.ndcg);
}

#[test]
fn the_catalogue_reaches_its_reference_with_the_defaults() {
    let Some(plays) = shared("catalog/plays_train.parquet") else { return };
    let durations = Durations::read(&shared("catalog/tracks.parquet").unwrap()).unwrap();
    let data = read_interactions(&plays, &durations, 62.4, None).unwrap().1;
    assert_eq!(data.pairs(), 379_912);
    let model = train_als(&data, &AlsParams { sweeps: 4, ..AlsParams::default() }, &mut |_| {}).unwrap();
    let report = judge(&model, &catalog_sets("split_train"), &catalog_sets("split_test"));
    eprintln!("catalogue, defaults but 4 sweeps: {report:?}");
    assert_eq!(report.users, 1_873);
    assert!(report.ndcg >= 0.22, "{}", report.ndcg);
}

fn catalog_sets(name: &str) -> Sets {
    sets(&read(&shared(&format!("catalog/{name}.parquet")).unwrap()))
}

fn vectors(path: &Path) -> (Vec<String>, Vec<f32>) {
    let mut rows = VectorRows::open(path).unwrap();
    let (mut ids, mut matrix) = (Vec::new(), Vec::new());
    loop {
        let batch = rows.next_batch(8_192).unwrap();
        if batch.is_empty() {
            return (ids, matrix);
        }
        for (_, row) in batch {
            let row = row.unwrap();
            ids.push(row.id);
            matrix.extend(row.vector);
        }
    }
}
