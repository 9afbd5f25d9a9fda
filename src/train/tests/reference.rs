//! The figures of the reference data; skipped, loudly, where it is not installed.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

use rayon::prelude::*;

use super::*;
use crate::eval::metrics::{RankingEval, RankingReport, in_hash_split_test, top_k};
use crate::ingest::VectorRows;

/// A file of the reference data, or `None` (said loudly) where it is not installed.
fn shared(file: &str) -> Option<PathBuf> {
    let folder = std::env::var_os("SEGUE_SHARED")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared"), PathBuf::from);
    let path = folder.join("data").join(file);
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

/// Artists with at least five listeners, split by hash: (training part, held-out items).
fn lastfm() -> Option<(Interactions, Sets)> {
    let all = read(&shared("lastfm/user_artists.parquet")?);
    let mut listeners = vec![0; all.items().len()];
    (0..all.users().len()).flat_map(|user| all.of_user(user)).for_each(|(item, ..)| listeners[item] += 1);
    let mut train = InteractionsBuilder::new(WeightParams::timeless()).unwrap();
    let mut held_out = Sets::new();
    let (mut pairs, mut users) = (0, HashSet::new());
    for user in 0..all.users().len() {
        for (item, count, _) in all.of_user(user).filter(|(item, ..)| listeners[*item] >= 5) {
            let (user_id, item_id) = (&all.users()[user], &all.items()[item]);
            pairs += 1;
            users.insert(user);
            if in_hash_split_test(user_id.parse().unwrap(), item_id.parse().unwrap()) {
                held_out.entry(user_id.clone()).or_default().insert(item_id.clone());
            } else {
                train.add_liked(user_id, item_id, count);
            }
        }
    }
    assert_eq!((pairs, users.len()), (71_426, 1_881));
    assert_eq!(listeners.iter().filter(|&&count| count >= 5).count(), 2_828);
    Some((train.build().unwrap(), held_out))
}

#[test]
fn lastfm_reaches_its_reference_with_the_reference_parameters_and_with_the_defaults() {
    let Some((train, held_out)) = lastfm() else { return };
    let ndcg = |params: AlsParams| {
        let model = train_als(&train, &params, &mut |_| {}).unwrap();
        let report = judge(&model, &sets(&train), &held_out);
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
