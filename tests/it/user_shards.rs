//! A database with several user shards answers as one with a single shard does, keeps its number of shards, and goes on with
//! loads that only some of its shards have taken.

use std::path::Path;

use segue::config::{Settings, Storage};
use segue::eval::{EvalReport, EvalRequest, RulesReport, RulesRequest, Split, SplitReport};
use segue::ingest::{PlayTable, TableWriter};
use segue::node::LoadKind;
use segue::pipeline::logged::LoggedList;
use segue::pipeline::portrait::Portrait;
use segue::pipeline::request::{
    RecommendRequest, Recommendation, RequestContext, SimilarUser, SimilarUsersRequest,
};
use segue::pipeline::statistics::Statistics;
use segue::storage::user_shard::{UserShard, UserShardOptions};
use segue::types::{
    Action, DAY_MS, EventId, FeedbackEvent, Play, PlayAction, Surface, Timestamp, TrackId, User, UserId,
    shard_of_slot, slot_of,
};
use segue::{ErrorKind, Segue};

use crate::discovery::event;
use crate::running::run;
use crate::support::{AS_OF, World, id, seed, track};

/// Settings under which nothing is sealed by itself: how vectors are searched must not depend on the moment.
fn settings(user_shards: u16) -> Settings {
    let storage = Storage {
        user_shards,
        disk_reserve_bytes: 0,
        user_cache_bytes: 4 << 20,
        background_threads: 1,
        ..Storage::default()
    };
    Settings { storage, ..Settings::default() }
}

fn open(dir: &Path, user_shards: u16) -> Segue {
    Segue::open(dir, settings(user_shards)).unwrap().0
}

/// A world whose listeners have friends.
fn world(seed: u64) -> World {
    let mut world = World::generate(seed, 900, 220);
    let ids: Vec<UserId> = world.users.iter().map(|user| user.user_id.clone()).collect();
    for (at, user) in world.users.iter_mut().enumerate() {
        user.social_consent = at % 5 != 0;
        user.friends = [1, 2, 7].map(|step| ids[(at + step) % ids.len()].clone()).to_vec();
        user.age_band = Some(["18-24", "25-34"][at % 2].to_owned());
    }
    world
}

/// Plays of a track that comes after them, of many listeners, oldest first; and things done to artists and tracks.
fn early_events(world: &World) -> Vec<FeedbackEvent> {
    let mut events = Vec::new();
    for (at, user) in (0_i64..).zip(&world.users) {
        let user = user.user_id.as_str();
        let late = FeedbackEvent {
            track_id: Some(id(format!("late{}", at % 3))),
            listened_ms: Some(150_000),
            event_id: Some(id::<EventId>(format!("e{at}"))),
            ..event(user, Action::Play, Timestamp(AS_OF.0 - 2 * DAY_MS + at * 1_000))
        };
        events.push(late.clone());
        if at % 4 == 0 {
            // The same event in the same batch is the same event.
            events.push(late);
            let blocked = FeedbackEvent {
                artist_id: Some(id("a5")),
                ..event(user, Action::BlockArtist, Timestamp(AS_OF.0 - DAY_MS))
            };
            events.push(blocked);
        }
    }
    events
}

/// What a database said while it was filled.
#[derive(Debug, PartialEq)]
struct Replies {
    new: Vec<bool>,
    deleted: u64,
    vectors_deleted: u64,
}

fn fill(engine: &Segue, world: &World) -> Replies {
    let generation = world.load(engine);
    let (new, token) = engine.feedback(early_events(world)).unwrap();
    let with_token = RecommendRequest { min_token: Some(token), ..request(&world.users[0].user_id, "home") };
    engine.recommend(with_token).unwrap();
    let mut late: Vec<_> = (0..3).map(|number| track(5_000 + number, 0)).collect();
    for (number, track) in late.iter_mut().enumerate() {
        track.track_id = id(format!("late{number}"));
    }
    engine.upsert_tracks(late).unwrap();
    let gone: Vec<UserId> = world.users.iter().skip(3).step_by(17).map(|user| user.user_id.clone()).collect();
    let (deleted, _) = engine.delete_users(&gone).unwrap();
    let forgotten: Vec<String> =
        world.users.iter().skip(5).step_by(19).map(|user| user.user_id.to_string()).collect();
    let vectors = engine.delete_vectors(&crate::support::space("user_cf"), generation, &forgotten).unwrap();
    engine.checkpoint().unwrap();
    engine.refresh_statistics().unwrap();
    Replies { new, deleted, vectors_deleted: vectors.0 }
}

fn request(user: &UserId, surface: &str) -> RecommendRequest {
    RecommendRequest {
        as_of: Some(AS_OF),
        request_id: Some(format!("{user}/{surface}")),
        explain: true,
        ..RecommendRequest::new(user.clone(), Surface::new(surface).unwrap())
    }
}

const SURFACES: [&str; 5] = ["discover_weekly", "radio", "release_radar", "daily_mix", "home"];

/// Every listener, in pages of a size.
fn listed(engine: &Segue, limit: usize) -> Vec<Vec<User>> {
    let (mut pages, mut cursor) = (Vec::new(), None);
    loop {
        let (page, next) = engine.list_users(cursor, limit).unwrap();
        pages.push(page);
        cursor = next;
        if cursor.is_none() {
            return pages;
        }
    }
}

/// What a database answers.
#[derive(Debug, PartialEq)]
struct Answers {
    users: u64,
    pages: Vec<Vec<Vec<User>>>,
    portraits: Vec<Portrait>,
    logged: Vec<Vec<LoggedList>>,
    lists: Vec<Recommendation>,
    similar: Vec<Option<Vec<SimilarUser>>>,
    report: EvalReport,
    rules: RulesReport,
    halves: SplitReport,
    vectors: Vec<Vec<String>>,
}

/// Asks everything; the lists' tokens beside, since every database signs with its own key.
fn ask(engine: &Segue, world: &World, held_out: &Path) -> (Answers, Vec<String>) {
    let known: Vec<&UserId> = world
        .users
        .iter()
        .map(|user| &user.user_id)
        .filter(|user| engine.user(user).map_err(|error| error.kind()) != Err(ErrorKind::NotFound))
        .collect();
    let mut lists: Vec<Recommendation> = known
        .iter()
        .flat_map(|user| SURFACES.map(|surface| engine.recommend(request(user, surface)).unwrap()))
        .collect();
    let mut tokens = Vec::new();
    for list in &mut lists {
        list.applied.clear();
        tokens.push(std::mem::take(&mut list.impression));
    }
    let portrait = |user: &&UserId| engine.portrait(user, AS_OF, &RequestContext::default()).unwrap();
    let similar = |user: &&UserId| {
        let asked = SimilarUsersRequest::new((*user).clone(), 12);
        engine.similar_users(asked).ok()
    };
    let judged = EvalRequest { recipe: "default".into(), k: 10, as_of: AS_OF, rules: true, explore: true };
    let all = RulesRequest { as_of: AS_OF, surfaces: vec!["radio".into()], users_max: Some(50), probes: 0 };
    let user_cf = crate::support::space("user_cf");
    let mut vectors = Vec::new();
    let mut page = None;
    loop {
        let (rows, next) = engine.list_vectors(&user_cf, None, page.as_deref(), 31).unwrap();
        vectors.push(rows.into_iter().map(|row| row.id).collect());
        page = next;
        if page.is_none() {
            break;
        }
    }
    let answers = Answers {
        users: engine.user_count().unwrap(),
        pages: [1, 7, 53, known.len(), 1_000].map(|limit| listed(engine, limit)).to_vec(),
        portraits: known.iter().map(portrait).collect(),
        logged: known.iter().map(|user| engine.logged_lists(user, AS_OF, 5).unwrap()).collect(),
        lists,
        similar: known.iter().map(similar).collect(),
        report: segue::eval::evaluate(engine, held_out, &judged).unwrap(),
        rules: segue::eval::check_rules(engine, &all, &|_, _| {}).unwrap(),
        halves: segue::eval::split(engine, &Split::new("a test", 0.5).unwrap(), None).unwrap(),
        vectors,
    };
    (answers, tokens)
}

/// What was learnt from all listeners; how many entries it took differs.
fn statistics(dir: &Path) -> Statistics {
    let (first, _) = UserShard::open(&dir.join("users-0"), &UserShardOptions::default()).unwrap();
    let mut learnt = Statistics::decode(&first.statistics().unwrap()).unwrap();
    learnt.applied = 0;
    learnt
}

/// Says that lists were shown, and what was done with their tracks.
fn show(engine: &Segue, lists: &[Recommendation], tokens: &[String]) -> Vec<bool> {
    let mut events = Vec::new();
    for (number, (list, token)) in (0_i64..).zip(lists.iter().zip(tokens)).step_by(3) {
        let user = list.user_id.as_ref().unwrap().as_str();
        let at = Timestamp(AS_OF.0 - 3_600_000 + number * 1_000);
        events.push(FeedbackEvent { impression: Some(token.clone()), ..event(user, Action::Served, at) });
        for track in list.tracks.iter().take(2) {
            let done = if track.explored { Action::Save } else { Action::Play };
            events.push(FeedbackEvent {
                track_id: Some(track.track_id.clone()),
                listened_ms: Some(100_000),
                ..event(user, done, Timestamp(at.0 + 60_000))
            });
        }
    }
    engine.feedback(events).unwrap().0
}

#[test]
fn answers_do_not_depend_on_the_number_of_user_shards() {
    let world = world(seed(0x05A4D));
    let folder = tempfile::tempdir().unwrap();
    let held_out = folder.path().join("held_out.parquet");
    let mut writer = TableWriter::create(&held_out, PlayTable).unwrap();
    let every: Vec<Play> = world.plays.iter().step_by(40).cloned().collect();
    writer.write(&every).unwrap();
    writer.finish().unwrap();
    let mut all = Vec::new();
    for shards in [1, 4, 64] {
        let dir = folder.path().join(format!("{shards}"));
        let engine = open(&dir, shards);
        let replies = fill(&engine, &world);
        let (answers, tokens) = ask(&engine, &world, &held_out);
        let shown = show(&engine, &answers.lists, &tokens);
        engine.refresh_statistics().unwrap();
        // What was learnt is in the files then, not only in the log.
        engine.checkpoint().unwrap();
        engine.shutdown().unwrap();
        drop(engine);
        let learnt = statistics(&dir);
        // Opened again, by whoever does not know how many there are.
        let engine = open(&dir, 0);
        let (later, _) = ask(&engine, &world, &held_out);
        engine.shutdown().unwrap();
        assert!(run(&["verify", dir.to_str().unwrap()]).status.success(), "{shards} shards are not whole");
        all.push((replies, answers, shown, learnt, later));
    }
    let (replies, answers, shown, learnt, later) = &all[0];
    assert!(
        answers.lists.iter().any(|list| list.tracks.iter().any(|t| t.sources.contains(&"social".into())))
    );
    assert!(answers.lists.iter().any(|list| list.cold_start == "region_age_prior"));
    assert!(answers.similar.iter().flatten().count() > 150 && answers.report.users > 50);
    let logged = |of: &Answers| of.logged.iter().flatten().filter(|list| list.made_by.is_some()).count();
    assert_eq!((logged(answers), logged(later)), (0, answers.lists.len().div_ceil(3)));
    assert!(learnt.events > 3_000 && answers.lists != later.lists && shown.iter().all(|new| *new));
    for (shards, other) in [4, 64].iter().zip(&all[1..]) {
        assert_eq!((replies, shown), (&other.0, &other.2), "{shards} shards");
        for (before, after) in [(answers, &other.1), (later, &other.4)] {
            assert!(before.pages == after.pages, "{shards} shards: pages of listeners");
            assert!(before.portraits == after.portraits, "{shards} shards: portraits");
            for (one, several) in before.lists.iter().zip(&after.lists) {
                assert_eq!(one, several, "{shards} shards");
            }
            assert_eq!(before, after, "{shards} shards");
        }
        assert_eq!(learnt, &other.3, "{shards} shards");
    }
}

#[test]
fn the_number_of_user_shards_stays_and_another_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("three");
    open(&dir, 3).shutdown().unwrap();
    for asked in [1, 2, 4] {
        let refused = Segue::open(&dir, settings(asked)).err().unwrap();
        assert_eq!(refused.kind(), ErrorKind::Conflict);
        assert!(refused.to_string().contains("there=`3`"), "{refused}");
    }
    for asked in [0, 3] {
        let engine = open(&dir, asked);
        assert_eq!(engine.upsert_users(vec![User::unknown(id("u"))]).unwrap().applied.len(), 1);
        engine.shutdown().unwrap();
    }
    assert!(dir.join("users-2").exists() && !dir.join("users-3").exists());
    let said = run(&[
        "serve",
        "--data",
        dir.to_str().unwrap(),
        "--listen",
        "127.0.0.1:0",
        "--http",
        "127.0.0.1:0",
        "--user-shards",
        "5",
    ]);
    assert!(!said.status.success() && String::from_utf8_lossy(&said.stderr).contains("there=`3`"));
}

/// A listener of each of so many shards.
fn one_of_each(shards: u16) -> Vec<UserId> {
    let of = |shard: usize| {
        let names = (0..).map(|number| id::<UserId>(format!("u{number}")));
        names.into_iter().find(|user| shard_of_slot(slot_of(user.as_str()), shards) == shard).unwrap()
    };
    (0..usize::from(shards)).map(of).collect()
}

#[test]
fn a_write_names_the_shards_it_went_to_and_is_refused_whole() {
    let folder = tempfile::tempdir().unwrap();
    let engine = open(folder.path(), 4);
    let users = one_of_each(4);
    let records: Vec<User> = users.iter().cloned().map(User::unknown).collect();
    let token = engine.upsert_users(records.clone()).unwrap();
    let groups: Vec<&str> = token.applied.iter().map(|(group, _)| group.as_str()).collect();
    assert_eq!(groups, ["users-0", "users-1", "users-2", "users-3"]);
    assert_eq!(engine.upsert_users(records[2..3].to_vec()).unwrap().applied[0].0, "users-2");
    engine.upsert_tracks(vec![track(1, 0)]).unwrap();
    let play = |user: &UserId, event: &str| FeedbackEvent {
        track_id: Some(id("t1")),
        event_id: Some(id::<EventId>(event)),
        ..self::event(user.as_str(), Action::Play, AS_OF)
    };
    let mut wrong: Vec<FeedbackEvent> = users.iter().map(|user| play(user, "first")).collect();
    wrong.push(play(&id("nobody"), "first"));
    assert!(engine.feedback(wrong.clone()).is_err());
    wrong.pop();
    // Nothing of it was taken; and outcomes are in the order of the events, whatever shard they went to.
    assert_eq!(engine.feedback(wrong).unwrap().0, [true; 4]);
    let again = vec![
        play(&users[3], "second"),
        play(&users[0], "first"),
        play(&users[3], "first"),
        play(&users[1], "second"),
    ];
    assert_eq!(engine.feedback(again).unwrap().0, [true, false, false, true]);
    assert_eq!(engine.upsert_users(Vec::new()).unwrap().applied, []);
}

#[test]
fn a_load_goes_on_in_batches_of_any_size_and_takes_every_row_once() {
    let folder = tempfile::tempdir().unwrap();
    let engine = open(folder.path(), 5);
    engine.upsert_tracks((0..10).map(|number| track(number, 0)).collect()).unwrap();
    let plays: Vec<Play> = (0..2_000)
        .map(|number| Play {
            user_id: id(format!("u{}", number % 97)),
            track_id: id::<TrackId>(format!("t{}", number % 10)),
            played_at: Timestamp(AS_OF.0 - number as i64 * 1_000),
            listened_ms: 60_000,
            action: PlayAction::Play,
        })
        .collect();
    let total = |engine: &Segue| -> u32 {
        let (users, _) = engine.list_users(None, 1_000).unwrap();
        let portraits = users.iter().map(|user| {
            engine.portrait(&user.user_id, AS_OF, &RequestContext::default()).unwrap().plays_total
        });
        portraits.sum()
    };
    let mut row = 0;
    for size in [700, 300, 1, 999].into_iter().cycle() {
        // Every batch begins some rows before what is done.
        let first = usize::try_from(row).unwrap().saturating_sub(50);
        let end = (first + size).min(plays.len());
        let progress = engine.load_plays("plays", first as u64, plays[first..end].to_vec()).unwrap();
        assert_eq!(progress.rows_done, row.max(end as u64));
        row = progress.rows_done;
        if row == plays.len() as u64 {
            break;
        }
    }
    assert!(engine.finish_load("plays", LoadKind::Plays, &|_| {}).unwrap().0.finished);
    assert!(engine.load_progress("plays").unwrap().finished);
    assert_eq!(total(&engine), 2_000);
    assert_eq!(engine.load_plays("gap", 5, plays[5..9].to_vec()).unwrap_err().kind(), ErrorKind::Conflict);
}

#[test]
fn a_user_shard_whose_folder_is_lost_comes_back_from_the_log_and_verify_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path();
    let (engine, _) = Segue::open(dir, settings(3)).unwrap();
    World::generate(0x1057, 60, 90).load(&engine);
    let before = listed(&engine, 1_000);
    engine.shutdown().unwrap();
    drop(engine);
    std::fs::remove_dir_all(dir.join("users-1")).unwrap();
    let report = segue::node::verify(dir, &mut |_| {}).unwrap();
    assert!(report.checked.is_clean(), "{:?}", report.checked.damage);
    assert!(
        report.notes.iter().any(|note| note.contains("missing=`1`, user_shards=`3`")),
        "{:?}",
        report.notes
    );
    let (engine, _) = Segue::open(dir, settings(3)).unwrap();
    assert_eq!(listed(&engine, 1_000), before);
}
