//! Random commands against a plain model, with crashes: the files hold the state after some entry, and the log replayed
//! from there gives the same state and replies as if nothing had happened.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::*;
use crate::types::{GenerationId, Region, SpaceName, SplitMix64};

const USERS: u64 = 12;
const TRACKS: u64 = 40;
const DAYS: u64 = 60;

/// What the model knows of a user.
#[derive(Debug, Default)]
struct ModelUser {
    region: Option<Region>,
    blocked: Vec<ArtistId>,
    plays: BTreeSet<(Timestamp, TrackRef, PlayAction)>,
    waiting: BTreeSet<(String, Timestamp, PlayAction)>,
    edits: BTreeSet<(Timestamp, String)>,
    /// Shown lists, and the seed of what they were made by.
    lists: BTreeMap<(Timestamp, String), Option<u64>>,
}

/// The state as maps, changed one entry at a time.
#[derive(Debug, Default)]
struct Model {
    users: BTreeMap<String, ModelUser>,
    vectors: BTreeMap<String, Vec<f32>>,
    counts: BTreeMap<(i32, Option<Region>, TrackRef), u64>,
    newest_day: i32,
}

impl Model {
    /// Adds a play; whether it is new.
    fn play(&mut self, id: &str, at: Timestamp, track: TrackRef, action: PlayAction) -> bool {
        let user = self.users.entry(id.to_owned()).or_default();
        if !user.plays.insert((at, track, action)) {
            return false;
        }
        if matches!(action, PlayAction::Play | PlayAction::Repeat) {
            *self.counts.entry((at.day(), user.region, track)).or_default() += 1;
            self.newest_day = self.newest_day.max(at.day());
        }
        true
    }

    fn wait(&mut self, id: &str, track: &str, at: Timestamp, action: PlayAction) -> bool {
        let user = self.users.entry(id.to_owned()).or_default();
        user.waiting.insert((track.to_owned(), at, action))
    }

    fn resolve(&mut self, late: &str, track: TrackRef) -> u64 {
        let ids: Vec<String> = self.users.keys().cloned().collect();
        let mut resolved = 0;
        for id in ids {
            let waiting = std::mem::take(&mut self.users.get_mut(&id).unwrap().waiting);
            for (name, at, action) in waiting {
                if name == late {
                    resolved += u64::from(self.play(&id, at, track, action));
                } else {
                    self.wait(&id, &name, at, action);
                }
            }
        }
        resolved
    }
}

/// A random command, and what the model says to it.
fn step(rng: &mut SplitMix64, model: &mut Model) -> (UserOp, UserReply) {
    let id = format!("u{}", rng.below(USERS));
    match rng.below(20) {
        0 => {
            let region = (rng.below(3) > 0).then(|| Region::from_number(rng.below(3) as u16).unwrap());
            let new = u64::from(!model.users.contains_key(&id));
            let user = model.users.entry(id.clone()).or_default();
            (user.region, user.blocked) = (region, Vec::new());
            (
                UserOp::UpsertUsers(vec![User { region, ..User::unknown(super::user(&id)) }]),
                UserReply::Done(new),
            )
        }
        1 => {
            let removed = model.users.remove(&id).is_some();
            model.vectors.remove(&id);
            (UserOp::DeleteUsers(vec![super::user(&id)]), UserReply::Done(removed.into()))
        }
        2 | 3 => {
            let vector: Vec<f32> = (0..4).map(|_| rng.uniform() as f32).collect();
            let new = model.vectors.insert(id.clone(), vector.clone()).is_none();
            let (space, generation) = space();
            (
                UserOp::UpsertVectors { space, generation, rows: vec![(super::user(&id), vector)] },
                UserReply::Done(new.into()),
            )
        }
        4 => {
            let late = format!("late{}", rng.below(4));
            let track = track(1_000 + late.as_bytes()[4] as u32);
            let resolved = model.resolve(&late, track);
            (UserOp::ResolveTracks(vec![(track_id(&late), track)]), UserReply::Done(resolved))
        }
        5..=8 => {
            let name = format!("a{}", rng.below(5));
            let at = day(rng.below(DAYS) as i64);
            let user = model.users.entry(id.clone()).or_default();
            let new = user.edits.insert((at, name.clone()));
            if new && !user.blocked.contains(&artist(&name)) {
                user.blocked.push(artist(&name));
            }
            (
                UserOp::Record(vec![on_artist(&id, Action::BlockArtist, &name, at)]),
                UserReply::Recorded(vec![new]),
            )
        }
        9 | 10 => lists(rng, model),
        _ => plays(rng, model),
    }
}

/// Lists shown to two listeners, perhaps the same; of the second one it is known what it was made by.
fn lists(rng: &mut SplitMix64, model: &mut Model) -> (UserOp, UserReply) {
    let (mut events, mut new) = (Vec::new(), Vec::new());
    let seed = rng.below(1 << 40);
    for seed in [None, Some(seed)] {
        let (id, at) = (format!("u{}", rng.below(USERS)), day(rng.below(DAYS) as i64));
        let name = format!("i{}", rng.below(3));
        events.push(served(&id, at, &name, &[(rng.below(TRACKS) as u32, false)]));
        let of_user = &mut model.users.entry(id).or_default().lists;
        new.push(!of_user.contains_key(&(at, name.clone())));
        of_user.entry((at, name)).or_insert(seed);
    }
    let origin = ListOrigin {
        recipe: "radio@1".to_owned(),
        experiment: None,
        generation: None,
        seed,
        candidates_hash: seed ^ 1,
        as_of: day(1),
        positions: vec![4],
    };
    let timed = TimedEvents { received: day(DAYS as i64), events, slots: Vec::new() };
    let origins = vec![EventOrigin { event: 1, origin }];
    (UserOp::RecordLists(Box::new(ListedEvents { timed, origins })), UserReply::Recorded(new))
}

fn plays(rng: &mut SplitMix64, model: &mut Model) -> (UserOp, UserReply) {
    let users: Vec<UserId> = (0..USERS).map(|n| user(&format!("u{n}"))).collect();
    let mut batch = PlayBatch { users, ..PlayBatch::default() };
    let mut new = 0;
    let actions = [PlayAction::Play, PlayAction::Skip, PlayAction::Save, PlayAction::Repeat];
    let random = |rng: &mut SplitMix64| {
        let at = Timestamp((rng.below(DAYS) * 86_400_000 + rng.below(50)) as i64);
        let (user, track) = (rng.below(USERS) as u32, rng.below(TRACKS) as u32);
        row(user, track, at, actions[rng.below(4) as usize])
    };
    for _ in 0..rng.below(60) {
        let play = random(rng);
        new += u64::from(model.play(&format!("u{}", play.user), play.at, play.track, play.action));
        batch.plays.push(play);
    }
    for _ in 0..rng.below(3) {
        let (late, play) = (format!("late{}", rng.below(4)), random(rng));
        new += u64::from(model.wait(&format!("u{}", play.user), &late, play.at, play.action));
        batch.unknown.push((track_id(&late), play));
    }
    (UserOp::RecordPlays(batch), UserReply::Done(new))
}

fn space() -> (SpaceName, GenerationId) {
    (SpaceName::new("user_cf").unwrap(), GenerationId(1))
}

fn check(shard: &UserShard, model: &Model, what: &str) {
    assert_eq!(shard.user_count(), model.users.len() as u64, "{what}");
    for (id, expected) in &model.users {
        let view = shard.view(&user(id)).unwrap().unwrap();
        let plays: BTreeSet<_> = view.plays.iter().map(|play| (play.at, play.track, play.action)).collect();
        assert_eq!((plays.len(), &plays), (view.plays.len(), &expected.plays), "{what}, {id}");
        assert!(view.plays.is_sorted_by(|a, b| a.at >= b.at), "{what}, {id}");
        assert_eq!(
            (view.user.region, &view.user.blocked_artists),
            (expected.region, &expected.blocked),
            "{what}, {id}"
        );
        let lists = shard.served_lists(&user(id), Timestamp(i64::MAX), 1_000).unwrap();
        let seed = |it: &StoredList| it.origin.as_ref().map(|origin| origin.seed);
        let lists: BTreeMap<_, _> =
            lists.iter().map(|it| ((it.at, it.list.impression.clone()), seed(it))).collect();
        assert_eq!((&lists, view.served.len()), (&expected.lists, lists.len()), "{what}, {id}");
        let mut heard = HashMap::new();
        expected.plays.iter().for_each(|(at, track, _)| _ = heard.insert(*track, *at));
        assert_eq!(view.heard.tracks.len(), heard.len(), "{what}, {id}");
        assert!(heard.iter().all(|(track, at)| view.heard.last_of(*track) == Some(*at)), "{what}, {id}");
    }
    check_vectors_and_counts(shard, model, what);
}

fn check_vectors_and_counts(shard: &UserShard, model: &Model, what: &str) {
    let (space, generation) = space();
    for n in 0..USERS {
        let id = format!("u{n}");
        let found = shard.vector(&space, generation, &user(&id)).unwrap();
        assert_eq!(found.as_ref(), model.vectors.get(&id), "{what}, {id}");
    }
    assert_eq!(shard.vector_count(&space, generation).unwrap(), model.vectors.len() as u64, "{what}");
    let oldest = model.newest_day - TREND_DAYS + 1;
    for region in [None, Region::from_number(0), Region::from_number(1)] {
        let mut expected = BTreeMap::new();
        for ((day, of, track), count) in &model.counts {
            if *day >= oldest && (region.is_none() || *of == region) {
                *expected.entry(*track).or_insert(0) += count;
            }
        }
        let found = shard.trend_counts(region, 0, 99).unwrap();
        assert_eq!(found, expected.into_iter().collect::<Vec<_>>(), "{what}, {region:?}");
    }
}

pub(super) fn seed() -> u64 {
    let text = std::env::var("SEED").unwrap_or_else(|_| "0x5e9e".to_owned());
    let seed = u64::from_str_radix(text.trim_start_matches("0x"), 16).unwrap();
    println!("SEED={seed:#x}");
    seed
}

/// A list of commands from a seed: entries of the log, and the replies there must be.
pub(super) fn log(seed: u64, entries: usize) -> (Vec<Vec<u8>>, Vec<UserReply>) {
    let (mut rng, mut model) = (SplitMix64::new(seed), Model::default());
    let steps = (0..entries).map(|_| step(&mut rng, &mut model));
    steps.map(|(op, reply)| (UserCommand::from(op).encode(), reply)).unzip()
}

/// Checks a shard against the model of the first `entries` of a log.
pub(super) fn check_against(shard: &UserShard, seed: u64, entries: u64, what: &str) {
    let (mut rng, mut model) = (SplitMix64::new(seed), Model::default());
    (0..entries).for_each(|_| _ = step(&mut rng, &mut model));
    check(shard, &model, what);
}

/// Applies entries after the applied one; their replies must be the model's.
pub(super) fn replay(shard: &UserShard, log: &[Vec<u8>], replies: &[UserReply], until: u64) {
    let from = shard.applied().index;
    for index in from + 1..=until {
        let entry = LogEntry { index, term: 1, data: &log[index as usize - 1] };
        let reply = UserReply::decode(&shard.apply(&[entry]).unwrap()[0]).unwrap();
        assert_eq!(reply, replies[index as usize - 1], "entry {index}");
    }
}

pub(super) fn small_memory() -> UserShardOptions {
    UserShardOptions { memtable_bytes: 24 << 10, ..UserShardOptions::default() }
}

#[test]
fn a_log_replayed_after_every_crash_gives_the_models_state() {
    let seed = seed();
    let (log, replies) = log(seed, 600);
    let mut rng = SplitMix64::new(seed ^ 1);
    let dir = tempfile::tempdir().unwrap();
    let (mut done, mut recovered_in_the_middle) = (0, 0);
    while done < log.len() as u64 {
        let (shard, applied) = UserShard::open(dir.path(), &small_memory()).unwrap();
        assert!(applied.index <= done && applied.index >= shard.durable_index());
        recovered_in_the_middle += u32::from(applied.index > 0 && applied.index < done);
        check_against(&shard, seed, applied.index, "right after opening");
        done = (done + 1 + rng.below(60)).min(log.len() as u64);
        replay(&shard, &log, &replies, done);
        check_against(&shard, seed, done, "after the replay");
        if rng.below(4) == 0 {
            assert_eq!(shard.persist().unwrap(), done);
        }
        // Dropped without a flush: what is in memory only is lost, as in a crash.
    }
    assert!(recovered_in_the_middle > 3, "crashes fell on half-written states: {recovered_in_the_middle}");
}
