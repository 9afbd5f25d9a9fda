use std::collections::{HashMap, HashSet};

use super::*;
use crate::eval::metrics::top_k;
use crate::train::{AlsParams, Interactions, WeightParams, train_als};

/// Genres each track has, by id.
fn genres_of(made: &Catalogue) -> HashMap<String, HashSet<String>> {
    made.tracks()
        .map(|t| (t.track_id.as_str().to_owned(), t.genres.into_iter().map(|tag| tag.genre).collect()))
        .collect()
}

#[test]
fn trained_vectors_find_the_planted_tastes() {
    // Unheard tracks that training recommends are of the listener's genres far more often than chance.
    let params = small();
    let made = generate(&params).unwrap();
    let genres = genres_of(&made);
    let durations: HashMap<String, u32> =
        made.tracks().filter_map(|t| Some((t.track_id.as_str().to_owned(), t.duration_ms?))).collect();
    let weights =
        WeightParams { half_life_days: WeightParams::HALF_LIFE_DAYS_DEFAULT, reference_time: params.as_of };
    let plays: Vec<Play> = made.plays().collect();
    let data = Interactions::from_plays(&plays, |id| durations.get(id).copied(), weights).unwrap();
    let als = AlsParams { dim: 32, sweeps: 6, ..AlsParams::default() };
    let model = train_als(&data, &als, &mut |_| {}).unwrap();
    let (mut hits, mut shown, mut chance) = (0_u32, 0_u32, 0.0);
    for user in 0..data.users().len() {
        let tastes: HashSet<String> =
            made.tastes(data.users()[user][1..].parse().unwrap()).into_iter().map(|t| t.genre).collect();
        let known: HashSet<usize> = data.of_user(user).map(|(item, ..)| item).collect();
        let liked = |id: &String| genres[id].iter().any(|genre| tastes.contains(genre));
        let scored = (0..data.items().len()).filter(|item| !known.contains(item)).map(|item| {
            (item, model.user(user).iter().zip(model.track(item)).map(|(a, b)| a * b).sum::<f32>())
        });
        for item in top_k(scored, 10) {
            shown += 1;
            hits += u32::from(liked(&data.items()[item]));
        }
        chance += data.items().iter().filter(|id| liked(id)).count() as f64 / data.items().len() as f64;
    }
    let found = f64::from(hits) / f64::from(shown);
    let chance = chance / data.users().len() as f64;
    eprintln!("recommended tracks in planted genres: {found:.3}, by chance {chance:.3}");
    assert!(found > 0.6 && found > 5.0 * chance, "found {found:.3}, by chance {chance:.3}");
}

#[test]
fn listeners_skip_more_outside_their_tastes() {
    let made = generate(&small()).unwrap();
    let genres = genres_of(&made);
    let tastes: Vec<HashSet<String>> =
        (0..400).map(|user| made.tastes(user).into_iter().map(|taste| taste.genre).collect()).collect();
    let mut counts = [[0_u32; 2]; 2];
    for play in made.plays() {
        let user: usize = play.user_id.as_str()[1..].parse().unwrap();
        let own = genres[play.track_id.as_str()].iter().any(|genre| tastes[user].contains(genre));
        counts[usize::from(own)][usize::from(play.action == PlayAction::Skip)] += 1;
    }
    let skips = |own: usize| f64::from(counts[own][1]) / f64::from(counts[own][0] + counts[own][1]);
    let own = f64::from(counts[1][0] + counts[1][1]) / 60_000.0;
    assert!(own > 0.7, "plays within the tastes: {own}");
    assert!(skips(0) > 1.5 * skips(1), "{} {}", skips(0), skips(1));
}

#[test]
fn neighbouring_genres_occur_together() {
    let made = generate(&small()).unwrap();
    let (mut pairs, mut near) = (0, 0);
    let number =
        |name: &str| (0..GENRES_MAX).find(|&at| super::super::genres::genre(at).name == name).unwrap();
    for track in made.tracks() {
        for pair in track.genres.windows(2) {
            pairs += 1;
            near += usize::from(number(&pair[0].genre) % 12 == number(&pair[1].genre) % 12);
        }
    }
    assert!(pairs > 1_500, "{pairs}");
    assert_eq!(near, pairs);
}
